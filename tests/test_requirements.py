"""A requirement is shown, failed or open by its interval; an open one tells how many more cases it needs."""

from __future__ import annotations

import functools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.pairing import Pair
from evals.policy import Asked
from evals.requirements import requirement, status_of
from evals.stats import mcnemar_p, miss_bound, ratio_interval, tango_interval
from evals.verdict import Kind, Status


def pairs(both: int, lost: int, won: int, neither: int) -> list[Pair]:
    """So many cases that pass on both sides, were lost, were won, and fail on both."""
    rates = [(1.0, 1.0)] * both + [(1.0, 0.0)] * lost + [(0.0, 1.0)] * won + [(0.0, 0.0)] * neither
    return [Pair(f"c{number:03}", f"c{number:03}", *rate) for number, rate in enumerate(rates)]


def repeated(baseline: float, candidate: float, n: int) -> list[Pair]:
    return [Pair(f"c{number:03}", f"c{number:03}", baseline, candidate) for number in range(n)]


def asked(kind: Kind, bound: float = 0.0, policy: str = "colours") -> Asked:
    return Asked("colours", "content", kind, bound, policy)


SUPERIOR = asked("superior")
NO_WORSE = asked("non_inferior", 0.15)
NO_MISS = asked("zero_tolerance")
RATIO = asked("ratio", 0.8)

# What is asked, the counts (both, lost, won, neither), and how it stands.
STANDS: dict[str, tuple[Asked, tuple[int, int, int, int], Status]] = {
    "better": (SUPERIOR, (20, 2, 14, 14), "shown"),
    "a little better": (SUPERIOR, (20, 4, 8, 18), "open"),
    "five won and none lost are too few": (SUPERIOR, (20, 0, 5, 25), "open"),
    "six won and none lost are enough": (SUPERIOR, (20, 0, 6, 24), "shown"),
    "equal": (SUPERIOR, (20, 4, 4, 22), "open"),
    "worse": (SUPERIOR, (20, 14, 2, 14), "failed"),
    "as good": (NO_WORSE, (40, 0, 0, 10), "shown"),
    "as good, of too few": (NO_WORSE, (15, 0, 0, 5), "open"),
    "worse within the margin": (NO_WORSE, (160, 12, 6, 22), "shown"),
    "worse beyond the margin": (NO_WORSE, (10, 25, 0, 15), "failed"),
    "worse at the margin": (NO_WORSE, (40, 8, 0, 2), "open"),
    "no new miss": (NO_MISS, (30, 0, 2, 18), "shown"),
    "one new miss, whatever was won": (NO_MISS, (30, 1, 19, 0), "failed"),
    "the same rate": (RATIO, (40, 0, 0, 10), "shown"),
    "far below the ratio": (RATIO, (10, 30, 0, 10), "failed"),
    "at the ratio": (RATIO, (32, 8, 0, 10), "open"),
    "a baseline that passes nothing": (RATIO, (0, 0, 20, 30), "open"),
}


@pytest.mark.parametrize(
    ("what", "counts", "status"), STANDS.values(), ids=[name.replace(" ", "-") for name in STANDS]
)
def test_a_requirement_stands_as_its_cases_show(
    what: Asked, counts: tuple[int, int, int, int], status: Status
) -> None:
    found = requirement(what, pairs(*counts))

    assert (found.status, status_of(what, pairs(*counts))) == (status, status)
    assert found.more_cases is None or status == "open"
    assert all(map(math.isfinite, (found.estimate, found.low, found.high)))


# The same of means over repeats: rates of baseline and candidate in each of so many cases.
MEANS: dict[str, tuple[Asked, list[Pair], Status]] = {
    "better": (SUPERIOR, repeated(1 / 3, 1.0, 20), "shown"),
    "better, of too few": (SUPERIOR, repeated(1 / 3, 1.0, 5), "open"),
    "worse": (SUPERIOR, repeated(1.0, 1 / 3, 20), "failed"),
    "equal": (NO_WORSE, repeated(1 / 3, 1 / 3, 50), "shown"),
    "equal, of too few": (NO_WORSE, repeated(1 / 3, 1 / 3, 20), "open"),
    "far worse": (NO_WORSE, repeated(2 / 3, 0.0, 50), "failed"),
    "one repeat lost": (NO_MISS, [*repeated(1.0, 1.0, 20), Pair("x", "x", 1.0, 2 / 3)], "failed"),
    "no repeat lost": (NO_MISS, repeated(2 / 3, 2 / 3, 20), "shown"),
    "the ratio reached": (RATIO, repeated(2 / 3, 2 / 3, 50), "shown"),
    "the ratio missed": (RATIO, repeated(1.0, 1 / 3, 50), "failed"),
    "the ratio of too few": (RATIO, repeated(1 / 3, 1 / 3, 5), "open"),
    "a baseline that passes nothing": (RATIO, repeated(0.0, 1 / 3, 50), "open"),
}


