"""Errors of pydantic in the words of someone who writes YAML, each with how to mend it."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from evals.checks.base import Strict
from evals.documents import Document, Location, dotted
from evals.errors import Problem

_KINDS = {
    "model_type": "is no set of `key: value` lines",
    "dict_type": "is no set of `key: value` lines",
    "list_type": "is no list",
    "string_type": "is no text",
    "string_unicode": "is no text",
    "int_type": "is no whole number",
    "float_type": "is no number",
    "bool_type": "is neither true nor false",
    "string_too_short": "is empty",
    "too_short": "is empty",
}
_SUBJECT = re.compile(r"^(Input|String|List) should")
_QUOTE = "put it in quotes"


def problems_of(error: ValidationError, doc: Document, at: Location, model: type[Strict]) -> list[Problem]:
    """What a model found wrong in the part `at` of a file, a problem a place, with its line."""
    found: dict[Location, list[tuple[str, str]]] = {}
    for one in error.errors():
        location = (*at, *one["loc"])
        # pydantic adds to the place which type of a union it tried.
        if one["type"] != "missing" and location not in doc.lines:
            location = location[:-1]
        found.setdefault(location, []).append(wording(one, model))
    return [
        Problem(
            doc.path,
            doc.line(location),
            dotted(location),
            " or ".join(dict.fromkeys(what for what, _ in said)),
            said[0][1],
        )
        for location, said in found.items()
    ]


def wording(error: Any, model: type[Strict]) -> tuple[str, str]:
    """One entry of `ValidationError.errors()` as (what is wrong, how to mend it or '')."""
    kind = error["type"]
    if kind == "extra_forbidden":
        names = _keys_at(model, error["loc"][:-1])
        return "unknown key", f"keys here: {', '.join(names)}" if names else "see `python -m evals schema`"
    if kind == "missing":
        return "is missing", ""
    if kind == "value_error":
        return str(error["ctx"]["error"]), ""
    given = error["input"]
    if kind == "string_pattern_mismatch":
        return (
            f"{given!r} is no valid name",
            "small letters, digits, - and _, starting with a letter or digit",
        )
    shown = "" if isinstance(given, (dict, list)) or given == "" else f", got {given!r}"
    if kind in _KINDS:
        scalar = isinstance(given, (bool, int, float))
        return f"{_KINDS[kind]}{shown}", _QUOTE if kind == "string_type" and scalar else ""
    return f"{_SUBJECT.sub('should', error['msg'])}{shown}", ""


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that a part of a model takes; none where more than one kind of part may stand there."""
    parts = [model]
    for name in location:
        fields = [
            field for part in parts for key, field in part.model_fields.items() if name in (key, field.alias)
        ]
        # A name that is no field's is a key of a mapping, or a place in a list.
        parts = [inner for field in fields for inner in _models_in(field.annotation)] if fields else parts
    if len(parts) != 1:
        return []
    return [field.alias or name for name, field in parts[0].model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for part in get_args(annotation) for inner in _models_in(part)]
