"""Two runs side by side: the same cases, each with the mean over its repeats. Pure.

Paired by (task, case): what the baseline makes of a case is held against what the candidate makes of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evals.backends.base import Model
from evals.checks.answers import shorten
from evals.checks.base import CheckOutcome
from evals.errors import RunMismatch
from evals.outcomes import ReplyOutcome
from evals.runs import CaseRecord, CheckRecord

# So many names stand in a message; of the others only the number.
NAMED = 5

Facts = Mapping[str, Mapping[str, Any]]
_REPLIES = tuple(one.value for one in ReplyOutcome)
_CHECKS = tuple(one.value for one in CheckOutcome)
# By (task, capability): by case, whether each of its repeats passed.
Passes = dict[tuple[str, str], dict[str, list[bool]]]


@dataclass(frozen=True, slots=True)
class RunSide:
    """One model's part of one or several runs. `tasks` are their facts as in run.json: hash, options, gate.

    `versions` are those by which it was judged, as there.
    """

    model: Model
    runs: tuple[str, ...]
    tasks: Facts
    records: Sequence[CaseRecord]
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """One case: the share of its repeats that passed, of either side. `cluster` is its own id where it has none."""

    case: str
    cluster: str
    baseline: float
    candidate: float


@dataclass(frozen=True, slots=True)
class Paired:
    """The cases of one capability of one task, in the order of the candidate's record."""

    task: str
    capability: str
    pairs: tuple[Pair, ...]


def unsound_value(record: CaseRecord) -> str:
    """What of a record cannot be compared or counted, in words; '' if nothing.

    Names are texts, outcomes those that there are, values and measures fractions, figures numbers.
    """
    checks = [text for one in record.checks for text in (one.kind, one.name, one.capability, one.cause)]
    names = (record.model, record.task, record.case, record.cluster, record.fault, *record.retries, *checks)
    if not all(isinstance(name, str) for name in names) or not isinstance(record.repeat, int):
        return "a name that is no text, or a repeat that is no whole number"
    for outcome, words in ((record.outcome, _REPLIES), *((one.outcome, _CHECKS) for one in record.checks)):
        if outcome not in words:
            return f"the outcome {shorten(str(outcome))!r}, which is none of {', '.join(words)}"
    figures: list[Any] = [*record.timings.values(), *record.tokens.values()]
    for figure in figures:
        if not (figure is None or isinstance(figure, (int, float))):
            return f"a time or a count of tokens that is no number: {shorten(str(figure))}"
    return next(filter(None, map(_unsound_check, record.checks)), "")


def _unsound_check(check: CheckRecord) -> str:
    for name, value in (("value", check.value), *check.measures.items()):
        # NaN is in no range; a measure is a fraction too, but for rounding.
        if not (isinstance(value, (int, float)) and -1e-9 <= value <= 1 + 1e-9):
            return f"the {name} of {check.name} is {shorten(str(value))}, no number from 0 to 1"
    if check.kind != "label" or check.expected is None:
        return ""
    wanted = check.expected if isinstance(check.expected, dict) else {}
    labels = wanted.get("of")
    found = check.extracted.get("label", 0) if isinstance(check.extracted, dict) else None
    if not (found is None or isinstance(found, str)):
        return f"the label that {check.name} read is no text"
    if not (isinstance(labels, list) and all(isinstance(one, str) for one in (wanted.get("label"), *labels))):
        return f"the labels that {check.name} expects are no texts"
    return ""


def join(sides: Sequence[RunSide]) -> RunSide:
    """Several runs of one model as one: those after the first count as further repeats of its cases.

    Raises `RunMismatch` where they are not of the same weights, tasks and cases, or one is there twice; one side at
    least.
    """
    first, *others = sides
    cases = {(one.task, one.case) for one in first.records}
    runs = Counter(run for side in sides for run in side.runs)
    problems = [f"{shorten(run)} is named {n} times: it is one repeat" for run, n in runs.items() if n > 1]
    records = list(first.records)
    for other in others:
        name = _runs(other)
        if other.model.digest != first.model.digest:
            problems.append(
                f"{name}: {shorten(other.model.label)} has other weights there ({shorten(other.model.digest)[:12]}) than "
                f"in {_runs(first)} ({shorten(first.model.digest)[:12]})"
            )
        problems += [f"{name}: {problem}" for problem in _other_tasks(other.tasks, first.tasks)]
        differing = cases ^ {(one.task, one.case) for one in other.records}
        if differing:
            problems.append(f"{name}: not the same cases were asked: {_listed(differing)}")
        shift = 1 + max((one.repeat for one in records), default=-1)
        records += [replace(one, repeat=one.repeat + shift) for one in other.records]
    if problems:
        raise RunMismatch(_told("these runs are not repeats of each other", problems))
    return replace(first, runs=tuple(run for side in sides for run in side.runs), records=records)


