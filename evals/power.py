"""Power: what so many paired cases can show, and how many more a requirement needs. Pure.

"Shown at 80% power" means: were the true rates those assumed, four of five suites of that size would show it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from evals.stats import Z_95, agreeing_width, mcnemar_p

# The share of simulated suites that have to show a requirement.
POWER = 0.8
# Simulated suites per size: the estimate of a power of 80% has a standard error of 0.6 points.
DRAWS = 4_000
# No suite is grown beyond this many units: what it cannot show is called out of reach.
MOST = 20_000


def smallest_drop(n: int, power: float = POWER, alpha: float = 0.05) -> float | None:
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


def cases_for_margin(margin: float) -> int:
    """The fewest units that can show non-inferiority at this margin (a fraction): those that all agree.

    The lower limit of n pairs without a difference is -z²/(n+z²) (Tango 1998), so n > z²(1-margin)/margin:
    35 for 0.10, 73 for 0.05, 381 for 0.01. Any pair that is lost asks for more.

    Raises `ValueError` unless 0 < margin <= 1.
    """
    if not 0 < margin <= 1:
        raise ValueError(f"a margin of {margin}: it has to be above 0 and at most 1")
    n = max(1, math.floor(Z_95**2 * (1 - margin) / margin))
    while agreeing_width(n) >= margin:
        n += 1
    return n


def more_cases(lost: float, won: float, n: int, shown: Callable[[float, float, int], bool]) -> int | None:
    """About how many units beyond `n` until `shown(lost, won, total)` holds at 80% power; None where none would do.

    Simulated, with a fixed seed: suites of a growing total draw their losses and wins from a multinomial
    distribution with the observed rates lost/n and won/n, and are doubled, then halved, to the total at which 80% of
    4,000 suites show it. All of the suite is drawn anew, the observed units too: what they had by luck is not counted
    on. Where nothing differed yet, nothing does in the draws: the number is then the fewest that could do. The
    observed rates are taken for the true ones, so from few units this is an order of magnitude. None: at 20,000 units
    in all it is still not shown, as where the observed difference points the wrong way.

    `shown` has to be monotone, as the intervals of `stats` are: what is shown stays so with more won or fewer lost.

    Raises `ValueError` unless n >= 1 and lost and won are non-negative numbers that sum to at most n.
    """
    if not (n >= 1 and lost >= 0 and won >= 0 and lost + won <= n * (1 + 1e-9)):
        raise ValueError(f"{lost} lost and {won} won of {n}")
    import numpy as np

    share_lost = min(1.0, lost / n)
    share_won = min(1 - share_lost, won / n)
    rates = (share_lost, share_won, 1 - share_lost - share_won)

    def power(total: int) -> float:
        drawn = np.random.default_rng(0).multinomial(total, rates, size=DRAWS)
        losts, which = np.unique(drawn[:, 0], return_inverse=True)
        fewest = np.array(_fewest_won(losts.tolist(), drawn[:, 1].tolist(), total, shown))
        return float(np.mean(drawn[:, 1] >= fewest[which]))

    return _fewest_more(n, power)


def more_units_for_mean(values: Sequence[float], weights: Sequence[float] | None, bound: float) -> int | None:
    """About how many units more until the mean's lower limit is above `bound` at 80% power; None where none would do.

    `values` and `weights` as in `stats.mean_interval`. Simulated as in `more_cases`: suites of a growing total are
    drawn with replacement from the observed units. The lower limit of each is est - z·se, never closer than
    `agreeing_width`, with est = sum(v)/sum(w) and the linearised se of a ratio, sqrt(n/(n-1) · sum((v - est·w)²)) /
    sum(w) (Cochran 1977, 6.3), instead of a bootstrap in the simulation. Where all units have the same mean
    only the agreeing width counts.

    Raises `ValueError` for no unit, lengths that differ, a value or bound that is not finite, a weight not above 0.
    """
    units = list(zip(values, [1.0] * len(values) if weights is None else weights, strict=True))
    if not units or not all(math.isfinite(value) and 0 < weight < math.inf for value, weight in units):
        raise ValueError(f"{len(units)} units, among them values that are not finite or weights not above 0")
    if not math.isfinite(bound):
        raise ValueError(f"a bound of {bound}")
    import numpy as np

    kinds, counts = np.unique(np.array(units, dtype=float), axis=0, return_counts=True)
    v, w = kinds.T
    terms = np.stack((v, w, v * v, v * w, w * w), axis=1)

    def power(total: int) -> float:
        draw = np.random.default_rng(0)
        reached = 0
        for _ in range(0, DRAWS, 250):  # in batches: 250 suites of thousands of units are some megabytes
            sums = draw.multinomial(total, counts / len(units), size=250) @ terms
            sum_v, sum_w, sum_vv, sum_vw, sum_ww = sums.T
            mean = sum_v / sum_w
            squares = np.maximum(0.0, sum_vv - 2 * mean * sum_vw + mean * mean * sum_ww)
            error = np.sqrt(squares * total / (total - 1)) / sum_w
            low = mean - np.maximum(Z_95 * error, agreeing_width(total))
            reached += int(np.count_nonzero(low > bound))
        return reached / DRAWS

    return _fewest_more(len(units), power)


def _fewest_won(
    losts: Sequence[int], wons: Sequence[int], total: int, shown: Callable[[float, float, int], bool]
) -> list[int]:
    """For each of the ascending `losts` the fewest won that show it, or more than `wons` hold. One walk along the
    border: with more lost, no fewer won will do."""
    won, most = min(wons), max(wons)
    fewest = []
    for lost in losts:
        while won <= min(most, total - lost) and not shown(lost, won, total):
            won += 1
        fewest.append(won)
    return fewest


def _fewest_more(n: int, power: Callable[[int], float]) -> int | None:
    """How many more than n reach `POWER`, by doubling and halving; power is taken to grow with the total."""
    low, high = n, min(2 * n, MOST)
    while low < MOST and power(high) < POWER:
        low, high = high, min(2 * high, MOST)
    if low >= MOST:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if power(middle) >= POWER:
            high = middle
        else:
            low = middle
    return max(1, high - n)


def _at_least(k: int, n: int, p: float) -> float:
    """P(X >= k) of a binomial variable; 0 < p < 1."""
    return 1 - math.fsum(math.comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(k))
