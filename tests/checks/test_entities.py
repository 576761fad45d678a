"""`entities`: names with roles, and relationships, counted against the expected ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, CheckResult
from evals.checks.entities import Entities, EntitiesExpect, f1_of, plain_name

Pair = tuple[str, str]

# expected, answered -> precision, recall
COUNTED: dict[str, tuple[list[Pair], list[Pair], float, float]] = {
    "all right": ([("Ravi", "person")], [("Ravi", "person")], 1, 1),
    "none expected, none answered": ([], [], 1, 1),
    "none expected, one answered": ([], [("Ravi", "person")], 0, 0),
    "one expected, none answered": ([("Ravi", "person")], [], 0, 0),
    "one of two": ([("Ravi", "person"), ("Tessera", "organisation")], [("Ravi", "person")], 1, 0.5),
    "one too many": ([("Ravi", "person")], [("Ravi", "person"), ("Friday", "event")], 0.5, 1),
    "listed twice": ([("Ravi", "person")], [("Ravi", "person"), ("ravi", "Person")], 0.5, 1),
    "a wrong role": ([("Tessera", "organisation")], [("Tessera", "product")], 0, 0),
    "a role in capitals": ([("Ravi", "person")], [("Ravi", "PERSON")], 1, 1),
    "one name, two roles": (
        [("Mercury", "place"), ("Mercury", "product")],
        [("Mercury", "product"), ("Mercury", "place")],
        1,
        1,
    ),
    "one name, one of two roles": (
        [("Mercury", "place"), ("Mercury", "product")],
        [("Mercury", "place")],
        1,
        0.5,
    ),
    "letters of another size": ([("TESSERA", "organisation")], [("tessera", "organisation")], 1, 1),
    "a leading article": ([("The Crown", "place")], [("crown", "place")], 1, 1),
    "quotes and a full stop": ([("Dune", "work")], [("'Dune'.", "work")], 1, 1),
    "spaces": ([("Ana Maria", "person")], [(" Ana\n Maria ", "person")], 1, 1),
    "Chinese": ([("王小明", "person")], [("王小明", "person")], 1, 1),
    "Devanagari": ([("दिल्ली", "place")], [("दिल्ली", "place")], 1, 1),
    "Arabic": ([("القاهرة", "place")], [("القاهرة", "place")], 1, 1),
    "Cyrillic in another size": ([("Москва", "place")], [("МОСКВА", "place")], 1, 1),
    "an accent composed otherwise": ([("Zoë", "person")], [("Zoe\u0308", "person")], 1, 1),
    "an accent left out": ([("Zoë", "person")], [("Zoe", "person")], 0, 0),
    "a Cyrillic letter for a Latin one": ([("Anna", "person")], [("\u0410nna", "person")], 0, 0),
    "only signs": ([("!!!", "organisation")], [("!!!", "organisation")], 1, 1),
}


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-").replace(",", "") for name in table]


def check(**bars: float) -> Entities:
    return Entities.model_validate({"kind": "entities", "capability": "recall", **(bars or {"min_f1": 0.5})})


def expected(entities: list[Any], relationships: list[tuple[str, str, str]] | None = None) -> EntitiesExpect:
    listed = [one if isinstance(one, dict) else {"name": one[0], "role": one[1]} for one in entities]
    related = None if relationships is None else [related_by(*one) for one in relationships]
    return EntitiesExpect.model_validate({"entities": listed, "relationships": related})


def related_by(source: str, relation: str, target: str) -> dict[str, str]:
    return {"source": source, "relation": relation, "target": target}


def answer(entities: list[Pair], relationships: list[tuple[str, str, str]] | None = None) -> Answer:
    value: dict[str, Any] = {"entities": [{"name": name, "role": role} for name, role in entities]}
    if relationships is not None:
        value["relationships"] = [related_by(*one) for one in relationships]
    return Answer(json.dumps(value))


def figures(result: CheckResult) -> tuple[float, float]:
    return result.measures["precision"], result.measures["recall"]


@pytest.mark.parametrize(("wanted", "given_", "precision", "recall"), COUNTED.values(), ids=ids(COUNTED))
def test_entities_are_counted(
    wanted: list[Pair], given_: list[Pair], precision: float, recall: float
) -> None:
    result = check().judge(expected(wanted), answer(given_))

    assert figures(result) == (precision, recall)
    assert (result.outcome is CheckOutcome.PASS) == (result.measures["f1"] >= 0.5)
    assert result.value == result.measures["f1"]


def test_an_alias_is_as_good_as_the_name_and_both_count_once() -> None:
    wanted = expected([{"name": "Ursula K. Le Guin", "role": "person", "aliases": ["Le Guin", "UKL"]}])

    assert figures(check().judge(wanted, answer([("le guin", "person")]))) == (1, 1)
    assert figures(check().judge(wanted, answer([("UKL", "person"), ("Le Guin", "person")]))) == (0.5, 1)


def test_an_alias_may_be_the_name_of_something_else_in_another_role() -> None:
    wanted = expected([
        {"name": "Apple Inc", "role": "organisation", "aliases": ["Apple"]},
        {"name": "Apple", "role": "product"},
    ])

    assert figures(check().judge(wanted, answer([("Apple", "organisation"), ("Apple", "product")]))) == (1, 1)


def test_a_name_in_the_wrong_role_counts_for_the_names_alone() -> None:
    result = check().judge(
        expected([("Tessera", "organisation"), ("Ravi", "person")]), answer([("Tessera", "work")])
    )

    assert (result.measures["recall"], result.measures["name_recall"]) == (0, 0.5)
    assert result.reason == "f1 0.00 < 0.5; missed ravi person, tessera organisation; extra tessera work"


def test_relationships_are_directed_and_resolve_aliases() -> None:
    wanted = expected(
        [{"name": "Ravi", "role": "person", "aliases": ["R."]}, ("Tessera", "organisation")],
        [("Ravi", "works_for", "Tessera")],
    )
    bar = check(min_relationship_f1=0.9)
    people: list[Pair] = [("Ravi", "person"), ("Tessera", "organisation")]

    assert bar.judge(wanted, answer(people, [("r", "Works_For", "TESSERA")])).outcome is CheckOutcome.PASS
    turned = bar.judge(wanted, answer(people, [("Tessera", "works_for", "Ravi")]))
    assert (turned.outcome, turned.cause) == (CheckOutcome.FAIL, "relationships wrong")
    assert "missed ravi works_for tessera; extra tessera works_for ravi" in turned.reason
    assert bar.judge(wanted, answer(people)).measures["relationship_f1"] == 0


def test_no_relationships_expected_is_an_expectation_too() -> None:
    wanted = expected([("Ravi", "person")], [])
    bar = check(min_relationship_f1=0.5)

    assert bar.judge(wanted, answer([("Ravi", "person")], [])).value == 1
    assert bar.judge(wanted, answer([("Ravi", "person")], [("Ravi", "uses", "Ravi")])).value == 0


def test_the_value_is_the_lowest_figure_with_a_bar() -> None:
    wanted = expected([("a", "x"), ("b", "x")], [("a", "r", "b")])
    given_ = answer([("a", "x")], [("a", "r", "b")])

    assert check(min_recall=0.5).judge(wanted, given_).value == 0.5
    assert check(min_relationship_f1=0.5).judge(wanted, given_).value == 1
    both = check(min_recall=0.6, min_relationship_f1=0.5).judge(wanted, given_)
    assert (both.outcome, both.value, both.cause) == (CheckOutcome.FAIL, 0.5, "entities missed")


NO_RELATIONSHIPS = {
    "no list": '{"entities": []}',
    "null": '{"entities": [], "relationships": null}',
    "an object": '{"entities": [], "relationships": {}}',
    "a text": '{"entities": [], "relationships": ""}',
}


@pytest.mark.parametrize("text", NO_RELATIONSHIPS.values(), ids=ids(NO_RELATIONSHIPS))
@pytest.mark.parametrize("wanted", [[], [("a", "r", "a")]], ids=["none-expected", "one-expected"])
def test_an_answer_without_a_list_of_relationships_scores_nothing_for_them(
    text: str, wanted: list[tuple[str, str, str]]
) -> None:
    expect = expected([("a", "x")], wanted)

    result = check(min_relationship_f1=0.5).judge(expect, Answer(text))
    assert (result.outcome, result.value, result.cause) == (CheckOutcome.FAIL, 0, "no relationship list")
    assert result.reason == "no list of {source, relation, target} at 'relationships'"
    assert result.measures["relationship_f1"] == 0
    assert check(min_f1=0.5).judge(expect, Answer(text)).measures["relationship_f1"] == 0


@pytest.mark.parametrize("entry", ["5", "null", "[]", "{}", '["a", "r", "a"]', '"a r a"', '{"source": "a"}'])
@pytest.mark.parametrize("wanted", [[], [("a", "r", "a")]], ids=["none-expected", "one-expected"])
def test_a_relationship_of_another_shape_counts_as_answered_and_wrong(
    entry: str, wanted: list[tuple[str, str, str]]
) -> None:
    text = f'{{"entities": [], "relationships": [{entry}]}}'

    result = check(min_relationship_f1=0.1).judge(expected([("a", "x")], wanted), Answer(text))

    assert (result.outcome, result.value, result.cause) == (CheckOutcome.FAIL, 0, "relationships wrong")


def test_no_list_of_relationships_is_needed_where_the_case_says_nothing_of_them() -> None:
    both = check(min_f1=0.5, min_relationship_f1=0.5)

    assert both.judge(expected([("a", "x")]), answer([("a", "x")])).outcome is CheckOutcome.PASS


UNREADABLE = {
    "prose": ("Ravi is a person.", "not JSON"),
    "a fence": ('```json\n{"entities": []}\n```', "fenced JSON"),
    "no list": ('{"people": []}', "no entity list"),
    "a text for the list": ('{"entities": "Ravi"}', "no entity list"),
    "a list at the top": ('[{"name": "Ravi", "role": "person"}]', "no entity list"),
}


@pytest.mark.parametrize(("text", "cause"), UNREADABLE.values(), ids=ids(UNREADABLE))
@pytest.mark.parametrize("wanted", [[], [("Ravi", "person")]], ids=["none-expected", "one-expected"])
def test_an_answer_that_cannot_be_read_scores_nothing(text: str, cause: str, wanted: list[Pair]) -> None:
    result = check().judge(expected(wanted), Answer(text))

    assert (result.outcome, result.value, result.cause, dict(result.measures)) == (
        CheckOutcome.FAIL,
        0,
        cause,
        {},
    )


def test_entries_of_another_shape_count_as_answered_and_wrong() -> None:
    text = '{"entities": ["Ravi", {"name": "Ravi"}, 5, {"name": "Ravi", "role": "person"}]}'

    assert figures(check().judge(expected([("Ravi", "person")]), Answer(text))) == (0.25, 1)


def test_the_lists_may_stand_elsewhere() -> None:
    moved = Entities.model_validate({**check().model_dump(mode="json"), "at": "graph.nodes"})
    text = '{"graph": {"nodes": [{"name": "Ravi", "role": "person"}]}}'

    assert moved.judge(expected([("Ravi", "person")]), Answer(text)).value == 1


def test_hostile_names_are_quoted_escaped_and_short() -> None:
    result = check().judge(expected([("Ravi", "person")]), answer([("\x1b[2J\u202e" + "x" * 9999, "person")]))

    assert result.reason.isprintable()
    assert len(result.reason) < 200


def test_a_check_without_a_bar_is_refused() -> None:
    with pytest.raises(ValidationError, match="without one it cannot fail"):
        Entities.model_validate({"kind": "entities", "capability": "recall"})


def test_a_check_applies_where_the_case_says_what_it_counts() -> None:
    nothing = EntitiesExpect()
    only_entities = expected([])

    assert not check().applies(nothing)
    assert check().applies(only_entities)
    assert not check(min_relationship_f1=0.5).applies(only_entities)
    assert check(min_relationship_f1=0.5).applies(expected([], []))


LINT: dict[str, tuple[list[Any], list[tuple[str, str, str]] | None, list[str]]] = {
    "nothing wrong": ([("a", "x"), ("b", "x")], [("a", "r", "b")], []),
    "expected twice": ([("The A", "x"), ("a", "X")], None, ["the x 'a' is expected twice"]),
    "an alias that is the name": (
        [{"name": "a", "role": "x", "aliases": ["A"]}],
        None,
        ["the x 'a' is expected twice"],
    ),
    "an end that is nobody": (
        [("a", "x")],
        [("a", "r", "c")],
        ["the relationship's end 'c' is no expected entity"],
    ),
    "an end that is one of two": (
        [("a", "x"), ("a", "y")],
        [("a", "r", "a")],
        ["the relationship's end 'a' may be one of two entities"] * 2,
    ),
}


@pytest.mark.parametrize(("entities", "relationships", "says"), LINT.values(), ids=ids(LINT))
def test_lint_finds_expectations_that_contradict_themselves(
    entities: list[Any], relationships: list[tuple[str, str, str]] | None, says: list[str]
) -> None:
    assert check().problems(expected(entities, relationships)) == says


@given(name=st.text() | st.text("the '.\u0301Aß", max_size=12))
@example("the the x")
@example("the 'the x'")
@example("'the'")
@example("\u0345")
def test_a_plain_name_is_its_own_plain_name(name: str) -> None:
    plain = plain_name(name)

    assert plain_name(plain) == plain
    assert plain_name(f"The {name} ") == plain or not plain[:1].isalnum()


counts = st.integers(0, 20)


@given(right=counts, more=counts, missed=counts)
def test_f1_is_a_fraction_between_precision_and_recall(right: int, more: int, missed: int) -> None:
    precision, recall, f1 = f1_of(right, right + more, right + missed)

    assert 0 <= min(precision, recall) <= f1 + 1e-12 <= max(precision, recall) + 2e-12 <= 1 + 2e-12
    assert f1_of(right, right + missed, right + more) == (recall, precision, f1)
    assert (f1 == 1) == (more == 0 == missed)


names = st.sampled_from(["a", "b", "c", "The a"])
pairs = st.lists(st.tuples(names, st.sampled_from(["x", "y"])), max_size=5)


@given(wanted=pairs, given_=pairs)
def test_figures_stay_fractions_whatever_is_answered(wanted: list[Pair], given_: list[Pair]) -> None:
    result = check().judge(expected(wanted), answer(given_))

    assert all(0 <= figure <= 1 for figure in result.measures.values())
    assert result.measures["name_recall"] >= result.measures["recall"]
