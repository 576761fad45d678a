"""Errors of pydantic in the words of someone who writes YAML, each with how to mend it."""

from __future__ import annotations

import re
from typing import Any

from evals.checks.base import Strict

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


def wording(error: Any, model: type[Strict]) -> tuple[str, str]:
    """One entry of `ValidationError.errors()` as (what is wrong, how to mend it or '')."""
    kind = error["type"]
    if kind == "extra_forbidden":
        names = [field.alias or name for name, field in model.model_fields.items()]
        mend = f"keys here: {', '.join(names)}" if len(error["loc"]) == 1 else "see `python -m evals schema`"
        return "unknown key", mend
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
