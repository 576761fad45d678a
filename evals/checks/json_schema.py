"""`json_schema`: the whole reply is one JSON value that fits a JSON Schema.

jsonschema's own keywords know no limit of time, and some take the square of the answer's length. So all
run here against a deadline, and those that search or compare without end are replaced.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
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
# One check, all its patterns together; it ends at most one pattern's time later.
SCHEMA_TIMEOUT_S = 5.0
# The library looks each item or property up in a list, which no deadline can interrupt.
MAX_UNEVALUATED = 10_000

_DEADLINE: ContextVar[float] = ContextVar("_DEADLINE")

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


class SchemaTimeout(Exception):
    """An answer takes longer to compare with its schema than it may."""


def _check_time() -> None:
    if time.monotonic() > _DEADLINE.get():
        raise SchemaTimeout(f"no result within {SCHEMA_TIMEOUT_S:g} s")


def _found(pattern: str, text: str) -> bool:
    # The library's own search has no time limit: a reply could hang the run.
    _check_time()
    return search(pattern, text, PATTERN_TIMEOUT_S) is not None


def _pattern(_: Validator, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _found(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: dict[str, Any], value: Any, _: Any
) -> Iterator[ValidationError]:
    for pattern, part in patterns.items():
        for key, item in value.items() if isinstance(value, dict) else ():
            if _found(pattern, key):
                yield from validator.descend(item, part, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, value: Any, schema: dict[str, Any]
) -> Iterator[ValidationError]:
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, item in value.items() if isinstance(value, dict) else ():
        if key in named or any(_found(one, key) for one in patterns):
            continue
        if allowed is False:
            yield ValidationError(f"the property {key!r} is not allowed")
        else:
            yield from validator.descend(item, allowed, path=key)


def _unique_items(_: Validator, wanted: bool, value: Any, __: Any) -> Iterator[ValidationError]:
    # The library compares each with each.
    seen: set[bytes] = set()
    for item in value if wanted and isinstance(value, list) else ():
        _check_time()
        text = json.dumps(_one_spelling(item), sort_keys=True)
        key = hashlib.sha256(text.encode()).digest()
        if key in seen:
            yield ValidationError(f"{item!r} stands in the list more than once")
            return
        seen.add(key)


def _one_spelling(value: Any) -> Any:
    """The standard's equality as the same JSON text: 1 is 1.0, but true is not 1."""
    if isinstance(value, dict):
        return {key: _one_spelling(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_one_spelling(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


def _timed(name: str, keyword: _Keyword) -> _Keyword:
    def timed(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _check_time()
        parts = instance if isinstance(instance, (dict, list)) else ()
        if name.startswith("unevaluated") and len(parts) > MAX_UNEVALUATED:
            raise SchemaTimeout(f"{name} is not looked for among more than {MAX_UNEVALUATED:,}")
        yield from keyword(validator, value, instance, schema) or ()

    return timed


_GUARDED: dict[str, _Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}


@functools.lru_cache(maxsize=256)
def _validator(schema_text: str) -> Validator:
    schema = json.loads(schema_text)
    draft = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    draft.check_schema(schema)
    keywords: dict[str, _Keyword] = {**draft.VALIDATORS, **_GUARDED}
    timed = {name: _timed(name, keyword) for name, keyword in keywords.items()}
    guarded = jsonschema.validators.extend(draft, timed)  # type: ignore[no-untyped-call]
    if isinstance(schema, dict):
        # A reference to a schema that names its draft would go on with the library's own keywords.
        schema.pop("$schema", None)
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
        if any(_names_draft(part) for part in _parts(schema)):
            return "$schema belongs at the top only"
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


def _parts(schema: Any) -> Iterator[Any]:
    """Everything inside a schema, but not itself."""
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield part
        yield from _parts(part)


def _keywords(schema: Any) -> Iterator[str]:
    for part in (schema, *_parts(schema)):
        if isinstance(part, dict):
            yield from part


def _names_draft(part: Any) -> bool:
    # A property may be called $schema: then what stands there is no text.
    return isinstance(part, dict) and isinstance(part.get("$schema"), str)


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
        reading = read_json(answer.text)
        if reading.problem:
            return failed(reading.cause, self._diagnosis(reading.problem, reading.cause, reading.lenient))
        try:
            errors = sorted(self._errors(reading.value), key=lambda error: list(map(str, error.path)))
        except PatternTimeout as error:
            return _broke("pattern ran out of time", f"a pattern of the schema: {error}")
        except SchemaTimeout as error:
            return _broke("schema ran out of time", f"the answer against the schema: {error}")
        except Unresolvable as error:
            return _broke("bad schema", f"the schema refers to what is not in it: {error}")
        if errors:
            first = errors[0]
            where = shorten(".".join(map(str, first.absolute_path))) or "the whole answer"
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            reason = f"{where}: {shorten(first.message, 160)}{more}"
            return failed(f"schema: {first.validator}", reason, extracted=reading.value)
        return passed(reading.value, "fits the schema")

    def _errors(self, value: Any) -> Iterator[ValidationError]:
        _DEADLINE.set(time.monotonic() + SCHEMA_TIMEOUT_S)
        yield from _validator(self._schema_text).iter_errors(value)

    def _diagnosis(self, problem: str, cause: str, lenient: Any) -> str:
        if lenient is None:
            return f"not JSON: {problem}"
        try:
            fits = "would fit" if next(self._errors(lenient), None) is None else "would not fit"
        except (PatternTimeout, SchemaTimeout, Unresolvable, RecursionError):
            fits = "may or may not fit"  # the answer fails either way
        return f"{cause} ({problem}); what can be read of it {fits} the schema"


def _broke(cause: str, reason: str) -> CheckResult:
    return CheckResult(CheckOutcome.ERROR, 0.0, None, reason, cause)
