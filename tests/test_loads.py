"""Loads, read off the load times of replies."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from evals.loads import LOAD_S, Load, load_of, merged

moments = st.floats(0, 100)
loads = st.lists(st.builds(lambda began, took: Load(began, began + took), moments, st.floats(0.3, 9)))


def test_a_load_is_the_first_part_of_its_reply() -> None:
    assert load_of(100.0, 10.0, 4.0) == Load(90.0, 94.0)


def test_a_load_never_lasts_longer_than_its_reply() -> None:
    assert load_of(100.0, 1.0, 4.0) == Load(99.0, 100.0)


def test_a_warm_model_and_one_that_tells_nothing_were_not_loaded() -> None:
    # What Ollama tells of a warm model, on an idle machine and on a busy one.
    assert [load_of(9.0, 1.0, told) for told in (None, 0.0, 0.018, 0.042, 0.281)] == [None] * 5
    assert load_of(9.0, None, 2.0) is None
    assert load_of(9.0, 1.0, LOAD_S) is not None


def test_requests_that_waited_for_the_same_load_count_once() -> None:
    # Four replies of a real server that were asked together of a model that was not there.
    told = [(2.4006, 0.3959), (2.5249, 0.3956), (2.2540, 0.3940), (2.1159, 0.3916)]
    found = [load_of(50.0 + total_s, total_s, load_s) for total_s, load_s in told]
    assert len(merged(one for one in found if one)) == 1


@given(loads)
def test_merged_loads_are_apart_in_order_and_cover_the_same_time(some: list[Load]) -> None:
    apart = merged(some)
    assert all(one.ended < other.began for one, other in itertools.pairwise(apart))
    for load in some:
        assert any(one.began <= load.began and load.ended <= one.ended for one in apart)
    for one in apart:
        assert any(load.began == one.began for load in some) and any(load.ended == one.ended for load in some)


@given(loads, st.randoms())
def test_the_order_of_loads_does_not_matter(some: list[Load], random: object) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merged(shuffled) == merged(some)
