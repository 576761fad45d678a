"""Adapters of a base, the real SmolLM2 above all, made without training: answers change, and all else is as trained."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest

from evals.errors import TrainingError
from tests.small_hf_model import save_adapter
from tests.training.small_adapter import manifest_of
from training.bases import Base, open_base
from training.manifest import Adapter, BaseFacts, open_adapter, write_manifest

BASE = "gguf:smollm2-135m"


def smollm2() -> Base:
    """The embedded default as a base; skips where it can neither be found nor fetched."""
    try:
        return open_base(BASE)
    except TrainingError as reason:
        pytest.skip(str(reason))


def adapter_of(base: Base, folder: Path, *, ollama: str = "", scale: float = 1.0) -> Adapter:
    """A complete adapter, the larger in its effect the larger `scale`; `ollama` is the base's name there, as its manifest tells it."""
    with warnings.catch_warnings():  # PEFT asks transformers for checkpointing by its old name
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        save_adapter(folder, base.folder, scale=scale)
    for pattern in ("tokenizer*", "chat_template*"):
        for file in base.folder.glob(pattern):
            shutil.copyfile(file, folder / file.name)
    (folder / "README.md").unlink()  # PEFT's own
    facts = BaseFacts(name=base.name, digest=base.digest, revision=base.revision, ollama=ollama)
    write_manifest(folder, manifest_of(folder, name="sea", base=facts))
    return open_adapter(folder)