@pytest.mark.parametrize(
    ("what", "cases", "status"), MEANS.values(), ids=[name.replace(" ", "-") for name in MEANS]
)
def test_a_requirement_of_means_stands_as_its_cases_show(
    what: Asked, cases: list[Pair], status: Status
) -> None:
    found = requirement(what, cases)

    assert (found.status, status_of(what, cases)) == (status, status)
    assert found.low >= (0 if what.kind == "ratio" else -1)
    assert all(map(math.isfinite, (found.estimate, found.low, found.high)))


def test_figures_are_those_of_the_interval_that_decides() -> None:
    cases = pairs(20, 4, 12, 14)

    difference, ratio = requirement(SUPERIOR, cases), requirement(RATIO, cases)

    assert (difference.low, difference.high) == tango_interval(4, 12, 50)
    assert (ratio.low, ratio.high) == ratio_interval(20, 4, 12, 50)
    assert (difference.estimate, ratio.estimate) == (pytest.approx(0.16), pytest.approx(32 / 24))


def test_a_ratio_of_means_is_shown_where_its_low_reaches_the_bound() -> None:
    for candidate in (0.5, 0.6, 0.7, 0.8, 0.9):
        found = requirement(RATIO, repeated(2 / 3, candidate, 40))

        assert found.estimate == pytest.approx(candidate / (2 / 3))
        assert (found.low >= 0.8) == (found.status == "shown")
        assert (found.high < 0.8) == (found.status == "failed")
        assert 0 <= found.low <= found.estimate <= found.high


def test_clean_cases_leave_a_bound_of_what_may_still_go_unseen() -> None:
    found = requirement(NO_MISS, pairs(50, 0, 0, 0))

    assert found.upper == miss_bound(50)
    assert (
        found.sentence
        == "colours content: no new miss in 50 cases; a rate of up to 5.8% could still go unseen"
    )
    assert requirement(NO_MISS, pairs(50, 1, 0, 0)).upper is None


def test_clean_cases_of_one_cluster_count_once() -> None:
    cases = [Pair(f"c{number}", f"note{number // 5}", 1.0, 1.0) for number in range(50)]

    found = requirement(NO_MISS, cases)

    assert found.upper == miss_bound(10)
    assert "no new miss in 10 clusters;" in found.sentence


def test_new_misses_are_named() -> None:
    assert requirement(NO_MISS, pairs(0, 1, 0, 9)).sentence == (
        "colours content: 1 new miss where none is allowed: c000"
    )
    assert requirement(NO_MISS, pairs(0, 8, 0, 2)).sentence == (
        "colours content: 8 new misses where none is allowed: c000, c001, c002, c003, c004 and 3 more"
    )


SENTENCES = {
    "superior": (
        SUPERIOR,
        pairs(20, 2, 14, 14),
        "colours content 44.0% -> 68.0% (+24.0 points, 95% interval +9.5 to +38.8): superior, shown",
    ),
    "worse": (
        SUPERIOR,
        pairs(20, 14, 2, 14),
        "colours content 68.0% -> 44.0% (-24.0 points, 95% interval -38.8 to -9.5): superior asked, worse shown",
    ),
    "no worse": (
        NO_WORSE,
        pairs(40, 0, 0, 10),
        "colours content 80.0% -> 80.0% (0.0 points, 95% interval -7.1 to +7.1): at most 15 points worse, shown",
    ),
    "a guard": (
        asked("non_inferior", 0.15, "sums"),
        pairs(40, 0, 0, 10),
        "colours content 80.0% -> 80.0% (0.0 points, 95% interval -7.1 to +7.1): at most 15 points worse "
        "(a guard of sums), shown",
    ),
    "a ratio": (
        RATIO,
        pairs(40, 0, 0, 10),
        "colours content 80.0% -> 80.0% (100.0% of it, 95% interval 91.2% to 109.6%): at least 80% of it, shown",
    ),
    "no ratio": (
        RATIO,
        pairs(0, 0, 2, 8),
        "colours content 0.0% -> 20.0% (the baseline passes nothing, so there is no ratio): at least 80% of it, not "
        "shown yet; no number of cases would show it as things stand",
    ),
}


