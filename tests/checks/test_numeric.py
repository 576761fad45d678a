"""`numeric`: the number that a reply ends up with, its unit, and labelled figures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, CheckResult
from evals.checks.numerals import plain_notation
from evals.checks.numeric import Numeric, NumericExpect, final_number

# reply -> the final number, and a part of how it was found
FOUND: dict[str, tuple[float | None, str]] = {
    # announced
    "The answer is 42.": (42, "after 'answer'"),
    "the final answer is: 42": (42, "after 'answer'"),
    "The answer to the question is 42": (42, "after 'answer'"),
    "**Answer:** 42 apples": (42, "after 'answer'"),
    "**Answer**: 42": (42, "after 'answer'"),
    "Answer = 42": (42, "after 'answer'"),
    "ANSWER: -7": (-7, "after 'answer'"),
    "The answer is $42$.": (42, "after 'answer'"),
    "The answer is about 42, or 6 · 7": (42, "after 'answer'"),
    "Answer: x = 42": (42, "after 'answer'"),
    "Answer: EUR 42": (42, "after 'answer'"),
    r"The answer is \(\boxed{42}\), 7 times 6": (42, "after 'answer'"),
    "The answer is 42.\nThat took 3 steps.": (42, "after 'answer'"),
    "The answer is 5. No: the answer is 42. I had 5 before.": (42, "after 'answer'"),
    "The answer is 42. I hope the answer is clear!": (42, "after 'answer'"),
    "Answer:\n\n42 apples": (42, "after 'answer'"),
    "Answer:\nThere are 6 and 7.\nSo 42": (42, "the last number"),
    "Answer: She sold 48/2 = 24 in May. So 48+24 = 72.": (72, "after 'answer'"),
    "The answer is that she has 42": (42, "after 'answer'"),
    "Answered 7 questions, 42 left": (42, "the last number"),
    # an announced calculation
    "The answer is 12 + 30 = 42.": (42, "after 'answer'"),
    "The answer is 12 km + 30 km = 42 km": (42, "after 'answer'"),
    "The answer is 50-8 = 42": (42, "after 'answer'"),
    "The answer is 42 = 6 * 7": (42, "after 'answer'"),
    "The answer is 6 x 7 = 42": (42, "after 'answer'"),
    "The answer is 42 (6 * 7)": (42, "after 'answer'"),
    "The answer is 42 because 6 * 7 = 42.": (42, "after 'answer'"),
    "The answer is 42 apples - 6 each": (42, "after 'answer'"),
    # an announcement that has not decided
    "The answer is 41 or 42": (None, "after 'answer' stand several numbers: 41 or 42"),
    "The answer is 12 + 30": (None, "after 'answer' stand several numbers: 12 + 30"),
    "The answer is 40-42": (None, "after 'answer' stand several numbers: 40-42"),
    "The answer is 42 ± 1": (None, "after 'answer' stand several numbers: 42 ± 1"),
    "The answer is 6 x 7": (None, "after 'answer' stand several numbers: 6 x 7"),
    # what the answer is not
    "The answer is not 42.": (None, "only what the answer is not"),
    "Answer: **not** 42": (None, "only what the answer is not"),
    "The answer is 42. The answer is not 5.": (42, "after 'answer'"),
    r"The answer is not 5 but \boxed{42}": (42, "boxed"),
    # boxed
    r"So \boxed{42} after 7 steps": (42, "boxed"),
    r"\boxed{5}, no, \boxed{42}, for 7": (42, "boxed"),
    r"\boxed{x = 42} for 7": (42, "boxed"),
    r"\boxed{42 \text{ km}^2} in 7": (42, "boxed"),
    r"\boxed{\frac{84}{2}} in 7": (42, "boxed"),
    r"\boxed{41 or 42}": (None, "boxed stand several numbers"),
    r"\boxed{none} 42": (42, "the last number"),
    r"\boxed{7, 42": (42, "the last number"),
    # after =
    "a = 5\n6 * 7 = 42 apples": (42, "after the last '='"),
    "6 * 7 = $42 (for 2 days)\n\n": (42, "after the last '='"),
    "6 * 7 = 42, so 7 times 6.": (6, "the last number"),
    "6 * 7 = 42\nThat was step 3": (3, "the last number"),
    # the last
    "First 7, then 42.": (42, "the last number"),
    "#### 42": (42, "the last number"),
    "42": (42, "the last number"),
    "3 apples, 3,5 pears": (3, "the last number"),
    "no number": (None, "there is no number"),
    "forty-two": (None, "there is no number"),
    "3,5": (None, "there is no number"),
    "": (None, "there is no number"),
}

DOLLARS = ["$", "dollars", "USD"]

# reply, units -> whether one stands beside the number, which is 18 everywhere
UNITS: dict[str, tuple[str, list[str], bool]] = {
    "behind": ("18 km", ["km"], True),
    "another spelling": ("18 kilometres", ["km", "kilometres"], True),
    "without a space": ("18km", ["km"], True),
    "with a hyphen": ("an 18-km run", ["km"], True),
    "with a no-break space": ("18\u00a0km", ["km"], True),
    "after bold": ("**18** km", ["km"], True),
    "in bold": ("18 **km**", ["km"], True),
    "in LaTeX": (r"$18 \text{ km}$", ["km"], True),
    "after a formula": ("$18$ km", ["km"], True),
    "after a box": (r"\boxed{18} km", ["km"], True),
    "at the end": ("18 m.", ["m"], True),
    "none": ("18", ["km"], False),
    "elsewhere": ("km: it is 18", ["km"], False),
    "another": ("18 miles", ["m"], False),
    "a power": ("18 m²", ["m"], False),
    "a power in LaTeX": ("18 m^2", ["m"], False),
    "a power that is wanted": ("18 m²", ["m²"], True),
    "a quotient": ("18 m/s", ["m"], False),
    "a quotient that is wanted": ("18 m/s.", ["m/s"], True),
    "letters of another size": ("18 Km", ["km"], False),
    "two words": ("18 square metres", ["square metres"], True),
    "money before": ("$18", DOLLARS, True),
    "money before, with a space": ("costs $ 18", DOLLARS, True),
    "money before, in bold": ("$**18**", DOLLARS, True),
    "money in LaTeX": (r"\$18", DOLLARS, True),
    "money in a formula": (r"$\$18$", DOLLARS, True),
    "money as a word": ("18 dollars", DOLLARS, True),
    "money as a code": ("USD 18", DOLLARS, True),
    "a formula that is no money": ("$18$", DOLLARS, False),
    "other money": ("€18", DOLLARS, False),
    "money behind": ("18 €", ["€"], True),
    "per cent": ("18%", ["%"], True),
    "per cent in LaTeX": (r"18\%", ["%"], True),
    "degrees": ("18 °C", ["°C"], True),
    "degrees in LaTeX": (r"18^\circ\text{C}", ["°C"], True),
}

# reply -> figures found in it; the labels are Mean, Max speed and n
FIGURES: dict[str, tuple[str, dict[str, Any]]] = {
    "with a colon": ("Mean: 3.5\nMax speed: 7\nn: 2", {"Mean": 3.5, "Max speed": 7, "n": 2}),
    "with an equals sign": ("mean = 3.5\nMAX  SPEED = 7\nn=2", {"Mean": 3.5, "Max speed": 7, "n": 2}),
    "as a table": (
        "| What | Value | Unit |\n|---|--:|---|\n| Mean | 3.5 | 1 |\n|Max speed|1,007| m/s |\n| **n** | **2** |",
        {"Mean": 3.5, "Max speed": 1007, "n": 2},
    ),
    "as a list": ("- **Mean:** 3.5\n* *Max speed*: 7\n1. n: 2", {"Mean": 3.5, "Max speed": 7, "n": 2}),
    "as headings and quotes": (
        "## Mean: 3.5\n> Max speed: 7\n> - `n`: 2",
        {"Mean": 3.5, "Max speed": 7, "n": 2},
    ),
    "with a unit": ("Mean: about 3.5 m\nMax speed: $7\nn: 2 of 5", {"Mean": 3.5, "Max speed": 7, "n": 2}),
    "as a calculation": ("Mean: (3 + 4) / 2 = 3.5\nn: 1 + 1 = 2", {"Mean": 3.5, "Max speed": None, "n": 2}),
    "a part missing": ("Mean: 3.5\nMax speed: unknown", {"Mean": 3.5, "Max speed": None, "n": None}),
    "the same twice": ("Mean: 3.5\nMean: 3.50", {"Mean": 3.5, "Max speed": None, "n": None}),
    "two numbers": ("Mean: 3.5\nMean: 4", {"Mean": [3.5, 4], "Max speed": None, "n": None}),
    "a label inside a line": ("The Mean: 3.5\nMax speed was 7", {"Mean": None, "Max speed": None, "n": None}),
    "a longer label": ("Mean time: 3.5\nn items: 2", {"Mean": None, "Max speed": None, "n": None}),
    "a range": ("Mean: 3-4", {"Mean": None, "Max speed": None, "n": None}),
    "a decimal comma": ("Mean: 3,5", {"Mean": None, "Max speed": None, "n": None}),
    "the next cell alone": ("| Mean | - | 3.5 |", {"Mean": None, "Max speed": None, "n": None}),
    "nothing": ("", {"Mean": None, "Max speed": None, "n": None}),
}


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-").replace(",", "") for name in table]


def check(**fields: Any) -> Numeric:
    return Numeric.model_validate({"kind": "numeric", "capability": "reasoning", **fields})


def judge(text: str, fields: dict[str, Any] | None = None, **expected: Any) -> CheckResult:
    expect = NumericExpect.model_validate(expected)
    assert check().problems(expect) == []
    return check(**(fields or {})).judge(expect, Answer(text))


@pytest.mark.parametrize(
    ("text", "number", "how"), [(text, *found) for text, found in FOUND.items()], ids=ascii
)
def test_the_final_number_is_found(text: str, number: float | None, how: str) -> None:
    got, found = final_number(plain_notation(text))

    assert (got.value if got else None) == number
    assert how in found


def test_the_first_number_of_another_line_is_no_answer() -> None:
    got, _ = final_number("Answer:\n" + " " * 400 + "\n5 apples\n42")

    assert got is not None and got.value == 42


@pytest.mark.parametrize(("text", "units", "is_there"), UNITS.values(), ids=ids(UNITS))
def test_a_unit_stands_beside_its_number(text: str, units: list[str], is_there: bool) -> None:
    result = judge(text, number=18, unit=units)

    assert result.cause == ("" if is_there else "wrong unit")
    assert result.value == float(is_there)
    assert is_there or result.reason.startswith(f"no {' or '.join(units)} beside the number: ")


# fields, expected number, reply -> outcome, cause, part of the reason
JUDGED: dict[str, tuple[dict[str, Any], float, str, str, str, str]] = {
    "equal": ({}, 42, "42", "pass", "", "the number is right"),
    "equal as floats": ({}, 0.3, "0.30", "pass", "", "the number is right"),
    "float noise": ({}, 1 / 3, "0.33333333333333", "pass", "", "the number is right"),
    "whole numbers one apart": (
        {},
        999_999_999_999,
        "999,999,999,998",
        "fail",
        "wrong number",
        "999999999998 ",
    ),
    "off by little": ({}, 42, "42.0001", "fail", "wrong number", "42.0001 (the last number), expected 42"),
    "another sign": ({}, 42, "-42", "fail", "wrong number", "-42 (the last number), expected 42"),
    "zero": ({}, 0, "0", "pass", "", "the number is right"),
    "nearly zero": ({}, 0, "0.000001", "fail", "wrong number", "1e-06 (the last number), expected 0"),
    "at the tolerance": ({"tolerance": 0.1}, 1, "1.1", "pass", "", "the number is right"),
    "beyond the tolerance": ({"tolerance": 0.1}, 1, "1.11", "fail", "wrong number", "1.11"),
    "at the share": ({"relative": 0.01}, 1000, "990", "pass", "", "the number is right"),
    "beyond the share": ({"relative": 0.01}, 1000, "989", "fail", "wrong number", "989"),
    "a share of a negative number": ({"relative": 0.01}, -1000, "-990", "pass", "", "the number is right"),
    "the larger of both": (
        {"relative": 0.01, "tolerance": 20},
        1000,
        "980",
        "pass",
        "",
        "the number is right",
    ),
    "not their sum": ({"relative": 0.01, "tolerance": 20}, 1000, "975", "fail", "wrong number", "975"),
    "no number": ({}, 42, "forty-two", "fail", "no number", "there is no number"),
    "per cent is no share": ({}, 0.125, "12.5%", "fail", "wrong number", "12.5"),
    "a reply that has not decided": (
        {},
        42,
        "The answer is 41 or 42",
        "fail",
        "no number",
        "several numbers",
    ),
    "a megabyte of answers": ({}, 42, "answer: none. " * 70_000, "fail", "no number", "there is no number"),
    "a megabyte of boxes": ({}, 42, r"\boxed{" * 150_000 + "42", "pass", "", "the number is right"),
    "a megabyte of sums": ({}, 42, "= " * 500_000 + "42", "pass", "", "the number is right"),
    "a megabyte after =": ({}, 42, "= 42 " + "a" * 10**6 + "!", "pass", "", "the number is right"),
    "a megabyte of brackets": ({}, 42, "= 42" + "(" * 10**6, "pass", "", "the number is right"),
    "a megabyte of numbers": ({}, 42, "42 7 " * 200_000 + "42", "pass", "", "the number is right"),
    "NULs and surrogates": ({}, 42, "\x00\ud800 42 \udfff", "pass", "", "the number is right"),
}


@pytest.mark.parametrize(
    ("fields", "number", "text", "outcome", "cause", "says"), JUDGED.values(), ids=ids(JUDGED)
)
def test_a_number_is_right_within_its_tolerance(
    fields: dict[str, Any], number: float, text: str, outcome: str, cause: str, says: str
) -> None:
    result = judge(text, fields, number=number)

    assert (result.outcome.value, result.cause, result.value) == (outcome, cause, float(outcome == "pass"))
    assert says in result.reason
    assert result.reason.isprintable() and len(result.reason) <= 400


def test_what_was_found_is_told() -> None:
    assert judge("so 41", number=42).extracted == {"number": 41, "found": "the last number"}
    assert judge("so", number=42).extracted == {"number": None, "found": "there is no number"}


@pytest.mark.parametrize(("text", "found"), FIGURES.values(), ids=ids(FIGURES))
def test_figures_are_found_behind_their_labels(text: str, found: dict[str, Any]) -> None:
    result = judge(text, figures={"Mean": 3.5, "Max speed": 7, "n": 2})

    assert result.extracted == {"figures": found}


def test_each_figure_counts() -> None:
    figures = {"mean": 3.5, "max": 7, "n": 2, "min": 1}
    result = judge("Mean: 3.5\nMax: 8\nn: 2\nn: 3", {"tolerance": 0.5}, figures=figures)

    assert (result.outcome, result.value, result.cause) == (CheckOutcome.FAIL, 0.25, "wrong figure")
    assert result.reason == "max is 8, expected 7; 2 different numbers for 'n'; no number for 'min'"
    assert judge("", figures=figures).cause == "missing figure"
    passing = judge("Mean: 3\nMax: 7.5\nn = 2\nmin: 1", {"tolerance": 0.5}, figures=figures)
    assert (passing.value, passing.reason) == (1, "all 4 numbers are right")


def test_the_final_number_and_figures_may_be_wanted_together() -> None:
    result = judge("Mean: 3.5\nThe answer is 41", number=42, figures={"mean": 3.5})

    assert (result.value, result.cause) == (0.5, "wrong number")
    assert result.extracted == {"number": 41, "found": "after 'answer'", "figures": {"mean": 3.5}}


@pytest.mark.parametrize(
    "fields",
    [{"tolerance": -1}, {"tolerance": float("inf")}, {"relative": 1.0}, {"relative": -0.1}, {"unit": ["km"]}],
    ids=str,
)
def test_a_tolerance_that_takes_any_number_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        check(**fields)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), "42", True], ids=str)
def test_a_case_cannot_want_what_is_no_number(number: Any) -> None:
    with pytest.raises(ValidationError, match="number"):
        NumericExpect.model_validate({"number": number})
    with pytest.raises(ValidationError, match="figures"):
        NumericExpect.model_validate({"figures": {"mean": number}})


LINT: dict[str, tuple[dict[str, Any], str]] = {
    "a unit alone": ({"unit": ["km"], "figures": {"a": 1}}, "a unit without a number"),
    "an empty unit": ({"number": 1, "unit": ["km", " "]}, "an empty unit stands beside every number"),
    "an empty label": ({"figures": {" ": 1}}, "an empty label in figures"),
    "a label twice": ({"figures": {"Max a": 1, "max  A": 2}}, "two labels in figures differ only in case"),
    "a label with a colon": ({"figures": {"a: b": 1}}, "a label in figures holds ':', '=' or '|'"),
}


@pytest.mark.parametrize(("expected", "says"), LINT.values(), ids=ids(LINT))
def test_lint_finds_expectations_that_no_reply_meets(expected: dict[str, Any], says: str) -> None:
    (problem,) = check().problems(NumericExpect.model_validate(expected))

    assert problem.startswith(says)


def test_a_case_without_numbers_gives_nothing_to_judge() -> None:
    assert not check().applies(NumericExpect())
    assert check().applies(NumericExpect(number=0))
    assert check().applies(NumericExpect(figures={"a": 0}))


@given(before=st.text(), number=st.integers(-(10**11), 10**11), off=st.integers(1, 10))
def test_an_announced_answer_counts_whatever_stands_before(before: str, number: int, off: int) -> None:
    text = f"{before}\nThe answer is {number:,}."

    assert judge(text, number=number).outcome is CheckOutcome.PASS
    assert judge(text, number=number + off).cause == "wrong number"


@given(text=st.text() | st.text("0123456789 ,.-–=+*/^$\\{}()|:_'%answer is boxed\n", max_size=60))
def test_any_text_gets_a_verdict_that_agrees_with_what_was_found(text: str) -> None:
    result = judge(text, number=0, figures={"a": 1})

    number, figure = result.extracted["number"], result.extracted["figures"]["a"]
    assert result.value == ((number == 0) + (figure == 1)) / 2
    assert (result.outcome is CheckOutcome.PASS) == (result.value == 1)
