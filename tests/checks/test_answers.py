"""Replies are read strictly; what a lenient reader would have found is told apart; text is made fit for a terminal."""

from __future__ import annotations

import json
import math
import unicodedata
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evals.checks.answers import MAX_DEPTH, all_at_path, at_path, folded, plain, read_date, read_json, shorten

STRICT = {
    "an object": ('{"a": 1}', {"a": 1}),
    "white space around": (' \n{"a": 1}\t\n', {"a": 1}),
    "a list": ("[1, 2.5, null]", [1, 2.5, None]),
    "a text": ('"words"', "words"),
    "a number": ("12", 12),
    "false": ("false", False),
    "escapes": ('"\\u00e9\\ud83d\\ude00"', "é😀"),
    "a key in two objects": ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
    "braces in a text": ('{"a": "}{"}', {"a": "}{"}),
    "the deepest list": ("[" * MAX_DEPTH + "]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
}

# text -> cause, and what is found inside all the same
NOT_STRICT: dict[str, tuple[str, str, Any]] = {
    "nothing": ("", "not JSON", None),
    "prose": ("It is blue.", "not JSON", None),
    "a fence": ('```json\n{"a": 1}\n```', "fenced JSON", {"a": 1}),
    "a fence that never ends": ('```\n{"a": 1}', "fenced JSON", {"a": 1}),
    "a fence inside prose": ('Here:\n```json\n{"a": 1}\n```\nBye {b}', "fenced JSON", {"a": 1}),
    "prose before": ('Sure! {"a": 1}', "prose around JSON", {"a": 1}),
    "prose before, with a brace": ('For {x}: {"a": 1}', "prose around JSON", {"a": 1}),
    "prose after": ('{"a": 1} Anything else?', "text after JSON", {"a": 1}),
    "a second object": ('{"a": 1}\n{"b": 2}', "text after JSON", {"a": 1}),
    "a key twice": ('{"a": 1, "a": 2}', "loose JSON", {"a": 2}),
    "NaN": ('{"a": [NaN], "b": 1}', "loose JSON", {"a": [math.nan], "b": 1}),
    "Infinity": ("[-Infinity]", "loose JSON", [-math.inf]),
    "a new line in a text": ('{"a": "one\ntwo"}', "loose JSON", {"a": "one\ntwo"}),
    "single quotes": ("{'a': 1}", "not JSON", None),
    "a comma too many": ('{"a": 1,}', "not JSON", None),
    "a comment": ('{"a": 1 // one\n}', "not JSON", None),
    "cut": ('{"a": [1, 2', "not JSON", None),
    "cut after a list": ('{"a": [1, 2], "b', "broken JSON", [1, 2]),
    "a comma too many after a list": ('{"a": [1, 2],}', "broken JSON", [1, 2]),
    "a byte order mark": ('\ufeff{"a": 1}', "prose around JSON", {"a": 1}),
    "a number of 5,000 digits": ("9" * 5000, "not JSON", None),
    "too deep": ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "not JSON", None),
    "objects too deep": ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), "not JSON", None),
    "far too deep": ('{"a":' * 100_000, "not JSON", None),
    "too deep inside a fence": ("```\n" + "[" * 500 + "]" * 500 + "\n```", "not JSON", None),
}


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-").replace(",", "") for name in table]


@pytest.mark.parametrize(("text", "value"), STRICT.values(), ids=ids(STRICT))
def test_a_whole_json_value_is_read(text: str, value: Any) -> None:
    reading = read_json(text)

    assert (reading.value, reading.problem, reading.cause) == (value, "", "")


@pytest.mark.parametrize(("text", "cause", "lenient"), NOT_STRICT.values(), ids=ids(NOT_STRICT))
def test_anything_else_is_a_problem_with_its_cause(text: str, cause: str, lenient: Any) -> None:
    reading = read_json(text)

    assert reading.problem
    assert reading.value is None
    assert reading.cause == cause
    assert repr(reading.lenient) == repr(lenient)


