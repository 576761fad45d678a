"""Patterns that people write compile with `re` and `regex` alike, and no search runs longer than it may."""

from __future__ import annotations

import re
import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from evals.checks.patterns import PatternTimeout, pattern_problem, search

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
