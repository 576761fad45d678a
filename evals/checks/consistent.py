"""`consistent`: relations that must hold between parts of a reply, such as a mean and the scores it is of."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from evals.checks.answers import JsonReading, all_at_path, read_date, read_json, shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed
from evals.checks.expression_values import FUNCTIONS, ExpressionError, Scalar, Value, number_of, show
from evals.checks.expressions import Expression, holds, parse_expression, sides
from evals.checks.patterns import Budget, PatternTimeout, group_problem, out_of_time
from evals.checks.scopes import Each, name_of, parts_or_miss

# What one part may hold; more is no list or text that a relation is about.
MAX_ITEMS = 1_000
MAX_TEXT = 200_000

_NUMBER = re.compile(r"[-+−–]?(?:[0-9]{1,3}(?:,[0-9]{3}){1,9}|[0-9]{1,30})?(?:\.[0-9]{1,20})?")
_NAME = re.compile(r"[a-z][a-z0-9_]*")

_SINGLE = {"texts": "text", "numbers": "number", "dates": "date"}

Given = bool | int | FiniteFloat | str


class ExtractedPart(Strict):
    """One named part: where it stands and what it is read as."""

    origin: Literal["reply", "whole", "prompt", "json"] = Field(
        default="reply",
        alias="from",
        description="reply: the section looked at; whole: the whole reply; prompt: what was asked; json: the reply as JSON",
    )
    pattern: str | None = Field(default=None, description="its group, or the whole match, is taken")
    at: str | None = Field(default=None, description="dotted path in the JSON reply; * is every item")
    kind: Literal["text", "texts", "number", "numbers", "date", "dates", "count"] = Field(alias="as")

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        wanted, other = ("at", "pattern") if self.origin == "json" else ("pattern", "at")
        if not getattr(self, wanted) or getattr(self, other) is not None:
            raise ValueError(f"a part from {self.origin} needs {wanted}:, and no {other}:")
        if self.pattern is not None and (problem := group_problem(self.pattern)):
            raise ValueError(f"bad pattern {self.pattern!r}: {problem}")
        return self


class ConsistentExpect(Strict):
    """What a case adds."""

    values: dict[str, Given | list[Given]] = Field(default={}, description="named constants of the relations")


class _Unreadable(Exception):
    """A part has no value: what to count it by, and why."""

    def __init__(self, cause: str, reason: str) -> None:
        super().__init__(reason)
        self.cause = cause


class Consistent(Check):
    """Every relation holds in every section (`each`) of the reply.

    Parts are found by a pattern, or a path in a JSON reply; `text`, `number` and `date` take the first match,
    which must be there, `texts`, `numbers` and `dates` all of them, in order, perhaps none; `count` is how many
    there are. Numbers are decimals (`1,234.5`, `-3`, without unit or percent sign), dates ISO days.
    The language of relations stands in `evals.checks.expressions`.

    value = relations that hold in every section / relations. A relation with a part that is not there, or
    that comes to nothing (mean of no numbers), does not hold. Not covered: parts of one section related to
    those of another, unless both are taken from the whole reply.
    """

    Expect = ConsistentExpect

    kind: Literal["consistent"]
    each: Each = "whole"
    parts: dict[str, ExtractedPart] = Field(min_length=1, description="name -> what is read out of the reply")
    relations: list[str] = Field(min_length=1, description="conditions on parts and values")
    timeout_s: float = Field(default=2.0, gt=0, le=60, description="seconds for all patterns")

    @model_validator(mode="after")
    def _relations_mean_something(self) -> Self:
        for name in self.parts:
            if problem := _name_problem(name):
                raise ValueError(f"the part {name!r} {problem}")
        relations = self._parsed()
        for relation in relations:
            if not relation.is_condition:
                raise ValueError(
                    f"the relation {relation.text!r} is neither true nor false: compare something"
                )
            if all(name not in self.parts or self.parts[name].origin == "prompt" for name in relation.names):
                raise ValueError(f"the relation {relation.text!r} names no part of the reply: it cannot fail")
        if len({relation.text for relation in relations}) < len(relations):
            raise ValueError("one relation stands there twice")
        if idle := self.parts.keys() - {name for relation in relations for name in relation.names}:
            raise ValueError(f"no relation names the part {min(idle)!r}")
        return self

    def _parsed(self) -> list[Expression]:
        parsed: list[Expression] = []
        problems: list[str] = []
        for text in self.relations:
            try:
                parsed.append(parse_expression(text))
            except ExpressionError as error:
                problems.append(f"the relation {shorten(text)!r}: {error}")
        if problems:
            raise ValueError("; ".join(problems))
        return parsed

    def problems(self, expect: ConsistentExpect) -> list[str]:
        named = {name for relation in self._parsed() for name in relation.names}
        found = [
            f"the relations name {name!r}, which is no part: give it under values"
            for name in sorted(named - self.parts.keys() - expect.values.keys())
        ]
        for name, given in expect.values.items():
            if name in self.parts:
                found.append(f"the value {name!r} is the name of a part")
            elif problem := _name_problem(name):
                found.append(f"the value {name!r} {problem}")
            else:
                try:
                    _constant(given)
                except ExpressionError as error:
                    found.append(f"the value {name!r}: {error}")
        return found

    def judge(self, expect: ConsistentExpect, answer: Answer) -> CheckResult:
        reading = None
        if any(part.origin == "json" for part in self.parts.values()):
            reading = read_json(answer.text)
            if reading.problem:
                return failed(reading.cause, f"not JSON: {reading.problem}")
        sections = parts_or_miss(answer.text, self.each)
        if isinstance(sections, CheckResult):
            return sections
        constants = {name: _constant(given) for name, given in expect.values.items()}
        relations = self._parsed()
        budget = Budget(self.timeout_s)
        whole = self.each == "whole"
        try:
            fixed = self._read("", answer, reading, budget, of_section=False)
            broken: dict[str, tuple[str, str]] = {}
            first: dict[str, Any] = {}
            for section in sections:
                own = self._read(section.text, answer, reading, budget, of_section=True)
                readings = {**fixed, **own}
                before = len(broken)
                for relation in relations:
                    if relation.text not in broken and (fault := _fault(relation, readings, constants)):
                        broken[relation.text] = (fault[0], section.place + fault[1])
                if not first or (broken and not before):
                    first = {"values": _as_json(readings)}
                    if not whole:
                        first["where"] = section.place.removesuffix(": ")
        except PatternTimeout as error:
            return out_of_time(error)
        value = 1 - len(broken) / len(relations)
        if broken:
            cause, reason = next(iter(broken.values()))
            if len(broken) > 1:
                reason += f"; {len(broken)} of {len(relations)} relations are broken"
            return failed(cause, reason, extracted=first, value=value)
        held = "the relation holds" if len(relations) == 1 else f"all {len(relations)} relations hold"
        return passed(
            first, held if whole else f"{held} in each of {len(sections)} parts ({name_of(self.each)})"
        )

    def _read(
        self, text: str, answer: Answer, reading: JsonReading | None, budget: Budget, *, of_section: bool
    ) -> dict[str, Value | _Unreadable]:
        """The parts of a section, or those that are the same for every section."""
        texts = {"reply": text, "whole": answer.text, "prompt": answer.asked}
        made: dict[str, Value | _Unreadable] = {}
        for name, part in self.parts.items():
            if (part.origin == "reply") != of_section:
                continue
            try:
                if reading is not None and part.at is not None:
                    found = all_at_path(reading.value, part.at)[: MAX_ITEMS + 1]
                else:
                    limit = 1 if part.kind in {"text", "number", "date"} else MAX_ITEMS + 1
                    found = list(budget.picked(part.pattern or "", texts[part.origin], limit))
                made[name] = _read_as(part, found)
            except _Unreadable as error:
                made[name] = _Unreadable(error.cause, f"part '{name}' {error}")
        return made


def _name_problem(name: str) -> str:
    if name in FUNCTIONS:
        return "has the name of a function"
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        return "is no name: small letters, digits and _, and no word of the language"
    return ""


def _constant(given: Given | list[Given]) -> Value:
    if isinstance(given, list):
        return [_constant_item(item) for item in given]
    return _constant_item(given)


def _constant_item(given: Given) -> Scalar:
    return given if isinstance(given, (bool, str)) else number_of(given)


def _read_as(part: ExtractedPart, found: list[Any]) -> Value:
    """What was found, as the kind that the part has. Raises `_Unreadable`."""
    if len(found) > MAX_ITEMS:
        raise _Unreadable("too many", f"is there more than {MAX_ITEMS} times")
    if part.kind == "count":
        return Fraction(len(found))
    if part.kind in _SINGLE:
        return [_item(_SINGLE[part.kind], one) for one in found]
    if not found:
        raise _Unreadable("part not there", "is not there")
    return _item(part.kind, found[0])


def _item(kind: str, found: Any) -> Scalar:
    if kind == "text" and isinstance(found, str):
        if len(found) > MAX_TEXT:
            raise _Unreadable("too long", f"is longer than {MAX_TEXT} characters")
        return found
    made: Scalar | None = None
    if kind == "number":
        made = _number(found)
    elif kind == "date" and isinstance(found, str):
        made = read_date(found.strip())
    if made is None:
        raise _Unreadable(
            f"no {kind}", f"is no {kind}: {shorten(found if isinstance(found, str) else repr(found), 40)!r}"
        )
    return made


def _number(found: Any) -> Fraction | None:
    if isinstance(found, str):
        digits = found.strip()
        if not _NUMBER.fullmatch(digits) or not digits[-1:].isdigit():
            return None
        return Fraction(digits.replace(",", "").replace("−", "-").replace("–", "-"))
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    try:
        return number_of(found)
    except ExpressionError:
        return None


def _fault(
    relation: Expression, readings: Mapping[str, Value | _Unreadable], constants: Mapping[str, Value]
) -> tuple[str, str] | None:
    """Why a relation does not hold, as cause and reason; None if it does."""
    values: dict[str, Value] = dict(constants)
    for name in sorted(relation.names & readings.keys()):
        value = readings[name]
        if isinstance(value, _Unreadable):
            return value.cause, str(value)
        values[name] = value
    try:
        if holds(relation, values):
            return None
        got = sides(relation, values)
        why = f"does not hold: {got}" if got else "does not hold"
    except ExpressionError as error:
        why = f"has no result: {error}"
    known = ", ".join(f"{name} = {show(values[name])}" for name in sorted(relation.names & values.keys()))
    return "relation broken", f"{relation.text} {why}; {known}"


def _as_json(readings: Mapping[str, Value | _Unreadable]) -> dict[str, Any]:
    """The parts' values for the record, cut to a size that can be kept."""
    return {
        name: [_plain(item) for item in value[:20]] if isinstance(value, list) else _plain(value)
        for name, value in readings.items()
    }


def _plain(value: Scalar | _Unreadable) -> Any:
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else float(value)
    if isinstance(value, date):
        return value.isoformat()
    return shorten(value) if isinstance(value, str) else value if isinstance(value, bool) else None
