"""Whether a run may pass: everything asked was judged, nothing is missing, every floor is reached. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from evals.report.tables import percent, share
from evals.runs import CaseRecord
from evals.scores import Summary
from evals.verdict import Decision, Verdict

# A capability whose floor is this allows no miss: each one fails its test at once.
NO_MISS = 1.0


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked of what there is: cases and checks, over all models; whether any task sets a floor; and how many
    tests of other kinds there are beside the checks."""

    cases: int
    of_cases: int
    checks: int
    of_checks: int
    floors: bool = True
    others: int = 0

    @property
    def partial(self) -> bool:
        return self.checks < self.of_checks

    @property
    def part(self) -> str:
        """What was selected of all there is, in words; '' where it is all."""
        if not self.partial:
            return ""
        return f"{self.cases} of {self.of_cases} cases, {self.checks} of {self.of_checks} checks"


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """`state`, one sentence for it, and the reasons if it is `fails` or `unanswered`.

    holds: every floor of the whole selection of tasks is reached. partial: the same, but of a part of the cases or
    checks only, which says nothing about the rest. measured: floors were not enforced. ungated: there are no floors.
    With a baseline, holds, fails and inconclusive are its verdict: promote, block, or too few cases to tell.
    """

    state: Literal["holds", "fails", "inconclusive", "partial", "measured", "unanswered", "ungated"]
    sentence: str
    problems: tuple[str, ...] = field(default=())


def judge_run(
    records: Sequence[CaseRecord],
    summary: Summary,
    unavailable: Mapping[str, str],
    selection: Selection,
    *,
    enforce_floors: bool,
    broken_off: int = 0,
) -> GateVerdict:
    """The verdict on a run; without `enforce_floors` (`--no-gate`) only what was not answered counts against it.

    `broken_off`: tests that ended without a result, because their worker crashed or their set-up broke.
    """
    problems = _missing(records, summary, unavailable, checked=selection.checks > 0 or not selection.others)
    problems += _broken_off(broken_off)
    if enforce_floors:
        problems += _broken(records) + _below(summary)
    if problems:
        state: Literal["fails", "unanswered"] = "fails" if enforce_floors else "unanswered"
        sentence = "The gate does not hold." if enforce_floors else "Not everything was answered."
        return GateVerdict(state, sentence, tuple(problems))
    if not enforce_floors:
        return GateVerdict("measured", "Measured only (--no-gate): floors are shown, not enforced.")
    if not selection.checks:
        return GateVerdict("partial", "No verdict: no check was selected.")
    if not selection.floors:
        return GateVerdict("ungated", "No task sets a floor: nothing was gated.")
    if selection.partial:
        return GateVerdict(
            "partial", f"No verdict, only a part was selected ({selection.part}); the floors hold on it."
        )
    return GateVerdict("holds", "The gate holds.")


def faults(records: Sequence[CaseRecord], summary: Summary, broken_off: int = 0) -> list[str]:
    """What came to no result, a sentence each: it stands against a run whatever is still to come."""
    return [
        *_missing(records, summary, {}, checked=False),
        *_broken_off(broken_off),
        *_broken(records),
    ]


def with_problem(verdict: GateVerdict, problem: str) -> GateVerdict:
    """The verdict with one more reason against it, which turns any other state into one that does not hold."""
    failing: Mapping[str, tuple[Literal["fails", "unanswered"], str]] = {
        "fails": ("fails", verdict.sentence),
        "unanswered": ("unanswered", verdict.sentence),
        "measured": ("unanswered", "The measurement is not whole."),
    }
    state, sentence = failing.get(verdict.state, ("fails", "The gate does not hold."))
    return GateVerdict(state, sentence, (*verdict.problems, problem))


def with_comparison(gate: GateVerdict, compared: Verdict) -> GateVerdict:
    """The verdict of a run with a baseline; what was only measured stays so."""
    states: Mapping[Decision, Literal["holds", "fails", "inconclusive"]] = {
        "promote": "holds",
        "block": "fails",
        "inconclusive": "inconclusive",
    }
    if gate.state in ("measured", "unanswered"):
        return gate
    problems = () if compared.verdict == "promote" else compared.reasons
    return GateVerdict(states[compared.verdict], compared.sentence, problems)


def _missing(
    records: Sequence[CaseRecord], summary: Summary, unavailable: Mapping[str, str], *, checked: bool
) -> list[str]:
    problems = [f"{label} was not asked at all" for label in unavailable]
    for figures in summary.models:
        if figures.unanswered:
            what = "request" if figures.replies == 1 else "requests"
            problems.append(
                f"{figures.model}: {figures.unanswered} of {figures.replies} {what} brought no reply"
            )
        elif checked and not figures.replies:
            problems.append(f"{figures.model}: nothing was judged")
    answered = [record for record in records if record.outcome != "infrastructure"]
    lost = sum(check.outcome == "unscored" for record in answered for check in record.checks)
    if lost:
        problems.append(
            f"{lost} {'check' if lost == 1 else 'checks'} of answered requests never came to a result"
        )
    if checked and not records:
        problems.append("nothing was asked")
    return problems


def _broken_off(tests: int) -> list[str]:
    if not tests:
        return []
    what = "test" if tests == 1 else "tests"
    return [f"{tests} {what} broke off without a result; pytest tells above what happened"]


def _below(summary: Summary) -> list[str]:
    return [
        f"{score.model}: {score.task} {score.capability} {percent(score.rate)} "
        f"({score.passes:.4g} of {score.n}) is below the floor of {share(score.floor)}"
        for score in summary.scores
        if score.floor is not None and not score.holds
    ] + [
        f"{one.model}: {one.task} {one.measure} agreement of repeats {percent(one.value)} "
        f"({one.whole} of {one.cases} cases wholly) is below the floor of {share(one.floor)}"
        for one in summary.agreements
        if one.floor is not None and not one.holds
    ]


def _broken(records: Sequence[CaseRecord]) -> list[str]:
    broken = sum(check.outcome == "error" for record in records for check in record.checks)
    if not broken:
        return []
    what = "check" if broken == 1 else "checks"
    return [f"{broken} {what} broke instead of judging; their reasons are in results.jsonl"]
