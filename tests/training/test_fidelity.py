"""Fidelity through the front door: one run asks all steps, its record is read, and nothing stays behind in Ollama."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ollama import Client

from evals.errors import RunRecordError, SettingsError, TrainingError
from tests.evals_run import Evals, write_task
from tests.fault_server import FaultServer, answer
from tests.real_ollama import PARAMETERS, OllamaServer
from tests.small_hf_model import save_model
from tests.training.manifests import manifest
from tests.training.registry_server import RegistryServer
from tests.training.smollm2_adapter import adapter_of, smollm2
from training.bases import open_base
from training.fidelity import FIDELITY_FILE, Fidelity, fidelity, fidelity_command, read_answers, read_fidelity
from training.fidelity_measure import Engine, Step
from training.fidelity_steps import REFERENCE, local_steps
from training.manifest import Adapter
from training.registry import Registry

QUESTIONS = {"one?": "right", "two?": "right", "three?": "right"}
WRONG_TEMPLATE = "{{ range .Messages }}[INST] {{ .Content }} [/INST]\n{{ end }}"


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("GOLDENGATE_", "PYTEST_")) and name != "GOLDENGATE_CACHE":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    """An adapter of a small base in the format of Hugging Face."""
    root = tmp_path_factory.mktemp("fidelity")
    return adapter_of(open_base(str(save_model(root / "base"))), root / "adapter")


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


def write_golden(root: Path, questions: dict[str, str] = QUESTIONS, options: str = "max_tokens: 8") -> None:
    task = write_task(root / "golden", questions=questions) / "task.yaml"
    task.write_text(task.read_text().replace("max_tokens: 32", options))


def run(adapter: Adapter, root: Path, host: str, **changes: Any) -> Fidelity:
    (root / "work").mkdir(exist_ok=True)
    given: dict[str, Any] = {
        "registry": Registry(host),
        "base_ollama": "",
        "gguf": None,
        "quantizations": ("f16", "q8_0"),
        "task": "small",
        "sample": 0,
        "split": "",
        "golden": root / "golden",
        "reports": root / "reports",
        "work": root / "work",
    }
    return fidelity(adapter, **(given | changes))


@pytest.mark.slow
def test_all_steps_are_asked_in_one_run_and_passing_models_go_again(
    small: Adapter, server: RegistryServer, tmp_path: Path
) -> None:
    write_golden(tmp_path)

    found = run(small, tmp_path, server.url)

    labels = [one.step.label for one in found.measured]
    assert labels == [REFERENCE, "transformers, merged", "Ollama, f16", "Ollama, q8_0 (F16)"]
    assert [folder.name for folder in (tmp_path / "reports").iterdir()] == [found.run.name]
    assert all(one.answered == 3 for one in found.measured)
    assert server.models == {}
    created = [body for body in server.kept.values() if body.get("template")]
    assert [body.get("quantize") for body in created] == [None, "q8_0"]
    assert all(body["model"].startswith("sea:fidelity-") for body in created)
    # The server says of every prompt that it had 26 tokens, which is none of those of the base's template.
    assert [(one.kind, one.step) for one in found.findings] == [("template", "Ollama, f16")]
    assert any("--gguf BASE.gguf" in one for one in found.skipped)
    written = json.loads((found.run / FIDELITY_FILE).read_text())
    assert written["digest"] == small.manifest.digest
    assert written["findings"][0]["kind"] == "template"
    assert [one["step"]["label"] for one in written["measured"]] == labels


@pytest.mark.slow
def test_without_ollama_the_other_steps_run_and_that_is_told(small: Adapter, tmp_path: Path) -> None:
    write_golden(tmp_path)
    with RegistryServer() as gone:
        host = gone.url

    found = run(small, tmp_path, host)

    assert [one.step.engine for one in found.measured] == ["transformers", "transformers"]
    assert any(one.startswith("Ollama: ") and "ollama serve" in one for one in found.skipped)
    assert {one.kind for one in found.findings} <= {"nothing", "rounding"}


def test_passing_models_go_again_where_the_run_breaks(
    small: Adapter, server: RegistryServer, tmp_path: Path
) -> None:
    write_golden(tmp_path)
    (tmp_path / "reports").write_text("no folder")

    with pytest.raises(TrainingError, match="left no record: it ended with status 4"):
        run(small, tmp_path, server.url)
    assert [body["quantize"] for body in server.kept.values() if body.get("quantize")] == ["q8_0"]
    assert server.models == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": ""}, "belongs to no golden task"),
        ({"task": "other"}, "there is no task 'other'"),
        ({"split": "test"}, "it takes dev or gate"),
        ({"split": "dev"}, "no case in the split dev"),
        ({"quantizations": ["f16", "q8 0"]}, "'q8 0' is no quantisation"),
        ({"gguf": Path("not-there.gguf")}, "--gguf: "),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_made(
    small: Adapter, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    write_golden(tmp_path)

    with pytest.raises(SettingsError, match=said):
        run(small, tmp_path, "127.0.0.1:9", **changes)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_task_that_draws_its_answers_is_refused(small: Adapter, tmp_path: Path) -> None:
    write_golden(tmp_path, options="temperature: 0.7")

    with pytest.raises(SettingsError, match=r"temperature 0\.7"):
        run(small, tmp_path, "127.0.0.1:9")


def test_an_adapter_in_a_folder_that_cannot_be_named_is_refused(small: Adapter, tmp_path: Path) -> None:
    moved = tmp_path / "my adapter"
    moved.symlink_to(small.folder)
    odd = Adapter(tmp_path / "a+b", small.manifest, small.settings)
    base = open_base(small.manifest.base.name)

    assert local_steps(Adapter(moved, small.manifest, small.settings), base, None, tmp_path / "work", [])
    with pytest.raises(SettingsError, match=r"a\+b cannot be named"):
        local_steps(odd, base, None, tmp_path / "work", [])


def test_what_cannot_be_merged_is_skipped_with_the_reason(small: Adapter, tmp_path: Path) -> None:
    skipped: list[str] = []
    base = open_base(small.manifest.base.name)
    (tmp_path / "work").write_text("no folder")

    steps = local_steps(small, base, None, tmp_path / "work", skipped)

    assert [step.label for step in steps] == [REFERENCE]
    assert any(one.startswith("merged weights: ") for one in skipped)


def test_the_run_asks_one_at_a_time_and_takes_nothing_from_the_store() -> None:
    steps = [Step("one", "hf:a+b", "transformers"), Step("two", "sea:x", "Ollama")]
    command = fidelity_command(
        steps, "http://h:1", golden=Path("/g"), reports=Path("/r"), task="small", sample=5, split="dev"
    )

    assert {"--no-gate", "--no-store", "--concurrency=1", "--repeats=1"} <= set(command)
    assert {"--golden=/g", "--reports=/r", "--task=small", "--sample=5", "--split=dev"} <= set(command)
    assert command[-2:] == ["--model=hf:a+b", "--model=sea:x"]
    everything = fidelity_command(
        steps, "http://h:1", golden=Path("/g"), reports=Path("/r"), task="small", sample=0, split=""
    )
    assert not any(one.startswith(("--sample", "--split")) for one in everything)


def replayed(evals: Evals, fault_server: FaultServer, texts: Sequence[str]) -> tuple[list[Step], Path]:
    """A run over recordings, one a text, which their models said to everything; as steps."""
    steps = []
    for number, text in enumerate(texts):
        fault_server.play(*[answer(text)] * 3)
        recorded = evals.run("--no-gate", "--no-store").folder
        engine: Engine = "Ollama" if number else "transformers"
        steps.append(Step(f"step {number}", f"replay:{recorded}", engine, "step 0" if number else ""))
    run = evals.run("--no-gate", "--no-store", models=[step.spec for step in steps])
    assert run.status == 0, run.out
    return steps, run.folder


def test_a_record_is_read_with_its_verdicts_texts_and_tokens(evals: Evals, fault_server: FaultServer) -> None:
    steps, folder = replayed(evals, fault_server, ["It is right.", "It is wrong.</s>"])

    answers = read_answers(folder, steps[0].spec)
    assert list(answers) == ["q0", "q1", "q2"]
    assert answers["q1"].passed == {"format": True, "content": True}
    assert (answers["q1"].text, answers["q1"].prompt_tokens) == ("It is right.", 26)

    adapter = Adapter(Path("adapter"), manifest(), {})
    found = read_fidelity(
        adapter, [*steps, Step("gone", "sea:gone", "Ollama", "step 0")], folder, split="dev", skipped=["x: y"]
    )
    assert (found.task, found.cases, found.run) == ("small", 3, folder)
    assert found.skipped == ("x: y", "gone: it was not asked")
    last = found.measured[-1]
    assert last.rates == {"format": 3, "content": 0}
    assert last.before is not None and last.before.lost == 3
    assert [(one.kind, one.cases) for one in found.findings] == [("template", ("q0", "q1", "q2"))]
    assert json.loads((folder / FIDELITY_FILE).read_text())["cases"] == 3


def test_a_run_without_an_answer_of_the_reference_is_refused(evals: Evals, fault_server: FaultServer) -> None:
    steps, folder = replayed(evals, fault_server, ["It is right."])
    adapter = Adapter(Path("adapter"), manifest(), {})

    with pytest.raises(TrainingError, match="gave no answer"):
        read_fidelity(adapter, [Step("gone", "sea:gone", "Ollama"), *steps], folder, split="")


def test_a_run_of_the_reference_alone_is_refused(evals: Evals, fault_server: FaultServer) -> None:
    steps, folder = replayed(evals, fault_server, ["It is right."])
    adapter = Adapter(Path("adapter"), manifest(), {})

    with pytest.raises(TrainingError, match="nothing to compare the adapter with: gone: it was not asked"):
        read_fidelity(adapter, [*steps, Step("gone", "sea:gone", "Ollama", "step 0")], folder, split="")
    assert not (folder / FIDELITY_FILE).exists()


def test_a_record_that_lost_replies_is_refused(evals: Evals, fault_server: FaultServer) -> None:
    steps, folder = replayed(evals, fault_server, ["It is right."])
    lines = (folder / "replies.jsonl").read_text().splitlines(keepends=True)
    (folder / "replies.jsonl").write_text("".join(lines[1:]))

    with pytest.raises(RunRecordError, match="has no reply"):
        read_answers(folder, steps[0].spec)


@pytest.mark.slow
@pytest.mark.ollama
def test_a_wrong_template_in_a_real_ollama_is_told_as_that(
    ollama_server: OllamaServer, tmp_path: Path
) -> None:
    base = smollm2()
    name = f"wrong-{tmp_path.parent.name}"
    write_golden(tmp_path, {"What is the capital of France?": "Paris", "Which colour has grass?": "green"})
    with Client(host=ollama_server.url, trust_env=False) as client:
        origin = ollama_server.ensure_model()
        client.create(name, from_=origin, template=WRONG_TEMPLATE, parameters=PARAMETERS)
        try:
            found = run(
                adapter_of(base, tmp_path / "adapter", scale=0.02),
                tmp_path,
                ollama_server.url,
                base_ollama=name,
                quantizations=("f16",),
            )
        finally:
            client.delete(name)
        left = [one.model or "" for one in client.list().models]

    assert [one.step.label for one in found.measured][-2:] == [
        "Ollama, adapter on Q4_1",
        "Ollama, f16",
    ]
    assert all(one.answered == 2 for one in found.measured)
    templates = [(one.step, one.cases) for one in found.findings if one.kind == "template"]
    assert templates == [("Ollama, adapter on Q4_1", ("q0", "q1"))]
    # llama.cpp and the merged weights are asked as the adapter was trained.
    assert all(one.first is None or not one.first.prompts for one in found.measured[:-2])
    assert not [one for one in left if one.startswith("sea:fidelity-")]
