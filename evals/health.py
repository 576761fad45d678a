"""How fit the golden cases are to judge: how many, how long, how alike, and what they can tell apart. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from rapidfuzz import fuzz, utils

from evals.cases import GoldenCase, GoldenTask
from evals.power import smallest_drop
from evals.runs import CaseRecord

# Two inputs whose texts agree by this percentage, word order left aside, ask nearly the same.
NEAR = 85.0
# Fewer answers than this say nothing about a check that never failed among them.
ENOUGH_ANSWERS = 20


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two cases with nearly the same input; `likeness` in percent."""

    one: str
    other: str
    likeness: float
    across: bool


@dataclass(frozen=True, slots=True)
class Lengths:
    """Words of a kind of text: median, 90th percentile, longest."""

    median: int
    p90: int
    longest: int


@dataclass(frozen=True, slots=True)
class TaskHealth:
    """The figures of one task. `never_fails` and `never_passes` rest on `answers` of recorded runs, by `models`.

    `drop`: the smallest drop of a pass rate that all cases show at 80% power, at best; None where there are too few.
    `drop_gate`: the same of the gate split alone.
    """

    task: str
    cases: int
    splits: Mapping[str, int]
    tags: Mapping[str, int]
    inputs: Lengths
    references: Lengths
    wrong: int
    near: tuple[NearPair, ...]
    answers: int
    models: int
    never_fails: tuple[str, ...]
    never_passes: tuple[str, ...]
    drop: float | None
    drop_gate: float | None

    @property
    def across(self) -> tuple[NearPair, ...]:
        """Near duplicates in both splits: what is tuned on one is no test on the other."""
        return tuple(pair for pair in self.near if pair.across)


def task_health(task: GoldenTask, records: Iterable[CaseRecord]) -> TaskHealth:
    """Everything about one task; `records` are results of the same task with the same hash, of any models."""
    splits: Counter[str] = Counter(case.split for case in task.cases)
    answered = [one for one in records if one.task == task.name and one.outcome == "answered"]
    never_fails, never_passes = _stuck(answered)
    return TaskHealth(
        task=task.name,
        cases=len(task.cases),
        splits=splits,
        tags=dict(Counter(tag for case in task.cases for tag in case.tags).most_common()),
        inputs=_lengths(case.input for case in task.cases),
        references=_lengths(case.reference for case in task.cases),
        wrong=sum(bool(case.wrong) for case in task.cases),
        near=tuple(near_pairs(task.cases)),
        answers=len(answered),
        models=len({one.model for one in answered}),
        never_fails=never_fails,
        never_passes=never_passes,
        drop=smallest_drop(len(task.cases)),
        drop_gate=smallest_drop(splits["gate"]),
    )


def near_pairs(cases: Sequence[GoldenCase]) -> Iterator[NearPair]:
    """Pairs of cases whose inputs agree by `NEAR` percent or more, the most alike first.

    Likeness is rapidfuzz's `token_sort_ratio` (normalised InDel distance of the sorted words) after folding case
    and dropping punctuation; numbers count as words, so the same sentence with other figures is alike.
    """
    # Of a text without letters and digits nothing would be left.
    plain = [utils.default_process(case.input) or case.input for case in cases]
    found = [
        NearPair(cases[i].id, cases[j].id, likeness, cases[i].split != cases[j].split)
        for i, j in combinations(range(len(cases)), 2)
        if (likeness := fuzz.token_sort_ratio(plain[i], plain[j], score_cutoff=NEAR))
    ]
    yield from sorted(found, key=lambda pair: -pair.likeness)


def _lengths(texts: Iterable[str]) -> Lengths:
    words = sorted(len(text.split()) for text in texts)
    p90 = words[max(0, -(-9 * len(words) // 10) - 1)]  # nearest rank
    return Lengths(round(statistics.median(words)), p90, words[-1])


def _stuck(records: Sequence[CaseRecord]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Checks that never failed and that never passed, each over enough whole answers."""
    outcomes: dict[str, Counter[bool]] = {}
    for record in records:
        for check in record.checks:
            outcomes.setdefault(check.name, Counter())[check.outcome == "pass"] += 1
    enough = {name: counts for name, counts in outcomes.items() if counts.total() >= ENOUGH_ANSWERS}
    never_fails = tuple(name for name, counts in enough.items() if not counts[False])
    never_passes = tuple(name for name, counts in enough.items() if not counts[True])
    return never_fails, never_passes
