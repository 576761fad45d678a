"""Checkpoints of safetensors and JSON, whole or not there: what a training needs to go on as if it had not stopped.

`checkpoint-STEP/` holds the adapter, the optimiser's tensors, its and the schedule's other values, the random states of
each process, and the trainer's own record. It is written beside its place, synced and renamed: a kill leaves no half of one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import TrainingError, first_line
from training.no_pickle import refuse_pickles

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

OPTIMISER = "optimizer.safetensors"
STATE = "state.json"
_PREFIX = "checkpoint-"


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return folder / f"{_PREFIX}{step}"


def checkpoints(folder: Path) -> dict[int, Path]:
    """The whole checkpoints of a training, by step, in order."""
    found = {
        int(path.name.removeprefix(_PREFIX)): path
        for path in folder.glob(f"{_PREFIX}*")
        if path.name.removeprefix(_PREFIX).isdecimal()
    }
    return dict(sorted(found.items()))


def partial_folder(folder: Path, step: int) -> Path:
    """Where a checkpoint is written before it is whole."""
    return folder / f".{_PREFIX}{step}.partial"


def remove_partial(folder: Path) -> None:
    """Take away what a kill left of a checkpoint."""
    for path in folder.glob(f".{_PREFIX}*.partial"):
        shutil.rmtree(path, ignore_errors=True)


def put_in_place(partial: Path, target: Path) -> None:
    """Sync a finished checkpoint and give it its name; raises `OSError`."""
    for path in [*partial.iterdir(), partial]:
        sync(path)
    if target.exists():  # of a run that was resumed from an earlier one
        shutil.rmtree(target)
    os.replace(partial, target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Hand a file or folder over to the disk itself."""
    if path.is_dir() and os.name == "nt":
        return  # Windows syncs no folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def keep_only(folder: Path, kept: set[int]) -> None:
    """Remove all checkpoints but those of these steps."""
    for step, path in checkpoints(folder).items():
        if step not in kept:
            shutil.rmtree(path, ignore_errors=True)


def latest_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint, or None; raises `TrainingError` if a pickle lies in it."""
    found = checkpoints(folder)
    if not found:
        return None
    path = found[max(found)]
    refuse_pickles(path)
    return path


def save_optimiser(folder: Path, optimiser: Mapping[str, Any], schedule: Mapping[str, Any]) -> None:
    """Write the states of an optimiser and of its learning rate's schedule, as their `state_dict()` give them."""
    import torch
    from safetensors.torch import save_file

    tensors: Tensors = {}
    plain: dict[str, dict[str, Any]] = {}
    for number, values in optimiser["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}.{name}"] = value.detach().contiguous().clone()
            else:
                plain.setdefault(str(number), {})[name] = value
    save_file(tensors, folder / OPTIMISER)
    state = {"plain": plain, "groups": optimiser["param_groups"], "schedule": dict(schedule)}
    (folder / STATE).write_text(json.dumps(state), encoding="utf-8")


def load_optimiser(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two states that `save_optimiser` wrote; raises `TrainingError`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        told = json.loads((folder / STATE).read_text(encoding="utf-8"))
        state: dict[int, dict[str, Any]] = {}
        for key, tensor in load_file(folder / OPTIMISER).items():
            number, name = key.split(".", 1)
            state.setdefault(int(number), {})[name] = tensor
        for number, values in told["plain"].items():
            state.setdefault(int(number), {}).update(values)
        # JSON has no tuples; AdamW's two betas are one.
        groups = [
            {name: tuple(value) if name == "betas" else value for name, value in group.items()}
            for group in told["groups"]
        ]
        return {"state": state, "param_groups": groups}, told["schedule"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise damaged(folder, error) from error


def save_random_state(folder: Path, process: int) -> None:
    """Write where the random numbers of this process are: Python's, numpy's and PyTorch's."""
    import numpy
    import torch

    name, keys, *rest = numpy.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [name, [int(key) for key in keys], *rest],
        "torch": _hex(torch.get_rng_state()),
        "cuda": _hex(torch.cuda.get_rng_state()) if torch.cuda.is_available() else None,
    }
    (folder / f"random-{process}.json").write_text(json.dumps(state), encoding="utf-8")


def load_random_state(folder: Path, process: int) -> None:
    """Set the random numbers of this process to where they were; raises `TrainingError`."""
    import numpy
    import torch

    path = folder / f"random-{process}.json"
    if not path.is_file():
        raise TrainingError(
            f"{folder} was written with fewer processes than now: the same loss curve cannot be had. Resume with as many "
            "as it was begun with, or train anew"
        )
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        version, keys, gauss = state["python"]
        random.setstate((version, tuple(keys), gauss))
        name, keys, *rest = state["numpy"]
        numpy.random.set_state((name, numpy.array(keys, dtype=numpy.uint32), *rest))
        torch.set_rng_state(_bytes(state["torch"]))
        if state["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(_bytes(state["cuda"]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise damaged(folder, error) from error


def _hex(state: torch.Tensor) -> str:
    return bytes(state.tolist()).hex()


def _bytes(text: str) -> torch.Tensor:
    import torch

    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)


def damaged(folder: Path, error: Exception) -> TrainingError:
    """A checkpoint that cannot be read, in words."""
    return TrainingError(
        f"the checkpoint {folder} is damaged: {first_line(error)}. Remove it, so that the one before it is taken, and resume again"
    )
