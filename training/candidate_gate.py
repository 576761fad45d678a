"""The gate before a promotion: `pytest evals` asks NAME:candidate and what it would replace; the ledger keeps the verdict.

The run is a process of its own, the same that a person starts, and what it says goes straight to the terminal.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evals.backends.base import parse_spec
from evals.cases import ID_PATTERN, VersusBaseline, load_golden
from evals.checks.answers import shorten
from evals.errors import (
    GoldenGateError,
    PromotionRefused,
    RegistryError,
    RunRecordError,
    SettingsError,
    TrainingError,
)
from evals.policy import read_policy
from evals.runs import RunInfo, finished_runs, read_run, write_whole
from evals.surroundings import git_state
from training.evidence import VERDICT_FILE, own_task, read_evidence
from training.ledger import Ledger, LedgerEntry, fit_for_ledger, last
from training.manifest import read_manifest
from training.model_card import write_model_card
from training.registry import Entry, Registry

_STATUS = {
    2: "it was interrupted",
    3: "it broke",
    4: "it was refused before anything was asked",
}


def run_gate(
    name: str,
    *,
    registry: Registry,
    ledger: Ledger,
    reports: Path,
    golden: Path,
    tasks: Sequence[str] = (),
    policy: Path | None = None,
    baseline: str = "",
    extra: Sequence[str] = (),
) -> LedgerEntry:
    """Hold NAME:candidate against NAME:prod, or else the base, and write the verdict into the ledger.

    `baseline` names something else to compare with, `tasks` other tasks than the adapter's own and those that it
    guards; `extra` are further options of `pytest evals`. Whatever the verdict, the entry is returned; a gate that gave
    none raises `PromotionRefused`, or what else stood in its way, once that is in the ledger too.
    """
    check_name(name)
    known, _ = ledger.read()
    with _failures_written_down(name, registry, ledger):
        candidate = registry.find(f"{name}:candidate")
        if candidate is None:
            raise RegistryError(
                f"Ollama at {registry.url} has no {name}:candidate; make one: "
                f"python -m training create ADAPTER --name {name}"
            )
        created = last(known, name, "create", candidate=candidate.digest)
        against = baseline or _what_it_would_replace(name, registry, created, candidate)
        asked = list(tasks)
        if not asked and (own := own_task(created)):
            asked, policy = _with_guards(own, golden, policy, reports)
        command = gate_command(
            candidate.name,
            against,
            registry.url,
            reports=reports,
            golden=golden,
            tasks=asked,
            policy=policy,
            extra=extra,
        )
        folder = run_and_find(command, candidate.name, reports)
        adapter = created.adapter if created else ""
        entry = _entry(name, folder, registry, ledger, adapter, candidate.size_bytes, git_state(golden))
        ledger.append(entry)
    _update_card(entry, ledger)
    return entry


@contextmanager
def _failures_written_down(name: str, registry: Registry, ledger: Ledger) -> Iterator[None]:
    try:
        yield
    except GoldenGateError as error:
        ledger.append_failure(
            LedgerEntry(action="gate", name=name, outcome="failed", server=registry.url), error
        )
        raise


def _entry(
    name: str,
    folder: Path,
    registry: Registry,
    ledger: Ledger,
    adapter: str,
    size_bytes: int,
    git: Mapping[str, Any],
) -> LedgerEntry:
    """What the ledger keeps of a gate: its verdict, and all that has to be the same still for it to count."""
    evidence = read_evidence(folder)
    verdict = evidence.verdict
    return LedgerEntry(
        action="gate",
        name=name,
        outcome="done",
        reasons=fit_for_ledger(verdict.reasons),
        server=registry.url,
        candidate=verdict.candidate.digest,
        baseline=verdict.baseline.digest,
        base=shorten(verdict.baseline.model, 300),
        adapter=adapter,
        run=_from_ledger(folder, ledger),
        evidence=evidence.sha256,
        verdict=verdict.verdict,
        tasks={task: str(facts["hash"]) for task, facts in read_run(folder).tasks.items()},
        scores={f"{one.task}/{one.capability}": one.candidate for one in verdict.differences},
        baseline_scores={f"{one.task}/{one.capability}": one.baseline for one in verdict.differences},
        size_bytes=size_bytes,
        git=dict(git),
    )


def check_name(name: str) -> None:
    """Raise `SettingsError` for what is no name of a model of ours: small letters, digits, - and _; no tag."""
    if not re.fullmatch(ID_PATTERN.removesuffix("$"), name):
        raise SettingsError(
            f"{shorten(name)!r} is no name here: small letters, digits, - and _, and no tag; "
            "`my-task` stands for my-task:candidate, my-task:prod and my-task:previous"
        )


def gate_command(
    candidate: str,
    baseline: str,
    host: str,
    *,
    reports: Path,
    golden: Path,
    tasks: Sequence[str] = (),
    policy: Path | None = None,
    extra: Sequence[str] = (),
) -> list[str]:
    """The command that a person would type for this gate."""
    command = [sys.executable, "-m", "pytest", "--pyargs", "evals", "-p", "no:cacheprovider"]
    command += [f"--model={candidate}", f"--baseline={baseline}", f"--ollama-host={host}"]
    command += [f"--golden={golden.resolve()}", f"--reports={reports.resolve()}"]
    command += [f"--task={task}" for task in tasks]
    if policy is not None:
        command.append(f"--policy={policy.resolve()}")
    return [*command, *extra]


def _what_it_would_replace(
    name: str, registry: Registry, created: LedgerEntry | None, candidate: Entry
) -> str:
    prod = registry.find(f"{name}:prod")
    if prod is None:
        if created and created.base:
            return created.base
        raise SettingsError(
            f"there is no {name}:prod, and the ledger does not know what {name}:candidate was made of; "
            "say what to compare it with: --baseline SPEC"
        )
    if prod.digest == candidate.digest:
        raise PromotionRefused(f"{name}:candidate is {name}:prod already: there is nothing to compare")
    return prod.name


def _with_guards(
    task: str, golden: Path, policy: Path | None, reports: Path
) -> tuple[list[str], Path | None]:
    """The task with those that its policy guards, and the policy to judge by.

    What guarded tasks ask of their own adapters (to be better, say) is not asked of this one: only what the guards are.
    """
    if policy is not None:
        of_task = read_policy(policy).of(task)
        return [task, *(of_task.guards if of_task else ())], policy
    versus = load_golden(golden, [task])[0].gate.versus_baseline
    if not versus.guards:
        return [task], None
    return [task, *versus.guards], _write_policy(task, versus, reports)


def _write_policy(task: str, versus: VersusBaseline, reports: Path) -> Path:
    """A policy file that asks what one task asks, and nothing for the sake of others. JSON is YAML too."""
    path = reports / "policies" / f"{task}.yaml"
    asked = versus.model_dump(mode="json", exclude_defaults=True)
    about = f"What {task} asks of an adapter, with the tasks that it guards."
    text = json.dumps({"policy": task, "about": about, "tasks": {task: asked}}, indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text + "\n")
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _update_card(entry: LedgerEntry, ledger: Ledger) -> None:
    """Put the scores into the adapter's README.md; the gate stands without that."""
    if not entry.adapter:
        return
    folder = Path(entry.adapter)
    try:
        verdict = read_evidence(ledger.path.parent / entry.run).verdict
        write_model_card(folder, read_manifest(folder), gate=entry, verdict=verdict)
    except (TrainingError, RunRecordError) as error:
        print(f"note: the adapter's model card was not brought up to date: {error}", file=sys.stderr)


