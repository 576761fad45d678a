"""`rouge_l`: the longest common subsequence of tokens, as the rouge-score package counts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer
from evals.checks.rouge_l import RougeL, RougeLExpect, rouge_l, rouge_tokens

# Values of another implementation; the file says which, and how they were made.
ROUGE = json.loads((Path(__file__).parent / "data" / "rouge_l_values.json").read_text(encoding="utf-8"))[
    "cases"
]

TOKENS: dict[str, tuple[str, list[str]]] = {
    "capitals and signs": ("The Cat, sat!", ["the", "cat", "sat"]),
    "a hyphen and an underscore": ("well-known e_mail", ["well", "known", "e", "mail"]),
    "an apostrophe": ("year's", ["year", "s"]),
    "a decimal number": ("$1,200.50", ["1", "200", "50"]),
    "no stemming": ("running runs", ["running", "runs"]),
    "umlauts": ("Größe ZOE\u0308", ["grösse", "zoë"]),
    "Devanagari": ("दिल्ली में", ["दिल्ली", "में"]),
    "full width": ("ＡＢ　１２", ["ab", "12"]),
    "nothing": (" – ! \x00", []),
}

POLICE = ["police killed the gunman"]

# fields, references, reply -> outcome, value, cause, part of the reason
JUDGED: dict[str, tuple[dict[str, Any], list[str], str, str, float, str, str]] = {
    "the same": ({"min_f1": 1}, POLICE, "Police killed the gunman.", "pass", 1, "", "f1 1.00"),
    # Lin 2004, section 3.1: S2 scores 0.75 and S3 0.5 against S1.
    "the paper's S2": ({"min_f1": 0.75}, POLICE, "police kill the gunman", "pass", 0.75, "", "f1 0.75"),
    "the paper's S3": (
        {"min_f1": 0.75},
        POLICE,
        "the gunman kill police",
        "fail",
        0.5,
        "too little in common",
        "f1 0.50 < 0.75",
    ),
    "recall of a long reply": (
        {"min_recall": 1},
        POLICE,
        "so police killed the one gunman",
        "pass",
        1,
        "",
        "1.00",
    ),
    "precision of a long reply": (
        {"min_precision": 0.7},
        POLICE,
        "so police killed the one gunman",
        "fail",
        4 / 6,
        "too little in common",
        "precision 0.67 < 0.7",
    ),
    "precision of a short reply": ({"min_precision": 1}, POLICE, "police", "pass", 1, "", "precision 1.00"),
    "two bars, one missed": (
        {"min_precision": 1, "min_recall": 0.5},
        POLICE,
        "police",
        "fail",
        0.25,
        "too little in common",
        "recall 0.25 < 0.5",
    ),
    "the better reference": (
        {"min_f1": 1},
        ["no", *POLICE],
        "police killed the gunman",
        "pass",
        1,
        "",
        "f1 1.00",
    ),
    # Against the second alone both bars hold, though the lower of the two figures is higher with the first.
    "the reference that reaches both bars": (
        {"min_precision": 0.2, "min_recall": 0.9},
        ["a b c d e f", "a b"],
        "a x b y z c",
        "pass",
        1 / 3,
        "",
        "recall 1.00",
    ),
    "nothing in common": ({"min_f1": 0.1}, POLICE, "rain", "fail", 0, "nothing in common", "f1 0.00 < 0.1"),
    "no word": ({"min_f1": 0.1}, POLICE, "…!", "fail", 0, "nothing in common", "f1 0.00 < 0.1"),
    "a megabyte": (
        {"min_f1": 0.5},
        POLICE,
        "police " * 150_000,
        "fail",
        0,
        "too little in common",
        "f1 0.00",
    ),
    "a megabyte of one word": (
        {"min_f1": 0.5},
        POLICE,
        "p" * 10**6,
        "fail",
        0,
        "nothing in common",
        "f1 0.00",
    ),
    "NULs and surrogates": (
        {"min_f1": 0.5},
        POLICE,
        "\x00police\ud800killed",
        "pass",
        4 / 6,
        "",
        "f1 0.67",
    ),
}


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-").replace(",", "") for name in table]


def check(**fields: Any) -> RougeL:
    return RougeL.model_validate({"kind": "rouge_l", "capability": "content", **fields})


@pytest.mark.parametrize(("text", "tokens"), TOKENS.values(), ids=ids(TOKENS))
def test_texts_are_cut_into_words(text: str, tokens: list[str]) -> None:
    assert rouge_tokens(text) == tokens


@pytest.mark.parametrize(
    ("fields", "references", "text", "outcome", "value", "cause", "says"), JUDGED.values(), ids=ids(JUDGED)
)
def test_a_reply_is_judged_by_the_best_reference(
    fields: dict[str, Any],
    references: list[str],
    text: str,
    outcome: str,
    value: float,
    cause: str,
    says: str,
) -> None:
    result = check(**fields).judge(RougeLExpect(references=references), Answer(text))

    assert (result.outcome.value, result.cause) == (outcome, cause)
    assert result.value == pytest.approx(value, abs=1e-4)
    assert says in result.reason


@pytest.mark.parametrize(
    "case", ROUGE, ids=[f"{number}-{case['reply'][:20]}" for number, case in enumerate(ROUGE)]
)
def test_the_figures_are_those_of_another_implementation(case: dict[str, Any]) -> None:
    expect = RougeLExpect(references=[case["reference"]])
    result = check(min_f1=0.5).judge(expect, Answer(case["reply"]))

    assert result.measures == {name: pytest.approx(case[name]) for name in ("precision", "recall", "f1")}


def test_what_was_compared_is_told() -> None:
    result = check(min_f1=0.5).judge(RougeLExpect(references=["no", *POLICE]), Answer("the gunman"))

    assert result.extracted == {"words": 2, "reference": 1}
    assert result.measures == {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3)}


def test_a_check_without_a_bar_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs min_f1, min_recall or min_precision"):
        check()


@pytest.mark.parametrize("field", ["min_f1", "min_recall", "min_precision"])
@pytest.mark.parametrize("bar", [0, -0.1, 1.1, float("nan")])
def test_a_bar_that_is_no_share_is_refused(field: str, bar: float) -> None:
    with pytest.raises(ValidationError, match=field):
        check(**{field: bar})


def test_lint_refuses_references_without_a_word() -> None:
    expect = RougeLExpect(references=["fine", "…", ""])

    assert check(min_f1=0.5).problems(expect) == [
        "the reference '…' has no word",
        "the reference '' has no word",
    ]


def test_a_case_without_references_gives_nothing_to_judge() -> None:
    assert not check(min_f1=0.5).applies(RougeLExpect())
    assert check(min_f1=0.5).applies(RougeLExpect(references=["x"]))


def longest_common(one: list[str], other: list[str]) -> int:
    """The textbook's table, row by row."""
    row = [0] * (len(other) + 1)
    for left in one:
        above = row
        row = [0]
        for column, right in enumerate(other):
            row.append(above[column] + 1 if left == right else max(above[column + 1], row[column]))
    return row[-1]


words = st.lists(st.sampled_from(["a", "b", "c", "dd", "é"]), max_size=90)


@given(reply=words, reference=words)
def test_the_common_subsequence_is_the_longest(reply: list[str], reference: list[str]) -> None:
    figures = rouge_l(reply, reference)
    common = longest_common(reply, reference)

    assert figures["precision"] * len(reply) == pytest.approx(common)
    assert figures["recall"] * len(reference) == pytest.approx(common)
    assert figures["f1"] * (len(reply) + len(reference)) == pytest.approx(2 * common)
