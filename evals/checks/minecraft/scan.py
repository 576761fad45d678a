"""Split command text where its brackets and quotes allow it: one pass, any text, no backtracking.

Minecraft separates words by spaces, except inside `[...]`, `{...}` and quoted strings. A quote opens a
string at the start of a word or inside brackets; elsewhere (`it's`) it is a letter.
"""

from __future__ import annotations

BLANKS = " \t"
QUOTES = "\"'"
CLOSING = {"[": "]", "{": "}"}

# Deeper nesting is refused, not followed: mecha and the readers here descend once per bracket.
MAX_DEPTH = 24


def word_end(text: str, start: int) -> int | None:
    """Where the word at `start` ends (exclusive); None if a bracket or quote in it never closes."""
    return _cut(text, start, BLANKS, inside=False)


def words(text: str) -> list[str] | None:
    """All words of a command; None if brackets or quotes do not match."""
    found = []
    position = skip_blanks(text, 0)
    while position < len(text):
        end = word_end(text, position)
        if end is None:
            return None
        found.append(text[position:end])
        position = skip_blanks(text, end)
    return found


def split(text: str, separator: str) -> list[str] | None:
    """The parts of what stands inside brackets, unstripped; None if brackets or quotes do not match."""
    parts = []
    start = 0
    while True:
        end = _cut(text, start, separator, inside=True)
        if end is None:
            return None
        parts.append(text[start:end])
        if end == len(text):
            return parts
        start = end + 1


def quoted_end(text: str, start: int) -> int | None:
    """Where the string that opens at `start` ends (exclusive); None if it does not."""
    position = start + 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == text[start]:
            return position + 1
        position += 1
    return None


def bracket_end(text: str, start: int) -> int | None:
    """Where the bracket that opens at `start` closes (exclusive); None if it does not."""
    depth = 0
    position = start
    while position < len(text):
        if text[position] in QUOTES:
            end = quoted_end(text, position)
            if end is None:
                return None
            position = end
            continue
        depth += (text[position] in "[{") - (text[position] in "]}")
        position += 1
        if depth == 0:
            return position
    return None


def skip_blanks(text: str, start: int) -> int:
    """The first position from `start` on that holds no blank."""
    while start < len(text) and text[start] in BLANKS:
        start += 1
    return start


def _cut(text: str, start: int, separators: str, *, inside: bool) -> int | None:
    """The first separator from `start` on that no bracket or string holds, or the text's end."""
    open_brackets: list[str] = []
    position = start
    while position < len(text):
        char = text[position]
        if char in QUOTES and (inside or open_brackets or position == start):
            end = quoted_end(text, position)
            if end is None:
                return None
            position = end
            continue
        if char in CLOSING:
            open_brackets.append(CLOSING[char])
            if len(open_brackets) > MAX_DEPTH:
                return None
        elif char in "]}":
            if not open_brackets or open_brackets.pop() != char:
                return None
        elif char in separators and not open_brackets:
            return position
        position += 1
    return None if open_brackets else position