def run_to_its_end(command: Sequence[str]) -> int:
    """The exit status; an interruption from the terminal reaches the run itself, which ends with its record whole."""
    sys.stdout.flush()
    with subprocess.Popen(command) as running:
        while True:
            try:
                return running.wait()
            except KeyboardInterrupt:
                continue


def run_and_find(command: Sequence[str], candidate: str, reports: Path) -> Path:
    """Run the gate; the folder of the newest run that judged this candidate since. `PromotionRefused` without one."""
    spec = parse_spec(candidate)
    status, folder = newest_since(
        command,
        reports,
        lambda folder, info: (
            (folder / VERDICT_FILE).is_file() and any(model.spec == spec for model in info.models)
        ),
    )
    if folder is None:
        why = _STATUS.get(status, f"it ended with status {status}")
        raise PromotionRefused(f"the gate of {candidate} gave no verdict: {why}; what it printed says more")
    return folder


def newest_since(
    command: Sequence[str], reports: Path, fits: Callable[[Path, RunInfo], bool]
) -> tuple[int, Path | None]:
    """Run `pytest evals`; its exit status, and the newest record that came meanwhile and fits, or None."""
    before = set(finished_runs(reports))
    status = run_to_its_end(command)
    found = []
    for folder in set(finished_runs(reports)) - before:
        info = read_run(folder)
        if fits(folder, info):
            found.append((info.started, folder))
    return status, max(found)[1] if found else None


def _from_ledger(folder: Path, ledger: Ledger) -> str:
    """A run's folder as the ledger names it, so that both may be moved together."""
    home = ledger.path.parent.resolve()
    run = folder.resolve()
    return run.relative_to(home).as_posix() if run.is_relative_to(home) else str(run)
