"""The figures are those of scipy, of statsmodels and of published tables, and keep their word at the ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats  # type: ignore[import-untyped]
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from scipy.stats import binomtest, multinomial, norm
from statsmodels.stats.contingency_tables import mcnemar  # type: ignore[import-untyped]
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]
from statsmodels.stats.proportion import (  # type: ignore[import-untyped]
    _confint_riskratio_paired_nam,
    proportion_confint,
)

from evals.stats import (
    Z_95,
    agreeing_width,
    holm,
    mcnemar_p,
    mean_interval,
    miss_bound,
    ratio_interval,
    sign_flip_p,
    tango_interval,
    wilson_interval,
)

Z_90 = 1.6448536269514722

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


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (3, 9), (16, 6), (40, 20), (1200, 1100), (2000, 2000)])
def test_the_exact_p_of_mcnemar_is_that_of_statsmodels(lost: int, won: int) -> None:
    theirs = mcnemar([[50, won], [lost, 50]], exact=True).pvalue

    assert mcnemar_p(lost, won) == pytest.approx(min(1.0, theirs), rel=1e-9)


@pytest.mark.parametrize(("lost", "won"), [(math.nan, 1), (1, math.inf)])
def test_a_count_that_is_no_number_is_refused(lost: float, won: float) -> None:
    with pytest.raises(ValueError, match="lost"):
        mcnemar_p(lost, won)  # type: ignore[arg-type]


# --- the difference of paired proportions ---


@pytest.mark.parametrize(
    ("lost", "won", "n", "z", "published"),
    [
        (3, 9, 32, Z_95, (-0.027, 0.390)),  # R's ratesci, under Tango
        (1, 0, 44, Z_90, (-0.096, 0.037)),  # R's ratesci, under Tango: soft contact lenses, 90%
        (8, 16, 86, Z_95, (-0.020, 0.207)),  # Agresti and Min 2005, by ratesci
        (
            7,
            1,
            21,
            Z_95,
            (-0.517, -0.026),
        ),  # Fagerland, Lydersen and Laake 2014, by ratesci: airway reactivity
        (16, 6, 161, Z_95, (-0.124, -0.005)),  # R's contingencytables: complete response
    ],
)
def test_the_intervals_of_differences_are_those_of_published_examples(
    lost: int, won: int, n: int, z: float, published: tuple[float, float]
) -> None:
    low, high = tango_interval(lost, won, n, z)

    assert (round(low, 3), round(high, 3)) == published


def score(lost: float, won: float, n: int, difference: float) -> float:
    """The score statistic with its constrained maximum found by search instead of Tango's formula."""

    def loss(q: float) -> float:
        cells = ((lost, q), (won, q + difference), (n - lost - won, 1 - 2 * q - difference))
        return -sum(count * math.log(max(rate, 1e-300)) for count, rate in cells if count)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    q = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    spread = n * (2 * q + difference * (1 - difference))
    return float((won - lost - n * difference) / math.sqrt(spread))


@given(n=st.integers(2, 200), data=st.data())
def test_at_each_limit_the_score_test_stands_at_its_quantile(n: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, n - 1))
    won = data.draw(st.integers(0, n - 1 - lost))

    low, high = tango_interval(lost, won, n)

    assert score(lost, won, n, low) == pytest.approx(Z_95, rel=1e-3)
    assert score(lost, won, n, high) == pytest.approx(-Z_95, rel=1e-3)


@given(n=st.integers(1, 3000), data=st.data())
def test_the_interval_holds_the_difference_and_mirrors_and_narrows(n: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, n))
    won = data.draw(st.integers(0, n - lost))
    low, high = tango_interval(lost, won, n)

    assert -1 <= low <= (won - lost) / n + 1e-12
    assert (won - lost) / n - 1e-12 <= high <= 1
    assert tango_interval(won, lost, n) == (-high, -low)
    wide = tango_interval(2 * lost, 2 * won, 2 * n)
    assert wide[1] - wide[0] < high - low


