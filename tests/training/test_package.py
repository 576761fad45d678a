"""What Ollama is given for an adapter: which kind, from which base, and never without a template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ollama
import pytest

from evals.errors import RegistryError, TrainingError
from tests.real_ollama import MODEL, TEMPLATE, OllamaServer
from tests.small_hf_model import save_model
from tests.training.smollm2_adapter import adapter_of, smollm2
from training.bases import Base, open_base
from training.manifest import Adapter
from training.package import differences, find_manners, make_package, read_parameters, read_system
from training.registry import Registry


def shown(**fields: Any) -> ollama.ShowResponse:
    """What Ollama's client gives for a model."""
    return ollama.ShowResponse.model_validate({"model_info": {}, **fields})


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return open_base(str(save_model(tmp_path_factory.mktemp("package") / "base")))


@pytest.fixture(scope="module")
def adapter(small: Base, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return adapter_of(small, tmp_path_factory.mktemp("package") / "adapter")


@pytest.fixture(scope="module")
def smollm2_adapter(tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return adapter_of(smollm2(), tmp_path_factory.mktemp("package") / "smollm2", ollama=MODEL)


def test_parameters_are_read_as_ollama_lists_them() -> None:
    listing = (
        'stop                           "<|im_start|>"\nstop                           "<|im_end|>"\n'
        "temperature                    0.6\nnum_ctx                        4096\nuse_mmap  true\nodd\n"
        'stop "a \\"b\\""\nstop bare\n'
    )
    assert read_parameters(listing) == {
        "stop": ["<|im_start|>", "<|im_end|>", 'a "b"', "bare"],
        "temperature": 0.6,
        "num_ctx": 4096,
        "use_mmap": True,
    }
    assert read_parameters("") == {}


@pytest.mark.parametrize(
    ("line", "system"),
    [
        ("SYSTEM You are a clerk.", "You are a clerk."),
        ('SYSTEM """You are a clerk.\nSay "no"."""', 'You are a clerk.\nSay "no".'),
        ('SYSTEM "two\nlines"', "two\nlines"),
        ("PARAMETER stop SYSTEM", ""),
    ],
)
def test_the_system_message_is_read_from_the_modelfile(line: str, system: str) -> None:
    template = "SYSTEM is what a line of this template begins with"
    text = f'FROM x\nTEMPLATE """{template}"""\n{line}\nPARAMETER stop x\n'
    assert read_system(shown(modelfile=text, template=template)) == system


def test_manners_are_those_of_the_base_in_ollama(adapter: Adapter, small: Base) -> None:
    there = shown(
        template="{{ .Messages }}", parameters='stop "x"\ntemperature 0.5', modelfile="SYSTEM Be brief."
    )
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
    found = find_manners(shown(template=template), adapter, small)
    assert "<|im_start|>{{ .Role }}" in found.template
    assert found.parameters["stop"] == ["<|im_start|>", "<|im_end|>"]


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


def test_the_very_file_of_the_base_needs_no_comparison(small: Base) -> None:
    base = Base("gguf:x", small.folder, small.digest, "a" * 64)
    there = shown(modelfile=f"FROM /blobs/sha256-{'a' * 64}", model_info=small_facts(llama__block_count=32))
    assert list(differences(there, base)) == []


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
    asked: dict[str, Any] = {"registry": registry, "base_ollama": MODEL, "quantize": "q8_0", "work": tmp_path}
    made = make_package(smollm2_adapter, merged=None, **asked)
    assert (made.kind, made.base, made.adapters, made.quantize) == ("merged", "", {}, "q8_0")
    assert [name.endswith(".gguf") for name in made.files] == [True]
    first = {file: file.stat().st_mtime_ns for file in made.files.values()}
    again = make_package(smollm2_adapter, merged=True, **asked)
    assert {file: file.stat().st_mtime_ns for file in again.files.values()} == first
    with pytest.raises(TrainingError, match="q8_0 was asked for, and the base in Ollama is Q4_1"):
        make_package(smollm2_adapter, merged=False, **asked)


@pytest.mark.ollama
def test_the_base_of_another_adapter_in_ollama_is_refused_and_one_that_is_not_there(
    adapter: Adapter, ollama_server: OllamaServer, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {
        "registry": Registry(ollama_server.url), "quantize": "", "merged": None, "work": tmp_path,
    }  # fmt: skip
    with pytest.raises(
        TrainingError, match=r"is not .*, which the adapter was trained on: it has 30 layers, not 2"
    ):
        make_package(adapter, base_ollama=MODEL, **asked)
    with pytest.raises(TrainingError, match="there is no nowhere:1b in Ollama"):
        make_package(adapter, base_ollama="nowhere:1b", **asked)
    made = make_package(adapter, base_ollama="", **asked)
    assert made.kind == "merged"
    assert "model.safetensors" in made.files and "config.json" in made.files
    assert json.loads(made.files["config.json"].read_text())["rope_theta"] == 10000.0
    with pytest.raises(TrainingError, match="its base is not in Ollama, or was not named"):
        make_package(adapter, base_ollama="", **{**asked, "merged": False})


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
