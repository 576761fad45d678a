"""The order of examples: each once an epoch, by seed and epoch alone, lengths together where that saves padding."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from training.order import EpochOrder, epoch_order

LENGTHS = st.lists(st.integers(1, 500), max_size=300)


def in_batches(order: list[int], size: int) -> list[list[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


@given(LENGTHS, st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.booleans())
def test_each_example_comes_once(
    lengths: list[int], seed: int, epoch: int, batch: int, grouped: bool
) -> None:
    order = epoch_order(lengths, seed=seed, epoch=epoch, batch=batch, grouped=grouped)

    assert sorted(order) == list(range(len(lengths)))
    assert order == epoch_order(lengths, seed=seed, epoch=epoch, batch=batch, grouped=grouped)


@given(LENGTHS.filter(len), st.integers(0, 9), st.integers(1, 9))
def test_the_longest_example_is_in_the_first_full_batch(lengths: list[int], seed: int, batch: int) -> None:
    order = epoch_order(lengths, seed=seed, epoch=0, batch=batch, grouped=True)
    full = len(order) - len(order) % batch

    longest_of_full = max((lengths[place] for place in order[:full]), default=0)
    assert longest_of_full < max(lengths) or max(lengths[place] for place in order[:batch]) == max(lengths)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    lengths = [Random(number).randrange(500) for number in range(100)]
    orders = {
        tuple(epoch_order(lengths, seed=seed, epoch=epoch, batch=4, grouped=grouped))
        for seed in range(3)
        for epoch in range(3)
        for grouped in (False, True)
    }

    assert len(orders) == 18


def test_grouped_batches_have_less_padding_and_are_not_sorted_by_length() -> None:
    drawn = Random(1)
    lengths = [drawn.randrange(10, 1000) for _ in range(400)]

    def padding(grouped: bool) -> int:
        order = epoch_order(lengths, seed=0, epoch=0, batch=8, grouped=grouped)
        rows = [[lengths[place] for place in batch] for batch in in_batches(order, 8)]
        return sum(max(row) * len(row) - sum(row) for row in rows)

    assert padding(True) < padding(False) / 5
    order = epoch_order(lengths, seed=0, epoch=0, batch=8, grouped=True)
    first = [max(lengths[place] for place in batch) for batch in in_batches(order, 8)]
    assert first != sorted(first) and first != sorted(first, reverse=True)


def test_the_sampler_gives_the_order_of_its_epoch() -> None:
    lengths = list(range(20))
    sampler = EpochOrder(lengths, seed=3, batch=2, grouped=True)
    first = list(sampler)
    sampler.epoch = 1

    assert len(sampler) == 20 and first == epoch_order(lengths, seed=3, epoch=0, batch=2, grouped=True)
    assert list(sampler) == epoch_order(lengths, seed=3, epoch=1, batch=2, grouped=True)