def test_one_more_won_never_lowers_a_limit_and_one_more_lost_never_raises_one() -> None:
    for n in (1, 2, 5, 13, 33, 40):
        limits = {(lost, won): tango_interval(lost, won, n) for lost, won in splits(n)}
        for (lost, won), here in limits.items():
            if lost + won < n:
                assert all(np.subtract(limits[lost, won + 1], here) >= -1e-11)
                assert all(np.subtract(limits[lost + 1, won], here) <= 1e-11)


def test_pairs_that_all_agree_leave_the_agreeing_width_and_no_pairs_leave_everything() -> None:
    assert tango_interval(0, 0, 50) == pytest.approx((-agreeing_width(50), agreeing_width(50)), abs=1e-11)
    assert tango_interval(0, 0, 0) == (-1.0, 1.0)
    assert tango_interval(20, 0, 20)[0] == -1.0
    assert tango_interval(0, 20, 20)[1] == 1.0


@pytest.mark.parametrize(
    ("lost", "won", "n"),
    [
        *((-1, 0, 5), (3, 3, 5), (0, 1, 0), (math.nan, 0, 5), (0, math.inf, 5), (0, 0, -1)),
        *((0.5, 1, 5), (0, 1.25, 5)),
    ],
    ids=str,
)
def test_differences_of_impossible_counts_are_refused(lost: float, won: float, n: int) -> None:
    with pytest.raises(ValueError, match=f"lost and {won} won of {n}"):
        tango_interval(lost, won, n)


def splits(n: int) -> list[tuple[int, int]]:
    """All (lost, won) of n pairs."""
    return [(lost, won) for lost in range(n + 1) for won in range(n + 1 - lost)]


@cache
def all_limits(n: int) -> tuple[Any, Any]:
    counts = splits(n)
    return np.array(counts), np.array([tango_interval(lost, won, n) for lost, won in counts])


def chances(n: int, lost: float, won: float) -> Any:
    """The exact probability of each of `splits(n)` when these are the true rates."""
    counts = all_limits(n)[0]
    return multinomial.pmf(np.column_stack((counts, n - counts.sum(1))), n, [lost, won, 1 - lost - won])


@pytest.mark.parametrize("n", [33, 50, 100])
@pytest.mark.parametrize(
    ("lost", "won"),
    [
        (0.02, 0.02),
        (0.05, 0.05),
        (0.1, 0.1),
        (0.2, 0.2),
        (0.4, 0.4),
        (0, 0.05),
        (0, 0.1),
        (0.05, 0.15),
        (0, 0.3),
    ],
)
def test_the_interval_of_a_difference_covers_95_percent(n: int, lost: float, won: float) -> None:
    limits, chance = all_limits(n)[1], chances(n, lost, won)
    held = (limits[:, 0] <= won - lost + 1e-12) & (limits[:, 1] >= won - lost - 1e-12)

    assert 0.93 <= chance[held].sum() <= 1


@pytest.mark.parametrize("n", [20, 33, 50, 100])
def test_a_margin_that_is_just_missed_is_shown_to_hold_in_at_most_5_percent(n: int) -> None:
    low = all_limits(n)[1][:, 0]
    rates = [
        (lost, won) for lost, won in product(np.arange(0, 0.81, 0.05), repeat=2) if won <= lost <= 1 - won
    ]

    assert max(chances(n, lost, won)[low > won - lost + 1e-12].sum() for lost, won in rates) <= 0.05


# --- the ratio of paired proportions ---


@pytest.mark.parametrize(
    ("both", "lost", "won", "n", "z", "published"),
    [
        (1, 7, 1, 21, Z_95, (0.065, 0.907)),  # Fagerland, Lydersen and Laake 2014, by ratesci
        (59, 16, 6, 161, Z_95, (0.748, 0.988)),  # R's contingencytables
        (446, 16, 5, 1157, Z_90, (0.958, 0.992)),  # R's ratesci, under Tang, 90%
        (43, 1, 0, 44, Z_90, (0.904, 1.039)),  # R's ratesci, under Tang, 90%
    ],
)
def test_the_intervals_of_ratios_are_those_of_published_examples(
    both: int, lost: int, won: int, n: int, z: float, published: tuple[float, float]
) -> None:
    low, high = ratio_interval(both, lost, won, n, z)

    assert (round(low, 3), round(high, 3)) == published


