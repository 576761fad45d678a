"""An adapter's folder while it is trained: begun once, gone on with only as it was begun, its losses kept."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from evals.errors import TrainingError
from training.adapter_folder import (
    LossLine,
    Started,
    begin,
    new_name,
    open_losses,
    read_losses,
    refuse_changes,
    unfinished,
)
from training.config import TrainConfig

CONFIG = TrainConfig(name="small", data="/here/examples.jsonl")


def started(**changes: Any) -> Started:
    fields: dict[str, Any] = {
        "config": CONFIG,
        "data": "d" * 64,
        "base": "b" * 64,
        "examples": "x" * 64,
        "method": "fp32",
        "processes": 1,
        "created": "2026-11-30T12:00:00Z",
    }
    return Started(**(fields | changes))


def line(step: int, *, held_out: bool = False) -> LossLine:
    return LossLine(step, 1 / step, held_out, 0.001, step * 10, step * 0.5)


def write_losses(folder: Path, *lines: LossLine, after: str = "") -> None:
    (folder / "losses.jsonl").write_text("".join(json.dumps(asdict(one)) + "\n" for one in lines) + after)


def test_a_training_is_begun_in_a_folder_that_is_made_for_it(tmp_path: Path) -> None:
    begin(tmp_path / "a" / "b", started())

    refuse_changes(tmp_path / "a" / "b", started(created="later"))  # nothing that decides a loss


def test_where_the_data_lies_may_change(tmp_path: Path) -> None:
    begin(tmp_path, started())

    refuse_changes(tmp_path, started(config=CONFIG.model_copy(update={"data": "/there/examples.jsonl"})))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": "e" * 64}, "the bytes of the data file"),
        ({"base": "e" * 64}, "the base's files"),
        ({"data": "e" * 64, "examples": "e" * 64}, "the bytes of the data file"),
        (
            {"examples": "e" * 64},
            "the examples' tokens (the task's system message or prompt was changed, or the base's chat template writes the "
            "date)",
        ),
        ({"method": "bf16"}, "the method (fp32, now bf16)"),
        ({"processes": 2}, "the number of processes (1, now 2)"),
        ({"config": TrainConfig(name="small", data="x", held_out=0.2)}, "held_out in the config"),
    ],
)
def test_what_is_asked_otherwise_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    begin(tmp_path, started())

    with pytest.raises(TrainingError) as caught:
        refuse_changes(tmp_path, started(**change))
    assert f"something else is asked now: {words}. Restore it" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", '{"format": 2}'])
def test_a_damaged_beginning_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "started.json").write_text(text)

    with pytest.raises(TrainingError, match=r"started\.json is damaged; begin the training anew"):
        refuse_changes(tmp_path, started())


def test_the_newest_training_without_a_manifest_is_the_unfinished_one(tmp_path: Path) -> None:
    for name in ("20260101-000000", "20260102-000000", "20260103-000000"):
        begin(tmp_path / "small" / name, started())
    (tmp_path / "small" / "20260103-000000" / "manifest.json").write_text("{}")

    assert unfinished("small", tmp_path).name == "20260102-000000"
    with pytest.raises(TrainingError, match="there is no unfinished training of other"):
        unfinished("other", tmp_path)


def test_a_name_that_is_taken_is_not_given_again(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        names.append(new_name("small", tmp_path))
        (tmp_path / "small" / names[-1]).mkdir(parents=True)

    assert len(set(names)) == 3 and names == sorted(names)


def test_losses_after_the_checkpoint_are_taken_back(tmp_path: Path) -> None:
    write_losses(tmp_path, line(1), line(2), line(2, held_out=True), line(3), after='{"step": 4, "lo')
    journal = open_losses(tmp_path, 2)
    journal.add(asdict(line(3)))
    journal.close()

    assert read_losses(tmp_path) == [line(1), line(2), line(2, held_out=True), line(3)]


def test_a_damaged_line_of_losses_is_told(tmp_path: Path) -> None:
    write_losses(tmp_path, line(1), after="{}\n")

    with pytest.raises(TrainingError, match=r"losses\.jsonl:2: damaged line"):
        open_losses(tmp_path, 2)
