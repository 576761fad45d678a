"""`numeric`: the reply's final number, or labelled figures, against the expected ones.

The final number is looked for in this order, as graders of GSM8K (Cobbe et al. 2021) and MATH (Hendrycks et al.
2021) do: the last "the answer is …" or "answer: …", the last `\\boxed{…}`, a trailing "= n" on the last line
that is not blank, the last number of the text. "The answer is not 40" announces nothing, and leaves only a box
to look for. What is read as a number is told in `evals.checks.numerals`.

A number is right if |got - wanted| <= max(tolerance, relative · |wanted|), and 1e-12 of either for float noise.

Not covered: conversion of units (12.5% is 12.5, not 0.125; 1 km is not 1000 m), rounding other than by tolerance,
number words, expressions that are left for the reader to work out, decimal commas. Announcements are English; in
other languages the boxed, equated or last number counts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, FiniteFloat

from evals.checks.answers import shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed
from evals.checks.numerals import MONEY_SIGN, Number, last_number, numbers_in, plain_notation

# A stated answer stands near its announcement, and only the last announcements matter.
STATEMENT_CHARACTERS = 300
STATEMENTS = 20
# Small enough that whole numbers of twelve digits that differ by one are not the same.
FLOAT_NOISE = 1e-12

_ANNOUNCED = re.compile(r"(?i)\banswer\b(?:[^\n.:=0-9]{0,60}?\bis\b|[\s*_]{0,4}[:=])")
# What may stand between an announcement and its number: signs, and one word ("about", "x =", "EUR").
_LEAD = re.compile(r"\W*(?:[^\W\d_]{1,13}\W+)?")
# Between the numbers of one calculation: signs, and one word for a unit.
_STEP = re.compile(r"[^\w,;:.!?\n]*(?:[^\W\d_]{1,12}[^\w,;:.!?\n]*)?")
_OPERATOR = re.compile(r"[-−–+*/×÷·=≈±]|\b(?:or|x)\b")
_DENIAL = re.compile(r"(?i)\W*not\W+")
# After a trailing "= n": a unit of a few words, perhaps a remark in brackets.
_UNIT_ONLY = re.compile(r"[^\w(]*+(?:[^\W\d_]++[^\w(]*+){0,3}(?:\(.*)?")

_LIST_MARKER = re.compile(r"[\s>|#]*(?:(?:[-*+•]|[0-9]{1,3}[.)])\s+)?")
_BESIDE = " \t\u00a0\u2009\u202f*_`"


class NumericExpect(Strict):
    """What a case expects."""

    number: FiniteFloat | None = None
    unit: list[str] = Field(
        default=[], description="accepted spellings, letter by letter; one must stand beside the number"
    )
    figures: dict[str, FiniteFloat] = Field(
        default={}, description="label -> number, from lines such as 'label: 5' or '| label | 5 |'"
    )


class Numeric(Check):
    """value = right numbers / expected numbers: 1 or 0 for `number`, a share where there are `figures`.

    A stated answer of several numbers ("3 or 4", "12 + 30") has not decided: no number is read from it.
    A figure's label is compared without case and must stand at the line's start; it is missing if its line
    has no number, and wrong if two lines give it different ones.
    """

    Expect = NumericExpect

    kind: Literal["numeric"]
    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="largest absolute error")
    relative: float = Field(default=0.0, ge=0, lt=1, description="largest error as a share of the number")

    def applies(self, expect: NumericExpect) -> bool:
        return expect.number is not None or bool(expect.figures)

    def problems(self, expect: NumericExpect) -> list[str]:
        found = []
        if expect.unit and expect.number is None:
            found.append("a unit without a number: only the final number's unit is looked at")
        if any(not unit.strip() for unit in expect.unit):
            found.append("an empty unit stands beside every number")
        labels = [_folded(label) for label in expect.figures]
        if not all(labels):
            found.append("an empty label in figures")
        if len(set(labels)) < len(labels):
            found.append("two labels in figures differ only in case or white space")
        if any(mark in label for label in labels for mark in ":=|"):
            found.append("a label in figures holds ':', '=' or '|', which ends a label")
        return found

    def judge(self, expect: NumericExpect, answer: Answer) -> CheckResult:
        text = plain_notation(answer.text)
        extracted: dict[str, Any] = {}
        faults: list[tuple[str, str]] = []
        if expect.number is not None:
            faults += self._number_faults(expect.number, expect.unit, text, extracted)
        if expect.figures:
            faults += self._figure_faults(expect.figures, text, extracted)
        total = (expect.number is not None) + len(expect.figures)
        value = 1 - len(faults) / total
        if faults:
            reason = "; ".join(reason for _, reason in faults)
            return failed(faults[0][0], shorten(reason, 400), extracted=extracted, value=value)
        return passed(extracted, "the number is right" if total == 1 else f"all {total} numbers are right")

    def _number_faults(
        self, wanted: float, units: list[str], text: str, extracted: dict[str, Any]
    ) -> Iterator[tuple[str, str]]:
        number, how = final_number(text)
        extracted |= {"number": number.value if number else None, "found": how}
        if number is None:
            yield "no number", how
        elif not self._is_right(number.value, wanted):
            yield "wrong number", f"{number.value:.15g} ({how}), expected {wanted:.15g}"
        elif units and not any(_has_unit(text, number, unit) for unit in units):
            beside = shorten(text[number.start : number.end + 20].strip(), 40)
            yield "wrong unit", f"no {' or '.join(units)} beside the number: {beside!r}"

    def _figure_faults(
        self, figures: dict[str, float], text: str, extracted: dict[str, Any]
    ) -> Iterator[tuple[str, str]]:
        found = labelled_numbers(text, list(figures))
        extracted["figures"] = {
            label: values[0] if len(values) == 1 else values or None for label, values in found.items()
        }
        for label, wanted in figures.items():
            values = found[label]
            if not values:
                yield "missing figure", f"no number for '{label}'"
            elif len(values) > 1:
                yield "wrong figure", f"{len(values)} different numbers for '{label}'"
            elif not self._is_right(values[0], wanted):
                yield "wrong figure", f"{label} is {values[0]:.15g}, expected {wanted:.15g}"

    def _is_right(self, got: float, wanted: float) -> bool:
        bound = max(self.tolerance, self.relative * abs(wanted))
        return abs(got - wanted) <= bound + FLOAT_NOISE * max(abs(wanted), bound)


def final_number(text: str) -> tuple[Number | None, str]:
    """The number that a plain text ends up with, and how it was found or why there is none."""
    denied = False
    for match in reversed(list(_ANNOUNCED.finditer(text))[-STATEMENTS:]):
        start, end = _statement(text, match.end())
        numbers = list(numbers_in(text, start, end))
        if numbers and _DENIAL.fullmatch(text, start, numbers[0].start):
            denied = True
        elif numbers:
            return _stated(text, start, numbers, "after 'answer'")
    start = text.rfind(r"\boxed{")
    if start >= 0 and (end := _closing_brace(text, start + len(r"\boxed"))):
        numbers = list(numbers_in(text, start, end))
        if numbers:
            return _stated(text, start + len(r"\boxed"), numbers, "boxed")
    if denied:
        return None, "it says only what the answer is not"
    end = len(text.rstrip())
    start = text.rfind("=", text.rfind("\n", 0, end) + 1, end)
    if start >= 0:
        number = next(numbers_in(text, start, min(end, start + STATEMENT_CHARACTERS)), None)
        if (
            number
            and _LEAD.fullmatch(text, start, number.start)
            and _UNIT_ONLY.fullmatch(text, number.end, end)
        ):
            return number, "after the last '='"
    if number := last_number(text):
        return number, "the last number"
    return None, "there is no number"


def _statement(text: str, start: int) -> tuple[int, int]:
    """Where an announced answer stands: the rest of its line, or the next line if that starts with the number."""
    limit = min(len(text), start + STATEMENT_CHARACTERS)
    end = text.find("\n", start, limit)
    if end < 0 or text[start:end].strip(" \t\r*_:"):
        return start, limit if end < 0 else end
    while start < limit and text[start].isspace():
        start += 1
    end = text.find("\n", start, limit)
    end = limit if end < 0 else end
    first = next(numbers_in(text, start, end), None)
    return (start, end) if first and _LEAD.fullmatch(text, start, first.start) else (start, start)


def _stated(text: str, start: int, numbers: list[Number], how: str) -> tuple[Number | None, str]:
    """Which number of a statement is meant: the first, or what the calculation that starts there comes to.

    Where the statement starts with words, its last number is meant.
    """
    if not _LEAD.fullmatch(text, start, numbers[0].start):
        return numbers[-1], how
    steps: list[str] = []
    for before, after in itertools.pairwise(numbers):
        step = text[before.end : after.start] + ("-" if text[after.start] in "-−–" else "")
        if not _STEP.fullmatch(step) or not _OPERATOR.search(step):
            break
        steps.append(step)
    if not steps:
        return numbers[0], how
    if "=" in steps[-1] or "≈" in steps[-1]:
        return numbers[len(steps)], how
    if any(map(str.isalpha, _OPERATOR.sub("", steps[0]))) or any("=" in step for step in steps):
        return numbers[0], how
    return None, f"{how} stand several numbers: {shorten(text[start : numbers[len(steps)].end].strip(), 40)}"


def _closing_brace(text: str, start: int) -> int:
    """Where the brace that opens at `start` closes, within a statement's length; 0 if it does not."""
    depth = 0
    for place in range(start, min(len(text), start + STATEMENT_CHARACTERS)):
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return place
    return 0


