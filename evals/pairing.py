"""Two runs side by side: the same cases, each with the mean over its repeats. Pure.

Paired by (task, case): what the baseline makes of a case is held against what the candidate makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.backends.base import Model
from evals.runs import CaseRecord


@dataclass(frozen=True, slots=True)
class RunSide:
    """One model's part of one or several runs. `tasks` are their facts as in run.json: hash, options, gate."""

    model: Model
    runs: tuple[str, ...]
    tasks: Mapping[str, Mapping[str, Any]]
    records: Sequence[CaseRecord]


@dataclass(frozen=True, slots=True)
class Pair:
    """One case: the share of its repeats that passed, of either side. `cluster` is its own id where it has none."""

    case: str
    cluster: str
    baseline: float
    candidate: float


@dataclass(frozen=True, slots=True)
class Paired:
    """The cases of one capability of one task, in the order of the candidate's record."""

    task: str
    capability: str
    pairs: tuple[Pair, ...]
