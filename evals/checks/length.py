"""`length`: how many words, sentences and lines a reply, or each part of it, has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, Self

import regex
from pydantic import Field, model_validator

from evals.checks.base import Answer, Check, CheckResult, Strict, failed
from evals.checks.markdown import TooLong, body_lines, lines_of
from evals.checks.scopes import Each, Miss, parts_or_miss, verdict

SHOWN = 10

# Letters, marks and digits, with inner apostrophes, hyphens and joiners, and points between digits.
_WORD = regex.compile(
    r"[\p{L}\p{M}\p{N}]++(?:(?:['’\-\u2010\u2011\u200c\u200d]|(?<=\p{Nd})[.,](?=\p{Nd}))[\p{L}\p{M}\p{N}]++)*+"
)
# Ends that nothing but closing marks parts from white space; those of Chinese and Japanese need none.
# Only the first of a run of marks starts a search, so that a long run is read once.
_END = regex.compile(r"""(?<![.!?…])[.!?…]++["'”’“»)\]*_`]*+(?=\s|\Z)|[。！？]++""")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_LAST_TOKEN = regex.compile(r"(?:^|[^\p{L}\p{M}\p{N}.])([\p{L}\p{M}\p{N}.]+)$")
_ABBREVIATIONS = {"mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "cf", "fig", "al", "approx"}
_ABBREVIATIONS |= {"z.b", "d.h", "u.a", "bzw", "ca", "nr", "p.ex"}
_ABBREVIATION_SPAN = 12


class Bounds(Strict):
    """The least and the most of something that is counted."""

    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _can_fail(self) -> Self:
        if not self.min and self.max is None:
            raise ValueError("needs a min above 0 or a max: without one it cannot fail")
        if self.min is not None and self.max is not None and self.max < self.min:
            raise ValueError(f"min is {self.min} but max is {self.max}")
        return self

    def hold(self, count: int) -> bool:
        return (self.min or 0) <= count and (self.max is None or count <= self.max)

    @property
    def words(self) -> str:
        """The bounds in words."""
        if self.min == self.max:
            return f"exactly {self.min}"
        least = f"at least {self.min}" if self.min else ""
        most = "" if self.max is None else f"at most {self.max}"
        return " and ".join(filter(None, (least, most)))


class LengthBounds(Strict):
    """Bounds by what is counted."""

    words: Bounds | None = None
    sentences: Bounds | None = None
    lines: Bounds | None = None


class LengthExpect(Strict):
    """What a case expects: bounds that stand for all of the check's own."""

    length: LengthBounds | None = None


class Length(Check):
    """Counts against bounds; value = bounds that hold / all, over all parts.

    Word: letters, marks and digits in a row, with apostrophes and hyphens inside, and points or commas
    between digits (`don't`, `well-known`, `3.5`: one each; `snake_case`, `and/or`: two each).
    Sentence: what ends in . ! ? … and at most closing quotes, brackets or emphasis marks before white space
    or the end, or in 。！？; and what holds a word and is left at a blank line or the end. A full stop ends
    none after a capital letter that stands alone, after a list's number at the start of a line, and after
    Mr, Mrs, Ms, Dr, Prof, St, vs, e.g, i.e, cf, fig, al, approx, z.B, d.h, u.a, bzw, ca, nr, p.ex.
    Nor after "etc" or points inside ("5 p.m. and left") before a small letter. Line: one that is not blank.

    A part without a word fails even where only a `max` is set, unless `min: 0` says that it may be empty.
    `of: body` leaves out front matter (if it can be read), headings, and the marks of lists and quotes.

    Not covered: languages without spaces between words, where each run counts as one word.
    """

    Expect = LengthExpect

    kind: Literal["length"]
    words: Bounds | None = None
    sentences: Bounds | None = None
    lines: Bounds | None = None
    each: Each = "whole"
    of: Literal["all", "body"] = "all"

    def applies(self, expect: LengthExpect) -> bool:
        return bool(self._bounds(expect))

    def problems(self, expect: LengthExpect) -> list[str]:
        if expect.length is not None and not self._bounds(expect):
            return ["length needs words, sentences or lines: without one it cannot fail"]
        return []

    def judge(self, expect: LengthExpect, answer: Answer) -> CheckResult:
        bounds = self._bounds(expect)
        parts = parts_or_miss(answer.text, self.each)
        if isinstance(parts, CheckResult):
            return parts
        misses: list[Miss] = []
        shown: list[dict[str, Any]] = []
        for part in parts:
            try:
                text = part.text if self.of == "all" else "\n".join(body_lines(part.text))
            except TooLong as error:
                return failed("too long", str(error))
            if not _WORD.search(text) and not any(bound.min == 0 for bound in bounds.values()):
                misses.append(("no words", f"{part.place}there is no word to count"))
            counts = {name: COUNTERS[name](text) for name in bounds}
            shown.append(counts if self.each == "whole" else {"line": part.line, **counts})
            misses += [
                (f"number of {name}", f"{part.place}{counts[name]} {name}, {bound.words} wanted")
                for name, bound in bounds.items()
                if not bound.hold(counts[name])
            ]
        value = max(0.0, 1 - len(misses) / (len(bounds) * len(parts)))
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        as_wanted = told if self.each == "whole" else f"{len(parts)} parts"
        return verdict(
            misses, {"counts": shown[:SHOWN], "parts": len(parts)}, value, f"{as_wanted}, as wanted"
        )

    def _bounds(self, expect: LengthExpect) -> dict[str, Bounds]:
        given = self if expect.length is None else expect.length
        pairs = {"words": given.words, "sentences": given.sentences, "lines": given.lines}
        return {name: bound for name, bound in pairs.items() if bound is not None}


def count_words(text: str) -> int:
    """See `Length` for what a word is."""
    return sum(1 for _ in _WORD.finditer(text))


def count_sentences(text: str) -> int:
    """See `Length` for what a sentence is."""
    return sum(_sentences_in(paragraph) for paragraph in _BLANK_LINE.split("\n".join(lines_of(text))))


def count_lines(text: str) -> int:
    """Lines that are not blank."""
    return sum(bool(line.strip()) for line in lines_of(text))


COUNTERS = {"words": count_words, "sentences": count_sentences, "lines": count_lines}


def _sentences_in(paragraph: str) -> int:
    ends = list(_ends(paragraph))
    left = paragraph[ends[-1] :] if ends else paragraph
    return len(ends) + bool(_WORD.search(left))


def _ends(text: str) -> Iterator[int]:
    for match in _END.finditer(text):
        if not (match[0].rstrip("\"'”’“»)]*_`") == "." and _is_no_end(text, match.start())):
            yield match.end()


def _is_no_end(text: str, stop: int) -> bool:
    """Whether a full stop belongs to the word before it: an initial, a list's number or an abbreviation."""
    start = max(0, stop - _ABBREVIATION_SPAN)
    token = _LAST_TOKEN.search(text[start:stop])
    if not token:
        return False
    word = token[1]
    if word.isdecimal():
        return text[text.rfind("\n", 0, stop) + 1 : stop].strip(" \t>") == word
    if (len(word) == 1 and word.isupper()) or word.casefold() in _ABBREVIATIONS:
        return True
    return ("." in word or word.casefold() == "etc") and text[stop + 1 : stop + 3].strip()[:1].islower()
