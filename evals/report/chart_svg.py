"""Elements of SVG as `Markup`: everything that goes in is escaped, and nothing comes out that a strict CSP forbids.

Lengths are units of a view box `WIDTH` wide; charts.css gives it its size, fonts and colours. Names are hostile text:
they are cut to the room they have, with control and bidirectional characters shown as escapes.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from markupsafe import Markup

from evals.checks.answers import shorten

WIDTH = 360
# The size of text in charts.css on a narrow screen; on a wide one it is smaller, so that what fits here fits there.
FONT = 12
LINE = 17
# How much wider bold letters are, at most.
BOLD = 1.15
HOVER_LIMIT = 400
DESCRIPTION_LIMIT = 2000

# Classes m0 to m6 of charts.css; with eight shapes, models 0 to 55 all look different.
COLOURS = 7
_RAY = 1.25
_SHAPES: tuple[tuple[tuple[float, float], ...], ...] = (
    (),  # a circle
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    ((0, -1.2), (1.15, 0.85), (-1.15, 0.85)),
    ((0, -_RAY), (_RAY, 0), (0, _RAY), (-_RAY, 0)),
    ((0, 1.2), (1.15, -0.85), (-1.15, -0.85)),
    tuple((1.1 * math.sin(math.tau * k / 5), -1.1 * math.cos(math.tau * k / 5)) for k in range(5)),
    tuple(
        ((1.4, 0.6)[k % 2] * math.sin(math.tau * k / 10), -(1.4, 0.6)[k % 2] * math.cos(math.tau * k / 10))
        for k in range(10)
    ),
    tuple((1.1 * math.sin(math.tau * k / 6), -1.1 * math.cos(math.tau * k / 6)) for k in range(6)),
)


def element(name: str, *inner: str, **attributes: str | float) -> Markup:
    """`<name …>inner</name>`. Inner text that is no `Markup` is escaped; `text_anchor` gives the attribute `text-anchor`,
    and `class_="ink strong"` the classes `gg-ink gg-strong`, which no other style sheet of the page touches."""
    pairs = (Markup(' {}="{}"').format(*_attribute(key, value)) for key, value in attributes.items())
    start = Markup("<{}").format(name) + Markup("").join(pairs)
    if not inner:
        return start + Markup("/>")
    return start + Markup(">") + Markup("").join(inner) + Markup("</{}>").format(name)


def _attribute(key: str, value: str | float) -> tuple[str, str]:
    if not isinstance(value, str):
        return key, f"{round(finite(value, 'a coordinate'), 1):g}"
    if key == "class_":
        return "class", " ".join(f"gg-{name}" for name in value.split())
    return key.replace("_", "-"), value


def svg(kind: str, title: str, description: str, height: float, *inner: str) -> Markup:
    """The whole chart, as an image with a name and a description for those who do not see it."""
    return element(
        "svg",
        element("title", title),
        element("desc", shorten(description, DESCRIPTION_LIMIT)),
        *inner,
        xmlns="http://www.w3.org/2000/svg",
        class_=f"chart {kind}",
        viewBox=f"0 0 {WIDTH} {math.ceil(height)}",
        role="img",
    )


def hover(*sentences: str) -> Markup:
    """A `<title>`, which browsers show over the mark that it is the first child of."""
    return element("title", "\n".join(shorten(one, HOVER_LIMIT) for one in sentences))


def label(
    x: float, y: float, words: str, room: float, *, class_: str = "ink", anchor: str = "start"
) -> Markup:
    """A line of text on the base line `y`, cut to `room`; the whole of it on hover where it was cut."""
    shown = fit(words, room / BOLD if "strong" in class_ else room)
    inner = [shown] if shown == words else [hover(words), shown]
    return element("text", *inner, x=x, y=y, class_=class_, text_anchor=anchor)


def fit(words: str, room: float) -> str:
    """The words on one line, cut so that they are at most about `room` wide."""
    clean = shorten(words, HOVER_LIMIT)
    if text_width(clean) <= room:
        return clean
    used = text_width("…")
    kept = 0
    for char in clean:
        used += _char_width(char)
        if used > room:
            break
        kept += 1
    return clean[:kept] + "…"


def text_width(words: str) -> float:
    """About how wide a line is in a sans-serif font, rather too wide than too narrow."""
    return sum(map(_char_width, words))


def _char_width(char: str) -> float:
    if unicodedata.east_asian_width(char) in "WF":
        em = 1.0
    elif char in "iIjlft.,:;'|![]() /-":
        em = 0.38
    elif char in "mwMW@%…—":
        em = 0.95
    else:
        em = 0.72 if char.isupper() else 0.6
    return em * FONT


def wrapped(words: str, room: float) -> list[str]:
    """The words as lines of at most `room`, broken at spaces; a longer word is cut."""
    lines: list[str] = []
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(fit(word, room))
    return lines


def note(y: float, words: str) -> tuple[list[Markup], float]:
    """A remark below a chart from `y` on, in as many lines as it takes, and where it ends."""
    lines = wrapped(words, WIDTH)
    drawn = [label(0, y + LINE * (k + 0.8), line, WIDTH, class_="soft") for k, line in enumerate(lines)]
    return drawn, y + LINE * len(lines)


def numbered(names: Sequence[str], y: float, numbers: Sequence[int] = ()) -> tuple[list[Markup], float]:
    """What `1`, `2` and so on (or the `numbers`) stand for, from `y` on, and where it ends: a line each, or two columns
    where the names are short."""
    columns = 2 if all(fit(name, WIDTH / 2 - 30) == name for name in names) else 1
    lines, width = math.ceil(len(names) / columns), WIDTH / columns
    drawn = []
    for k, (number, name) in enumerate(zip(numbers or range(1, len(names) + 1), names, strict=True)):
        left, base = k // lines * width, y + k % lines * LINE + FONT
        drawn.append(label(left + 18, base, str(number), 18, class_="ink strong", anchor="end"))
        drawn.append(label(left + 26, base, name, width - 30))
    return drawn, y + lines * LINE + 4


def marker(index: int, x: float, y: float, *inner: str, size: float = 4.5, filled: bool = True) -> Markup:
    """The mark of model number `index`: a colour and a shape, so that neither is needed alone."""
    class_ = f"m{index % COLOURS}" + ("" if filled else " hollow")
    return shape(index + index // (COLOURS * len(_SHAPES)), x, y, *inner, size=size, class_=class_)


def shape(index: int, x: float, y: float, *inner: str, size: float, class_: str) -> Markup:
    """Circle, square, triangle up, diamond, triangle down, pentagon, star, hexagon, and again."""
    points = _SHAPES[index % len(_SHAPES)]
    if not points:
        return element("circle", *inner, cx=x, cy=y, r=size, class_=f"mark {class_}")
    corners = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in points)
    return element("polygon", *inner, points=corners, class_=f"mark {class_}")


def finite(value: float, what: str) -> float:
    """The value; raises `ValueError` where it is NaN or infinite, which no chart can show."""
    if not math.isfinite(value):
        raise ValueError(f"{shorten(what)} is {value}, which no chart can show")
    return value


def fraction(value: float, what: str) -> float:
    """The value; raises `ValueError` where it is not from 0 to 1."""
    if not 0 <= finite(value, what) <= 1:
        raise ValueError(f"{shorten(what)} is {value}, which is no fraction from 0 to 1")
    return value


def percent(rate: float) -> str:
    """A rate as whole percent, without the sign; only all is 100, and only none is 0."""
    rounded = round(100 * rate)
    if rate > 0:
        rounded = max(rounded, 1)
    return str(min(rounded, 99) if rate < 1 else rounded)
