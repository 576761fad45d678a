"""How a requirement stands: shown, failed or open, with the figures that say so and how many cases are lacking. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evals.checks.answers import shorten
from evals.differences import Interval, Units, counts, difference_interval, p_value, units_of, widened_mean
from evals.pairing import Pair
from evals.policy import Asked
from evals.power import more_cases, more_units_for_mean
from evals.report.tables import percent, points, share
from evals.stats import mcnemar_p, miss_bound, ratio_interval, tango_interval
from evals.verdict import Requirement, Status

ALPHA = 0.05
# So many cases with a new miss are named.
NAMED = 5


@dataclass(frozen=True, slots=True)
class _Standing:
    """`interval` is of the difference, or, of a ratio, of the ratio."""

    status: Status
    interval: Interval


def status_of(asked: Asked, pairs: Sequence[Pair]) -> Status:
    """How a requirement stands over one pair at least; of pass/fail without clusters within a millisecond.

    superior: shown where the 95% interval of the difference is above 0 and p <= 0.05, failed where it is below 0 and
    p <= 0.05. non_inferior: shown where it is above -margin, failed where it is below. zero_tolerance: failed at one
    case on which the candidate is below the baseline, else shown. ratio: shown where the 95% interval of the ratio
    reaches the bound, failed where it lies below. Anything else is open.
    """
    if asked.kind == "zero_tolerance":
        return "failed" if _new_misses(pairs) else "shown"
    return _standing(asked, units_of(pairs)).status


def requirement(asked: Asked, pairs: Sequence[Pair]) -> Requirement:
    """How it stands over one pair at least, in figures and in words."""
    units = units_of(pairs)
    if asked.kind == "zero_tolerance":
        standing = _Standing(status_of(asked, pairs), difference_interval(units))
    else:
        standing = _standing(asked, units)
    lacking = _more_cases(asked, units) if standing.status == "open" else None
    clean = asked.kind == "zero_tolerance" and standing.status == "shown"
    upper = miss_bound(units.count) if clean else None
    return Requirement(
        task=asked.task,
        capability=asked.capability,
        kind=asked.kind,
        bound=asked.bound,
        policy=asked.policy,
        status=standing.status,
        estimate=standing.interval.estimate,
        low=standing.interval.low,
        high=standing.interval.high,
        more_cases=lacking,
        upper=upper,
        sentence=_sentence(asked, pairs, units, standing, lacking, upper),
    )


def _standing(asked: Asked, units: Units) -> _Standing:
    if asked.kind == "ratio":
        return _ratio(asked, units)
    interval = difference_interval(units)
    status: Status = "open"
    if asked.kind == "superior":
        if (interval.low > 0 or interval.high < 0) and p_value(units) <= ALPHA:
            status = "shown" if interval.low > 0 else "failed"
    elif interval.low > -asked.bound:
        status = "shown"
    elif interval.high < -asked.bound:
        status = "failed"
    return _Standing(status, interval)


def _ratio(asked: Asked, units: Units) -> _Standing:
    baseline, candidate = math.fsum(units.baseline), math.fsum(units.candidate)
    if not baseline:
        return _Standing("open", Interval(0.0, 0.0, 0.0, "percentile"))
    if units.pass_fail:
        interval = Interval(candidate / baseline, *ratio_interval(*counts(units), units.count), "tango")
    else:
        # The contrast candidate - bound * baseline has an interval; over the baseline's mean it is one of the ratio.
        contrast = widened_mean(_contrasts(asked, units), units.sizes, least=-asked.bound)
        mean = baseline / units.cases
        low, high = asked.bound + contrast.low / mean, asked.bound + contrast.high / mean
        interval = Interval(candidate / baseline, max(0.0, low), high, contrast.method)
    if interval.low >= asked.bound:
        return _Standing("shown", interval)
    return _Standing("failed" if interval.high < asked.bound else "open", interval)


def _contrasts(asked: Asked, units: Units) -> list[float]:
    return [c - asked.bound * b for b, c in zip(units.baseline, units.candidate, strict=True)]


def _new_misses(pairs: Sequence[Pair]) -> list[str]:
    return [one.case for one in pairs if one.candidate < one.baseline]


def _more_cases(asked: Asked, units: Units) -> int | None:
    """About how many more cases would show it at 80% power; None where none would."""
    if asked.kind == "ratio" and not any(units.baseline):
        return None
    if not units.pass_fail:
        values = _contrasts(asked, units) if asked.kind == "ratio" else units.differences
        bound = -asked.bound if asked.kind == "non_inferior" else 0.0
        more = more_units_for_mean(values, units.sizes, bound)
        return None if more is None else math.ceil(more * units.cases / units.count)
    both, lost, won = counts(units)
    agreeing = units.count - lost - won
    share_both = both / agreeing if agreeing else 0.0

    def shown(lost: float, won: float, n: int) -> bool:
        if asked.kind == "ratio":
            return ratio_interval(share_both * (n - lost - won), lost, won, n)[0] >= asked.bound
        low, _ = tango_interval(lost, won, n)
        if asked.kind == "superior":
            return low > 0 and mcnemar_p(int(lost), int(won)) <= ALPHA
        return low > -asked.bound

    return more_cases(lost, won, units.count, shown)


def _sentence(
    asked: Asked,
    pairs: Sequence[Pair],
    units: Units,
    standing: _Standing,
    lacking: int | None,
    upper: float | None,
) -> str:
    name = f"{shorten(asked.task)} {shorten(asked.capability)}"
    guard = f" (a guard of {shorten(asked.policy)})" if asked.policy != asked.task else ""
    if upper is not None:
        n = f"{units.count} {'case' if units.count == units.cases else 'cluster'}{'s' if units.count > 1 else ''}"
        return f"{name}: no new miss in {n}{guard}; a rate of up to {percent(upper)} could still go unseen"
    if asked.kind == "zero_tolerance":
        missed = _new_misses(pairs)
        more = f" and {len(missed) - NAMED} more" if len(missed) > NAMED else ""
        what = f"{len(missed)} new {'miss' if len(missed) == 1 else 'misses'}"
        return f"{name}: {what} where none is allowed{guard}: {', '.join(map(shorten, missed[:NAMED]))}{more}"
    before, after = (percent(math.fsum(side) / units.cases) for side in (units.baseline, units.candidate))
    interval = standing.interval
    if asked.kind != "ratio":
        figures = f"{points(interval.estimate)} points, 95% interval {points(interval.low)} to {points(interval.high)}"
    elif any(units.baseline):
        figures = f"{percent(interval.estimate)} of it, 95% interval {percent(interval.low)} to {percent(interval.high)}"
    else:
        figures = "the baseline passes nothing, so there is no ratio"
    wanted = {
        "superior": "superior",
        "non_inferior": f"at most {asked.bound * 100:g} points worse",
        "ratio": f"at least {share(asked.bound)} of it",
    }[asked.kind]
    told = f", not shown yet; {needed(lacking)}"
    if standing.status != "open":
        contrary = {"superior": "worse", "non_inferior": "more", "ratio": "less"}[asked.kind]
        told = ", shown" if standing.status == "shown" else f" asked, {contrary} shown"
    return f"{name} {before} -> {after} ({figures}): {wanted}{guard}{told}"


def needed(more: int | None) -> str:
    """How many more cases an open requirement needs, in words."""
    if more is None:
        return "no number of cases would show it as things stand"
    return f"about {more:,} more {'case' if more == 1 else 'cases'} would show it"