@pytest.mark.parametrize(
    ("what", "cases", "says"), SENTENCES.values(), ids=[name.replace(" ", "-") for name in SENTENCES]
)
def test_a_requirement_is_told_with_its_figures(what: Asked, cases: list[Pair], says: str) -> None:
    assert requirement(what, cases).sentence == says


def test_hostile_names_are_shown_escaped() -> None:
    cases = [Pair("\x1b[2J", "\x1b[2J", 1.0, 0.0)]

    found = requirement(Asked("\u202e", "\x07", "zero_tolerance", 0.0, "\x1b]0;"), cases)

    assert found.sentence.isprintable()


# More cases


def test_an_open_requirement_tells_how_many_more_cases_it_needs() -> None:
    found = requirement(SUPERIOR, pairs(20, 4, 8, 18))

    assert found.more_cases is not None and 50 < found.more_cases < 500
    assert found.sentence.endswith(f"not shown yet; about {found.more_cases:,} more cases would show it")


def test_what_points_the_wrong_way_needs_no_number_of_cases() -> None:
    found = requirement(SUPERIOR, pairs(20, 4, 4, 22))

    assert (found.status, found.more_cases) == ("open", None)
    assert found.sentence.endswith("not shown yet; no number of cases would show it as things stand")


def test_cases_that_all_agree_need_as_many_as_the_margin_asks() -> None:
    for cases in (pairs(15, 0, 0, 5), repeated(1 / 3, 1 / 3, 20)):
        assert requirement(NO_WORSE, cases).more_cases == 2  # 22 agree within 15 points


def test_of_clusters_cases_are_counted_not_clusters() -> None:
    alone = requirement(NO_WORSE, repeated(1 / 3, 1 / 3, 10)).more_cases
    clustered = [Pair(f"c{number}", f"note{number // 3}", 1 / 3, 1 / 3) for number in range(30)]

    assert alone == 12 and requirement(NO_WORSE, clustered).more_cases == 3 * alone


@pytest.mark.parametrize(
    ("what", "counts"),
    [
        (SUPERIOR, (12, 4, 7, 10)),
        (SUPERIOR, (14, 2, 4, 13)),
        (NO_WORSE, (12, 4, 4, 13)),
        (RATIO, (12, 4, 4, 13)),
    ],
    ids=["superior", "superior-with-few-discordant", "non-inferior", "ratio"],
)
def test_so_many_more_cases_show_it_as_often_as_was_announced(
    what: Asked, counts: tuple[int, int, int, int]
) -> None:
    """Were the observed rates the true ones, four of five suites of that size show it, within three points."""
    found = requirement(what, pairs(*counts))
    assert found.more_cases is not None

    assert shown_share(what, 33 + found.more_cases, counts) == pytest.approx(0.8, abs=0.03)


def shown_share(what: Asked, n: int, cells: tuple[float, float, float, float], draws: int = 4_000) -> float:
    """Of suites of `n` cases drawn at these rates, the share that shows it."""
    drawn = np.random.default_rng(1).multinomial(n, np.array(cells) / sum(cells), size=draws)

    @functools.cache
    def shown(both: int, lost: int, won: int) -> bool:
        return status_of(what, pairs(both, lost, won, n - both - lost - won)) == "shown"

    # How many pass on both sides matters to a ratio alone.
    of_ratio = what.kind == "ratio"
    return float(
        np.mean([shown(both if of_ratio else 0, lost, won) for both, lost, won, _ in drawn.tolist()])
    )


# Errors


def cells(before: float, after: float, discordant: float) -> tuple[float, float, float, float] | None:
    """Rates of (both, lost, won, neither) with these pass rates and share of discordant pairs; None if there are none."""
    lost, won = (discordant + before - after) / 2, (discordant + after - before) / 2
    found = (before - lost, lost, won, 1 - before - won)
    return None if min(found) < 0 else found


NULLS = [
    (n, before, discordant)
    for n in (20, 33, 50, 100)
    for before in (0.3, 0.6, 0.9)
    for discordant in (0.05, 0.1, 0.2, 0.4)
]


@pytest.mark.slow
def test_a_candidate_that_is_the_same_is_shown_superior_in_at_most_5_of_100_runs() -> None:
    for n, before, discordant in NULLS:
        null = cells(before, before, discordant)
        if null is not None:
            assert shown_share(SUPERIOR, n, null, 2_000) <= 0.05, (n, before, discordant)


