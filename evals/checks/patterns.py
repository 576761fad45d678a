"""Regular expressions written by people, run on text written by models: every search has a time limit."""

from __future__ import annotations

import functools
import itertools
import re
import time
import warnings
from collections.abc import Iterator

import regex

from evals.checks.base import CheckOutcome, CheckResult


class PatternTimeout(Exception):
    """A search took longer than it may; the pattern backtracks without end on this text."""


def pattern_problem(pattern: str) -> str:
    """Why a pattern cannot be used, or ''. It must compile with `regex` and with `re` alike.

    A FutureWarning (a set operation in the making) counts as a problem: the two would disagree.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
            _compiled(pattern)
    except (re.error, regex.error, OverflowError, RecursionError, Warning) as error:
        return str(error)
    return ""


def group_problem(pattern: str) -> str:
    """Like `pattern_problem` for a pattern that picks something out: one group, or none for the whole match."""
    if problem := pattern_problem(pattern):
        return problem
    if (groups := _compiled(pattern).groups) > 1:
        return f"has {groups} groups, one picks what is taken; write the others (?:…)"
    return ""


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern)


def search(pattern: str, text: str, timeout_s: float) -> str | None:
    """The first match's text, or None. Raises `PatternTimeout` after `timeout_s` seconds."""
    try:
        found = _compiled(pattern).search(text, timeout=timeout_s)
    except TimeoutError as error:
        raise PatternTimeout(f"no result within {timeout_s:g} s") from error
    return found.group(0) if found else None


class Budget:
    """Searches of one judgement, which share its seconds: many that are slow, but none too slow, still end."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.end = time.monotonic() + seconds

    def full_match(self, pattern: str, text: str) -> regex.Match[str] | None:
        """The match of the whole text, or None; raises `PatternTimeout`."""
        try:
            return _compiled(pattern).fullmatch(text, timeout=self._left(pattern))
        except TimeoutError as error:
            raise self._out_of_time(pattern) from error

    def find_all(self, pattern: str, text: str) -> Iterator[regex.Match[str]]:
        """Every match from left to right; raises `PatternTimeout`."""
        try:
            yield from _compiled(pattern).finditer(text, timeout=self._left(pattern))
        except TimeoutError as error:
            raise self._out_of_time(pattern) from error

    def picked(self, pattern: str, text: str, at_most: int) -> list[str]:
        """What group 1 (without a group: the whole match) holds in each match; the first `at_most` of them.

        A match in which the group has no part is left out. Raises `PatternTimeout`.
        """
        group = min(_compiled(pattern).groups, 1)
        texts: Iterator[str | None] = (match.group(group) for match in self.find_all(pattern, text))
        return list(itertools.islice((found for found in texts if found is not None), at_most))

    def _left(self, pattern: str) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            raise self._out_of_time(pattern)
        return left

    def _out_of_time(self, pattern: str) -> PatternTimeout:
        return PatternTimeout(f"{pattern[:60]!r}: no result within {self.seconds:g} s")


def out_of_time(error: PatternTimeout) -> CheckResult:
    """The result of a check whose patterns took too long: the grader's fault, not the model's."""
    reason = f"pattern {error}; it backtracks on this reply"
    return CheckResult(CheckOutcome.ERROR, 0.0, None, reason, "pattern ran out of time")
