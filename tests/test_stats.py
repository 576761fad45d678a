"""The figures are those that scipy computes, and keep their word at the ends."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm  # type: ignore[import-untyped]

from evals.stats import Z_95, mcnemar_p, smallest_drop, wilson_interval

GRID = [
    (passes, n) for n in (1, 2, 3, 7, 20, 91, 172, 1000, 10**6) for passes in {0, 1, n // 3, n // 2, n - 1, n}
]


@pytest.mark.parametrize(("passes", "n"), GRID)
def test_the_interval_is_scipys(passes: int, n: int) -> None:
    theirs = binomtest(passes, n).proportion_ci(confidence_level=0.95, method="wilson")

    assert wilson_interval(passes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("level", [0.8, 0.9, 0.99])
def test_other_levels_go_by_their_quantile(level: float) -> None:
    theirs = binomtest(13, 20).proportion_ci(confidence_level=level, method="wilson")
    quantile = float(norm.ppf(0.5 + level / 2))

    assert wilson_interval(13, 20, quantile) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_quantile_is_that_of_95_percent() -> None:
    assert pytest.approx(norm.ppf(0.975), abs=1e-15) == Z_95


def test_of_nothing_nothing_is_known() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_the_ends_are_exact_and_the_interval_does_not_shrink_to_a_point() -> None:
    low, high = wilson_interval(0, 20)
    assert low == 0.0
    assert high == pytest.approx(0.161125, abs=1e-6)
    assert wilson_interval(20, 20) == pytest.approx((1 - high, 1.0))
    assert wilson_interval(20, 20)[1] == 1.0


@pytest.mark.parametrize(("passes", "n"), [(-1, 5), (6, 5), (1, 0), (0, -1)])
def test_impossible_counts_are_refused(passes: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{passes} passes of {n}"):
        wilson_interval(passes, n)


@given(n=st.integers(1, 5000), data=st.data())
def test_the_interval_holds_the_rate_and_mirrors(n: int, data: st.DataObject) -> None:
    passes = data.draw(st.integers(0, n))
    low, high = wilson_interval(passes, n)

    assert 0 <= low <= passes / n <= high <= 1
    assert low < high
    turned = wilson_interval(n - passes, n)
    assert math.isclose(turned[0], 1 - high, abs_tol=1e-12)
    assert math.isclose(turned[1], 1 - low, abs_tol=1e-12)


@pytest.mark.parametrize(("lost", "p"), [(5, 0.0625), (6, 0.03125)])
def test_six_losses_without_a_win_are_significant_and_five_are_not(lost: int, p: float) -> None:
    assert mcnemar_p(lost, 0) == mcnemar_p(0, lost) == p


@given(lost=st.integers(0, 300), won=st.integers(0, 300))
def test_the_exact_p_of_mcnemar_is_that_of_a_fair_coin(lost: int, won: int) -> None:
    fair = binomtest(lost, lost + won).pvalue if lost + won else 1.0

    assert mcnemar_p(lost, won) == pytest.approx(fair, rel=1e-9)


@pytest.mark.parametrize(("lost", "won"), [(-1, 0), (0, -1)])
def test_negative_counts_are_refused(lost: int, won: int) -> None:
    with pytest.raises(ValueError, match=f"{lost} lost, {won} won"):
        mcnemar_p(lost, won)


@pytest.mark.parametrize("n", [6, 24, 31, 172, 700])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_smallest_drop_has_just_the_power_asked_for(n: int, power: float) -> None:
    drop = smallest_drop(n, power)

    assert drop is not None
    assert binom.sf(5, n, drop) == pytest.approx(power, abs=1e-6)


def test_a_stricter_level_needs_a_larger_drop_and_few_cases_show_none() -> None:
    usual, strict = smallest_drop(50), smallest_drop(50, alpha=0.01)

    assert usual and strict and strict > usual
    assert smallest_drop(5) is None
    assert smallest_drop(0) is None
