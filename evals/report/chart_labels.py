"""Labels beside marks: each where it touches no other mark, label or line, further out where it must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evals.report.chart_svg import FONT, fit, text_width

# Half of a mark and the gap beside it.
REACH = 7.0
# Longer names are not cut, since names of one family may differ at their ends: they are not placed at all.
ROOM = 140
# Right, left, above, below, then the corners.
_SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))

# Left, top, right, bottom.
Box = tuple[float, float, float, float]
Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """Text at `x` on the base line `y`, as `anchor` says. With a `leader` it is so far out that a line should lead."""

    words: str
    x: float
    y: float
    anchor: str
    leader: bool


def placed(
    names: Sequence[str], places: Sequence[Place], lines: Sequence[Box], bounds: Box, rings: int
) -> list[Label] | None:
    """A label for each mark, at most `rings` steps away; None where one is too long or finds no free place."""
    if any(fit(name, ROOM) != name for name in names):
        return None
    taken = [(x - REACH, y - REACH, x + REACH, y + REACH) for x, y in places] + list(lines)
    labels = []
    for name, place in zip(names, places, strict=True):
        free = (found for found in _around(name, place, rings) if _is_free(found[1], taken, bounds))
        label, box = next(free, (None, None))
        if label is None or box is None:
            return None
        taken.append(box)
        labels.append(label)
    return labels


def beside(numbers: Sequence[str], places: Sequence[Place]) -> list[Label]:
    """Each to the right of its mark, whatever it touches."""
    return [next(_around(number, place, 1))[0] for number, place in zip(numbers, places, strict=True)]


def _around(words: str, place: Place, rings: int) -> Iterator[tuple[Label, Box]]:
    """Where the words may stand, near places first, each with the room that it takes."""
    width, height = text_width(words), FONT + 3
    for ring in range(rings):
        gap = REACH + 1 + ring * height
        for dx, dy in _SIDES:
            left = place[0] + dx * (gap + width / 2) - width / 2
            top = place[1] + dy * (gap + height / 2) - height / 2
            anchor = {1: "start", 0: "middle", -1: "end"}[dx]
            x = left + (1 - dx) / 2 * width
            yield Label(words, x, top + height - 4, anchor, ring > 0), (left, top, left + width, top + height)


def _is_free(box: Box, taken: Sequence[Box], bounds: Box) -> bool:
    if box[0] < bounds[0] or box[1] < bounds[1] or box[2] > bounds[2] or box[3] > bounds[3]:
        return False
    return all(
        box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]
        for other in taken
    )
