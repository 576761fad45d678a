"""An adapter folder's `manifest.json`: what was trained on what, and how. Written last: its presence means complete."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from evals.backends.hugging_face_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, folder_digest
from evals.checks.answers import shorten
from evals.checks.base import Strict
from evals.errors import TrainingError
from evals.runs import write_whole
from training.config import Method, TrainConfig
from training.no_pickle import refuse_pickles

if TYPE_CHECKING:
    from training.bases import Base

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"


class Facts(Strict):
    """Base of the manifest's parts: no figure in it is NaN or infinite."""

    model_config = ConfigDict(allow_inf_nan=False)


class BaseFacts(Facts):
    """The base model that the adapter belongs to; `ollama` is its tag there, or ''."""

    name: str
    digest: str
    revision: str = ""
    ollama: str = ""


class DataFacts(Facts):
    """The examples: counts of those trained on, held out, and left out because their completion did not fit."""

    path: str
    sha256: str
    examples: int
    held_out: int
    skipped: int
    overlaps: int = Field(default=0, description="overlaps with golden cases that were found")
    allowed: str = Field(default="", description="why they were let pass")


class Manifest(Facts):
    """`manifest.json`. Times in seconds, sizes in bytes, `created` in UTC as ISO 8601."""

    format: Literal[1] = FORMAT
    name: str
    task: str
    base: BaseFacts
    data: DataFacts
    config: TrainConfig
    method: Method
    versions: dict[str, str]
    seed: int
    steps: int
    loss: float = Field(description="mean of the losses of the last epoch's steps")
    held_out_loss: float | None = Field(
        description="of the adapter as it was saved; null without held-out data"
    )
    tokens: int = Field(
        description="trained on, prompts included, padding not, each time they were seen; a shared beginning once a batch"
    )
    tokens_per_s: float
    peak_memory_bytes: int | None = Field(description="of the GPU where there is one, else of the process")
    wall_s: float
    trainable: int = Field(description="parameters of the adapter")
    parameters: int = Field(description="of the base, without the adapter")
    git: dict[str, Any]
    host: dict[str, Any]
    digest: str = Field(description="of the adapter's files, as evals names an adapter")
    created: str


@dataclass(frozen=True, slots=True)
class Adapter:
    """A complete adapter. `settings` is its adapter_config.json."""

    folder: Path
    manifest: Manifest
    settings: Mapping[str, Any]


