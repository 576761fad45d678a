"""The order in which examples are seen: by seed and epoch alone, so that a resumed training goes on with the same one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

# Batches among which examples of like length are looked for: more would bring the same lengths together each epoch.
_WINDOW = 50


def epoch_order(lengths: Sequence[int], *, seed: int, epoch: int, batch: int, grouped: bool) -> list[int]:
    """The indices of all examples, shuffled. `lengths` are in tokens.

    Grouped, each `batch` of them in a row is of like length, which saves padding, and the batches stand in random order:
    sorted ones would teach the lengths one after the other. The batch with the longest example comes first, so that
    memory runs out at the first step or never.
    """
    drawn = random.Random(f"{seed} {epoch}")  # noqa: S311 - an order, no secret
    places = list(range(len(lengths)))
    drawn.shuffle(places)
    if not grouped or not places:
        return places
    width = batch * _WINDOW
    for start in range(0, len(places), width):
        places[start : start + width] = sorted(
            places[start : start + width], key=lambda place: lengths[place], reverse=True
        )
    batches = [places[start : start + batch] for start in range(0, len(places), batch)]
    # A batch that is not full stays at the end: elsewhere it would shift all that follow.
    rest = [batches.pop()] if len(batches[-1]) < batch else []
    drawn.shuffle(batches)
    batches.sort(key=lambda one: max(lengths[place] for place in one) < max(lengths))
    return [place for one in [*batches, *rest] for place in one]


class EpochOrder(Sampler[int]):
    """`epoch_order` for PyTorch. `epoch` has to be set before each epoch is begun."""

    def __init__(self, lengths: Sequence[int], *, seed: int, batch: int, grouped: bool) -> None:
        self._lengths = lengths
        self._seed = seed
        self._batch = batch
        self._grouped = grouped
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(
            epoch_order(
                self._lengths, seed=self._seed, epoch=self.epoch, batch=self._batch, grouped=self._grouped
            )
        )
