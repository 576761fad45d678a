"""The gate holds if floors are reached, everything was answered and no grader broke; else it says why."""

from __future__ import annotations

import pytest

from evals.gate import GateVerdict, Selection, faults, judge_run
from evals.runs import CaseRecord
from evals.scores import summarise
from tests.records import check, record

WHOLE = Selection(cases=10, of_cases=10, checks=10, of_checks=10)


def problems(
    records: list[CaseRecord],
    floor: float = 0.9,
    *,
    enforce: bool = True,
    unavailable: dict[str, str] | None = None,
) -> list[str]:
    return list(verdict(records, floor, enforce=enforce, unavailable=unavailable).problems)


def verdict(
    records: list[CaseRecord],
    floor: float = 0.9,
    *,
    enforce: bool = True,
    unavailable: dict[str, str] | None = None,
    selection: Selection = WHOLE,
) -> GateVerdict:
    summary = summarise(records, {"colours": {"content": floor}})
    return judge_run(records, summary, unavailable or {}, selection, enforce_floors=enforce)


def cases(passes: int, n: int, missed: str = "fail") -> list[CaseRecord]:
    return [record(check("pass" if number < passes else missed), case=f"c{number}") for number in range(n)]


LOST = record(check("unscored"), case="lost", outcome="infrastructure", fault="connection refused")


def test_a_run_that_reaches_its_floors_passes() -> None:
    assert problems(cases(9, 10)) == []
    assert problems(cases(10, 10), floor=1.0) == []


# passes, n, floor -> what is said of them
BELOW = {
    "plain": (8, 10, 0.9, "80.0% (8 of 10) is below the floor of 90%"),
    "one miss where none is allowed": (9, 10, 1.0, "90.0% (9 of 10) is below the floor of 100%"),
    "a miss among thousands is not rounded away": (
        2999,
        3000,
        1.0,
        ">99.9% (2999 of 3000) is below the floor of 100%",
    ),
    "a floor between percents is not rounded": (
        99,
        100,
        0.995,
        "99.0% (99 of 100) is below the floor of 99.5%",
    ),
    "a floor with a long fraction": (6, 100, 0.07, "6.0% (6 of 100) is below the floor of 7%"),
    "nothing right": (0, 3, 0.5, "0.0% (0 of 3) is below the floor of 50%"),
}


@pytest.mark.parametrize(
    ("passes", "n", "floor", "says"), BELOW.values(), ids=[name.replace(" ", "-") for name in BELOW]
)
def test_a_rate_below_its_floor_is_told_with_its_figures(
    passes: int, n: int, floor: float, says: str
) -> None:
    assert problems(cases(passes, n), floor) == [f"small:1b: colours content {says}"]


def test_without_the_gate_floors_are_not_enforced() -> None:
    assert problems(cases(0, 10), enforce=False) == []
    assert problems(cases(0, 10, "error"), enforce=False) == []


@pytest.mark.parametrize("enforce", [True, False], ids=["gate", "no-gate"])
def test_an_unanswered_request_never_passes(enforce: bool) -> None:
    found = problems([*cases(99, 99), LOST], enforce=enforce)

    assert found == ["small:1b: 1 of 100 requests brought no reply"]


@pytest.mark.parametrize("enforce", [True, False], ids=["gate", "no-gate"])
def test_a_model_that_could_not_be_asked_never_passes(enforce: bool) -> None:
    found = problems(cases(10, 10), enforce=enforce, unavailable={"big:70b": "there is no model big:70b"})

    assert found == ["big:70b was not asked at all"]


@pytest.mark.parametrize("enforce", [True, False], ids=["gate", "no-gate"])
def test_an_empty_run_never_passes(enforce: bool) -> None:
    assert problems([], enforce=enforce) == ["nothing was asked"]


def test_a_grader_that_broke_never_passes_even_above_the_floor() -> None:
    assert problems(cases(19, 20, "error")) == [
        "1 check broke instead of judging; their reasons are in results.jsonl"
    ]
    assert problems(cases(18, 20, "error")) == [
        "2 checks broke instead of judging; their reasons are in results.jsonl"
    ]


def test_every_reason_is_told() -> None:
    found = problems([*cases(0, 2), LOST], unavailable={"big:70b": "gone"})

    assert found == [
        "big:70b was not asked at all",
        "small:1b: 1 of 3 requests brought no reply",
        "small:1b: colours content 0.0% (0 of 3) is below the floor of 90%",
    ]


def test_the_states_are_told_apart() -> None:
    right, wrong = cases(10, 10), cases(0, 10)
    part = Selection(cases=10, of_cases=10, checks=10, of_checks=20)
    assert verdict(right).state == "holds"
    assert verdict(wrong).state == "fails"
    assert verdict(right, enforce=False).state == "measured"
    assert verdict([*right, LOST], enforce=False).state == "unanswered"
    assert verdict(right, selection=Selection(10, 10, 10, 10, floors=False)).state == "ungated"
    assert verdict(right, selection=part).state == "partial"
    assert verdict(wrong, selection=part).state == "fails"


def test_a_part_of_the_checks_gets_no_verdict_and_says_how_large_it_is() -> None:
    part = Selection(cases=4, of_cases=9, checks=8, of_checks=36)
    assert "4 of 9 cases, 8 of 36 checks" in verdict(cases(4, 4), selection=part).sentence


def test_a_check_that_never_came_to_a_result_never_passes() -> None:
    half = record(check(), check("unscored", name="regex", capability="format"))
    assert problems([*cases(9, 9), half]) == ["1 check of answered requests never came to a result"]


def test_a_model_of_which_nothing_was_judged_never_passes() -> None:
    summary = summarise(cases(10, 10), {}, ["small:1b", "silent:1b"])
    found = judge_run(cases(10, 10), summary, {}, WHOLE, enforce_floors=False)
    assert found.problems == ("silent:1b: nothing was judged",)


def test_a_test_that_broke_off_never_passes_although_all_else_is_well() -> None:
    summary = summarise(cases(10, 10), {})
    found = judge_run(cases(10, 10), summary, {}, WHOLE, enforce_floors=True, broken_off=1)
    assert found.state == "fails"
    assert found.problems == ("1 test broke off without a result; pytest tells above what happened",)


def test_what_came_to_no_result_stands_against_a_run_before_its_end_and_a_low_rate_does_not() -> None:
    records = [*cases(0, 2), record(check("error"), case="broke"), LOST]
    summary = summarise(records, {"colours": {"content": 1.0}}, ["small:1b", "not:asked"])

    assert faults(records, summary, broken_off=2) == [
        "small:1b: 1 of 4 requests brought no reply",
        "2 tests broke off without a result; pytest tells above what happened",
        "1 check broke instead of judging; their reasons are in results.jsonl",
    ]
    assert faults(cases(0, 2), summarise(cases(0, 2), {"colours": {"content": 1.0}})) == []
