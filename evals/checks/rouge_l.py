"""`rouge_l`: how much of a reference text stands in the reply in the same order.

ROUGE-L at the level of whole texts (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section
3.1): with L the longest common subsequence of tokens, recall = L / tokens of the reference, precision = L /
tokens of the reply, F1 = 2 · L / (both); beta is 1, as in the rouge-score package.

Tokens are runs of letters, marks and digits after NFKC and case folding, without stemming: for ASCII the same as
rouge-score's. Not covered: meaning, synonyms, ROUGE-Lsum (sentence by sentence), languages written without
spaces. A copy of the input scores well where the reference copies it too: set it beside other checks.
"""

from __future__ import annotations

from typing import Literal, Self

import regex
from pydantic import Field, model_validator
from rapidfuzz.distance import LCSseq

from evals.checks.answers import folded, shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed

_TOKEN = regex.compile(r"[\p{L}\p{M}\p{N}]+")


class RougeLExpect(Strict):
    """What a case expects."""

    references: list[str] = Field(default=[], description="texts to compare with; the best match counts")


def rouge_tokens(text: str) -> list[str]:
    """The tokens of a text, as ROUGE-L compares them."""
    return _TOKEN.findall(folded(text))


def rouge_l(reply: list[str], reference: list[str]) -> dict[str, float]:
    """Precision, recall and F1 of two lists of tokens; each 0 where nothing is common."""
    common = LCSseq.similarity(reply, reference)
    if not common:
        return {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    return {
        "precision": common / len(reply),
        "recall": common / len(reference),
        "f1": 2 * common / (len(reply) + len(reference)),
    }


class RougeL(Check):
    """One reference must reach every bar that is set; value is its lowest figure among those with a bar."""

    Expect = RougeLExpect

    kind: Literal["rouge_l"]
    min_f1: float | None = Field(default=None, gt=0, le=1)
    min_recall: float | None = Field(default=None, gt=0, le=1)
    min_precision: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _has_a_bar(self) -> Self:
        if not self._bars:
            raise ValueError("needs min_f1, min_recall or min_precision: without one it cannot fail")
        return self

    @property
    def _bars(self) -> dict[str, float]:
        bars = {"f1": self.min_f1, "recall": self.min_recall, "precision": self.min_precision}
        return {name: bar for name, bar in bars.items() if bar is not None}

    def applies(self, expect: RougeLExpect) -> bool:
        return bool(expect.references)

    def problems(self, expect: RougeLExpect) -> list[str]:
        empty = [reference for reference in expect.references if not rouge_tokens(reference)]
        return [f"the reference {shorten(reference, 40)!r} has no word" for reference in empty]

    def judge(self, expect: RougeLExpect, answer: Answer) -> CheckResult:
        reply = rouge_tokens(answer.text)
        figures = [rouge_l(reply, rouge_tokens(reference)) for reference in expect.references]
        best = max(figures, key=lambda one: (not self._low(one), self._value(one), one["f1"]))
        value, low = self._value(best), self._low(best)
        extracted = {"words": len(reply), "reference": figures.index(best)}
        if low:
            cause = "nothing in common" if not value else "too little in common"
            return failed(cause, "; ".join(low), extracted=extracted, value=value, **best)
        reason = ", ".join(f"{name} {best[name]:.2f}" for name in self._bars)
        return passed(extracted, reason, value=value, **best)

    def _value(self, figures: dict[str, float]) -> float:
        return min(figures[name] for name in self._bars)

    def _low(self, figures: dict[str, float]) -> list[str]:
        return [
            f"{name} {figures[name]:.2f} < {bar:g}" for name, bar in self._bars.items() if figures[name] < bar
        ]
