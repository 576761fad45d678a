"""`entities` gives the figures of nervaluate, which counts named entities by their place in a text.

A name stands for a place of its own, which no other overlaps: then nervaluate's `strict` compares place and label,
as `entities` compares name and role, and its `exact` compares places alone, as `name_recall` does.
Two differences are left out of the comparison. Nothing expected and nothing answered is 0 there and 1 here, so that
no case drops out of a mean. And nervaluate matches in order: one name answered with two roles may use up the
expected entity with the first, where `entities` counts sets.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervaluate import Evaluator

from evals.checks.base import Answer
from evals.checks.entities import Entities, EntitiesExpect

ROLES = ["person", "place", "product"]
Pairs = list[tuple[int, str]]

pair = st.tuples(st.integers(0, 9), st.sampled_from(ROLES))
one_role_each = st.lists(pair, max_size=8, unique_by=lambda one: one[0])


def spans(pairs: Pairs) -> list[dict[str, object]]:
    return [{"label": role, "start": 10 * name, "end": 10 * name + 5} for name, role in pairs]


def records(pairs: Pairs) -> list[dict[str, str]]:
    return [{"name": f"name {name}", "role": role} for name, role in pairs]


@given(expected=one_role_each, answered=one_role_each, again=st.integers(0, 3))
def test_precision_recall_and_f1_are_nervaluates(expected: Pairs, answered: Pairs, again: int) -> None:
    answered = answered + answered[:again]
    check = Entities.model_validate({"kind": "entities", "capability": "recall", "min_f1": 0.5})
    result = check.judge(
        EntitiesExpect.model_validate({"entities": records(expected)}),
        Answer(json.dumps({"entities": records(answered)})),
    )
    overall = Evaluator([spans(expected)], [spans(answered)], tags=ROLES, loader="dict").evaluate()["overall"]

    if not expected and not answered:
        assert (result.measures["f1"], overall["strict"].f1) == (1, 0)
        return
    strict, exact = overall["strict"], overall["exact"]
    assert (result.measures["precision"], result.measures["recall"]) == (strict.precision, strict.recall)
    assert result.measures["f1"] == pytest.approx(strict.f1)
    assert result.measures["name_recall"] == exact.recall