@given(cells=st.tuples(*[st.integers(0, 200)] * 4))
def test_the_interval_of_a_ratio_is_that_of_statsmodels(cells: tuple[int, int, int, int]) -> None:
    both, lost, won, neither = cells
    low, high = ratio_interval(both, lost, won, sum(cells))

    if both + lost and both + won:  # its quartic needs passes on either side
        theirs = _confint_riskratio_paired_nam([[both, won], [lost, neither]]).confint
        assert (low, high) == pytest.approx([root.real for root in theirs], rel=1e-4)
        assert low <= (both + won) / (both + lost) <= high


@given(cells=st.tuples(*[st.floats(0, 50)] * 3))
def test_the_interval_of_a_ratio_turned_round_is_its_inverse(cells: tuple[float, float, float]) -> None:
    both, lost, won = cells
    low, high = ratio_interval(both, lost, won, 150)
    turned = ratio_interval(both, won, lost, 150)

    assert low <= high
    assert turned[0] == pytest.approx(1 / high if high else math.inf)
    assert turned[1] == pytest.approx(1 / low if low else math.inf)


def test_a_side_that_passes_nothing_leaves_the_ratio_open_on_its_side() -> None:
    assert ratio_interval(0, 0, 0, 20) == (0.0, math.inf)
    assert ratio_interval(0, 0, 0, 0) == (0.0, math.inf)
    assert ratio_interval(0, 0, 5, 20) == (pytest.approx(5 / Z_95**2), math.inf)
    assert ratio_interval(0, 5, 0, 20) == (0.0, pytest.approx(Z_95**2 / 5))
    assert ratio_interval(30, 0, 0, 33)[0] == pytest.approx(30 / (30 + Z_95**2))


@pytest.mark.parametrize("cells", [(3, 2, 1), (-1, 0, 0), (math.nan, 0, 0), (0, math.inf, 0)])
def test_ratios_of_impossible_counts_are_refused(cells: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="won of 5"):
        ratio_interval(*cells, 5)


# --- means ---


def test_units_that_agree_leave_less_the_more_they_are() -> None:
    assert agreeing_width(0) == 1.0
    assert agreeing_width(73) < 0.05 < agreeing_width(72)
    assert all(more < fewer for fewer, more in pairwise(map(agreeing_width, range(50))))
    with pytest.raises(ValueError, match="-1 units"):
        agreeing_width(-1)


def differences(n: int) -> list[float]:
    return [float(value) for value in np.random.default_rng(n).normal(0.1, 0.4, n).round(2)]


@pytest.mark.parametrize("n", [5, 33, 120])
def test_the_interval_of_a_mean_is_close_to_that_of_other_draws(n: int) -> None:
    values = sorted(differences(n))
    other = scipy_stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=np.random.default_rng(7))
    ours = mean_interval(values)

    assert ours.method == "bca"
    theirs = other.confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.04 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.04 * width)


def test_for_many_units_it_is_that_of_normal_theory() -> None:
    values = differences(900)
    half = Z_95 * float(np.std(values, ddof=1)) / 30
    ours = mean_interval(values)

    assert (ours.low, ours.high) == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=0.004)


def test_a_cluster_counts_by_its_cases_and_once_as_a_unit() -> None:
    singles = [1.0, 0.0, 0.0, -1.0, 1.0, 0.0, 1.0, 0.0] * 4
    clustered = mean_interval([4 * value for value in singles[:8]], [4.0] * 8)
    apart = mean_interval(singles)

    assert clustered.high - clustered.low > 1.5 * (apart.high - apart.low)
    assert mean_interval(singles, [1.0] * 32) == apart
    unlike = mean_interval([1.0, 0.0, -1.0, 0.0, 9.0], [1.0, 1.0, 1.0, 1.0, 10.0])
    assert unlike.low < 9 / 14 < unlike.high


