"""Files that people write are read as plain YAML 1.2, with the line of every field, and never trusted."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from yamlcore import CCoreDumper

from evals.documents import MAX_DEPTH, Document, dotted, parse_document, read_document

FILE = Path("cases.yaml")

LINES = """\
# a comment

- id: first
  input: |
    one
    two
  expect:
    fields: {a: 1,
             b: [2,
                 3]}
- id: second

  input: >-
    folded
"""

LINES_OF = {
    (): 3,
    (0,): 3,
    (0, "id"): 3,
    (0, "input"): 4,
    (0, "expect"): 7,
    (0, "expect", "fields"): 8,
    (0, "expect", "fields", "a"): 8,
    (0, "expect", "fields", "b"): 9,
    (0, "expect", "fields", "b", 0): 9,
    (0, "expect", "fields", "b", 1): 10,
    (1,): 11,
    (1, "id"): 11,
    (1, "input"): 13,
}

# What YAML 1.1 takes for something else, and what 1.2 does with it.
SCALARS = {
    "yes": "yes",
    "No": "No",
    "on": "on",
    "y": "y",
    "012": 12,
    "0o14": 12,
    "0x1F": 31,
    "1_000": "1_000",
    "12:30:45": "12:30:45",
    "2024-01-01": "2024-01-01",
    "2024-01-01T10:00:00Z": "2024-01-01T10:00:00Z",
    "=": "=",
    "1e3": 1000.0,
    "true": True,
    "FALSE": False,
    "~": None,
    "null": None,
    "''": "",
    "'12'": "12",
    "-.inf": float("-inf"),
}

NO_DATA = {
    "nothing": ("", 1, "is empty"),
    "a comment only": ("# later\n", 1, "is empty"),
    "an open list": ("a: 1\nb: [1,\n", 3, "is not YAML"),
    "a colon in a text": ("a: 1\nb: now: later\n", 2, "is not YAML"),
    "a tab as indentation": ("a:\n\tb: 1\n", 2, "is not YAML"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "is not YAML"),
    "an alias of nothing": ("a: 1\nb: *c\n", 2, "is not YAML: found undefined alias"),
    "a control character": ("ä: 1\nb: \x07\n", 2, "is not YAML: holds the character U+0007"),
    "half a surrogate pair": ('a: "\\ud800"\n', 1, "is not YAML"),
    "lists too deep": ("a:\n  " + "[" * 101 + "]" * 101, 2, "is nested too deeply"),
    "mappings too deep": ("\n" + "{a: " * 101 + "1" + "}" * 101, 2, "is nested too deeply"),
    "dashes too deep": ("- " * 101 + "1", 1, "is nested too deeply"),
    "far too deep": ("[" * 200_000, 1, "is nested too deeply"),
}

NOT_PLAIN = {
    "a key twice": ("a: 1\nb: 2\na: 3\n", 3, "a", "stands twice; first in line 1"),
    "a key twice, inside": ("- x:\n    a: 1\n    'a': 2\n", 3, "[0].x.a", "stands twice; first in line 2"),
    "an alias": ("a: &x 1\nb: *x\n", 2, "", "uses the alias *x"),
    "an alias of its own list": ("a: &x\n  - *x\n", 2, "", "uses the alias *x"),
    "an alias as a key": ("a: &x b\nc:\n  *x : 1\n", 3, "", "uses the alias *x"),
    "a Python object": ("a:\n  !!python/object/apply:os.system [ls]\n", 2, "a", "has the tag"),
    "a Python object as a key": ("!!python/name:os.system k: 1\n", 1, "k", "has the tag"),
    "an own tag": ("a: !mine 1\n", 1, "a", "has the tag !mine"),
    "binary": ("a: !!binary aGk=\n", 1, "a", "has the tag"),
    "a set": ("a: !!set {b, c}\n", 1, "a", "has the tag"),
    "a list that is none": ("a: !!seq words\n", 1, "a", "has the tag"),
    "a text that is a list": ("a: !!str [1]\n", 1, "a", "has the tag"),
    "a number that is none": ("a: !!int words\n", 1, "a", "'words' is no int"),
    "a truth that is none": ("a: !!bool maybe\n", 1, "a", "'maybe' is no bool"),
    "a number of 5,000 digits": ("a: " + "9" * 5000, 1, "a", "is no int"),
    "a list as a key": ("? [a]\n: 1\n", 1, "", "has a key that is no text"),
}


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-") for name in table]


def test_every_field_knows_its_line() -> None:
    document, problems = parse_document(FILE, LINES)

    assert problems == []
    assert document.lines == LINES_OF
    assert {place: document.line(place) for place in LINES_OF} == LINES_OF


def test_a_field_that_is_not_there_has_the_line_of_what_is_around_it() -> None:
    document, _ = parse_document(FILE, LINES)

    assert document.line((0, "expect", "fields", "c", "d")) == 8
    assert document.line((1, "reference")) == 11
    assert document.line((7,)) == 3
    assert Document(FILE, None, {}).line((0, "id")) == 1


@pytest.mark.parametrize(("written", "read"), SCALARS.items(), ids=SCALARS)
def test_scalars_are_those_of_yaml_1_2(written: str, read: Any) -> None:
    document, problems = parse_document(FILE, f"key: {written}\n")

    assert problems == []
    assert document.value == {"key": read}
    assert type(document.value["key"]) is type(read)


def test_keys_are_texts_as_written() -> None:
    document, problems = parse_document(FILE, "1: a\n01: b\ntrue: c\n~: d\n<<: {e: f}\n")

    assert problems == []
    assert document.value == {"1": "a", "01": "b", "true": "c", "~": "d", "<<": {"e": "f"}}


@pytest.mark.parametrize(("text", "line", "what"), NO_DATA.values(), ids=ids(NO_DATA))
def test_a_file_that_cannot_be_read_is_one_problem_with_its_line(text: str, line: int, what: str) -> None:
    document, problems = parse_document(FILE, text)

    assert document.value is None
    assert [(one.file, one.line, one.field) for one in problems] == [(FILE, line, "")]
    assert problems[0].what.startswith(what)
    assert "\n" not in str(problems[0])


@pytest.mark.parametrize(("text", "line", "field", "what"), NOT_PLAIN.values(), ids=ids(NOT_PLAIN))
def test_what_is_not_plain_data_is_a_problem(text: str, line: int, field: str, what: str) -> None:
    _, problems = parse_document(FILE, text)

    assert [(one.line, one.field) for one in problems] == [(line, field)]
    assert what in problems[0].what
    assert problems[0].mend
    assert "\n" not in str(problems[0])


def test_all_problems_of_a_file_are_collected() -> None:
    _, problems = parse_document(FILE, "a: &x 1\na: 2\nb: *x\nc: !own 3\nd: {e: 1, e: 2}\n")

    assert [(one.line, one.field) for one in problems] == [(2, "a"), (3, ""), (4, "c"), (5, "d.e")]


def test_the_deepest_nesting_that_is_allowed_is_read() -> None:
    document, problems = parse_document(FILE, "[" * MAX_DEPTH + "]" * MAX_DEPTH)

    assert problems == []
    assert document.value is not None


def test_an_alias_bomb_is_refused_at_once() -> None:
    layers = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30)]
    text = "\n".join(["l0: &l0 ha", *layers])
    tracemalloc.start()
    started = time.perf_counter()
    _, problems = parse_document(FILE, text)
    seconds = time.perf_counter() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(problems) == 29 * 9
    assert str(problems[-1]).startswith("cases.yaml:30: uses the alias *l28")
    assert seconds < 2
    assert peak < 20_000_000


def test_a_file_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_bytes("a: é\nb: é\n".encode().replace(b"b: \xc3\xa9", b"b: \xe9"))

    assert [str(one) for one in read_document(path)[1]] == [f"{path}:2: is not UTF-8 (save it as UTF-8)"]


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")

    document, problems = read_document(path)

    assert problems == []
    assert document.value == {"a": 1, "b": 2}


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (problem,) = read_document(tmp_path / "nope.yaml")[1]
    assert problem.what == "cannot be read: No such file or directory"

    (problem,) = read_document(tmp_path)[1]
    assert problem.what == "cannot be read: Is a directory"


def test_a_place_reads_like_code_and_steers_no_terminal() -> None:
    assert dotted(("checks", 0, "kind")) == "checks[0].kind"
    assert dotted((3, "expect")) == "[3].expect"
    assert dotted(("a\x1b[2J", "\u202eb")) == r"'a\x1b[2J'.'\u202eb'"
    assert len(dotted(("\n" * 10_000,))) < 200


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
plain_data = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(value=plain_data, flow=st.sampled_from([True, False, None]), unicode=st.booleans())
def test_plain_data_survives_writing_and_reading(value: Any, flow: bool | None, unicode: bool) -> None:
    text = yaml.dump(value, Dumper=Plain, default_flow_style=flow, allow_unicode=unicode, width=20)

    document, problems = parse_document(FILE, text)

    assert problems == []
    assert document.value == value
    assert all(1 <= line <= text.count("\n") for line in document.lines.values())
    assert set(document.lines) == set(places(value))


@given(text=st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    document, problems = parse_document(FILE, text)

    assert problems or document.lines[()] >= 1
    assert all("\n" not in str(one) for one in problems)


class Plain(CCoreDumper):  # type: ignore[misc]  # untyped
    """Writes equal parts out each time: aliases are refused."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, part in parts for place in places(part, (*at, key)))]
