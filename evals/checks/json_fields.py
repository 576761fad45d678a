"""`json_fields`: fields of a JSON answer have the values that the case expects."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from evals.checks.answers import at_path, read_json, shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed


class JsonFieldsExpect(Strict):
    """What a case expects."""

    fields: dict[str, Any] = Field(default={}, description="dotted path -> value; list items by number")


class JsonFields(Check):
    """Equal as JSON values: 1 equals 1.0, but true is not 1. value = right fields / expected fields."""

    Expect = JsonFieldsExpect

    kind: Literal["json_fields"]

    def applies(self, expect: JsonFieldsExpect) -> bool:
        return bool(expect.fields)

    def judge(self, expect: JsonFieldsExpect, answer: Answer) -> CheckResult:
        reading = read_json(answer.text)
        if reading.problem:
            return failed(reading.cause, f"not JSON: {reading.problem}")
        found: dict[str, Any] = {}
        wrong: list[str] = []
        for path, wanted in expect.fields.items():
            try:
                found[path] = at_path(reading.value, path)
            except KeyError:
                wrong.append(f"{path} is missing")
                continue
            if not same_json(found[path], wanted):
                wrong.append(f"{path} is {shorten(repr(found[path]), 40)}, expected {wanted!r}")
        value = 1 - len(wrong) / len(expect.fields)
        if wrong:
            return failed("wrong field", "; ".join(wrong), extracted=found, value=value)
        return passed(found, "all fields as expected")


def same_json(one: Any, other: Any) -> bool:
    """Equality of JSON values: numbers by value, booleans apart from numbers, objects without order."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)
