"""Forest plot: candidate minus baseline in each capability of each task, with its 95% interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from markupsafe import Markup

from evals.report.chart_axes import Axis, across, linear_axis
from evals.report.chart_svg import (
    FONT,
    LINE,
    WIDTH,
    element,
    finite,
    hover,
    label,
    note,
    shape,
    svg,
    text_width,
)
from evals.verdict import Difference, Requirement, Verdict

ROWS = 60
NAMES, INDENT = 150, 10
RIGHT = WIDTH - 44
ROW = 19
MARK = 4.5

Shown = Literal["shown", "open", "failed", "not asked"]
# The shape's number and class of each status, the gravest first.
STATUSES: dict[Shown, tuple[int, str]] = {
    "failed": (1, "failed"),
    "open": (3, "open hollow"),
    "shown": (0, "shown"),
    "not asked": (0, "unasked hollow"),
}


@dataclass(frozen=True, slots=True)
class _Row:
    difference: Difference
    asked: tuple[Requirement, ...]

    @property
    def status(self) -> Shown:
        """The gravest of all that is asked here."""
        return next((one for one in STATUSES if any(a.status == one for a in self.asked)), "not asked")

    @property
    def margins(self) -> list[float]:
        """How many points worse is allowed, in points below zero."""
        found = {a.bound for a in self.asked if a.kind == "non_inferior" and a.bound > 0}
        return sorted(-100 * finite(bound, "a margin") for bound in found)


def forest(verdict: Verdict) -> Markup | None:
    """Every paired difference in points, by task; None without any. Of more than `ROWS`, those that something is asked
    of, then the largest.

    Raises `ValueError` for a difference that is not from -1 to 1, and for a margin that is NaN or infinite.
    """
    rows = _rows(verdict)
    if not rows:
        return None
    ends = [100 * end for row in rows for end in _ends(row.difference)]
    margins = [margin for row in rows for margin in row.margins]
    names = min(NAMES, max(text_width(row.difference.capability) for row in rows) + 1)
    x = linear_axis([0, *ends, *margins], INDENT + names + 12, RIGHT, least=-100, most=100)
    drawn: list[Markup] = []
    y = 0.0
    for task, group in groupby(rows, key=lambda row: row.difference.task):
        drawn.append(label(0, y + FONT + 2, task, WIDTH, class_="ink strong halo"))
        y += LINE + 2
        for row in group:
            drawn += _drawn(row, x, y + ROW / 2, names)
            y += ROW
        y += 4
    zero = element("line", x1=x.at(0), x2=x.at(0), y1=0, y2=y, class_="zero")
    axis = across(x, 0, y, "points: candidate minus baseline")
    key, end = _key(rows, y + 38)
    left_out = len(verdict.differences) - len(rows)
    more, end = note(end, f"Not drawn: {left_out} more, in the table.") if left_out else ([], end)
    counts = ", ".join(f"{sum(row.status == status for row in rows)} {status}" for status in STATUSES)
    return svg(
        "forest",
        "Paired differences between candidate and baseline with 95% intervals",
        f"{len(rows)} differences: {counts}",
        end,
        *axis,
        zero,
        *drawn,
        *key,
        *more,
    )


def _rows(verdict: Verdict) -> list[_Row]:
    """In the order of the verdict, each task's together."""
    rows = [
        _Row(
            one,
            tuple(r for r in verdict.requirements if (r.task, r.capability) == (one.task, one.capability)),
        )
        for one in verdict.differences
    ]
    for row in rows:
        for end in _ends(row.difference):
            if abs(finite(end, f"a difference in {row.difference.task}")) > 1:
                raise ValueError(
                    f"a difference in {row.difference.task} is {end}, which is more than all cases"
                )
    if len(rows) > ROWS:
        kept = sorted(rows, key=lambda row: (not row.asked, -abs(row.difference.difference)))[:ROWS]
        rows = [row for row in rows if row in kept]
    order = list(dict.fromkeys(row.difference.task for row in rows))
    return sorted(rows, key=lambda row: order.index(row.difference.task))


def _ends(one: Difference) -> tuple[float, float, float]:
    return one.low, one.difference, one.high


def _drawn(row: _Row, x: Axis, y: float, names: float) -> list[Markup]:
    one = row.difference
    low, middle, high = (x.at(100 * end) for end in _ends(one))
    number, class_ = STATUSES[row.status]
    tip = hover(
        f"{one.task}, {one.capability}: {_points(one.difference)} points, "
        f"95% {_points(one.low)} to {_points(one.high)}; {one.cases} cases",
        *(requirement.sentence for requirement in row.asked),
    )
    return [
        label(INDENT, y + 4, one.capability, names),
        *(element("path", d=f"M{x.at(m) + 3:.1f},{y - 7:.1f}h-3v14h3", class_="margin") for m in row.margins),
        element(
            "g",
            tip,
            element("line", x1=low, x2=high, y1=y, y2=y, class_="interval"),
            shape(number, middle, y, size=MARK, class_=class_),
            class_=class_.split()[0],
        ),
        element("text", tip, _points(one.difference), x=WIDTH, y=y + 4, class_="ink", text_anchor="end"),
    ]


def _points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0.0:+.1f}".replace("+0.0", "0.0").replace("-", "−")


def _key(rows: Sequence[_Row], y: float) -> tuple[list[Markup], float]:
    """What the marks mean, of those that are there."""
    words: dict[Shown, str] = {
        "shown": "shown",
        "open": "open: too few cases",
        "failed": "failed",
        "not asked": "not asked",
    }
    used = {row.status for row in rows}
    drawn: list[Markup] = []
    x = 0.0
    for status, meaning in words.items():
        if status not in used:
            continue
        width = 14 + text_width(meaning) + 14
        if x and x + width - 14 > WIDTH:
            x, y = 0.0, y + LINE
        number, class_ = STATUSES[status]
        drawn.append(shape(number, x + 6, y + 8, size=MARK, class_=class_))
        drawn.append(label(x + 15, y + 12, meaning, WIDTH, class_="soft"))
        x += width
    y += LINE
    if any(row.margins for row in rows):
        drawn.append(element("path", d=f"M9,{y + 1:.1f}h-3v14h3", class_="margin"))
        drawn.append(label(15, y + 12, "the worst that the policy allows", WIDTH - 15, class_="soft"))
        y += LINE
    return drawn, y
