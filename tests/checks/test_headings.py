"""`headings`: which headings, in which order, how many, and in which form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, CheckResult
from evals.checks.headings import Headings, HeadingsExpect

SCORED = r"(?P<title>.+) \((\d\.\d)/5\)"
TWO = "# Doc\n\n## One\nx\n\n## Two\ny\n"

# name: (fields, the case's headings, text, outcome, value, a part of the reason)
JUDGED: dict[str, tuple[dict[str, Any], list[str] | None, str, str, float, str]] = {
    "as wanted": ({"level": 2}, ["One", "Two"], TWO, "pass", 1, "2 h2 headings as wanted"),
    "any level": ({}, ["Doc", "One", "Two"], TWO, "pass", 1, "3 headings as wanted"),
    "marks are no part": ({}, ["A b c"], "# **A** `b` [c](d) ##\n", "pass", 1, "1 heading as wanted"),
    "setext": ({"level": 1}, ["A b"], "A\nb\n===\n", "pass", 1, ""),
    "other spaces and forms": ({}, ["A  １"], "# A\u00a01\n", "pass", 1, ""),
    "another case of letters": ({}, ["one"], "# One\n", "fail", 0, "the heading 'one' is missing"),
    "one missing": ({"level": 2}, ["One", "Two", "Three"], TWO, "fail", 2 / 3, "'Three' is missing"),
    "the first missing": ({"level": 2}, ["Zero", "One", "Two"], TWO, "fail", 2 / 3, "'Zero' is missing"),
    "another order": ({"level": 2}, ["Two", "One"], TWO, "fail", 0.5, "'One' stands in the wrong place"),
    "one too many": ({"level": 2}, ["One"], TWO, "fail", 1, "the heading 'Two' is not wanted"),
    "more may stand": ({"level": 2, "more": True}, ["Two"], TWO, "pass", 1, ""),
    "more, but not in order": ({"more": True}, ["Two", "One"], TWO, "fail", 0.5, "'One' stands in the wrong"),
    "one twice": ({}, ["One"], "# One\n# One\n", "fail", 1, "'One' is not wanted"),
    "twice wanted": ({}, ["One", "One"], "# One\n# One\n", "pass", 1, ""),
    "twice wanted, there once": ({}, ["One", "One"], "# One\n", "fail", 0.5, "'One'"),
    "none wanted": ({}, [], "text\n", "pass", 1, "0 headings as wanted"),
    "none wanted of a level": ({"level": 3}, [], TWO, "pass", 1, "0 h3 headings as wanted"),
    "none wanted, one there": ({}, [], "# A\n", "fail", 0, "the heading 'A' is not wanted"),
    "none there": ({}, ["One"], "One\n", "fail", 0, "there is no heading"),
    "none of the level": ({"level": 3}, ["One"], TWO, "fail", 0, "there is no h3 heading"),
    "titles": ({"level": 2, "titles": ["O.e", "T.*"]}, None, TWO, "pass", 1, ""),
    "titles match whole": ({"level": 2, "titles": ["On", "Two"]}, None, TWO, "fail", 0.5, "'On' is missing"),
    "titles may ignore case": ({"titles": ["(?i)one"]}, None, "# ONE\n", "pass", 1, ""),
    "titles between others": ({"titles": ["Two"], "more": True}, None, TWO, "pass", 1, ""),
    "form": ({"pattern": SCORED}, None, "# A (4.5/5)\n# B (3.0/5)\n", "pass", 1, "2 headings"),
    "one in another form": (
        {"pattern": SCORED},
        None,
        "# A (4.5/5)\n# B\n",
        "fail",
        0.5,
        "'B' (line 2) does",
    ),
    "form without a heading": ({"pattern": SCORED}, None, "A (4.5/5)\n", "fail", 0, "there is no heading"),
    "form, where none need be": ({"pattern": SCORED, "at_least": 0}, None, "A\n", "pass", 1, "0 headings"),
    "title out of the form": ({"pattern": SCORED}, ["A", "B"], "# A (4.5/5)\n# B (3.0/5)\n", "pass", 1, ""),
    "title out of a wrong form": (
        {"pattern": SCORED},
        ["A", "B"],
        "# A (4.5/5)\n# B\n",
        "fail",
        1,
        "'B' (line",
    ),
    "a form without a group": ({"pattern": "[A-Z]"}, ["A", "C"], "# A\n# B\n", "fail", 0.5, "'C' is missing"),
    "enough": ({"at_least": 2}, None, "# A\n# B\n", "pass", 1, ""),
    "too few": ({"at_least": 3}, None, "# A\n# B\n", "fail", 1, "2 headings, at least 3 wanted"),
    "too many": ({"at_most": 1}, None, "# A\n# B\n", "fail", 1, "2 headings, at most 1 wanted"),
    "at most, and none": ({"at_most": 3}, None, "text\n", "fail", 0, "there is no heading"),
    "at most none": ({"level": 1, "at_most": 0}, None, "## A\n", "pass", 1, "0 h1 headings"),
    "more than none": ({"at_most": 0}, None, "# A\n", "fail", 1, "1 headings, at most 0 wanted"),
    "in code": ({}, ["A"], "```\n# A\n```\n", "fail", 0, "there is no heading"),
    "in a quote": ({}, ["A"], "> # A\n", "fail", 0, "there is no heading"),
    "in a list": ({}, ["A"], "- # A\n", "fail", 0, "there is no heading"),
    "as HTML": ({}, ["A"], "<h1>A</h1>\n", "fail", 0, "there is no heading"),
    "without the space": ({}, ["A"], "#A\n", "fail", 0, "there is no heading"),
    "bold text": ({}, ["A"], "**A**\n", "fail", 0, "there is no heading"),
    "front matter is none": ({}, ["A"], "---\nt: x\n---\n# A\n", "pass", 1, ""),
}

CAUSES: dict[str, str] = {
    "one missing": "missing heading",
    "another order": "missing heading",
    "one too many": "unwanted heading",
    "none there": "no heading",
    "one in another form": "heading form",
    "too few": "number of headings",
}


def check(**fields: Any) -> Headings:
    return Headings.model_validate({"kind": "headings", "capability": "format", **fields})


def judged(fields: dict[str, Any], wanted: list[str] | None, text: str) -> CheckResult:
    one, expect = check(**fields), HeadingsExpect(headings=wanted)
    assert one.applies(expect)
    assert one.problems(expect) == []
    return one.judge(expect, Answer(text))


@pytest.mark.parametrize(
    ("fields", "wanted", "text", "outcome", "value", "says"),
    JUDGED.values(),
    ids=[name.replace(" ", "-") for name in JUDGED],
)
def test_a_reply_is_judged_by_its_headings(
    fields: dict[str, Any], wanted: list[str] | None, text: str, outcome: str, value: float, says: str
) -> None:
    result = judged(fields, wanted, text)

    assert result.outcome.value == outcome
    assert result.value == pytest.approx(value)
    assert says in result.reason


@pytest.mark.parametrize(("name", "cause"), CAUSES.items())
def test_a_miss_has_a_cause_to_count_by(name: str, cause: str) -> None:
    fields, wanted, text, *_ = JUDGED[name]

    assert judged(fields, wanted, text).cause == cause


def test_what_was_found_is_told_and_small() -> None:
    result = judged({}, ["x"], "# A\x1b[0m\n" + f"# {'b' * 500}\n" * 50)

    assert result.extracted["count"] == 51
    assert result.extracted["headings"][0] == "A\\x1b[0m"
    assert len(result.extracted["headings"]) == 20
    assert max(map(len, result.extracted["headings"])) <= 80


REFUSED = {
    "a bad pattern": ({"pattern": "("}, r"bad pattern '\('"),
    "a bad title": ({"titles": ["a", "["]}, r"bad pattern '\['"),
    "bounds that cross": ({"at_least": 3, "at_most": 2}, "at_least is 3 but at_most is 2"),
    "more titles than may be": ({"titles": ["a", "b"], "at_most": 1}, "at_most is 1 but titles are 2"),
    "a form for none": ({"pattern": "a", "at_most": 0}, "pattern would have no heading to match"),
    "no such level": ({"level": 7}, "less than or equal to 6"),
    "an unknown field": ({"title": "a"}, "Extra inputs are not permitted"),
}


@pytest.mark.parametrize(
    ("fields", "says"), REFUSED.values(), ids=[name.replace(" ", "-") for name in REFUSED]
)
def test_a_configuration_that_means_nothing_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        check(**fields)


UNWANTED = {
    "titles and headings": ({"titles": ["a"]}, ["a"], "keep one"),
    "an empty title": ({}, [" "], "an empty title"),
    "none, and any": ({"more": True}, [], "it could not fail"),
    "none, and at least one": ({"at_least": 1}, [], "headings are [] but at_least is 1"),
    "more than may be": ({"at_most": 1}, ["a", "b"], "at_most is 1 but headings are 2"),
}


@pytest.mark.parametrize(
    ("fields", "wanted", "says"), UNWANTED.values(), ids=[name.replace(" ", "-") for name in UNWANTED]
)
def test_an_expectation_that_means_nothing_is_told(
    fields: dict[str, Any], wanted: list[str], says: str
) -> None:
    (problem,) = check(**fields).problems(HeadingsExpect(headings=wanted))

    assert says in problem


@pytest.mark.parametrize("fields", [{}, {"level": 2}, {"more": True}, {"at_least": 0}])
def test_without_a_demand_there_is_nothing_to_judge(fields: dict[str, Any]) -> None:
    assert not check(**fields).applies(HeadingsExpect())
    assert check(**fields).applies(HeadingsExpect(headings=["a"]))


TITLES = st.lists(st.text(st.sampled_from("abc"), min_size=1, max_size=2), min_size=1, max_size=5)


@given(TITLES, TITLES)
def test_only_the_same_titles_in_the_same_order_pass(wanted: list[str], got: list[str]) -> None:
    result = judged({}, wanted, "\n".join(f"# {title}" for title in got))

    assert (result.outcome is CheckOutcome.PASS) == (wanted == got)
    assert 0 <= result.value <= 1


@given(TITLES, TITLES)
def test_with_more_any_text_that_holds_them_in_order_passes(wanted: list[str], got: list[str]) -> None:
    result = judged({"more": True}, wanted, "\n".join(f"# {title}" for title in got))
    rest = iter(got)

    assert (result.outcome is CheckOutcome.PASS) == all(title in rest for title in wanted)


def test_a_pattern_that_backtracks_is_an_error_of_the_grader() -> None:
    result = judged({"pattern": "(a|aa)+$", "timeout_s": 0.05}, None, "# " + "a" * 5000 + "b\n")

    assert result.outcome is CheckOutcome.ERROR
    assert result.cause == "pattern ran out of time"


@pytest.mark.parametrize(
    ("text", "cause"),
    [("# A\n" * 250_000, "too long"), ("\0" * 1000, "no heading"), ("# \ud800\n", "missing heading")],
)
def test_hostile_text_fails_in_words(text: str, cause: str) -> None:
    result = judged({}, ["A"], text)

    assert (result.outcome, result.cause) == (CheckOutcome.FAIL, cause)
