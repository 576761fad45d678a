"""What Ollama is given for an adapter: which kind, from which base, and never without a template."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.errors import RegistryError, TrainingError
from tests.fault_server import whole
from tests.real_ollama import MODEL, TEMPLATE, OllamaServer
from tests.small_hf_model import change_json, save_model
from tests.training.registry_server import RegistryServer
from tests.training.smollm2_adapter import adapter_of, smollm2
from training.bases import Base, open_base
from training.manifest import Adapter
from training.package import base_in_ollama, differences, find_manners, make_package
from training.registry import Registry
from training.shown import Shown


def shown(**fields: Any) -> Shown:
    """What Ollama shows of a model."""
    return Shown.model_validate({"model_info": {}, **fields})


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return open_base(str(save_model(tmp_path_factory.mktemp("package") / "base")))


@pytest.fixture(scope="module")
def adapter(small: Base, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return adapter_of(small, tmp_path_factory.mktemp("package") / "adapter")


@pytest.fixture(scope="module")
def smollm2_adapter(tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return adapter_of(smollm2(), tmp_path_factory.mktemp("package") / "smollm2", ollama=MODEL)


def test_manners_are_those_of_the_base_in_ollama(adapter: Adapter, small: Base) -> None:
    there = shown(template="{{ .Messages }}", parameters='stop "x"\ntemperature 0.5', system="Be brief.")
    found = find_manners(there, adapter, small)
    assert found.template == "{{ .Messages }}"
    assert found.system == "Be brief."
    assert found.parameters == {"stop": ["x"], "temperature": 0.5, "repeat_penalty": 1.0}


def test_a_penalty_of_the_base_stays(adapter: Adapter, small: Base) -> None:
    found = find_manners(shown(template="{{ .Messages }}", parameters="repeat_penalty 1.05"), adapter, small)
    assert found.parameters == {"repeat_penalty": 1.05, "stop": ["<|im_start|>", "<|im_end|>"]}


@pytest.mark.parametrize("template", ["", "{{ .Prompt }}", None])
def test_a_base_without_a_template_gets_that_of_the_table(
    template: str | None, adapter: Adapter, small: Base
) -> None:
    found = find_manners(shown(template=template, system="Be brief."), adapter, small)
    assert "<|im_start|>{{ .Role }}" in found.template
    assert found.parameters["stop"] == ["<|im_start|>", "<|im_end|>"]
    # Whatever is sent, Ollama keeps that of the base under an adapter.
    assert found.system == "Be brief."
    assert find_manners(None, adapter, small).system == ""


def test_nothing_is_made_without_a_template(adapter: Adapter, small: Base, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    odd = Adapter(folder, adapter.manifest, adapter.settings)
    with pytest.raises(TrainingError, match="without one a model answers garbage: name the same model"):
        find_manners(None, odd, small)


def small_facts(**changes: Any) -> dict[str, Any]:
    """What Ollama would show of the small model."""
    facts = {
        "general.architecture": "llama", "llama.block_count": 2, "llama.embedding_length": 64,
        "llama.feed_forward_length": 128, "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2,
        "llama.vocab_size": 259,
    }  # fmt: skip
    return facts | {name.replace("__", "."): value for name, value in changes.items()}


def test_the_same_figures_are_no_difference(small: Base) -> None:
    assert list(differences(shown(model_info=small_facts()), small)) == []
    assert list(differences(shown(model_info={}), small)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"llama__block_count": 32}, ["it has 32 layers, not 2"]),
        ({"llama__embedding_length": 576}, ["it has 576 numbers in a hidden state, not 64"]),
        ({"general__architecture": "qwen2"}, ["it is a qwen2, not a llama"]),
        ({"general__parameter_count": 7}, ["it has 7 parameters, not 107,200"]),
    ],
)
def test_another_model_in_ollama_is_told_by_its_figures(
    changes: dict[str, Any], said: list[str], small: Base
) -> None:
    found = list(differences(shown(model_info=small_facts(**changes)), small))
    assert [one.split(" (")[0] for one in found] == said


# The small model: 107,200 weights, 259 tokens of 64 numbers, heads of 16 numbers.
TWICE = 259 * 64


@pytest.mark.parametrize("twice", [0, TWICE, -TWICE], ids=["", "output twice", "output once"])
@pytest.mark.parametrize("tables", [0, 8, 16], ids=["no table", "rope_freqs", "rope_factors"])
def test_tables_of_frequencies_and_a_second_output_layer_make_no_other_model(
    twice: int, tables: int, small: Base
) -> None:
    count = 107_200 + twice + tables
    assert list(differences(shown(model_info=small_facts(general__parameter_count=count)), small)) == []


@pytest.mark.parametrize("more", [-1, 17, TWICE - 1, TWICE + 17, -TWICE + 17, -TWICE - 1])
def test_any_other_count_is_another_model(more: int, small: Base) -> None:
    there = shown(model_info=small_facts(general__parameter_count=107_200 + more))
    assert list(differences(there, small)) == [f"it has {107_200 + more:,} parameters, not 107,200"]


def test_a_head_has_the_size_that_the_config_tells(small: Base, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(small.folder, folder)
    base = Base(small.name, folder, small.digest, "")
    for size, told in ((32, 0), (8, 1)):
        change_json(folder / "config.json", head_dim=size)
        there = shown(model_info=small_facts(general__parameter_count=107_200 + 32))
        assert len(list(differences(there, base))) == told


def test_the_very_file_of_the_base_needs_no_comparison(small: Base) -> None:
    base = Base("gguf:x", small.folder, small.digest, "a" * 64)
    there = shown(modelfile=f"FROM /blobs/sha256-{'a' * 64}", model_info=small_facts(llama__block_count=32))
    assert list(differences(there, base)) == []


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


def asked(server: RegistryServer, work: Path, base_ollama: str = "") -> dict[str, Any]:
    return {
        "registry": Registry(server.url), "base_ollama": base_ollama, "quantize": "", "merged": None, "work": work,
    }  # fmt: skip


def test_weights_are_merged_where_the_server_has_not_the_base_that_the_manifest_names(
    small: Base, server: RegistryServer, tmp_path: Path
) -> None:
    adapter = adapter_of(small, tmp_path / "adapter", ollama="small:1b")
    made = make_package(adapter, **asked(server, tmp_path))
    assert (made.kind, made.base, made.system) == ("merged", "", "")
    assert "model.safetensors" in made.files
    assert base_in_ollama("", adapter, Registry(server.url)) == ""
    with pytest.raises(TrainingError, match=r"no small:1b in Ollama at .*, or leave --base-ollama out: then"):
        make_package(adapter, **asked(server, tmp_path, "small:1b"))


def test_a_base_of_the_manifest_that_is_another_by_now_is_refused_without_advice_that_does_not_help(
    small: Base, server: RegistryServer, tmp_path: Path
) -> None:
    server.add("small:1b")
    server.instead["/api/show"] = whole({"model_info": small_facts(llama__block_count=32), "template": "x"})
    adapter = adapter_of(small, tmp_path / "adapter", ollama="small:1b")
    with pytest.raises(TrainingError, match=r"32 layers, not 2\. Name the right one with --base-ollama$"):
        make_package(adapter, **asked(server, tmp_path))


@pytest.mark.ollama
def test_an_adapter_is_sent_on_the_base_that_ollama_has(
    smollm2_adapter: Adapter, ollama_server: OllamaServer, tmp_path: Path
) -> None:
    made = make_package(
        smollm2_adapter,
        registry=Registry(ollama_server.url),
        base_ollama="",
        quantize="",
        merged=None,
        work=tmp_path,
    )
    assert (made.kind, made.base, made.files, made.quantize) == ("adapter", MODEL, {}, "")
    (file,) = made.adapters.values()
    assert file.read_bytes()[:4] == b"GGUF"
    assert made.template == TEMPLATE.rstrip("\n") or made.template == TEMPLATE
    assert made.parameters["stop"] == ["<|im_start|>", "<|im_end|>"]


@pytest.mark.ollama
def test_a_quantisation_that_the_base_has_not_is_merged_for_and_an_adapter_refused_for(
    smollm2_adapter: Adapter, ollama_server: OllamaServer, tmp_path: Path
) -> None:
    registry = Registry(ollama_server.url)
    given: dict[str, Any] = {"registry": registry, "base_ollama": MODEL, "quantize": "q8_0", "work": tmp_path}
    made = make_package(smollm2_adapter, merged=None, **given)
    assert (made.kind, made.base, made.adapters, made.quantize) == ("merged", "", {}, "q8_0")
    assert [name.endswith(".gguf") for name in made.files] == [True]
    first = {file: file.stat().st_mtime_ns for file in made.files.values()}
    again = make_package(smollm2_adapter, merged=True, **given)
    assert {file: file.stat().st_mtime_ns for file in again.files.values()} == first
    with pytest.raises(TrainingError, match="q8_0 was asked for, and the base in Ollama is Q4_1"):
        make_package(smollm2_adapter, merged=False, **given)


@pytest.mark.ollama
def test_the_base_of_another_adapter_in_ollama_is_refused_and_one_that_is_not_there(
    adapter: Adapter, ollama_server: OllamaServer, tmp_path: Path
) -> None:
    given: dict[str, Any] = {
        "registry": Registry(ollama_server.url), "quantize": "", "merged": None, "work": tmp_path,
    }  # fmt: skip
    with pytest.raises(
        TrainingError, match=r"is not .*, which the adapter was trained on: it has 30 layers, not 2"
    ):
        make_package(adapter, base_ollama=MODEL, **given)
    with pytest.raises(TrainingError, match="there is no nowhere:1b in Ollama"):
        make_package(adapter, base_ollama="nowhere:1b", **given)
    made = make_package(adapter, base_ollama="", **given)
    assert made.kind == "merged"
    assert "model.safetensors" in made.files and "config.json" in made.files
    assert json.loads(made.files["config.json"].read_text())["rope_theta"] == 10000.0
    with pytest.raises(TrainingError, match="its base is not in Ollama, or was not named"):
        make_package(adapter, base_ollama="", **{**given, "merged": False})


def test_an_ollama_that_is_gone_is_told(adapter: Adapter, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="is it running"):
        make_package(
            adapter,
            registry=Registry("http://127.0.0.1:9"),
            base_ollama="base:1b",
            quantize="",
            merged=None,
            work=tmp_path,
        )
