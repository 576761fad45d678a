"""`quotes`: what a reply puts in quotation marks must stand in its input, word for word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Self

import regex
from pydantic import Field, model_validator

from evals.checks.answers import plain, shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed
from evals.checks.length import count_words
from evals.checks.markdown import LIMIT, without_front_matter
from evals.checks.patterns import Budget, PatternTimeout, out_of_time, pattern_problem
from evals.checks.scopes import MAX_PARTS, Each, Miss, parts_or_miss, verdict

SHOWN = 10

# The opening mark is in no quote: a text of nothing but opening marks is read once.
_QUOTED = r'(?|"([^"\n]*)"|“([^“”]*)”|«([^«»]*)»|„([^„“”]*)[“”])'
_MARKS = str.maketrans({
    **dict.fromkeys("‘’‚‛′`´", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
})


class QuotesExpect(Strict):
    """What a case expects: passages of its input; one of the quotes must be of one of them."""

    evidence: list[str] = []


class Quotes(Check):
    """Quotes against the prompt, after NFKC, with single spaces, plain quotation marks and dashes, case ignored.

    A quote is what stands in "…", “…”, «…» or „…“ (straight ones within one line; not in front matter), or
    the group of `pattern`; those of fewer than `min_words` words are not looked at. It is found where it stands in the
    prompt as whole words; one comma, full stop or such at its end may be the writer's own.
    value = quotes found / quotes. With `evidence`, one quote must hold one of the passages, or stand in it
    and have at least half of its words.

    Not covered: a quote of the whole input, which holds every passage (bound the words of the quote beside it);
    quotes with an ellipsis for what was left out, single quotation marks, and whether a
    quote supports what it is quoted for. The prompt's own instructions are part of what may be quoted.
    """

    Expect = QuotesExpect

    kind: Literal["quotes"]
    pattern: str | None = Field(default=None, description="its one group is the quote")
    at_least: int = Field(default=1, ge=1, description="quotes that are found; in each part")
    min_words: int = Field(default=1, ge=1)
    each: Each = "whole"
    timeout_s: float = Field(default=2.0, gt=0, le=60, description="seconds for the pattern")

    @model_validator(mode="after")
    def _pattern_has_one_group(self) -> Self:
        if self.pattern is not None:
            if problem := pattern_problem(self.pattern):
                raise ValueError(f"bad pattern {self.pattern!r}: {problem}")
            if (groups := regex.compile(self.pattern).groups) != 1:
                raise ValueError(f"pattern has {groups} groups; exactly one holds the quote")
        return self

    def problems(self, expect: QuotesExpect) -> list[str]:
        empty = any(not count_words(passage) for passage in expect.evidence)
        return ["evidence without a word is found in every quote"] if empty else []

    def judge(self, expect: QuotesExpect, answer: Answer) -> CheckResult:
        if len(answer.text) > LIMIT:
            return failed("too long", f"{len(answer.text)} characters; at most {LIMIT} are looked at")
        parts = parts_or_miss(answer.text, self.each)
        if isinstance(parts, CheckResult):
            return parts
        source = _folded(answer.asked)
        budget = Budget(self.timeout_s)
        found: list[str] = []
        absent: list[str] = []
        misses: list[Miss] = []
        try:
            for part in parts:
                quotes = list(self._quotes(part.text, budget))
                if len(quotes) + len(found) + len(absent) > MAX_PARTS:
                    return failed("too long", f"more than {MAX_PARTS} quotes")
                there = [quote for quote in quotes if _stands_in(quote, source)]
                missing = [quote for quote in quotes if quote not in there]
                misses += [
                    ("quote not in input", f"{part.place}'{shorten(quote)}' is not in the input")
                    for quote in missing
                ]
                if len(there) < self.at_least:
                    what = f"{part.place}{len(there)} quote(s) of the input, at least {self.at_least} wanted"
                    misses.append(("no quote" if not quotes else "too few quotes", what))
                found += there
                absent += missing
        except PatternTimeout as error:
            return out_of_time(error)
        if expect.evidence and not any(
            _is_of(quote, passage) for quote in found for passage in expect.evidence
        ):
            misses.append(("other evidence", "none of the quotes is of the passage that was wanted"))
        total = len(found) + len(absent)
        extracted: dict[str, Any] = {
            "found": [shorten(quote) for quote in found[:SHOWN]],
            "not_found": [shorten(quote) for quote in absent[:SHOWN]],
        }
        value = len(found) / total if total else 0.0
        return verdict(misses, extracted, value, f"{len(found)} quote(s), all in the input")

    def _quotes(self, text: str, budget: Budget) -> Iterator[str]:
        if self.pattern is None:
            text = "\n".join(without_front_matter(text))
        for match in budget.find_all(self.pattern or _QUOTED, text):
            quote = match[1] or ""
            if count_words(quote) >= self.min_words:
                yield quote


def _folded(text: str) -> str:
    # Marks first: NFKC makes other characters of some of them. Folded, a text may compose anew.
    return plain(plain(text.translate(_MARKS)).casefold())


def _stands_in(quote: str, source: str) -> bool:
    """Whether a quote stands in the folded source, not within a word."""
    folded = _folded(quote)
    return any(_as_words(one, source) for one in (folded, folded.rstrip(" .,;:!?…")))


def _as_words(text: str, source: str) -> bool:
    start = source.find(text)
    while start >= 0:
        end = start + len(text)
        before = start == 0 or not (source[start - 1].isalnum() and text[0].isalnum())
        after = end == len(source) or not (source[end].isalnum() and text[-1].isalnum())
        if before and after:
            return True
        start = source.find(text, start + 1)
    return False


def _is_of(quote: str, passage: str) -> bool:
    one, other = _folded(quote).rstrip(" .,;:!?"), _folded(passage).rstrip(" .,;:!?")
    return other in one or (one in other and 2 * count_words(one) >= count_words(other))
