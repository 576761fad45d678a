"""The gate asks what a person would ask, in a process of its own, and the ledger keeps what came of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.backends.base import Model, parse_spec
from evals.cases import load_golden
from evals.errors import GoldenError, PromotionRefused, RegistryError, SettingsError, TrainingError
from evals.runs import FORMAT, RunInfo
from tests.evals_run import write_task
from tests.fault_server import answer
from tests.training.manifests import manifest
from tests.training.registry_server import RegistryServer
from tests.training.stage import Stage
from training.candidate_gate import gate_command, run_and_find, run_gate, run_to_its_end
from training.evidence import read_evidence
from training.ledger import LedgerEntry
from training.manifest import write_manifest
from training.registry import Registry

A, B = "a" * 64, "b" * 64
QUESTIONS = {f"{number}?": "right" for number in range(12)}


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        server.add("base:1", "0" * 64)
        server.add("ops:candidate", A)
        yield server


@pytest.fixture
def stage(tmp_path: Path, server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for name in os.environ:
        if name.startswith(("GOLDENGATE_", "PYTEST_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GOLDENGATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return Stage(tmp_path, Registry(server.url))


def gate(stage: Stage, *extra: str, **options: object) -> LedgerEntry:
    given = {"tasks": (), "policy": None, "baseline": "", **options}
    return run_gate(
        stage.name,
        registry=stage.registry,
        ledger=stage.ledger,
        reports=stage.root / "reports",
        golden=stage.golden,
        extra=extra,
        **given,  # type: ignore[arg-type]
    )


def ask_to_be_better(golden: Path, guards: str = "") -> None:
    """The task `small` asks to be better in content; `other` is not asked unless it is guarded."""
    folder = write_task(golden, questions=QUESTIONS)
    with (folder / "task.yaml").open("a") as file:
        file.write(f"  versus_baseline: {{superior: [content]{guards}}}\n")
    other = write_task(golden, "other", questions=QUESTIONS)
    with (other / "task.yaml").open("a") as file:
        file.write("  versus_baseline: {superior: [format], guards: {third: 0.1}}\n")
    write_task(golden, "third")


@pytest.mark.slow
def test_a_candidate_is_held_against_the_base_then_against_production(
    stage: Stage, server: RegistryServer, capfd: pytest.CaptureFixture[str]
) -> None:
    ask_to_be_better(stage.golden, guards=", guards: {other: 0.5}")
    server.answers["base:1"] = answer("wrong")
    server.answers["ops:candidate"] = answer("it is right")
    adapter = stage.root / "adapter"
    adapter.mkdir()
    write_manifest(adapter, manifest(task="small"))
    stage.created(task="", adapter=str(adapter))  # its manifest tells what it was trained for
    entry = gate(stage)
    # What the run says is on the terminal.
    assert "Promote: ops:candidate may replace base:1." in " ".join(capfd.readouterr().out.split())
    assert (entry.outcome, entry.verdict, entry.candidate, entry.baseline) == ("done", "promote", A, "0" * 64)
    # The task with the one that it guards, of which only that is asked.
    assert entry.tasks == {task.name: task.hash for task in load_golden(stage.golden, ["small", "other"])}
    found = read_evidence(stage.root / "reports" / entry.run)
    assert found.sha256 == entry.evidence
    assert {(one.task, one.policy, one.kind) for one in found.verdict.requirements} == {
        ("small", "small", "superior"),
        ("other", "small", "non_inferior"),
    }
    assert (entry.scores["small/content"], entry.baseline_scores["small/content"]) == (1.0, 0.0)
    assert stage.entries[-1] == entry
    assert "| small | content | 12 | 0.0% | 100.0% | +100.0 (" in (adapter / "README.md").read_text()
    assert stage.promote().prod == A

    # The next candidate is held against production; it is no better, and blocked.
    server.add("ops:candidate", B)
    server.answers["ops:prod"] = answer("it is right")
    server.answers["ops:candidate"] = answer("wrong")
    stage.created(adapter=str(stage.root / "gone"))
    blocked = gate(stage)
    # Its model card cannot be written, for which the gate stands all the same.
    assert "model card was not brought up to date: there is no adapter folder" in capfd.readouterr().err
    assert (blocked.verdict, blocked.baseline, blocked.base) == ("block", A, "ops:prod")
    assert any("small content" in reason for reason in blocked.reasons)
    with pytest.raises(PromotionRefused, match="the verdict of its gate was block"):
        stage.promote()


@pytest.mark.slow
def test_tasks_policy_and_baseline_may_be_named(stage: Stage, server: RegistryServer) -> None:
    ask_to_be_better(stage.golden)
    policy = stage.root / "policy.yaml"
    policy.write_text(
        json.dumps({"policy": "no-worse", "about": "x", "tasks": {"*": {"non_inferior": {"format": 0.5}}}})
    )
    server.add("base:2", B)
    entry = gate(stage, "--split", "gate", tasks=["third"], policy=policy, baseline="base:2")
    assert list(entry.tasks) == ["third"]
    assert entry.baseline == B
    requirements = read_evidence(stage.root / "reports" / entry.run).verdict.requirements
    assert {(one.task, one.capability, one.kind) for one in requirements} == {
        ("third", "format", "non_inferior")
    }


@pytest.mark.slow
def test_a_gate_that_gives_no_verdict_is_told_and_written_down(stage: Stage) -> None:
    with pytest.raises(PromotionRefused, match="gave no verdict: it was refused before anything was asked"):
        gate(stage, "--no-such-option", baseline="base:1")
    entry = stage.entries[-1]
    assert (entry.action, entry.outcome, entry.verdict) == ("gate", "failed", "")
    assert "gave no verdict" in entry.reasons[0]


def test_a_gate_needs_a_candidate(stage: Stage, server: RegistryServer) -> None:
    del server.models["ops:candidate"]
    with pytest.raises(RegistryError, match="has no ops:candidate; make one: python -m training create"):
        gate(stage)
    assert stage.entries[-1].outcome == "failed"


def test_a_gate_of_what_is_in_production_compares_nothing(stage: Stage, server: RegistryServer) -> None:
    server.add("ops:prod", A)
    with pytest.raises(PromotionRefused, match="ops:candidate is ops:prod already"):
        gate(stage)


def test_a_gate_without_production_and_a_known_base_asks_for_one(stage: Stage) -> None:
    with pytest.raises(SettingsError, match="say what to compare it with: --baseline SPEC"):
        gate(stage)


def test_an_adapter_that_is_gone_is_told(stage: Stage) -> None:
    stage.created(task="", adapter=str(stage.root / "gone"))
    with pytest.raises(TrainingError, match="there is no adapter folder"):
        gate(stage)


def test_broken_cases_are_told_and_written_down(stage: Stage) -> None:
    (stage.golden / "small" / "cases.yaml").write_text("- {}\n")
    stage.created()
    with pytest.raises(GoldenError):
        gate(stage)
    assert "in the golden cases" in stage.entries[-1].reasons[0]


def test_a_failure_that_cannot_be_written_down_still_says_what_it_was(
    stage: Stage, server: RegistryServer
) -> None:
    del server.models["ops:candidate"]
    Path(f"{stage.ledger.path}.lock").mkdir(parents=True)  # no line can be written
    with pytest.raises(RegistryError) as failed:
        gate(stage)
    assert str(failed.value).startswith("Ollama at ") and "has no ops:candidate" in str(failed.value)
    assert "\nNor could this be written down: the ledger " in str(failed.value)


def _write_run(folder: Path, started: str, model: str, *, judged: bool = True) -> None:
    folder.mkdir(parents=True)
    run = RunInfo(
        folder.name, started, 1.0, (Model(parse_spec(model), A),), {}, {}, {}, {}, {}, {}, asked=1, stored=0
    )
    models = [one.to_json() for one in run.models]
    data = {name: getattr(run, name) for name in run.__slots__} | {"format": FORMAT, "models": models}
    (folder / "run.json").write_text(json.dumps(data))
    if judged:
        (folder / "verdict.json").write_text("{}")


def test_of_the_runs_since_the_newest_that_judged_the_candidate_counts(tmp_path: Path) -> None:
    at = "2026-01-01T12:0{}:00+00:00".format
    made = tmp_path / "made"
    _write_run(tmp_path / "reports" / "z-before", at(9), "ops:candidate")
    _write_run(made / "b-first", at(1), "ops:candidate")
    _write_run(made / "a-second", at(3), "ops:candidate")
    _write_run(made / "c-third", at(2), "ops:candidate")
    _write_run(made / "d-of-another", at(4), "other:1")
    _write_run(made / "e-without-a-verdict", at(5), "ops:candidate", judged=False)
    script = (
        f"import shutil; shutil.copytree({str(made)!r}, {str(tmp_path / 'reports')!r}, dirs_exist_ok=True)"
    )
    command = [sys.executable, "-ISc", script]
    found = run_and_find(command, "ops:candidate", tmp_path / "reports")
    assert found == tmp_path / "reports" / "a-second"
    with pytest.raises(PromotionRefused, match="gave no verdict: it ended with status 0"):
        run_and_find(command, "ops:candidate", tmp_path / "reports")  # nothing is new any more


def test_a_name_with_a_tag_is_refused(stage: Stage) -> None:
    with pytest.raises(SettingsError, match="'ops:prod' is no name here"):
        run_gate(
            "ops:prod",
            registry=stage.registry,
            ledger=stage.ledger,
            reports=stage.root,
            golden=stage.golden,
        )


def test_the_command_is_what_a_person_would_type(tmp_path: Path) -> None:
    command = gate_command(
        "ops:candidate",
        "ops:prod",
        "http://127.0.0.1:11434",
        reports=tmp_path / "reports",
        golden=tmp_path / "golden",
        tasks=["small", "other"],
        policy=tmp_path / "policy.yaml",
        extra=["--stop-early"],
    )
    assert command[1:] == [
        *("-m", "pytest", "--pyargs", "evals", "-p", "no:cacheprovider"),
        *("--model=ops:candidate", "--baseline=ops:prod", "--ollama-host=http://127.0.0.1:11434"),
        *(f"--golden={tmp_path}/golden", f"--reports={tmp_path}/reports", "--task=small", "--task=other"),
        *(f"--policy={tmp_path}/policy.yaml", "--stop-early"),
    ]


def test_an_interruption_waits_for_the_run_to_end_with_its_record() -> None:
    # From a terminal the run gets it too; here only this process does.
    script = (
        "import os, signal, sys, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(0.5); sys.exit(7)"
    )
    assert run_to_its_end([sys.executable, "-ISc", script]) == 7
