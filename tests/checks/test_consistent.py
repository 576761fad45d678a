"""`consistent`: relations between the parts of a reply hold in each of its sections."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, CheckResult
from evals.checks.consistent import MAX_ITEMS, MAX_TEXT, Consistent, ConsistentExpect

SCORE = {"pattern": r"\((\d+\.?\d*)/5\)", "as": "number"}
SCORES = {"pattern": r"(?m)^\|[^|\n]*\|\s*([^|\s]*)\s*\|$", "as": "numbers"}
VERDICT = {"pattern": "— (PASS|FAIL)", "as": "text"}
BAR = {"from": "prompt", "pattern": r"threshold:? (\d\.\d)", "as": "number"}
NUMBER = {"pattern": r"(\S+)", "as": "number"}
DAYS = {"pattern": r"\d{4}-\d\d-\d\d", "as": "dates"}
REVIEWS = {"from": "json", "at": "reviews.*.date", "as": "dates"}


def section(title: str, score: str, verdict: str, *scores: str) -> str:
    rows = "".join(f"| row | {one} |\n" for one in scores)
    return f"### {title} ({score}/5) — {verdict}\n\n{rows}\n"


REVIEW: dict[str, Any] = {
    "each": "h3",
    "parts": {"score": SCORE, "scores": SCORES, "verdict": VERDICT, "bar": BAR},
    "relations": ["abs(mean(scores) - score) <= 0.05", '(verdict == "PASS") == (score >= bar)'],
}
MEAN: dict[str, Any] = {"parts": {"x": SCORE, "xs": SCORES}, "relations": ["x == mean(xs)"]}
ASKED = "Review these; the threshold: 3.0 decides."
GOOD = section("Ann", "3.3", "PASS", "3", "4", "3") + section("Bo", "2.5", "FAIL", "2", "3")

# check, reply -> outcome, value, cause, a part of the reason
JUDGED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str, float, str, str]] = {
    "all hold in all sections": (
        REVIEW, {}, GOOD, "pass", 1.0, "", "all 2 relations hold in each of 2 parts (h3 section)",
    ),
    "a float's noise does no harm": (
        REVIEW, {}, section("Ann", "3.3", "PASS", "3.4", "3.3"), "pass", 1.0, "", "each of 1 parts",
    ),
    "one relation broken in one section": (
        REVIEW, {}, GOOD + section("Cy", "4.1", "PASS", "4", "4"), "fail", 0.5, "relation broken",
        "'Cy (4.1/5) — PASS' (line 12): abs(mean(scores) - score) <= 0.05 does not hold: 0.1 <= 0.05; "
        "score = 4.1, scores = [4, 4]",
    ),
    "the other relation broken": (
        REVIEW, {}, section("Ann", "3", "FAIL", "3"), "fail", 0.5, "relation broken",
        "(verdict == \"PASS\") == (score >= bar) does not hold: false == true; "
        "bar = 3, score = 3, verdict = 'FAIL'",
    ),
    "both broken in different sections": (
        REVIEW, {}, section("Ann", "3", "FAIL", "3") + section("Bo", "1", "FAIL", "2"), "fail", 0.0,
        "relation broken", "; 2 of 2 relations are broken",
    ),
    "a part not there breaks what names it": (
        REVIEW, {}, GOOD.replace("— FAIL", ""), "fail", 0.5, "part not there", "part 'verdict' is not there",
    ),
    "no part at all": (REVIEW, {}, "### Ann\n", "fail", 0.0, "part not there", "part 'score' is not there"),
    "an empty list has no mean": (
        REVIEW, {}, section("Ann", "3", "PASS"), "fail", 0.5, "relation broken",
        "has no result: mean() of an empty list; score = 3, scores = []",
    ),
    "no section": (REVIEW, {}, "## Ann (3/5) — PASS\n", "fail", 0.0, "no h3", "no h3 section to look at"),
    "no number": (
        MEAN, {}, "(3/5)\n| a | n/a |", "fail", 0.0, "no number", "part 'xs' is no number: 'n/a'",
    ),
    "no number of decimals with a comma": (MEAN, {}, "(3/5)\n| a | 3,5 |", "fail", 0.0, "no number", "'3,5'"),
    "a division by zero": (
        {"parts": {"x": NUMBER}, "relations": ["1 / x > 0"]}, {}, "0", "fail", 0.0, "relation broken",
        "1 / x > 0 has no result: a division by 0; x = 0",
    ),
    "kinds that do not mix": (
        {"parts": {"x": {"pattern": ".+", "as": "text"}}, "relations": ["x != 3"]}, {}, "4", "fail", 0.0,
        "relation broken", "compares a text '4' with a number 3",
    ),
    "the whole match without a group": (
        {"parts": {"days": DAYS}, "relations": ["gaps(days) == [1, 7]"]}, {}, "2026-02-28 2026-03-01, 2026-03-08",
        "pass", 1.0, "", "the relation holds",
    ),
    "a day of no calendar": (
        {"parts": {"days": DAYS}, "relations": ["rising(days)"]}, {}, "2026-02-28 2026-02-30", "fail", 0.0,
        "no date", "part 'days' is no date: '2026-02-30'",
    ),
    "the first of several matches": (
        {"parts": {"x": NUMBER}, "relations": ["x == 1"]}, {}, "1 2 3", "pass", 1.0, "", "",
    ),
    "a count": (
        {"parts": {"n": {"pattern": "PASS", "as": "count"}}, "relations": ["n == 2"]}, {}, "PASS FAIL PASS",
        "pass", 1.0, "", "",
    ),
    "a count of none": (
        {"parts": {"n": {"pattern": "PASS", "as": "count"}}, "relations": ["n == 2"]}, {}, "FAIL", "fail", 0.0,
        "relation broken", "n == 2 does not hold: 0 == 2; n = 0",
    ),
    "a group that takes no part": (
        {"parts": {"xs": {"pattern": r"a(\d)|b", "as": "numbers"}}, "relations": ["xs == [1, 2]"]}, {}, "a1 b a2",
        "pass", 1.0, "", "",
    ),
    "a section beside the whole": (
        {
            "each": "h3",
            "parts": {
                "n": {"from": "whole", "pattern": r"of (\d+)", "as": "number"},
                "k": {"pattern": r"### (\d+)", "as": "number"},
            },
            "relations": ["k <= n"],
        }, {}, "of 2\n### 1\n### 2\n### 3\n", "fail", 0.0, "relation broken", "'3' (line 4): k <= n does not hold: 3 <= 2",
    ),
    "each line": (
        {"each": "line", "parts": {"x": NUMBER}, "relations": ["x < 5"]}, {}, "1\n\n7\n9", "fail", 0.0,
        "relation broken", "line 3): x < 5 does not hold: 7 < 5",
    ),
    "names in a text, whatever the case": (
        {
            "parts": {"names": {"pattern": r"- (.+)", "as": "texts"}, "asked": {"from": "prompt", "pattern": "(?s).+", "as": "text"}},
            "relations": ["within(names, asked)"],
        }, {}, "- THESE;\n- the  Threshold", "pass", 1.0, "", "",
    ),
    "no names to look for": (
        {
            "parts": {"names": {"pattern": r"- (.+)", "as": "texts"}, "asked": {"from": "prompt", "pattern": "(?s).+", "as": "text"}},
            "relations": ["within(names, asked)"],
        }, {}, "none", "fail", 0.0, "relation broken", "within() of an empty list",
    ),
    "a value of the case": (
        {"parts": {"x": NUMBER}, "relations": ["x * 2 == twice", "within(lower('A'), [letter]) and x > 0"]},
        {"twice": 3, "letter": "a"}, "1.5", "pass", 1.0, "", "",
    ),
    "a list and a truth of the case": (
        {"parts": {"xs": SCORES}, "relations": ["same(xs, wanted)", "(count(xs) > 1) == several"]},
        {"wanted": [0.1, 2], "several": True}, "| a | 2 |\n| b | .10 |", "pass", 1.0, "", "",
    ),
    "JSON": (
        {"parts": {"days": REVIEWS}, "relations": ["rising(days)", "count(days) == 2"]}, {},
        '{"reviews": [{"date": "2026-03-01"}, {"date": "2026-03-05"}, {}]}', "pass", 1.0, "", "",
    ),
    "JSON out of order": (
        {"parts": {"days": REVIEWS}, "relations": ["rising(days)", "count(days) == 2"]}, {},
        '{"reviews": [{"date": "2026-03-05"}, {"date": "2026-03-01"}]}', "fail", 0.5, "relation broken",
        "rising(days) does not hold; days = [2026-03-05, 2026-03-01]",
    ),
    "JSON of other kinds": (
        {"parts": {"days": REVIEWS}, "relations": ["rising(days)"]}, {}, '{"reviews": [{"date": 3}]}', "fail", 0.0,
        "no date", "part 'days' is no date: '3'",
    ),
    "JSON numbers": (
        {
            "parts": {
                "total": {"from": "json", "at": "total", "as": "number"},
                "each": {"from": "json", "at": "items.*", "as": "numbers"},
                "n": {"from": "json", "at": "items.*", "as": "count"},
                "head": {"from": "json", "at": "items.0", "as": "number"},
            },
            "relations": ["total == sum(each)", "n == 3", "head == 0.1"],
        }, {}, '{"total": 0.6, "items": [0.1, 0.2, 3e-1]}', "pass", 1.0, "", "all 3 relations hold",
    ),
    "a text is no JSON number": (
        {"parts": {"n": {"from": "json", "at": "n", "as": "number"}}, "relations": ["n > 1"]}, {}, '{"n": true}',
        "fail", 0.0, "no number", "part 'n' is no number: 'True'",
    ),
    "a list is no JSON text": (
        {"parts": {"n": {"from": "json", "at": "n", "as": "texts"}}, "relations": ["unique(n)"]}, {}, '{"n": ["a"]}',
        "fail", 0.0, "no text", "part 'n' is no text",
    ),
    "no JSON": (
        {"parts": {"days": REVIEWS}, "relations": ["rising(days)"]}, {}, "Sure!", "fail", 0.0, "not JSON", "not JSON: ",
    ),
    "a path that leads nowhere": (
        {"parts": {"n": {"from": "json", "at": "n", "as": "number"}}, "relations": ["n > 1"]}, {}, "{}", "fail", 0.0,
        "part not there", "part 'n' is not there",
    ),
}  # fmt: skip

NUMERALS: dict[str, str | None] = {
    "12": "12",
    " 3.50 ": "3.5",
    ".5": "0.5",
    "-3": "-3",
    "\u22123": "-3",
    "+3": "3",
    "1,234,567.5": "1234567.5",
    "1,23": None,
    "1,2345": None,
    "3.": None,
    "-": None,
    "1e5": None,
    "٣": None,
    "3%": None,
    "0x10": None,
    "1_000": None,
    "9" * 31: None,
    "1" + ",000" * 10: None,
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no parts": ({"parts": {}, "relations": ["1 < 2"]}, "parts"),
    "no relations": ({"parts": {"x": NUMBER}, "relations": []}, "relations"),
    "a relation that names no part": (
        {"parts": {"x": NUMBER}, "relations": ["x > 1", "1 < 2"]},
        "the relation '1 < 2' names no part of the reply: it cannot fail",
    ),
    "a relation of the case alone": (
        {"parts": {"x": NUMBER}, "relations": ["x > 1", "bar > 2"]},
        "the relation 'bar > 2' names no part of the reply",
    ),
    "a relation of the prompt alone": (
        {"parts": {"x": NUMBER, "bar": BAR}, "relations": ["x > 1", "bar > 2"]},
        "the relation 'bar > 2' names no part of the reply",
    ),
    "a figure": ({"parts": {"x": NUMBER}, "relations": ["x - 1"]}, "'x - 1' is neither true nor false"),
    "a name alone": ({"parts": {"x": NUMBER}, "relations": ["x"]}, "'x' is neither true nor false"),
    "a relation with itself": ({"parts": {"x": NUMBER}, "relations": ["x == x"]}, "compares a thing with itself"),
    "a relation twice": ({"parts": {"x": NUMBER}, "relations": ["x > 1", " x > 1 "]}, "stands there twice"),
    "no expression": ({"parts": {"x": NUMBER}, "relations": ["x >"]}, "the relation 'x >': is no expression"),
    "an attack": (
        {"parts": {"x": NUMBER}, "relations": ["().__class__.__bases__[0] == x"]},
        "().__class__.__bases__[0] is not allowed",
    ),
    "a part that nothing names": (
        {"parts": {"x": NUMBER, "y": NUMBER}, "relations": ["x > 1"]}, "no relation names the part 'y'",
    ),
    "a part called as a function": (
        {"parts": {"count": NUMBER}, "relations": ["count > 1"]}, "'count' has the name of a function",
    ),
    "a part called as a word": ({"parts": {"in": NUMBER}, "relations": ["in > 1"]}, "the part 'in' is no name"),
    "a part with a capital": ({"parts": {"X": NUMBER}, "relations": ["X > 1"]}, "the part 'X' is no name"),
    "no pattern": ({"parts": {"x": {"as": "text"}}, "relations": ["x == 'a'"]}, "a part from reply needs pattern:"),
    "a pattern and a path": (
        {"parts": {"x": {**NUMBER, "at": "a"}}, "relations": ["x > 1"]}, "needs pattern:, and no at:",
    ),
    "no path": (
        {"parts": {"x": {"from": "json", "as": "number"}}, "relations": ["x > 1"]}, "a part from json needs at:",
    ),
    "a pattern for JSON": (
        {"parts": {"x": {**NUMBER, "from": "json", "at": "a"}}, "relations": ["x > 1"]}, "needs at:, and no pattern:",
    ),
    "a bad pattern": (
        {"parts": {"x": {"pattern": "(", "as": "text"}}, "relations": ["x == 'a'"]}, "bad pattern '(': ",
    ),
    "two groups": (
        {"parts": {"x": {"pattern": "(a)(b)", "as": "text"}}, "relations": ["x == 'a'"]}, "has 2 groups",
    ),
    "no kind": ({"parts": {"x": {"pattern": "a"}}, "relations": ["x == 'a'"]}, "as"),
    "an unknown kind": ({"parts": {"x": {"pattern": "a", "as": "word"}}, "relations": ["x == 'a'"]}, "as"),
}  # fmt: skip

PROBLEMS: dict[str, tuple[dict[str, Any], str]] = {
    "a value not given": ({}, "the relations name 'bar', which is no part: give it under values"),
    "another name": ({"ber": 3}, "the relations name 'bar'"),
    "the name of a part": ({"bar": 3, "x": 1}, "the value 'x' is the name of a part"),
    "the name of a function": ({"bar": 3, "max": 1}, "the value 'max' has the name of a function"),
    "no name": ({"bar": 3, "a b": 1}, "the value 'a b' is no name"),
    "too large a number": ({"bar": 10**30}, "the value 'bar': a number must have at most 30 digits"),
    "too large a number in a list": ({"bar": [1, 10**400]}, "the value 'bar': a number must have at most 30"),
}


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-") for name in table]


def check(fields: dict[str, Any]) -> Consistent:
    return Consistent.model_validate({"kind": "consistent", "capability": "format", **fields})


def judged(
    fields: dict[str, Any], text: str, values: dict[str, Any] | None = None, asked: str = ASKED
) -> CheckResult:
    made, expect = check(fields), ConsistentExpect.model_validate({"values": values or {}})
    assert made.problems(expect) == []
    assert made.applies(expect)
    return made.judge(expect, Answer(text, asked))


@pytest.mark.parametrize(
    ("fields", "values", "text", "outcome", "value", "cause", "says"), JUDGED.values(), ids=ids(JUDGED)
)
def test_a_reply_is_judged_by_its_relations(
    fields: dict[str, Any],
    values: dict[str, Any],
    text: str,
    outcome: str,
    value: float,
    cause: str,
    says: str,
) -> None:
    result = judged(fields, text, values)

    assert (result.outcome.value, result.cause) == (outcome, cause)
    assert result.value == pytest.approx(value)
    assert says in result.reason


@pytest.mark.parametrize(("text", "number"), NUMERALS.items(), ids=[text[:20] for text in NUMERALS])
def test_a_number_is_a_plain_decimal(text: str, number: str | None) -> None:
    fields = {"parts": {"x": {"pattern": "<(.*)>", "as": "number"}}, "relations": ["x == wanted"]}
    result = judged(fields, f"<{text}>", {"wanted": float(number or 0)})

    assert result.outcome == ("pass" if number else "fail")
    assert result.cause == ("" if number else "no number")


def test_a_part_that_the_prompt_lacks_is_not_there() -> None:
    result = judged(REVIEW, GOOD, asked="Review these.")

    assert (result.value, result.cause) == (0.5, "part not there")
    assert "part 'bar' is not there" in result.reason


def test_what_was_read_is_told_of_the_first_section_that_breaks() -> None:
    one_bad = GOOD + section("Cy", "4.1", "PASS", "4", "4") + section("Di", "9", "FAIL")

    assert judged(REVIEW, one_bad).extracted == {
        "values": {"score": 4.1, "scores": [4, 4], "verdict": "PASS", "bar": 3},
        "where": "'Cy (4.1/5) — PASS' (line 12)",
    }
    assert judged(REVIEW, GOOD).extracted == {
        "values": {"score": 3.3, "scores": [3, 4, 3], "verdict": "PASS", "bar": 3},
        "where": "'Ann (3.3/5) — PASS' (line 1)",
    }
    days = {"parts": {"days": DAYS, "x": SCORE}, "relations": ["rising(days) or x > 1"]}
    assert judged(days, "2026-03-01").extracted == {"values": {"days": ["2026-03-01"], "x": None}}


def test_what_was_read_is_kept_small() -> None:
    fields = {"parts": {"xs": {"pattern": r"\w+", "as": "texts"}}, "relations": ["unique(xs)"]}
    result = judged(fields, " ".join(f"{number}{'x' * 500}" for number in range(500)))

    assert result.outcome is CheckOutcome.PASS
    assert len(json.dumps(result.extracted)) < 3000


@pytest.mark.parametrize(("fields", "says"), REFUSED.values(), ids=ids(REFUSED))
def test_what_could_not_fail_or_not_be_read_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check(fields)

    assert says in str(caught.value)


@pytest.mark.parametrize(("values", "says"), PROBLEMS.values(), ids=ids(PROBLEMS))
def test_a_case_that_gives_other_values_is_told(values: dict[str, Any], says: str) -> None:
    made = check({"parts": {"x": NUMBER}, "relations": ["x > bar"]})
    found = made.problems(ConsistentExpect.model_validate({"values": values}))

    assert any(says in problem for problem in found)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), {"a": 1}, [[1]], [None]], ids=str)
def test_a_value_is_a_number_a_text_a_truth_or_a_list(value: Any) -> None:
    with pytest.raises(ValidationError):
        ConsistentExpect.model_validate({"values": {"bar": value}})


# ---- Hostile replies

TEXTS = {"parts": {"xs": {"pattern": "(?s).", "as": "texts"}}, "relations": ["count(xs) > 0"]}
WHOLE = {"parts": {"x": {"pattern": "(?s).*", "as": "text"}}, "relations": ["within('end', x)"]}

HOSTILE: dict[str, tuple[dict[str, Any], str, str]] = {
    "a megabyte of sections": (REVIEW, "### a\n" * 170_000, "too long"),
    "too many sections": (REVIEW, "### a\n" * 10_000, "too long"),
    "many sections": (REVIEW, "### a\n" * 1_000, "part not there"),
    "a megabyte of numbers": (MEAN, "(3/5)\n" + "| a | 3 |\n" * 100_000, "too many"),
    "a megabyte of text": (WHOLE, "x" * 1_000_000 + "end", "too long"),
    "a text of marks": (WHOLE, "a" + "\u0301" * (MAX_TEXT - 1), "relation broken"),
    "a text at the limit": (WHOLE, "x" * (MAX_TEXT - 3) + "end", ""),
    "more items than any list": (TEXTS, "x" * (MAX_ITEMS + 1), "too many"),
    "as many items as may be": (TEXTS, "x" * MAX_ITEMS, ""),
    "NULs": (REVIEW, "### \0(3/5) — PASS\n| \0 | 3 |\n", ""),
    "a lone surrogate": (REVIEW, "### \ud800(3/5) — PASS\n| \udfff | \ud800 |\n", "no number"),
    "a number of a megabyte": (MEAN, f"({'9' * 1_000_000}/5)\n| a | 3 |\n", "no number"),
    "JSON far too deep": ({"parts": {"days": REVIEWS}, "relations": ["rising(days)"]}, "[" * 1_000_000, "not JSON"),
    "a megabyte of JSON": (
        {"parts": {"days": REVIEWS}, "relations": ["rising(days)"]},
        json.dumps({"reviews": [{"date": "2026-03-01"}] * 40_000}),
        "too many",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "text", "cause"), HOSTILE.values(), ids=ids(HOSTILE))
def test_a_hostile_reply_is_judged_all_the_same(fields: dict[str, Any], text: str, cause: str) -> None:
    result = judged(fields, text)

    assert result.cause == cause
    assert result.outcome == ("fail" if cause else "pass")
    assert len(json.dumps(result.extracted)) < 1000
    assert len(result.reason) < 1000


def test_a_pattern_that_backtracks_is_the_graders_fault() -> None:
    fields = {
        "parts": {"x": {"pattern": "(a|aa)+$", "as": "count"}},
        "relations": ["x == 1"],
        "timeout_s": 0.3,
    }
    result = judged(fields, "a" * 100 + "b")

    assert result.outcome is CheckOutcome.ERROR
    assert result.cause == "pattern ran out of time"


# ---- Properties

tenths = st.integers(0, 50).map(lambda number: Fraction(number, 10))


@given(scores=st.lists(tenths, min_size=1, max_size=8), said=tenths)
def test_a_mean_holds_exactly_where_it_is_one(scores: list[Fraction], said: Fraction) -> None:
    fields = {**MEAN, "relations": ["abs(mean(xs) - x) <= 0.05", "count(xs) >= 1"]}
    text = f"({float(said)}/5)\n" + "".join(f"| a | {float(score)} |\n" for score in scores)
    right = abs(sum(scores, Fraction(0)) / len(scores) - said) <= Fraction("0.05")

    assert judged(fields, text).value == (1.0 if right else 0.5)


@given(text=st.text(st.characters()) | st.text("#(3/5)— PASSFIL|\n.9-").map(lambda text: f"### {text}"))
def test_any_text_is_judged_and_passes_only_with_all_parts_there(text: str) -> None:
    result = judged(REVIEW, text)

    assert result.outcome in {CheckOutcome.PASS, CheckOutcome.FAIL}
    assert 0 <= result.value <= 1
    assert json.dumps([result.extracted, result.reason])
    if result.outcome is CheckOutcome.PASS:
        assert "PASS" in text or "FAIL" in text
        assert "/5)" in text
        assert "|" in text