def adapter_digest(folder: Path) -> str:
    """Hex SHA-256 of all in an adapter's folder that decides an answer; the same that evals records of it."""
    return folder_digest(folder, [folder / ADAPTER_WEIGHTS])


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make the adapter complete, in one step; raises `OSError`."""
    write_whole(folder / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Raises `TrainingError` where there is none, or it is damaged."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise TrainingError(_unfinished(folder)) from None
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise TrainingError(
            f"{path} is damaged or of another version of Golden Gate: {shorten(where)}: {shorten(first['msg'])}; "
            "train again"
        ) from error


def _unfinished(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no adapter folder {folder}"
    if any(folder.glob("checkpoint-*")) or (folder / ADAPTER_WEIGHTS).exists():
        return (
            f"the training in {folder} was not finished: it has no {MANIFEST}; "
            f"`python -m training train CONFIG.yaml --resume --out {folder}` finishes it"
        )
    return f"{folder} is no adapter that was trained here: it has no {MANIFEST}"


def open_adapter(folder: Path) -> Adapter:
    """A complete, safe and whole adapter.

    Raises `TrainingError` for an unfinished one, a pickle in its folder, code of its own, tensors that are missing, odd
    or not finite, and for files that are not those that were trained.
    """
    manifest = read_manifest(folder)
    refuse_pickles(folder)
    settings = _settings(folder)
    _refuse_own_code(folder)
    problems = list(weight_problems(folder / ADAPTER_WEIGHTS, settings, manifest.trainable))
    if problems:
        more = f", and {len(problems) - 3} more problems" if len(problems) > 3 else ""
        raise TrainingError(
            f"{folder / ADAPTER_WEIGHTS} cannot be used: {'; '.join(problems[:3])}{more}. Train again, or restore the folder"
        )
    found = adapter_digest(folder)
    if found != manifest.digest:
        raise TrainingError(
            f"the files in {folder} are not those that were trained: their digest is {found[:12]}…, in {MANIFEST} stands "
            f"{manifest.digest[:12]}…. Something was changed since (weights, settings, tokenizer or template); restore "
            "the folder, or train again"
        )
    return Adapter(folder, manifest, settings)


def refuse_other_base(adapter: Adapter, base: Base) -> None:
    """Raise `TrainingError` unless the adapter was trained on exactly these weights: on others it would be noise."""
    trained_on = adapter.manifest.base
    if base.digest != trained_on.digest:
        raise TrainingError(
            f"{adapter.folder} was trained on {trained_on.name} ({trained_on.digest[:12]}…), not on {base.name} "
            f"({base.digest[:12]}…): on another base its weights mean nothing. Name the base that it was trained on, or "
            "train an adapter of this one"
        )


def _json_object(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise TrainingError(f"{file.parent} has no {file.name}: the adapter is not whole") from None
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{file} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise TrainingError(f"{file} holds no JSON object")
    return data


def _settings(folder: Path) -> dict[str, Any]:
    settings = _json_object(folder / ADAPTER_CONFIG)
    rank = settings.get("r")
    if settings.get("peft_type") != "LORA" or not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise TrainingError(f"{folder / ADAPTER_CONFIG} is not that of a LoRA adapter with a rank")
    return settings


def _refuse_own_code(folder: Path) -> None:
    """transformers would import the code named under `auto_map`, PEFT the library named under `auto_mapping`."""
    for file in sorted(folder.glob("*.json")):
        if file.name == MANIFEST:
            continue
        data = _json_object(file)
        mapping = data.get("auto_mapping")
        library = mapping.get("parent_library") if isinstance(mapping, dict) else mapping
        foreign = mapping and not str(library).startswith("transformers.")
        key = "auto_map" if data.get("auto_map") else "auto_mapping" if foreign else ""
        if key:
            raise TrainingError(f"{file} names code to run ({key}), which is never done here; remove it")


def weight_problems(file: Path, settings: Mapping[str, Any], trainable: int) -> Iterator[str]:
    """What is wrong with an adapter's weights: they are a pair of matrices a module, of the told rank, of finite numbers,
    as many as were trained."""
    import torch
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        yield "there is no such file"
        return
    shapes: dict[str, list[int]] = {}
    try:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - the file is no mapping
                tensor = opened.get_tensor(name)
                shapes[name] = list(tensor.shape)
                if not tensor.is_floating_point():
                    yield f"{shorten(name)} holds no fractions but {tensor.dtype}"
                elif not bool(torch.isfinite(tensor).all()):
                    yield f"{shorten(name)} holds NaN or infinity"
    except (SafetensorError, OSError) as error:
        yield f"it is no whole safetensors file: {error}"
        return
    yield from _pair_problems(shapes, int(settings["r"]))
    numbers = sum(_count(shape) for shape in shapes.values())
    if numbers < trainable:
        yield f"tensors are missing: it holds {numbers:,} of the {trainable:,} trained numbers"
    elif numbers > trainable:
        yield f"it holds {numbers:,} numbers, {trainable:,} were trained"


def _pair_problems(shapes: Mapping[str, list[int]], rank: int) -> Iterator[str]:
    for name, shape in shapes.items():
        if name.endswith(".lora_A.weight"):
            other, width = name.replace(".lora_A.", ".lora_B."), shape[:1]
        elif name.endswith(".lora_B.weight"):
            other, width = name.replace(".lora_B.", ".lora_A."), shape[1:]
        else:
            yield f"{shorten(name)} is no matrix of a LoRA adapter"
            continue
        if other not in shapes:
            yield f"{shorten(other)} is missing"
        if len(shape) != 2 or width != [rank]:
            yield f"{shorten(name)} has the shape {shape}, which is not of rank {rank}"


def _count(shape: list[int]) -> int:
    numbers = 1
    for size in shape:
        numbers *= size
    return numbers
