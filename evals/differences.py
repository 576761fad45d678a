"""Candidate minus baseline over the same cases: independent units, intervals, p values, and the noise of repeats. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from evals.pairing import Pair, Paired, RunSide, passes
from evals.runs import CaseRecord
from evals.stats import agreeing_width, holm, mcnemar_p, mean_interval, sign_flip_p, tango_interval
from evals.verdict import Difference, Graded, Method, Noise


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95% interval."""

    estimate: float
    low: float
    high: float
    method: Method


@dataclass(frozen=True, slots=True)
class Units:
    """What was drawn independently: clusters of cases where there are some, else cases.

    Per unit `sizes` counts its cases, `baseline` and `candidate` are the sums of their rates. `pass_fail`: each unit is
    one case that passed or did not, so that counts of pairs say it all.
    """

    sizes: tuple[int, ...]
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    pass_fail: bool

    @property
    def count(self) -> int:
        return len(self.sizes)

    @property
    def cases(self) -> int:
        return sum(self.sizes)

    @property
    def differences(self) -> list[float]:
        """Candidate minus baseline, summed over the cases of each unit."""
        return [c - b for b, c in zip(self.baseline, self.candidate, strict=True)]


def units_of(pairs: Iterable[Pair]) -> Units:
    """The independent units of some cases."""
    clusters: dict[str, list[Pair]] = {}
    for one in pairs:
        clusters.setdefault(one.cluster, []).append(one)
    groups = list(clusters.values())
    return Units(
        sizes=tuple(map(len, groups)),
        baseline=tuple(math.fsum(one.baseline for one in group) for group in groups),
        candidate=tuple(math.fsum(one.candidate for one in group) for group in groups),
        pass_fail=all(
            len(group) == 1 and {group[0].baseline, group[0].candidate} <= {0.0, 1.0} for group in groups
        ),
    )


def fallen_and_risen(pairs: Iterable[Pair]) -> tuple[float, float]:
    """The sums over the cases of what each fell and rose by: lost and won where all is pass or fail."""
    differences = [one.candidate - one.baseline for one in pairs]
    return math.fsum(-d for d in differences if d < 0), math.fsum(d for d in differences if d > 0)


def counts(units: Units) -> tuple[int, int, int]:
    """Of units that pass or fail: how many pass on both sides, were lost and were won."""
    table = list(zip(units.baseline, units.candidate, strict=True))
    return table.count((1.0, 1.0)), table.count((1.0, 0.0)), table.count((0.0, 1.0))


def difference_interval(units: Units) -> Interval:
    """Tango's score interval where units pass or fail, else a bootstrap of the units' means."""
    if units.pass_fail:
        _, lost, won = counts(units)
        return Interval((won - lost) / units.count, *tango_interval(lost, won, units.count), "tango")
    return widened_mean(units.differences, units.sizes)


def widened_mean(values: Sequence[float], sizes: Sequence[int], least: float = -1.0) -> Interval:
    """The bootstrap interval of sum(values) / sum(sizes), from `least` to 1, as wide as so many units leave it.

    Units that agree say nothing about those that were not seen: `agreeing_width` is the least that stays open.
    """
    estimate = math.fsum(values) / sum(sizes)
    found = mean_interval(values, sizes)
    width = agreeing_width(len(values))
    low = max(least, min(found.low, estimate - width))
    return Interval(estimate, low, min(1.0, max(found.high, estimate + width)), found.method)


def p_value(units: Units) -> float:
    """Two-sided: exact McNemar where units pass or fail, else by flipping the signs of the units' differences."""
    if units.pass_fail:
        _, lost, won = counts(units)
        return mcnemar_p(lost, won)
    return sign_flip_p(units.differences)


def differences(paired: Sequence[Paired]) -> list[Difference]:
    """A row for each capability of each task, with Holm's correction over all of them."""
    rows = [_difference(one) for one in paired]
    return [replace(row, p_holm=p) for row, p in zip(rows, holm([row.p for row in rows]), strict=True)]


