"""When a run's verdict is certain, whatever is still to come: then no more need be asked.

Curtailed sampling (Wetherill 1975, section on curtailed inspection): the decision at the stop is the one that the whole
sample would have led to, so the errors of the gate are those without a stop. Each case that is not judged yet is taken
to pass, then to miss; where both lead to the same verdict, so does everything between, since an interval of the
difference moves up with each case won and down with each one lost.

That holds for cases that pass or fail. Means over repeats and clusters are compared by resampling, which has no such
order: their comparison settles nothing but a new miss where none is allowed. A fault is no answer of the model and
settles nothing either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from evals.comparison import ANSWERS
from evals.gate import GateVerdict
from evals.needs import CheckItem
from evals.pairing import Pair
from evals.policy import Asked
from evals.report.tables import percent, share
from evals.requirements import status_of
from evals.runs import CaseRecord
from evals.scores import ROUNDING
from evals.verdict import Decision, Status

# What a requirement may still come to, worst first.
_ORDER: tuple[Status, ...] = ("failed", "open", "shown")
CapabilityKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Settled:
    """A verdict that nothing to come can change. Without a baseline, promote and block tell whether the floors hold.

    `statuses` holds the requirements that are certain.
    """

    decision: Decision
    reasons: tuple[str, ...]
    statuses: Mapping[Asked, Status]

    def as_gate(self) -> GateVerdict:
        """The same as the verdict on the run alone; what a comparison adds to it is not in there."""
        if self.decision == "block":
            return GateVerdict("fails", "The gate does not hold: asking was stopped early.", self.reasons)
        return GateVerdict("holds", "The gate holds: asking was stopped early.")


@dataclass(slots=True)
class _Case:
    """A case in one capability: how many of its repeats passed so far, of each side."""

    cluster: str
    repeats: int
    judged: int = 0
    passed: int = 0
    baseline: float | None = None
    baseline_judged: int = 0
    baseline_passed: int = 0

    @property
    def worst(self) -> float:
        return self.passed / self.repeats

    @property
    def best(self) -> float:
        return (self.passed + self.repeats - self.judged) / self.repeats


class Curtailment:
    """Follows a candidate's results, and its baseline's, until the verdict is certain.

    `expected` are the checks that will be judged of the candidate, `floors` by task and capability. `recorded` holds the
    baseline's pass rates by (task, capability) and case, None where the baseline is asked in the same run.
    `ends` are the verdicts that it may find: a part of the suite is never promoted, and where something else decides too
    (agreement of repeats, snapshots) only a block is certain before the end.
    """

    def __init__(
        self,
        expected: Iterable[CheckItem],
        floors: Mapping[str, Mapping[str, float]],
        asked: Sequence[Asked],
        *,
        repeats: int,
        recorded: Mapping[CapabilityKey, Mapping[str, float]] | None,
        ends: Collection[Decision],
    ) -> None:
        self._floors = floors
        self._asked = asked
        self._ends = ends
        self._cases: dict[CapabilityKey, dict[str, _Case]] = {}
        self._range: dict[Asked, tuple[Status, Status]] = dict.fromkeys(asked, ("failed", "shown"))
        self._faulted = False
        self._answered = False
        for item in expected:
            case, task = item.need.case, item.need.task.name
            capability = item.capability.value
            by_case = self._cases.setdefault((task, capability), {})
            # Unknown too where a recorded baseline was not judged by this check.
            baseline = (recorded or {}).get((task, capability), {}).get(case.id)
            by_case.setdefault(case.id, _Case(case.cluster or case.id, repeats, baseline=baseline))

    def take(self, record: CaseRecord, *, of_baseline: bool) -> Settled | None:
        """Take in one record; returns the verdict once it is certain."""
        if record.outcome == "infrastructure" or any(check.outcome == "error" for check in record.checks):
            self._faulted = True
            return None
        self._answered |= not of_baseline and record.outcome in ANSWERS
        capabilities = {check.capability for check in record.checks}
        for capability in capabilities:
            case = self._cases.get((record.task, capability), {}).get(record.case)
            if case is None:
                continue
            passed = all(one.outcome == "pass" for one in record.checks if one.capability == capability)
            if of_baseline:
                case.baseline_judged += 1
                case.baseline_passed += passed
                if case.baseline_judged == case.repeats:
                    case.baseline = case.baseline_passed / case.repeats
            else:
                case.judged += 1
                case.passed += passed
        for asked in self._asked:
            if asked.task == record.task and asked.capability in capabilities:
                self._range[asked] = self._possible(asked)
        return self._settled()

    def _possible(self, asked: Asked) -> tuple[Status, Status]:
        """The worst and the best that a requirement may still come to."""
        cases = self._cases.get((asked.task, asked.capability), {})
        if asked.kind == "zero_tolerance":
            known = [case for case in cases.values() if case.baseline is not None]
            if any(case.best < (case.baseline or 0.0) for case in known):
                return "failed", "failed"
            clean = len(known) == len(cases) and all(case.worst >= (case.baseline or 0.0) for case in known)
            return ("shown", "shown") if clean else ("failed", "shown")
        sides = [(name, case, case.baseline) for name, case in cases.items()]
        if any(
            baseline not in (0.0, 1.0) or case.repeats > 1 or case.cluster != name
            for name, case, baseline in sides
        ):
            return "failed", "shown"
        worst = [Pair(name, name, baseline or 0.0, case.worst) for name, case, baseline in sides]
        best = [Pair(name, name, baseline or 0.0, case.best) for name, case, baseline in sides]
        return status_of(asked, worst), status_of(asked, best)

    def _settled(self) -> Settled | None:
        lost, floors_hold = self._floor_reasons()
        statuses = {one: worst for one, (worst, best) in self._range.items() if worst == best}
        failed = [one for one, status in statuses.items() if status == "failed"]
        reasons = lost + [
            f"{one.task} {one.capability} is worse than allowed, whatever the remaining cases bring"
            for one in failed
        ]
        if reasons:
            return Settled("block", tuple(reasons), statuses)
        # A candidate that never answers is blocked, however little is asked of it.
        if self._faulted or not floors_hold or (self._asked and not self._answered):
            return None
        if len(statuses) == len(self._asked) and all(status == "shown" for status in statuses.values()):
            return self._end("promote", ["nothing that is still to come could change that"], statuses)
        if any(worst == "failed" for worst, _ in self._range.values()):
            return None
        return self._end(
            "inconclusive",
            [
                f"{one.task} {one.capability} cannot be shown any more, whatever the remaining cases bring"
                for one, (_, best) in self._range.items()
                if best != "shown"
            ],
            statuses,
        )

    def _end(
        self, decision: Decision, reasons: Sequence[str], statuses: Mapping[Asked, Status]
    ) -> Settled | None:
        """The verdict, where it may be found here and has a reason."""
        return Settled(decision, tuple(reasons), statuses) if reasons and decision in self._ends else None

    def _floor_reasons(self) -> tuple[list[str], bool]:
        """Why a floor can no longer be reached, and else whether all of them hold for certain."""
        reasons: list[str] = []
        certain = True
        for (task, capability), cases in self._cases.items():
            floor = self._floors.get(task, {}).get(capability)
            if floor is None:
                continue
            best = sum(case.best for case in cases.values()) / len(cases)
            if best < floor - ROUNDING:
                reasons.append(
                    f"{task} {capability} can reach {percent(best)} at most, below the floor of {share(floor)}"
                )
            certain &= sum(case.worst for case in cases.values()) / len(cases) >= floor - ROUNDING
        return reasons, certain
