"""The base of a training: a folder, a model of the hub, or a GGUF file that is dequantised once into the cache.

Weights are safetensors, and neither code nor pickles that come with a model are ever opened.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from evals.backends.base import ModelSpec
from evals.backends.hugging_face_folder import resolve
from evals.backends.weights import gguf_file, sha256_of
from evals.cache import cache_folder
from evals.errors import ModelUnavailable, SettingsError, TrainingError, first_line

GGUF_PREFIX = "gguf:"


@dataclass(frozen=True, slots=True)
class Base:
    """A base model on disk.

    `name` is what the user wrote, `folder` holds its safetensors and tokenizer, `digest` is over all of its files that
    decide an answer. `revision` is the hub's commit, the SHA-256 of the GGUF file, or '' for a folder of the user.
    """

    name: str
    folder: Path
    digest: str
    revision: str


def open_base(name: str) -> Base:
    """Find, fetch or dequantise `name`: a folder, OWNER/NAME on the hub, or `gguf:NAME_OR_PATH`.

    Raises `TrainingError` for what cannot be had, is no whole model of safetensors, brings code of its own or has no
    chat template.
    """
    revision = ""
    place = name
    try:
        if name.startswith(GGUF_PREFIX):
            file = gguf_file(name.removeprefix(GGUF_PREFIX))
            revision = sha256_of(file)
            place = str(_dequantised(file, revision))
    except (ModelUnavailable, SettingsError, OSError) as error:
        raise TrainingError(f"the base {name}: {error}") from error
    found = resolve(ModelSpec(name, "hf", place))
    if isinstance(found, ModelUnavailable):
        raise TrainingError(f"the base {found}")
    if found.details["adapter"]:
        raise TrainingError(
            f"the base {name} is a model and an adapter, and only a whole model can be trained; merge the two first, and "
            "name the merged model's folder"
        )
    folder = Path(found.details["folder"])
    if folder.parent.name == "snapshots":
        revision = folder.name
    return Base(name, folder, found.digest, revision)


def _dequantised(file: Path, sha256: str) -> Path:
    """The folder of a GGUF file's weights as 32-bit floats, exactly what they stand for, made at the first call.

    It gets its name when it is whole, so that a conversion that was broken off leaves nothing that is taken for one.
    """
    bases = cache_folder() / "bases"
    bases.mkdir(exist_ok=True)
    target = bases / sha256
    if target.is_dir():
        return target
    with FileLock(bases / f"{sha256}.lock"):
        if target.is_dir():
            return target
        for left in bases.glob(f"{sha256}.part-*"):  # of a process that was killed; nobody else has the lock
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f"{sha256}.part-", dir=bases) as scratch:
            whole = Path(scratch) / "base"
            _convert(file, whole)
            os.replace(whole, target)
    return target


def _convert(file: Path, folder: Path) -> None:
    # The tokenizer first: most of what can be wrong with a file shows there, long before its weights are read.
    try:
        tokenizer, model, missing = _load(file)
    except TrainingError:
        raise
    except Exception as error:  # GGUF files are other people's, and break transformers wherever they like
        raise TrainingError(
            f"{file} cannot be dequantised: {first_line(error)}. Not every architecture can be read out of a GGUF file; "
            "name the model's folder of safetensors, or its ID on the hub, instead"
        ) from error
    if missing:
        raise TrainingError(
            f"{file} lacks {len(missing)} weights of its architecture ({', '.join(missing[:3])}…); fetch it again, or name "
            "the model's folder of safetensors instead"
        )
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as error:  # safetensors has an exception of its own for a full disk
        raise TrainingError(
            f"the dequantised {file.name} cannot be written to {folder.parent.parent}: {first_line(error)}. It takes about "
            f"{_bytes(model) / 1e9:.1f} GB; make room, or name another folder in GOLDENGATE_CACHE"
        ) from error


def _load(file: Path) -> tuple[Any, Any, list[str]]:
    """Tokenizer, model in 32-bit floats, and the weights that the file should have and has not."""
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    told = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(file.parent, **told)
    if not tokenizer.chat_template:
        raise TrainingError(
            f"{file} has no chat template, as base models have none: nothing tells how it is asked. Take its "
            "instruction-tuned form"
        )
    auto: Any = transformers.AutoModelForCausalLM
    model, report = auto.from_pretrained(file.parent, output_loading_info=True, **told)
    # Its weights are floats by now, but transformers still takes it for quantised and would not save it.
    model.hf_quantizer = None
    model.is_quantized = False
    model.quantization_method = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return tokenizer, model, sorted(report["missing_keys"])


def _bytes(model: Any) -> int:
    return sum(one.numel() * one.element_size() for one in model.parameters())