def _difference(paired: Paired) -> Difference:
    units = units_of(paired.pairs)
    interval = difference_interval(units)
    lost, won = fallen_and_risen(paired.pairs)
    p = p_value(units)
    return Difference(
        task=paired.task,
        capability=paired.capability,
        cases=units.cases,
        units=units.count,
        baseline=math.fsum(units.baseline) / units.cases,
        candidate=math.fsum(units.candidate) / units.cases,
        difference=interval.estimate,
        low=interval.low,
        high=interval.high,
        method=interval.method,
        lost=lost,
        won=won,
        p=p,
        p_holm=p,
    )


def graded(candidate: RunSide, baseline: RunSide) -> list[Graded]:
    """Differences of the values and measures of checks that are more than pass or fail, over the candidate's cases.

    What brought no value, such as a reply that could not be read, counts as 0.
    """
    ours, theirs = _values(candidate.records), _values(baseline.records)
    clusters = {(one.task, one.case): one.cluster or one.case for one in candidate.records}
    rows: list[Graded] = []
    for (task, check, name), by_case in ours.items():
        other = theirs.get((task, check, name), {})
        values = {
            *itertools.chain(*by_case.values()),
            *itertools.chain(*(other.get(case, ()) for case in by_case)),
        }
        if values <= {0.0, 1.0}:
            continue
        pairs = [
            Pair(case, clusters[task, case], _mean(other.get(case, ())), _mean(found))
            for case, found in by_case.items()
        ]
        units = units_of(pairs)
        interval = _graded_interval(units)
        rows.append(
            Graded(
                task=task,
                check=check,
                name=name,
                cases=units.cases,
                units=units.count,
                baseline=math.fsum(units.baseline) / units.cases,
                candidate=math.fsum(units.candidate) / units.cases,
                difference=interval.estimate,
                low=interval.low,
                high=interval.high,
                method=interval.method,
            )
        )
    return rows


def _graded_interval(units: Units) -> Interval:
    """The bootstrap as it is; only where all units moved alike, so that it is a point, what so many of them leave open."""
    found = mean_interval(units.differences, units.sizes)
    if found.low == found.high:
        return widened_mean(units.differences, units.sizes)
    return Interval(math.fsum(units.differences) / units.cases, found.low, found.high, found.method)


def _values(records: Iterable[CaseRecord]) -> dict[tuple[str, str, str], dict[str, list[float]]]:
    """By (task, check, name of the figure) and case: the figure of each repeat, 0 where there is none."""
    named: dict[tuple[str, str], dict[str, None]] = {}
    judged: dict[tuple[str, str], dict[str, list[dict[str, float]]]] = {}
    for one in records:
        for check in one.checks:
            figures = {"value": check.value, **check.measures}
            named.setdefault((one.task, check.name), {}).update(dict.fromkeys(figures))
            judged.setdefault((one.task, check.name), {}).setdefault(one.case, []).append(figures)
    return {
        (*key, name): {case: [one.get(name, 0.0) for one in found] for case, found in by_case.items()}
        for key, by_case in judged.items()
        for name in named[key]
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def noise(baseline: RunSide) -> list[Noise]:
    """The baseline against itself, where it was asked more than once; none where it was not."""
    return [
        _noise(task, capability, list(by_case.values()))
        for (task, capability), by_case in passes(baseline.records).items()
        if len(next(iter(by_case.values()))) > 1
    ]


def _noise(task: str, capability: str, cases: Sequence[Sequence[bool]]) -> Noise:
    repeats = len(cases[0])
    rates = [sum(case[repeat] for case in cases) / len(cases) for repeat in range(repeats)]
    differing = sum(sum(case) * (repeats - sum(case)) for case in cases)
    return Noise(
        task=task,
        capability=capability,
        repeats=repeats,
        differing=differing / (math.comb(repeats, 2) * len(cases)),
        widest=max(rates) - min(rates),
    )
