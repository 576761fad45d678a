"""Regular expressions written by people, run on text written by models: every search has a time limit."""

from __future__ import annotations

import functools
import re
import warnings

import regex


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
