"""What is otherwise between two judgements of the same replies: verdicts that flipped, checks that came or went. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.runs import CaseRecord, RunInfo

# Of each check of a task so many flips are kept for a person to read; all of them stand in the run's flips.jsonl.
EXAMPLES_KEPT = 30


@dataclass(frozen=True, slots=True)
class Flip:
    """A check that ends otherwise than before on the same reply. Outcomes are those of `CheckRecord`."""

    model: str
    task: str
    case: str
    repeat: int
    check: str
    before: str
    now: str
    reason_before: str
    reason: str

    @property
    def why(self) -> str:
        """The new reason; of a check that passes now, the old one, which no longer holds."""
        return f"no longer: {self.reason_before}" if self.now == "pass" else self.reason

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Comparison:
    """Counts what is otherwise than before, case by case; checks are named as (task, check).

    `flips` counts by task, check, outcome before and now; `kept` holds the first flips of each check. `new` and `gone`
    count the results of checks that there were on one side only.
    """

    def __init__(self) -> None:
        self.flips: Counter[tuple[str, str, str, str]] = Counter()
        self.kept: dict[tuple[str, str], list[Flip]] = {}
        self.new: Counter[tuple[str, str]] = Counter()
        self.gone: Counter[tuple[str, str]] = Counter()

    def take(self, before: CaseRecord, now: CaseRecord) -> Iterator[Flip]:
        """Compare one reply's results, and yield those that flipped."""
        old = {check.name: check for check in before.checks}
        for check in now.checks:
            was = old.pop(check.name, None)
            if was is None:
                self.new[now.task, check.name] += 1
            elif was.outcome != check.outcome:
                flip = Flip(
                    model=now.model,
                    task=now.task,
                    case=now.case,
                    repeat=now.repeat,
                    check=check.name,
                    before=was.outcome,
                    now=check.outcome,
                    reason_before=was.reason,
                    reason=check.reason,
                )
                self.flips[flip.task, flip.check, flip.before, flip.now] += 1
                kept = self.kept.setdefault((flip.task, flip.check), [])
                if len(kept) < EXAMPLES_KEPT:
                    kept.append(flip)
                yield flip
        for name in old:
            self.gone[now.task, name] += 1

    def directions(self, task: str | None = None, check: str | None = None) -> Counter[tuple[str, str]]:
        """How often each (outcome before, outcome now) was met, over all or for one check of a task."""
        found: Counter[tuple[str, str]] = Counter()
        for (of_task, of_check, before, now), count in self.flips.items():
            if task in (None, of_task) and check in (None, of_check):
                found[before, now] += count
        return found


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Cases as `task/case` that were not judged: no longer there, asked otherwise than today, or never asked."""

    gone: Sequence[str]
    otherwise: Sequence[str]
    never: Sequence[str]


@dataclass(frozen=True, slots=True)
class Changes:
    """A recorded run beside the judging of its replies by today's checks."""

    then: RunInfo
    now: RunInfo
    comparison: Comparison
    left_out: LeftOut
