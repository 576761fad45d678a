"""Statistics, pure: each function with its formula, its source and what it does with small n."""

from __future__ import annotations

import math

# The 97.5% quantile of the standard normal distribution: two-sided 95%.
Z_95 = 1.959963984540054


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

    Raises `ValueError` for negative counts.
    """
    if lost < 0 or won < 0:
        raise ValueError(f"{lost} lost, {won} won")
    n = lost + won
    tail = sum(math.comb(n, count) for count in range(min(lost, won) + 1))
    return min(1.0, 2 * tail / (1 << n))


def smallest_drop(n: int, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """The smallest drop of a pass rate, as a fraction, that n paired cases show at this power; None if none.

    The drop d is shown when the exact McNemar test gives p <= alpha. The candidate loses each case with
    probability d and wins none back, so the test needs k losses, k the fewest with `mcnemar_p(k, 0)` <= alpha,
    and its power is P(X >= k), X ~ Binomial(n, d) (Connor 1987, exact and one-directional). That is the best
    case: each case won elsewhere has to be outweighed, so a real drop has to be larger. Fewer than k cases
    can show nothing.
    """
    needed = 0
    while mcnemar_p(needed, 0) > alpha:
        needed += 1
    if n < needed:
        return None
    low, high = 0.0, 1.0
    for _ in range(40):  # halving: 1e-12 is far below what a report shows
        middle = (low + high) / 2
        if _at_least(needed, n, middle) >= power:
            high = middle
        else:
            low = middle
    return high


def _at_least(k: int, n: int, p: float) -> float:
    """P(X >= k) of a binomial variable; 0 < p < 1."""
    return 1 - math.fsum(math.comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(k))
