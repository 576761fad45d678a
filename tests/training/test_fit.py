"""Memory by config alone: exact counts, known sizes, and a simulated step that takes what a real one takes."""

from __future__ import annotations

import gc
import io
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from evals.errors import SettingsError, TrainingError
from tests.small_hf_model import save_model
from training.fit import (
    BITS,
    RANKS,
    Longest,
    Training,
    Trainings,
    Way,
    held_back,
    inference,
    memory_size,
    plan_of,
    weights_bytes,
)
from training.fit_measure import Measured, measure
from training.fit_report import FitReport, print_fit
from training.shape import Shape, on_meta, read_config, read_shape
from training.simulate import Living, Plan, adapted, beside_weights


def qwen(
    hidden: int, inner: int, layers: int, heads: int, groups: int, *, tied: bool, vocabulary: int = 151936
) -> Any:
    """Qwen3's config; Qwen2.5's has biases and no norms of heads."""
    return transformers.Qwen3Config(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=128,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        max_position_embeddings=40960,
    )


@cache
def config_of(name: str) -> Any:
    if name == "qwen3-4b":
        return qwen(2560, 9728, 36, 32, 8, tied=True)
    if name == "qwen3-8b":
        return qwen(4096, 12288, 36, 32, 8, tied=False)
    if name == "qwen3-1.7b":
        return qwen(2048, 6144, 28, 16, 8, tied=True)
    if name == "qwen3-0.6b":
        return qwen(1024, 3072, 28, 16, 8, tied=True)
    return transformers.Qwen2Config(
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        vocab_size=152064,
        tie_word_embeddings=False,
    )


@cache
def shape_of(name: str) -> Shape:
    return read_shape(config_of(name), name)


def small(layers: int = 6, **changes: Any) -> Any:
    return transformers.LlamaConfig(
        **(
            {
                "hidden_size": 64,
                "intermediate_size": 160,
                "num_hidden_layers": layers,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "vocab_size": 700,
                "max_position_embeddings": 8192,
            }
            | changes
        )
    )


def test_parameters_are_counted_exactly() -> None:
    assert shape_of("qwen3-4b").parameters == 4_022_468_096
    assert shape_of("qwen3-4b").trained(32) == 66_060_288
    assert shape_of("qwen3-8b").trained(16) == 43_646_976
    assert shape_of("qwen2.5-7b").trained(16) == 40_370_176
    assert shape_of("qwen3-4b").trained(16, ("q_proj", "k_proj", "v_proj", "o_proj")) == 11_796_480


def test_an_adapter_of_peft_has_as_many_parameters() -> None:
    config = small()
    model = adapted(on_meta(config), Plan(8, 16))

    assert read_shape(config, "x").trained(8) == sum(
        one.numel() for one in model.parameters() if one.requires_grad
    )


@pytest.mark.parametrize(
    ("model", "quantisation", "gigabytes"),
    [
        ("qwen3-8b", "q8_0", 8.70),
        ("qwen3-4b", "q8_0", 4.27),
        ("qwen3-4b", "q4_K_M", 2.44),
        ("qwen3-1.7b", "q4_K_M", 1.04),
        ("qwen3-0.6b", "q4_K_M", 0.36),
    ],
)
def test_weights_of_a_quantisation_take_what_its_files_take(
    model: str, quantisation: str, gigabytes: float
) -> None:
    assert inference(shape_of(model), quantisation, 4096).weights / 1e9 == pytest.approx(gigabytes, abs=0.006)


def test_frozen_weights_in_training_take_what_is_known_of_them() -> None:
    assert weights_bytes(shape_of("qwen3-4b"), "bf16") / 1e9 == pytest.approx(8.05, abs=0.01)
    assert weights_bytes(shape_of("qwen3-8b"), "hqq") / 1e9 == pytest.approx(6.40, abs=0.01)


def test_the_cache_grows_with_the_context_and_a_window_ends_that() -> None:
    whole = read_shape(small(), "whole")
    windowed = read_shape(
        transformers.Gemma3TextConfig(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=16,
            vocab_size=300,
            sliding_window=512,
        ),
        "windowed",
    )

    assert whole.cache_numbers(1000) == 1000 * 2 * 6 * 2 * 16
    # Five layers with a window, one without.
    assert windowed.cache_numbers(4096) == 2 * 16 * (5 * 512 + 4096)
    assert windowed.cache_numbers(100) == 2 * 16 * 6 * 100


