"""Quality against what it costs, in seconds or in bytes: which models nothing else beats on both."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from evals.report.chart_axes import Axis, across, linear_axis, positive_axis, upright
from evals.report.chart_labels import Label, Place, beside, placed
from evals.report.chart_quality import Quality, qualities
from evals.report.chart_svg import (
    FONT,
    WIDTH,
    element,
    finite,
    hover,
    label,
    marker,
    note,
    numbered,
    svg,
    text_width,
)
from evals.report.latency import short
from evals.report.page import ModelColumn, Page

LEFT, RIGHT, TOP, BOTTOM = 36, WIDTH - 8, 24, 244
MARK = 5.0
# Marks at the ends of an axis stay off its numbers.
INSET = 8

Against = Literal["latency", "size"]


@dataclass(frozen=True, slots=True)
class _Point:
    index: int
    name: str
    cost: float
    quality: Quality
    best: bool = False


def pareto(page: Page, against: Against) -> Markup | None:
    """Quality of each model against its latency or its size; None where fewer than two models have both.

    The stepped line is the frontier: the best quality to be had at that cost or below. Raises `ValueError` for a
    figure that is NaN or infinite, and for a negative cost.
    """
    basis, points = _points(page.models, against)
    if len(points) < 2:
        return None
    x = positive_axis([point.cost for point in points], LEFT + INSET, RIGHT - INSET)
    rates = [rate for point in points for rate in (point.quality.rate, *(point.quality.interval or ()))]
    has_interval = any(point.quality.interval for point in points)
    # Nothing but the whole scale tells how close rates without intervals are.
    ends = [] if has_interval else [0, 100]
    y = linear_axis([*ends, *(100 * rate for rate in rates)], BOTTOM, TOP, least=0, most=100)
    places = [(x.at(point.cost), y.at(100 * point.quality.rate)) for point in points]
    corners = _corners([point for point in points if point.best], x, y)
    are_named, labels = _labels(points, places, corners)
    head = f"% of {basis}{', with 95% interval' if has_interval else ''}"
    names: list[Markup] = []
    below: list[Markup] = []
    end = float(BOTTOM + 54)
    if text_width(head) > WIDTH:
        below, end = note(end, f"* {head}.")
        head = "% of cases passed*"
    if not are_named:
        names, end = numbered([p.name for p in points], end + 6, [p.index + 1 for p in points])
    title = "seconds a reply" if against == "latency" else "size in GB"
    drawn = [
        *upright(y, LEFT, RIGHT),
        *across(x, TOP, BOTTOM, title),
        label(0, 12, head, WIDTH, class_="soft"),
        label(0, BOTTOM + 49, "line: the best to be had at that cost or less", WIDTH, class_="soft"),
        *below,
        element("polyline", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in corners), class_="frontier"),
        *(_whisker(point, x, y) for point in points if point.quality.interval),
        *(_leader(one, place) for one, place in zip(labels, places, strict=True) if one.leader),
        *(_mark(point, place, against) for point, place in zip(points, places, strict=True)),
        *(
            element("text", one.words, x=one.x, y=one.y, class_="ink halo", text_anchor=one.anchor)
            for one in labels
        ),
        *names,
    ]
    frontier = "; ".join(f"{p.name}: {_cost(p.cost, against)}, {p.quality.words}" for p in points if p.best)
    return svg("pareto", f"Quality against {against}", f"Beaten by no other on both: {frontier}", end, *drawn)


def _points(models: Sequence[ModelColumn], against: Against) -> tuple[str, list[_Point]]:
    costs = [
        (k, model, model.latency_s if against == "latency" else model.size_bytes)
        for k, model in enumerate(models)
    ]
    known = [(k, model, cost) for k, model, cost in costs if cost is not None]
    basis, figures = qualities([model.overall for _, model, _ in known])
    scale = 1 if against == "latency" else 1e9
    points = []
    for (k, model, cost), figure in zip(known, figures, strict=True):
        if finite(cost, f"the {against} of {model.label}") < 0:
            raise ValueError(f"the {against} of {model.label} is {cost}, which no chart can show")
        if figure is not None:
            points.append(_Point(k, model.label, cost / scale, figure))
    return basis, [_judged(point, points) for point in points]


def _judged(point: _Point, points: Sequence[_Point]) -> _Point:
    mine = (point.cost, -point.quality.rate)
    beaten = any(
        other.cost <= mine[0] and -other.quality.rate <= mine[1] and (other.cost, -other.quality.rate) != mine
        for other in points
    )
    return _Point(point.index, point.name, point.cost, point.quality, best=not beaten)


def _corners(best: Sequence[_Point], x: Axis, y: Axis) -> list[Place]:
    """The frontier: level from each best point to the next one's cost, up to it, and at the end on to the right, since
    at more cost one can have as much."""
    corners: list[Place] = []
    for point in sorted(best, key=lambda one: one.cost):
        place = x.at(point.cost), y.at(100 * point.quality.rate)
        corners += [(place[0], corners[-1][1]), place] if corners else [place]
    return [*corners, (RIGHT, corners[-1][1])]


def _labels(
    points: Sequence[_Point], places: Sequence[Place], corners: Sequence[Place]
) -> tuple[bool, list[Label]]:
    """Whether the models are named at their marks, and the labels: else numbers, which need less room."""
    lines = [
        (min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
        for a, b in itertools.pairwise(corners)
    ]
    names, numbers = [point.name for point in points], [str(point.index + 1) for point in points]
    for words, obstacles, rings in ((names, lines, 2), (names, [], 2), (numbers, lines, 2), (numbers, [], 6)):
        if found := placed(words, places, obstacles, (LEFT, TOP - 8, WIDTH, BOTTOM), rings):
            return words is names, found
    return False, beside(numbers, places)


def _whisker(point: _Point, x: Axis, y: Axis) -> Markup:
    low, high = point.quality.interval or (point.quality.rate, point.quality.rate)
    place = x.at(point.cost)
    return element("line", x1=place, x2=place, y1=y.at(100 * low), y2=y.at(100 * high), class_="whisker")


def _mark(point: _Point, place: Place, against: Against) -> Markup:
    tip = hover(point.name, point.quality.words, _cost(point.cost, against))
    return marker(point.index, *place, tip, size=MARK, filled=point.best)


def _cost(cost: float, against: Against) -> str:
    return f"{short(cost)} {'s a reply' if against == 'latency' else 'GB'}"


def _leader(one: Label, place: Place) -> Markup:
    return element("line", x1=place[0], y1=place[1], x2=one.x, y2=one.y - FONT / 3, class_="leader")
