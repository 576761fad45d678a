"""What a model is made of, by its config alone: built on PyTorch's meta device, where a weight has a shape and no bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.checks.answers import shorten
from evals.errors import TrainingError, first_line

CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer, in the layers that repeat."""

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Counts of a model. `rest` are the parameters outside of `linears`: embeddings, output layer, norms.

    `cached` are numbers that the key-value cache keeps of a token, by window: None is the whole context.
    """

    name: str
    parameters: int
    linears: tuple[Linear, ...]
    rest: int
    vocabulary: int
    hidden: int
    layers: int
    context: int | None
    cached: tuple[tuple[int | None, int], ...]

    def trained(self, rank: int, targets: str | Sequence[str] = "all-linear") -> int:
        """Parameters of a LoRA adapter: rank x (inputs + outputs) of each target (Hu et al. 2021, arXiv 2106.09685)."""
        return sum(
            rank * (one.inputs + one.outputs)
            for one in self.linears
            if isinstance(targets, str) or one.name.rpartition(".")[2] in targets
        )

    def cache_numbers(self, length: int) -> int:
        """Numbers in the key-value cache of `length` tokens; sliding windows keep no more than their width."""
        return sum(
            per_token * (length if window is None else min(window, length))
            for window, per_token in self.cached
        )


def read_config(base: str) -> Any:
    """transformers' config of a folder, a config.json, an ID on the hub or a base that `training` knows.

    Of the hub nothing but config.json is fetched. Raises `TrainingError`.
    """
    import transformers

    if base.startswith("gguf:"):
        from training.bases import open_base

        path, there = open_base(base).folder, True
    else:
        try:
            path = Path(base).expanduser()
            there = path.exists()
        except (OSError, RuntimeError) as error:  # a name that is too long, ~ of nobody
            why = getattr(error, "strerror", None) or error
            raise TrainingError(f"{shorten(base)} cannot be the name of a base: {why}") from None
    if not there and (base.startswith((".", "/", "~")) or base.count("/") != 1):
        raise TrainingError(
            f"there is no {base}; give a folder, a config.json, or an ID on the hub, OWNER/NAME"
        )
    try:
        return transformers.AutoConfig.from_pretrained(
            str(path if there else base), trust_remote_code=False, token=False
        )
    except Exception as error:  # configs are other people's files, and break transformers wherever they like
        raise TrainingError(f"the config of {base} cannot be used: {first_line(error)}") from error


def on_meta(config: Any, *, dtype: Any = None) -> Any:
    """The model of a config without a byte of weights; raises `TrainingError`."""
    import torch
    import transformers

    auto: Any = transformers.AutoModelForCausalLM
    try:
        with torch.device("meta"):
            return auto.from_config(config, dtype=dtype or torch.float32, trust_remote_code=False)
    except Exception as error:  # the same
        raise TrainingError(f"no language model can be made of this config: {first_line(error)}") from error


def read_shape(config: Any, name: str) -> Shape:
    """The counts of a model; raises `TrainingError` for a config that is none of a language model."""
    import torch

    model = on_meta(config)
    text = config.get_text_config()
    outer = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    linears = tuple(
        Linear(where, module.in_features, module.out_features)
        for where, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and id(module) not in outer
    )
    parameters = sum(weight.numel() for weight in model.parameters())
    context = getattr(text, "max_position_embeddings", None)
    return Shape(
        name=name,
        parameters=parameters,
        linears=linears,
        rest=parameters - sum(one.inputs * one.outputs for one in linears),
        vocabulary=int(text.vocab_size),
        hidden=int(text.hidden_size),
        layers=int(text.num_hidden_layers),
        context=context if isinstance(context, int) else None,
        cached=_cached(text),
    )


def _cached(text: Any) -> tuple[tuple[int | None, int], ...]:
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    per_layer = 2 * math.prod((heads, width))
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
    sliding = sum(kind == "sliding_attention" for kind in kinds) if window else 0
    full = sum(kind in ("full_attention", "sliding_attention") for kind in kinds) - sliding
    return tuple((one, count * per_layer) for one, count in ((None, full), (window, sliding)) if count)
