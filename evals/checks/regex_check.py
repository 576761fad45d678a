"""`regex`: named patterns that must, or must not, be found; scored as k of n."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from evals.checks.answers import shorten
from evals.checks.base import Answer, Check, CheckOutcome, CheckResult, Strict, failed, passed
from evals.checks.patterns import PatternTimeout, pattern_problem, search


class RegexCheck(Check):
    """All of `all_of` (or `at_least` of them) are found, and none of `none_of`.

    value = (patterns of `all_of` found + patterns of `none_of` not found) / all patterns.
    Patterns are searched anywhere in the reply; write `(?s)`, `(?m)`, `(?i)` where they are meant.
    """

    kind: Literal["regex"]
    all_of: dict[str, str] = Field(default={}, description="name -> pattern that must be found")
    none_of: dict[str, str] = Field(default={}, description="name -> pattern that must not be found")
    at_least: int | None = Field(
        default=None, ge=1, description="how many of all_of are enough; all of them if left out"
    )
    timeout_s: float = Field(default=1.0, gt=0, le=60, description="seconds per pattern")

    @model_validator(mode="after")
    def _patterns_mean_something(self) -> Self:
        if not self.all_of and not self.none_of:
            raise ValueError("needs a pattern in all_of or none_of: without one it cannot fail")
        for part in ("all_of", "none_of"):
            for name, pattern in getattr(self, part).items():
                if problem := pattern_problem(pattern):
                    raise ValueError(f"{part}.{name}: bad pattern {pattern!r}: {problem}")
        if self.at_least is not None and self.at_least > len(self.all_of):
            raise ValueError(f"at_least is {self.at_least} but all_of has {len(self.all_of)} patterns")
        return self

    def judge(self, expect: Strict, answer: Answer) -> CheckResult:
        found: dict[str, str | None] = {}
        for name, pattern in {**self.all_of, **self.none_of}.items():
            try:
                match = search(pattern, answer.text, self.timeout_s)
            except PatternTimeout as error:
                reason = f"pattern '{name}' {shorten(pattern, 40)}: {error}; it backtracks on this reply"
                return CheckResult(CheckOutcome.ERROR, 0.0, None, reason, "pattern ran out of time")
            found[name] = shorten(match) if match is not None else None
        missing = [name for name in self.all_of if found[name] is None]
        unwanted = [name for name in self.none_of if found[name] is not None]
        total = len(self.all_of) + len(self.none_of)
        value = (total - len(missing) - len(unwanted)) / total
        needed = len(self.all_of) if self.at_least is None else self.at_least
        got = len(self.all_of) - len(missing)
        if unwanted:
            what = f" ({found[unwanted[0]]})" if found[unwanted[0]] else ""
            reason = f"found what must not be there: {', '.join(unwanted)}{what}"
            return failed("unwanted pattern", reason, extracted=found, value=value)
        if got < needed:
            reason = (
                f"{got} of {len(self.all_of)} patterns found, {needed} needed; missing: {', '.join(missing)}"
            )
            return failed("missing pattern", reason, extracted=found, value=value)
        return passed(found, f"{got} of {len(self.all_of)} patterns found", value=value)

    # A name in both lists would hide one of the two results.
    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if both := self.all_of.keys() & self.none_of.keys():
            raise ValueError(f"the name {min(both)!r} stands in all_of and in none_of")
        return self
