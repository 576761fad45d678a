"""`label`: one of a fixed set of classes, and the right one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome
from evals.checks.label import MAX_PLACES, Label, LabelExpect

LINE = {"pattern": r"(?im)^label: *(.+)$"}
FOLDED = {"ignore_case": True}

# fields, reply -> outcome, cause, what stands where the label should, part of the reason; the right label is 'spam'
JUDGED: dict[str, tuple[dict[str, Any], str, str, str, str | None, str]] = {
    "the label": ({}, "spam", "pass", "", "spam", "says 'spam'"),
    "white space around": ({}, " spam\n", "pass", "", "spam", "says 'spam'"),
    "another label": ({}, "ham", "fail", "wrong label", "ham", "says 'ham', expected 'spam'"),
    "two words": ({}, "not sure", "fail", "wrong label", "not sure", "says 'not sure', expected 'spam'"),
    "no label": ({}, "junk", "fail", "not a label", "junk", "'junk' is no label; known: spam, ham, not sure"),
    "a sentence": ({}, "It is spam.", "fail", "not a label", "It is spam.", "is no label"),
    "a full stop": ({}, "spam.", "fail", "not a label", "spam.", "is no label"),
    "capitals": ({}, "Spam", "fail", "not a label", "Spam", "is no label"),
    "capitals allowed": (FOLDED, "SPAM", "pass", "", "spam", "says 'spam'"),
    "another in capitals": (FOLDED, "Not Sure", "fail", "wrong label", "not sure", "says 'not sure'"),
    "a Cyrillic letter": (FOLDED, "sp\u0430m", "fail", "not a label", "sp\u0430m", "is no label"),
    "both labels": ({}, "spam\nham", "fail", "not a label", "spam\\nham", "is no label"),
    "on its line": (LINE, "It sells pills.\nLabel: spam", "pass", "", "spam", "says 'spam'"),
    "on no line": (LINE, "spam", "fail", "not a label", None, "nothing found where the label should stand"),
    "a line with another": (LINE, "label: ham", "fail", "wrong label", "ham", "says 'ham', expected 'spam'"),
    "a line with none": (LINE, "label: junk", "fail", "not a label", "junk", "is no label"),
    "the same line twice": (LINE, "label: spam\nlabel: spam ", "pass", "", "spam", "says 'spam'"),
    "two lines": (LINE, "label: spam\nlabel: ham", "fail", "not a label", None, "names several: spam, ham"),
    "the line without its group": (
        {"pattern": "spam|ham"},
        "maybe ham",
        "fail",
        "wrong label",
        "ham",
        "says 'ham'",
    ),
    "two lines that differ in case": (
        {**LINE, **FOLDED},
        "label: spam\nlabel: Spam",
        "pass",
        "",
        "spam",
        "says 'spam'",
    ),
    "a megabyte": ({}, "spam" * 250_000, "fail", "not a label", "spam" * 19 + "spa…", "is no label"),
    "a megabyte of lines": (
        LINE,
        "label: spam\n" * 80_000,
        "fail",
        "not a label",
        None,
        "in more than 100 places",
    ),
    "NULs and surrogates": ({}, "\x00\ud800spam", "fail", "not a label", "\\x00\\ud800spam", "is no label"),
}


def check(**fields: Any) -> Label:
    labels = ["spam", "ham", "not sure"]
    return Label.model_validate({"kind": "label", "capability": "content", "labels": labels, **fields})


@pytest.mark.parametrize(
    ("fields", "text", "outcome", "cause", "got", "says"),
    JUDGED.values(),
    ids=[name.replace(" ", "-") for name in JUDGED],
)
def test_a_reply_is_judged_by_its_label(
    fields: dict[str, Any], text: str, outcome: str, cause: str, got: str | None, says: str
) -> None:
    result = check(**fields).judge(LabelExpect(label="spam"), Answer(text))

    assert (result.outcome.value, result.cause, result.value) == (outcome, cause, float(outcome == "pass"))
    # What is no label stands apart, so that figures over labels need not look at the cause.
    no_label = {"label": None, "said": got} if got else {"label": None}
    assert result.extracted == (no_label if cause == "not a label" else {"label": got})
    assert says in result.reason
    assert result.reason.isprintable()


def test_a_pattern_that_runs_out_of_time_is_the_graders_fault() -> None:
    slow = check(pattern="^(a|aa)+$", timeout_s=0.05)

    result = slow.judge(LabelExpect(label="spam"), Answer("a" * 60 + "b"))

    assert (result.outcome, result.cause) == (CheckOutcome.ERROR, "pattern ran out of time")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "one label": ({"labels": ["spam"]}, "at least 2"),
    "no label": ({"labels": []}, "at least 2"),
    "a label twice": ({"labels": ["spam", "ham", "spam"]}, "the label 'spam' stands twice"),
    "a label twice but for case": (
        {"labels": ["spam", "Spam"], "ignore_case": True},
        "the label 'spam' stands twice",
    ),
    "an empty label": ({"labels": ["spam", ""]}, "is empty or has white space around it"),
    "a label with space around": ({"labels": ["spam", " ham"]}, "' ham' is empty or has white space"),
    "a bad pattern": ({"pattern": "label: ("}, "bad pattern"),
    "two groups": ({"pattern": "(label): (.+)"}, "has 2 groups"),
    "an unknown field": ({"label": "spam"}, "Extra inputs are not permitted"),
}


@pytest.mark.parametrize(
    ("fields", "says"), REFUSED.values(), ids=[name.replace(" ", "-") for name in REFUSED]
)
def test_what_could_not_be_answered_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says.replace("(", r"\(")):
        check(**fields)


def test_labels_may_differ_in_case_alone_where_case_counts() -> None:
    assert check(labels=["spam", "Spam"]).judge(LabelExpect(label="Spam"), Answer("Spam")).value == 1


def test_lint_wants_the_cases_label_among_the_checks() -> None:
    assert check().problems(LabelExpect(label="spam")) == []
    assert check().problems(LabelExpect(label="Spam")) == [
        "the label 'Spam' is none of 'spam', 'ham', 'not sure'"
    ]
    assert check().problems(LabelExpect()) == []


def test_a_case_without_a_label_gives_nothing_to_judge() -> None:
    assert not check().applies(LabelExpect())
    assert check().applies(LabelExpect(label="spam"))


def test_the_run_record_keeps_what_was_expected() -> None:
    assert check().expected(LabelExpect(label="ham")) == {"label": "ham", "of": ["spam", "ham", "not sure"]}


def test_a_label_in_more_than_a_hundred_places_is_none() -> None:
    text = "label: spam\n" * MAX_PLACES

    assert check(**LINE).judge(LabelExpect(label="spam"), Answer(text)).outcome is CheckOutcome.PASS
    for more in ("label: ham\n", "label: spam\n"):
        result = check(**LINE).judge(LabelExpect(label="spam"), Answer(text + more))
        assert (result.value, result.cause) == (0, "not a label")


@given(text=st.text() | st.sampled_from(["spam", "ham", "not sure", " ham "]), ignore_case=st.booleans())
def test_exactly_one_label_is_right_for_what_is_a_label(text: str, ignore_case: bool) -> None:
    judge = check(ignore_case=ignore_case)
    right = [one for one in judge.labels if judge.judge(LabelExpect(label=one), Answer(text)).value == 1]

    said = text.strip().casefold() if ignore_case else text.strip()
    assert right == [one for one in judge.labels if one == said]
