"""The table of templates: which one is chosen, and what a real Ollama makes of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ollama import Client

from evals.backends.base import Message
from tests.real_ollama import OllamaServer
from tests.training.smollm2_adapter import smollm2
from training.doctor_asking import Asker
from training.doctor_rendering import Source
from training.official import Official, find_official

# Pieces of templates on Hugging Face, enough to tell them apart; and what they render of a system message "S", then user
# "U", assistant "A" and user "V".
QWEN3 = "{{- '<|im_start|>' }}{%- if enable_thinking is defined and enable_thinking is false %}"
SMOLLM = "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are Smol<|im_end|>\n' }}"
QWEN25 = "{{- '<|im_start|>system\\nYou are Qwen, a helpful assistant.<|im_end|>\\n' }}"
CHATML_TEXT = (
    "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
    "<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n"
)


def llama(role: str, text: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"


CASES = {
    "chatml": ("<|im_start|>", CHATML_TEXT),
    "smollm2": (SMOLLM, CHATML_TEXT),
    "qwen2.5": (QWEN25, CHATML_TEXT),
    "qwen3": (QWEN3, CHATML_TEXT + "<think>\n\n</think>\n\n"),
    "llama3": (
        "<|start_header_id|>",
        llama("system", "S") + llama("user", "U") + llama("assistant", "A") + llama("user", "V")
        + "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "llama3.1": (
        "<|start_header_id|>Cutting Knowledge Date",
        llama("system", "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nS")
        + llama("user", "U") + llama("assistant", "A") + llama("user", "V")
        + "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "gemma": (
        "<start_of_turn>",
        "<start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\nV<end_of_turn>\n"
        "<start_of_turn>model\n",
    ),
    "mistral": ("[INST]", "[INST] U[/INST] A</s>[INST] S\n\nV[/INST]"),
    "phi4": (
        "<|im_start|><|im_sep|>",
        "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>U<|im_end|><|im_start|>assistant<|im_sep|>A<|im_end|>"
        "<|im_start|>user<|im_sep|>V<|im_end|><|im_start|>assistant<|im_sep|>",
    ),
    "phi4-mini": ("'|>' + content + '<|end|>'", "<|system|>S<|end|><|user|>U<|end|><|assistant|>A<|end|><|user|>V<|end|><|assistant|>"),
    "phi3": (
        "'<|user|>\\n' + content + '<|end|>\\n'",
        "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n<|user|>\nV<|end|>\n<|assistant|>\n",
    ),
}  # fmt: skip
TURNS = (Message("system", "S"), Message("user", "U"), Message("assistant", "A"), Message("user", "V"))


def chosen(jinja: str) -> Official:
    found = find_official(jinja)
    assert found is not None
    return found


def test_each_template_is_told_from_the_others() -> None:
    names = {case: chosen(jinja).name for case, (jinja, _) in CASES.items()}
    assert names == {
        "chatml": "ChatML", "smollm2": "ChatML", "qwen2.5": "ChatML", "qwen3": "Qwen3", "llama3": "Llama 3",
        "llama3.1": "Llama 3.1", "gemma": "Gemma", "mistral": "Mistral", "phi4": "Phi-4", "phi4-mini": "Phi-4-mini",
        "phi3": "Phi-3",
    }  # fmt: skip
    assert all(chosen(jinja).stop for jinja, _ in CASES.values())


@pytest.mark.parametrize(
    "jinja",
    [
        "",
        "{{ messages }}",
        "[INST] <<SYS>>",
        "<|im_start|>enable_thinking /no_think",
        "<|end|>enable_thinking",
    ],
)
def test_nothing_is_guessed_for_a_template_that_is_not_in_the_table(jinja: str) -> None:
    assert find_official(jinja) is None


def test_a_default_system_message_is_taken_over() -> None:
    assert "You are Smol<|im_end|>" in chosen(SMOLLM).template
    assert "You are Qwen, a helpful assistant.<|im_end|>" in chosen(QWEN25).template
    assert "You are" not in chosen("<|im_start|>").template


@pytest.fixture(scope="module")
def source() -> Source:
    return Source(smollm2().folder)


@pytest.fixture(scope="module")
def client(ollama_server: OllamaServer) -> Iterator[Client]:
    with Client(host=ollama_server.url, timeout=300, trust_env=False) as client:
        yield client


@pytest.mark.ollama
@pytest.mark.parametrize("case", CASES)
def test_ollama_renders_what_hugging_face_does(
    case: str, ollama_server: OllamaServer, client: Client, source: Source
) -> None:
    jinja, text = CASES[case]
    name = f"golden-gate-test-official:{case}"
    client.create(
        name,
        from_=ollama_server.ensure_model(),
        template=chosen(jinja).template,
        parameters={"num_thread": 1},
    )
    try:
        thinks = "thinking" in (client.show(name).capabilities or [])
        assert thinks == (case == "qwen3")
        asker = Asker(ollama_server.url, name)
        think = False if thinks else None
        # All of two messages is shown; of four only the number of tokens.
        shown = asker.render("S", "V", think)
        rendered = source.decode(shown.tokens).removesuffix(shown.answer)
        assert rendered == without_middle(case, text)
        assert asker.chat(TURNS, 1, think).prompt_tokens == asker.raw(text).prompt_tokens
    finally:
        client.delete(name)


def without_middle(case: str, text: str) -> str:
    """A rendering of the four messages without the two in the middle."""
    cuts = {
        "gemma": ("U<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\n", ""),
        "mistral": ("[INST] U[/INST] A</s>", ""),
        "phi4": ("<|im_start|>user<|im_sep|>U<|im_end|><|im_start|>assistant<|im_sep|>A<|im_end|>", ""),
        "phi4-mini": ("<|user|>U<|end|><|assistant|>A<|end|>", ""),
        "phi3": ("<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n", ""),
        "llama3": (llama("user", "U") + llama("assistant", "A"), ""),
        "llama3.1": (llama("user", "U") + llama("assistant", "A"), ""),
    }
    chatml = ("<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n", "")
    middle, by = cuts.get(case, chatml)
    assert middle in text
    return text.replace(middle, by)


@pytest.mark.ollama
def test_qwen3s_template_thinks_when_told_to_and_not_otherwise(
    ollama_server: OllamaServer, client: Client, source: Source
) -> None:
    name = "golden-gate-test-official:thinking"
    client.create(
        name,
        from_=ollama_server.ensure_model(),
        template=chosen(QWEN3).template,
        parameters={"num_thread": 1},
    )
    try:
        asker = Asker(ollama_server.url, name)
        ends = {}
        for think in (True, False):
            shown = asker.render("", "V", think)
            ends[think] = "<think>\n\n</think>" in source.decode(shown.tokens)
        assert ends == {True: False, False: True}
    finally:
        client.delete(name)


def test_the_folder_of_a_source_needs_a_chat_template(tmp_path: Path) -> None:
    from evals.errors import TrainingError
    from tests.small_hf_model import save_tokenizer

    save_tokenizer(tmp_path, template=None)
    with pytest.raises(TrainingError, match="has no chat template"):
        Source(tmp_path)
