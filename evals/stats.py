"""Statistics, pure: each function with its formula, its source and what it does with small n."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# The 97.5% quantile of the standard normal distribution: two-sided 95%.
Z_95 = 1.959963984540054
# Resamples of a bootstrap and random draws of a permutation test; with the observed one they make 10,000.
RESAMPLES = 9_999
# So many units that differ have 2**16 patterns of signs: all of them are counted.
ENUMERATED = 16


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """A 95% interval of a mean, and how it was found."""

    low: float
    high: float
    method: Literal["bca", "percentile"]


def wilson_interval(passes: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a proportion: (low, high), fractions.

    centre = (p + z²/2n) / (1 + z²/n),  half = z/(1 + z²/n) · sqrt(p(1-p)/n + z²/4n²),  p = passes/n
    (Wilson 1927; recommended for small n by Brown, Cai and DasGupta 2001). Unlike p ± z·sqrt(p(1-p)/n) it
    stays within [0, 1] and does not shrink to a point at 0 or n passes. n = 0 gives (0, 1): nothing is known.

    Raises `ValueError` unless 0 <= passes <= n.
    """
    if not 0 <= passes <= n:
        raise ValueError(f"{passes} passes of {n}")
    if n == 0:
        return 0.0, 1.0
    rate = passes / n
    scale = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if passes == 0 else max(0.0, centre - half)
    high = 1.0 if passes == n else min(1.0, centre + half)
    return low, high


def mcnemar_p(lost: int, won: int) -> float:
    """Two-sided exact p of McNemar's test: `lost` and `won` are the discordant pairs in either direction.

    p = min(1, 2 · P(X <= min(lost, won))),  X ~ Binomial(lost + won, 1/2)
    (McNemar 1947, with the exact binomial distribution instead of chi-squared). Pairs that agree tell nothing.
    No discordant pair gives 1. With none won, six lost are the fewest below 0.05 (0.031); five give 0.0625.

    Raises `ValueError` for counts that are negative or not finite.
    """
    if not (0 <= lost < math.inf and 0 <= won < math.inf):
        raise ValueError(f"{lost} lost, {won} won")
    n, k = lost + won, min(lost, won)
    tail = term = math.comb(n, k) / (1 << n)
    while term > tail * 1e-17:  # outwards from k, each term from the one before, until they no longer count
        term *= k / (n - k + 1)
        tail += term
        k -= 1
    return min(1.0, 2 * tail)


