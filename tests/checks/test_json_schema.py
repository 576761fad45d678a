"""`json_schema`: the whole reply is one JSON value that fits; no schema reaches the network or runs for ever."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks import json_schema
from evals.checks.base import Answer, CheckOutcome, CheckResult, NoExpect
from evals.checks.json_schema import JsonSchemaCheck, schema_problem

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
SLOW = "^(a|aa)+$"
LONG = "a" * 60 + "b"

COLOUR: dict[str, Any] = {
    "type": "object",
    "required": ["colour"],
    "additionalProperties": False,
    "properties": {"colour": {"type": "string", "pattern": "^[a-z]+$"}, "shades": {"$ref": "#/$defs/shades"}},
    "patternProperties": {"^x-": {"type": "integer"}},
    "$defs": {"shades": {"type": "array", "items": {"type": "string"}, "maxItems": 2}},
}

FITS = {
    "the least": '{"colour": "blue"}',
    "all of it": '{"colour": "blue", "shades": ["navy", "sky"], "x-a": 1}',
    "white space": ' {"colour" : "blue"}\n',
}

# reply -> cause, part of the reason
MISSES: dict[str, tuple[str, str, str]] = {
    "a field missing": ("{}", "schema: required", "the whole answer: 'colour' is a required property"),
    "a field too many": ('{"colour": "a", "b": 1}', "schema: additionalProperties", "'b' is not allowed"),
    "a wrong type": ('{"colour": 5}', "schema: type", "colour: 5 is not of type 'string'"),
    "a pattern": ('{"colour": "Blue"}', "schema: pattern", "colour: 'Blue' does not match"),
    "a pattern property": (
        '{"colour": "a", "x-a": "b"}',
        "schema: type",
        "x-a: 'b' is not of type 'integer'",
    ),
    "deep inside": ('{"colour": "a", "shades": ["b", 2]}', "schema: type", "shades.1: 2 is not of type"),
    "several": ('{"colour": 1, "b": 2, "shades": 3}', "schema: additionalProperties", "(and 2 more)"),
    "another value": ("[]", "schema: type", "the whole answer: [] is not of type 'object'"),
    "prose": ("It is blue.", "not JSON", "not JSON: Expecting value"),
    "a fence that would fit": (
        '```json\n{"colour": "blue"}\n```',
        "fenced JSON",
        "what can be read of it would fit",
    ),
    "prose that would not fit": ('It is {"color": "blue"}', "prose around JSON", "would not fit"),
    "a key twice": ('{"colour": "a", "colour": "b"}', "loose JSON", "the key 'colour' stands twice"),
    "too deep": ("[" * 5000, "not JSON", "nested too deeply"),
}

REFUSED: dict[str, tuple[Any, str]] = {
    "an unknown type": ({"type": "objekt"}, "'objekt' is not valid under any of the given schemas (at type)"),
    "a list for a schema": ({"properties": {"a": []}}, "(at properties/a)"),
    "a broken pattern": ({"items": {"pattern": "("}}, "bad pattern '(': missing )"),
    "a pattern that is not re's": ({"pattern": r"\p{L}"}, r"bad pattern '\\p{L}': bad escape"),
    "a broken property pattern": ({"patternProperties": {"[": {}}}, "bad pattern '[': unterminated"),
    "a pattern in the making": ({"properties": {"a": {"pattern": "[a--b]"}}}, "bad pattern '[a--b]'"),
    "a property pattern in the making": ({"patternProperties": {"[[a]b]": {}}}, "bad pattern '[[a]b]'"),
    "an unknown draft": ({"$schema": "https://example.com/mine"}, "no draft of JSON Schema known here"),
    "a draft that is a number": ({"$schema": 5}, "no draft of JSON Schema known here"),
    "a draft that is an object": ({"$schema": {}}, "no draft of JSON Schema known here"),
    "a draft inside": (
        {"$schema": DRAFT_7, "items": {"$schema": DRAFT_7}},
        "$schema belongs at the top only",
    ),
    "an unguarded pair": (
        {"patternProperties": {"a": {}}, "allOf": [{"unevaluatedProperties": False}]},
        "not supported",
    ),
}


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-").replace("'", "") for name in table]


def check(schema: Any) -> JsonSchemaCheck:
    return JsonSchemaCheck.model_validate({"kind": "json_schema", "capability": "format", "schema": schema})


def judged(schema: Any, text: str) -> CheckResult:
    return check(schema).judge(NoExpect(), Answer(text))


@pytest.mark.parametrize("text", FITS.values(), ids=ids(FITS))
def test_what_fits_passes(text: str) -> None:
    result = judged(COLOUR, text)

    assert (result.outcome, result.value, result.cause) == (CheckOutcome.PASS, 1.0, "")
    assert result.extracted == json.loads(text)


@pytest.mark.parametrize(("text", "cause", "says"), MISSES.values(), ids=ids(MISSES))
def test_what_does_not_fit_fails_with_place_and_cause(text: str, cause: str, says: str) -> None:
    result = judged(COLOUR, text)

    assert (result.outcome, result.value, result.cause) == (CheckOutcome.FAIL, 0.0, cause)
    assert says in result.reason
    assert result.reason.isprintable()


@pytest.mark.parametrize(("schema", "says"), REFUSED.values(), ids=ids(REFUSED))
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, says: str) -> None:
    assert says in schema_problem(schema)

    with pytest.raises(ValidationError, match="Value error"):
        check(schema)


def test_the_draft_is_the_one_that_the_schema_names() -> None:
    first_only = {"items": [{"type": "string"}]}

    assert judged({"$schema": DRAFT_7, **first_only}, "[1]").cause == "schema: type"
    assert judged({"$schema": DRAFT_7, **first_only}, '["a", 1]').outcome is CheckOutcome.PASS
    assert schema_problem(first_only)
    assert judged({"prefixItems": [{"type": "string"}]}, "[1]").cause == "schema: type"


def test_format_only_annotates() -> None:
    assert judged({"type": "string", "format": "email"}, '"no address"').outcome is CheckOutcome.PASS


ENDLESS: dict[str, tuple[Any, str]] = {
    "a pattern": ({"pattern": SLOW}, json.dumps(LONG)),
    "a property pattern": ({"patternProperties": {SLOW: {}}}, json.dumps({LONG: 1})),
    "properties beside a pattern": (
        {"additionalProperties": False, "patternProperties": {SLOW: {}}},
        json.dumps({LONG: 1}),
    ),
    "a schema within itself": (
        {"$schema": DRAFT_7, "properties": {"n": {"$ref": "#"}}, "pattern": SLOW},
        json.dumps({"n": LONG}),
    ),
    "an older draft": ({"$schema": DRAFT_7, "patternProperties": {SLOW: {}}}, json.dumps({LONG: 1})),
}


@pytest.mark.parametrize(("schema", "text"), ENDLESS.values(), ids=ids(ENDLESS))
def test_a_pattern_that_backtracks_for_ever_is_an_error_within_its_time(schema: Any, text: str) -> None:
    started = time.perf_counter()

    result = judged(schema, text)

    assert time.perf_counter() - started < 5
    assert (result.outcome, result.cause) == (CheckOutcome.ERROR, "pattern ran out of time")


OVERLONG: dict[str, tuple[Any, str]] = {
    "many patterns": ({"items": {"pattern": SLOW}}, json.dumps(["a" * 22 + "b"] * 2_000)),
    "many names for a pattern": (
        {"patternProperties": {SLOW: {}}},
        json.dumps({"a" * 22 + f"b{number}": 1 for number in range(2_000)}),
    ),
    "many branches": (
        {"items": {"anyOf": [{"items": {"anyOf": [{"enum": [number]} for number in range(50)]}}] * 50}},
        json.dumps([[51] * 100] * 200),
    ),
    "unevaluated items": ({"unevaluatedItems": False, "contains": True}, json.dumps([1] * 300_000)),
    "unevaluated properties": (
        {"unevaluatedProperties": False, "additionalProperties": True},
        json.dumps({str(number): 1 for number in range(100_000)}),
    ),
}


@pytest.mark.parametrize(("schema", "text"), OVERLONG.values(), ids=ids(OVERLONG))
def test_an_answer_that_takes_too_long_altogether_is_an_error_within_its_time(
    schema: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_schema, "SCHEMA_TIMEOUT_S", 0.5)
    started = time.perf_counter()

    result = judged(schema, text)
    fenced = judged(schema, f"```\n{text}\n```")

    assert time.perf_counter() - started < 8
    assert (result.outcome, result.cause) == (CheckOutcome.ERROR, "schema ran out of time")
    assert fenced.outcome is CheckOutcome.FAIL


def test_each_check_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schema, "SCHEMA_TIMEOUT_S", 0.2)

    for _ in range(3):
        assert judged(COLOUR, '{"colour": "blue"}').outcome is CheckOutcome.PASS
        time.sleep(0.1)


MIXED: dict[str, list[Any]] = {
    "lists": [[number, "a"] for number in range(20_000)],
    "objects": [{"a": number, "b": "a"} for number in range(20_000)],
    "texts and numbers": [*map(str, range(20_000)), *range(20_000)],
    # Python's own hash of each of these is 0.
    "numbers of one hash": [(2**61 - 1) * number for number in range(20_000)],
}


@pytest.mark.parametrize("value", MIXED.values(), ids=ids(MIXED))
def test_a_long_list_without_doubles_is_judged_soon(value: list[Any]) -> None:
    schema = {"uniqueItems": True}
    started = time.perf_counter()

    assert judged(schema, json.dumps(value)).outcome is CheckOutcome.PASS
    result = judged(schema, json.dumps([*value, value[7]]))

    assert (result.outcome, result.cause) == (CheckOutcome.FAIL, "schema: uniqueItems")
    assert time.perf_counter() - started < 4


def test_a_fenced_answer_fails_even_where_the_diagnosis_runs_out_of_time() -> None:
    result = judged({"properties": {"a": {"pattern": SLOW}}}, f"```\n{json.dumps({'a': LONG})}\n```")

    assert (result.outcome, result.cause) == (CheckOutcome.FAIL, "fenced JSON")
    assert "may or may not fit" in result.reason


class Counting(http.server.BaseHTTPRequestHandler):
    """Serves a schema that allows anything, and counts."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (Counting,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize("own", [{}, {"$id": "URL/base.json"}], ids=["absolute", "relative"])
