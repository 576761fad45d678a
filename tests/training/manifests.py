"""Manifests of adapters that need no files."""

from __future__ import annotations

from typing import Any

from training.config import TrainConfig
from training.manifest import BaseFacts, DataFacts, Manifest


def manifest(**changes: Any) -> Manifest:
    """That of the adapter `ops`, but for `changes`."""
    fields: dict[str, Any] = {
        "name": "ops",
        "task": "minecraft_ops",
        "base": BaseFacts(name="org/base", digest="b" * 64, revision="main", ollama="base:1"),
        "data": DataFacts(path="data/ops.jsonl", sha256="d" * 64, examples=1500, held_out=150, skipped=2),
        "config": TrainConfig(name="ops", data="data/ops.jsonl"),
        "method": "fp32",
        "versions": {},
        "seed": 7,
        "steps": 40,
        "loss": 0.51234,
        "held_out_loss": 0.6,
        "tokens": 123456,
        "tokens_per_s": 50.0,
        "peak_memory_bytes": None,
        "wall_s": 1234.5,
        "trainable": 1000,
        "parameters": 134_000,
        "git": {},
        "host": {},
        "digest": "a" * 64,
        "created": "2026-01-01T12:00:00+00:00",
    }
    return Manifest(**(fields | changes))
