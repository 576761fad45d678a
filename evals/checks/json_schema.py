"""`json_schema`: the whole reply is one JSON value that fits a JSON Schema."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema
import jsonschema.validators
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from pydantic import Field, field_validator
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from evals.checks.answers import read_json, shorten
from evals.checks.base import Answer, Check, CheckOutcome, CheckResult, Strict, failed, passed
from evals.checks.patterns import PatternTimeout, pattern_problem, search

PATTERN_TIMEOUT_S = 1.0

_DRAFTS = tuple(
    f"{address}/schema"
    for address in (
        "https://json-schema.org/draft/2020-12",
        "https://json-schema.org/draft/2019-09",
        "http://json-schema.org/draft-07",
        "http://json-schema.org/draft-06",
        "http://json-schema.org/draft-04",
    )
)


def _pattern(_: Validator, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    # The library's own search has no time limit: a reply could hang the run.
    if isinstance(value, str) and search(pattern, value, PATTERN_TIMEOUT_S) is None:
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: dict[str, Any], value: Any, _: Any
) -> Iterator[ValidationError]:
    for pattern, part in patterns.items():
        for key, item in value.items() if isinstance(value, dict) else ():
            if search(pattern, key, PATTERN_TIMEOUT_S) is not None:
                yield from validator.descend(item, part, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, value: Any, schema: dict[str, Any]
) -> Iterator[ValidationError]:
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, item in value.items() if isinstance(value, dict) else ():
        if key in named or any(search(one, key, PATTERN_TIMEOUT_S) is not None for one in patterns):
            continue
        if allowed is False:
            yield ValidationError(f"the property {key!r} is not allowed")
        else:
            yield from validator.descend(item, allowed, path=key)


_GUARDED = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
}


@functools.lru_cache(maxsize=256)
def _validator(schema_text: str) -> Validator:
    schema = json.loads(schema_text)
    draft = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    draft.check_schema(schema)
    guarded = jsonschema.validators.extend(draft, _GUARDED)  # type: ignore[no-untyped-call]
    # An explicit registry: the default one would fetch a remote $ref from the network.
    validator: Validator = guarded(schema, registry=EMPTY_REGISTRY)
    return validator


def schema_problem(schema: Any) -> str:
    """Why a JSON Schema cannot be used, or ''."""
    named = schema.get("$schema", _DRAFTS[0]) if isinstance(schema, dict) else _DRAFTS[0]
    if not isinstance(named, str) or named.rstrip("#") not in _DRAFTS:
        return f"$schema {shorten(repr(named))} is no draft of JSON Schema known here: {', '.join(_DRAFTS)}"
    try:
        # Before the library compiles them, which warns where this explains.
        if problem := next(_bad_patterns(schema), ""):
            return problem
        keywords = set(_keywords(schema))
        _validator(json.dumps(schema, sort_keys=True))
    except SchemaError as error:
        where = "/".join(map(str, error.absolute_path)) or "top"
        return f"not a valid JSON Schema: {shorten(error.message, 120)} (at {where})"
    except RecursionError:
        return "nested too deeply"
    if {"unevaluatedProperties", "patternProperties"} <= keywords:
        # The library matches the names for this pair itself, without a time limit.
        return "unevaluatedProperties and patternProperties together are not supported"
    return ""


def _keywords(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _keywords(part)


def _bad_patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        pattern, named = schema.get("pattern"), schema.get("patternProperties")
        patterns = [pattern] if isinstance(pattern, str) else []
        for one in [*patterns, *(named if isinstance(named, dict) else ())]:
            if problem := pattern_problem(one):
                yield f"bad pattern {one!r}: {problem}"
        for part in schema.values():
            yield from _bad_patterns(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _bad_patterns(part)


class JsonSchemaCheck(Check):
    """A fenced or prose-wrapped answer fails, with what a lenient reader would have found as diagnosis.

    value is 1 or 0. `schema:` is a file of the task's folder or an inline schema; the draft is the one that
    `$schema` names, 2020-12 without it; `format` annotates only, as the standard has it.
    """

    kind: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema", description="a file of the task, or an inline schema")

    @field_validator("schema_")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        if problem := schema_problem(schema):
            raise ValueError(problem)
        return schema

    @functools.cached_property
    def _schema_text(self) -> str:
        return json.dumps(self.schema_, sort_keys=True)

    def judge(self, expect: Strict, answer: Answer) -> CheckResult:
        validator = _validator(self._schema_text)
        reading = read_json(answer.text)
        if reading.problem:
            return failed(reading.cause, self._diagnosis(reading.problem, reading.cause, reading.lenient))
        try:
            errors = sorted(
                validator.iter_errors(reading.value), key=lambda error: list(map(str, error.path))
            )
        except PatternTimeout as error:
            return CheckResult(
                CheckOutcome.ERROR, 0.0, None, f"a pattern of the schema: {error}", "pattern ran out of time"
            )
        except Unresolvable as error:
            return CheckResult(
                CheckOutcome.ERROR,
                0.0,
                None,
                f"the schema refers to what is not in it: {error}",
                "bad schema",
            )
        if errors:
            first = errors[0]
            where = shorten(".".join(map(str, first.absolute_path))) or "the whole answer"
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            reason = f"{where}: {shorten(first.message, 160)}{more}"
            return failed(f"schema: {first.validator}", reason, extracted=reading.value)
        return passed(reading.value, "fits the schema")

    def _diagnosis(self, problem: str, cause: str, lenient: Any) -> str:
        if lenient is None:
            return f"not JSON: {problem}"
        try:
            fits = "would fit" if _validator(self._schema_text).is_valid(lenient) else "would not fit"
        except (PatternTimeout, Unresolvable, RecursionError):
            fits = "may or may not fit"  # the answer fails either way
        return f"{cause} ({problem}); what can be read of it {fits} the schema"
