"""Where a check looks: the whole reply, or each of its sections, notes or lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evals.checks.answers import shorten
from evals.checks.base import CheckResult, failed, passed
from evals.checks.markdown import LIMIT, TooLong, lines_of, notes, read_front_matter, read_markdown

Each = Literal["whole", "h1", "h2", "h3", "h4", "note", "line"]

# What is amiss: its cause, and in words.
Miss = tuple[str, str]

# More parts than any answer of a few thousand tokens has: what looks at each of them stays bounded.
MAX_PARTS = 2_000

_NAMES = {"note": "note with front matter", "line": "line"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a reply; `title` is '' where it has none, `line` (from 1) where it starts."""

    title: str
    text: str
    line: int
    each: Each = "whole"

    @property
    def place(self) -> str:
        """The part in words, to stand before what is said of it; '' for the whole."""
        title = f"'{shorten(self.title, 40)}' " if self.title else ""
        return "" if self.each == "whole" else f"{title}(line {self.line}): "


def parts_of(text: str, each: Each) -> list[Part]:
    """The parts that `each` names, in order; raises `TooLong` where there is too much to take apart.

    `h1` to `h4`: from a heading of exactly that level to the next of this or a higher one. `note`: see
    `markdown.notes`. `line`: every line that is not blank. Parts other than the whole have `\\n` for new lines.
    """
    if each == "whole":
        return [Part("", text, 1)]
    if len(text) > LIMIT:
        raise TooLong(f"{len(text)} characters; at most {LIMIT} are taken apart")
    lines = lines_of(text)
    if each == "line":
        parts = [Part("", line, number, each) for number, line in enumerate(lines, 1) if line.strip()]
    elif each == "note":
        found = notes(text)
        _bounded(len(found), each)
        parts = [
            Part(_title(note.front), f"---\n{note.front}\n---\n{note.body}", note.line, each)
            for note in found
        ]
    else:
        level = int(each[1:])
        outline = [heading for heading in read_markdown(text).headings if heading.level <= level]
        ends = [heading.line - 1 for heading in outline[1:]] + [len(lines)]
        parts = [
            Part(heading.title, "\n".join(lines[heading.line - 1 : end]), heading.line, each)
            for heading, end in zip(outline, ends, strict=False)
            if heading.level == level
        ]
    _bounded(len(parts), each)
    return parts


def parts_or_miss(text: str, each: Each) -> list[Part] | CheckResult:
    """The parts, at least one; or the miss that a check returns where there is none, or too much."""
    try:
        parts = parts_of(text, each)
    except TooLong as error:
        return failed("too long", str(error))
    if not parts:
        return failed(f"no {each}", f"no {name_of(each)} to look at")
    return parts


def name_of(each: Each) -> str:
    """What one part is called in reasons."""
    return _NAMES.get(each, f"{each} section")


def verdict(misses: Sequence[Miss], extracted: Any, value: float, as_wanted: str) -> CheckResult:
    """A pass where nothing is amiss; else a miss with the first one's cause and the first three in words."""
    if not misses:
        return passed(extracted, as_wanted, value=value)
    more = f"; and {len(misses) - 3} more" if len(misses) > 3 else ""
    reason = "; ".join(what for _, what in misses[:3]) + more
    return failed(misses[0][0], reason, extracted=extracted, value=value)


def _bounded(count: int, each: Each) -> None:
    if count > MAX_PARTS:
        raise TooLong(f"{count} parts ({name_of(each)}); at most {MAX_PARTS} are looked at")


def _title(front: str) -> str:
    title = read_front_matter(front)[0].get("title", "")
    return title if isinstance(title, str) else str(title) if isinstance(title, (int, float)) else ""
