"""Memory: Ollama gives up its own, what cannot fit is told before it is tried, what ran out is told in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.errors import TrainingError
from tests.small_hf_model import save_model
from tests.training.small_training import NO_OLLAMA
from training.config import LoraConfig
from training.memory import (
    free_bytes,
    free_ollama,
    is_out_of_memory,
    least_bytes,
    out_of_memory,
    refuse_too_large,
    refuse_unknown_targets,
    weight_shapes,
)
from training.registry import Registry

SHAPES = {
    "model.embed_tokens.weight": [1000, 64],
    "model.layers.0.self_attn.q_proj.weight": [64, 64],
    "model.layers.0.self_attn.v_proj.weight": [32, 64],
    "model.layers.0.norm.weight": [64],
    "lm_head.weight": [1000, 64],
}
WEIGHTS = 64_000 + 4096 + 2048 + 64 + 64_000
BESIDE = 200_000_000


def test_a_server_that_is_not_there_holds_no_memory() -> None:
    assert free_ollama(Registry(NO_OLLAMA)) == ()


def test_the_shapes_are_those_of_the_weights(tmp_path: Path) -> None:
    shapes = weight_shapes([save_model(tmp_path) / "model.safetensors"])

    assert shapes["model.layers.1.mlp.up_proj.weight"] == [128, 64] and len(shapes) == 21


def test_weights_cut_short_are_told(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")

    with pytest.raises(TrainingError, match="is no whole safetensors file"):
        weight_shapes([tmp_path / "model.safetensors"])


@pytest.mark.parametrize(
    ("targets", "trained"),
    [
        ("all-linear", 8 * (128 + 96)),
        (["q_proj"], 8 * 128),
        (["self_attn.v_proj", "q_proj"], 8 * (128 + 96)),
    ],
)
def test_the_least_is_weights_adapter_gradients_and_optimiser(targets: str | list[str], trained: int) -> None:
    lora = LoraConfig.model_validate({"rank": 8, "targets": targets})

    assert least_bytes(SHAPES, 2.0, lora) == WEIGHTS * 2 + trained * 16 + BESIDE


def test_a_target_that_the_base_lacks_is_told_with_those_that_it_has() -> None:
    refuse_unknown_targets(SHAPES, LoraConfig())
    refuse_unknown_targets(SHAPES, LoraConfig(targets=["q_proj", "self_attn.v_proj"]))

    with pytest.raises(TrainingError, match="have no module query; they have q_proj, v_proj"):
        refuse_unknown_targets(SHAPES, LoraConfig(targets=["q_proj", "query"]))


@pytest.mark.parametrize("target", ["embed_tokens", "model.embed_tokens", "lm_head"])
def test_embeddings_and_the_output_layer_are_no_targets(target: str) -> None:
    lora = LoraConfig(targets=["q_proj", target])

    with pytest.raises(TrainingError, match=rf"have no module {target}; they have q_proj, v_proj"):
        refuse_unknown_targets(SHAPES, lora)


def test_what_does_not_fit_is_told_with_what_to_do() -> None:
    free, where = free_bytes()
    refuse_too_large(free // 2, free, where)

    with pytest.raises(
        TrainingError, match=r"takes at least 8.1 GB and this card has 4.0 GB free.*lower max_length"
    ):
        refuse_too_large(8_100_000_000, 4_000_000_000, "this card")


def test_running_out_of_memory_is_known_by_what_pytorch_says() -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**52)

    assert is_out_of_memory(caught.value) and is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes differ")) and not is_out_of_memory(
        ValueError("out of memory")
    )
    assert "memory ran out (" in str(out_of_memory(caught.value))
    assert "train.method qlora" in str(out_of_memory(caught.value))
