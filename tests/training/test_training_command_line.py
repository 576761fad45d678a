"""`python -m training …` as people run it: mistakes are sentences and exit status 4, what a look found is 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault_server import closed_port
from tests.golden_folder import write_golden
from tests.small_hf_model import save_model
from tests.training.manifests import manifest
from tests.training.registry_server import RegistryServer
from tests.training.smollm2_adapter import adapter_of
from tests.training.stage import Stage
from training.bases import open_base
from training.ledger import LedgerEntry
from training.manifest import write_manifest
from training.registry import Registry

A, B, C = (letter * 64 for letter in "abc")
CONFIG = "name: ops\ndata: examples.jsonl\nbase: gguf:smollm2-135m\n"


def training(folder: Path, *arguments: str, host: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command in a folder as a user would, as a process of its own."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("GOLDENGATE_", "OLLAMA_"))
    }
    environment |= {"NO_COLOR": "1", "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"}
    environment["OLLAMA_HOST"] = host or f"http://127.0.0.1:{closed_port()}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "training", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done


def mistake(folder: Path, *arguments: str, host: str = "") -> str:
    """What a refused command says."""
    done = training(folder, *arguments, host=host)
    assert (done.returncode, done.stdout) == (4, ""), done.stdout + done.stderr
    return done.stderr


def write_config(folder: Path, more: str = "") -> None:
    write_golden(folder / "golden")
    (folder / "reports").mkdir()
    (folder / "train.yaml").write_text(CONFIG + more)
    (folder / "examples.jsonl").write_text('{"prompt": "Name a colour.", "completion": "Red."}\n')


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        server.add("base:1", "0" * 64)
        server.add("ops:candidate", A)
        yield server


@pytest.fixture
def stage(tmp_path: Path, server: RegistryServer) -> Stage:
    """A candidate whose gate says promote."""
    stage = Stage(tmp_path, Registry(server.url))
    stage.created()
    stage.gated()
    return stage


# Files


def test_a_key_that_no_config_has_is_told_with_its_line_and_those_that_there_are(tmp_path: Path) -> None:
    write_config(tmp_path, "lora: {rnak: 8}\n")
    said = mistake(tmp_path, "train", "train.yaml")
    assert said.startswith("ERROR: 1 problem in the training's config:\ntrain.yaml:4: lora.rnak: unknown key")
    assert "rank, alpha, dropout, targets" in said
    assert not (tmp_path / "reports" / "adapters").exists()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"prompt": "Hello"', "examples.jsonl:2: "),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "examples.jsonl:2: messages"),
    ],
    ids=["half a line", "roles in another order"],
)
def test_lines_that_are_no_examples_are_told_all_at_once(tmp_path: Path, line: str, what: str) -> None:
    write_config(tmp_path)
    with (tmp_path / "examples.jsonl").open("a") as file:
        file.write(f"{line}\n[]\n")
    said = mistake(tmp_path, "lint", "examples.jsonl", "--base", "")
    assert what in said and "examples.jsonl:3: " in said


def test_lint_fails_with_1_on_what_may_not_be_trained_on_and_passes_with_a_reason(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "examples.jsonl").write_text('{"prompt": "The sky above us.", "completion": "Blue."}\n')
    found = training(tmp_path, "lint", "examples.jsonl", "--base", "")
    allowed = training(tmp_path, "lint", "examples.jsonl", "--base", "", "--allow-contamination", "a try")
    assert (found.returncode, found.stderr, allowed.returncode) == (1, "", 0)
    assert "colours/sky" in found.stdout


def test_an_adapter_folder_with_a_pickle_is_not_used(tmp_path: Path, server: RegistryServer) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    write_manifest(adapter, manifest())
    (adapter / "optimizer.pt").write_bytes(b"\x80\x04K\x01.")
    said = mistake(tmp_path, "create", "adapter", host=server.url)
    assert "holds pickled files (optimizer.pt)" in said and "nothing of the folder is used" in said
    assert set(server.models) == {"base:1", "ops:candidate"} and server.digest("ops:candidate") == A


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter whose manifest names a base in Ollama."""
    root = tmp_path_factory.mktemp("small")
    return adapter_of(open_base(str(save_model(root / "base"))), root / "adapter", ollama="small:1b").folder


@pytest.mark.parametrize("command", ["create", "fidelity"])
def test_a_folder_for_temporary_files_that_cannot_be_made_is_told_with_the_option_that_names_another(
    command: str, small: Path, tmp_path: Path, server: RegistryServer
) -> None:
    write_config(tmp_path)
    said = mistake(tmp_path, command, str(small), "--work", "train.yaml", host=server.url)
    assert said == (
        "ERROR: no folder for temporary files can be made in train.yaml: File exists; name another with --work\n"
    )


def test_weights_are_merged_and_sent_where_ollama_has_not_the_base_of_the_manifest(
    small: Path, tmp_path: Path, server: RegistryServer
) -> None:
    write_config(tmp_path)
    said = mistake(tmp_path, "create", str(small), "--work", "room", host=server.url)
    # The server knows none of the doctor's questions, which come when all was sent.
    assert "did not let sea:creating-" in said
    (sent,) = server.kept.values()
    assert "from" not in sent and "model.safetensors" in sent["files"]
    assert list((tmp_path / "room").iterdir()) == []
    assert list(small.parent.glob(".*")) == []


