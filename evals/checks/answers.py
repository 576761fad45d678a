"""How checks read a reply: JSON taken strictly, and what a lenient reader would have found.

Strict means RFC 8259 over the whole text: no fence, no prose, no NaN, no key twice. The lenient
reading never makes a check pass; it tells a person how near the answer was, and lets the safety
check see commands that a careless client would have run.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NoReturn

import regex

# Beyond this many characters nothing is dug out of prose: each brace would start a parse.
LENIENT_LIMIT = 200_000
LENIENT_STARTS = 50

# What an answer may nest. Deeper values exist only to break what reads them: copying one takes a stack.
MAX_DEPTH = 64

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_LONG_RUN = regex.compile(r"(\p{M}{30})(?=\p{M})")

_FENCE = re.compile(r"```[\w+-]*[ \t]*\r?\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class JsonReading:
    """A reply read as JSON. `value` means something only if `problem` is empty."""

    value: Any
    problem: str
    cause: str
    lenient: Any


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refuse_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {shorten(repr(key))} stands twice in one object")
        made[key] = value
    return made


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return number


_STRICT = json.JSONDecoder(
    object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant, parse_float=_finite, strict=True
)
_LENIENT = json.JSONDecoder(strict=False)


# The checks of one reply share its reading; more would keep whole replies, and what was read, in memory.
@functools.lru_cache(maxsize=8)
def read_json(text: str) -> JsonReading:
    """Read a whole reply as one JSON value; see the module's docstring for what is refused."""
    too_deep = JsonReading(None, "nested too deeply to be read", "not JSON", None)
    try:
        value = _STRICT.decode(text)
        return too_deep if _is_deep(value) else JsonReading(value, "", "", None)
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at line {error.lineno}, column {error.colno}"
    except ValueError as error:
        problem = str(error)
    except RecursionError:
        return too_deep
    lenient, cause = _dig(text)
    return JsonReading(None, problem, cause, lenient)


def _dig(text: str) -> tuple[Any, str]:
    for block in _FENCE.findall(text[:LENIENT_LIMIT]):
        found, _ = _decode_at(block.strip(), 0)
        if found is not None:
            return found, "fenced JSON"
    starts = (match.start() for match in re.finditer(r"[{\[]", text[:LENIENT_LIMIT]))
    for _, start in zip(range(LENIENT_STARTS), starts, strict=False):
        found, end = _decode_at(text, start)
        if isinstance(found, dict) or (isinstance(found, list) and found):
            if before := text[:start].lstrip():
                # A part of a value that cannot be read as a whole, or an example after words.
                return found, "broken JSON" if before[0] in "{[" else "prose around JSON"
            # Nothing around it: a key twice, NaN, or a raw new line in a text.
            return found, "text after JSON" if text[end:].strip() else "loose JSON"
    return None, "not JSON"


def _decode_at(text: str, start: int) -> tuple[Any, int]:
    """The value that starts there and where it ends; None if there is none."""
    try:
        value, end = _LENIENT.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, start
    return (None, start) if _is_deep(value) else (value, end)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            part
            for whole in level
            if isinstance(whole, (dict, list))
            for part in (whole.values() if isinstance(whole, dict) else whole)
        ]
        if not level:
            return False
    return True


def at_path(value: Any, path: str) -> Any:
    """What stands at a dotted path (`a.b.0`); raises `KeyError` naming the part that is absent."""
    for part in path.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise KeyError(part)
    return value


def all_at_path(value: Any, path: str) -> list[Any]:
    """All that stands at a dotted path where `*` is every item of a list (or value of an object), in order.

    An item that lacks the rest of the path gives nothing; nor does a path that leads nowhere.
    """
    found = [value]
    for part in path.split("."):
        below: list[Any] = []
        for whole in found:
            if part == "*":
                below += (
                    whole if isinstance(whole, list) else whole.values() if isinstance(whole, dict) else ()
                )
            else:
                with contextlib.suppress(KeyError):
                    below.append(at_path(whole, part))
        found = below
    return found


def read_date(text: str) -> date | None:
    """The day that `2026-03-01` stands for; None for any other form, or a day that no calendar has."""
    try:
        return date.fromisoformat(text) if _ISO_DATE.fullmatch(text) else None
    except ValueError:
        return None


def nfkc(text: str) -> str:
    """Unicode NFKC in bounded time.

    Made stream-safe first (Unicode Standard Annex #15, section 13): to put a run of n marks into their
    canonical order takes n * n steps, so none is longer than 30.
    """
    return unicodedata.normalize("NFKC", _LONG_RUN.sub("\\1\u034f", text))


def folded(text: str) -> str:
    """NFKC with folded case, composed before and after: folding may leave an accent beside a letter it goes with."""
    return nfkc(nfkc(text).casefold())


def plain(text: str) -> str:
    """A text to compare by: NFKC, on one line with single spaces, letters in their case."""
    return " ".join(nfkc(text).split())


def shorten(text: str, limit: int = 80) -> str:
    """One line of at most `limit` (1 or more) characters, fit for a terminal.

    Control and format characters (escape sequences, bidirectional marks) and lone surrogates are escaped.
    """
    head = text[: limit * 4]
    clean = head if head.isprintable() else "".join(map(_shown, head))
    if len(clean) > limit or len(text) > len(head):
        return clean[: limit - 1] + "…"
    return clean


def _shown(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii")
