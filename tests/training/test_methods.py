"""The base is loaded in the numbers that a method asks for, or it is told why it cannot be."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from evals.errors import TrainingError
from tests.small_hf_model import change_json, save_model
from training.bases import Base
from training.methods import load_base, settle


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base("small", save_model(tmp_path / "base"), "d", "")


def test_auto_is_bfloat16_on_a_gpu_that_has_it_and_32_bits_elsewhere() -> None:
    has_it = torch.cuda.is_available() and torch.cuda.is_bf16_supported()

    assert settle("auto").method == ("bf16" if has_it else "fp32")


@pytest.mark.parametrize(("method", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_weights_are_in_the_numbers_of_the_method(base: Base, method: str, dtype: torch.dtype) -> None:
    way = settle("bf16" if method == "bf16" else "fp32")
    model = load_base(base, way, 0)

    assert {one.dtype for one in model.parameters()} == {dtype}
    assert way.bytes_per_weight == dtype.itemsize and way.bf16 is (dtype == torch.bfloat16)


@pytest.mark.parametrize(("method", "package"), [("qlora", "bitsandbytes"), ("hqq", "hqq")])
def test_a_quantised_method_says_what_it_lacks(method: str, package: str) -> None:
    lacks_package = importlib.util.find_spec(package) is None
    if not lacks_package and torch.cuda.is_available():
        pytest.skip("this machine lacks nothing")

    with pytest.raises(TrainingError) as caught:
        settle("qlora" if method == "qlora" else "hqq")

    expected = f"run: pip install {package}" if lacks_package else "needs a CUDA GPU"
    assert expected in str(caught.value)


def test_weights_of_the_architecture_that_are_missing_are_told(base: Base) -> None:
    change_json(base.folder / "config.json", num_hidden_layers=3)

    with pytest.raises(TrainingError, match=r"lacks \d+ weights of its architecture \(model.layers.2"):
        load_base(base, settle("fp32"), 0)


def test_an_architecture_that_is_not_known_is_told(base: Base) -> None:
    change_json(base.folder / "config.json", model_type="unheard_of")

    with pytest.raises(TrainingError, match="the base small cannot be loaded: "):
        load_base(base, settle("fp32"), 0)


def test_pickled_weights_are_not_opened(base: Base) -> None:
    (base.folder / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1)}, base.folder / "pytorch_model.bin")

    with pytest.raises(TrainingError, match="the base small cannot be loaded: "):
        load_base(base, settle("fp32"), 0)