def _has_unit(text: str, number: Number, unit: str) -> bool:
    """Whether a unit stands right after a number, or right before it."""
    unit = unit.strip()
    closes_formula = text[number.end : number.end + 1] == "$"
    after = text[number.end : number.end + len(unit) + 20].lstrip(_BESIDE + "$})]-")
    before = text[max(0, number.start - len(unit) - 20) : number.start].rstrip(_BESIDE + "({[")
    if after.startswith(unit) and _ends_word(unit, after[len(unit) : len(unit) + 1]):
        return True
    if number.money:
        # In $42$ the sign starts a formula; in \$42 it is money.
        plain = number.money.replace(MONEY_SIGN, "$")
        before += "" if number.money == "$" and closes_formula else plain
    before = before.replace(MONEY_SIGN, "$").rstrip(_BESIDE)
    return before.endswith(unit) and _ends_word(unit[::-1], before[: -len(unit)][-1:])


def _ends_word(unit: str, following: str) -> bool:
    """Whether a unit ends where it seems to: 'm' does not stand in 'miles', 'm²' or 'm/s'."""
    return not unit[-1].isalpha() or not (following.isalnum() or following in ("^", "/", "²", "³", "·"))


def labelled_numbers(text: str, labels: list[str]) -> dict[str, list[float]]:
    """The different numbers that stand behind each label at the start of a line."""
    folded = {_folded(label): label for label in labels}
    found: dict[str, list[float]] = {label: [] for label in labels}
    for line in text.splitlines():
        head, mark, rest = _split_label(line)
        label = folded.get(_folded(head.strip(_BESIDE)))
        if label is None:
            continue
        if mark == "|":
            rest = rest.partition("|")[0]
        numbers = list(numbers_in(rest, 0, STATEMENT_CHARACTERS))
        number = _stated(rest, 0, numbers, "")[0] if numbers else None
        if number and number.value not in found[label]:
            found[label].append(number.value)
    return found


def _split_label(line: str) -> tuple[str, str, str]:
    """A line's label, the sign behind it, and the rest. A label may hold any sign but `:`, `=` and `|`."""
    start = match.end() if (match := _LIST_MARKER.match(line)) else 0
    places = [(place, mark) for mark in ":=|" if (place := line.find(mark, start)) >= 0]
    if not places:
        return "", "", ""
    place, mark = min(places)
    return line[start:place], mark, line[place + 1 :]


def _folded(label: str) -> str:
    return " ".join(label.split()).casefold()
