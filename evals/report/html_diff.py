"""A unified diff as two columns, with the words that differ within paired lines. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import regex

# Comparing words takes the product of their numbers at worst; longer lines are shown as differing throughout.
WORDS_COMPARED = 400

_WORD = regex.compile(r"\w+|\s+|.", regex.DOTALL)

# Pieces of a line in order, each with whether it differs from the other side.
Line = tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A line before and after; None where one side has none. `hunk` rows say where the lines below them lie."""

    kind: Literal["same", "changed", "hunk"]
    before: Line | None
    after: Line | None


def side_by_side(diff: Iterable[str]) -> Iterator[Row]:
    """The rows of a unified diff; the two lines in front that name its sides are left out."""
    removed: list[str] = []
    added: list[str] = []
    in_hunk = False
    for line in diff:
        mark, text = line[:1], line[1:]
        if in_hunk and mark == "-":
            removed.append(text)
        elif in_hunk and mark == "+":
            added.append(text)
        else:
            yield from _paired(removed, added)
            removed, added = [], []
            if line.startswith("@@"):
                in_hunk = True
                yield Row("hunk", ((line, False),), None)
            elif in_hunk:
                yield Row("same", ((text, False),), ((text, False),))
    yield from _paired(removed, added)


def _paired(removed: list[str], added: list[str]) -> Iterator[Row]:
    for before, after in zip_longest(removed, added):
        if before is None or after is None:
            yield Row("changed", _whole(before), _whole(after))
        else:
            yield Row("changed", *_compared(before, after))


def _whole(text: str | None) -> Line | None:
    return None if text is None else ((text, True),)


def _compared(before: str, after: str) -> tuple[Line, Line]:
    old, new = _WORD.findall(before), _WORD.findall(after)
    if max(len(old), len(new)) > WORDS_COMPARED:
        return ((before, True),), ((after, True),)
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    left = [("".join(old[a:b]), tag != "equal") for tag, a, b, _, _ in blocks if a < b]
    right = [("".join(new[a:b]), tag != "equal") for tag, _, _, a, b in blocks if a < b]
    return tuple(left), tuple(right)
