"""LoRA adapters as GGUF: each matrix on a small model, and what llama.cpp makes of one on the real SmolLM2."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from evals.backends.base import AskSettings, Model, parse_spec
from evals.errors import TrainingError
from evals.replies import Replies
from tests.conftest import chat_request
from tests.small_hf_model import change_json, save_model
from tests.training.smollm2_adapter import adapter_of, smollm2
from training.adapter_gguf import scale_of, write_adapter_gguf
from training.bases import Base, open_base
from training.manifest import Adapter
from training.merged_gguf import write_merged_gguf

HEADS, KEY_HEADS, WIDTH = 4, 2, 16  # of the small model
QUESTIONS = ("What is the capital of France?", "Write one sentence about the sea.", "Name three colours.")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return open_base(str(save_model(tmp_path_factory.mktemp("gguf") / "base")))


@pytest.fixture(scope="module")
def adapter(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return adapter_of(base, tmp_path_factory.mktemp("gguf") / "adapter")


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """A GGUF file's fields and matrices."""
    import gguf

    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    return fields, {one.name: np.array(one.data) for one in reader.tensors}


def changed(adapter: Adapter, **settings: Any) -> Adapter:
    return Adapter(adapter.folder, adapter.manifest, {**adapter.settings, **settings})


def test_fields_and_names_are_those_that_llama_cpp_reads(
    adapter: Adapter, base: Base, tmp_path: Path
) -> None:
    fields, matrices = read(write_adapter_gguf(adapter, base, tmp_path / "new" / "a.gguf"))
    assert fields["general.type"] == "adapter"
    assert fields["general.architecture"] == "llama"
    assert fields["adapter.type"] == "lora"
    assert fields["adapter.lora.alpha"] == adapter.settings["lora_alpha"]
    assert set(matrices) == {
        f"blk.{layer}.attn_{part}.weight.lora_{half}" for layer in (0, 1) for part in "qv" for half in "ab"
    }
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.gguf"]


