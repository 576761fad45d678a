"""`dates`: the dates in a reply are days of the calendar, in order, and where the case wants them."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import date
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from evals.checks.answers import all_at_path, read_date, read_json, shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed
from evals.checks.patterns import Budget, PatternTimeout, group_problem, out_of_time

ISO = r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])"
MAX_DATES = 1_000

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class WantedDates(Strict):
    """What holds for every date found; `exactly` says which they are."""

    not_before: str | None = Field(default=None, description="ISO day, itself allowed")
    not_after: str | None = Field(default=None, description="ISO day, itself allowed")
    exactly: list[str] | None = Field(default=None, min_length=1, description="these days, in any order")
    not_on: list[str] = Field(default=[], description="days that none may be")
    weekdays: list[int] | None = Field(
        default=None, description="1 Monday to 7 Sunday; all are on one of these"
    )


class DatesExpect(Strict):
    """What a case expects."""

    dates: WantedDates | None = None


class Dates(Check):
    """Every text found is a day of the calendar as `2026-03-01` (2026-02-30 is none), within the case's bounds.

    Found by `pattern` (its group, or the whole match), by the path `at` in a JSON reply (`*` is every item),
    or else wherever four, two and two digits stand with hyphens. `order` is that of the reply: `rising` allows no
    day twice. `exactly` compares as often as each day stands there, without order.

    value = right dates / dates found (or wanted, by `exactly` or `at_least`, if those are more); a step against
    the order makes the later date wrong. Not covered: other ways to write a day, times, time zones, and whether
    the words around a date ("next Friday") agree with it.
    """

    Expect = DatesExpect

    kind: Literal["dates"]
    pattern: str | None = Field(default=None, description="its group, or the whole match, is a date")
    at: str | None = Field(
        default=None, min_length=1, description="dotted path in a JSON reply; * is every item"
    )
    at_least: int = Field(default=1, ge=1, description="how many dates there must be")
    at_most: int | None = Field(default=None, ge=1, description="how many there may be")
    order: Literal["any", "rising", "not_falling"] = "any"
    timeout_s: float = Field(default=2.0, gt=0, le=60, description="seconds for the pattern")

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.pattern is not None and self.at is not None:
            raise ValueError("pattern and at both say where the dates stand: keep one")
        if self.pattern is not None and (problem := group_problem(self.pattern)):
            raise ValueError(f"bad pattern {self.pattern!r}: {problem}")
        if self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(f"at_most is {self.at_most}, below at_least, which is {self.at_least}")
        return self

    def problems(self, expect: DatesExpect) -> list[str]:
        wanted = expect.dates
        if wanted is None:
            return []
        bounds = [day for day in (wanted.not_before, wanted.not_after) if day is not None]
        days = [*bounds, *(wanted.exactly or []), *wanted.not_on]
        found = [f"{day!r} is no day of the calendar; write 2026-03-01" for day in days if not read_date(day)]
        if len(bounds) == 2 and bounds[0] > bounds[1]:
            found.append(f"not_before {bounds[0]} is after not_after {bounds[1]}")
        if wanted.weekdays is not None and not set() < set(wanted.weekdays) < set(range(1, 8)):
            found.append("weekdays are some of 1 (Monday) to 7 (Sunday), not none and not all")
        if not days and wanted.weekdays is None:
            found.append("dates says nothing about them")
        return found

    def judge(self, expect: DatesExpect, answer: Answer) -> CheckResult:
        texts = self._found(answer.text)
        if isinstance(texts, CheckResult):
            return texts
        shown = {"dates": [shorten(str(text), 40) for text in texts[:20]]}
        if len(texts) > MAX_DATES:
            return failed("too many dates", f"more than {MAX_DATES} dates", extracted=shown)
        if not texts:
            return failed("no date", "no date found", extracted=shown)
        days = [read_date(text.strip()) if isinstance(text, str) else None for text in texts]
        wanted = expect.dates or WantedDates()
        faults = [
            f"{shorten(str(text), 40)} is no day of the calendar" if day is None else _fault(day, wanted)
            for text, day in zip(texts, days, strict=True)
        ]
        for index, (one, other) in enumerate(itertools.pairwise(days), 1):
            if one and other and self._breaks_order(one, other):
                faults[index] = f"{other} stands after {one}"
        wrong = [fault for fault in faults if fault]
        total, right = len(texts), len(texts) - len(wrong)
        causes = ["wrong date"] if wrong else []
        if wanted.exactly is not None:
            missing, extra = _difference(
                wanted.exactly, [str(day) for day, fault in zip(days, faults, strict=True) if not fault]
            )
            right -= len(extra)
            total = max(total, len(wanted.exactly))
            wrong += [f"{day} is missing" for day in missing] + [f"{day} is not expected" for day in extra]
            causes += ["missing date"] * bool(missing) + ["unexpected date"] * bool(extra)
        if len(texts) < self.at_least:
            total = max(total, self.at_least)
            wrong.append(f"{len(texts)} dates, at least {self.at_least} wanted")
            causes.append("too few dates")
        if self.at_most is not None and len(texts) > self.at_most:
            right = min(right, self.at_most)
            wrong.append(f"{len(texts)} dates, at most {self.at_most} wanted")
            causes.append("too many dates")
        value = right / total
        if wrong:
            reason = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
            return failed(causes[0], reason, extracted=shown, value=value)
        return passed(shown, f"{len(texts)} dates, all right")

    def _found(self, text: str) -> list[Any] | CheckResult:
        """What should be dates, at most one more than are looked at; or the result that there is without any."""
        if self.at is not None:
            reading = read_json(text)
            if reading.problem:
                return failed(reading.cause, f"not JSON: {reading.problem}")
            return all_at_path(reading.value, self.at)[: MAX_DATES + 1]
        try:
            return list(Budget(self.timeout_s).picked(self.pattern or ISO, text, MAX_DATES + 1))
        except PatternTimeout as error:
            return out_of_time(error)

    def _breaks_order(self, one: date, other: date) -> bool:
        return (self.order == "rising" and other <= one) or (self.order == "not_falling" and other < one)


def _fault(day: date, wanted: WantedDates) -> str:
    # ISO days of four-digit years compare as texts do.
    iso = day.isoformat()
    if wanted.not_before is not None and iso < wanted.not_before:
        return f"{iso} is before {wanted.not_before}"
    if wanted.not_after is not None and iso > wanted.not_after:
        return f"{iso} is after {wanted.not_after}"
    if iso in wanted.not_on:
        return f"{iso} may not be used"
    if wanted.weekdays is not None and day.isoweekday() not in wanted.weekdays:
        return f"{iso} is a {_DAYS[day.weekday()]}"
    return ""


def _difference(wanted: list[str], got: list[str]) -> tuple[list[str], list[str]]:
    """What is missing and what is too much, each day as often as it is."""
    left, right = Counter(wanted), Counter(got)
    return sorted((left - right).elements()), sorted((right - left).elements())