@pytest.mark.slow
def test_a_candidate_at_the_margin_is_shown_no_worse_in_at_most_5_of_100_runs() -> None:
    for margin in (0.05, 0.15):
        for n, before, discordant in NULLS:
            null = cells(before, before - margin, discordant)
            if null is not None:
                share = shown_share(asked("non_inferior", margin), n, null, 2_000)
                assert share <= 0.05, (margin, n, before, discordant)


@pytest.mark.slow
def test_a_candidate_at_the_ratio_is_shown_to_reach_it_in_at_most_5_of_100_runs() -> None:
    for n, before, discordant in NULLS:
        null = cells(before, before * 0.8, discordant)
        if null is not None:
            assert shown_share(RATIO, n, null, 2_000) <= 0.05, (n, before, discordant)


@pytest.mark.slow
@pytest.mark.parametrize(("repeats", "cluster"), [(3, 1), (1, 3)], ids=["repeats", "clusters"])
def test_means_and_clusters_of_the_same_candidate_are_shown_superior_as_rarely(
    repeats: int, cluster: int
) -> None:
    """Cases of a cluster share how hard they are and whom they suit; half of them suit either side better."""
    rng = np.random.default_rng(2)
    shown, n, draws = 0, 33, 400
    for _ in range(draws):
        hard = rng.beta(0.6, 0.4, n // cluster)
        suits = rng.choice([-0.3, 0.3], n // cluster) * (np.minimum(hard, 1 - hard) > 0.3)
        before, after = np.repeat(hard, cluster), np.repeat(hard + suits, cluster)
        rates = rng.binomial(repeats, before) / repeats, rng.binomial(repeats, after) / repeats
        cases = [
            Pair(f"c{number}", f"note{number // cluster}", *rate)
            for number, rate in enumerate(zip(*(side.tolist() for side in rates), strict=True))
        ]
        shown += status_of(SUPERIOR, cases) == "shown"

    assert shown <= 0.05 * draws


# Properties

COUNTS = st.tuples(*[st.integers(0, 15)] * 4).filter(lambda counts: sum(counts) > 0)


@settings(max_examples=200, deadline=None)
@given(COUNTS)
def test_what_is_won_in_one_direction_is_lost_in_the_other(counts: tuple[int, int, int, int]) -> None:
    both, lost, won, neither = counts
    turned: dict[Status, Status] = {"shown": "failed", "failed": "shown", "open": "open"}

    assert status_of(SUPERIOR, pairs(both, won, lost, neither)) == turned[status_of(SUPERIOR, pairs(*counts))]


@settings(max_examples=200, deadline=None)
@given(COUNTS, st.sampled_from([SUPERIOR, NO_WORSE, NO_MISS, RATIO]))
def test_one_more_case_won_never_makes_it_worse(counts: tuple[int, int, int, int], what: Asked) -> None:
    both, lost, won, neither = counts
    order = ("failed", "open", "shown")
    before = order.index(status_of(what, pairs(*counts)))

    if neither:
        assert order.index(status_of(what, pairs(both, lost, won + 1, neither - 1))) >= before
    if lost:
        assert order.index(status_of(what, pairs(both + 1, lost - 1, won, neither))) >= before


@settings(max_examples=200, deadline=None)
@given(COUNTS)
def test_superior_is_never_shown_against_the_exact_test(counts: tuple[int, int, int, int]) -> None:
    both, lost, won, neither = counts
    shown = status_of(SUPERIOR, pairs(both, lost, won, neither)) == "shown"

    assert not shown or (won > lost and mcnemar_p(lost, won) <= 0.05)


def test_the_order_of_cases_changes_nothing() -> None:
    cases = [*pairs(10, 3, 8, 9), *repeated(1 / 3, 2 / 3, 3)]
    cases = [
        Pair(f"x{number}", f"x{number}", one.baseline, one.candidate) for number, one in enumerate(cases)
    ]

    for what in (SUPERIOR, NO_WORSE, RATIO):
        assert requirement(what, cases[::-1]) == requirement(what, cases)


def test_a_thousand_statuses_are_found_in_a_moment() -> None:
    """An early stop asks for two a reply."""
    cases = pairs(20, 4, 8, 18)
    clock = time.monotonic()
    found = [status_of(what, cases) for what in (SUPERIOR, NO_WORSE, RATIO) for _ in range(333)]

    assert len(found) == 999 and time.monotonic() - clock < 10
