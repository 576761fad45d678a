"""`json_fields`: fields of a JSON answer have the expected values, as JSON compares them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.checks.base import Answer, CheckOutcome
from evals.checks.json_fields import JsonFields, JsonFieldsExpect, same_json

CHECK = JsonFields.model_validate({"kind": "json_fields", "capability": "content"})

JUDGED: dict[str, tuple[dict[str, Any], str, float, str, str]] = {
    "right": ({"colour": "blue"}, '{"colour": "blue", "more": 1}', 1.0, "", "all fields as expected"),
    "inside": ({"a.b.0": 2}, '{"a": {"b": [2]}}', 1.0, "", ""),
    "a whole list": ({"a": [1, {"b": 2}]}, '{"a": [1, {"b": 2}]}', 1.0, "", ""),
    "an object in another order": ({"a": {"b": 1, "c": 2}}, '{"a": {"c": 2, "b": 1}}', 1.0, "", ""),
    "a float for a whole number": ({"a": 1}, '{"a": 1.0}', 1.0, "", ""),
    "null": ({"a": None}, '{"a": null}', 1.0, "", ""),
    "wrong": (
        {"colour": "blue"},
        '{"colour": "red"}',
        0.0,
        "wrong field",
        "colour is 'red', expected 'blue'",
    ),
    "letters of another size": ({"a": "Blue"}, '{"a": "blue"}', 0.0, "wrong field", "a is 'blue'"),
    "true for one": ({"a": 1}, '{"a": true}', 0.0, "wrong field", "a is True, expected 1"),
    "zero for false": ({"a": False}, '{"a": 0}', 0.0, "wrong field", "a is 0, expected False"),
    "text for a number": ({"a": 1}, '{"a": "1"}', 0.0, "wrong field", "a is '1'"),
    "null for nothing": ({"a": ""}, '{"a": null}', 0.0, "wrong field", "a is None"),
    "a list in another order": ({"a": [1, 2]}, '{"a": [2, 1]}', 0.0, "wrong field", ""),
    "a list longer": ({"a": [1]}, '{"a": [1, 2]}', 0.0, "wrong field", ""),
    "missing": ({"a.b": 1}, '{"a": {}}', 0.0, "wrong field", "a.b is missing"),
    "missing is not null": ({"a": None}, "{}", 0.0, "wrong field", "a is missing"),
    "half right": ({"a": 1, "b": 2}, '{"a": 1, "b": 3}', 0.5, "wrong field", "b is 3"),
    "no object": ({"a": 1}, "[1]", 0.0, "wrong field", "a is missing"),
    "prose": ({"a": 1}, "a is 1", 0.0, "not JSON", "not JSON: "),
    "a fence": ({"a": 1}, '```\n{"a": 1}\n```', 0.0, "fenced JSON", "not JSON: "),
}


@pytest.mark.parametrize(
    ("fields", "text", "value", "cause", "says"),
    JUDGED.values(),
    ids=[name.replace(" ", "-") for name in JUDGED],
)
def test_an_answer_is_judged_by_its_fields(
    fields: dict[str, Any], text: str, value: float, cause: str, says: str
) -> None:
    result = CHECK.judge(JsonFieldsExpect(fields=fields), Answer(text))

    assert (result.value, result.cause) == (value, cause)
    assert (result.outcome is CheckOutcome.PASS) == (value == 1.0)
    assert says in result.reason


def test_what_stands_in_the_fields_is_told() -> None:
    result = CHECK.judge(JsonFieldsExpect(fields={"a": 1, "b.0": 2, "c": 3}), Answer('{"a": 1, "b": [5]}'))

    assert result.extracted == {"a": 1, "b.0": 5}
    assert result.reason == "b.0 is 5, expected 2; c is missing"


def test_a_hostile_value_is_quoted_escaped_and_short() -> None:
    answer = json.dumps({"a": "\x1b[2J\u202e" + "x" * 10_000})
    result = CHECK.judge(JsonFieldsExpect(fields={"a": 1}), Answer(answer))

    assert result.reason.isprintable()
    assert len(result.reason) < 100


def test_without_an_expected_field_there_is_nothing_to_judge() -> None:
    assert not CHECK.applies(JsonFieldsExpect())
    assert CHECK.applies(JsonFieldsExpect(fields={"a": None}))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.integers(2**53 - 2, 2**53 + 2)
    | st.sampled_from([0.0, -0.0, 1.0, 0.5, 2.0**53])
    | st.sampled_from(["", "1", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@given(one=values, two=values, three=values)
def test_equality_of_json_is_an_equivalence(one: Any, two: Any, three: Any) -> None:
    assert same_json(one, one)
    assert same_json(one, two) == same_json(two, one)
    if same_json(one, two) and same_json(two, three):
        assert same_json(one, three)


@given(value=values)
def test_a_value_equals_itself_written_and_read(value: Any) -> None:
    assert same_json(json.loads(json.dumps(value)), value)
    assert not same_json([value], value)
