"""Completions judged as a model's answers would be: what kind of reply they are, then by the checks of their task.

A line's `expect` is bound to the task's checks as a golden case's is. A check that needs an expectation which the line
does not give judges nothing; the others judge every line.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from evals.backends.base import ModelReply
from evals.cases import CaseCheck, GoldenCase, GoldenTask
from evals.checks.answers import shorten
from evals.checks.base import Check, CheckOutcome
from evals.outcomes import ReplyOutcome, classify, judge_reply
from evals.wording import wording
from training.data import Example

_REASON_LIMIT = 300


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A completion that is none: empty, thinking only, with thinking left in it, or a refusal that nobody asked for."""

    line: int
    kind: ReplyOutcome


@dataclass(frozen=True, slots=True)
class Missed:
    """A check that a completion misses, or what is wrong with its line's `expect` (then `check` is 'expect')."""

    line: int
    check: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A check that could not judge `lines`, and why."""

    check: str
    reason: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong with the completions of a file. `judged`: by check, how many completions it has judged."""

    no_answers: tuple[NoAnswer, ...]
    missed: tuple[Missed, ...]
    unjudged: tuple[Unjudged, ...]
    judged: dict[str, int]


def judge_completions(examples: Sequence[Example], task: GoldenTask | None) -> Judgement:
    """Judge each completion; without a task only its kind is looked at. Never raises."""
    kinds = {example.line: classify(ModelReply(text=example.completion)) for example in examples}
    no_answers = [
        NoAnswer(example.line, kind)
        for example in examples
        if (kind := kinds[example.line]) is not ReplyOutcome.ANSWERED
        and not (kind is ReplyOutcome.REFUSED and example.expect.get("refuse"))
    ]
    without = {one.line for one in no_answers}
    missed: list[Missed] = []
    unjudged: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    judged: Counter[str] = Counter()
    binder = _Binder(task) if task else None
    for example in examples if binder else ():
        assert binder is not None
        bound, faults = binder.bind(example)
        missed += faults
        if faults or example.line in without:
            continue
        case = _case(binder.task, example, tuple(one for one in bound if one.check.can_run()))
        for check in (one.label for one in bound if not one.check.can_run()):
            unjudged[check, "this machine cannot run it"].append(example.line)
        for one, result in judge_reply(case, ModelReply(text=example.completion), example.user):
            if result.outcome is CheckOutcome.ERROR:
                unjudged[one.label, shorten(result.reason, _REASON_LIMIT)].append(example.line)
                continue
            judged[one.label] += 1
            if result.outcome is not CheckOutcome.PASS:
                missed.append(Missed(example.line, one.label, shorten(result.reason, _REASON_LIMIT)))
    told = tuple(Unjudged(check, why, tuple(lines)) for (check, why), lines in unjudged.items())
    return Judgement(tuple(no_answers), tuple(missed), told, dict(judged))


def task_checks(task: GoldenTask) -> tuple[Check, ...]:
    """The checks that are the task's own, not a single case's.

    A task's checks are the same objects in every case that they apply to; a case's are in no other.
    """
    checks = [one.check for case in task.cases for one in case.checks]
    held = Counter(id(check) for check in checks)
    own = {id(check): check for check in checks if held[id(check)] > 1 or len(task.cases) == 1}
    return tuple(own.values())


def _case(task: GoldenTask, example: Example, checks: tuple[CaseCheck, ...]) -> GoldenCase:
    return GoldenCase(
        task=task.name,
        id=f"line-{example.line}",
        input=example.prompt or example.user,
        expect=example.expect,
        reference=example.completion,
        tags=example.tags,
        checks=checks,
    )


class _Binder:
    """Binds the checks of a task to what a line expects."""

    def __init__(self, task: GoldenTask) -> None:
        self.task = task
        self.checks = task_checks(task)
        every = (one.check for case in task.cases for one in case.checks)
        # A refusal can be expected of any task.
        self.known = {"refuse"}.union(*(check.Expect.model_fields for check in every))

    def bind(self, example: Example) -> tuple[list[CaseCheck], list[Missed]]:
        """The checks that apply, and what is wrong with the expectation."""
        faults = [
            f"no check of {self.task.name} knows {shorten(repr(key))}; fields here: {', '.join(sorted(self.known))}"
            for key in sorted(example.expect.keys() - self.known)
        ]
        bound: list[CaseCheck] = []
        for check in self.checks:
            wanted = {key: value for key, value in example.expect.items() if key in check.Expect.model_fields}
            try:
                expect = check.Expect.model_validate(wanted)
            except ValidationError as error:
                faults += _said(error, check) if wanted else ()
                continue
            wrong = check.problems(expect)
            if wrong:
                # Without an expectation these say what it lacks, not that anything is wrong.
                faults += [f"{check.label}: {what}" for what in wrong] if wanted else ()
            elif check.applies(expect):
                bound.append(CaseCheck(check, expect))
        reasons = dict.fromkeys(shorten(what, _REASON_LIMIT) for what in faults)
        return bound, [Missed(example.line, "expect", what) for what in reasons]


def _said(error: ValidationError, check: Check) -> Iterator[str]:
    for one in error.errors():
        what, mend = wording(one, check.Expect)
        place = ".".join(map(str, one["loc"]))
        yield f"{place} {what}" + (f" ({mend})" if mend else "")
