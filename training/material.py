"""What a training is made of: the data file's examples, looked through for golden cases, split and encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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


def prepare(config: TrainConfig, base: Base, golden: Path) -> Material:
    """Read, check, split and encode the data of a config.

    Raises `DataError` for its lines, `TrainingError` where it overlaps with golden cases without a reason to allow it,
    or nothing is left to train on, and `GoldenError` or `SettingsError` for the golden folder.
    """
    tasks = load_golden(golden)
    task = next((one for one in tasks if one.name == config.task), None)
    if config.task and task is None:
        raise SettingsError(
            f"there is no task {config.task!r} in {golden}; there are: {', '.join(one.name for one in tasks)}"
        )
    dataset = read_dataset(Path(config.data), task)
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
    return Material(dataset, learned, measured, (*left, *left_too), overlaps)


def _encode(encoder: Encoder, examples: Sequence[Example]) -> tuple[tuple[Encoded, ...], tuple[Skipped, ...]]:
    done = [encoder.encode(one) for one in examples]
    return (
        tuple(one for one in done if isinstance(one, Encoded)),
        tuple(one for one in done if isinstance(one, Skipped)),
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
