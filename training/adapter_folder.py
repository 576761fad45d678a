"""An adapter's folder while it is trained: where it is, what was begun in it, and its losses as they come."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from evals.checks.base import Strict
from evals.errors import RunRecordError, TrainingError
from evals.journal import Journal
from evals.resume import without_torn_line
from evals.runs import read_lines, write_whole
from training.config import TrainConfig
from training.manifest import MANIFEST

ADAPTERS = Path("reports/adapters")
STARTED = "started.json"
LOSSES = "losses.jsonl"


class Started(Strict):
    """`started.json`: what a training was begun with, and can only be gone on with.

    `data`, `base` and `examples` are digests: of the file's bytes, of the base's files, and of the tokens that both and the
    task's prompt make.
    """

    format: Literal[1] = 1
    config: TrainConfig
    data: str
    base: str
    examples: str
    method: str
    processes: int
    created: str


@dataclass(frozen=True, slots=True)
class LossLine:
    """A line of `losses.jsonl`. `tokens` and `seconds` are of the whole training up to there."""

    step: int
    loss: float
    held_out: bool
    learning_rate: float
    tokens: int
    seconds: float


def unfinished(name: str, adapters: Path = ADAPTERS) -> Path:
    """The newest training of that name that was begun and not finished; raises `TrainingError` if there is none."""
    found = [path.parent for path in sorted((adapters / name).glob(f"*/{STARTED}"))]
    left = [folder for folder in found if not (folder / MANIFEST).exists()]
    if not left:
        raise TrainingError(
            f"there is no unfinished training of {name} in {adapters / name}; name its folder with --out, or begin one "
            "without --resume"
        )
    return left[-1]


def new_name(name: str, adapters: Path = ADAPTERS) -> str:
    """A folder name of this second that is not taken: YYYYmmdd-HHMMSS."""
    seconds = time.time()
    while (adapters / name / (made := time.strftime("%Y%m%d-%H%M%S", time.localtime(seconds)))).exists():
        seconds += 1
    return made


def begin(folder: Path, started: Started) -> None:
    """Make a folder for a new training; raises `TrainingError` where it cannot be made, or holds something."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise TrainingError(
                f"{folder} is not empty: a training begins in a folder of its own. Name another one with --out, or go on "
                "with the training in it with --resume"
            )
        write_whole(folder / STARTED, started.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise TrainingError(
            f"no training can be written to {folder}: {error.strerror or error}; name another folder with --out"
        ) from error


def refuse_changes(folder: Path, now: Started) -> None:
    """Raise `TrainingError` where a training is not what was begun in this folder: its loss curve would be another."""
    if (folder / MANIFEST).exists():
        raise TrainingError(f"the training in {folder} is complete: there is nothing to go on with")
    path = folder / STARTED
    try:
        begun = Started.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise TrainingError(f"there is no unfinished training in {folder}: it has no {STARTED}") from None
    except (OSError, ValidationError) as error:
        raise TrainingError(f"{path} is damaged; begin the training anew") from error
    changed = [
        field
        for field in ("data", "base", "method", "processes")
        if getattr(begun, field) != getattr(now, field)
    ]
    old, new = (_flat(one.config.model_dump(exclude={"data"})) for one in (begun, now))
    changed += [
        f"{key} in the config" for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)
    ]
    if not changed and begun.examples != now.examples:  # what else changes the tokens is told above
        changed = ["examples"]
    if changed:
        words = {
            "data": "the bytes of the data file",
            "base": "the base's files",
            "examples": "the examples' tokens (the task's system message or prompt was changed, or the base's chat template "
            "writes the date)",
            "method": f"the method ({begun.method}, now {now.method})",
            "processes": f"the number of processes ({begun.processes}, now {now.processes})",
        }
        what = ", ".join(words.get(one, one) for one in changed)
        raise TrainingError(
            f"the training in {folder} cannot be gone on with, because something else is asked now: {what}. Restore it, or "
            "train anew without --resume"
        )


def _flat(value: Any, at: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {at: value}
    return {
        key: one
        for name, part in value.items()
        for key, one in _flat(part, f"{at}.{name}" if at else name).items()
    }


def open_losses(folder: Path, step: int) -> Journal:
    """The journal of losses, without those after the checkpoint at `step`: they come again. Raises `OSError`."""
    path = folder / LOSSES
    if path.exists():
        without_torn_line(path)
        kept = [line for line in read_losses(folder) if line.step <= step]
        write_whole(path, "".join(json.dumps(asdict(line)) + "\n" for line in kept))
    return Journal(path)


def read_losses(folder: Path) -> list[LossLine]:
    """All losses so far; raises `TrainingError` for a damaged line."""
    try:
        return list(read_lines(folder / LOSSES, lambda data: LossLine(**data)))
    except RunRecordError as error:
        raise TrainingError(str(error)) from error