def refuse_mismatch(baseline: RunSide, tasks: Facts, cases: Iterable[tuple[str, str]]) -> None:
    """Raises `RunMismatch` naming every task that the baseline has not or has otherwise, and cases that it lacks.

    `tasks` are the facts of what is asked of the candidate, `cases` the (task, case) of it.
    """
    problems = _other_tasks(baseline.tasks, tasks)
    there = {(one.task, one.case) for one in baseline.records}
    same = {
        name for name in tasks if name in baseline.tasks and _hash(tasks, name) == _hash(baseline.tasks, name)
    }
    if lacking := {case for case in cases if case[0] in same and case not in there}:
        problems.append(f"it lacks {len(lacking)} of the cases: {_listed(lacking)}")
    if problems:
        label = shorten(baseline.model.label)
        head = f"the baseline {label} in {_runs(baseline)} did not ask what the candidate is asked"
        raise RunMismatch(_told(head, problems) + f"\nask it again: --baseline {label}")


def _other_tasks(there: Facts, here: Facts) -> list[str]:
    problems = [f"it has no task {shorten(name)}" for name in here if name not in there]
    for name, facts in here.items():
        if name not in there or _hash(there, name) == _hash(here, name):
            continue
        then = there[name].get("options") or {}
        now = facts.get("options") or {}
        changed = [
            f"{option} {shorten(str(then.get(option)))} there, {shorten(str(now.get(option)))} here"
            for option in now
            if now[option] != then.get(option)
        ]
        how = "; ".join(changed) or "its prompt, checks or cases are others"
        problems.append(f"task {shorten(name)} was changed: {how}")
    return problems


def _hash(tasks: Facts, name: str) -> object:
    return tasks[name].get("hash")


def _listed(cases: Collection[tuple[str, str]]) -> str:
    names = [shorten(f"{task}/{case}") for task, case in sorted(cases)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _runs(side: RunSide) -> str:
    return ", ".join(map(shorten, side.runs))


def _told(head: str, problems: Sequence[str]) -> str:
    return "\n  ".join([f"{head}:", *problems])


def pair(candidate: RunSide, baseline: RunSide) -> list[Paired]:
    """Each capability of each task over the candidate's cases, in its order; raises `RunMismatch`.

    A case passes a capability when all its checks of it pass; it counts with the mean over its repeats. What brought no
    result is no pass, and a repeat that other cases of the task have and this one lacks is none either.
    """
    if not candidate.records:
        raise RunMismatch(
            f"there is nothing to compare: no case was asked of {shorten(candidate.model.label)}"
        )
    refuse_mismatch(
        baseline, candidate.tasks, dict.fromkeys((one.task, one.case) for one in candidate.records)
    )
    _refuse_other_checks(candidate, baseline)
    theirs = pass_rates(baseline.records)
    clusters = {(one.task, one.case): one.cluster or one.case for one in candidate.records}
    paired = [
        Paired(
            task,
            capability,
            tuple(
                Pair(case, clusters[task, case], theirs[task, capability][case], rate)
                for case, rate in by_case.items()
            ),
        )
        for (task, capability), by_case in pass_rates(candidate.records).items()
    ]
    if not paired:
        raise RunMismatch(
            f"there is nothing to compare: no reply of {shorten(candidate.model.label)} was judged"
        )
    return paired


def _refuse_other_checks(candidate: RunSide, baseline: RunSide) -> None:
    """A case that was judged by other checks in any repeat, such as by a part of them (`-k`), passes for other reasons.

    Of the baseline only the candidate's capabilities count.
    """

    def checks(side: RunSide) -> dict[tuple[str, str], list[set[tuple[str, str]]]]:
        found: dict[tuple[str, str], list[set[tuple[str, str]]]] = {}
        for one in side.records:
            judged = {(check.capability, check.name) for check in one.checks}
            found.setdefault((one.task, one.case), []).append(judged)
        return found

    theirs = checks(baseline)
    other: set[tuple[str, str]] = set()
    for case, ours in checks(candidate).items():
        wanted = set.union(*ours)
        capabilities = {capability for capability, _ in wanted}
        judged = [{one for one in names if one[0] in capabilities} for names in (*ours, *theirs[case])]
        if any(names != wanted for names in judged):
            other.add(case)
    if other:
        raise RunMismatch(
            f"the baseline {shorten(baseline.model.label)} in {_runs(baseline)} was judged by other checks in "
            f"{len(other)} of the cases: {_listed(other)}"
        )


def passes(records: Iterable[CaseRecord]) -> Passes:
    """By (task, capability) and case: whether each repeat passed all its checks of the capability, in order of repeat.

    A repeat that other cases of the task have counts as not passed where it is missing.
    """
    found: dict[tuple[str, str], dict[str, dict[int, bool]]] = {}
    for one in records:
        right: dict[str, bool] = {}
        for check in one.checks:
            right[check.capability] = right.get(check.capability, True) and check.outcome == "pass"
        for capability, passed in right.items():
            found.setdefault((one.task, capability), {}).setdefault(one.case, {})[one.repeat] = passed
    made: Passes = {}
    for key, by_case in found.items():
        repeats = sorted({repeat for by_repeat in by_case.values() for repeat in by_repeat})
        made[key] = {
            case: [by_repeat.get(repeat, False) for repeat in repeats] for case, by_repeat in by_case.items()
        }
    return made


def pass_rates(records: Iterable[CaseRecord]) -> dict[tuple[str, str], dict[str, float]]:
    """By (task, capability) and case: the share of its repeats that passed."""
    return {
        key: {case: sum(repeats) / len(repeats) for case, repeats in by_case.items()}
        for key, by_case in passes(records).items()
    }
