"""Candidates of both kinds in a real Ollama, and what happens to one that is not as it should be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ollama import Client

from evals.errors import TrainingError
from tests.real_ollama import TEMPLATE, OllamaServer
from tests.training.smollm2_adapter import adapter_of, smollm2
from training.create import create
from training.ledger import Ledger
from training.manifest import Adapter
from training.official import find_official
from training.registry import Registry

NAME = "golden-gate-test-create"
BASE = "golden-gate-test-base:135m"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    # Of hardly any effect, so that the model still answers in a word.
    return adapter_of(smollm2(), tmp_path_factory.mktemp("create") / "adapter", scale=0.01)


@pytest.fixture
def client(ollama_server: OllamaServer) -> Iterator[Client]:
    with Client(host=ollama_server.url, timeout=300, trust_env=False) as client:
        yield client
        for name in names(client):
            if name.startswith("golden-gate-test-"):
                client.delete(name)


def names(client: Client) -> set[str]:
    return {one.model or "" for one in client.list().models}


def make_base(client: Client, server: OllamaServer, template: str = TEMPLATE) -> str:
    """SmolLM2 under a name of its own; its threads do not wait for each other by spinning."""
    parameters = {"stop": ["<|im_start|>", "<|im_end|>"], "num_thread": 1}
    client.create(BASE, from_=server.ensure_model(), template=template, parameters=parameters)
    return BASE


def asked(server: OllamaServer, base: str, work: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": NAME, "registry": Registry(server.url), "base_ollama": base, "quantize": "", "merged": None,
        "work": work, **changes,
    }  # fmt: skip


@pytest.mark.ollama
@pytest.mark.slow
def test_an_adapter_becomes_a_candidate_and_merged_weights_take_its_place(
    adapter: Adapter, ollama_server: OllamaServer, client: Client, tmp_path: Path
) -> None:
    base = make_base(client, ollama_server)
    entry, findings = create(adapter, **asked(ollama_server, base, tmp_path))
    assert entry.name == f"{NAME}:candidate"
    assert {one.state for one in findings} <= {"ok", "warning"}
    assert "ADAPTER" in (client.show(entry.name).modelfile or "")
    assert entry.quantization == "Q4_1"

    merged, findings = create(adapter, **asked(ollama_server, base, tmp_path, quantize="q8_0"))
    assert {one.state for one in findings} <= {"ok", "warning"}
    assert [one.name for one in findings if one.state == "ok"][:4] == [
        "template", "system and user", "user alone", "several turns",
    ]  # fmt: skip
    assert merged.quantization == "Q8_0"
    assert merged.digest != entry.digest
    shown = client.show(merged.name)
    assert "<|im_start|>" in (shown.template or "") and "<|im_end|>" in (shown.parameters or "")
    assert (shown.modelinfo or {})["tokenizer.ggml.pre"] == "smollm"
    assert {one for one in names(client) if one.startswith(NAME)} == {f"{NAME}:candidate"}


@pytest.mark.ollama
@pytest.mark.slow
def test_a_base_with_another_template_is_mended_with_that_of_the_table_or_no_candidate_is_made(
    adapter: Adapter, ollama_server: OllamaServer, client: Client, tmp_path: Path
) -> None:
    other = find_official("<|start_header_id|>")
    assert other is not None
    base = make_base(client, ollama_server, other.template)
    entry, findings = create(adapter, **asked(ollama_server, base, tmp_path))
    assert "<|im_start|>" in (client.show(entry.name).template or "")
    assert not [one for one in findings if one.state == "fault"]

    # A template of which the table has none: what renders otherwise is told, and what stood there stands.
    folder = tmp_path / "odd"
    folder.mkdir()
    for file in adapter.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    )
    odd = Adapter(folder, adapter.manifest, adapter.settings)
    with pytest.raises(
        TrainingError, match="candidate was not made: the model would not answer as it was"
    ) as raised:
        create(odd, **asked(ollama_server, base, tmp_path))
    assert "Ollama renders" in str(raised.value) and "create it with the template of the base" in str(
        raised.value
    )
    assert {one for one in names(client) if one.startswith(NAME)} == {f"{NAME}:candidate"}
    assert Registry(ollama_server.url).get(f"{NAME}:candidate").digest == entry.digest


@pytest.mark.ollama
@pytest.mark.slow
def test_the_ledger_names_a_base_that_there_is_where_ollama_has_not_that_of_the_manifest(
    ollama_server: OllamaServer, client: Client, tmp_path: Path
) -> None:
    lost = adapter_of(smollm2(), tmp_path / "adapter", scale=0.01, ollama="golden-gate-test-gone:1b")
    command = [
        sys.executable,
        "-m",
        "training",
        "create",
        "adapter",
        "--name",
        NAME,
        "--ledger",
        "ledger.jsonl",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GOLDENGATE_REP")}
    done = subprocess.run(
        [*command, "--ollama-host", ollama_server.url],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (entry,) = Ledger(tmp_path / "ledger.jsonl").read()[0]
    assert (entry.outcome, entry.base) == ("done", lost.manifest.base.name)
    assert f"{NAME}:candidate" in names(client)
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix != ".lock") == [
        "adapter",
        "ledger.jsonl",
    ]