def test_fidelity_merges_too_where_ollama_has_not_the_base_of_the_manifest(
    small: Path, tmp_path: Path, server: RegistryServer
) -> None:
    write_golden(tmp_path / "golden")
    (tmp_path / "reports").touch()
    asked = ("--quantize", "q8_0", "--task", "colours", "--split", "", "--reports", "reports")
    said = training(tmp_path, "fidelity", str(small), *asked, host=server.url).stderr
    # A record cannot be written; by then all was sent.
    assert "ERROR: the run that asks all steps left no record" in said
    (sent,) = server.kept.values()
    assert "from" not in sent and sent["quantize"] == "q8_0" and "model.safetensors" in sent["files"]


def test_a_base_that_was_asked_for_and_is_not_in_ollama_is_told(
    small: Path, tmp_path: Path, server: RegistryServer
) -> None:
    write_config(tmp_path)
    said = mistake(tmp_path, "create", str(small), "--base-ollama", "small:1b", host=server.url)
    assert said.startswith(f"ERROR: there is no small:1b in Ollama at {server.url}; fetch it")
    assert server.kept == {}


# Options


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("promote", "ops:candidate"), "'ops:candidate' is no name here"),
        (("promote", "ops", "--overide", "x"), "No such option"),
        (("fit", "nowhere", "--gpu", "much"), "much"),
        (("lint", "nowhere.jsonl", "--base", ""), "nowhere.jsonl"),
        (("lint", "examples.jsonl", "--base", "", "--task", "shades"), "there is no task 'shades'"),
        (("train", "nowhere.yaml"), "nowhere.yaml"),
        (("create", "nowhere"), "there is no adapter folder nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_word_is_a_sentence(tmp_path: Path, arguments: tuple[str, ...], what: str) -> None:
    write_config(tmp_path)
    assert what in " ".join(mistake(tmp_path, *arguments).split())


# Ollama and the ledger


def test_a_server_that_is_gone_between_create_and_promote_is_told_and_written_down(
    stage: Stage, server: RegistryServer
) -> None:
    gone = f"http://127.0.0.1:{closed_port()}"
    said = mistake(stage.root, "promote", "ops", host=gone)
    assert said.startswith(f"ERROR: Ollama at {gone} ")
    assert (stage.entries[-1].action, stage.entries[-1].outcome) == ("promote", "failed")
    assert stage.digest("prod") == ""

    back = training(stage.root, "promote", "ops", host=server.url)
    assert (back.returncode, back.stderr) == (0, "")
    assert stage.digest("prod") == A


def test_a_production_that_was_moved_by_hand_is_refused_and_shown_until_a_reason_is_given(
    stage: Stage, server: RegistryServer
) -> None:
    assert training(stage.root, "promote", "ops", host=server.url).returncode == 0
    server.add("ops:candidate", B)
    stage.created()
    stage.gated()
    server.add("ops:prod", C)

    by_hand = f"ops:prod was moved by hand: the last promote ({stage.entries[-1].at[:10]}) put {A[:12]} there"
    said = mistake(stage.root, "promote", "ops", host=server.url)
    assert said.startswith("ERROR: ops:candidate is not promoted:\n") and by_hand in said
    assert stage.digest("prod") == C
    fleet = training(stage.root, "fleet", host=server.url)
    assert fleet.returncode == 0 and f"ops: {by_hand}" in fleet.stdout

    done = training(stage.root, "promote", "ops", "--override", "it was a slip", host=server.url)
    assert (done.returncode, done.stdout) == (
        0,
        f"promoted: ops:prod is {B[:12]}; ops:previous is {C[:12]}\n",
    )
    assert stage.entries[-1].override == "it was a slip"


def test_a_line_of_the_ledger_that_was_cut_in_half_is_told_and_nothing_else_is_lost(
    stage: Stage, server: RegistryServer
) -> None:
    path = stage.ledger.path
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(whole.splitlines()[0][:80])

    done = training(stage.root, "promote", "ops", host=server.url)

    told = f"ledger: {path.relative_to(stage.root)}:3: is cut short or damaged; the line is left as it is\n"
    assert (done.returncode, done.stderr) == (0, told)
    assert path.read_bytes().startswith(whole + whole.splitlines()[0][:80] + b"\n")
    lines = path.read_bytes().splitlines()
    assert len(lines) == 4 and LedgerEntry.model_validate_json(lines[-1]).prod == A
    assert json.loads(lines[1])["verdict"] == "promote"


def test_a_refused_rollback_changes_nothing(stage: Stage, server: RegistryServer) -> None:
    assert training(stage.root, "promote", "ops", host=server.url).returncode == 0
    said = mistake(stage.root, "rollback", "ops", host=server.url)
    assert said == "ERROR: there is no ops:previous to go back to\n"
    assert stage.digest("prod") == A
    assert (stage.entries[-1].action, stage.entries[-1].outcome) == ("rollback", "refused")
