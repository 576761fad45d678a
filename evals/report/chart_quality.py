"""One figure for how good a model is, the same kind of figure for all that stand side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.report.chart_svg import finite, fraction, percent
from evals.report.page import WHOLE, Cell

WHOLE_CASES = "cases passed"


@dataclass(frozen=True, slots=True)
class Quality:
    """A rate, with its 95% interval where it is one of cases, and how it came about."""

    rate: float
    interval: tuple[float, float] | None
    words: str


def qualities(columns: Sequence[Mapping[str, Cell]]) -> tuple[str, list[Quality | None]]:
    """What the figures are ("cases passed"), and one for each column, None where there is none.

    Rates over whole cases, if each column that has anything has them. If one lacks them, comparing it with the others'
    would be unfair: then it is the mean rate of the capabilities that all have.
    """
    known = [cells for cells in columns if cells]
    if known and all(WHOLE in cells for cells in known):
        return WHOLE_CASES, [_whole(cells[WHOLE]) if cells else None for cells in columns]
    shared = sorted(set.intersection(*(set(cells) - {WHOLE} for cells in known))) if known else []
    if not shared:
        return "", [None for _ in columns]
    basis = "cases passed, " + (f"mean of {', '.join(shared)}" if len(shared) > 1 else f"{shared[0]} only")
    return basis, [_mean(cells, shared) if cells else None for cells in columns]


def _whole(cell: Cell) -> Quality:
    rate = fraction(cell.rate, "a pass rate")
    low, high = (fraction(end, "the end of an interval") for end in (cell.low, cell.high))
    passes = finite(cell.passes, "a count of passes")
    words = f"{percent(rate)}% ({passes:,.6g} of {cell.n:,} cases), 95% {percent(low)} to {percent(high)}%"
    return Quality(rate, (low, high), words)


def _mean(cells: Mapping[str, Cell], shared: Sequence[str]) -> Quality:
    rates = [fraction(cells[name].rate, f"the pass rate of {name}") for name in shared]
    rate = sum(rates) / len(rates)
    parts = ", ".join(f"{name} {percent(one)}%" for name, one in zip(shared, rates, strict=True))
    return Quality(rate, None, f"{percent(rate)}%: {parts}")
