"""`quotes`: what stands in quotation marks must stand in the input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, CheckResult
from evals.checks.quotes import Quotes, QuotesExpect

ASKED = """\
Read the letter and quote what speaks for it.

The ferry was "never late", wrote Zoë — not once,  in
ten years. Fares rose by 3.5%; nobody’s complaint was heard. Re-read it.
"""

# name: (fields, evidence, text, outcome, value, a part of the reason)
JUDGED: dict[str, tuple[dict[str, Any], list[str], str, str, float, str]] = {
    "straight": (
        {},
        [],
        'It says "nobody\'s complaint was heard".',
        "pass",
        1,
        "1 quote(s), all in the input",
    ),
    "curly": ({}, [], "It says “Fares rose by 3.5%”.", "pass", 1, ""),
    "angled": ({}, [], "« in ten years »", "pass", 1, ""),
    "low": ({}, [], "„Fares rose“", "pass", 1, ""),
    "low, closed as in Polish": ({}, [], "„Fares rose”", "pass", 1, ""),
    "another case of letters": ({}, [], '"fares ROSE"', "pass", 1, ""),
    "over a line of the input": ({}, [], '"not once, in ten years"', "pass", 1, ""),
    "other marks within": ({}, [], "“The ferry was 'never late'”", "fail", 0, "is not in the input"),
    "the same marks within": ({}, [], "«The ferry was “never late”»", "pass", 1, ""),
    "another dash": ({}, [], '"Zoë - not once"', "pass", 1, ""),
    "composed otherwise": ({}, [], '"wrote Zoe\u0308"', "pass", 1, ""),
    "full width letters": ({}, [], '"ｆａｒｅｓ"', "pass", 1, ""),
    "a comma of the writer": ({}, [], '"Fares rose," it says.', "pass", 1, ""),
    "made up": ({}, [], '"The ferry was often late"', "fail", 0, "'The ferry was often late' is not in the"),
    "one of two made up": ({}, [], '"Fares rose" and "fares fell"', "fail", 0.5, "'fares fell' is not in"),
    "a part of a word": ({}, [], '"ares rose"', "fail", 0, "'ares rose' is not in the input"),
    "cut within a word": ({}, [], '"Fares ros"', "fail", 0, "is not in the input"),
    "words left out": ({}, [], '"Fares … 3.5%"', "fail", 0, "is not in the input"),
    "no quote": ({}, [], "Fares rose.", "fail", 0, "0 quote(s) of the input, at least 1 wanted"),
    "not closed": ({}, [], 'It says "Fares rose.', "fail", 0, "0 quote(s)"),
    "over two lines": ({}, [], 'It says "Fares\nrose".', "fail", 0, "0 quote(s)"),
    "empty": ({}, [], '"" and " " and "…"', "fail", 0, "0 quote(s)"),
    "too few": ({"at_least": 2}, [], '"Fares rose"', "fail", 1, "1 quote(s) of the input, at least 2 wanted"),
    "made up ones do not count": (
        {"at_least": 2},
        [],
        '"Fares rose" "x y"',
        "fail",
        0.5,
        "1 quote(s) of the",
    ),
    "enough": ({"at_least": 2}, [], '"Fares rose" "ten years"', "pass", 1, "2 quote(s)"),
    "short ones are no quotes": ({"min_words": 2}, [], 'a "PASS": "Fares rose"', "pass", 1, "1 quote(s)"),
    "short ones are not enough": ({"min_words": 3}, [], '"Fares rose"', "fail", 0, "0 quote(s)"),
    "by a pattern": ({"pattern": "(?m)^> (.+)$"}, [], '> Fares rose\n"made up"\n', "pass", 1, ""),
    "by a pattern, made up": ({"pattern": "(?m)^> (.+)$"}, [], "> Fares fell\n", "fail", 0, "'Fares fell'"),
    "a group without a part": ({"pattern": "x(a)?"}, [], "x", "fail", 0, "0 quote(s)"),
    "front matter": ({}, [], '---\ntitle: "made up"\n---\n"Fares rose"', "pass", 1, ""),
    "in each section": ({"each": "h2"}, [], '## A\n"Fares rose"\n## B\n"ten years"', "pass", 1, "2 quote(s)"),
    "not in one section": (
        {"each": "h2"},
        [],
        '## A\n"Fares rose"\n## B\n',
        "fail",
        1,
        "'B' (line 3): 0 quote",
    ),
    "no section": ({"each": "h2"}, [], '"Fares rose"', "fail", 0, "no h2 section to look at"),
    "evidence": ({}, ["Fares rose by 3.5%"], '"Fares rose by 3.5%"', "pass", 1, ""),
    "more than the evidence": ({}, ["Fares rose"], '"Fares rose by 3.5%"', "pass", 1, ""),
    "half of the evidence": ({}, ["Fares rose by 3.5%"], '"Fares rose"', "pass", 1, ""),
    "less than half": (
        {},
        ["Fares rose by"],
        '"Fares"',
        "fail",
        1,
        "none of the quotes is of the passage",
    ),
    "one of the evidence": ({}, ["ten years", "Fares rose"], '"Fares rose"', "pass", 1, ""),
    "one quote of it": ({}, ["Fares rose"], '"ten years" "Fares rose"', "pass", 1, ""),
    "other evidence": ({}, ["Fares rose"], '"ten years"', "fail", 1, "none of the quotes is of the passage"),
    "evidence within a word": ({}, ["late"], '"wrote Zoë"', "fail", 1, "none of the quotes"),
}

CAUSES: dict[str, str] = {
    "made up": "quote not in input",
    "no quote": "no quote",
    "too few": "too few quotes",
    "other evidence": "other evidence",
}


def check(**fields: Any) -> Quotes:
    return Quotes.model_validate({"kind": "quotes", "capability": "content", **fields})


def judged(fields: dict[str, Any], evidence: list[str], text: str, asked: str = ASKED) -> CheckResult:
    one, expect = check(**fields), QuotesExpect(evidence=evidence)
    assert one.applies(expect)
    assert one.problems(expect) == []
    return one.judge(expect, Answer(text, asked))


@pytest.mark.parametrize(
    ("fields", "evidence", "text", "outcome", "value", "says"),
    JUDGED.values(),
    ids=[name.replace(" ", "-") for name in JUDGED],
)
def test_a_reply_is_judged_by_its_quotes(
    fields: dict[str, Any], evidence: list[str], text: str, outcome: str, value: float, says: str
) -> None:
    result = judged(fields, evidence, text)

    assert result.outcome.value == outcome
    assert result.value == pytest.approx(value)
    assert says in result.reason


@pytest.mark.parametrize(("name", "cause"), CAUSES.items())
def test_a_miss_has_a_cause_to_count_by(name: str, cause: str) -> None:
    assert judged(*JUDGED[name][:3]).cause == cause


def test_what_was_quoted_is_told_and_small() -> None:
    result = judged({}, [], '"Fares rose" ' + f'"{"x" * 200}" ' * 30)

    assert result.extracted["found"] == ["Fares rose"]
    assert len(result.extracted["not_found"]) == 10
    assert result.extracted["not_found"][0] == "x" * 79 + "…"
    assert "and 28 more" not in result.reason
    assert "and 27 more" in result.reason


REFUSED = {
    "a bad pattern": ({"pattern": "("}, r"bad pattern '\('"),
    "no group": ({"pattern": "a"}, "pattern has 0 groups; exactly one holds the quote"),
    "two groups": ({"pattern": "(a)(b)"}, "pattern has 2 groups"),
    "no quote needed": ({"at_least": 0}, "greater than or equal to 1"),
    "no words needed": ({"min_words": 0}, "greater than or equal to 1"),
}


@pytest.mark.parametrize(
    ("fields", "says"), REFUSED.values(), ids=[name.replace(" ", "-") for name in REFUSED]
)
def test_a_configuration_that_means_nothing_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        check(**fields)


@pytest.mark.parametrize("passage", ["", " ", "…"])
def test_evidence_without_a_word_is_told(passage: str) -> None:
    assert check().problems(QuotesExpect(evidence=["x", passage])) == [
        "evidence without a word is found in every quote"
    ]


TEXT = st.lists(st.sampled_from(["the", "Ferry", "was", "late", "Zoë", "3.5"]), min_size=1, max_size=12)


@given(TEXT, st.data())
def test_any_run_of_words_of_the_input_is_found(words: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))

    result = judged({}, [], f"“{' '.join(words[start:end]).upper()}”", "\n".join(words))

    assert result.outcome is CheckOutcome.PASS


@given(TEXT, TEXT)
def test_only_words_of_the_input_are_found(words: list[str], quoted: list[str]) -> None:
    result = judged({}, [], f"“{' '.join(quoted)}”", " ".join(words))

    assert (result.outcome is CheckOutcome.PASS) == (f" {' '.join(quoted)} " in f" {' '.join(words)} ")


def test_a_pattern_that_backtracks_is_an_error_of_the_grader() -> None:
    result = judged({"pattern": "((?:a|aa)+)$", "timeout_s": 0.05}, [], "a" * 5000 + "b")

    assert (result.outcome, result.cause) == (CheckOutcome.ERROR, "pattern ran out of time")


HOSTILE = {
    "a megabyte": ("a" * 1_000_000, "too long"),
    "many quotes": ('"a" ' * 2_001, "too long"),
    "opening marks": ("“" * 190_000, "no quote"),
    "straight marks": ('"' * 190_000, "no quote"),
    "low marks": ("„" * 190_000, "no quote"),
    "marks upon marks": ('"a' + "\u0315\u0300" * 90_000 + '"', "quote not in input"),
    "NULs": ('"a\0b"', "quote not in input"),
    "half a pair": ('"a\ud800b"', "quote not in input"),
}


@pytest.mark.parametrize(
    ("text", "cause"), HOSTILE.values(), ids=[name.replace(" ", "-") for name in HOSTILE]
)
def test_hostile_text_fails_in_words(text: str, cause: str) -> None:
    result = judged({}, [], text)

    assert (result.outcome, result.cause) == (CheckOutcome.FAIL, cause)
