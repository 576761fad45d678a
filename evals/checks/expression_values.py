"""The values of expressions (`evals.checks.expressions` says what they mean), and the functions on them."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from fractions import Fraction
from typing import Any

from evals.checks.answers import plain, read_date, shorten

Scalar = Fraction | str | bool | date
Value = Scalar | list[Scalar]

# Numbers of more digits than this are no figures of anybody's answer; they would only cost time.
MAX_DIGITS = 30


class ExpressionError(Exception):
    """An expression that is not allowed, or has no value; the message says which part and why."""


def number_of(value: int | float) -> Fraction:
    """A number as it is written, exactly: 0.1 is one tenth. Raises `ExpressionError` if it is no figure."""
    # NaN is below nothing.
    if not abs(value) < 10**MAX_DIGITS or (value and abs(value) < 10**-MAX_DIGITS):
        raise ExpressionError(f"a number must have at most {MAX_DIGITS} digits")
    return Fraction(repr(value))


def show(value: Value) -> str:
    """A value in words for reasons, in one short line."""
    if isinstance(value, list):
        shown = [show(item) for item in value[:10]] + (["…"] if len(value) > 10 else [])
        return f"[{', '.join(shown)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Fraction):
        if value.denominator == 1 and abs(value) < 10**15:
            return str(value.numerator)
        try:
            return f"{float(value):.10g}"
        except OverflowError:
            return "a huge number"
    return f"'{shorten(value, 40)}'" if isinstance(value, str) else value.isoformat()


def kind_of(value: Value) -> str:
    """What a value is, in words."""
    if isinstance(value, bool):
        return "true or false"
    kinds: dict[type, str] = {Fraction: "a number", str: "a text", list: "a list"}
    return kinds.get(type(value), "a date")


def number_in(value: Value, who: str) -> Fraction:
    """The value, which `who` needs to be a number; raises `ExpressionError`."""
    if not isinstance(value, Fraction):
        raise ExpressionError(f"{who} needs numbers, not {kind_of(value)} {show(value)}")
    return value


def _items(name: str, given: Sequence[Value], *, empty: bool = False) -> list[Scalar]:
    """All items of lists and further values, of one kind; a single value that is no list is a slip."""
    if len(given) == 1 and not isinstance(given[0], list):
        raise ExpressionError(f"{name}() needs a list or several values, not {show(given[0])} alone")
    items = [item for value in given for item in (value if isinstance(value, list) else [value])]
    kinds = sorted({kind_of(item) for item in items})
    if len(kinds) > 1:
        raise ExpressionError(f"{name}() mixes {' and '.join(kinds)}")
    if not items and not empty:
        raise ExpressionError(f"{name}() of an empty list")
    return items


def _measured(name: str, given: Sequence[Value], *, empty: bool = False) -> list[Any]:
    """The items, all numbers or all dates."""
    items = _items(name, given, empty=empty)
    if items and not isinstance(items[0], (Fraction, date)):
        raise ExpressionError(f"{name}() needs numbers or dates, not {kind_of(items[0])} {show(items[0])}")
    return items


def _numbers(name: str, given: Sequence[Value], *, empty: bool = False) -> list[Fraction]:
    return [number_in(item, f"{name}()") for item in _items(name, given, empty=empty)]


def _count(name: str, given: Sequence[Value]) -> Value:
    lists = [value for value in given if isinstance(value, list)]
    if len(lists) < len(given):
        raise ExpressionError(f"{name}() counts the items of lists")
    return Fraction(sum(map(len, lists)))


def _sum(name: str, given: Sequence[Value]) -> Value:
    return sum(_numbers(name, given, empty=True), Fraction(0))


def _mean(name: str, given: Sequence[Value]) -> Value:
    items = _numbers(name, given)
    return sum(items, Fraction(0)) / len(items)


def _min(name: str, given: Sequence[Value]) -> Value:
    least: Value = min(_measured(name, given))
    return least


def _max(name: str, given: Sequence[Value]) -> Value:
    most: Value = max(_measured(name, given))
    return most


def _unique(name: str, given: Sequence[Value]) -> Value:
    items = _items(name, given)
    return len(set(items)) == len(items)


def _rising(name: str, given: Sequence[Value]) -> Value:
    return all(one < other for one, other in itertools.pairwise(_measured(name, given)))


def _gaps(name: str, given: Sequence[Value]) -> Value:
    pairs = itertools.pairwise(_measured(name, given, empty=True))
    return [Fraction((other - one).days) if isinstance(one, date) else other - one for one, other in pairs]


def _first(name: str, given: Sequence[Value]) -> Value:
    return _items(name, given)[0]


def _last(name: str, given: Sequence[Value]) -> Value:
    return _items(name, given)[-1]


def _within(name: str, given: Sequence[Value]) -> Value:
    inner, outer = given
    items = _items(name, [inner, []])
    if isinstance(outer, str):
        text = _folded_once(outer)
        parts = [_folded(item) if isinstance(item, str) else "" for item in items]
        if "" in parts:
            raise ExpressionError(
                f"{name}() looks for texts in a text, not for {show(items[parts.index('')])}"
            )
        return all(part in text for part in parts)
    if not isinstance(outer, list):
        raise ExpressionError(f"{name}() looks in a list or a text, not in {show(outer)}")
    _items(name, [*items, outer])
    among = {_folded(item) if isinstance(item, str) else item for item in outer}
    return all((_folded(item) if isinstance(item, str) else item) in among for item in items)


def _same(name: str, given: Sequence[Value]) -> Value:
    one, other = given
    if not isinstance(one, list) or not isinstance(other, list):
        raise ExpressionError(f"{name}() compares two lists; write == for {show(one)} and {show(other)}")
    _items(name, given, empty=True)
    return Counter(one) == Counter(other)


def _folded(text: str) -> str:
    return plain(text).casefold()


# A text that every line of a reply is looked for in, is folded once.
_folded_once = functools.lru_cache(maxsize=4)(_folded)


def _on_each(work: Callable[..., Scalar]) -> Callable[[str, Sequence[Value]], Value]:
    """A function of one value that may be given a list of them."""

    def apply(name: str, given: Sequence[Value]) -> Value:
        value, *more = given
        if isinstance(value, list):
            return [work(name, item, *more) for item in value]
        return work(name, value, *more)

    return apply


def _abs(name: str, value: Scalar) -> Scalar:
    return abs(number_in(value, f"{name}()"))


def _round(name: str, value: Scalar, places: Value = Fraction(0)) -> Scalar:
    if not isinstance(places, Fraction) or places.denominator != 1 or not 0 <= places <= 9:
        raise ExpressionError(f"{name}() takes 0 to 9 places, not {show(places)}")
    number = number_in(value, f"{name}()")
    scale = 10 ** int(places)
    whole = math.floor(abs(number) * scale + Fraction(1, 2))
    return Fraction(whole if number >= 0 else -whole, scale)


def _lower(name: str, value: Scalar) -> Scalar:
    if not isinstance(value, str):
        raise ExpressionError(f"{name}() needs a text, not {show(value)}")
    return value.lower()


def _date(name: str, value: Scalar) -> Scalar:
    day = read_date(value) if isinstance(value, str) else None
    if day is None:
        raise ExpressionError(f"{name}() needs a date such as '2026-03-01', not {show(value)}")
    return day


def _weekday(name: str, value: Scalar) -> Scalar:
    if not isinstance(value, date):
        raise ExpressionError(f"{name}() needs a date, not {show(value)}")
    return Fraction(value.isoweekday())


# name -> least and most values (None: any number), and what it does.
FUNCTIONS: dict[str, tuple[int, int | None, Callable[[str, Sequence[Value]], Value]]] = {
    "count": (1, None, _count),
    "sum": (1, None, _sum),
    "mean": (1, None, _mean),
    "min": (1, None, _min),
    "max": (1, None, _max),
    "abs": (1, 1, _on_each(_abs)),
    "round": (1, 2, _on_each(_round)),
    "first": (1, 1, _first),
    "last": (1, 1, _last),
    "lower": (1, 1, _on_each(_lower)),
    "unique": (1, None, _unique),
    "rising": (1, None, _rising),
    "gaps": (1, None, _gaps),
    "within": (2, 2, _within),
    "same": (2, 2, _same),
    "date": (1, 1, _on_each(_date)),
    "weekday": (1, 1, _on_each(_weekday)),
}
