"""What kinds of reply each model gave, and how long they took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from evals.report.chart_axes import Axis, across, positive_axis
from evals.report.chart_svg import (
    COLOURS,
    FONT,
    LINE,
    WIDTH,
    element,
    finite,
    fit,
    hover,
    label,
    marker,
    svg,
    text_width,
)
from evals.report.latency import short
from evals.report.page import ModelColumn, Page

# Kinds of reply in the order of the stack; the place of each is the number of its pattern and of its class, k0 to k7.
KINDS = ("answered", "refused", "truncated", "thinking_only", "think_leak", "empty", "infrastructure")
OTHER = len(KINDS)
BAR = 16
EDGE = 6
# Fewer values than this have no quartiles worth drawing: each is a dot.
BOX_FROM = 5


def failure_bars(page: Page) -> Markup | None:
    """A bar a model, of the kinds of its replies as shares of them all, and the counts below. None without replies.

    Raises `ValueError` for a negative count.
    """
    models = [(k, model) for k, model in enumerate(page.models) if any(model.outcomes.values())]
    if not models:
        return None
    drawn: list[Markup] = [_patterns()]
    y = 0.0
    for _, model in models:
        bar, y = _bar(model, y)
        drawn += bar
        y += 12
    told = "; ".join(
        f"{m.label}: {', '.join(f'{n} {_plain(kind)}' for kind, n in _stack(m.outcomes))}" for _, m in models
    )
    return svg("failures", "Kinds of reply of each model", told, y - 6, *drawn)


def _stack(outcomes: Mapping[str, int]) -> list[tuple[str, int]]:
    """The kinds that occur, in their order, unknown ones last."""
    for kind, count in outcomes.items():
        if count < 0:
            raise ValueError(f"{count} replies {kind} cannot be")
    order = [*KINDS, *sorted(set(outcomes) - set(KINDS))]
    return [(kind, outcomes[kind]) for kind in order if outcomes.get(kind, 0)]


def _plain(kind: str) -> str:
    return {"infrastructure": "server fault", "think_leak": "leaked thinking"}.get(
        kind, kind.replace("_", " ")
    )


def _number(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else OTHER


def _bar(model: ModelColumn, y: float) -> tuple[list[Markup], float]:
    stack = _stack(model.outcomes)
    total = sum(count for _, count in stack)
    replies = f"{total:,} {'reply' if total == 1 else 'replies'}"
    right = text_width(replies)
    drawn = [
        label(0, y + FONT, model.label, WIDTH - right - 10, class_="ink strong"),
        label(WIDTH, y + FONT, replies, right, class_="soft", anchor="end"),
    ]
    y += LINE
    x = 0.0
    for kind, count in stack:
        width = WIDTH * count / total
        share = f"{100 * count / total:.3g}%"
        tip = hover(f"{model.label}: {count:,} of {total:,} {_plain(kind)} ({share})")
        drawn.append(_piece(_number(kind), x, y, width, BAR, tip))
        x += width
    y += BAR + 3
    x = 0.0
    for kind, count in stack:
        words = fit(f"{count:,} {_plain(kind)}", WIDTH - 16)
        width = 15 + text_width(words)
        if x and x + width > WIDTH:
            x, y = 0.0, y + LINE
        drawn.append(_piece(_number(kind), x, y + 3, 11, 11))
        drawn.append(label(x + 15, y + FONT + 1, words, WIDTH, class_="soft"))
        x += width + 12
    return drawn, y + LINE


def _piece(number: int, x: float, y: float, width: float, height: float, *tip: str) -> Markup:
    """A rectangle in the colour of a kind under its pattern."""
    box = {"x": x, "y": y, "width": width, "height": height}
    colour = element("rect", class_="fill", **box)
    over = [] if number == 0 else [element("rect", fill=f"url(#gg-kind-{number})", **box)]
    return element("g", *tip, colour, *over, class_=f"k{number}")


def _patterns() -> Markup:
    """Strokes by which the kinds differ without colour."""
    strokes = {
        1: "M0,3H6",
        2: "M-1,1L1,-1M0,6L6,0M5,7L7,5",
        3: "M3,0V6",
        4: "M-1,5L1,7M0,0L6,6M5,-1L7,1",
        5: "M0,3H6M3,0V6",
        6: "M0,0L6,6M0,6L6,0",
        7: "M3,2V4",
    }
    made = [
        element(
            "pattern",
            element("path", d=strokes[number], class_="stroke"),
            id=f"gg-kind-{number}",
            width=6,
            height=6,
            patternUnits="userSpaceOnUse",
        )
        for number in strokes
    ]
    return element("defs", *made)


def latency_plot(page: Page) -> Markup | None:
    """Per model how its whole seconds are distributed; None where nothing was timed.

    A box from the first to the third quartile with the median in it, a line from the 5th to the 95th percentile, a ring
    at the slowest; of fewer than `BOX_FROM` replies each as a dot. Raises `ValueError` for NaN, infinity or less than 0.
    """
    timed = [(k, model, sorted(model.latencies)) for k, model in enumerate(page.models) if model.latencies]
    if not timed:
        return None
    for _, model, seconds in timed:
        if any(finite(value, f"a latency of {model.label}") < 0 for value in seconds):
            raise ValueError(f"a latency of {model.label} is negative, which no chart can show")
    x = positive_axis([value for _, _, seconds in timed for value in seconds], EDGE, WIDTH - EDGE)
    drawn: list[Markup] = []
    y = 0.0
    told = []
    for k, model, seconds in timed:
        drawn += _row(k, model.label, seconds, x, y)
        told.append(f"{model.label}: {_figures(seconds)}")
        y += LINE + 26
    axis = across(x, 0, y, "seconds a reply")
    key = [label(0, y + 50, "box: middle half; line: 5% to 95%; ring: slowest", WIDTH, class_="soft")]
    description = "; ".join(told)
    return svg("latency", "Seconds a reply of each model", description, y + 56, *axis, *drawn, *key)


def _figures(seconds: Sequence[float]) -> str:
    middle, late = quantile(seconds, 0.5), quantile(seconds, 0.95)
    return f"median {short(middle)} s, 95% within {short(late)} s, slowest {short(seconds[-1])} s, n {len(seconds)}"


def _row(index: int, name: str, seconds: Sequence[float], x: Axis, y: float) -> list[Markup]:
    told = f"{short(quantile(seconds, 0.5))} s"
    room = text_width(told)
    drawn = [
        marker(index, 6, y + 9),
        label(16, y + FONT + 1, name, WIDTH - 16 - room - 10, class_="ink strong halo"),
        label(WIDTH, y + FONT + 1, told, room, class_="ink halo", anchor="end"),
    ]
    tip = hover(name, _figures(seconds))
    middle = y + LINE + 11
    if len(seconds) < BOX_FROM:
        dots = [element("circle", cx=x.at(value), cy=middle, r=3, class_="mark") for value in seconds]
        return [*drawn, element("g", tip, *dots, class_=f"m{index % COLOURS}")]
    early, first, median, third, late = (x.at(quantile(seconds, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95))
    box = [
        element("line", x1=early, x2=late, y1=middle, y2=middle, class_="interval"),
        element("rect", x=first, y=middle - 6, width=third - first, height=12, rx=1.5, class_="box"),
        element("line", x1=median, x2=median, y1=middle - 7, y2=middle + 7, class_="median"),
        element("circle", cx=x.at(seconds[-1]), cy=middle, r=3, class_="mark hollow"),
    ]
    return [*drawn, element("g", tip, *box, class_=f"m{index % COLOURS}")]


def quantile(ordered: Sequence[float], q: float) -> float:
    """The value below which a share `q` lies, linear between neighbours (type 7 of Hyndman and Fan, 1996)."""
    place = q * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
