"""`dates`: days of the calendar, in order, and where the case wants them."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, CheckResult
from evals.checks.dates import MAX_DATES, Dates, DatesExpect

AT: dict[str, Any] = {"at": "visits.*.on"}
TWO = "first 2026-03-02, then 2026-03-05."

# check, the case's dates, reply -> outcome, value, cause, a part of the reason
JUDGED: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str, str, float, str, str]] = {
    "any days": ({}, None, TWO, "pass", 1.0, "", "2 dates, all right"),
    "none": ({}, None, "next Friday, 3/5/2026", "fail", 0.0, "no date", "no date found"),
    "a leap day": ({}, None, "2028-02-29", "pass", 1.0, "", ""),
    "no leap day": ({}, None, "2026-02-29 2026-03-01", "fail", 0.5, "wrong date", "2026-02-29 is no day"),
    "a month too many": ({}, None, "2026-13-01", "fail", 0.0, "wrong date", "2026-13-01 is no day of the calendar"),
    "the year nought": ({}, None, "0000-01-01", "fail", 0.0, "wrong date", "is no day of the calendar"),
    "inside a time": ({}, None, "2026-03-02T10:00", "pass", 1.0, "", "1 dates"),
    "inside longer digits": ({}, None, "12026-03-02 2026-03-021", "fail", 0.0, "no date", ""),
    "digits of another script": ({}, None, "٢٠٢٦-٠٣-٠٢", "fail", 0.0, "no date", ""),
    "too few": ({"at_least": 4}, None, TWO, "fail", 0.5, "too few dates", "2 dates, at least 4 wanted"),
    "too many": ({"at_most": 1}, None, TWO, "fail", 0.5, "too many dates", "2 dates, at most 1 wanted"),
    "as many as may be": ({"at_least": 2, "at_most": 2}, None, TWO, "pass", 1.0, "", ""),
    "rising": ({"order": "rising"}, None, TWO, "pass", 1.0, "", ""),
    "a day twice does not rise": (
        {"order": "rising"}, None, "2026-03-02 2026-03-02", "fail", 0.5, "wrong date", "2026-03-02 stands after 2026-03-02",
    ),
    "a day twice does not fall": ({"order": "not_falling"}, None, "2026-03-02 2026-03-02", "pass", 1.0, "", ""),
    "falling": (
        {"order": "not_falling"}, None, "2026-03-02 2026-03-01 2026-03-01", "fail", 2 / 3, "wrong date",
        "2026-03-01 stands after 2026-03-02",
    ),
    "no day between two days": (
        {"order": "rising"}, None, "2026-03-02 2026-02-30 2026-03-01", "fail", 2 / 3, "wrong date", "2026-02-30 is no day",
    ),
    "a pattern's group": (
        {"pattern": r"due: (\S+)"}, None, "on 2026-02-30, due: 2026-03-02", "pass", 1.0, "", "",
    ),
    "what a pattern finds must be a date": (
        {"pattern": r"due: (\S+)"}, None, "due: 2026-03-02\ndue: Friday", "fail", 0.5, "wrong date", "Friday is no day",
    ),
    "another form": ({"pattern": r"due: (.+)"}, None, "due: 20260302", "fail", 0.0, "wrong date", "20260302 is no day"),
    "a path": (AT, None, '{"visits": [{"on": "2026-03-02"}, {"on": " 2026-03-03 "}]}', "pass", 1.0, "", "2 dates"),
    "a path to a number": (AT, None, '{"visits": [{"on": 20260302}]}', "fail", 0.0, "wrong date", "20260302 is no day"),
    "a path to a time": (
        AT, None, '{"visits": [{"on": "2026-03-02T10:00"}]}', "fail", 0.0, "wrong date", "2026-03-02T10:00 is no day",
    ),
    "a path to a list": ({"at": "visits"}, None, '{"visits": ["2026-03-02"]}', "fail", 0.0, "wrong date", "is no day"),
    "a path that leads nowhere": (AT, None, '{"visits": []}', "fail", 0.0, "no date", "no date found"),
    "no JSON": (AT, None, TWO, "fail", 0.0, "not JSON", "not JSON: "),
    "within bounds": ({}, {"not_before": "2026-03-02", "not_after": "2026-03-05"}, TWO, "pass", 1.0, "", ""),
    "before": ({}, {"not_before": "2026-03-03"}, TWO, "fail", 0.5, "wrong date", "2026-03-02 is before 2026-03-03"),
    "after": ({}, {"not_after": "2026-03-04"}, TWO, "fail", 0.5, "wrong date", "2026-03-05 is after 2026-03-04"),
    "a day that may not be": ({}, {"not_on": ["2026-03-05"]}, TWO, "fail", 0.5, "wrong date", "2026-03-05 may not be used"),
    "on weekdays": ({}, {"weekdays": [1, 4]}, TWO, "pass", 1.0, "", ""),
    "on another weekday": ({}, {"weekdays": [1, 2, 3]}, TWO, "fail", 0.5, "wrong date", "2026-03-05 is a Thursday"),
    "exactly": ({}, {"exactly": ["2026-03-05", "2026-03-02"]}, TWO, "pass", 1.0, "", ""),
    "exactly, one is missing": (
        {}, {"exactly": ["2026-03-02", "2026-03-05", "2026-03-06"]}, TWO, "fail", 2 / 3, "missing date",
        "2026-03-06 is missing",
    ),
    "exactly, one too many": (
        {}, {"exactly": ["2026-03-02"]}, TWO, "fail", 0.5, "unexpected date", "2026-03-05 is not expected",
    ),
    "exactly, another": (
        {}, {"exactly": ["2026-03-02", "2026-03-06"]}, TWO, "fail", 0.5, "missing date",
        "2026-03-06 is missing; 2026-03-05 is not expected",
    ),
    "exactly, as often": (
        {}, {"exactly": ["2026-03-02"]}, "2026-03-02 2026-03-02", "fail", 0.5, "unexpected date", "2026-03-02 is not expected",
    ),
    "exactly, and no day": (
        {}, {"exactly": ["2026-03-02"]}, "2026-03-02 2026-02-30", "fail", 0.5, "wrong date", "2026-02-30 is no day",
    ),
}  # fmt: skip

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a pattern and a path": ({"pattern": ".", "at": "a"}, "pattern and at both say where"),
    "a bad pattern": ({"pattern": "("}, "bad pattern '(': "),
    "two groups": ({"pattern": "(a)(b)"}, "has 2 groups"),
    "an empty path": ({"at": ""}, "at"),
    "none at least": ({"at_least": 0}, "at_least"),
    "none at most": ({"at_most": 0}, "at_most"),
    "more at least than at most": ({"at_least": 3, "at_most": 2}, "at_most is 2, below at_least, which is 3"),
    "an unknown order": ({"order": "falling"}, "order"),
}

PROBLEMS: dict[str, tuple[dict[str, Any], str]] = {
    "no day": ({"not_before": "2026-02-30"}, "'2026-02-30' is no day of the calendar"),
    "another form": ({"not_after": "1 March 2026"}, "'1 March 2026' is no day of the calendar"),
    "no day among the days": ({"exactly": ["2026-03-01", "2026-3-2"]}, "'2026-3-2' is no day"),
    "no day that may not be": ({"not_on": [""]}, "'' is no day"),
    "bounds the wrong way round": (
        {"not_before": "2026-03-02", "not_after": "2026-03-01"},
        "not_before 2026-03-02 is after not_after 2026-03-01",
    ),
    "no weekday": ({"weekdays": [0]}, "weekdays are some of 1 (Monday) to 7 (Sunday)"),
    "no weekdays": ({"weekdays": []}, "not none and not all"),
    "all weekdays": ({"weekdays": [1, 2, 3, 4, 5, 6, 7]}, "not none and not all"),
    "nothing": ({}, "dates says nothing about them"),
}


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-").replace(",", "") for name in table]


def check(fields: dict[str, Any]) -> Dates:
    return Dates.model_validate({"kind": "dates", "capability": "format", **fields})


def expecting(dates: dict[str, Any] | None) -> DatesExpect:
    return DatesExpect.model_validate({} if dates is None else {"dates": dates})


def judged(fields: dict[str, Any], text: str, dates: dict[str, Any] | None = None) -> CheckResult:
    made, expect = check(fields), expecting(dates)
    assert made.problems(expect) == []
    assert made.applies(expect)
    return made.judge(expect, Answer(text))


@pytest.mark.parametrize(
    ("fields", "dates", "text", "outcome", "value", "cause", "says"), JUDGED.values(), ids=ids(JUDGED)
)
def test_a_reply_is_judged_by_its_dates(
    fields: dict[str, Any],
    dates: dict[str, Any] | None,
    text: str,
    outcome: str,
    value: float,
    cause: str,
    says: str,
) -> None:
    result = judged(fields, text, dates)

    assert (result.outcome.value, result.cause) == (outcome, cause)
    assert result.value == pytest.approx(value)
    assert says in result.reason


def test_what_was_found_is_told_as_it_stands_there() -> None:
    assert judged({}, "2026-02-30, 2026-03-01").extracted == {"dates": ["2026-02-30", "2026-03-01"]}
    assert judged(AT, '{"visits": [{"on": null}]}').extracted == {"dates": ["None"]}


def test_many_faults_are_told_in_a_few() -> None:
    reason = judged({}, "2026-02-30 " * 9).reason

    assert reason == "; ".join(["2026-02-30 is no day of the calendar"] * 5) + "; and 4 more"


@pytest.mark.parametrize(("fields", "says"), REFUSED.values(), ids=ids(REFUSED))
def test_what_could_not_fail_or_not_hold_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check(fields)

    assert says in str(caught.value)


@pytest.mark.parametrize(("dates", "says"), PROBLEMS.values(), ids=ids(PROBLEMS))
def test_a_case_that_wants_no_dates_is_told(dates: dict[str, Any], says: str) -> None:
    found = check({}).problems(expecting(dates))

    assert any(says in problem for problem in found)


def test_no_days_exactly_would_be_nothing_to_look_at() -> None:
    with pytest.raises(ValidationError, match="exactly"):
        expecting({"exactly": []})


HOSTILE: dict[str, tuple[dict[str, Any], str, str]] = {
    "a megabyte of dates": ({}, "2026-03-01 " * 90_000, "too many dates"),
    "one date too many": ({}, "2026-03-01 " * (MAX_DATES + 1), "too many dates"),
    "as many as are looked at": ({}, "2026-03-01 " * MAX_DATES, ""),
    "a megabyte of digits": ({}, "2026" * 250_000, "no date"),
    "nearly dates": ({}, "2026-03-" * 125_000, "no date"),
    "NULs": ({}, "\0" * 500_000 + "2026-03-01\0", ""),
    "a lone surrogate": ({}, "\ud8002026-03-01\udfff", ""),
    "a lone surrogate for a date": ({"pattern": "(?s).+"}, "\ud800", "wrong date"),
    "a date of a megabyte": ({"pattern": "(?s).+"}, "9" * 1_000_000, "wrong date"),
    "JSON far too deep": (AT, "[" * 1_000_000, "not JSON"),
    "a megabyte of JSON": (AT, json.dumps({"visits": [{"on": "2026-03-01"}] * 40_000}), "too many dates"),
}


@pytest.mark.parametrize(("fields", "text", "cause"), HOSTILE.values(), ids=ids(HOSTILE))
def test_a_hostile_reply_is_judged_all_the_same(fields: dict[str, Any], text: str, cause: str) -> None:
    result = judged(fields, text)

    assert result.cause == cause
    assert result.outcome == ("fail" if cause else "pass")
    assert len(json.dumps([result.extracted, result.reason])) < 1000


def test_a_pattern_that_backtracks_is_the_graders_fault() -> None:
    result = judged({"pattern": "(?:a|aa)+$", "timeout_s": 0.3}, "a" * 100 + "b")

    assert result.outcome is CheckOutcome.ERROR
    assert result.cause == "pattern ran out of time"


days = st.lists(st.dates(date(1000, 1, 1), date(9998, 1, 1)), min_size=1, max_size=8)


@given(found=days, shift=st.integers(1, 300))
def test_bounds_order_and_exactness_are_those_of_the_days(found: list[date], shift: int) -> None:
    text = "; ".join(f"on {one}" for one in found)
    last = max(found)

    assert judged({}, text, {"exactly": [str(one) for one in sorted(found)]}).value == 1
    assert judged({}, text, {"not_before": str(min(found)), "not_after": str(last)}).value == 1
    late = judged({}, text, {"not_after": str(last - timedelta(shift))})
    assert late.value == pytest.approx(sum(one <= last - timedelta(shift) for one in found) / len(found))
    assert (judged({"order": "not_falling"}, text).value == 1) == (sorted(found) == found)
    assert (judged({"order": "rising"}, text).value == 1) == (sorted(set(found)) == found)
    assert judged({}, text, {"weekdays": sorted({one.isoweekday() for one in found})[:6]}).value > 0


@given(year=st.integers(0, 9999), month=st.integers(0, 99), day=st.integers(0, 99))
def test_a_date_is_right_where_the_calendar_has_it(year: int, month: int, day: int) -> None:
    try:
        real = bool(date(year, month, day))
    except ValueError:
        real = False

    assert judged({}, f"{year:04}-{month:02}-{day:02}").value == real


@given(
    text=st.text(st.characters()) | st.text("0123-\n "),
    order=st.sampled_from(["any", "rising", "not_falling"]),
)
def test_any_text_is_judged_and_passes_only_with_a_date(text: str, order: str) -> None:
    result = judged({"order": order}, text)

    assert 0 <= result.value <= 1
    assert json.dumps([result.extracted, result.reason])
    assert result.outcome in {CheckOutcome.PASS, CheckOutcome.FAIL}
    if result.outcome is CheckOutcome.PASS:
        assert "-" in text