def test_the_problem_says_what_and_where() -> None:
    assert read_json('{"a": 1,\n "b" 2}').problem == "Expecting ':' delimiter at line 2, column 6"
    assert read_json('{"a": 1, "a": 2}').problem == "the key 'a' stands twice in one object"
    assert read_json("[NaN]").problem == "NaN is no JSON number"
    assert read_json("[1e999]").problem == "1e999 is too large for a number"
    assert read_json("[" * 10_000).problem == "nested too deeply to be read"


def test_a_problem_quotes_no_more_of_a_reply_than_a_line() -> None:
    key = "\x1b[2J" + "x" * 100_000
    problem = read_json(json.dumps({"a": 1})[:-1] + f", {json.dumps(key)}: 1, {json.dumps(key)}: 2}}").problem

    assert problem.isprintable()
    assert len(problem) < 200


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("twice")
    return dict(pairs)


def no_constants(name: str) -> None:
    raise ValueError(name)


def plain_json(text: str) -> list[Any]:
    """What `json.loads` reads, without NaN and keys written twice, as a list of none or one."""
    try:
        return [json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constants)]
    except ValueError:
        return []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
near_json = st.lists(
    st.sampled_from(["{", "}", "[", "]", ",", ":", '"a"', "1", "null", "NaN", " ", "\n", "```", "x", "\\"])
).map("".join)


@given(text=near_json | st.text() | json_values.map(json.dumps))
@example('{"a":1,"a":1}')
@example("NaN")
def test_strict_means_what_json_loads_reads_but_for_duplicates_and_nan(text: str) -> None:
    reading = read_json(text)
    read = [] if reading.problem else [reading.value]

    assert json.dumps(read) == json.dumps(plain_json(text))
    assert bool(reading.problem) == bool(reading.cause)


@given(
    value=json_values,
    before=st.text(st.characters(exclude_characters='{[`"')),
    after=st.sampled_from(["", "\nBye."]),
)
def test_an_object_inside_prose_is_found_and_never_taken_for_the_answer(
    value: Any, before: str, after: str
) -> None:
    reading = read_json(f"{before}x {json.dumps({'v': value})}{after}")

    assert reading.problem
    assert (reading.cause, reading.lenient) == ("prose around JSON", {"v": value})


def test_few_readings_are_kept_since_each_holds_a_whole_reply() -> None:
    read_json.cache_clear()
    for number in range(50):
        read_json(str(number))

    assert read_json.cache_info().currsize <= 8
    assert read_json("49") is read_json("49")


def test_a_path_leads_through_objects_and_lists() -> None:
    value = {"a": [{"b": None}, 2], "0": "zero"}

    assert at_path(value, "a.0.b") is None
    assert at_path(value, "a.1") == 2
    assert at_path(value, "0") == "zero"


@pytest.mark.parametrize("path", ["b", "a.2", "a.-1", "a.x", "a.1.0", "", "a."])
def test_a_path_that_leads_nowhere_is_a_key_error(path: str) -> None:
    with pytest.raises(KeyError):
        at_path({"a": [1, 2]}, path)


WILD: dict[str, list[Any]] = {
    "a.*.b": [1, None],
    "a.*": [{"b": 1}, {}, {"b": None}, 2],
    "a.0.b": [1],
    "a": [[{"b": 1}, {}, {"b": None}, 2]],
    "c.*": [3, [4, 5]],
    "c.*.*": [4, 5],
    "c.e.*": [4, 5],
    "*.d": [3],
    "*.*.b": [1, None],
    "c.d.*": [],
    "a.*.b.*": [],
    "a.9": [],
    "x.*": [],
    "": [],
    "a.": [],
}


@pytest.mark.parametrize(("path", "found"), WILD.items(), ids=[path or "nothing" for path in WILD])
def test_a_star_in_a_path_is_every_item(path: str, found: list[Any]) -> None:
    value = {"a": [{"b": 1}, {}, {"b": None}, 2], "c": {"d": 3, "e": [4, 5]}}

    assert all_at_path(value, path) == found


