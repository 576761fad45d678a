"""Two recorded runs compared: `python -m evals compare`. The verdict goes into the candidate's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.against import other_versions, write_verdict
from evals.comparison import compare
from evals.errors import RunRecordError, SettingsError
from evals.gate import GateVerdict, Selection, judge_run
from evals.pairing import RunSide, find_run, join, read_side
from evals.policy import policy_of_tasks, read_policy
from evals.runs import RunInfo, read_run
from evals.scores import summarise
from evals.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Compared:
    """The verdict, and the folder that it was written to."""

    verdict: Verdict
    folder: Path


def compare_runs(
    candidate: str,
    baselines: Sequence[str],
    reports: Path,
    *,
    policy: Path | None = None,
    out: Path | None = None,
) -> Compared:
    """Compare two recorded runs; further runs of the baseline count as repeats of its cases.

    The candidate's own gate is judged anew, by the floors that its run recorded, also where it only measured. Raises
    `GoldenGateError`; then nothing is written.
    """
    side = read_side(candidate, reports)
    recorded = [read_side(one, reports) for one in baselines]
    folder, _ = find_run(candidate, reports)
    info = read_run(folder)
    selection = _selection(info, folder)
    found = compare(
        side,
        join(recorded),
        read_policy(policy) if policy else policy_of_tasks(side.tasks),
        gate_problems=_gate(side, selection).problems,
        partial=selection.part,
        notes=[note for one in recorded for note in other_versions(one.versions, side.versions)],
    )
    written = out or folder
    try:
        written.mkdir(parents=True, exist_ok=True)
        write_verdict(written, found)
    except OSError as error:
        raise SettingsError(
            f"the verdict cannot be written to {written}: {error.strerror or error}; name another folder with --out DIR"
        ) from error
    return Compared(found, written)


def _gate(side: RunSide, selection: Selection) -> GateVerdict:
    floors = {name: facts.get("gate", {}).get("floors", {}) for name, facts in side.tasks.items()}
    summary = summarise(side.records, floors, [side.model.label])
    return judge_run(side.records, summary, {}, selection, enforce_floors=True)


def _selection(info: RunInfo, folder: Path) -> Selection:
    try:
        return Selection(**info.selected)
    except TypeError as error:
        raise RunRecordError(f"{folder / 'run.json'} is damaged: what was selected is not told") from error
