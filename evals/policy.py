"""What a comparison has to show: the tasks' own policies, or one file for all of them; flat, one requirement a line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import Field, ValidationError

from evals.cases import ID_PATTERN, VersusBaseline
from evals.checks.answers import shorten
from evals.checks.base import Capability, Strict
from evals.documents import Document, Location, dotted, parse_document, read_document
from evals.errors import Problem, RunRecordError, SettingsError
from evals.gate import NO_MISS
from evals.pairing import Facts
from evals.verdict import Kind
from evals.wording import problems_of

# In a policy file: each compared task that has no entry of its own.
EVERY = "*"
_NO_FACTS: Facts = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Policy:
    """By task what it asks to be shown; `name` is that of the file, '' where the tasks' own policies stand."""

    name: str
    tasks: Mapping[str, VersusBaseline]

    def of(self, task: str) -> VersusBaseline | None:
        """What is asked of a task; None where nothing is."""
        return self.tasks.get(task, self.tasks.get(EVERY))


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing to be shown: fields as in `evals.verdict.Requirement`."""

    task: str
    capability: str
    kind: Kind
    bound: float
    policy: str


@dataclass(frozen=True, slots=True)
class Required:
    """What a policy asks of a comparison, by task; `problems` are what it names and the comparison leaves out."""

    asked: tuple[Asked, ...]
    problems: tuple[str, ...]


class PolicyFile(Strict):
    """A policy file: it stands instead of what the compared tasks ask themselves."""

    policy: str = Field(pattern=ID_PATTERN, description="its name")
    about: str = Field(min_length=1, description="one line")
    tasks: dict[Annotated[str, Field(pattern=rf"^\*$|{ID_PATTERN}")], VersusBaseline] = Field(
        min_length=1, description="by task; '*' is each compared task without an entry of its own"
    )


def policy_of_tasks(facts: Facts) -> Policy:
    """What the tasks ask themselves, by their facts as in run.json; raises `RunRecordError` for what is no policy."""
    found: dict[str, VersusBaseline] = {}
    for task, of_task in facts.items():
        gate = of_task.get("gate") or {}
        try:
            versus = VersusBaseline.model_validate(gate.get("versus_baseline") or {})
        except (ValidationError, AttributeError) as error:
            raise RunRecordError(f"the gate of {shorten(task)} in the run's record is damaged") from error
        if list(_no_fractions(versus)):
            raise RunRecordError(
                f"the gate of {shorten(task)} in the run's record has a margin that is no fraction"
            )
        found[task] = versus
    return Policy("", found)


def read_policy(path: Path) -> Policy:
    """A policy file; raises `SettingsError` with each problem of it, by line."""
    return _policy(*read_document(path))


def parse_policy(path: Path, text: str) -> Policy:
    """The same of a text; `path` is only named in problems."""
    return _policy(*parse_document(path, text))


def _policy(document: Document, problems: Sequence[Problem]) -> Policy:
    if not problems:
        try:
            file = PolicyFile.model_validate(document.value)
        except ValidationError as error:
            problems = problems_of(error, document, (), PolicyFile)
        else:
            problems = list(_problems(document, file))
            if not problems:
                return Policy(file.policy, file.tasks)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise SettingsError("\n".join([f"{count} in the policy:", *map(str, problems)]))


def _problems(document: Document, file: PolicyFile) -> Iterator[Problem]:
    for task, versus in file.tasks.items():
        for location, value in _no_fractions(versus):
            at: Location = ("tasks", task, *location)
            what = f"{value:g} is no fraction between 0 and 1"
            yield Problem(document.path, document.line(at), dotted(at), what, "0.05, not 5")
        if task in versus.guards:
            at = ("tasks", task, "guards", task)
            yield Problem(
                document.path, document.line(at), dotted(at), "is the task itself", "name another task"
            )


def _no_fractions(versus: VersusBaseline) -> Iterator[tuple[Location, float]]:
    for field in ("non_inferior", "ratio", "guards"):
        for name, value in getattr(versus, field).items():
            if not 0 <= value <= 1:
                yield (field, str(name)), value


def requirements(policy: Policy, judged: Mapping[str, Collection[str]], facts: Facts = _NO_FACTS) -> Required:
    """All that the policy asks of what is compared: `judged` holds the capabilities by task.

    A guard asks each capability of another task, and no new miss where `facts` (as in run.json) give it a floor of 1.
    Of what is asked twice the stricter stands.
    """
    found: dict[tuple[str, str, Kind], Asked] = {}
    for asked in (one for task in judged for one in _asked_by(policy, task, judged, facts)):
        key = (asked.task, asked.capability, asked.kind)
        if key not in found or asked.bound < found[key].bound:  # only margins are asked twice
            found[key] = asked
    places = {name: index for index, name in enumerate(judged)}
    in_order = sorted(found.values(), key=lambda one: places[one.task])
    return Required(tuple(in_order), tuple(dict.fromkeys(_left_out(policy, judged))))


def _asked_by(
    policy: Policy, task: str, judged: Mapping[str, Collection[str]], facts: Facts
) -> Iterator[Asked]:
    versus = policy.of(task)
    if versus is None:
        return
    own: list[tuple[str, Kind, float]] = [(name.value, "superior", 0.0) for name in versus.superior]
    own += [(name.value, *_margin(value)) for name, value in versus.non_inferior.items()]
    own += [(name.value, "ratio", value) for name, value in versus.ratio.items()]
    yield from (Asked(task, name, kind, bound, task) for name, kind, bound in own if name in judged[task])
    for guarded, margin in versus.guards.items():
        if guarded == task:  # a guard of every task is none of its own
            continue
        floors = (facts.get(guarded, {}).get("gate") or {}).get("floors") or {}
        for name in sorted(judged.get(guarded, ())):
            no_miss = name == Capability.SAFETY or floors.get(name) == NO_MISS
            yield Asked(guarded, name, *_margin(0.0 if no_miss else margin), task)


def _margin(value: float) -> tuple[Kind, float]:
    return ("non_inferior", value) if value else ("zero_tolerance", 0.0)


def _left_out(policy: Policy, judged: Mapping[str, Collection[str]]) -> Iterator[str]:
    for task in (
        policy.tasks if policy.name else ()
    ):  # of the tasks' own policies, those that were asked stand
        if task != EVERY and task not in judged:
            yield f"the policy asks something of {task}, which was not asked: add --task {task}, or mend its name"
    for task, capabilities in judged.items():
        versus = policy.of(task)
        if versus is None:
            continue
        if task in policy.tasks:  # '*' speaks of whatever a task has
            for name in (*versus.superior, *versus.non_inferior, *versus.ratio):
                if name.value not in capabilities:
                    yield f"{task}: the policy asks for {name.value}, and no check of the task has that capability"
        for guarded in versus.guards:
            if guarded not in judged:
                yield f"{task} guards {guarded}, which was not asked: add --task {guarded}"
