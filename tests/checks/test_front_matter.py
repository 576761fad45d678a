"""`front_matter`: the YAML at the start of a reply, or of each of its notes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, CheckResult
from evals.checks.front_matter import FrontMatter, FrontMatterExpect

NOTE = "---\ntitle: A note\ntags: [red, blue]\nrating: 4.5\ndraft: true\n---\n# Body\n"
NOTES = {"each": "note"}
BOTH = "---\ntitle: A\n---\none\n---\ntitle: B\n---\ntwo\n"

# name: (fields, what the case expects, text, outcome, value, a part of the reason)
JUDGED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str, float, str]] = {
    "front matter": ({}, {}, NOTE, "pass", 1, "front matter of 1 note(s) as wanted"),
    "blank lines before": ({}, {}, f"\n \n{NOTE}", "pass", 1, ""),
    "front matter alone": ({}, {}, "---\na: 1\n---", "pass", 1, ""),
    "a rule in the body": ({}, {}, f"{NOTE}\n---\nmore\n", "pass", 1, ""),
    "carriage returns": ({"keys": {"title": "A note"}}, {}, NOTE.replace("\n", "\r\n"), "pass", 1, ""),
    "none": ({}, {}, "# Body\n", "fail", 0, "no note with front matter to look at"),
    "not closed": ({}, {}, "---\ntitle: A\n", "fail", 0, "no note with front matter to look at"),
    "text before": (
        {},
        {},
        f"Here you go:\n{NOTE}",
        "fail",
        0.5,
        "text stands before the front matter: 'Here you",
    ),
    "in a fence": ({}, {}, f"```\n{NOTE}```\n", "fail", 0.5, "text stands before"),
    "a list": ({}, {}, "---\n- a\n---\n", "fail", 0.5, "the front matter is no list of `key: value`"),
    "no YAML": ({"keys": {"a": "text"}}, {}, "---\na: [\n---\n", "fail", 1 / 3, "(line 2) is not YAML"),
    "a colon in a title": ({}, {}, "---\ntitle: A: B\n---\n", "fail", 0.5, "is not YAML"),
    "a key twice": ({}, {}, "---\na: 1\na: 2\n---\n", "fail", 0.5, "(line 2) a stands twice"),
    "an anchor": ({}, {}, "---\na: &x 1\nb: *x\n---\n", "fail", 0.5, "uses the alias *x"),
    "a tag": ({}, {}, "---\na: !!set {b}\n---\n", "fail", 0.5, "has the tag"),
    "types": ({"keys": {"title": "text", "tags": "list", "rating": "number"}}, {}, NOTE, "pass", 1, ""),
    "no text": ({"keys": {"rating": "text"}}, {}, NOTE, "fail", 2 / 3, "rating: 4.5 is no text"),
    "a blank text": ({"keys": {"a": "text"}}, {}, "---\na: ' '\n---\n", "fail", 2 / 3, "a: ' ' is no text"),
    "no number": ({"keys": {"draft": "number"}}, {}, NOTE, "fail", 2 / 3, "draft: true is no number"),
    "no figure": ({"keys": {"a": "number"}}, {}, "---\na: .nan\n---\n", "fail", 2 / 3, "a: NaN is no number"),
    "no end": (
        {"keys": {"a": "number"}},
        {},
        "---\na: -.inf\n---\n",
        "fail",
        2 / 3,
        "a: -Infinity is no number",
    ),
    "no list": ({"keys": {"title": "list"}}, {}, NOTE, "fail", 2 / 3, "title: 'A note' is no list"),
    "patterns": ({"keys": {"title": "A .*", "rating": r"\d\.\d", "draft": "true"}}, {}, NOTE, "pass", 1, ""),
    "patterns match whole": (
        {"keys": {"title": "A"}},
        {},
        NOTE,
        "fail",
        2 / 3,
        "title: 'A note' does not match",
    ),
    "no pattern matches a list": (
        {"keys": {"tags": "(?s).*"}},
        {},
        NOTE,
        "fail",
        2 / 3,
        "tags: a list does not",
    ),
    "no pattern matches null": (
        {"keys": {"a": "(?s).*"}},
        {},
        "---\na:\n---\n",
        "fail",
        2 / 3,
        "a: null does",
    ),
    "yes is a text": ({"keys": {"a": "yes"}}, {}, "---\na: yes\n---\n", "pass", 1, ""),
    "a date is a text": ({"keys": {"a": r"\d{4}-\d\d-\d\d"}}, {}, "---\na: 2026-03-01\n---\n", "pass", 1, ""),
    "a key missing": (
        {"keys": {"date": "text", "title": "text"}},
        {},
        NOTE,
        "fail",
        0.75,
        "'date' is missing",
    ),
    "another case of key": ({"keys": {"Title": "text"}}, {}, NOTE, "fail", 2 / 3, "'Title' is missing"),
    "only": (
        {"keys": {"a": "number"}, "only": True},
        {"front_matter": {"b": 2}},
        "---\na: 1\nb: 2\n---\n",
        "pass",
        1,
        "",
    ),
    "not only": (
        {"keys": {"title": "text"}, "only": True},
        {},
        NOTE,
        "fail",
        0.75,
        "the key 'tags' is not wanted",
    ),
    "items": ({"list_of": {"tags": "[a-z]+"}}, {}, NOTE, "pass", 1, ""),
    "an item amiss": (
        {"list_of": {"tags": "red"}},
        {},
        NOTE,
        "fail",
        2 / 3,
        "tags: a list holds 'blue', which does",
    ),
    "a null item": (
        {"list_of": {"a": ".*"}},
        {},
        "---\na: [x, null]\n---\n",
        "fail",
        2 / 3,
        "holds null, which",
    ),
    "no items": (
        {"list_of": {"a": ".*"}},
        {},
        "---\na: []\n---\n",
        "fail",
        2 / 3,
        "a: a list is no list with items",
    ),
    "items of a text": ({"list_of": {"title": ".*"}}, {}, NOTE, "fail", 2 / 3, "title: 'A note' is no list"),
    "a size": ({"list_size": {"tags": {"min": 2, "max": 2}}}, {}, NOTE, "pass", 1, ""),
    "another size": (
        {"list_size": {"tags": {"min": 3}}},
        {},
        NOTE,
        "fail",
        2 / 3,
        "has 2 items, at least 3 wanted",
    ),
    "a size of a text": (
        {"list_size": {"title": {"max": 9}}},
        {},
        NOTE,
        "fail",
        2 / 3,
        "title: 'A note' is no list",
    ),
    "values": ({}, {"front_matter": {"rating": 4.5, "tags": ["red", "blue"]}}, NOTE, "pass", 1, ""),
    "another value": ({}, {"front_matter": {"rating": 5}}, NOTE, "fail", 2 / 3, "rating: 4.5 is not 5"),
    "true is not 1": ({}, {"front_matter": {"draft": 1}}, NOTE, "fail", 2 / 3, "draft: true is not 1"),
    "a number is no text": (
        {},
        {"front_matter": {"rating": "4.5"}},
        NOTE,
        "fail",
        2 / 3,
        "rating: 4.5 is not '4.5'",
    ),
    "notes": (NOTES, {"notes": 2}, BOTH, "pass", 1, "front matter of 2 note(s) as wanted"),
    "notes, counted by the check": ({**NOTES, "notes": 2}, {}, BOTH, "pass", 1, ""),
    "the case's number counts": ({**NOTES, "notes": 1}, {"notes": 2}, BOTH, "pass", 1, ""),
    "a note too few": (NOTES, {"notes": 3}, BOTH, "fail", 4 / 6, "2 notes, 3 wanted"),
    "a note too many": (NOTES, {"notes": 1}, BOTH, "fail", 4 / 5, "2 notes, 1 wanted"),
    "a note amiss": (
        {**NOTES, "keys": {"title": "A"}},
        {},
        BOTH,
        "fail",
        5 / 6,
        "note in line 5: title: 'B' does",
    ),
    "a note left open": (
        NOTES,
        {},
        f"{BOTH}---\ntitle: C\n",
        "fail",
        3 / 4,
        "opens front matter that is never closed",
    ),
    "words before notes": (
        NOTES,
        {},
        f"Notes:\n\n{BOTH}",
        "fail",
        3 / 4,
        "text stands before the front matter",
    ),
    "only the first is looked at": ({"keys": {"title": "A"}}, {}, BOTH, "pass", 1, ""),
}

CAUSES: dict[str, str] = {
    "none": "no note",
    "text before": "text before",
    "no YAML": "not readable",
    "a key missing": "missing key",
    "not only": "unwanted key",
    "another value": "wrong value",
    "a note too few": "number of notes",
    "a note left open": "not closed",
}


def check(**fields: Any) -> FrontMatter:
    return FrontMatter.model_validate({"kind": "front_matter", "capability": "format", **fields})


def judged(fields: dict[str, Any], wanted: dict[str, Any], text: str) -> CheckResult:
    one, expect = check(**fields), FrontMatterExpect.model_validate(wanted)
    assert one.applies(expect)
    assert one.problems(expect) == []
    return one.judge(expect, Answer(text))


@pytest.mark.parametrize(
    ("fields", "wanted", "text", "outcome", "value", "says"),
    JUDGED.values(),
    ids=[name.replace(" ", "-") for name in JUDGED],
)
def test_a_reply_is_judged_by_its_front_matter(
    fields: dict[str, Any], wanted: dict[str, Any], text: str, outcome: str, value: float, says: str
) -> None:
    result = judged(fields, wanted, text)

    assert result.outcome.value == outcome
    assert result.value == pytest.approx(value)
    assert says in result.reason


@pytest.mark.parametrize(("name", "cause"), CAUSES.items())
def test_a_miss_has_a_cause_to_count_by(name: str, cause: str) -> None:
    assert judged(*JUDGED[name][:3]).cause == cause


def test_what_was_found_is_told_and_small() -> None:
    text = "---\n" + "".join(f"k{n}: '{'v' * 100}'\n" for n in range(50)) + "---\n"

    result = judged({}, {}, text)

    (shown,) = result.extracted["front_matter"]
    assert len(shown) == 10
    assert shown["k0"] == "'" + "v" * 38 + "…"
    assert json.loads(json.dumps(result.extracted)) == result.extracted
    assert judged({}, {}, NOTE).extracted == {
        "front_matter": [{"title": "'A note'", "tags": "a list", "rating": "4.5", "draft": "true"}],
        "notes": 1,
    }


REFUSED = {
    "a bad pattern": ({"keys": {"a": "("}}, r"keys.a: bad pattern '\('"),
    "a bad pattern of items": ({"list_of": {"a": "["}}, r"list_of.a: bad pattern '\['"),
    "a size without bounds": ({"list_size": {"a": {}}}, "needs a min above 0 or a max"),
    "a size that crosses": ({"list_size": {"a": {"min": 2, "max": 1}}}, "min is 2 but max is 1"),
    "notes of a whole": ({"notes": 2}, "notes counts nothing without each: note"),
    "no notes": ({"each": "note", "notes": 0}, "greater than or equal to 1"),
    "another part": ({"each": "h2"}, "Input should be 'whole' or 'note'"),
}


@pytest.mark.parametrize(
    ("fields", "says"), REFUSED.values(), ids=[name.replace(" ", "-") for name in REFUSED]
)
def test_a_configuration_that_means_nothing_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        check(**fields)


def test_a_number_of_notes_needs_notes() -> None:
    assert check().problems(FrontMatterExpect(notes=2)) == [
        "notes counts nothing without the check's each: note"
    ]


KEYS = st.text(st.sampled_from("abcdé"), min_size=1, max_size=4)
VALUES = st.one_of(
    st.text(st.sampled_from("ab :#'\"-[]é"), max_size=6),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=3),
)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_values_written_as_json_are_read_again(values: dict[str, Any]) -> None:
    front = "\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())

    result = judged({"only": True}, {"front_matter": values}, f"---\n{front}\n---\nbody")

    assert result.outcome is CheckOutcome.PASS


@given(st.dictionaries(KEYS, st.integers(0, 3), min_size=1, max_size=3), KEYS)
def test_a_key_less_or_a_value_changed_fails(values: dict[str, int], key: str) -> None:
    front = "\n".join(f"{json.dumps(name)}: {value}" for name, value in values.items())
    wanted = {**values, key: values.get(key, 0) + 1}

    assert judged({}, {"front_matter": wanted}, f"---\n{front}\n---\n").outcome is CheckOutcome.FAIL


def test_patterns_that_backtrack_are_an_error_of_the_grader() -> None:
    fields = {"keys": {"a": "(a|aa)+$"}, "timeout_s": 0.05}

    result = judged(fields, {}, f"---\na: {'a' * 5000}b\n---\n")

    assert (result.outcome, result.cause) == (CheckOutcome.ERROR, "pattern ran out of time")


HOSTILE = {
    "a megabyte": ("---\n" * 250_000, "too long"),
    "a long value": ("---\na: " + "b" * 1_000_000 + "\n---\n", "too long"),
    "many notes": ("---\na: 1\n---\n" * 3_000, "too long"),
    "NULs": ("---\na: \0\n---\n", "not readable"),
    "half a pair": ("---\na: \ud800\n---\n", "not readable"),
    "deep": ("---\na: " + "[" * 50_000 + "\n---\n", "not readable"),
    "an infinity": ("---\na: .inf\n---\n", "wrong value"),
    "no number": ("---\na: .nan\n---\n", "wrong value"),
}


@pytest.mark.parametrize(
    ("text", "cause"), HOSTILE.values(), ids=[name.replace(" ", "-") for name in HOSTILE]
)
def test_hostile_text_fails_in_words(text: str, cause: str) -> None:
    result = judged({"keys": {"a": "text"}}, {}, text)

    assert (result.outcome, result.cause) == (CheckOutcome.FAIL, cause)
