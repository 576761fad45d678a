"""`keywords`: words or phrases that an answer must, may or must not contain."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from evals.checks.answers import plain
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed


class KeywordsExpect(Strict):
    """What a case adds."""

    keywords: list[str] = Field(default=[], description="must all be there, beside the check's all_of")


class Keywords(Check):
    """Substrings after Unicode NFKC, folded case (unless `ignore_case: false`) and white space.

    value = share of (all_of, one for any_of, each of none_of) that holds.
    """

    Expect = KeywordsExpect

    kind: Literal["keywords"]
    all_of: list[str] = []
    any_of: list[str] = []
    none_of: list[str] = []
    ignore_case: bool = True

    @model_validator(mode="after")
    def _no_empty_keyword(self) -> Self:
        if any(not word.strip() for word in [*self.all_of, *self.any_of, *self.none_of]):
            raise ValueError("an empty keyword is found in every answer")
        return self

    def applies(self, expect: KeywordsExpect) -> bool:
        return bool(self.all_of or self.any_of or self.none_of or expect.keywords)

    def problems(self, expect: KeywordsExpect) -> list[str]:
        empty = any(not word.strip() for word in expect.keywords)
        return ["an empty keyword is found in every answer"] if empty else []

    def judge(self, expect: KeywordsExpect, answer: Answer) -> CheckResult:
        text = self._plain(answer.text)
        wanted = [*self.all_of, *expect.keywords]
        missing = [word for word in wanted if self._plain(word) not in text]
        chosen = [word for word in self.any_of if self._plain(word) in text]
        unwanted = [word for word in self.none_of if self._plain(word) in text]
        no_choice = bool(self.any_of) and not chosen
        total = len(wanted) + bool(self.any_of) + len(self.none_of)
        value = (total - len(missing) - no_choice - len(unwanted)) / total
        found = {"found": [word for word in wanted if word not in missing] + chosen, "unwanted": unwanted}
        if unwanted:
            reason = f"contains {', '.join(map(repr, unwanted))}"
            return failed("unwanted keyword", reason, extracted=found, value=value)
        if missing or no_choice:
            lacks = [*map(repr, missing)]
            if no_choice:
                lacks.append("any of " + ", ".join(map(repr, self.any_of)))
            return failed("missing keyword", "lacks " + " and ".join(lacks), extracted=found, value=value)
        return passed(found, "all keywords as wanted", value=value)

    def _plain(self, text: str) -> str:
        text = plain(text)
        return text.casefold() if self.ignore_case else text
