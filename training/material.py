"""What a training is made of: the data file's examples, looked through for golden cases, split and encoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.backends.hugging_face_folder import context_length, read_json
from evals.cases import load_golden
from evals.checks.answers import shorten
from evals.errors import SettingsError, TrainingError
from training.bases import Base
from training.config import TrainConfig
from training.contamination import Overlap, find_overlaps
from training.data import Dataset, Example, read_dataset, split
from training.encode import Encoded, Encoder, Skipped, open_encoder

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Material:
    """Encoded examples to train on and to measure with, those that did not fit, and overlaps that were let pass."""

    dataset: Dataset
    train: tuple[Encoded, ...]
    held_out: tuple[Encoded, ...]
    skipped: tuple[Skipped, ...]
    overlaps: tuple[Overlap, ...]

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the tokens of both sides, in order, and from which of them on there is loss."""
        sides = [
            [(one.input_ids, one.completion_from) for one in side] for side in (self.train, self.held_out)
        ]
        return hashlib.sha256(json.dumps(sides).encode()).hexdigest()


def prepare(config: TrainConfig, base: Base, golden: Path) -> Material:
    """Read, check, split and encode the data of a config.

    Raises `DataError` for its lines, `TrainingError` where a completion is empty, where it overlaps with golden cases
    without a reason to allow it, where an example is longer than the base's context, or nothing is left to train on, and `GoldenError` or `SettingsError` for the golden folder.
    """
    tasks = load_golden(golden)
    task = next((one for one in tasks if one.name == config.task), None)
    if config.task and task is None:
        raise SettingsError(
            f"there is no task {config.task!r} in {golden}; there are: {', '.join(one.name for one in tasks)}"
        )
    dataset = read_dataset(Path(config.data), task)
    _refuse_empty(dataset)
    overlaps = find_overlaps(dataset.examples, tasks)
    if overlaps and not config.allow_contamination:
        raise _contaminated(dataset, overlaps)
    encoder = open_encoder(base.folder, config.max_length)
    train, held_out = split(dataset, config.held_out)
    learned, left = _encode(encoder, train)
    measured, left_too = _encode(encoder, held_out)
    if not learned:
        raise TrainingError(
            f"none of the {len(train)} examples of {dataset.path} can be trained on"
            + (f"; the first: line {left[0].line}: {left[0].reason}" if left else "")
            + ". `python -m training lint` shows what fits at which max_length"
        )
    if config.train.early_stop and not measured:
        raise TrainingError(
            f"train.early_stop needs held-out examples, and of the {len(dataset.examples)} of {dataset.path} none was held "
            "out; raise held_out, or leave out early_stop"
        )
    _refuse_beyond_context((*learned, *measured), base, dataset.path)
    return Material(dataset, learned, measured, (*left, *left_too), overlaps)


def _encode(encoder: Encoder, examples: Sequence[Example]) -> tuple[tuple[Encoded, ...], tuple[Skipped, ...]]:
    done = [encoder.encode(one) for one in examples]
    return (
        tuple(one for one in done if isinstance(one, Encoded)),
        tuple(one for one in done if isinstance(one, Skipped)),
    )


def _refuse_empty(dataset: Dataset) -> None:
    empty = [one.line for one in dataset.examples if not one.completion.strip()]
    if empty:
        lines = ", ".join(map(str, empty[:_SHOWN])) + (
            f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        )
        raise TrainingError(
            f"{dataset.path}: the completion is empty in line{'s' * (len(empty) > 1)} {lines}: it would teach to say nothing. "
            "Write what should be answered there, or take the lines out"
        )


def _refuse_beyond_context(examples: Sequence[Encoded], base: Base, data: Path) -> None:
    """Past its last position a base has nothing to go by: some fail there, others learn noise."""
    context = context_length(read_json(base.folder / "config.json"))
    longest = max(examples, key=lambda one: len(one.input_ids))
    if context is not None and len(longest.input_ids) > context:
        raise TrainingError(
            f"{data}:{longest.line}: the example takes {len(longest.input_ids):,} tokens, and the context of {base.name} is "
            f"{context:,}; lower max_length to {context} at most, or take a base with a longer context"
        )


def _contaminated(dataset: Dataset, overlaps: Sequence[Overlap]) -> TrainingError:
    lines = [
        f"{dataset.path}:{one.line}: {one.how} overlap with the golden case {one.task}/{one.case}: {shorten(one.shown)}"
        for one in overlaps[:_SHOWN]
    ]
    if len(overlaps) > _SHOWN:
        lines.append(f"… and {len(overlaps) - _SHOWN} more; `python -m training lint` shows all")
    count = "1 overlap" if len(overlaps) == 1 else f"{len(overlaps)} overlaps"
    return TrainingError(
        "\n".join([
            f"{count} of the training data with golden cases: a model that has seen them proves nothing there. Take the "
            "lines out, or say in allow_contamination why they may stay:",
            *lines,
        ])
    )
