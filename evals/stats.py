"""Statistics, pure: each function with its formula, its source and what it does with small n."""

from __future__ import annotations

import math

# The 97.5% quantile of the standard normal distribution: two-sided 95%.
Z_95 = 1.959963984540054


def wilson_interval(passes: int, n: int, z: float = Z_95) -> tuple[float, float]:
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
