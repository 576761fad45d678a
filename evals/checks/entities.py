"""`entities`: names with roles, and relationships between them, against the expected ones.

Precision, recall and F1 over sets: P = right / answered, R = right / expected, F1 = 2PR / (P + R)
(van Rijsbergen 1979, with beta = 1). Where nothing is expected, an empty answer scores 1 and any other
0; so no case is left out of a mean. An answer without the list is no empty answer: it scores 0.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from evals.checks.answers import at_path, folded, read_json, shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed


class ExpectedEntity(Strict):
    """One entity; `aliases` are other names that count as right."""

    name: str = Field(min_length=1)
    role: str = Field(min_length=1)
    aliases: list[str] = []


class ExpectedRelationship(Strict):
    """One directed relationship between two expected entities."""

    source: str
    relation: str
    target: str


class EntitiesExpect(Strict):
    """What a case expects; an empty list says that there are none."""

    entities: list[ExpectedEntity] | None = None
    relationships: list[ExpectedRelationship] | None = None


def plain_name(name: str) -> str:
    """A name to compare by: NFKC, folded case, single spaces, no outer punctuation, no leading 'the'.

    What holds neither letters nor numbers stays as it is.
    """
    text = " ".join(folded(name).split())
    while (inner := _inner(text).removeprefix("the ")) and inner != text:
        text = inner
    return text


def _inner(text: str) -> str:
    start, end = 0, len(text)
    while start < end and not _in_word(text[start]):
        start += 1
    while end > start and not _in_word(text[end - 1]):
        end -= 1
    return text[start:end]


def _in_word(char: str) -> bool:
    # Letters, numbers and marks: a name in Devanagari may end in a vowel sign.
    return unicodedata.category(char)[0] in "LNM"


def f1_of(right: int, answered: int, expected: int) -> tuple[float, float, float]:
    """Precision, recall and F1; each 1 where nothing was answered and nothing expected."""
    if not answered and not expected:
        return 1.0, 1.0, 1.0
    precision = right / answered if answered else 0.0
    recall = right / expected if expected else 0.0
    return precision, recall, 2 * right / (answered + expected)


class Entities(Check):
    """Compares one answer with the case's entities and relationships.

    An entity is right when its name (or an alias) and its role agree; answered twice, the second
    counts as wrong. Ends of relationships are compared by entity, so aliases count. value is the figure
    that the bar is set on: recall with `min_recall`, relationship F1 with `min_relationship_f1`,
    else F1; the lowest where there are several. An answer that is not strict JSON scores 0; measures
    of the lenient reading are not given, so recall over parseable answers has its own count.
    """

    Expect = EntitiesExpect

    kind: Literal["entities"]
    min_f1: float | None = Field(default=None, gt=0, le=1)
    min_recall: float | None = Field(default=None, gt=0, le=1)
    min_relationship_f1: float | None = Field(default=None, gt=0, le=1)
    at: str = Field(default="entities", description="where the list of entities stands in the answer")
    relationships_at: str = "relationships"

    @model_validator(mode="after")
    def _has_a_bar(self) -> Self:
        if self.min_f1 is None and self.min_recall is None and self.min_relationship_f1 is None:
            raise ValueError("needs min_f1, min_recall or min_relationship_f1: without one it cannot fail")
        return self

    def applies(self, expect: EntitiesExpect) -> bool:
        if self.min_f1 is None and self.min_recall is None:
            return expect.relationships is not None
        return expect.entities is not None

    def problems(self, expect: EntitiesExpect) -> list[str]:
        entities = expect.entities or []
        called = [
            (plain_name(name), one.role.casefold()) for one in entities for name in (one.name, *one.aliases)
        ]
        twice = sorted({pair for pair in called if called.count(pair) > 1})
        found = [f"the {role} {name!r} is expected twice" for name, role in twice]
        names = [name for name, _ in called]
        for relationship in expect.relationships or []:
            for end in (relationship.source, relationship.target):
                if plain_name(end) not in names:
                    found.append(f"the relationship's end {end!r} is no expected entity")
                elif names.count(plain_name(end)) > 1:
                    found.append(f"the relationship's end {end!r} may be one of two entities")
        return found

    def judge(self, expect: EntitiesExpect, answer: Answer) -> CheckResult:
        reading = read_json(answer.text)
        if reading.problem:
            return failed(reading.cause, f"not JSON: {reading.problem}")
        entities = _records(reading.value, self.at, ("name", "role"))
        if entities is None:
            return failed("no entity list", f"no list of {{name, role}} at '{self.at}'")
        canonical: dict[str, str] = {}
        by_role: dict[tuple[str, str], str] = {}
        for entity in expect.entities or []:
            for name in (entity.name, *entity.aliases):
                canonical[plain_name(name)] = plain_name(entity.name)
                # One name may be an alias of one entity and the name of another, told apart by the role.
                by_role[plain_name(name), entity.role.casefold()] = plain_name(entity.name)

        def resolve(name: str, role: str = "") -> str:
            plain = plain_name(name)
            return by_role.get((plain, role.casefold())) or canonical.get(plain, plain)

        wanted = {(plain_name(one.name), one.role.casefold()) for one in expect.entities or []}
        got = [(resolve(name, role), role.casefold()) for name, role in entities]
        right = wanted & set(got)
        names_got = {name for name, _ in got}
        names_right = sum(name in names_got for name, _ in wanted)
        precision, recall, f1 = f1_of(len(right), len(got), len(wanted))
        measures = {"precision": precision, "recall": recall, "f1": f1}
        # Names alone, whatever the role: tells "did not see it" from "called it something else".
        measures["name_recall"] = f1_of(names_right, len(got), len(wanted))[1]

        lists: dict[str, Any] = {"right": sorted(right), "missed": sorted(wanted - right)}
        lists["extra"] = sorted(set(got) - right)
        if expect.relationships is not None:
            answered = _records(reading.value, self.relationships_at, ("source", "relation", "target"))
            related_got: list[tuple[str, ...]] = [
                (resolve(s), r.casefold(), resolve(t)) for s, r, t in answered or []
            ]
            related: set[tuple[str, ...]] = {
                (resolve(one.source), one.relation.casefold(), resolve(one.target))
                for one in expect.relationships
            }
            related_hits = related & set(related_got)
            related_f1 = f1_of(len(related_hits), len(related_got), len(related))[2]
            measures["relationship_f1"] = 0.0 if answered is None else related_f1
            lists["relationships_missed"] = sorted(related - related_hits)
            lists["relationships_extra"] = sorted(set(related_got) - related_hits)
            if answered is None and self.min_relationship_f1 is not None:
                what = f"no list of {{source, relation, target}} at '{self.relationships_at}'"
                return failed("no relationship list", what, extracted=lists, **measures)
        return self._verdict(measures, lists)

    def _verdict(self, measures: dict[str, float], lists: dict[str, Any]) -> CheckResult:
        bars = {"recall": self.min_recall, "f1": self.min_f1, "relationship_f1": self.min_relationship_f1}
        set_bars = {name: bar for name, bar in bars.items() if bar is not None and name in measures}
        value = min(measures[name] for name in set_bars)
        low = [
            f"{name} {measures[name]:.2f} < {bar:g}" for name, bar in set_bars.items() if measures[name] < bar
        ]
        if not low:
            return passed(
                lists,
                f"{', '.join(f'{name} {measures[name]:.2f}' for name in set_bars)}",
                value=value,
                **measures,
            )
        relations = "relationship_f1" in low[0]
        prefix = "relationships_" if relations else ""
        missed, extra = lists[f"{prefix}missed"], lists[f"{prefix}extra"]
        reason = f"{'; '.join(low)}; missed {_names(missed)}; extra {_names(extra)}"
        cause = "entities missed" if missed and not relations else "entities too many"
        if relations:
            cause = "relationships wrong"
        return failed(cause, reason, extracted=lists, value=value, **measures)


def _records(value: Any, path: str, keys: tuple[str, ...]) -> list[tuple[str, ...]] | None:
    """The list at `path` as tuples of text; entries of another shape count as answered, and wrong."""
    try:
        items = at_path(value, path)
    except KeyError:
        return None
    if not isinstance(items, list):
        return None
    return [tuple(str(item.get(key, "")) if isinstance(item, dict) else "" for key in keys) for item in items]


def _names(found: Sequence[tuple[str, ...]]) -> str:
    shown = ", ".join(shorten(" ".join(part)) for part in found[:4])
    return (shown + (f" and {len(found) - 4} more" if len(found) > 4 else "")) or "none"
