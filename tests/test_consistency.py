"""How far repeats agree with each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.base import ModelReply
from evals.consistency import Agreement, agreement, exact_form, normalised_form, pairs_equal


def measured(by_case: dict[str, list[str]], floor: float | None = None) -> Agreement:
    return agreement(by_case, model="m", task="t", measure="exact", noise_floor=True, floor=floor)


@pytest.mark.parametrize(
    ("values", "share"),
    [("aa", 1), ("ab", 0), ("aab", 1 / 3), ("aabb", 1 / 3), ("aaab", 1 / 2), ("abc", 0)],
)
def test_agreement_is_the_share_of_equal_pairs(values: str, share: float) -> None:
    assert pairs_equal(values) == pytest.approx(share)


@given(st.lists(st.sampled_from("abc"), min_size=2))
def test_agreement_is_what_counting_every_pair_gives(values: list[str]) -> None:
    pairs = [(one, other) for i, one in enumerate(values) for other in values[:i]]

    assert pairs_equal(values) == pytest.approx(sum(one == other for one, other in pairs) / len(pairs))


def test_a_task_is_the_mean_of_its_cases_and_names_the_least() -> None:
    found = measured({"steady": ["x", "x", "x"], "shaky": ["x", "x", "y"]})

    assert found.value == pytest.approx(2 / 3)
    assert (found.cases, found.whole, found.repeats) == (2, 1, 3)
    assert (found.least, found.least_value) == ("shaky", pytest.approx(1 / 3))


@pytest.mark.parametrize(("floor", "holds"), [(None, None), (0.5, True), (0.51, False)])
def test_a_floor_holds_at_exactly_its_value(floor: float | None, holds: bool | None) -> None:
    assert measured({"a": ["x", "x"], "b": ["x", "y"]}, floor).holds is holds


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": [2]}', '```json\n{"b": [2],\n "a": 1}\n```'),
        ('{"a": 1}', '{"a": 1.0}'),
        ("It is\n RIGHT.", "it is right."),
        ("caf\u00e9 \uff21", "cafe\u0301 a"),
    ],
    ids=["JSON", "numbers", "spaces and case", "forms of letters"],
)
def test_what_says_the_same_is_equal_when_normalised_and_not_exactly(one: str, other: str) -> None:
    first, second = ModelReply(text=one), ModelReply(text=other)

    assert normalised_form(first) == normalised_form(second)
    assert exact_form(first) != exact_form(second)


@pytest.mark.parametrize(
    ("one", "other"),
    [("right", "wrong"), ('{"a": 1}', '{"a": 2}'), ('{"a": "X"}', '{"a": "x"}')],
)
def test_what_says_something_else_is_not_equal(one: str, other: str) -> None:
    assert normalised_form(ModelReply(text=one)) != normalised_form(ModelReply(text=other))


@pytest.mark.parametrize("form", [exact_form, normalised_form])
def test_a_reply_that_was_cut_off_is_not_the_whole_one(form: object) -> None:
    assert callable(form)
    whole, cut = ModelReply(text="right"), ModelReply(text="right", stop_reason="length")

    assert form(whole) != form(cut)
