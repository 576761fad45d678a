"""Memory before and while a training runs: Ollama gives its own back, what cannot fit is told before the weights are
loaded, and what runs out all the same is told in words."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from evals.checks.answers import shorten
from evals.errors import RegistryError, TrainingError, first_line

if TYPE_CHECKING:
    from training.config import LoraConfig
    from training.registry import Registry

# Numbers beside each of the adapter's weights: the weight, its gradient and Adam's two moments, in 32 bits.
_BYTES_PER_TRAINED = 16
# PyTorch, its kernels and the activations of one short example take more than this on any device.
_LEAST_BYTES = 200_000_000
# What the bases call their embeddings and output layer, which adapters here leave as they are.
_OUTER = {"embed_in", "embed_out", "embed_tokens", "lm_head", "word_embeddings", "wpe", "wte"}
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
_ADVICE = (
    "lower max_length, train.batch or lora.rank (train.accumulate makes up for a smaller batch), leave "
    "train.checkpointing on, take train.method qlora, or a smaller base"
)


def free_ollama(registry: Registry) -> tuple[str, ...]:
    """Have Ollama unload its models; returns their names. A server that is not there holds no memory."""
    try:
        return registry.unload_all()
    except RegistryError:
        return ()


def free_bytes() -> tuple[int, str]:
    """Memory that a training can have now, and of what."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0]), f"the GPU {torch.cuda.get_device_name()}"
    return int(psutil.virtual_memory().available), "this machine"


def weight_shapes(files: Sequence[Path]) -> dict[str, list[int]]:
    """The shapes of a model's tensors, from the heads of its safetensors files; raises `TrainingError`."""
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, list[int]] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                shapes |= {name: list(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise TrainingError(
                f"{file} is no whole safetensors file: {first_line(error)}; fetch it again"
            ) from error
    return shapes


def least_bytes(shapes: Mapping[str, Sequence[int]], bytes_per_weight: float, lora: LoraConfig) -> int:
    """What a training takes at the very least: weights, adapter, its gradients and optimiser, and a little beside.

    A lower bound, without activations: `python -m training fit` estimates them.
    """
    weights = sum(math.prod(shape) for shape in shapes.values())
    trained = sum(lora.rank * sum(shape) for shape in _targets(shapes, lora))
    return round(weights * bytes_per_weight + trained * _BYTES_PER_TRAINED + _LEAST_BYTES)


def _targets(shapes: Mapping[str, Sequence[int]], lora: LoraConfig) -> Iterator[Sequence[int]]:
    for name, shape in shapes.items():
        module = name.removesuffix(".weight")
        wanted = lora.targets == "all-linear" or any(_means(target, module) for target in lora.targets)
        if wanted and _inner(module) and len(shape) == 2:
            yield shape


def refuse_unknown_targets(shapes: Mapping[str, Sequence[int]], lora: LoraConfig) -> None:
    """Raise `TrainingError` for a target that no module of the base's layers has.

    PEFT leaves one out without a word if others are found. Embeddings and the output layer are no targets: an adapter
    here is saved without them.
    """
    if lora.targets == "all-linear":
        return
    modules = [name.removesuffix(".weight") for name, shape in shapes.items() if len(shape) == 2]
    modules = [one for one in modules if _inner(one)]
    unknown = [target for target in lora.targets if not any(_means(target, one) for one in modules)]
    if unknown:
        known = sorted({one.rpartition(".")[2] for one in modules})
        raise TrainingError(
            f"lora.targets: the layers of the base have no module {', '.join(map(shorten, unknown))}; they have "
            f"{', '.join(map(shorten, known))}"
        )


def _inner(module: str) -> bool:
    return module.rpartition(".")[2] not in _OUTER


def _means(target: str, module: str) -> bool:
    return module == target or module.endswith(f".{target}")


def refuse_too_large(need: int, free: int, where: str) -> None:
    """Raise `TrainingError` where not even the least that is needed is free."""
    if need > free:
        raise TrainingError(
            f"the training takes at least {need / 1e9:.1f} GB and {where} has {free / 1e9:.1f} GB free. Stop what else is "
            f"using it, or: {_ADVICE}; `python -m training fit BASE` shows what fits"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch or Python says that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    torch: Any = sys.modules.get("torch")
    if torch and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(one in str(error).lower() for one in _NO_MEMORY)


def out_of_memory(error: BaseException) -> TrainingError:
    """The same in words, with what to do."""
    said = first_line(error)
    return TrainingError(f"memory ran out ({said}). To need less: {_ADVICE}")
