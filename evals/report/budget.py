"""How much of each text a page can hold: the longest are shortened first, all others stay whole. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

LEAST = 200
_ESCAPED = "<>&"


def size_in_page(text: str) -> int:
    """How many bytes a text takes as JSON inside HTML, where `<>&` are written as `\\uXXXX`."""
    written = json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return len(written) + 5 * sum(map(text.count, _ESCAPED))


def fair_limit(sizes: Iterable[int], budget: int) -> int | None:
    """The size beyond which texts are cut so that all fit the budget; None where they fit whole.

    The limit L solves Σ min(size, L) = budget: those below it give what they leave to the others. It is never below
    200, however many texts there are.
    """
    ordered = sorted(sizes)
    left = budget
    for index, size in enumerate(ordered):
        share = left // (len(ordered) - index)
        if size > share:
            return max(share, LEAST)
        left -= size
    return None


class Budget:
    """Cuts the texts of a page to what it can hold; equal texts are measured once."""

    def __init__(self, texts: Sequence[str], budget: int) -> None:
        self._sizes = {text: size_in_page(text) for text in set(texts)}
        self.limit = fair_limit((self._sizes[text] for text in texts), budget)

    def cut(self, text: str) -> tuple[str, int]:
        """The text or its beginning, and how many characters are left out."""
        if self.limit is None or self._sizes[text] <= self.limit:
            return text, 0
        kept = text[: self.limit * len(text) // self._sizes[text]]
        while (size := size_in_page(kept)) > self.limit:
            # What needs many bytes a character may stand at the beginning.
            kept = kept[: min(len(kept) - 1, len(kept) * self.limit // size)]
        return kept, len(text) - len(kept)
