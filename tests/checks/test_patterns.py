"""Patterns that people write compile with `re` and `regex` alike, and no search runs longer than it may."""

from __future__ import annotations

import re
import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from evals.checks.patterns import Budget, PatternTimeout, group_problem, out_of_time, pattern_problem, search

VALID = {
    "plain": "blue",
    "flags": r"(?ims)^blue.$",
    "a named group": r"(?P<digit>\d)(?P=digit)",
    "look around": r"(?<!not )blue(?= sky)",
    "unicode": "世界|[а-я]+",
    "nothing": "",
    "one that backtracks for ever": r"(a|aa)+$",
}

INVALID = {
    "an open bracket": "[0-9",
    "an open group": "(a",
    "nothing to repeat": "*a",
    "a group that is not there": r"(a)\2",
    "a look-behind of any width": r"(?<=a+)b",
    "a property that re does not know": r"\p{L}",
    "flags in the middle": "a(?i)b",
    "a set operation in the making": "[a--b]",
    "a nested set in the making": "[[a]b]",
    "a repeat of too many": "a{99999999999999999999}",
}


@pytest.mark.parametrize("pattern", VALID.values(), ids=[name.replace(" ", "-") for name in VALID])
def test_a_good_pattern_has_no_problem(pattern: str) -> None:
    assert pattern_problem(pattern) == ""


@pytest.mark.parametrize("pattern", INVALID.values(), ids=[name.replace(" ", "-") for name in INVALID])
def test_a_bad_pattern_is_told_why(pattern: str) -> None:
    assert pattern_problem(pattern) != ""


@given(pattern=st.text("ab(|)[^]*+?.\\d{}12<>=!P:i-", max_size=12))
def test_a_pattern_without_a_problem_compiles_with_both(pattern: str) -> None:
    if not pattern_problem(pattern):
        assert re.compile(pattern).groups == regex.compile(pattern).groups


def test_the_first_match_is_found_anywhere() -> None:
    assert search(r"\d+", "a 12 b 34", 1) == "12"
    assert search("x*", "abc", 1) == ""
    assert search("^b", "abc", 1) is None


def test_a_search_that_backtracks_for_ever_ends_in_time() -> None:
    started = time.perf_counter()

    with pytest.raises(PatternTimeout, match=r"no result within 0\.2 s"):
        search(r"(a|aa)+$", "a" * 80 + "b", 0.2)

    assert time.perf_counter() - started < 2


# pattern -> what is wrong with it as one that picks something out
PICKING = {
    "a": "",
    "(a)b": "",
    "(?:a)(?P<it>b)": "",
    "(a)(b)": "has 2 groups",
    "((a))": "has 2 groups",
    "(": "missing )",
    r"\p{L}": "bad escape",
}


@pytest.mark.parametrize(("pattern", "says"), PICKING.items())
def test_a_pattern_that_picks_has_one_group_or_none(pattern: str, says: str) -> None:
    problem = group_problem(pattern)

    assert says in problem
    assert bool(problem) == bool(says)


PICKED: dict[str, tuple[str, str, int, list[str]]] = {
    "whole matches": (r"\d+", "a 12 b 34", 9, ["12", "34"]),
    "groups": (r"(\d)%", "1% 2 3%", 9, ["1", "3"]),
    "a group without a part": (r"a(\d)|b", "a1 b a2", 9, ["1", "2"]),
    "an empty group is a part": (r"a(\d?)", "a1 a", 9, ["1", ""]),
    "the first few": (r"\d", "12345", 2, ["1", "2"]),
    "the first few with a part": (r"a(\d)|b", "b b a1 b a2", 1, ["1"]),
    "empty matches": ("x*", "axx", 9, ["", "xx", ""]),
    "none": ("z", "abc", 9, []),
    "over lines": (r"(?m)^- (.*)$", "- a\n- b\0\ud800\n", 9, ["a", "b\0\ud800"]),
}


@pytest.mark.parametrize(
    ("pattern", "text", "at_most", "found"), PICKED.values(), ids=[name.replace(" ", "-") for name in PICKED]
)
def test_the_group_or_else_the_match_is_picked(
    pattern: str, text: str, at_most: int, found: list[str]
) -> None:
    assert Budget(5).picked(pattern, text, at_most) == found


@given(text=st.text("ab1 \n"), at_most=st.integers(0, 5))
def test_what_is_picked_is_what_re_finds(text: str, at_most: int) -> None:
    for pattern in ("a+", "a(b|1)?", r"(?m)^(.)"):
        matches = [match.group(min(match.re.groups, 1)) for match in re.finditer(pattern, text)]

        assert (
            Budget(5).picked(pattern, text, at_most) == [one for one in matches if one is not None][:at_most]
        )


def test_no_more_is_searched_than_is_wanted() -> None:
    assert Budget(5).picked(r"x|(?:a|aa)+$", "xx" + "a" * 100 + "b", 2) == ["x", "x"]


def test_the_searches_of_one_budget_share_its_time() -> None:
    budget = Budget(0.3)
    started = time.perf_counter()

    def search_on() -> None:
        for _ in range(10_000):
            budget.picked(r"(?:a|aa)+$", "a" * 22 + "b", 1)

    with pytest.raises(PatternTimeout, match=r"no result within 0\.3 s"):
        search_on()
    assert time.perf_counter() - started < 2
    with pytest.raises(PatternTimeout):
        budget.full_match("a", "a")
    with pytest.raises(PatternTimeout):
        budget.picked("a", "a", 1)


def test_a_search_out_of_time_is_the_graders_fault() -> None:
    result = out_of_time(PatternTimeout("'a+': no result within 1 s"))

    assert (result.outcome, result.value, result.cause) == ("error", 0.0, "pattern ran out of time")
    assert "'a+': no result within 1 s; it backtracks on this reply" in result.reason