@given(
    value=json_values,
    path=st.lists(st.sampled_from(["0", "1", "a", "b"]), min_size=1, max_size=3).map(".".join),
)
def test_a_path_without_a_star_finds_what_at_path_finds(value: Any, path: str) -> None:
    try:
        wanted = [at_path(value, path)]
    except KeyError:
        wanted = []

    assert all_at_path(value, path) == wanted
    assert all_at_path([value, value], f"*.{path}") == wanted * 2


DAYS = {
    "2026-03-01": date(2026, 3, 1),
    "2028-02-29": date(2028, 2, 29),
    "0001-01-01": date(1, 1, 1),
    "2026-02-29": None,
    "2026-00-01": None,
    "0000-01-01": None,
    "20260301": None,
    "2026-W10-1": None,
    "2026-3-1": None,
    " 2026-03-01": None,
    "2026-03-01T00:00": None,
    "2026-03-01\n": None,
    "２０２６-03-01": None,
    "": None,
}


@pytest.mark.parametrize(("text", "day"), DAYS.items(), ids=[repr(text) for text in DAYS])
def test_a_day_is_read_in_one_form(text: str, day: date | None) -> None:
    assert read_date(text) == day


ESCAPED = {
    "an escape sequence": ("\x1b[31mred", r"\x1b[31mred"),
    "a window title": ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
    "new lines": ("one\r\ntwo", r"one\r\ntwo"),
    "a line separator": ("one\u2028two", r"one\u2028two"),
    "right to left override": ("\u202egpj.exe", r"\u202egpj.exe"),
    "an isolate": ("\u2066x\u2069", r"\u2066x\u2069"),
    "a right to left mark": ("\u200fx\u061c", r"\u200fx\u061c"),
    "a zero width space": ("a\u200bb", r"a\u200bb"),
    "a soft hyphen": ("a\u00adb", r"a\xadb"),
    "a tag character": ("a\U000e0041", r"a\U000e0041"),
    "an old control character": ("a\x9bb", r"a\x9bb"),
    "half a surrogate pair": ("a\ud800", r"a\ud800"),
    "a private character": ("\ue000", r"\ue000"),
    "letters of any script": ("Zoë 世界 नमस्ते 😀", "Zoë 世界 नमस्ते 😀"),
}


@pytest.mark.parametrize(("text", "shown"), ESCAPED.values(), ids=ids(ESCAPED))
def test_what_steers_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert shorten(text) == shown


@given(text=st.text(st.characters()), limit=st.integers(1, 50))
def test_a_shortened_text_is_one_printable_line_within_its_limit(text: str, limit: int) -> None:
    short = shorten(text, limit)

    assert len(short) <= limit
    assert short.isprintable()
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in short)
    if len(text) <= limit and text.isprintable():
        assert short == text


def test_a_cut_is_marked() -> None:
    assert shorten("a" * 81) == "a" * 79 + "…"
    assert shorten("a" * 80) == "a" * 80
    assert shorten("\n" * 1_000_000, 6) == r"\n\n\…"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("  a \n\t b ", "a b"), ("ｂｌｕｅ", "blue"), ("Zoe\u0308", "Zoë"), ("A\u00a0b", "A b"), ("Ab", "Ab")],
)
def test_plain_text_is_comparable(text: str, wanted: str) -> None:
    assert plain(text) == wanted


@given(st.text(st.sampled_from("a \n\u0301\u0315é１"), max_size=30))
def test_plain_is_nfkc_where_marks_are_few(text: str) -> None:
    assert plain(text) == " ".join(unicodedata.normalize("NFKC", text).split())


def test_a_million_marks_are_put_in_order_in_time() -> None:
    assert plain("a" + "\u0315\u0300" * 500_000).startswith("à\u0300")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("STRASSE", "strasse"), ("Straße", "strasse"), ("ZOE\u0308", "zoë"), ("\u0345A", "ιa")],
)
def test_folded_text_has_neither_capitals_nor_loose_accents(text: str, wanted: str) -> None:
    assert folded(text) == wanted


@given(st.text())
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert folded(folded(text)) == folded(text)
