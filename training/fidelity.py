"""The same golden cases at each step from training into Ollama: transformers, merged, llama.cpp, each quantisation.

All steps are models of one run of `pytest evals`, whose record is then read; what is only made for it goes again.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from evals.cases import Split, load_golden
from evals.checks.answers import shorten
from evals.errors import RunRecordError, SettingsError, TrainingError
from evals.pairing import passes
from evals.recorded_side import read_side
from evals.runs import read_replies, read_run, write_whole
from evals.sampling import of_split
from training.bases import open_base
from training.candidate_gate import newest_since
from training.fidelity_findings import Finding, diagnose
from training.fidelity_measure import Given, Measured, Step, measure
from training.fidelity_steps import OllamaSteps, local_steps
from training.manifest import refuse_other_base

if TYPE_CHECKING:
    from training.manifest import Adapter
    from training.registry import Registry

FORMAT = 1
FIDELITY_FILE = "fidelity.json"
_QUANTIZATION = re.compile(r"[A-Za-z0-9_]{1,20}")


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What the steps made of the same cases. `run` is the record's folder, `skipped` says which steps were not run."""

    name: str
    adapter: str
    digest: str
    base: str
    task: str
    split: str
    cases: int
    run: Path
    measured: tuple[Measured, ...]
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]


def fidelity(
    adapter: Adapter,
    *,
    registry: Registry,
    base_ollama: str,
    gguf: Path | None,
    quantizations: Sequence[str],
    task: str,
    sample: int,
    split: str,
    golden: Path,
    reports: Path,
    work: Path,
) -> Fidelity:
    """Ask every step the same cases, and tell where answers change; also written to the run's `fidelity.json`.

    `task` '' is the adapter's own, `sample` 0 all cases, `split` '' both. `gguf` is the base as a GGUF file, for a base
    that is none itself. Steps that cannot be made are skipped and told. Passing models in Ollama are deleted again,
    whatever comes.

    Raises `SettingsError` for what cannot be asked, `TrainingError` where not even the adapter in transformers answers.
    """
    base = open_base(adapter.manifest.base.name)
    refuse_other_base(adapter, base)
    asked = _refuse_unusable(task or adapter.manifest.task, split, golden, quantizations)
    skipped: list[str] = []
    with contextlib.ExitStack() as passing:
        steps = local_steps(adapter, base, gguf, work, skipped)
        if quantizations:
            ollama = OllamaSteps(adapter, base, registry, base_ollama, work, passing)
            steps += ollama.make(quantizations, [step.label for step in steps], skipped)
        if len(steps) == 1:
            raise TrainingError("there is nothing to compare the adapter with: " + "; ".join(skipped))
        command = fidelity_command(
            steps,
            registry.url,
            golden=golden,
            reports=reports,
            task=asked,
            sample=sample,
            split=split,
        )
        folder = _run_folder(command, steps, reports)
    return read_fidelity(adapter, steps, folder, split=split, skipped=skipped)


def fidelity_command(
    steps: Sequence[Step],
    host: str,
    *,
    golden: Path,
    reports: Path,
    task: str,
    sample: int,
    split: str,
) -> list[str]:
    """The one run that asks all steps. One request at a time, and none from the store: what else is in a batch changes
    how an answer is rounded."""
    command = [sys.executable, "-m", "pytest", "--pyargs", "evals", "-p", "no:cacheprovider"]
    command += ["--no-gate", "--no-store", "--concurrency=1", "--repeats=1", f"--ollama-host={host}"]
    command += [f"--golden={golden.resolve()}", f"--reports={reports.resolve()}", f"--task={task}"]
    command += [f"--split={split}"] if split else []
    command += [f"--sample={sample}"] if sample else []
    return command + [f"--model={step.spec}" for step in steps]


