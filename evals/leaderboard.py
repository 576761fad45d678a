"""Models in order: each one's pass rates over all tasks, task by task, and of whole cases. Pure.

A case is whole when all of its checks pass. Of a model that was asked repeatedly it counts with the mean over its
repeats, as in `scores`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from evals.checks.base import Capability
from evals.report.page import WHOLE, Cell
from evals.runs import CaseRecord
from evals.scores import ModelFigures, Summary, summarise
from evals.stats import wilson_interval


@dataclass(frozen=True, slots=True)
class Standing:
    """One model's row. `overall` has a cell per capability, and one under `WHOLE` where single cases are known.

    A cell of `overall` pools the cases of all tasks, so that a task weighs as much as it has cases; only cells of
    `tasks` have floors.
    """

    model: str
    overall: Mapping[str, Cell]
    tasks: Mapping[str, Mapping[str, Cell]]
    figures: ModelFigures


def standings(
    records: Sequence[CaseRecord],
    floors: Mapping[str, Mapping[str, float]],
    models: Sequence[str] = (),
    ungated: str | None = None,
) -> list[Standing]:
    """The models of a run, the best first; floors, models and the ungated baseline as `summarise` takes them."""
    whole = _whole_cases(records)
    found: list[Standing] = []
    for row in standings_of_summary(summarise(records, floors, models, ungated=ungated)):
        cases = whole.get(row.model, {})
        tasks = {task: {**_whole_cell([passes]), **row.tasks.get(task, {})} for task, passes in cases.items()}
        overall = {**_whole_cell(cases.values()), **row.overall}
        found.append(replace(row, overall=overall, tasks=tasks))
    return in_order(found)


def standings_of_summary(summary: Summary) -> list[Standing]:
    """The same where only a run's figures are known: no whole cases, unless the figures themselves name them."""
    found: list[Standing] = []
    for figures in summary.models:
        scores = [score for score in summary.scores if score.model == figures.model]
        names = capabilities_in_order(score.capability for score in scores)
        overall: dict[str, Cell] = {}
        for name in names:
            of_name = [score for score in scores if score.capability == name]
            overall[name] = _cell(
                math.fsum(score.passes for score in of_name), sum(score.n for score in of_name)
            )
        tasks: dict[str, dict[str, Cell]] = {}
        for score in sorted(scores, key=lambda one: names.index(one.capability)):
            cell = _cell(score.passes, score.n, score.floor, score.holds)
            tasks.setdefault(score.task, {})[score.capability] = cell
        found.append(Standing(figures.model, overall, tasks, figures))
    return in_order(found)


def in_order(rows: Iterable[Standing]) -> list[Standing]:
    """The best first: by whole cases, or, where they are unknown, by the mean over capabilities; ties by label."""
    return sorted(rows, key=place)


def place(row: Standing) -> tuple[bool, float, str]:
    """What a row is sorted by. The two kinds of rate are not held against each other: whole cases come first."""
    return WHOLE not in row.overall, -quality(row), row.model


def capabilities_in_order(names: Iterable[str]) -> list[str]:
    """Each once: those that Golden Gate knows in its order, then others (of an imported table) in theirs."""
    found = dict.fromkeys(names)
    known = [one.value for one in Capability]
    return [name for name in known if name in found] + [name for name in found if name not in known]


def quality(row: Standing) -> float:
    """The rate that decides the order; -1 of a model of which nothing was judged."""
    if WHOLE in row.overall:
        return row.overall[WHOLE].rate
    return statistics.fmean(cell.rate for cell in row.overall.values()) if row.overall else -1.0


def _whole_cases(records: Iterable[CaseRecord]) -> dict[str, dict[str, list[float]]]:
    """Per model and task, the share of each case's repeats in which all of its checks passed."""
    repeats: dict[tuple[str, str, str], list[bool]] = {}
    for record in records:
        if record.checks:
            passed = all(check.outcome == "pass" for check in record.checks)
            repeats.setdefault((record.model, record.task, record.case), []).append(passed)
    shares: dict[str, dict[str, list[float]]] = {}
    for (model, task, _), passed_each in repeats.items():
        share = sum(passed_each) / len(passed_each)
        shares.setdefault(model, {}).setdefault(task, []).append(share)
    return shares


def _whole_cell(shares: Iterable[Sequence[float]]) -> dict[str, Cell]:
    """The cell of whole cases under its name; none where there is no case."""
    cases = [share for task in shares for share in task]
    return {WHOLE: _cell(math.fsum(cases), len(cases))} if cases else {}


def _cell(passes: float, n: int, floor: float | None = None, holds: bool | None = None) -> Cell:
    low, high = wilson_interval(passes, n)
    return Cell(passes / n, passes, n, low, high, floor, holds)
