"""A complete adapter of a small model, made in a second without training: its files and a manifest that fits them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from evals.backends.hugging_face_folder import ADAPTER_WEIGHTS
from training.config import TrainConfig
from training.manifest import BaseFacts, DataFacts, Manifest, adapter_digest, write_manifest


def make_adapter(folder: Path, base: Path, **changes: Any) -> Path:
    """An adapter of the model in `base`; `changes` are fields of its manifest."""
    from tests.small_hf_model import TEMPLATE, save_adapter

    with warnings.catch_warnings():  # PEFT asks transformers for checkpointing by its old name
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        save_adapter(folder, base, template=TEMPLATE)
    (folder / "README.md").unlink()  # PEFT's own
    write_manifest(folder, manifest_of(folder, **changes))
    return folder


def manifest_of(folder: Path, **changes: Any) -> Manifest:
    """A manifest that fits the adapter's files in a folder, but for `changes`."""
    fields: dict[str, Any] = {
        "name": "small",
        "task": "",
        "base": BaseFacts(name="small", digest="b" * 64),
        "data": DataFacts(path="examples.jsonl", sha256="d" * 64, examples=9, held_out=1, skipped=0),
        "config": TrainConfig(name="small", base="small", data="examples.jsonl"),
        "method": "fp32",
        "versions": {"peft": "0.21.2"},
        "seed": 0,
        "steps": 4,
        "loss": 1.5,
        "held_out_loss": None,
        "tokens": 1000,
        "tokens_per_s": 50.0,
        "peak_memory_bytes": 10_000_000,
        "wall_s": 20.0,
        "trainable": trained_numbers(folder),
        "parameters": 100_000,
        "git": {},
        "host": {"cores": 2},
        "digest": adapter_digest(folder),
        "created": "2026-11-30T12:00:00Z",
    }
    return Manifest(**(fields | changes))


def trained_numbers(folder: Path) -> int:
    """How many numbers an adapter's weights have."""
    from safetensors.torch import load_file

    return sum(one.numel() for one in load_file(folder / ADAPTER_WEIGHTS).values())