def tango_interval(lost: float, won: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """The score interval of a difference of paired proportions, candidate minus baseline: (low, high), fractions.

    Of `n` pairs the candidate passes `won` that the baseline fails, and fails `lost` that it passes: counts, for a mean
    over repeats is no pair that was won or lost. The interval holds every D that the score test does not refuse:
    |won - lost - nD| <= z · sqrt(n · (2q + D(1-D))), with q the maximum-likelihood estimate of the rate of losses
    under D: q = (sqrt(B² - 8C) - B) / 4, B = (2 - w + l)D - (l + w), C = -l·D(1-D), l = lost/n, w = won/n
    (Tango 1998, Statistics in Medicine 17:891).
    It stays within [-1, 1]; n pairs that all agree give ±z²/(n+z²), not a point; n = 0 gives (-1, 1). One more pair
    won moves both limits up or leaves them, one more lost down. Its exact coverage is 95% on average; at worst,
    where all discordant pairs point one way, 91% for n of 5 to 20 and 93% from 33 on.

    Raises `ValueError` unless lost and won are whole, not negative, and sum to at most n.
    """
    if not (lost >= 0 and won >= 0 and lost + won <= n and lost % 1 == won % 1 == 0):
        raise ValueError(f"{lost} lost and {won} won of {n}")
    if n == 0:
        return -1.0, 1.0
    return _tango_low(lost / n, won / n, n, z), -_tango_low(won / n, lost / n, n, z)


def _tango_low(lost: float, won: float, n: int, z: float) -> float:
    """The lower limit, by halving to 1e-12; `lost` and `won` as fractions. Swapping them mirrors the upper one."""
    difference, discordant, slope = won - lost, lost + won, 2 - won + lost
    low, high, squared = -1.0, max(-1.0, difference), z * z / n
    while high - low > 1e-12:
        middle = (low + high) / 2
        spread = middle * (1 - middle)
        b = slope * middle - discordant
        q = (math.sqrt(max(0.0, b * b + 8 * lost * spread)) - b) / 4
        if (difference - middle) ** 2 > squared * (2 * q + spread):
            low = middle
        else:
            high = middle
    return low


def ratio_interval(both: float, lost: float, won: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """The score interval of a ratio of paired proportions, candidate over baseline: (low, high), high up to inf.

    Of `n` pairs `both` pass on either side, `won` only in the candidate, `lost` only in the baseline. The interval
    holds every R that the score test does not refuse: |c - R·b| <= z · sqrt(n·R·(p + q)), with c = both + won and
    b = both + lost the passes of either side, p and q the maximum-likelihood rates of won and lost under R
    (Nam and Blackwelder 2002, Statistics in Medicine 21:689; the same interval as Tang, Tang and Chan 2003).
    A candidate that passes nothing has a low of 0, a baseline that passes nothing a high of inf; n = 0 gives (0, inf).
    n pairs that all agree, `both` of them passes, give both/(both+z²) and its inverse.

    Raises `ValueError` unless the three counts are non-negative numbers that sum to at most n.
    """
    if not (both >= 0 and lost >= 0 and won >= 0 and both + lost + won <= n * (1 + 1e-9)):
        raise ValueError(f"{both} passed on both sides, {lost} lost and {won} won of {n}")
    low = _ratio_low(both, lost, won, z)
    mirrored = _ratio_low(both, won, lost, z)
    return low, 1 / mirrored if mirrored else math.inf


def _ratio_low(both: float, lost: float, won: float, z: float) -> float:
    """The lower limit R, by halving R/(1+R). Pairs that fail on both sides drop out of the score and its variance."""
    candidate, baseline, some = both + won, both + lost, both + lost + won
    if candidate == 0:
        return 0.0
    low, high = 0.0, candidate / (candidate + baseline)
    for _ in range(50):
        middle = (low + high) / 2
        ratio = middle / (1 - middle)
        # With p and q from their quadratic, n·R·(p + q) comes down to these two lines.
        b = candidate - ratio * ratio * (baseline + 2 * won)
        root = math.hypot(candidate - ratio * ratio * baseline, 2 * ratio * math.sqrt(won * lost))
        if (candidate - ratio * baseline) ** 2 > z * z * ((root - b) / 2 + ratio * (1 - ratio) * some):
            low = middle
        else:
            high = middle
    return low / (1 - low)


def agreeing_width(n: int, z: float = Z_95) -> float:
    """The half width that `n` units without any difference still leave to one: z²/(n+z²), a fraction.

    It is that of `tango_interval(0, 0, n)`. No resampling can see what none of the units shows, so an interval of a
    mean difference within [-1, 1] is never to be narrower than this on either side. n = 0 gives 1.

    Raises `ValueError` for a negative n.
    """
    if not n >= 0:
        raise ValueError(f"{n} units")
    return z * z / (n + z * z)


def mean_interval(values: Sequence[float], weights: Sequence[float] | None = None) -> MeanInterval:
    """The 95% bootstrap interval of sum(values) / sum(weights).

    A unit is what was drawn independently: a case, or a cluster of cases with the sum of their differences as its
    value and their number as its weight; without `weights` each counts one. Units are resampled whole, 9,999 times
    with a fixed seed, and the limits are the bias-corrected and accelerated quantiles (BCa: Efron 1987; clusters:
    Field and Welsh 2007), or the plain 2.5% and 97.5% quantiles ("percentile") where those do not exist: where all
    units have the same mean the interval is that point. The order of the units does not matter, and turning every
    sign turns the interval. With fewer than about 30 units it is too narrow: see `agreeing_width`.

    Raises `ValueError` for no unit, lengths that differ, a value that is not finite and a weight that is not above 0.
    """
    units = list(zip(values, [1.0] * len(values) if weights is None else weights, strict=True))
    _refuse_unless_finite(values)
    if not units or not all(0 < weight < math.inf for _, weight in units):
        raise ValueError(f"{len(units)} units with the weights {sorted({weight for _, weight in units})[:5]}")
    if len({value / weight for value, weight in units}) == 1:
        mean = units[0][0] / units[0][1]
        return MeanInterval(mean, mean, "percentile")
    # One order and one sign of all that say the same: the draws of the seed must not depend on either.
    forth, back = sorted(units), sorted((-value, weight) for value, weight in units)
    if forth >= back:
        return _bootstrap(forth)
    mirrored = _bootstrap(back)
    return MeanInterval(-mirrored.high, -mirrored.low, mirrored.method)


def _bootstrap(units: Sequence[tuple[float, float]]) -> MeanInterval:
    import warnings

    import numpy as np
    from scipy import stats

    values, weights = np.array(units, dtype=float).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degenerate data, where the limits are NaN
        found = stats.bootstrap(
            (values, weights),
            lambda v, w, axis: v.sum(axis) / w.sum(axis),
            paired=True,
            n_resamples=RESAMPLES,
            batch=max(1, 1_000_000 // len(units)),  # about 8 MB at a time
            method="BCa",
            rng=np.random.default_rng(0),
        )
    low, high = map(float, found.confidence_interval)
    if math.isfinite(low) and math.isfinite(high):
        return MeanInterval(low, high, "bca")
    low, high = map(float, np.quantile(found.bootstrap_distribution, (0.025, 0.975)))
    return MeanInterval(low, high, "percentile")


def sign_flip_p(values: Sequence[float]) -> float:
    """Two-sided p of the sign-flip randomisation test: `values` are the units' summed differences.

    If candidate and baseline were the same, each unit's difference could as well have had the other sign: p is the
    share of sign patterns whose |sum| is at least the one observed (Fisher 1935; Pitman 1937). Up to 16 units that
    differ, all patterns are counted: exact, and with values of ±1 that of `mcnemar_p`. Above, 9,999 patterns are
    drawn with a fixed seed and p = (k + 1) / 10,000 (Phipson and Smyth 2010), never 0. Units without a difference
    tell nothing; without any that differs p is 1. n units that differ cannot give less than 2 / 2ⁿ: six are the
    fewest below 0.05.

    Raises `ValueError` for a value that is not finite.
    """
    import numpy as np

    _refuse_unless_finite(values)
    sizes = np.array(sorted(abs(value) for value in values if value))
    # Sums that differ by rounding alone are the same.
    observed = abs(math.fsum(values)) - 1e-9 * float(sizes.sum())
    if len(sizes) <= ENUMERATED:
        sums = np.zeros(1)
        for size in sizes:
            sums = np.concatenate((sums - size, sums + size))
        return float(np.mean(np.abs(sums) >= observed))
    draw = np.random.default_rng(0)
    reached = 0
    for start in range(0, RESAMPLES, 1_000):
        signs = draw.integers(0, 2, (min(1_000, RESAMPLES - start), len(sizes)), dtype=np.int8) * 2 - 1
        reached += int(np.count_nonzero(np.abs(signs @ sizes) >= observed))
    return (reached + 1) / (RESAMPLES + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: each holds against 0.05 over the whole family.

    The k-th smallest of m becomes the largest (m - i + 1) · p(i) of i = 1..k, at most 1 (Holm 1979, Scandinavian
    Journal of Statistics 6:65). It bounds the chance of any false finding under whatever dependence. One p stays as
    it is; no p gives none.

    Raises `ValueError` for what is no probability.
    """
    if not all(0 <= p <= 1 for p in ps):
        raise ValueError(f"p values outside 0 to 1: {[p for p in ps if not 0 <= p <= 1][:5]}")
    adjusted = list(ps)
    reached = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        reached = max(reached, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = reached
    return adjusted


def miss_bound(n: int, misses: int = 0, confidence: float = 0.95) -> float:
    """The highest rate of misses that `n` units with so many `misses` allow: a one-sided upper bound, a fraction.

    The exact bound: the rate at which P(X <= misses) = 1 - confidence, X ~ Binomial(n, rate) (Clopper and Pearson
    1934). Without a miss it is 1 - (1 - confidence)^(1/n), of which 3/n is the well-known approximation for 95%
    ("rule of three"; Hanley and Lippman-Hand 1983): 33 clean cases allow 8.7%, 100 allow 3.0%. n = 0 gives 1.

    Raises `ValueError` unless 0 <= misses <= n and 0 < confidence < 1.
    """
    if not (0 <= misses <= n < math.inf and 0 < confidence < 1):
        raise ValueError(f"{misses} misses of {n} at a confidence of {confidence}")
    if misses == n:
        return 1.0
    if misses == 0:
        return -math.expm1(math.log1p(-confidence) / n)
    from scipy.special import betaincinv

    return float(betaincinv(misses + 1, n - misses, confidence))


def _refuse_unless_finite(values: Sequence[float]) -> None:
    if not all(map(math.isfinite, values)):
        wrong = [value for value in values if not math.isfinite(value)]
        raise ValueError(
            f"{len(wrong)} of {len(values)} differences are not finite, the first of them {wrong[0]}"
        )