@settings(max_examples=25)
@given(
    units=st.lists(st.tuples(st.integers(-4, 4), st.integers(1, 4)), min_size=2, max_size=30), data=st.data()
)
def test_order_does_not_matter_and_turned_signs_turn_the_interval(
    units: list[tuple[int, int]], data: st.DataObject
) -> None:
    values, weights = zip(*units, strict=True)
    found = mean_interval(values, weights)

    assert found.low <= sum(values) / sum(weights) + 1e-12
    assert found.high >= sum(values) / sum(weights) - 1e-12
    mixed, mixed_weights = zip(*data.draw(st.permutations(units)), strict=True)
    assert mean_interval(mixed, mixed_weights) == found
    turned = mean_interval([-value for value in values], weights)
    assert (-turned.high, -turned.low, turned.method) == (found.low, found.high, found.method)


@pytest.mark.parametrize(("values", "weights"), [([0.0] * 20, None), ([0.5], None), ([2.0, 1.0], [4.0, 2.0])])
def test_units_with_one_mean_give_a_point_and_no_warning(
    values: list[float], weights: list[float] | None
) -> None:
    found = mean_interval(values, weights)

    assert found.low == found.high == values[0] / (weights or [1.0])[0]
    assert found.method == "percentile"


def test_where_bca_does_not_exist_the_plain_quantiles_stand_in() -> None:
    # Only rounding away from one mean: leaving out any of them changes nothing, so no acceleration exists.
    found = mean_interval([8 * 0.1, 6 * 0.1, 5 * 0.1, 3 * 0.1, 0.1], [8.0, 6.0, 5.0, 3.0, 1.0])

    assert found.method == "percentile"
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(
    ("values", "weights", "says"),
    [
        ([], None, "0 units"),
        ([0.1, math.nan], None, "1 of 2 differences are not finite"),
        ([math.inf, 0.0], None, "not finite"),
        ([0.1, 0.2], [1.0], "shorter"),
        ([0.1, 0.2], [], "shorter"),
        ([0.1, 0.2], [1.0, 0.0], "weights"),
        ([0.1, 0.2], [1.0, math.nan], "weights"),
    ],
)
def test_means_of_what_is_no_number_are_refused(
    values: list[float], weights: list[float] | None, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        mean_interval(values, weights)


def widened(values: Sequence[float], weights: Sequence[float]) -> tuple[float, float]:
    """The interval as a comparison uses it: never narrower than units that agree leave it."""
    found, mean, half = (
        mean_interval(values, weights),
        sum(values) / sum(weights),
        agreeing_width(len(values)),
    )
    return min(found.low, mean - half), max(found.high, mean + half)


Suite = tuple[tuple[float, ...], tuple[float, ...]]


def pass_fail(lost: float, won: float) -> Callable[[np.random.Generator, int], Suite]:
    def draw(generator: np.random.Generator, n: int) -> Suite:
        values = generator.choice([-1.0, 0.0, 1.0], n, p=[lost, 1 - lost - won, won])
        return tuple(sorted(values.tolist())), (1.0,) * n

    return draw


def clusters(generator: np.random.Generator, n: int) -> Suite:
    """Clusters of 1 to 5 cases; the candidate fails in some more than in others, on average in 10%."""
    weights = generator.integers(1, 6, n)
    values = -generator.binomial(weights, generator.beta(0.5, 4.5, n)).astype(float)
    return tuple(values.tolist()), tuple(weights.astype(float).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("n", [33, 50, 100])
@pytest.mark.parametrize(
    ("draw", "true"),
    [(pass_fail(0.02, 0.02), 0.0), (pass_fail(0.1, 0), -0.1), (pass_fail(0.2, 0.2), 0.0), (clusters, -0.1)],
    ids=["2% either way", "10% lost", "20% either way", "clusters"],
)
def test_the_interval_of_a_mean_covers_nearly_95_percent(
    n: int, draw: Callable[[np.random.Generator, int], Suite], true: float
) -> None:
    generator = np.random.default_rng(n)
    of = cache(widened)
    limits = np.array([of(*draw(generator, n)) for _ in range(600)])

    assert np.mean((limits[:, 0] <= true) & (limits[:, 1] >= true)) >= 0.90


# --- sign flips, families, misses ---


@given(lost=st.integers(0, 8), won=st.integers(0, 8), same=st.integers(0, 5))
def test_sign_flips_of_ones_are_mcnemars_test(lost: int, won: int, same: int) -> None:
    assert sign_flip_p([-1.0] * lost + [1.0] * won + [0.0] * same) == pytest.approx(mcnemar_p(lost, won))


@given(values=st.lists(st.floats(-3, 3).map(lambda value: round(value, 1)), min_size=2, max_size=9))
def test_few_sign_flips_are_all_counted(values: list[float]) -> None:
    theirs = scipy_stats.permutation_test(
        (values,), lambda x, axis: x.sum(axis).round(6), permutation_type="samples", n_resamples=np.inf
    )

    assert sign_flip_p(values) == pytest.approx(min(1.0, theirs.pvalue), abs=1e-12)


def test_many_sign_flips_are_drawn_and_agree_with_the_exact_ones() -> None:
    assert sign_flip_p([-1.0] * 20 + [1.0] * 40) == pytest.approx(mcnemar_p(20, 40), abs=0.004)
    assert sign_flip_p([-1.0] * 30 + [1.0] * 34) == pytest.approx(mcnemar_p(30, 34), abs=0.02)
    assert sign_flip_p([0.5] * 60) == 1 / 10_000


def test_sign_flips_know_neither_order_nor_side_nor_rounding() -> None:
    values = differences(40)

    assert sign_flip_p(values[::-1]) == sign_flip_p(values) == sign_flip_p([-value for value in values])
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1.0
    assert sign_flip_p([0.0] * 10) == sign_flip_p([]) == 1.0
    assert sign_flip_p([0.3] * 5) == 0.0625
    assert sign_flip_p([0.3] * 6) == 0.03125


def test_sign_flips_of_what_is_no_number_are_refused() -> None:
    with pytest.raises(ValueError, match="2 of 3 differences are not finite"):
        sign_flip_p([0.1, math.nan, math.inf])


@settings(max_examples=20)
@given(ps=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_p_are_those_of_statsmodels(ps: list[float]) -> None:
    adjusted = holm(ps)

    assert adjusted == pytest.approx(multipletests(ps, method="holm")[1])
    assert all(p <= one <= 1 for p, one in zip(ps, adjusted, strict=True))


def test_holms_p_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@pytest.mark.parametrize("wrong", [math.nan, -0.1, 1.1, math.inf])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="p values outside 0 to 1"):
        holm([0.5, wrong])


@given(n=st.integers(1, 2000), data=st.data())
def test_the_bound_of_misses_is_the_exact_one_of_statsmodels(n: int, data: st.DataObject) -> None:
    misses = data.draw(st.integers(0, n - 1))

    assert miss_bound(n, misses) == pytest.approx(proportion_confint(misses, n, 0.1, "beta")[1])


def test_clean_cases_allow_about_three_divided_by_their_number() -> None:
    assert miss_bound(33) == pytest.approx(0.0868, abs=1e-4)
    assert miss_bound(100) == pytest.approx(0.0295, abs=1e-4)
    assert miss_bound(1000) == pytest.approx(3 / 1000, rel=4e-3)
    assert miss_bound(1) == pytest.approx(0.95)
    assert miss_bound(0) == 1.0
    assert miss_bound(7, 7) == 1.0
    assert miss_bound(100, confidence=0.99) > miss_bound(100)


@pytest.mark.parametrize(
    ("n", "misses", "confidence"),
    [(5, 6, 0.95), (5, -1, 0.95), (-1, 0, 0.95), (5, 0, 1.0), (5, math.nan, 0.95)],
)
def test_a_bound_of_impossible_counts_is_refused(n: int, misses: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="misses of"):
        miss_bound(n, misses, confidence)