def read_fidelity(
    adapter: Adapter, steps: Sequence[Step], folder: Path, *, split: str, skipped: Sequence[str] = ()
) -> Fidelity:
    """What the run in `folder` says of the steps, with `fidelity.json` written into it.

    Raises `TrainingError` where the run has no answer of the reference or of nothing else, `RunRecordError` for a
    damaged record.
    """
    info = read_run(folder)
    there = {model.label for model in info.models}
    answers = {step.label: read_answers(folder, step.spec) for step in steps if step.spec in there}
    left_out = [
        *skipped,
        *(
            f"{step.label}: {info.unavailable.get(step.spec, 'it was not asked')}"
            for step in steps
            if step.spec not in there
        ),
    ]
    reference = answers.get(steps[0].label, {})
    if all(one.fault for one in reference.values()):
        why = next((one.fault for one in reference.values()), "; ".join(left_out))
        raise TrainingError(
            f"{steps[0].label} gave no answer that the others could be compared with: {why}; the run is in {folder}"
        )
    if len(answers) == 1:
        raise TrainingError("there is nothing to compare the adapter with: " + "; ".join(left_out))
    measured = measure(steps, answers)
    found = Fidelity(
        name=adapter.manifest.name,
        adapter=str(adapter.folder),
        digest=adapter.manifest.digest,
        base=adapter.manifest.base.name,
        task=", ".join(info.tasks),
        split=split,
        cases=len(reference),
        run=folder,
        measured=measured,
        findings=diagnose(measured),
        skipped=tuple(left_out),
    )
    try:
        told = {"format": FORMAT, **asdict(found), "run": info.run}
        write_whole(folder / FIDELITY_FILE, json.dumps(told, indent=2) + "\n")
    except OSError as error:
        raise SettingsError(
            f"{folder / FIDELITY_FILE} cannot be written: {error.strerror or error}"
        ) from error
    return found


def read_answers(folder: Path, label: str) -> dict[str, Given]:
    """What one model of a run answered, by case; raises `RunRecordError`."""
    side = read_side(f"{folder.name}#{label}", folder.parent)
    replies = read_replies(folder, label)
    passed: dict[str, dict[str, bool]] = {}
    for (_, capability), by_case in passes(side.records).items():
        for case, repeats in by_case.items():
            passed.setdefault(case, {})[capability] = all(repeats)
    found = {}
    for record in side.records:
        reply = replies.get(record.response)
        if reply is None and not record.fault:
            raise RunRecordError(
                f"{folder / 'replies.jsonl'} has no reply of {shorten(label)} to {shorten(record.case)}"
            )
        found[record.case] = Given(
            passed=passed.get(record.case, {}),
            text=reply.text if reply else "",
            prompt_tokens=record.tokens.get("prompt"),
            fault=record.fault,
        )
    return found


def _refuse_unusable(task: str, split: str, golden: Path, quantizations: Sequence[str]) -> str:
    """The task's name; raises `SettingsError` where its cases cannot show what is looked for."""
    if not task:
        raise SettingsError("the adapter belongs to no golden task; name one with --task")
    known = {name: name for name in get_args(Split)}
    if split and split not in known:
        raise SettingsError(f"--split is {shorten(split)!r}; it takes {' or '.join(known)}")
    (loaded,) = load_golden(golden, [task])
    if split and not of_split([loaded], known[split]):
        raise SettingsError(f"{task} has no case in the split {split}; name another with --split")
    if loaded.options.temperature:
        raise SettingsError(
            f"{task} is asked with temperature {loaded.options.temperature:g}: each engine draws its answers otherwise, "
            "which is no fault. Set options.temperature in its task.yaml to 0 for this"
        )
    for one in quantizations:
        if not _QUANTIZATION.fullmatch(one):
            raise SettingsError(
                f"--quantize: {shorten(one)!r} is no quantisation; write f16, q8_0, q4_K_M, …"
            )
    return task


def _run_folder(command: Sequence[str], steps: Sequence[Step], reports: Path) -> Path:
    """Run it; the folder of the newest record since that has the steps. `TrainingError` without one."""
    first = steps[0].spec
    status, folder = newest_since(
        command,
        reports,
        lambda _, info: any(model.spec.text == first for model in info.models) or first in info.unavailable,
    )
    if folder is None:
        raise TrainingError(
            f"the run that asks all steps left no record: it ended with status {status}; what it printed says more"
        )
    return folder
