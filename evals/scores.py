"""From results to figures: pass rates with intervals, failure kinds, measures, speed.

The unit is the case: it passes a capability when all its checks of that capability pass, since two checks of one reply
are not two independent trials. Nor are two repeats of one case: a case that was asked more than once counts with the
mean over its repeats. Every case that was asked counts in n; a missing answer is not a pass.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.consistency import Agreement
from evals.runs import CaseRecord
from evals.stats import wilson_interval

# What sums of thirds and fifths, as floats, may lack: a floor that is reached exactly holds.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Score:
    """One model's pass rate in one capability of one task, as fractions, with a 95% Wilson interval.

    `passes` is the sum over the cases of the share of their repeats that passed, a whole number without repeats. The
    interval takes each case for one trial: with repeats it is wider than need be, since a mean varies less.
    `checks_passed` of `checks` are single checks over all cases: the k of n that several format checks sum to; of
    repeats, their means.
    """

    model: str
    task: str
    capability: str
    passes: float
    n: int
    low: float
    high: float
    floor: float | None
    checks_passed: float
    checks: float

    @property
    def rate(self) -> float:
        return self.passes / self.n

    @property
    def points(self) -> tuple[float, float]:
        """Checks passed a case and checks asked a case, means over the cases."""
        return self.checks_passed / self.n, self.checks / self.n

    @property
    def holds(self) -> bool | None:
        """Whether the floor is reached; None where there is none."""
        return None if self.floor is None else self.rate >= self.floor - ROUNDING


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that a check reports beside its verdict, averaged.

    `over_all` counts replies that could not be read as 0; `over_readable` leaves them out. A gap between the two is
    the difference between what a model knows and what a program can use.
    """

    model: str
    task: str
    check: str
    name: str
    over_all: float
    n: int
    over_readable: float
    readable: int


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What is counted per model: kinds of reply, causes of misses, speed (medians; None where unknown)."""

    model: str
    replies: int
    outcomes: Mapping[str, int]
    causes: Mapping[str, int]
    faults: Mapping[str, int]
    tokens_per_s: float | None
    first_token_s: float | None
    completion_tokens: int
    retried: int

    @property
    def unanswered(self) -> int:
        return self.outcomes.get("infrastructure", 0)


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of a run."""

    scores: tuple[Score, ...]
    measures: tuple[Measure, ...]
    models: tuple[ModelFigures, ...]
    agreements: tuple[Agreement, ...] = ()

    def to_json(self) -> dict[str, Any]:
        scores = [{**asdict(score), "rate": score.rate, "holds": score.holds} for score in self.scores]
        return {**asdict(self), "scores": scores}


def summarise(
    records: Sequence[CaseRecord],
    floors: Mapping[str, Mapping[str, float]],
    models: Sequence[str] = (),
    agreements: Sequence[Agreement] = (),
    ungated: str | None = None,
) -> Summary:
    """Figures of a run; `floors` are per task and capability, `models` gives the order of rows.

    A baseline is `ungated`: it is held to no floor.
    """
    order = {name: index for index, name in enumerate(dict.fromkeys([*models, *(r.model for r in records)]))}
    return Summary(
        scores=tuple(sorted(_scores(records, floors, ungated), key=lambda s: (order[s.model], s.task))),
        measures=tuple(sorted(_measures(records), key=lambda m: (order[m.model], m.task))),
        models=tuple(_figures(name, [r for r in records if r.model == name]) for name in order),
        agreements=tuple(agreements),
    )


def _scores(
    records: Iterable[CaseRecord], floors: Mapping[str, Mapping[str, float]], ungated: str | None
) -> Iterable[Score]:
    # Per model, task and capability: per case, the outcomes of the checks of each of its repeats.
    cases: dict[tuple[str, str, str], dict[str, list[list[bool]]]] = {}
    for record in records:
        by_capability: dict[str, list[bool]] = {}
        for check in record.checks:
            by_capability.setdefault(check.capability, []).append(check.outcome == "pass")
        for capability, passed in by_capability.items():
            by_case = cases.setdefault((record.model, record.task, capability), {})
            by_case.setdefault(record.case, []).append(passed)
    for (model, task, capability), by_case in cases.items():
        repeats = list(by_case.values())
        right = math.fsum(sum(map(all, outcomes)) / len(outcomes) for outcomes in repeats)
        low, high = wilson_interval(right, len(repeats))
        floor = None if model == ungated else floors.get(task, {}).get(capability)
        single = math.fsum(sum(map(sum, outcomes)) / len(outcomes) for outcomes in repeats)
        of = math.fsum(sum(map(len, outcomes)) / len(outcomes) for outcomes in repeats)
        yield Score(model, task, capability, right, len(repeats), low, high, floor, single, of)


