"""Announced power is the power that simulated suites have, and the sizes named are the ones that do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom  # type: ignore[import-untyped]

from evals.power import MOST, cases_for_margin, more_cases, more_units_for_mean, smallest_drop
from evals.stats import agreeing_width, mcnemar_p, mean_interval, tango_interval

SUITES = 4_000


def superior(lost: float, won: float, n: int) -> bool:
    return tango_interval(lost, won, n)[0] > 0 and mcnemar_p(int(lost), int(won)) <= 0.05


def within_5_points(lost: float, won: float, n: int) -> bool:
    return tango_interval(lost, won, n)[0] > -0.05


@pytest.mark.parametrize("n", [6, 24, 31, 172, 700])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_smallest_drop_has_just_the_power_asked_for(n: int, power: float) -> None:
    drop = smallest_drop(n, power)

    assert drop is not None
    assert binom.sf(5, n, drop) == pytest.approx(power, abs=1e-6)


@pytest.mark.parametrize("n", [33, 50, 100])
def test_simulated_suites_show_the_smallest_drop_as_often_as_announced(n: int) -> None:
    drop = smallest_drop(n)
    assert drop is not None
    lost = np.random.default_rng(n).binomial(n, drop, SUITES)

    assert np.mean([mcnemar_p(int(one), 0) <= 0.05 for one in lost]) == pytest.approx(0.8, abs=0.03)


def test_a_stricter_level_needs_a_larger_drop_and_few_cases_show_none() -> None:
    usual, strict = smallest_drop(50), smallest_drop(50, alpha=0.01)

    assert usual and strict and strict > usual
    assert smallest_drop(5) is None
    assert smallest_drop(0) is None


@given(margin=st.floats(0.001, 1))
def test_the_fewest_cases_for_a_margin_can_show_it_and_one_fewer_cannot(margin: float) -> None:
    fewest = cases_for_margin(margin)

    assert agreeing_width(fewest) < margin
    assert agreeing_width(fewest - 1) >= margin


def test_the_fewest_cases_of_usual_margins() -> None:
    assert [cases_for_margin(margin) for margin in (0.15, 0.10, 0.05, 0.01, 1.0)] == [22, 35, 73, 381, 1]


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.1, math.nan, math.inf])
def test_what_is_no_margin_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="a margin of"):
        cases_for_margin(margin)


@pytest.mark.parametrize(
    ("lost", "won", "n", "shown"),
    [
        (3, 8, 50, superior),
        (1.5, 5.25, 33, superior),
        (5, 5, 50, within_5_points),
        (0, 2, 33, within_5_points),
    ],
)
def test_simulated_suites_of_the_size_named_show_it_in_four_of_five(
    lost: float, won: float, n: int, shown: object
) -> None:
    assert callable(shown)
    more = more_cases(lost, won, n, shown)
    assert more is not None and more >= 1
    drawn = np.random.default_rng(99).multinomial(
        n + more, [lost / n, won / n, 1 - (lost + won) / n], size=SUITES
    )
    power = np.mean([shown(int(one[0]), int(one[1]), n + more) for one in drawn])

    assert power == pytest.approx(0.8, abs=0.03)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(5, 60), data=st.data())
def test_the_walk_along_the_border_asks_rarely_and_misses_nothing(n: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, n // 3))
    won = data.draw(st.integers(0, n // 3))
    asked: list[tuple[float, float, int]] = []

    def noted(some_lost: float, some_won: float, total: int) -> bool:
        assert some_lost + some_won <= total
        asked.append((some_lost, some_won, total))
        return some_won - some_lost > 0.02 * total

    more = more_cases(lost, won, n, noted)

    if more is None:
        assert (won - lost) / n < 0.03
    else:
        drawn = np.random.default_rng(0).multinomial(
            n + more, [lost / n, won / n, 1 - (lost + won) / n], 4_000
        )
        reached = np.mean(drawn[:, 1] - drawn[:, 0] > 0.02 * (n + more))
        assert reached >= 0.8
    assert len(asked) == len(set(asked)) < 30_000


def test_a_difference_that_points_the_wrong_way_or_is_none_needs_no_number() -> None:
    assert more_cases(8, 3, 50, superior) is None
    assert more_cases(0, 0, 50, superior) is None
    assert more_cases(8, 2, 50, within_5_points) is None
    assert more_cases(5, 5, MOST, lambda lost, won, n: False) is None


def test_where_nothing_differed_the_fewest_that_can_show_it_are_named() -> None:
    assert more_cases(0, 0, 20, within_5_points) == 73 - 20
    assert more_cases(0, 0, 72, within_5_points) == 1


def test_what_is_nearly_shown_needs_at_least_one_more() -> None:
    assert more_cases(0, 5, 10, lambda lost, won, n: True) == 1


@pytest.mark.parametrize(
    ("lost", "won", "n"), [(0, 0, 0), (-1, 0, 5), (3, 3, 5), (math.nan, 0, 5), (0, math.inf, 5)]
)
def test_sizes_from_impossible_counts_are_refused(lost: float, won: float, n: int) -> None:
    with pytest.raises(ValueError, match="lost and"):
        more_cases(lost, won, n, within_5_points)


def graded(n: int) -> tuple[list[float], list[float]]:
    """Clusters of 1 to 3 cases with differences of 0.06 on average."""
    draw = np.random.default_rng(22)
    weights = draw.integers(1, 4, n)
    values = weights * draw.normal(0.06, 0.2, n).round(2)
    return values.tolist(), weights.astype(float).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("bound", [0.0, -0.05])
def test_simulated_means_of_the_size_named_are_shown_in_four_of_five(bound: float) -> None:
    values, weights = graded(20)
    more = more_units_for_mean(values, weights, bound)
    assert more is not None and more >= 1
    total = 20 + more
    draw = np.random.default_rng(5)
    shown = 0
    for _ in range(400):
        drawn = draw.integers(0, 20, total)
        some, their = np.array(values)[drawn], np.array(weights)[drawn]
        low = min(
            mean_interval(some.tolist(), their.tolist()).low, some.sum() / their.sum() - agreeing_width(total)
        )
        shown += low > bound

    assert shown / 400 == pytest.approx(0.8, abs=0.06)  # the simulation's own error is 2 points


def test_a_mean_on_the_wrong_side_of_its_bound_needs_no_number() -> None:
    values, weights = graded(30)

    assert more_units_for_mean([-value for value in values], weights, 0.0) is None
    assert more_units_for_mean([0.0] * 10, None, 0.0) is None


def test_units_that_all_agree_need_what_their_agreeing_width_asks_for() -> None:
    assert more_units_for_mean([0.0] * 20, None, -0.05) == 73 - 20
    assert more_units_for_mean([0.0], None, -0.05) == 72


@pytest.mark.parametrize(
    ("values", "weights", "bound", "says"),
    [
        ([], None, 0.0, "0 units"),
        ([0.1, math.nan], None, 0.0, "not finite"),
        ([0.1, 0.2], [1.0, 0.0], 0.0, "weights"),
        ([0.1, 0.2], [1.0], 0.0, "shorter"),
        ([0.1, 0.2], None, math.nan, "a bound of nan"),
    ],
)
def test_sizes_from_what_is_no_number_are_refused(
    values: list[float], weights: list[float] | None, bound: float, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        more_units_for_mean(values, weights, bound)
