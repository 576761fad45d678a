"""`token_f1`: short answers by exact match and token F1, as SQuAD counts them."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome
from evals.checks.token_f1 import TokenF1, TokenF1Expect, normal_tokens, token_f1

# Values of another implementation; the file says which, and how they were made.
SQUAD = json.loads((Path(__file__).parent / "data" / "squad_values.json").read_text(encoding="utf-8"))[
    "cases"
]

NORMAL: dict[str, tuple[str, list[str]]] = {
    "capitals": ("Marie CURIE", ["marie", "curie"]),
    "articles": ("The cat, a dog and an owl", ["cat", "dog", "and", "owl"]),
    "an article inside a word": ("theatre an's", ["theatre", "ans"]),
    "a hyphen": ("well-known", ["wellknown"]),
    "an ASCII symbol": ("$1,200 + 5", ["1200", "5"]),
    "another symbol": ("€5", ["€5"]),
    "curly quotes and dashes": ("“the end” – now…", ["end", "now"]),
    "Chinese punctuation": ("北京。上海", ["北京上海"]),
    "full width": ("Ｐａｒｉｓ", ["paris"]),
    "composed otherwise": ("Zoe\u0308", ["zoë"]),
    "sharp s": ("STRASSE Straße", ["strasse", "strasse"]),
    "white space": (" a\tb\n\u00a0c ", ["b", "c"]),
    "nothing left": ("The -- a!", []),
}

# fields, answers, reply -> outcome, value, cause, part of the reason
JUDGED: dict[str, tuple[dict[str, Any], list[str], str, str, float, str, str]] = {
    "the same": ({"exact": True}, ["Marie Curie"], "Marie Curie", "pass", 1, "", "is 'Marie Curie'"),
    "the same after all": (
        {"exact": True},
        ["Eiffel Tower"],
        "the Eiffel tower.",
        "pass",
        1,
        "",
        "is 'Eiffel",
    ),
    "in a sentence": (
        {"contains": True},
        ["Lyon", "Marie Curie"],
        "It was the Marie Curie, I think.",
        "pass",
        1,
        "",
        "contains 'Marie Curie'",
    ),
    "not in a row": (
        {"contains": True},
        ["Marie Curie"],
        "Marie and Pierre Curie",
        "fail",
        0,
        "another answer",
        "does not contain 'Marie Curie'",
    ),
    "a part of a word": (
        {"contains": True},
        ["Au"],
        "gold is Aurum",
        "fail",
        0,
        "no word in common",
        "does not contain 'Au'",
    ),
    "the second": (
        {"exact": True},
        ["Maria Curie", "Marie Curie"],
        "Marie Curie",
        "pass",
        1,
        "",
        "is 'Marie",
    ),
    "another order": (
        {"exact": True},
        ["Marie Curie"],
        "Curie, Marie",
        "fail",
        0,
        "another answer",
        "'curie marie' is not 'Marie Curie'",
    ),
    "a word too many": (
        {"exact": True},
        ["Paris"],
        "in Paris",
        "fail",
        0,
        "another answer",
        "is not 'Paris'",
    ),
    "nothing of it": (
        {"exact": True},
        ["Paris"],
        "Rome",
        "fail",
        0,
        "no word in common",
        "'rome' is not 'Paris'",
    ),
    "another order by F1": (
        {"min_f1": 1},
        ["Marie Curie"],
        "Curie, Marie",
        "pass",
        1,
        "",
        "F1 1.00 with 'Marie",
    ),
    "half by F1": ({"min_f1": 0.5}, ["Marie Curie"], "Pierre Curie", "pass", 0.5, "", "F1 0.50 with 'Marie"),
    "under the bar": (
        {"min_f1": 0.6},
        ["Marie Curie"],
        "Pierre Curie",
        "fail",
        0.5,
        "another answer",
        "'pierre curie' F1 0.50 < 0.6 with 'Marie Curie'",
    ),
    "the nearest": ({"min_f1": 0.6}, ["Rome", "old Paris"], "Paris", "pass", 2 / 3, "", "with 'old Paris'"),
    "none by F1": ({"min_f1": 0.1}, ["Paris"], "Rome", "fail", 0, "no word in common", "F1 0.00 < 0.1"),
    "articles alone": ({"min_f1": 0.1}, ["Paris"], "the a", "fail", 0, "no word in common", "''"),
    "a word often": (
        {"min_f1": 0.9},
        ["Paris"],
        "Paris " * 9,
        "fail",
        0.2,
        "another answer",
        "F1 0.20 < 0.9",
    ),
    "a megabyte": ({"min_f1": 0.9}, ["Paris"], "Paris " * 170_000, "fail", 0, "another answer", "F1 0.00"),
    "a megabyte of signs": ({"min_f1": 0.9}, ["Paris"], "!" * 10**6, "fail", 0, "no word in common", "''"),
    "NULs and surrogates": (
        {"min_f1": 0.9},
        ["Paris"],
        "\x00\ud800 Paris",
        "fail",
        2 / 3,
        "another answer",
        "F1 0.67",
    ),
}


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-") for name in table]


def check(**fields: Any) -> TokenF1:
    return TokenF1.model_validate({"kind": "token_f1", "capability": "content", **fields})


@pytest.mark.parametrize(("text", "tokens"), NORMAL.values(), ids=ids(NORMAL))
def test_texts_are_normalised_as_in_squad(text: str, tokens: list[str]) -> None:
    assert normal_tokens(text) == tokens


@pytest.mark.parametrize(
    ("fields", "answers", "text", "outcome", "value", "cause", "says"), JUDGED.values(), ids=ids(JUDGED)
)
def test_a_reply_is_judged_by_the_nearest_answer(
    fields: dict[str, Any], answers: list[str], text: str, outcome: str, value: float, cause: str, says: str
) -> None:
    result = check(**fields).judge(TokenF1Expect(answers=answers), Answer(text))

    assert (result.outcome.value, result.cause) == (outcome, cause)
    assert result.value == pytest.approx(value, abs=1e-4)
    assert says in result.reason
    assert result.reason.isprintable() and len(result.reason) < 250


@pytest.mark.parametrize(
    "case", SQUAD, ids=[f"{number}-{case['reply'][:20]}" for number, case in enumerate(SQUAD)]
)
def test_the_figures_are_those_of_another_implementation(case: dict[str, Any]) -> None:
    expect = TokenF1Expect(answers=case["answers"])
    result = check(min_f1=0.5).judge(expect, Answer(case["reply"]))

    assert result.measures["exact"] == case["exact"]
    assert result.measures["f1"] == pytest.approx(case["f1"], abs=1e-6)


def test_what_was_compared_is_told() -> None:
    result = check(exact=True).judge(TokenF1Expect(answers=["Rome", "old Paris"]), Answer("The Paris!"))

    assert result.extracted == {"answer": "paris", "nearest": "old Paris"}
    assert result.measures == {"exact": 0, "f1": pytest.approx(2 / 3)}


@pytest.mark.parametrize("fields", [{}, {"exact": False}, {"exact": True, "min_f1": 0.5}], ids=str)
def test_it_needs_exactly_one_bar(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="needs one of 'exact: true', 'contains: true' and min_f1"):
        check(**fields)


@pytest.mark.parametrize("bar", [0, -0.1, 1.1, float("nan")])
def test_a_bar_that_is_no_share_is_refused(bar: float) -> None:
    with pytest.raises(ValidationError, match="min_f1"):
        check(min_f1=bar)


def test_lint_refuses_answers_of_which_nothing_is_left() -> None:
    expect = TokenF1Expect(answers=["Paris", "the", "?!"])

    assert check(exact=True).problems(expect) == [
        "of the answer 'the' normalisation leaves nothing",
        "of the answer '?!' normalisation leaves nothing",
    ]


@pytest.mark.parametrize(
    ("got", "accepted"),
    [("-40", "40"), ("−40", "40"), ("1.5", "15"), ("3/4", "34"), ("12:30", "1230"), ("at 12:30", "at 12.30")],
)
def test_a_sign_that_makes_another_figure_counts(got: str, accepted: str) -> None:
    for reply, answer in ((got, accepted), (accepted, got)):
        assert check(exact=True).judge(TokenF1Expect(answers=[answer]), Answer(reply)).value == 0


@pytest.mark.parametrize(
    ("got", "accepted"),
    [
        ("1222", "1,222"),
        ("−40", "-40"),
        ("KT0481", "KT-0481"),
        ("1.5.", "1.5"),
        ("(3/4)", "3/4"),
        ("10-12", "1012"),
    ],
)
def test_other_punctuation_of_figures_does_not(got: str, accepted: str) -> None:
    assert check(exact=True).judge(TokenF1Expect(answers=[accepted]), Answer(got)).value == 1


def test_a_case_without_answers_gives_nothing_to_judge() -> None:
    assert not check(exact=True).applies(TokenF1Expect())
    assert check(exact=True).applies(TokenF1Expect(answers=["x"]))


words = st.lists(st.sampled_from(["b", "c", "d"]), max_size=6)


@given(one=words, other=words)
def test_f1_is_symmetric_and_1_for_the_same_words_only(one: list[str], other: list[str]) -> None:
    f1 = token_f1(one, other)

    assert 0 <= f1 <= 1
    assert f1 == token_f1(other, one)
    assert (f1 == 1) == (bool(one) and sorted(one) == sorted(other))


@given(text=st.text())
def test_an_answer_is_its_own_answer_however_it_is_dressed(text: str) -> None:
    expect = TokenF1Expect(answers=[text])
    result = check(exact=True).judge(expect, Answer(f"The {text} !"))

    assert (result.outcome is CheckOutcome.PASS) == bool(normal_tokens(text)) == bool(result.value)


@given(
    text=st.text() | st.text("aA\u0345ßİ\u0307,", max_size=8),
    form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
)
def test_one_text_in_another_unicode_form_has_the_same_tokens(
    text: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"]
) -> None:
    assert normal_tokens(unicodedata.normalize(form, text)) == normal_tokens(text)
