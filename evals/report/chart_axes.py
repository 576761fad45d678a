"""Axes: where a value lies, and ticks at round numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evals.report.chart_svg import WIDTH, element, finite, label, text_width

# A range over which the largest is more than so many times the smallest is drawn in logarithms.
LOG_FROM = 10
# What is closer together, or closer to zero, is taken for equal: no numbers at ticks could tell it apart.
TINY = 1e-9
CLOSE = 1e-5
# No seconds and no gigabytes come near it.
MOST = 1e18
TICKS = 6
TICK_GAP = 10


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` at coordinate `start` to `high` at `end`. `ticks` are values within."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """The coordinate of a value."""
        if self.log:
            low = math.log(self.low)
            share = (math.log(value) - low) / (math.log(self.high) - low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def linear_axis(
    values: Sequence[float], start: float, end: float, *, least: float = -math.inf, most: float = math.inf
) -> Axis:
    """An axis that holds all values and ends at ticks, or at `least` and `most`, which no value can pass."""
    low, high = min(values), max(values)
    finite(high - low, "the range of an axis")
    if high - low <= max(TINY, CLOSE * max(abs(low), abs(high))):
        room = abs(low) / 10 if abs(low) > TINY else 1.0
        low, high = max(low - room, least), min(high + room, most)
    counts = range(TICKS, 0, -1)
    axes = [
        _linear_axis(low, high, start, end, _nice_step((high - low) / count), least, most) for count in counts
    ]
    # Only of a horizontal axis do the numbers stand beside each other.
    return next((axis for axis in axes if start > end or _fits(axis)), axes[-1])


def _linear_axis(
    low: float, high: float, start: float, end: float, step: float, least: float, most: float
) -> Axis:
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [float(f"{k * step:.10g}") for k in range(first, last + 1)]  # 12 * 0.05 is more than 0.6
    low, high = max(ticks[0], least), min(ticks[-1], most)
    return Axis(low, high, start, end, tuple(tick for tick in ticks if low <= tick <= high))


def _nice_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least so much."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def positive_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis of seconds or sizes: in logarithms where they lie far apart, else from 0 on.

    Raises `ValueError` for a value beyond `MOST`.
    """
    low, high = min(values), max(values)
    if high > MOST:
        raise ValueError(f"{high:g} is more than any chart can show")
    if low > TINY and high / low > LOG_FROM:
        return _log_axis(low, high, start, end)
    return linear_axis([0, high], start, end, least=0)


def _log_axis(low: float, high: float, start: float, end: float) -> Axis:
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    marks = [float(f"{factor}e{power}") for power in powers for factor in (1, 2, 5)]
    low = max(mark for mark in marks if mark <= low)
    high = min(mark for mark in marks if mark >= high)
    within = [mark for mark in marks if low <= mark <= high]
    powers_of_ten = [mark for mark in within if f"{mark:e}".startswith("1.000000e")]
    sparser = (powers_of_ten[::every] for every in range(1, len(powers_of_ten) + 1))
    axes = [Axis(low, high, start, end, tuple(ticks), log=True) for ticks in (within, *sparser)]
    return next((axis for axis in axes if _fits(axis)), axes[-1])


def _fits(axis: Axis) -> bool:
    """Whether the numbers below the axis have room beside each other."""
    spans = [(axis.at(tick), text_width(tick_label(tick)) / 2) for tick in axis.ticks]
    return all(right - left > a + b + TICK_GAP for (left, a), (right, b) in itertools.pairwise(spans))


def across(axis: Axis, top: float, bottom: float, title: str) -> list[Markup]:
    """A horizontal axis below a plot from `top` to `bottom`: grid lines, numbers that do not touch, and its title."""
    drawn = []
    for tick in axis.ticks:
        x, half = axis.at(tick), text_width(tick_label(tick)) / 2
        drawn.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        inside = min(max(x, half), WIDTH - half)
        drawn.append(label(inside, bottom + 14, tick_label(tick), WIDTH, class_="soft", anchor="middle"))
    title = f"{title} (log scale)" if axis.log else title
    middle = (axis.start + axis.end) / 2
    room = 2 * min(middle, WIDTH - middle)
    return [*drawn, label(middle, bottom + 31, title, room, class_="soft", anchor="middle")]


def upright(axis: Axis, left: float, right: float) -> list[Markup]:
    """A vertical axis left of a plot: grid lines and numbers."""
    drawn = []
    for tick in axis.ticks:
        y = axis.at(tick)
        drawn.append(element("line", x1=left, x2=right, y1=y, y2=y, class_="grid"))
        drawn.append(label(left - 5, y + 4, tick_label(tick), left - 5, class_="soft", anchor="end"))
    return drawn


def tick_label(value: float) -> str:
    """`0.05`, `2`, `1,000`, `−5`."""
    return f"{value:,.6g}".replace("-", "−")