def test_a_remote_reference_is_never_fetched(
    keyword: str, own: dict[str, str], server: tuple[str, list[str]]
) -> None:
    url, asked = server
    base = {key: value.replace("URL", url) for key, value in own.items()}
    target = "other.json" if own else f"{url}/other.json"

    result = judged({**base, "properties": {"a": {keyword: target}}}, '{"a": 1}')

    assert (result.outcome, result.cause) == (CheckOutcome.ERROR, "bad schema")
    assert "refers to what is not in it" in result.reason
    assert asked == []


def test_a_reference_inside_the_schema_that_leads_nowhere_is_an_error() -> None:
    assert judged({"$ref": "#/$defs/nope"}, "1").outcome is CheckOutcome.ERROR


keys = st.sampled_from(["a", "b", "x-a", "x-b", "colour"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["blue", "Blue", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
)
SCHEMAS: list[dict[str, Any]] = [
    COLOUR,
    {
        "additionalProperties": {"type": "integer"},
        "patternProperties": {"^x-a": {}, "b$": {"type": "string"}},
    },
    {"additionalProperties": False, "properties": {"a": True, "b": False}},
    {
        "$schema": DRAFT_7,
        "additionalProperties": {"type": "null"},
        "patternProperties": {"^x": {"minimum": 1}},
    },
]


numbers = st.sampled_from([0, 1, -0.0, 1.0, 2**53, 2.0**53, 2**53 + 1, 10**22, 1e22, 1e300, 0.5, -1])
alike = st.recursive(
    st.none() | st.booleans() | numbers | st.sampled_from(["", "1", "true", "\ud800", "é"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@given(value=st.lists(alike, max_size=4), twice=st.none() | st.integers(0, 3))
@example(value=[[1], [True], [1]], twice=None)
@example(value=[{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], twice=None)
@example(value=[0, False], twice=None)
def test_items_are_unique_where_the_library_finds_no_two_that_are_equal(
    value: list[Any], twice: int | None
) -> None:
    value = value + value[twice : twice + 1] if twice is not None else value
    # Two at a time: the library sorts longer lists, and misses what then stands apart.
    library = jsonschema.Draft202012Validator({"uniqueItems": True})
    unique = all(library.is_valid([one, other]) for one, other in itertools.combinations(value, 2))

    assert (judged({"uniqueItems": True}, json.dumps(value)).outcome is CheckOutcome.PASS) == unique
    assert judged({"uniqueItems": False}, json.dumps(value)).outcome is CheckOutcome.PASS


@given(value=values | st.dictionaries(keys, values), schema=st.sampled_from(SCHEMAS))
def test_the_guarded_keywords_judge_as_the_library_does(value: Any, schema: dict[str, Any]) -> None:
    library = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)

    passes = judged(schema, json.dumps(value)).outcome is CheckOutcome.PASS
    assert passes == library(schema).is_valid(value)