def _measures(records: Sequence[CaseRecord]) -> Iterable[Measure]:
    asked: Counter[tuple[str, str, str]] = Counter()
    values: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for record in records:
        for check in record.checks:
            key = (record.model, record.task, check.name)
            asked[key] += 1
            for name, value in check.measures.items():
                values.setdefault(key, {}).setdefault(name, []).append(value)
    for key, by_name in values.items():
        for name, found in by_name.items():
            mean = statistics.fmean(found)
            yield Measure(*key, name, sum(found) / asked[key], asked[key], mean, len(found))
    yield from _macro_f1(records)


def _macro_f1(records: Sequence[CaseRecord]) -> Iterable[Measure]:
    """Macro F1 of every `label` check: the mean over classes of 2TP / (2TP + FP + FN).

    Classes are those expected and those answered, as in scikit-learn's `f1_score(average="macro")`. A reply
    without a label of the set answers no class, and so only adds to the misses of the expected one. Where cases
    choose from sets of their own there are no common classes, and no such figure.
    """
    pairs: dict[tuple[str, str, str], list[tuple[str, str | None]]] = {}
    sets: dict[tuple[str, str, str], set[tuple[str, ...]]] = {}
    for record in records:
        for check in record.checks:
            if check.kind == "label" and check.expected is not None:
                # None: no reply that could be read, or no label of the set in it.
                answered = check.extracted["label"] if isinstance(check.extracted, dict) else None
                key = (record.model, record.task, check.name)
                pairs.setdefault(key, []).append((check.expected["label"], answered))
                sets.setdefault(key, set()).add(tuple(check.expected["of"]))
    for key, found in pairs.items():
        if len(sets[key]) > 1:
            continue
        read_pairs = [pair for pair in found if pair[1] is not None]
        over_readable = macro_f1(read_pairs) if read_pairs else 0.0
        yield Measure(*key, "macro_f1", macro_f1(found), len(found), over_readable, len(read_pairs))


def macro_f1(pairs: Sequence[tuple[str, str | None]]) -> float:
    """Macro F1 of (expected, answered) pairs, one at least; see `_macro_f1`."""
    right = Counter(expected for expected, answered in pairs if expected == answered)
    expected_of = Counter(expected for expected, _ in pairs)
    answered_of = Counter(answered for _, answered in pairs if answered is not None)
    classes = expected_of.keys() | answered_of.keys()
    return statistics.fmean(2 * right[one] / (expected_of[one] + answered_of[one]) for one in classes)


def _figures(model: str, records: Sequence[CaseRecord]) -> ModelFigures:
    causes: Counter[str] = Counter()
    for record in records:
        missed = [check for check in record.checks if check.outcome in ("fail", "error") and check.cause]
        if record.outcome == "answered" or (record.outcome == "refused" and missed):
            causes.update({
                f"{check.name}: {check.cause}" for check in missed if check.cause != record.outcome
            })
    # A stored reply's speed is that of another day, maybe of another machine.
    fresh = [record for record in records if not record.stored]
    speeds = [
        tokens / seconds
        for record in fresh
        if (tokens := record.tokens.get("completion")) and (seconds := record.timings.get("decode_s"))
    ]
    firsts = [first for record in fresh if (first := record.timings.get("first_token_s")) is not None]
    return ModelFigures(
        model=model,
        replies=len(records),
        outcomes=_by_count(Counter(record.outcome for record in records)),
        causes=_by_count(causes),
        faults=_by_count(Counter(record.fault for record in records if record.fault)),
        tokens_per_s=statistics.median(speeds) if speeds else None,
        first_token_s=statistics.median(firsts) if firsts else None,
        completion_tokens=sum(record.tokens.get("completion") or 0 for record in records),
        retried=sum(bool(record.retries) for record in records),
    )


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    """Most frequent first; names of one count in order, so that two runs can be compared line by line."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