def test_matrices_are_the_same_but_for_the_order_of_a_querys_rows(
    adapter: Adapter, base: Base, tmp_path: Path
) -> None:
    _, matrices = read(write_adapter_gguf(adapter, base, tmp_path / "a.gguf"))
    own = load_file(adapter.folder / "adapter_model.safetensors")
    stem = "base_model.model.model.layers.1.self_attn"
    for part in "qv":
        a = own[f"{stem}.{part}_proj.lora_A.weight"]
        b = own[f"{stem}.{part}_proj.lora_B.weight"]
        assert np.array_equal(matrices[f"blk.1.attn_{part}.weight.lora_a"], a)
        found = matrices[f"blk.1.attn_{part}.weight.lora_b"]
        if part == "v":
            assert np.array_equal(found, b)
            continue
        # GGUF rotates row 2i of a head against row 2i + 1, Hugging Face row i against row i + half.
        for head in range(HEADS):
            for row in range(WIDTH // 2):
                top = head * WIDTH
                assert np.array_equal(found[top + 2 * row], b[top + row])
                assert np.array_equal(found[top + 2 * row + 1], b[top + row + WIDTH // 2])


@pytest.mark.parametrize(
    ("settings", "factor"),
    [
        ({"use_rslora": True}, math.sqrt(4)),
        ({"alpha_pattern": {"q_proj": 16}}, 2.0),
        ({"alpha_pattern": {r"layers\.1\.self_attn\.q_proj": 24}}, 3.0),
    ],
    ids=["rank-stabilised", "alpha of a module", "alpha of one layer's"],
)
def test_whatever_scales_the_product_goes_into_the_matrix(
    adapter: Adapter, base: Base, tmp_path: Path, settings: dict[str, Any], factor: float
) -> None:
    assert adapter.settings["lora_alpha"] == 8 and adapter.settings["r"] == 4
    _, plain = read(write_adapter_gguf(adapter, base, tmp_path / "plain.gguf"))
    _, scaled = read(write_adapter_gguf(changed(adapter, **settings), base, tmp_path / "scaled.gguf"))
    name = "blk.1.attn_q.weight.lora_b"
    assert np.allclose(scaled[name], plain[name] * np.float32(factor))


def test_the_scale_is_that_of_peft(adapter: Adapter, base: Base, tmp_path: Path) -> None:
    import peft
    from transformers import AutoModelForCausalLM

    settings: dict[str, Any] = {
        "r": 4,
        "lora_alpha": 8,
        "use_rslora": True,
        "alpha_pattern": {"layers.0.self_attn.v_proj": 20, "q_proj": 3},
    }
    model = AutoModelForCausalLM.from_pretrained(base.folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj", "v_proj"], **settings))
    for name, module in adapted.named_modules():
        if hasattr(module, "lora_A"):
            own = name.removeprefix("base_model.model.")
            assert scale_of(settings, own, 4) == pytest.approx(module.scaling["default"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "trained biases"),
        ({"modules_to_save": ["lm_head"]}, "whole modules"),
    ],
)
def test_more_than_two_matrices_has_no_form_in_gguf(
    adapter: Adapter, base: Base, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(TrainingError, match=f"{said}.*merge it instead"):
        write_adapter_gguf(changed(adapter, **settings), base, tmp_path / "a.gguf")
    assert list(tmp_path.iterdir()) == []


def test_another_architecture_is_told_with_those_that_work(
    adapter: Adapter, base: Base, tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    config = json.loads((base.folder / "config.json").read_text())
    change_json(folder / "config.json", **{**config, "architectures": ["Phi3ForCausalLM"]})
    with pytest.raises(TrainingError, match=r"is a Phi3ForCausalLM, .*Qwen3ForCausalLM.* can"):
        write_adapter_gguf(adapter, Base(base.name, folder, base.digest, ""), tmp_path / "a.gguf")


def test_a_matrix_of_the_output_layer_is_refused_by_name(
    adapter: Adapter, base: Base, tmp_path: Path
) -> None:
    weights = {f"base_model.model.lm_head.lora_{half}.weight": np.ones((4, 4), np.float32) for half in "AB"}
    folder = tmp_path / "adapter"
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(TrainingError, match=r"lm_head\.lora_A\.weight belongs to no matrix"):
        write_adapter_gguf(Adapter(folder, adapter.manifest, adapter.settings), base, tmp_path / "a.gguf")
    assert [file.name for file in tmp_path.iterdir()] == ["adapter"]


def test_a_folder_that_cannot_be_made_is_told(adapter: Adapter, base: Base, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        write_adapter_gguf(adapter, base, tmp_path / "file" / "a.gguf")


def answers(replies: Replies, spec: str) -> list[str]:
    (model,) = replies.resolve([parse_spec(spec)])
    assert isinstance(model, Model), model
    requests = [chat_request(question, max_tokens=12) for question in QUESTIONS]
    replies.order(model, requests)
    given = [replies.wait(request.key(model.digest)) for request in requests]
    assert not any(one.fault for one in given), given
    return [one.text for one in given]


def agreeing(one: list[str], other: list[str]) -> float:
    """The share of words that are the same from the start on, until the first that is not."""
    same = total = 0
    for left, right in zip(one, other, strict=True):
        words, others = left.split(), right.split()
        total += max(len(words), len(others))
        for word, second in zip(words, others, strict=False):
            if word != second:
                break
            same += 1
    return same / total


@pytest.mark.slow
def test_llama_cpp_and_peft_give_the_same_answers_with_the_adapter_and_others_without(
    tmp_path: Path,
) -> None:
    from evals.backends.weights import embedded_default

    base = smollm2()
    adapter = adapter_of(base, tmp_path / "adapter", scale=0.08)
    file = write_adapter_gguf(adapter, base, tmp_path / "adapter.gguf")
    # The base in 16-bit floats: 4-bit weights are multiplied with 8-bit activations, which flips a token now and then.
    whole = write_merged_gguf(base.folder, embedded_default(), tmp_path / "base.gguf")
    replies = Replies(AskSettings(), tmp_path / "generate.log")
    try:
        peft = answers(replies, f"hf:{base.folder}+{adapter.folder}")
        llama_cpp = answers(replies, f"gguf:{whole}+{file}")
        quantised = answers(replies, f"gguf:smollm2-135m+{file}")
        without = answers(replies, "gguf:smollm2-135m")
    finally:
        replies.close()
    assert agreeing(llama_cpp, peft) > 0.6, (llama_cpp, peft)
    assert agreeing(quantised, without) < 0.6, (quantised, without)
