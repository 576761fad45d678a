"""What `report.html` shows, as plain data: models and their figures, cases and their replies, a verdict if there is one.

Figures are fractions, seconds, bytes and tokens. Texts are as models wrote them: whoever renders them escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evals.verdict import Verdict

# A rate over all cases of a task, whatever the capability: a case counts that passes all of its checks.
WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Cell:
    """A pass rate with its 95% interval. `floor` and `holds` are None where there is no floor."""

    rate: float
    passes: float
    n: int
    low: float
    high: float
    floor: float | None = None
    holds: bool | None = None


@dataclass(frozen=True, slots=True)
class ModelColumn:
    """One model of one run. `label` is unique on the page.

    `overall` has a cell per capability over all tasks, and one under `WHOLE` where single cases are known; `tasks` has
    the same per task. `outcomes` counts kinds of reply, `causes` causes of misses, most frequent first. `latencies`
    are whole seconds of each reply that was not stored, in order of size. Figures that are not known are None.
    """

    label: str
    model: str
    digest: str
    run: str
    replies: int
    overall: Mapping[str, Cell]
    tasks: Mapping[str, Mapping[str, Cell]]
    outcomes: Mapping[str, int]
    causes: Mapping[str, int]
    latencies: tuple[float, ...] = ()
    size_bytes: int | None = None
    tokens_per_s: float | None = None
    first_token_s: float | None = None
    latency_s: float | None = None
    tokens_a_reply: float | None = None


@dataclass(frozen=True, slots=True)
class ShownCheck:
    """One check on one reply; `extracted` is what it read, as JSON text, maybe shortened."""

    name: str
    capability: str
    outcome: str
    value: float
    extracted: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShownReply:
    """A reply of the model in column `model` (its index). `cut` tells how many characters the page leaves out."""

    model: int
    repeat: int
    outcome: str
    text: str
    thinking: str
    stop_reason: str
    fault: str
    seconds: float | None
    tokens: int | None
    checks: tuple[ShownCheck, ...]
    cut: int = 0


@dataclass(frozen=True, slots=True)
class ShownCase:
    """A case with every model's replies. `prompt` is the last message, `system` an index into `Page.systems`; both are
    None where the golden folder no longer holds what was asked."""

    task: str
    case: str
    split: str
    tags: tuple[str, ...]
    prompt: str | None
    system: int | None
    replies: tuple[ShownReply, ...]


@dataclass(frozen=True, slots=True)
class ShownFlip:
    """A snapshot whose verdict is another now. `diff` is in unified form, from the recorded answer to today's."""

    model: str
    task: str
    case: str
    reason: str
    diff: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Everything on the page. `gate` is the sentence of each run's own gate with its problems; `facts` are lines about
    the runs (time, versions, commit, host), `notes` what a reader has to know before comparing. `verdict_of` names the
    run whose verdict it is where the page shows others too."""

    title: str
    models: tuple[ModelColumn, ...]
    task_names: tuple[str, ...]
    capabilities: tuple[str, ...]
    gate: tuple[tuple[str, tuple[str, ...]], ...]
    verdict: Verdict | None = None
    cases: tuple[ShownCase, ...] = ()
    systems: tuple[str, ...] = ()
    flips: tuple[ShownFlip, ...] = ()
    notes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    verdict_of: str = ""

    @property
    def same_tasks(self) -> bool:
        """Whether all models were asked the same tasks, so that their rates over all of them mean the same."""
        return len({frozenset(model.tasks) for model in self.models if model.tasks}) <= 1
