"""A LoRA adapter as one GGUF file, for llama.cpp: `gguf:BASE.gguf+ADAPTER.gguf`, and for Ollama.

The format is llama.cpp's: `general.type` is `adapter`, `adapter.type` is `lora`, and for each matrix of the base there
are two, `NAME.lora_a` of shape [rank, in] and `NAME.lora_b` of shape [out, rank], under the names that GGUF gives the
base's. llama.cpp adds `alpha / rank` times their product to the matrix. Weights are written as float32.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.backends.hugging_face_folder import ADAPTER_WEIGHTS, read_json
from evals.checks.answers import shorten
from evals.errors import ModelUnavailable, TrainingError

if TYPE_CHECKING:
    import numpy as np

    from training.bases import Base
    from training.manifest import Adapter

# Architectures of Hugging Face whose adapters llama.cpp takes, under the names that GGUF gives them.
ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "GemmaForCausalLM": "gemma",
    "Gemma2ForCausalLM": "gemma2",
    "Gemma3ForCausalLM": "gemma3",
}
# What PEFT can do besides two plain matrices, and GGUF has no place for.
_MORE = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "modules_to_save": "whole modules that were trained (modules_to_save)",
    "trainable_token_indices": "trained tokens",
    "target_parameters": "matrices of experts",
    "layer_replication": "layers that are repeated",
    "megatron_config": "Megatron's layers",
    "alora_invocation_tokens": "aLoRA, which waits for its own tokens",
}
_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])\.weight")


def base_config(base: Base) -> dict[str, Any]:
    """A base's config.json; raises `TrainingError`."""
    try:
        return read_json(base.folder / "config.json")
    except (ModelUnavailable, OSError) as error:
        raise TrainingError(str(error)) from error


def gguf_architecture(config: Mapping[str, Any]) -> str:
    """What GGUF calls the architecture of a config.json, '' for one whose adapters cannot be written."""
    told = config.get("architectures")
    return ARCHITECTURES.get(str(told[0]), "") if isinstance(told, list) and told else ""


def beyond_lora(settings: Mapping[str, Any]) -> str:
    """What an adapter has besides its matrices and can only be merged, in words; '' for a plain one."""
    found = [what for name, what in _MORE.items() if settings.get(name)]
    if settings.get("bias", "none") != "none":
        found.append("trained biases")
    return ", ".join(found)


def scale_of(settings: Mapping[str, Any], module: str, rank: int) -> float:
    """What PEFT multiplies a module's product by: alpha / rank, or alpha / sqrt(rank) with rank-stabilised LoRA.

    `alpha_pattern` gives single modules an alpha of their own, by the end of their names or a regular expression.
    """
    alpha = float(settings["lora_alpha"])
    for pattern, own in (settings.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            alpha = float(own)
            break
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def write_adapter_gguf(adapter: Adapter, base: Base, path: Path) -> Path:
    """Write the adapter to `path`, whole or not at all, and return it.

    Raises `TrainingError` for an architecture or a kind of adapter that GGUF has no form for, and where the file cannot
    be written.
    """
    config = base_config(base)
    architecture = gguf_architecture(config)
    if not architecture:
        raise TrainingError(
            f"{base.name} is a {shorten(str((config.get('architectures') or ['?'])[0]))}, whose adapters cannot be written "
            f"as GGUF here; {', '.join(ARCHITECTURES)} can. Merge it instead: `python -m training create ADAPTER --merged`"
        )
    if more := beyond_lora(adapter.settings):
        raise TrainingError(
            f"{adapter.folder} has more than the two matrices of LoRA ({more}), which GGUF has no form for; merge it "
            "instead: `python -m training create ADAPTER --merged`"
        )
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(scratch, architecture, config, adapter)
        os.replace(scratch, path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()
    return path


def _write(path: Path, architecture: str, config: Mapping[str, Any], adapter: Adapter) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    try:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(adapter.settings["lora_alpha"]))
        for name, matrix in _matrices(architecture, config, adapter):
            writer.add_tensor(name, matrix)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    finally:
        writer.close()


def _matrices(
    architecture: str, config: Mapping[str, Any], adapter: Adapter
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """All matrices under their names in GGUF, those of one module one after the other."""
    import gguf
    import numpy as np
    from safetensors import safe_open

    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(kinds[architecture], int(config["num_hidden_layers"]))
    alpha = float(adapter.settings["lora_alpha"])
    file = adapter.folder / ADAPTER_WEIGHTS
    # Through torch, as numpy knows no bfloat16.
    with safe_open(file, framework="pt") as opened:
        for key in sorted(opened.keys()):
            found = _TENSOR.fullmatch(key)
            name = names.get_name(found["module"]) if found else None
            if not found or not name or name in ("token_embd", "output"):
                raise TrainingError(
                    f"{file}: {shorten(key)} belongs to no matrix that llama.cpp takes an adapter for; merge the adapter "
                    "instead: `python -m training create ADAPTER --merged`"
                )
            matrix = opened.get_tensor(key).float().numpy()
            if found["part"] == "B":
                rank = matrix.shape[1]
                # llama.cpp knows one alpha for all: whatever else PEFT multiplies by goes into the matrix.
                matrix = matrix * np.float32(scale_of(adapter.settings, found["module"], rank) * rank / alpha)
                if architecture == "llama":
                    matrix = as_rotated(matrix, name, config)
            yield f"{name}.weight.lora_{found['part'].lower()}", np.ascontiguousarray(matrix)


def as_rotated(matrix: np.ndarray[Any, Any], name: str, config: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Rows of a query or key projection in GGUF's order.

    Hugging Face rotates the first half of a head against its second, GGUF's `llama` each even row against the next odd
    one; so both halves of each head are interleaved, in the base's matrices and hence in what is added to them.
    """
    heads = int(config["num_attention_heads"])
    if name.endswith("attn_k"):
        heads = int(config.get("num_key_value_heads") or heads)
    elif not name.endswith("attn_q"):
        return matrix
    rows, width = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)