@pytest.mark.parametrize("quantisation", ["q9", "", "Q4_K_M"])
def test_an_unknown_quantisation_is_refused_with_those_there_are(quantisation: str) -> None:
    with pytest.raises(SettingsError, match="q4_K_M"):
        inference(read_shape(small(), "x"), quantisation, 100)


@pytest.mark.parametrize(
    ("text", "size"), [("16GB", 16 * 10**9), ("15.5 GiB", 15.5 * 2**30), ("900mb", 9 * 10**8)]
)
def test_a_size_is_read_in_its_unit(text: str, size: float) -> None:
    assert memory_size(text) == size


@pytest.mark.parametrize("text", ["16", "GB", "0GB", "-3GB", "1e3GB", "sixteen", "9" * 400 + "GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="16GB"):
        memory_size(text)


@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("bf16", [True, False])
def test_a_simulated_step_takes_what_a_real_one_takes(checkpointing: bool, bf16: bool) -> None:
    plan = Plan(8, 96, batch=2, bf16=bf16, checkpointing=checkpointing)

    assert beside_weights(small(), plan) == pytest.approx(really_taken(small(), plan), rel=0.02)


def really_taken(config: Any, plan: Plan) -> int:
    """The most bytes of real tensors in the second step on the CPU, the base's weights apart."""
    dtype = torch.bfloat16 if plan.bf16 else torch.float32
    with Living() as living:
        auto: Any = transformers.AutoModelForCausalLM
        model = adapted(auto.from_config(config, dtype=dtype), plan)
        frozen = [one for one in model.parameters() if not one.requires_grad]
        optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], foreach=True)
        tokens = torch.randint(0, 700, (plan.batch, plan.length))
        for _ in range(2):
            gc.collect()
            living.peak = living.now
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=plan.bf16):
                outputs = model(input_ids=tokens, labels=tokens, use_cache=False, fused_lm_head=True)
                loss = -outputs.log_probs.sum() / plan.length
            del outputs
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            del loss
    return int(living.peak - sum(one.untyped_storage().nbytes() for one in frozen))


@settings(max_examples=8, deadline=None)
@given(layers=st.integers(5, 9), checkpointing=st.booleans())
def test_what_layers_take_follows_from_two_short_models(layers: int, checkpointing: bool) -> None:
    plan = Plan(8, 64, checkpointing=checkpointing)
    config = small(layers)
    short = beside_weights(config, plan)

    from training import simulate

    assert short == pytest.approx(simulate._simulated(config, plan), rel=0.001)


def test_checkpointing_and_four_bits_save_memory() -> None:
    trainings = Trainings(small(), read_shape(small(), "x"))
    plan = plan_of("bf16", 16, 512)

    kept = trainings.estimate("bf16", replace(plan, checkpointing=False))
    assert trainings.estimate("bf16", plan).step < 0.75 * kept.step
    assert trainings.estimate("qlora", plan).weights < trainings.estimate("bf16", plan).weights


@pytest.mark.parametrize("rank", RANKS)
def test_the_longest_example_fits_and_a_longer_one_does_not(rank: int) -> None:
    config = small(4)
    trainings = Trainings(config, read_shape(config, "x"))
    memory, plan = 700_000_000, plan_of("bf16", rank, 64)

    found = trainings.longest("bf16", plan, memory)

    def total(length: int) -> int:
        return trainings.estimate("bf16", replace(plan, length=length)).total

    room = memory - held_back(memory)
    assert 64 <= found.length < 8192
    # Beyond the multiple of 64 lies at most one more that would have fitted: two points of a line tell.
    assert total(found.length) <= room < total(found.length + 128)


def test_where_nothing_fits_the_longest_example_is_none_and_the_context_is_an_end() -> None:
    config = small(4, max_position_embeddings=256)
    trainings = Trainings(config, read_shape(config, "x"))
    plan = plan_of("bf16", 8, 64)

    assert trainings.longest("bf16", plan, 600_000_000).length == 0
    assert trainings.longest("bf16", plan, 16 * 10**9).length == 256


