"""Examples that say the same twice, nearly the same, or contradict each other."""

from __future__ import annotations

from evals.backends.base import Message
from training.data import Example
from training.duplicates import NearLines, find_duplicates


def example(line: int, prompt: str, completion: str) -> Example:
    return Example(line, (Message("user", prompt), Message("assistant", completion)), {}, prompt)


def test_equal_examples_are_grouped_and_contradict_nothing() -> None:
    found = find_duplicates([
        example(1, "Sky?", "blue"),
        example(2, "Sea?", "green"),
        example(3, "Sky?", "blue"),
        example(4, "Sky?", "blue"),
    ])

    assert found.equal == ((1, 3, 4),)
    assert (found.contradicting, found.near) == ((), ())


def test_the_same_prompt_with_another_completion_contradicts_whatever_its_case_and_spaces() -> None:
    found = find_duplicates([
        example(1, "What colour is the sky?", "blue"),
        example(2, "what colour  is the sky?", "green"),
        example(3, "Sea?", "green"),
        example(4, "SEA?", "Green"),
    ])

    assert found.contradicting == ((1, 2),)
    assert (found.equal, found.near) == ((), ())


def test_other_signs_ask_something_else() -> None:
    found = find_duplicates([
        example(1, "What is twelve + seven?", "19"),
        example(2, "What is twelve - seven?", "5"),
    ])

    assert found.contradicting == ()
    assert found.near == (NearLines(1, 2, 100.0),)


def test_near_duplicates_come_most_alike_first_each_pair_once() -> None:
    found = find_duplicates([
        example(4, "Give Steve three diamonds and a golden apple", "a"),
        example(5, "Give Steve three diamonds and a golden carrot", "b"),
        example(6, "Give Steven three diamonds and a golden apple", "c"),
        example(7, "Stop the rain", "d"),
    ])

    assert [(pair.one, pair.other) for pair in found.near] == [(4, 6), (4, 5), (5, 6)]
    assert all(85 <= pair.likeness < 100 for pair in found.near)


def test_no_examples_have_no_duplicates() -> None:
    found = find_duplicates([])

    assert (found.equal, found.contradicting, found.near) == ((), (), ())
