"""`length`: words, sentences and lines, of a reply or of each of its parts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, CheckResult
from evals.checks.length import Length, LengthExpect, count_lines, count_sentences, count_words

WORDS: dict[str, tuple[str, int]] = {
    "none": ("", 0),
    "marks alone": ("... — *** | --- '' \n", 0),
    "plain": ("one two  three\nfour", 4),
    "apostrophes": ("don't won’t rock 'n' roll", 5),
    "hyphens": ("well-known up\u2011to\u2010date - a-", 3),
    "a dash parts words": ("one—two, three – four", 4),
    "slashes and underscores": ("and/or snake_case", 4),
    "numbers": ("3.5 1,234.56 2026-03-01 v1.2 5%", 5),
    "a point after a number": ("It is 5. 6 follow", 5),
    "accents": ("naïve Zoe\u0308 Ελλάδα привет", 4),
    "vowel signs": ("हिन्दी में", 2),
    "Persian joiners": ("می\u200cخواهم", 1),
    "Chinese is one run": ("你好世界。再见", 2),
    "an emoji": ("yes 👍 no", 2),
    "markdown": ("**bold** `code` [text](url)", 4),
}

SENTENCES: dict[str, tuple[str, int]] = {
    "none": ("", 0),
    "marks alone": ("... !\n\n---", 2),
    "one": ("It works.", 1),
    "one left open": ("It works", 1),
    "two": ("It works. Does it?", 2),
    "two, the last left open": ("It works. Or not", 2),
    "runs of marks": ("What?! Really... Yes!!!", 3),
    "an ellipsis": ("Well… no.", 2),
    "quotation marks": ('He said "Stop." Then (he left.) “Why?” she asked.', 4),
    "bold": ("**It works.** _It does._", 2),
    "no space after": ("file.txt and 3.5 and a.b.c", 1),
    "initials": ("J. R. R. Tolkien wrote it.", 1),
    "a letter of maths": ("Solve for x. Then stop.", 2),
    "titles": ("Dr. Smith met Mrs. Jones. They talked.", 2),
    "abbreviations": ("Fruit, e.g. apples, i.e. food (cf. fig. 2) vs. meat.", 1),
    "points inside": ("We met at 5 p.m. and left. The U.S. yesterday. It was 5 p.m. We left.", 4),
    "and so on": ("Nuts, bolts etc. and glue. Nuts, bolts etc. Then glue.", 3),
    "German abbreviations": ("Obst, z.B. Äpfel, d.h. Essen, ca. zwei bzw. drei.", 1),
    "an abbreviation at the end": ("See the work of Smith et al.", 1),
    "a word that ends like one": ("It was a gimme. This is ovals. Fine.", 3),
    "a numbered list": ("1. Mix it.\n2. Bake it.\n10. Eat it.", 3),
    "a number ends one": ("The answer is 5. It is odd.", 2),
    "blank lines part": ("# Title\n\nText\n \nMore", 3),
    "carriage returns": ("Text\r\n\r\nMore", 2),
    "one over two lines": ("It works\nvery well.", 1),
    "Chinese": ("你好。世界！再见？", 3),
    "Japanese in quotes": ("「はい。」と言った。", 2),
}

LINES: dict[str, tuple[str, int]] = {
    "none": ("", 0),
    "blank": ("\n \n\t\n", 0),
    "two": ("a\n\nb", 2),
    "carriage returns": ("a\r\nb\rc", 3),
    "other separators": ("a\u2028b\x0cc", 1),
}


@pytest.mark.parametrize(("text", "count"), WORDS.values(), ids=[name.replace(" ", "-") for name in WORDS])
def test_words_are_counted(text: str, count: int) -> None:
    assert count_words(text) == count


@pytest.mark.parametrize(
    ("text", "count"), SENTENCES.values(), ids=[name.replace(" ", "-") for name in SENTENCES]
)
def test_sentences_are_counted(text: str, count: int) -> None:
    assert count_sentences(text) == count


@pytest.mark.parametrize(("text", "count"), LINES.values(), ids=[name.replace(" ", "-") for name in LINES])
def test_lines_are_counted(text: str, count: int) -> None:
    assert count_lines(text) == count


PLAIN = st.lists(
    st.lists(st.sampled_from(["the", "cat", "sat", "on", "mats", "über"]), min_size=2, max_size=6),
    min_size=1,
    max_size=5,
)


@given(PLAIN, st.sampled_from([".", "!", "?", "?!", "…", ".”", ".)"]), st.sampled_from([" ", "\n", "  "]))
def test_plain_sentences_are_counted_one_by_one(sentences: list[list[str]], end: str, gap: str) -> None:
    text = gap.join(" ".join(words) + end for words in sentences)

    assert count_words(text) == sum(map(len, sentences))
    assert count_sentences(text) == len(sentences)


BODY = "---\ntitle: A long title\n---\n# Title of it\n\n- one\n- two three.\n\n> 1. four\n"

# name: (fields, the case's bounds, text, outcome, value, a part of the reason)
JUDGED: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str, str, float, str]] = {
    "within": ({"words": {"min": 2, "max": 3}}, None, "one two", "pass", 1, "2 words, as wanted"),
    "at both ends": ({"words": {"min": 2, "max": 2}}, None, "one two", "pass", 1, ""),
    "too few": ({"words": {"min": 3}}, None, "one two", "fail", 0, "2 words, at least 3 wanted"),
    "too many": ({"words": {"max": 1}}, None, "one two", "fail", 0, "2 words, at most 1 wanted"),
    "not exactly": ({"lines": {"min": 1, "max": 1}}, None, "a\nb", "fail", 0, "2 lines, exactly 1 wanted"),
    "not between": ({"lines": {"min": 3, "max": 4}}, None, "a", "fail", 0, "at least 3 and at most 4 wanted"),
    "no sentence": ({"sentences": {"min": 0, "max": 0}}, None, "---", "pass", 1, "0 sentences"),
    "no word and a most": ({"words": {"max": 9}}, None, "|||", "fail", 0, "there is no word to count"),
    "no word where it may be": ({"words": {"min": 0, "max": 9}}, None, "|||", "pass", 1, "0 words"),
    "one of two bounds": (
        {"words": {"max": 9}, "sentences": {"max": 1}},
        None,
        "A b. C.",
        "fail",
        0.5,
        "2 sent",
    ),
    "the case's bounds": ({}, {"words": {"max": 2}}, "one two", "pass", 1, ""),
    "the case's in place of the check's": (
        {"lines": {"max": 1}},
        {"words": {"max": 2}},
        "a\nb",
        "pass",
        1,
        "",
    ),
    "the whole": ({"words": {"max": 0}}, None, BODY, "fail", 0, "12 words"),
    "the body": ({"words": {"max": 0}, "of": "body"}, None, BODY, "fail", 0, "4 words"),
    "lines of the body": ({"lines": {"min": 3, "max": 3}, "of": "body"}, None, BODY, "pass", 1, ""),
    "each section": (
        {"words": {"max": 3}, "each": "h1"},
        None,
        "# A\nb c\n# D\ne",
        "pass",
        1,
        "2 parts, as wanted",
    ),
    "one section": (
        {"words": {"max": 2}, "each": "h1"},
        None,
        "# A\nb c\n# D\ne",
        "fail",
        0.5,
        "'A' (line 1): 3",
    ),
    "each line": (
        {"words": {"max": 1}, "each": "line"},
        None,
        "a\n\nb c\n",
        "fail",
        0.5,
        "(line 3): 2 words",
    ),
    "each note's body": (
        {"words": {"max": 1}, "each": "note", "of": "body"},
        None,
        "---\na: b c\n---\nd",
        "pass",
        1,
        "",
    ),
    "no section": ({"words": {"max": 3}, "each": "h2"}, None, "one", "fail", 0, "no h2 section to look at"),
}


def check(**fields: Any) -> Length:
    return Length.model_validate({"kind": "length", "capability": "format", **fields})


def judged(fields: dict[str, Any], wanted: dict[str, Any] | None, text: str) -> CheckResult:
    one, expect = check(**fields), LengthExpect.model_validate({"length": wanted})
    assert one.applies(expect)
    assert one.problems(expect) == []
    return one.judge(expect, Answer(text))


@pytest.mark.parametrize(
    ("fields", "wanted", "text", "outcome", "value", "says"),
    JUDGED.values(),
    ids=[name.replace(" ", "-") for name in JUDGED],
)
def test_a_reply_is_judged_by_its_length(
    fields: dict[str, Any], wanted: dict[str, Any] | None, text: str, outcome: str, value: float, says: str
) -> None:
    result = judged(fields, wanted, text)

    assert result.outcome.value == outcome
    assert result.value == pytest.approx(value)
    assert says in result.reason


def test_what_was_counted_is_told_with_a_cause() -> None:
    whole = judged({"words": {"max": 1}, "lines": {"max": 9}}, None, "one two")
    parts = judged({"words": {"max": 1}, "each": "line"}, None, "one two\n" * 30)

    assert whole.extracted == {"counts": [{"words": 2, "lines": 1}], "parts": 1}
    assert whole.cause == "number of words"
    assert parts.extracted["counts"][1] == {"line": 2, "words": 2}
    assert (len(parts.extracted["counts"]), parts.extracted["parts"]) == (10, 30)


REFUSED = {
    "no bound": ({"words": {}}, "needs a min above 0 or a max"),
    "a bound that all reach": ({"words": {"min": 0}}, "needs a min above 0 or a max"),
    "bounds that cross": ({"lines": {"min": 3, "max": 2}}, "min is 3 but max is 2"),
    "less than none": ({"lines": {"min": -1}}, "greater than or equal to 0"),
    "another measure": ({"letters": {"max": 3}}, "Extra inputs are not permitted"),
}


@pytest.mark.parametrize(
    ("fields", "says"), REFUSED.values(), ids=[name.replace(" ", "-") for name in REFUSED]
)
def test_a_configuration_that_cannot_fail_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        check(**fields)


def test_without_bounds_there_is_nothing_to_judge() -> None:
    empty = LengthExpect.model_validate({"length": {}})

    assert not check().applies(LengthExpect())
    assert check(words={"max": 1}).problems(LengthExpect()) == []
    assert check(words={"max": 1}).problems(empty) == [
        "length needs words, sentences or lines: without one it cannot fail"
    ]


@given(st.text(max_size=80), st.integers(0, 20))
def test_more_than_the_most_fails_and_no_more_passes(text: str, most: int) -> None:
    result = judged({"words": {"max": most}}, None, text)

    assert (result.outcome is CheckOutcome.PASS) == (0 < count_words(text) <= most)


HOSTILE = {
    "one word": "a" * 1_000_000,
    "full stops": "." * 1_000_000 + "a",
    "sentences": "a. " * 333_333,
    "initials": "A. " * 333_333,
    "quotes": '."' * 500_000 + "a",
    "apostrophes": "a'" * 500_000,
    "points in numbers": "1." * 500_000,
    "marks": "a" + "\u0301" * 1_000_000,
    "new lines": "\n" * 1_000_000,
    "blank lines": "\n \t" * 333_333,
    "NULs": "\0" * 1_000_000,
    "half pairs": "\ud800. " * 300_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=[name.replace(" ", "-") for name in HOSTILE])
def test_hostile_text_is_counted_to_its_end(text: str) -> None:
    fields = {"words": {"min": 10**7}, "sentences": {"min": 10**7}, "lines": {"min": 10**7}}

    result = judged(fields, None, text)

    assert (result.outcome, result.value) == (CheckOutcome.FAIL, 0)


@pytest.mark.parametrize("fields", [{"of": "body"}, {"each": "line"}, {"each": "h2", "of": "body"}])
def test_what_is_too_long_to_be_taken_apart_fails(fields: dict[str, Any]) -> None:
    result = judged({"words": {"min": 1}, **fields}, None, "a " * 500_000)

    assert (result.outcome, result.cause) == (CheckOutcome.FAIL, "too long")
