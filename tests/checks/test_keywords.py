"""`keywords`: words that an answer must, may or must not contain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome
from evals.checks.keywords import Keywords, KeywordsExpect

JUDGED: dict[str, tuple[dict[str, Any], list[str], str, str, float, str]] = {
    "the case's word": ({}, ["blue"], "It is blue.", "pass", 1.0, ""),
    "another case of letters": ({}, ["BLUE"], "It is Blue.", "pass", 1.0, ""),
    "case kept": ({"ignore_case": False}, ["BLUE"], "It is Blue.", "fail", 0.0, "lacks 'BLUE'"),
    "sharp s": ({}, ["STRASSE"], "Die Straße", "pass", 1.0, ""),
    "full width letters": ({}, ["blue"], "ｂｌｕｅ", "pass", 1.0, ""),
    "composed otherwise": ({}, ["Zoe\u0308"], "Zoë", "pass", 1.0, ""),
    "across a line": ({}, ["deep blue"], "deep \n  blue", "pass", 1.0, ""),
    "one of two missing": ({"all_of": ["sky"]}, ["blue"], "a grey sky", "fail", 0.5, "lacks 'blue'"),
    "any of": ({"any_of": ["blue", "azure"]}, [], "azure", "pass", 1.0, ""),
    "none of any": ({"any_of": ["blue", "azure"]}, [], "grey", "fail", 0.0, "lacks any of 'blue', 'azure'"),
    "unwanted": ({"none_of": ["grey"]}, ["blue"], "blue, not grey", "fail", 0.5, "contains 'grey'"),
    "unwanted absent": ({"none_of": ["grey"]}, ["blue"], "blue", "pass", 1.0, ""),
    "a part of a word": ({}, ["blue"], "bluebell", "pass", 1.0, ""),
}


def check(**fields: Any) -> Keywords:
    return Keywords.model_validate({"kind": "keywords", "capability": "content", **fields})


@pytest.mark.parametrize(
    ("fields", "wanted", "text", "outcome", "value", "says"),
    JUDGED.values(),
    ids=[name.replace(" ", "-") for name in JUDGED],
)
def test_a_reply_is_judged_by_its_words(
    fields: dict[str, Any], wanted: list[str], text: str, outcome: str, value: float, says: str
) -> None:
    result = check(**fields).judge(KeywordsExpect(keywords=wanted), Answer(text))

    assert result.outcome.value == outcome
    assert result.value == pytest.approx(value)
    assert says in result.reason


def test_what_was_found_is_told() -> None:
    result = check(any_of=["sky", "sea"], none_of=["grey"]).judge(
        KeywordsExpect(keywords=["blue", "deep"]), Answer("the blue grey sea")
    )

    assert result.extracted == {"found": ["blue", "sea"], "unwanted": ["grey"]}


@pytest.mark.parametrize("field", ["all_of", "any_of", "none_of"])
@pytest.mark.parametrize("word", ["", " ", "\u00a0"])
def test_an_empty_keyword_is_refused(field: str, word: str) -> None:
    with pytest.raises(ValidationError, match="an empty keyword is found in every answer"):
        check(**{field: [word]})

    assert check().problems(KeywordsExpect(keywords=[word]))


def test_without_a_word_there_is_nothing_to_judge() -> None:
    assert not check().applies(KeywordsExpect())
    assert check().applies(KeywordsExpect(keywords=["x"]))
    assert check(none_of=["x"]).applies(KeywordsExpect())


@given(words=st.lists(st.text().filter(str.strip), min_size=1), between=st.text())
def test_an_answer_made_of_the_words_has_them(words: list[str], between: str) -> None:
    expect = KeywordsExpect(keywords=words)
    result = check().judge(expect, Answer(f" {between} ".join(words)))

    assert result.outcome is CheckOutcome.PASS
    assert check().problems(expect) == []


def test_a_megabyte_of_marks_is_judged_in_time() -> None:
    result = check().judge(
        KeywordsExpect(keywords=["blue"]), Answer("a" + "\u0315\u0300" * 500_000 + " blue")
    )

    assert result.outcome is CheckOutcome.PASS
