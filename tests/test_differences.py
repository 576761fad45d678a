"""Differences over the same cases: units, intervals that are never too sure, p values, graded values, noise."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.differences import (
    difference_interval,
    differences,
    fallen_and_risen,
    graded,
    noise,
    p_value,
    units_of,
)
from evals.pairing import Pair, RunSide, pair
from evals.stats import agreeing_width, mcnemar_p, tango_interval
from tests.records import check, record
from tests.sides import merged, side


def pairs(*rates: tuple[float, float], clusters: str = "") -> list[Pair]:
    """Cases with the rates of baseline and candidate; a letter of `clusters` each."""
    return [
        Pair(f"c{number}", clusters[number] if clusters else f"c{number}", baseline, candidate)
        for number, (baseline, candidate) in enumerate(rates)
    ]


PASS_FAIL = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=40
)
THIRDS = st.lists(
    st.tuples(st.integers(0, 3).map(lambda k: k / 3), st.integers(0, 3).map(lambda k: k / 3)),
    min_size=1,
    max_size=12,
)


def test_cases_are_units_and_cases_of_one_cluster_are_one() -> None:
    alone = units_of(pairs((1, 0), (0, 1), (1, 1)))
    together = units_of(pairs((1, 0), (0, 1), (1, 1), clusters="aab"))

    assert (alone.count, alone.cases, alone.pass_fail) == (3, 3, True)
    assert (together.count, together.cases, together.pass_fail) == (2, 3, False)
    assert together.sizes == (2, 1) and together.differences == [0.0, 0.0]


def test_a_cluster_of_one_case_is_a_case() -> None:
    assert units_of(pairs((1, 0), (0, 1), clusters="ab")).pass_fail


def test_means_over_repeats_are_not_pass_or_fail() -> None:
    assert not units_of(pairs((1, 0), (1 / 3, 1))).pass_fail


def test_pass_and_fail_get_the_score_interval_and_the_exact_p() -> None:
    units = units_of(pairs(*[(1.0, 0.0)] * 3 + [(0.0, 1.0)] * 9 + [(1.0, 1.0)] * 20 + [(0.0, 0.0)] * 18))

    interval = difference_interval(units)

    assert (interval.low, interval.high) == tango_interval(3, 9, 50)
    assert interval.estimate == pytest.approx(0.12) and interval.method == "tango"
    assert p_value(units) == mcnemar_p(3, 9)


def test_units_that_agree_leave_open_what_was_not_seen() -> None:
    units = units_of(pairs(*[(1 / 3, 1 / 3)] * 33))

    interval = difference_interval(units)

    assert interval.method == "percentile" and interval.estimate == 0
    assert interval.high == -interval.low == agreeing_width(33)


def test_an_interval_stays_within_what_a_difference_can_be() -> None:
    units = units_of(pairs(*[(0.0, 1.0)] * 3 + [(0.0, 0.9)]))

    assert difference_interval(units).high <= 1


def test_clusters_that_move_together_make_the_interval_wider() -> None:
    rates = [(1.0, 0.0)] * 6 + [(0.0, 1.0)] * 18 + [(1.0, 1.0)] * 36
    alone = difference_interval(units_of(pairs(*rates)))
    letters = "".join(chr(ord("a") + number // 6) for number in range(60))
    together = difference_interval(units_of(pairs(*rates, clusters=letters)))

    assert together.estimate == alone.estimate
    assert together.high - together.low > alone.high - alone.low


@given(PASS_FAIL)
def test_swapping_the_sides_turns_the_difference_around(rates: list[tuple[float, float]]) -> None:
    there = difference_interval(units_of(pairs(*rates)))
    back = difference_interval(units_of(pairs(*[(candidate, baseline) for baseline, candidate in rates])))

    assert (back.estimate, back.low, back.high) == pytest.approx(
        (-there.estimate, -there.high, -there.low), abs=1e-9
    )
    assert there.low <= there.estimate + 1e-9 and there.estimate - 1e-9 <= there.high


@settings(max_examples=25, deadline=None)
@given(THIRDS, st.randoms(use_true_random=False))
def test_the_order_of_cases_and_the_side_change_no_mean_s_interval(
    rates: list[tuple[float, float]], shuffle: object
) -> None:
    cases = pairs(*rates)
    there = difference_interval(units_of(cases))
    mixed = list(cases)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    swapped = [replace(one, baseline=one.candidate, candidate=one.baseline) for one in cases]
    back = difference_interval(units_of(swapped))

    assert difference_interval(units_of(mixed)) == there
    assert p_value(units_of(mixed)) == p_value(units_of(cases)) == p_value(units_of(swapped))
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-9)
    assert -1 <= there.low <= there.estimate <= there.high <= 1


def test_lost_and_won_are_what_the_cases_fell_and_rose_by() -> None:
    assert fallen_and_risen(pairs((1, 0), (1, 1 / 3), (0, 1), (1, 1))) == pytest.approx((5 / 3, 1))


def test_each_capability_has_a_row_and_p_holds_over_all_of_them() -> None:
    baseline = side({"content": "f" * 9 + "p" * 9, "format": "f" * 7 + "p" * 11})
    candidate = side({"content": "p" * 18, "format": "p" * 18}, label="new:1")

    content, form = differences(pair(candidate, baseline))

    assert (content.task, content.capability, content.cases, content.units) == ("colours", "content", 18, 18)
    assert (content.baseline, content.candidate, content.lost, content.won) == (0.5, 1.0, 0, 9)
    assert content.p == mcnemar_p(0, 9) and form.p == mcnemar_p(0, 7)
    assert content.p_holm == pytest.approx(2 * content.p) and form.p_holm == pytest.approx(form.p)
    assert math.isclose(content.difference, 0.5) and content.method == "tango"


def graded_side(*values: float, label: str = "base:1", measures: bool = True) -> RunSide:
    checks = [
        check(
            "pass" if value >= 0.8 else "fail",
            value=value,
            measures={"f1": value} if measures and value else {},
        )
        for value in values
    ]
    records = [record(one, model=label, case=f"c{number}") for number, one in enumerate(checks)]
    return replace(side("p", label=label), records=records)


def test_graded_values_and_measures_get_a_row_each() -> None:
    value, f1 = graded(graded_side(0.9, 0.8, 0.7, 0.0), graded_side(0.5, 0.6, 0.7, 0.2))

    assert (value.task, value.check, value.name, value.cases, value.units) == (
        "colours",
        "keywords",
        "value",
        4,
        4,
    )
    assert (value.baseline, value.candidate) == (pytest.approx(0.5), pytest.approx(0.6))
    assert value.difference == pytest.approx(0.1) and value.low < 0.1 < value.high and value.method == "bca"
    # A reply that could not be read has no f1: it counts as 0.
    assert f1.name == "f1" and f1.candidate == pytest.approx(0.6)


def test_a_measure_that_only_one_side_has_counts_as_zero_on_the_other() -> None:
    found = graded(graded_side(0.9, 0.8), graded_side(0.5, 0.6, measures=False))

    assert [(one.name, one.baseline) for one in found] == [("value", pytest.approx(0.55)), ("f1", 0.0)]


def test_values_that_are_all_pass_or_fail_are_no_graded_ones() -> None:
    assert graded(side("pf"), side("fp")) == []


def test_graded_values_that_all_moved_alike_are_not_taken_for_sure() -> None:
    found = graded(graded_side(*[0.5] * 20), graded_side(*[0.5] * 20))[0]

    assert (found.difference, found.method) == (0, "percentile")
    assert found.high == -found.low == agreeing_width(20)


def test_a_baseline_that_was_asked_once_has_no_noise() -> None:
    assert noise(side("pfp")) == []


def test_the_noise_of_a_baseline_is_how_its_repeats_differ() -> None:
    baseline = merged(side(["pppf", "ppff", "pfff"]), side(["pp", "pp"], task="sums"))

    differing, still = noise(baseline)

    # Two of four cases differ in two of the three pairs of repeats.
    assert (differing.task, differing.capability, differing.repeats) == ("colours", "content", 3)
    assert differing.differing == pytest.approx((2 / 3 + 2 / 3) / 4)
    assert differing.widest == pytest.approx(0.5)
    assert (still.task, still.differing, still.widest) == ("sums", 0, 0)
