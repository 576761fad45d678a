"""Checkpoints keep an optimiser and random numbers to the last bit, are whole or not there, and hold no pickle."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy
import pytest
import torch

from evals.errors import TrainingError
from training.checkpoints import (
    checkpoint_folder,
    checkpoints,
    keep_only,
    latest_checkpoint,
    load_optimiser,
    load_random_state,
    partial_folder,
    put_in_place,
    remove_partial,
    save_optimiser,
    save_random_state,
)
from training.no_pickle import refuse_pickles


class Net:
    """Two weights, AdamW and a schedule; a step draws its gradients."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.weights = [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(4))]
        self.optimiser = torch.optim.AdamW(self.weights, lr=0.1, betas=(0.8, 0.99))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, lambda step: 1 / (1 + step))

    def step(self) -> None:
        for weight in self.weights:
            weight.grad = torch.randn_like(weight)
        self.optimiser.step()
        self.schedule.step()


def test_an_optimiser_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    cut, whole = Net(), Net()
    for _ in range(3):
        whole.step()
    save_optimiser(tmp_path, whole.optimiser.state_dict(), whole.schedule.state_dict())
    save_random_state(tmp_path, 0)
    with torch.no_grad():
        for target, source in zip(cut.weights, whole.weights, strict=True):
            target.copy_(source)
    whole.step()

    optimiser, schedule = load_optimiser(tmp_path)
    cut.optimiser.load_state_dict(optimiser)
    cut.schedule.load_state_dict(schedule)
    load_random_state(tmp_path, 0)
    cut.step()

    assert all(torch.equal(a, b) for a, b in zip(cut.weights, whole.weights, strict=True))
    assert cut.optimiser.param_groups[0]["betas"] == (0.8, 0.99)
    assert cut.schedule.get_last_lr() == whole.schedule.get_last_lr()
    refuse_pickles(tmp_path)


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float, float]:
        gauss = random.gauss(0, 1), float(numpy.random.standard_normal())  # both keep a second one for later
        return (*gauss, random.random(), float(torch.rand(1)))

    draw()
    save_random_state(tmp_path, 1)
    expected = [draw() for _ in range(3)]
    load_random_state(tmp_path, 1)

    assert [draw() for _ in range(3)] == expected


def test_a_process_that_was_not_there_has_no_random_numbers(tmp_path: Path) -> None:
    save_random_state(tmp_path, 0)

    with pytest.raises(TrainingError, match="was written with fewer processes than now"):
        load_random_state(tmp_path, 1)


@pytest.mark.parametrize("text", ["", "{}", '{"python": 1}', '{"python": [3, [1], null]}'])
def test_damaged_random_numbers_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "random-0.json").write_text(text)

    with pytest.raises(TrainingError, match="is damaged"):
        load_random_state(tmp_path, 0)


@pytest.mark.parametrize("file", ["optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_damaged_optimiser_is_told(tmp_path: Path, file: str, gone: bool) -> None:
    net = Net()
    net.step()
    save_optimiser(tmp_path, net.optimiser.state_dict(), net.schedule.state_dict())
    (tmp_path / file).unlink() if gone else (tmp_path / file).write_bytes(b"{}")

    with pytest.raises(TrainingError, match=r"is damaged: .*Remove it, so that the one before it is taken"):
        load_optimiser(tmp_path)


def made(folder: Path, *steps: int) -> None:
    for step in steps:
        checkpoint_folder(folder, step).mkdir()


def test_checkpoints_are_in_order_of_their_steps(tmp_path: Path) -> None:
    made(tmp_path, 10, 9, 100)
    (tmp_path / "checkpoint-best").mkdir()
    partial_folder(tmp_path, 200).mkdir()

    assert list(checkpoints(tmp_path)) == [9, 10, 100]
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-100"


def test_without_a_checkpoint_there_is_no_latest(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None


def test_a_planted_pickle_keeps_a_checkpoint_from_being_taken(tmp_path: Path) -> None:
    made(tmp_path, 1)
    (tmp_path / "checkpoint-1" / "scheduler").write_bytes(pickle.dumps([1]))

    with pytest.raises(TrainingError, match="holds pickled files"):
        latest_checkpoint(tmp_path)


def test_a_checkpoint_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    partial = partial_folder(tmp_path, 3)
    partial.mkdir()
    (partial / "state.json").write_text("new")
    made(tmp_path, 3)
    (tmp_path / "checkpoint-3" / "state.json").write_text("old")

    put_in_place(partial, checkpoint_folder(tmp_path, 3))

    assert (tmp_path / "checkpoint-3" / "state.json").read_text() == "new" and not partial.exists()


def test_old_and_partial_ones_are_removed(tmp_path: Path) -> None:
    made(tmp_path, 1, 2, 3)
    partial_folder(tmp_path, 4).mkdir()

    keep_only(tmp_path, {1, 3})
    remove_partial(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-3"]
