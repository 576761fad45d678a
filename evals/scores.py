"""From results to figures: pass rates with intervals, failure kinds, measures, speed.

The unit is the case: it passes a capability when all its checks of that capability pass, since two checks of one reply
are not two independent trials. Every case that was asked counts in n; a missing answer is not a pass.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.runs import CaseRecord
from evals.stats import wilson_interval


@dataclass(frozen=True, slots=True)
class Score:
    """One model's pass rate in one capability of one task, as fractions, with a 95% Wilson interval."""

    model: str
    task: str
    capability: str
    passes: int
    n: int
    low: float
    high: float
    floor: float | None

    @property
    def rate(self) -> float:
        return self.passes / self.n

    @property
    def holds(self) -> bool | None:
        """Whether the floor is reached; None where there is none."""
        return None if self.floor is None else self.rate >= self.floor


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

    def to_json(self) -> dict[str, Any]:
        scores = [{**asdict(score), "rate": score.rate, "holds": score.holds} for score in self.scores]
        return {**asdict(self), "scores": scores}


def summarise(
    records: Sequence[CaseRecord], floors: Mapping[str, Mapping[str, float]], models: Sequence[str] = ()
) -> Summary:
    """Figures of a run; `floors` are per task and capability, `models` gives the order of rows."""
    order = {name: index for index, name in enumerate(dict.fromkeys([*models, *(r.model for r in records)]))}
    return Summary(
        scores=tuple(sorted(_scores(records, floors), key=lambda s: (order[s.model], s.task))),
        measures=tuple(sorted(_measures(records), key=lambda m: (order[m.model], m.task))),
        models=tuple(_figures(name, [r for r in records if r.model == name]) for name in order),
    )


def _scores(records: Iterable[CaseRecord], floors: Mapping[str, Mapping[str, float]]) -> Iterable[Score]:
    passes: Counter[tuple[str, str, str]] = Counter()
    asked: Counter[tuple[str, str, str]] = Counter()
    for record in records:
        by_capability: dict[str, bool] = {}
        for check in record.checks:
            ok = check.outcome == "pass"
            by_capability[check.capability] = by_capability.get(check.capability, True) and ok
        for capability, ok in by_capability.items():
            key = (record.model, record.task, capability)
            asked[key] += 1
            passes[key] += ok
    for (model, task, capability), n in asked.items():
        right = passes[model, task, capability]
        low, high = wilson_interval(right, n)
        floor = floors.get(task, {}).get(capability)
        yield Score(model, task, capability, right, n, low, high, floor)


def _measures(records: Iterable[CaseRecord]) -> Iterable[Measure]:
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
        outcomes=dict(Counter(record.outcome for record in records).most_common()),
        causes=dict(causes.most_common()),
        faults=dict(Counter(record.fault for record in records if record.fault).most_common()),
        tokens_per_s=statistics.median(speeds) if speeds else None,
        first_token_s=statistics.median(firsts) if firsts else None,
        completion_tokens=sum(record.tokens.get("completion") or 0 for record in records),
        retried=sum(bool(record.retries) for record in records),
    )
