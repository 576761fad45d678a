"""Two recorded runs compared: `python -m evals compare`. The verdict goes into the candidate's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.against import other_versions, write_verdict
from evals.comparison import compare
from evals.errors import RunMismatch, SettingsError
from evals.own_gate import own_problems
from evals.pairing import join
from evals.policy import policy_of_tasks, read_policy
from evals.recorded_side import find_run, read_side, selection_of
from evals.runs import read_run
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

    The candidate's own gate is judged anew, by what its run recorded, also where it only measured. Raises
    `GoldenGateError`; then nothing is written.
    """
    side = read_side(candidate, reports)
    recorded = [read_side(one, reports) for one in baselines]
    folder, _ = find_run(candidate, reports)
    info = read_run(folder)
    baseline = join(recorded)
    if len(recorded) > 1 and side.runs[0] in baseline.runs:
        raise RunMismatch(
            f"the candidate's own run {side.runs[0]} is no repeat of its baseline; leave it out"
        )
    if side.runs[0] in baseline.runs and side.model.label == baseline.model.label:
        raise RunMismatch(f"the run {side.runs[0]} would be compared with itself; name another baseline")
    found = compare(
        side,
        baseline,
        read_policy(policy) if policy else policy_of_tasks(side.tasks),
        gate_problems=own_problems(side, info, folder),
        partial=selection_of(info, folder).part,
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
