"""`token_f1`: a short answer against accepted ones, by exact match or token F1 as in SQuAD.

Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 6.1: both texts
are normalised (lower case, no punctuation, no articles a/an/the, single spaces) and compared as bags of tokens,
F1 = 2 · common / (tokens of the reply + tokens of the answer); the best of the accepted answers counts.

Beyond ASCII this goes further than SQuAD's script: NFKC and case folding in place of lower case, and all Unicode
punctuation, not only ASCII's. Not covered: word order, synonyms, numbers in other spellings, articles of other
languages, and languages written without spaces, where a whole sentence is one token. Unlike SQuAD's script, this
keeps what makes another figure: a point, slash or colon between digits, and a minus sign. Commas go: 1,222 is 1222.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from typing import Literal, Self

from pydantic import Field, model_validator

from evals.checks.answers import folded, shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed

# Without these signs 1.5 is 15, -40 is 40 and 12:30 is 1230.
_FIGURE_SIGN = re.compile(r"(?<=\d)[./:](?=\d)|(?<!\w)[-−](?=\d)")
_KEPT = {".": "\ue000", "/": "\ue001", ":": "\ue002", "-": "\ue003"}
_NO_KEPT = {ord(char): None for char in _KEPT.values()}
_SIGNS = {ord(char): sign for sign, char in _KEPT.items()}
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


class TokenF1Expect(Strict):
    """What a case expects."""

    answers: list[str] = Field(default=[], description="accepted answers; the best match counts")


def normal_tokens(text: str) -> list[str]:
    """The tokens of a text after SQuAD's normalisation."""
    # Something private, which no text has, stands for such a sign while punctuation is taken out.
    marked = _FIGURE_SIGN.sub(lambda sign: _KEPT.get(sign[0], _KEPT["-"]), folded(text).translate(_NO_KEPT))
    punctuation = {ord(char): None for char in set(marked) if _is_punctuation(char)}
    return _ARTICLES.sub(" ", marked.translate(punctuation)).translate(_SIGNS).split()


def _is_punctuation(char: str) -> bool:
    # ASCII's list also holds what Unicode calls symbols: $ + < = > ^ ` | ~
    return char in string.punctuation or unicodedata.category(char).startswith("P")


def token_f1(reply: list[str], answer: list[str]) -> float:
    """F1 of two bags of tokens; 0 where one of them is empty."""
    common = (Counter(reply) & Counter(answer)).total()
    return 2 * common / (len(reply) + len(answer)) if common else 0.0


class TokenF1(Check):
    """value is 1 or 0 with `exact: true`, and the F1 with `min_f1`, the least F1 that passes.

    With `contains: true` it is 1 where an accepted answer stands in the reply, all its tokens in a row: that tells what a
    model knows, however it says it, and also passes a reply that names several. Set an exact check beside it.
    """

    Expect = TokenF1Expect

    kind: Literal["token_f1"]
    exact: bool = False
    contains: bool = False
    min_f1: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _has_one_bar(self) -> Self:
        if self.exact + self.contains + (self.min_f1 is not None) != 1:
            raise ValueError("needs one of 'exact: true', 'contains: true' and min_f1")
        return self

    def applies(self, expect: TokenF1Expect) -> bool:
        return bool(expect.answers)

    def problems(self, expect: TokenF1Expect) -> list[str]:
        empty = [answer for answer in expect.answers if not normal_tokens(answer)]
        return [f"of the answer {answer!r} normalisation leaves nothing" for answer in empty]

    def judge(self, expect: TokenF1Expect, answer: Answer) -> CheckResult:
        got = normal_tokens(answer.text)
        wanted = {accepted: normal_tokens(accepted) for accepted in expect.answers}
        f1s = {accepted: token_f1(got, tokens) for accepted, tokens in wanted.items()}
        nearest = max(f1s, key=lambda accepted: f1s[accepted])
        f1, exact = f1s[nearest], float(bool(got) and got in wanted.values())
        held = next((accepted for accepted, tokens in wanted.items() if _stands_in(tokens, got)), None)
        extracted = {"answer": shorten(" ".join(got[:40])), "nearest": shorten(nearest)}
        measures = {"exact": exact, "f1": f1}
        if self.contains:
            measures["contains"] = value = float(held is not None)
        else:
            value = exact if self.min_f1 is None else f1
        if value >= (1 if self.min_f1 is None else self.min_f1):
            said = "is" if exact else "contains" if self.contains else f"F1 {f1:.2f} with"
            return passed(extracted, f"{said} {shorten(held or nearest)!r}", value=value, **measures)
        bar = (
            "is not"
            if self.exact
            else "does not contain"
            if self.contains
            else f"F1 {f1:.2f} < {self.min_f1:g} with"
        )
        reason = f"{shorten(' '.join(got[:40]), 60)!r} {bar} {shorten(nearest)!r}"
        cause = "no word in common" if not f1 else "another answer"
        return failed(cause, reason, extracted=extracted, value=value, **measures)


def _stands_in(tokens: list[str], reply: list[str]) -> bool:
    """Whether the tokens stand in the reply in a row. Joined and padded, they are found in linear time."""
    return f" {' '.join(tokens)} " in f" {' '.join(reply)} "
