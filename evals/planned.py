"""What a comparison of the selected cases can show, told before anything is asked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evals.cases import GoldenTask
from evals.policy import Asked, Policy, requirements
from evals.power import cases_for_margin, smallest_drop
from evals.runs import task_facts


@dataclass(frozen=True, slots=True)
class Planned:
    """One task. Drops and margins are fractions.

    `units` are independent: cases of one cluster are one. `drop` is the smallest that so many show at 80% power, at
    best; None where there are too few. Of the margins asked, `margin` is the one that lacks most units, and `needed`
    the fewest that can show it, when none of them ends otherwise; None where no margin is asked.
    """

    task: str
    cases: int
    units: int
    drop: float | None
    margin: float | None = None
    needed: int | None = None


def planned(tasks: Sequence[GoldenTask], policy: Policy) -> list[Planned]:
    """A row a task, of the cases that it holds: those selected. A capability may be judged in some of them only."""
    judged = {task.name: list(_units(task)) for task in tasks}
    asked = requirements(policy, judged, task_facts(tasks)).asked
    return [_row(task, [one for one in asked if one.task == task.name]) for task in tasks]


def _row(task: GoldenTask, asked: Sequence[Asked]) -> Planned:
    units = _units(task)
    margins = [
        (cases_for_margin(one.bound), units[one.capability], one.bound)
        for one in asked
        if one.kind == "non_inferior"
    ]
    if not margins:
        count = min(units.values(), default=0)
        return Planned(task.name, len(task.cases), count, smallest_drop(count))
    needed, count, margin = max(margins, key=lambda found: found[0] - found[1])
    return Planned(task.name, len(task.cases), count, smallest_drop(count), margin, needed)


def _units(task: GoldenTask) -> dict[str, int]:
    """Independent units by capability, in the order in which the cases name them."""
    clusters: dict[str, set[str]] = {}
    for name, unit in _judged(task):
        clusters.setdefault(name, set()).add(unit)
    return {name: len(units) for name, units in clusters.items()}


def _judged(task: GoldenTask) -> Iterator[tuple[str, str]]:
    """Capability and unit of every check; a case without a cluster is its own."""
    for case in task.cases:
        for check in case.checks:
            yield check.capability.value, f"cluster {case.cluster}" if case.cluster else f"case {case.id}"
