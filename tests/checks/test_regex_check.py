"""`regex`: patterns that must, or must not, be found; k of n."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, NoExpect
from evals.checks.regex_check import RegexCheck

BASE = {"kind": "regex", "capability": "content"}
COLOURS = {"red": "(?i)red", "blue": "(?i)blue", "green": "(?i)green"}

# fields, reply -> outcome, value, part of the reason
JUDGED: dict[str, tuple[dict[str, Any], str, str, float, str]] = {
    "all found": ({"all_of": COLOURS}, "Red, BLUE, green", "pass", 1.0, "3 of 3 patterns found"),
    "one missing": ({"all_of": COLOURS}, "red, green", "fail", 2 / 3, "missing: blue"),
    "all missing": ({"all_of": COLOURS}, "grey", "fail", 0.0, "missing: red, blue, green"),
    "enough found": ({"all_of": COLOURS, "at_least": 2}, "red, green", "pass", 2 / 3, "2 of 3"),
    "too few found": (
        {"all_of": COLOURS, "at_least": 2},
        "red",
        "fail",
        1 / 3,
        "1 of 3 patterns found, 2 needed",
    ),
    "unwanted absent": ({"none_of": {"grey": "gr[ae]y"}}, "blue", "pass", 1.0, ""),
    "unwanted found": ({"none_of": {"grey": "gr[ae]y"}}, "a gray sky", "fail", 0.0, "grey (gray)"),
    "unwanted beats wanted": (
        {"all_of": {"a": "a"}, "none_of": {"b": "b"}},
        "ab",
        "fail",
        0.5,
        "must not be there",
    ),
    "on any line": ({"all_of": {"line": "(?m)^second$"}}, "first\nsecond", "pass", 1.0, ""),
    "a dot stays on its line": ({"all_of": {"dot": "a.b"}}, "a\nb", "fail", 0.0, "missing: dot"),
    "in any script": ({"all_of": {"hi": "世界"}}, "你好,世界", "pass", 1.0, ""),
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no pattern": ({}, "without one it cannot fail"),
    "a broken pattern": ({"all_of": {"x": "("}}, "all_of.x: bad pattern"),
    "a broken unwanted pattern": ({"none_of": {"x": "["}}, "none_of.x: bad pattern"),
    "more than there are": ({"all_of": {"a": "a"}, "at_least": 2}, "at_least is 2 but all_of has 1"),
    "none are enough": ({"all_of": {"a": "a"}, "at_least": 0}, "greater than or equal to 1"),
    "a name in both": (
        {"all_of": {"a": "a"}, "none_of": {"a": "b"}},
        "the name 'a' stands in all_of and in none_of",
    ),
    "no time": ({"all_of": {"a": "a"}, "timeout_s": 0.0}, "greater than 0"),
    "a list of patterns": ({"all_of": ["a"]}, "valid dictionary"),
    "an unknown field": ({"all_of": {"a": "a"}, "any_of": {}}, "Extra inputs"),
}


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-") for name in table]


def check(**fields: Any) -> RegexCheck:
    return RegexCheck.model_validate({**BASE, **fields})


@pytest.mark.parametrize(("fields", "text", "outcome", "value", "says"), JUDGED.values(), ids=ids(JUDGED))
def test_a_reply_is_judged_by_its_patterns(
    fields: dict[str, Any], text: str, outcome: str, value: float, says: str
) -> None:
    result = check(**fields).judge(NoExpect(), Answer(text))

    assert result.outcome.value == outcome
    assert result.value == pytest.approx(value)
    assert says in result.reason
    assert bool(result.cause) == (outcome == "fail")


@pytest.mark.parametrize(("fields", "says"), REFUSED.values(), ids=ids(REFUSED))
def test_a_check_that_means_nothing_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        check(**fields)


def test_each_pattern_says_what_it_found() -> None:
    result = check(all_of=COLOURS).judge(NoExpect(), Answer("Red and Blue\n"))

    assert result.extracted == {"red": "Red", "blue": "Blue", "green": None}


def test_a_pattern_that_backtracks_for_ever_is_an_error_within_its_time() -> None:
    slow = check(all_of={"slow": "(a|aa)+$"}, timeout_s=0.2)
    started = time.perf_counter()

    result = slow.judge(NoExpect(), Answer("a" * 80 + "b"))

    assert time.perf_counter() - started < 2
    assert (result.outcome, result.cause) == (CheckOutcome.ERROR, "pattern ran out of time")
    assert "pattern 'slow' (a|aa)+$: no result within 0.2 s" in result.reason


@given(text=st.text(), wanted=st.sets(st.sampled_from("abcd"), min_size=1), at_least=st.integers(1, 4))
def test_the_value_is_the_share_of_patterns_that_hold(text: str, wanted: set[str], at_least: int) -> None:
    needed = min(at_least, len(wanted))
    result = check(all_of={letter: letter for letter in wanted}, at_least=needed).judge(
        NoExpect(), Answer(text)
    )
    found = sum(letter in text for letter in wanted)

    assert result.value == pytest.approx(found / len(wanted))
    assert (result.outcome is CheckOutcome.PASS) == (found >= needed)
