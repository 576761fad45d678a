"""Merged weights as one GGUF file of 16-bit floats, made after the GGUF file that the base came from.

Everything but the weights is taken over from that file: above all its tokenizer, of which Ollama's own conversion of
safetensors (0.9.3, seen) loses how text is cut up before it is tokenised, and with it the tokens that were trained.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.backends.hugging_face_folder import model_weights, read_json
from evals.checks.answers import shorten
from evals.errors import ModelUnavailable, TrainingError
from training.adapter_gguf import as_rotated, gguf_architecture

# Of others the matrices are the same, but their norms or experts are written otherwise.
ARCHITECTURES = ("llama", "qwen2", "qwen3")
# How far llama.cpp rotates each pair of a head's numbers, for long texts. Safetensors have no such tensors, as transformers
# computes them from the config.
_TABLES = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
_WRITTEN_ANEW = ("general.architecture", "general.file_type", "general.quantization_version")


def write_merged_gguf(merged: Path, source: Path, path: Path) -> Path:
    """Write the folder `merged` to the file `path`, whole or not at all; `source` is the base's GGUF file.

    Raises `TrainingError` for an architecture that is not among `ARCHITECTURES`, weights that are not those of
    `source`, and a disk without room.
    """
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        _write(merged, source, scratch)
        os.replace(scratch, path)
    except ModelUnavailable as error:
        raise TrainingError(str(error)) from error
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written: {error.strerror or error}; make room, or name another folder with --work"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()
    return path


def _write(merged: Path, source: Path, path: Path) -> None:
    import gguf

    config = read_json(merged / "config.json")
    architecture = gguf_architecture(config)
    if architecture not in ARCHITECTURES:
        raise TrainingError(f"{merged} cannot be written as GGUF here; {', '.join(ARCHITECTURES)} can")
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, architecture)
    try:
        for name, field in reader.fields.items():
            if not name.startswith("GGUF.") and name not in _WRITTEN_ANEW:
                inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
                writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        weights = _Weights(merged, architecture, config)
        for one in reader.tensors:
            if one.name in _TABLES:
                writer.add_tensor_info(
                    one.name, one.data.shape, one.data.dtype, one.data.nbytes, raw_dtype=one.tensor_type
                )
                continue
            shape = [int(size) for size in reversed(one.shape)]
            weights.require(one.name, shape, source)
            kind = _kind(shape)
            writer.add_tensor_info(one.name, shape, kind, int(one.n_elements) * kind.itemsize)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for one in reader.tensors:
            if one.name in _TABLES:
                writer.write_tensor_data(one.data)
            else:
                writer.write_tensor_data(weights.read(one.name).astype(_kind(list(one.shape))))
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    finally:
        writer.close()


def _kind(shape: list[int]) -> Any:
    import numpy as np

    # llama.cpp wants norms and biases whole.
    return np.dtype(np.float32 if len(shape) == 1 else np.float16)


class _Weights:
    """The tensors of a folder under the names that GGUF gives them."""

    def __init__(self, folder: Path, architecture: str, config: Mapping[str, Any]) -> None:
        import gguf
        from safetensors import safe_open

        kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
        names = gguf.get_tensor_name_map(kinds[architecture], int(config["num_hidden_layers"]))
        self._config = config
        self._rotated = architecture == "llama"
        self._found: dict[str, tuple[Any, str]] = {}
        for file in model_weights(folder):
            opened: Any = safe_open(file, framework="pt")
            for key in opened.keys():  # noqa: SIM118 - the file is no mapping
                self._found[str(names.get_name(key, try_suffixes=(".weight", ".bias")))] = (opened, key)

    def require(self, name: str, shape: list[int], source: Path) -> None:
        if name not in self._found:
            raise TrainingError(f"the merged weights have no {shorten(name)}, which {source} has")
        opened, key = self._found[name]
        found = opened.get_slice(key).get_shape()
        if found != shape:
            raise TrainingError(
                f"{shorten(name)} has the shape {found} in the merged weights and {shape} in {source}"
            )

    def read(self, name: str) -> Any:
        opened, key = self._found[name]
        matrix = opened.get_tensor(key).float().numpy()
        return as_rotated(matrix, name.removesuffix(".weight"), self._config) if self._rotated else matrix
