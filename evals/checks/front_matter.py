"""`front_matter`: the YAML at the start of a Markdown reply, or of each of its notes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from evals.checks.answers import shorten
from evals.checks.base import Answer, Check, CheckResult, Strict
from evals.checks.json_fields import same_json
from evals.checks.length import Bounds
from evals.checks.markdown import lines_of, notes, read_front_matter
from evals.checks.patterns import Budget, PatternTimeout, out_of_time, pattern_problem
from evals.checks.scopes import Miss, parts_or_miss, verdict

SHOWN = 10
CELL = 40

FaultOf = Callable[[Any], str]  # what is amiss with a value, in words; '' if nothing

TYPES: dict[str, Callable[[Any], bool]] = {
    "list": lambda value: isinstance(value, list),
    "number": lambda value: type(value) is int or (isinstance(value, float) and math.isfinite(value)),
    "text": lambda value: isinstance(value, str) and bool(value.strip()),
}


class FrontMatterExpect(Strict):
    """What a case expects; of every note where there are several."""

    front_matter: dict[str, Any] = Field(default={}, description="key -> value, equal as JSON values")
    notes: int | None = Field(default=None, ge=1, description="how many notes, with each: note")


class FrontMatter(Check):
    """A line `---`, YAML 1.2 that is one mapping of plain data, a line `---`; blank lines may stand before.

    With `each: note` the whole reply is such notes: nothing stands before the first, and no line `---` is
    left that opens front matter without closing it. No tags, anchors, aliases, or keys that stand twice.

    Patterns match whole values: texts as they are, numbers and booleans as JSON writes them (5.0 is `5.0`,
    yes is the text `yes`, true is `true`); lists, mappings and null match none. The words `list`, `number`
    (finite) and `text` (not blank) ask for a type instead. value = demands that hold / all: for each note that
    it can be read, that there are no other keys (`only`), each of `keys`, `list_of`, `list_size` and the case's
    `front_matter`; and the number of notes.
    """

    Expect = FrontMatterExpect

    kind: Literal["front_matter"]
    each: Literal["whole", "note"] = "whole"
    keys: dict[str, str] = Field(default={}, description="key -> pattern, 'list', 'number' or 'text'")
    only: bool = Field(default=False, description="no keys but those named here and by the case")
    list_of: dict[str, str] = Field(
        default={}, description="key -> pattern for each item of the list, at least one"
    )
    list_size: dict[str, Bounds] = {}
    notes: int | None = Field(default=None, ge=1, description="how many notes, with each: note")
    timeout_s: float = Field(default=2.0, gt=0, le=60, description="seconds for all patterns")

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        for part in ("keys", "list_of"):
            for key, pattern in getattr(self, part).items():
                if problem := pattern_problem(pattern):
                    raise ValueError(f"{part}.{key}: bad pattern {pattern!r}: {problem}")
        if self.notes is not None and self.each == "whole":
            raise ValueError("notes counts nothing without each: note")
        return self

    def problems(self, expect: FrontMatterExpect) -> list[str]:
        if expect.notes is not None and self.each == "whole":
            return ["notes counts nothing without the check's each: note"]
        return []

    def judge(self, expect: FrontMatterExpect, answer: Answer) -> CheckResult:
        parts = parts_or_miss(answer.text, "note")
        if isinstance(parts, CheckResult):
            return parts
        found = notes(answer.text)
        lines = lines_of(answer.text)
        # Demands on the whole reply, then on each note: (cause, what is amiss) where one does not hold.
        asked = 1
        misses: list[Miss] = []
        if before := "\n".join(lines[: found[0].line - 1]).strip():
            misses.append(("text before", f"text stands before the front matter: '{shorten(before, CELL)}'"))
        if self.each == "whole":
            found = found[:1]
        else:
            asked += 1
            if lines.count("---") % 2:
                misses.append(("not closed", "the last line --- opens front matter that is never closed"))
        wanted_notes = self.notes if expect.notes is None else expect.notes
        if wanted_notes is not None:
            asked += 1
            if len(found) != wanted_notes:
                misses.append(("number of notes", f"{len(found)} notes, {wanted_notes} wanted"))
        held = asked - len(misses)
        named = len(self.keys) + len(self.list_of) + len(self.list_size) + len(expect.front_matter)
        demands = 1 + self.only + named
        shown: list[dict[str, str]] = []
        budget = Budget(self.timeout_s)
        try:
            for note in found:
                values, problem = read_front_matter(note.front)
                faults = list(self._faults(values, expect, budget)) if not problem else []
                held += 0 if problem else demands - len(faults)
                if problem:
                    faults = [("not readable", f"the front matter {problem}")]
                place = f"note in line {note.line}: " if self.each == "note" else ""
                misses += [(cause, place + what) for cause, what in faults]
                shown.append({shorten(key, CELL): _shown(values[key]) for key in list(values)[:SHOWN]})
        except PatternTimeout as error:
            return out_of_time(error)
        value = held / (asked + demands * max(len(found), wanted_notes or 0))
        extracted = {"front_matter": shown[:SHOWN], "notes": len(found)}
        return verdict(misses, extracted, value, f"front matter of {len(found)} note(s) as wanted")

    def _faults(self, values: dict[str, Any], expect: FrontMatterExpect, budget: Budget) -> Iterator[Miss]:
        """At most one fault for each demand on one note."""
        if self.only:
            named = {*self.keys, *self.list_of, *self.list_size, *expect.front_matter}
            if extra := [key for key in values if key not in named]:
                yield "unwanted key", f"the key '{shorten(extra[0], CELL)}' is not wanted"
        demands = [(key, self._key_fault(pattern, budget)) for key, pattern in self.keys.items()]
        demands += [(key, self._items_fault(pattern, budget)) for key, pattern in self.list_of.items()]
        demands += [(key, _size_fault(size)) for key, size in self.list_size.items()]
        demands += [(key, _value_fault(wanted)) for key, wanted in expect.front_matter.items()]
        for key, fault_of in demands:
            if key not in values:
                yield "missing key", f"the key {key!r} is missing"
            elif fault := fault_of(values[key]):
                yield "wrong value", f"{key}: {_shown(values[key])} {fault}"

    def _key_fault(self, pattern: str, budget: Budget) -> FaultOf:
        if pattern in TYPES:
            return lambda value: "" if TYPES[pattern](value) else f"is no {pattern}"
        return lambda value: "" if _matches(pattern, value, budget) else "does not match"

    def _items_fault(self, pattern: str, budget: Budget) -> FaultOf:
        def fault(value: Any) -> str:
            if not isinstance(value, list) or not value:
                return "is no list with items"
            bad = [item for item in value if not _matches(pattern, item, budget)]
            return f"holds {_shown(bad[0])}, which does not match" if bad else ""

        return fault


def _size_fault(size: Bounds) -> FaultOf:
    def fault(value: Any) -> str:
        if not isinstance(value, list):
            return "is no list"
        return "" if size.hold(len(value)) else f"has {len(value)} items, {size.words} wanted"

    return fault


def _value_fault(wanted: Any) -> FaultOf:
    return lambda value: "" if same_json(value, wanted) else f"is not {_shown(wanted)}"


def _matches(pattern: str, value: Any, budget: Budget) -> bool:
    text = _scalar(value)
    return text is not None and budget.full_match(pattern, text) is not None


def _scalar(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, (bool, int, float)) else None


def _shown(value: Any) -> str:
    text = _scalar(value)
    if text is None:
        return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else "null"
    return shorten(repr(text) if isinstance(value, str) else text, CELL)