def test_a_config_is_read_from_a_folder_or_its_file(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "tiny")
    for file in folder.glob("*.safetensors"):
        file.unlink()

    for base in (folder, folder / "config.json"):
        assert read_shape(read_config(str(base)), "tiny").layers == 2


@pytest.mark.parametrize("name", ["./nowhere", "nowhere"])
def test_a_base_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(TrainingError, match="there is no"):
        read_config(name)


@pytest.mark.parametrize("name", ["~nosuchuser/x", "a" * 300, "/" + "a" * 300])
def test_a_name_that_no_base_can_have_is_told(name: str) -> None:
    with pytest.raises(TrainingError, match="cannot be the name of a base: "):
        read_config(name)


@pytest.mark.parametrize(
    ("figures", "option"),
    [((8, 100_000_000_000, 1), "--max-length"), ((8, 64, 10**12), "--batch"), ((10**12, 64, 1), "--rank")],
)
def test_figures_that_no_model_is_trained_with_are_refused(
    figures: tuple[int, int, int], option: str
) -> None:
    rank, length, batch = figures

    with pytest.raises(SettingsError, match=f"{option} 10{{11,12}} is too large"):
        plan_of("bf16", rank, length, batch=batch)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"model_type": "nothing-known"}', '{"auto_map": {"A": "b.py"}}']
)
def test_a_config_that_says_nothing_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(TrainingError, match=r"config of .* cannot be used"):
        read_config(str(tmp_path))


def test_a_model_that_is_none_of_language_is_told() -> None:
    with pytest.raises(TrainingError, match="no language model"):
        read_shape(transformers.ViTConfig(), "pictures")


@pytest.mark.parametrize("width", [40, 80])
def test_the_report_says_what_fits_in_the_width_there_is(width: int) -> None:
    config = small(4)
    shape = read_shape(config, "tiny\x1b[31m")
    trainings = Trainings(config, shape)
    plan = plan_of("bf16", 8, 128)
    estimate = trainings.estimate("bf16", plan)
    report = FitReport(
        shape,
        700_000_000,
        [inference(shape, name, 4096) for name in BITS],
        [estimate, trainings.estimate("qlora", replace(plan, checkpointing=False))],
        [Longest("bf16", 8, 1216), Longest("bf16", 16, 0)],
        Measured("NVIDIA H200", estimate.total * 2, 1234.5, 0.31),
    )
    out = io.StringIO()

    print_fit(Console(file=out, width=width), report)

    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width or width == 40
    assert "\x1b" not in text and "1,216" in text and "none" in text
    assert "(-50.0%)" in " ".join(text.split()) and "31% of the card's peak" in " ".join(text.split())


WAYS: tuple[Way, ...] = ("bf16", "qlora", "fp32")


def test_no_figure_is_broken_into_two_or_cut_at_forty_columns() -> None:
    shape = shape_of("qwen3-8b")
    plan = Plan(128, 131_072)
    report = FitReport(
        shape,
        80 * 10**9,
        [inference(shape, name, 131_072) for name in BITS],
        [Training("qlora", replace(plan, checkpointing=False), 10**8, 6 * 10**9, 10**9, 1234 * 10**9)],
        [Longest(way, rank, 121_472) for way in WAYS for rank in RANKS],
    )
    out = io.StringIO()

    print_fit(Console(file=out, width=40), report)

    told = out.getvalue().split()
    assert max(map(len, out.getvalue().splitlines())) <= 40 or "parameters" in out.getvalue().splitlines()[0]
    assert "…" not in out.getvalue() and "1241.00" in told and told.count("131,072") == 10
    assert told.count("121,472") == 15 and f"{report.inferences[0].total / 1e9:.2f}" in told
    assert "context of 40,960: no example of that length" in " ".join(told)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_measuring_without_a_gpu_is_told() -> None:
    config = small(4)
    shape = read_shape(config, "x")
    estimate = Trainings(config, shape).estimate("bf16", plan_of("bf16", 8, 128))

    with pytest.raises(TrainingError, match="no"):
        measure(config, shape, estimate)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_the_estimate_is_within_five_percent_of_the_measured_peak() -> None:
    config, shape = config_of("qwen3-4b"), shape_of("qwen3-4b")
    estimate = Trainings(config, shape).estimate("bf16", plan_of("bf16", 32, 2048))

    assert estimate.total == pytest.approx(measure(config, shape, estimate).peak, rel=0.05)
