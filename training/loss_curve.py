"""The loss over the steps of a training, as an SVG file that stands by itself: light or dark as its reader's screen is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from markupsafe import Markup

from evals.checks.answers import shorten
from evals.report.chart_axes import MOST, Axis, across, linear_axis, tick_label, upright
from evals.report.chart_svg import (
    DESCRIPTION_LIMIT,
    LINE,
    WIDTH,
    element,
    hover,
    label,
    marker,
    note,
    text_width,
)

# More steps than marks fit beside each other are a line only.
MARKS = 40
# Fewer steps would have halves of steps below the axis.
LEAST_STEPS = 5
EDGE, GAP, PLOT = 8, 14, 170
NAMES = ("training", "held-out")
TITLE = "Loss over the steps of the training"
_STYLE = (
    ".gg-chart .gg-paper { fill: var(--gg-paper); } .gg-chart .gg-curve { fill: none; stroke: currentColor; "
)
_STYLE += "stroke-width: 1.5; stroke-linejoin: round; }"


@dataclass(frozen=True, slots=True)
class LossPoint:
    """The mean loss a token, in nats, after a step: of the examples trained there, or of those that were held out."""

    step: int
    loss: float
    held_out: bool


def loss_svg(points: Sequence[LossPoint]) -> str:
    """The whole file. A loss that is no number breaks its line and is told below it; no points at all are told as well."""
    shown = [point for point in points if _drawable(point)]
    curves = [sorted((p for p in points if p.held_out is held_out), key=_step) for held_out in (False, True)]
    left_out = sorted({point.step for point in points if not _drawable(point)})
    drawn: list[Markup] = []
    end = 0.0
    told = []
    if shown:
        drawn, end = _plot(curves, shown)
    elif not points:
        told.append("No loss was recorded.")
    if left_out:
        told.append(f"Left out, where the loss was no number: {_steps(left_out)}.")
    for words in told:
        lines, end = note(end, words)
        drawn += lines
    described = " ".join([*(_described(k, curve) for k, curve in enumerate(curves) if curve), *told])
    height = math.ceil(end) + 2 * EDGE
    charts = resources.files("evals.report").joinpath("charts.css").read_text(encoding="utf-8")
    return str(
        element(
            "svg",
            element("title", TITLE),
            element("desc", shorten(described, DESCRIPTION_LIMIT)),
            element("style", Markup(charts + _STYLE)),  # noqa: S704 (both are this program's own)
            element("rect", x=-EDGE, y=-EDGE, width=WIDTH + 2 * EDGE, height=height, class_="paper"),
            *drawn,
            xmlns="http://www.w3.org/2000/svg",
            class_="chart loss",
            viewBox=f"{-EDGE} {-EDGE} {WIDTH + 2 * EDGE} {height}",
            role="img",
        )
    )


def _plot(curves: list[list[LossPoint]], shown: list[LossPoint]) -> tuple[list[Markup], float]:
    """Legend, axes and both curves, and where they end."""
    top = GAP + LINE * sum(any(map(_drawable, curve)) for curve in curves)
    bottom = top + PLOT
    y = linear_axis([point.loss for point in shown], bottom, top)
    left = max(text_width(tick_label(tick)) for tick in y.ticks) + 6
    last = max(point.step for point in shown)
    x = linear_axis([0, max(last, LEAST_STEPS)], left, WIDTH - 8, least=0)
    drawn = [*upright(y, left, WIDTH), *across(x, top, bottom, "step")]
    row = 0
    for k, curve in enumerate(curves):
        if any(map(_drawable, curve)):
            drawn += _legend(k, curve, row)
            row += 1
            drawn += _curve(k, curve, x, y)
    return drawn, bottom + 2 * LINE + 4


def _legend(k: int, curve: list[LossPoint], row: int) -> list[Markup]:
    good = [point for point in curve if _drawable(point)]
    lowest = min(good, key=lambda point: point.loss)
    words = f"{NAMES[k]} loss: last {tick_label(_short(good[-1].loss))}"
    if lowest.loss < good[-1].loss:
        words += f", lowest {tick_label(_short(lowest.loss))} at step {tick_label(lowest.step)}"
    base = row * LINE + 12
    line = element("polyline", points=f"0,{base - 4} 16,{base - 4}", class_=f"curve m{k}")
    return [line, marker(k, 8, base - 4, size=3.5), label(24, base, words, WIDTH - 24)]


def _curve(k: int, curve: list[LossPoint], x: Axis, y: Axis) -> list[Markup]:
    drawn = []
    stretch: list[LossPoint] = []
    alone: list[LossPoint] = []
    # The end closes the last stretch, as a loss that is no number closes those before.
    for point in [*curve, None]:
        if point is not None and _drawable(point):
            stretch.append(point)
            continue
        if len(stretch) == 1:
            alone += stretch
        elif stretch:
            corners = " ".join(f"{x.at(one.step):.1f},{y.at(one.loss):.1f}" for one in stretch)
            drawn.append(element("polyline", points=corners, class_=f"curve m{k}"))
        stretch = []
    good = [point for point in curve if _drawable(point)]
    for point in good if len(good) <= MARKS else alone:
        words = hover(f"{NAMES[k]}, step {point.step}: {point.loss:.4g}")
        drawn.append(marker(k, x.at(point.step), y.at(point.loss), words, size=2.5))
    return drawn


def _described(k: int, curve: list[LossPoint]) -> str:
    good = [point for point in curve if _drawable(point)]
    if not good:
        return ""
    lowest = min(good, key=lambda point: point.loss)
    return (
        f"{NAMES[k].capitalize()} loss: {good[0].loss:.4g} at step {good[0].step}, {good[-1].loss:.4g} at step "
        f"{good[-1].step}, lowest {lowest.loss:.4g} at step {lowest.step}."
    )


def _drawable(point: LossPoint) -> bool:
    return math.isfinite(point.loss) and abs(point.loss) <= MOST


def _step(point: LossPoint) -> int:
    return point.step


def _short(loss: float) -> float:
    return float(f"{loss:.4g}")


def _steps(steps: list[int]) -> str:
    """`step 3`, `steps 3, 4 and 9 more`."""
    most = 5
    named = ", ".join(map(str, steps[:most]))
    more = f" and {len(steps) - most} more" if len(steps) > most else ""
    return f"{'step' if len(steps) == 1 else 'steps'} {named}{more}"
