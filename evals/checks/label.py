"""`label`: the reply names one of a fixed set of classes, and it is the right one."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from evals.checks.answers import shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed
from evals.checks.patterns import Budget, PatternTimeout, group_problem, out_of_time

# In more places no answer names its label.
MAX_PLACES = 100


class LabelExpect(Strict):
    """What a case expects."""

    label: str | None = Field(default=None, description="the right one of the check's labels")


class Label(Check):
    """Single-label classification: value is 1 for the right label and 0 for anything else.

    The whole reply, without outer white space, is the label; with `pattern`, what its group finds. A pattern
    that finds several places must find the same label in each: a reply that names two has not decided.
    Labels are compared letter by letter (with `ignore_case`, after case folding): no synonyms, no stemming,
    no full stop after the label unless the pattern lets it stand.
    Figures over many cases, such as macro F1, are made from `expected` and what was extracted.
    """

    Expect = LabelExpect

    kind: Literal["label"]
    labels: list[str] = Field(min_length=2, description="all classes, also those that no case expects")
    pattern: str | None = Field(
        default=None, description="where the label stands: its one group; the whole reply if left out"
    )
    ignore_case: bool = False
    timeout_s: float = Field(default=1.0, gt=0, le=60, description="seconds for the pattern")

    @field_validator("labels")
    @classmethod
    def _labels_can_be_answered(cls, labels: list[str]) -> list[str]:
        if bad := [label for label in labels if not label or label != label.strip()]:
            raise ValueError(f"the label {bad[0]!r} is empty or has white space around it")
        return labels

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        plain = [self._plain(label) for label in self.labels]
        twice = [label for label in self.labels if plain.count(self._plain(label)) > 1]
        if twice:
            raise ValueError(f"the label {twice[0]!r} stands twice in labels")
        if self.pattern is not None and (problem := group_problem(self.pattern)):
            raise ValueError(f"bad pattern {self.pattern!r}: {problem}")
        return self

    def applies(self, expect: LabelExpect) -> bool:
        return expect.label is not None

    def problems(self, expect: LabelExpect) -> list[str]:
        if expect.label is None or expect.label in self.labels:
            return []
        return [f"the label {expect.label!r} is none of {', '.join(map(repr, self.labels))}"]

    def expected(self, expect: LabelExpect) -> dict[str, Any]:
        return {"label": expect.label, "of": self.labels}

    def judge(self, expect: LabelExpect, answer: Answer) -> CheckResult:
        try:
            found = self._found(answer.text)
        except PatternTimeout as error:
            return out_of_time(error)
        if not found:
            reason = f"nothing found where the label should stand ({shorten(self.pattern or '', 40)})"
            return failed("not a label", reason, extracted={"label": None})
        if len(found) > MAX_PLACES:
            return failed(
                "not a label", f"stands in more than {MAX_PLACES} places", extracted={"label": None}
            )
        found = list(dict.fromkeys(found))
        if len(found) > 1:
            reason = f"names several: {', '.join(shorten(one, 30) for one in found[:4])}"
            return failed("not a label", reason, extracted={"label": None})
        got = found[0]
        if got not in self.labels:
            reason = f"{shorten(got, 40)!r} is no label; known: {', '.join(self.labels)}"
            return failed("not a label", reason, extracted={"label": None, "said": shorten(got)})
        if got != expect.label:
            reason = f"says {got!r}, expected {expect.label!r}"
            return failed("wrong label", reason, extracted={"label": got})
        return passed({"label": got}, f"says {got!r}")

    def _found(self, text: str) -> list[str]:
        """What stands where the label should, place by place, spelt as in `labels` where it is one."""
        places = [text]
        if self.pattern is not None:
            places = Budget(self.timeout_s).picked(self.pattern, text, MAX_PLACES + 1)
        spelling = {self._plain(label): label for label in self.labels}
        texts = (place.strip() for place in places)
        return [spelling.get(self._plain(one), one) for one in texts]

    def _plain(self, text: str) -> str:
        return text.casefold() if self.ignore_case else text
