"""A split is the cases that say so; a sample is the same for everybody and stands for every kind of case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from evals.cases import Gate, GoldenCase, GoldenTask, Options
from evals.sampling import of_split, sample_cases

KINDS = [(split, tag) for split in ("dev", "gate") for tag in ("easy", "hard", "")]


def task(name: str, kinds: list[tuple[str, str]]) -> GoldenTask:
    cases = tuple(
        GoldenCase(
            name, f"c{number}", "?", {}, "!", (tag,) if tag else (), (), "dev" if split == "dev" else "gate"
        )
        for number, (split, tag) in enumerate(kinds)
    )
    return GoldenTask(name, "", "", "", "{{ input }}", Options(), Gate(), cases, f"hash of {name}")


def ids(tasks: tuple[GoldenTask, ...]) -> list[str]:
    return [f"{one.name}/{case.id}" for one in tasks for case in one.cases]


def by_tag(tasks: tuple[GoldenTask, ...]) -> Mapping[tuple[str, tuple[str, ...]], int]:
    return Counter((one.name, case.tags) for one in tasks for case in one.cases)


def test_a_split_keeps_its_cases_in_order_and_the_hash_of_the_whole_task() -> None:
    both = task("colours", [("dev", "easy"), ("gate", "easy"), ("dev", "hard")])

    (dev,) = of_split([both], "dev")
    (gate,) = of_split([both], "gate")

    assert ids((dev,)) == ["colours/c0", "colours/c2"]
    assert ids((gate,)) == ["colours/c1"]
    assert dev.hash == gate.hash == both.hash
    assert of_split([both], None) == (both,)


def test_a_task_without_a_case_of_the_split_is_left_out() -> None:
    assert of_split([task("colours", [("gate", "easy")])], "dev") == ()


def test_a_sample_takes_its_share_of_each_task_and_difficulty() -> None:
    kinds = [("gate", "easy")] * 60 + [("gate", "hard")] * 30
    tasks = [task("colours", kinds), task("shades", [("gate", "easy")] * 10)]

    chosen = sample_cases(tasks, 10)

    assert by_tag(chosen) == {("colours", ("easy",)): 6, ("colours", ("hard",)): 3, ("shades", ("easy",)): 1}


def test_no_task_is_left_out_while_another_has_several() -> None:
    tasks = [
        task("colours", [("gate", "easy")] * 200),
        *(task(f"t{n}", [("gate", "easy")] * 2) for n in range(4)),
    ]

    chosen = sample_cases(tasks, 8)

    assert {one.name: len(one.cases) for one in chosen} == {"colours": 4, "t0": 1, "t1": 1, "t2": 1, "t3": 1}
    assert len(sample_cases(tasks, 3)) == 3


def test_a_case_added_to_one_task_changes_nothing_in_another() -> None:
    colours = task("colours", [("gate", "easy")] * 40)
    before = sample_cases([colours, task("shades", [("gate", "easy")] * 40)], 20)
    after = sample_cases([colours, task("shades", [("gate", "easy")] * 41)], 20)

    assert ids(before[:1]) == ids(after[:1])


@given(sizes=st.lists(st.lists(st.sampled_from(KINDS), max_size=20), max_size=4), size=st.integers(1, 100))
def test_a_sample_has_the_size_asked_for_and_comes_out_the_same(
    sizes: list[list[tuple[str, str]]], size: int
) -> None:
    tasks = [task(f"t{number}", kinds) for number, kinds in enumerate(sizes)]
    everything = ids(tuple(tasks))

    chosen = ids(sample_cases(tasks, size))

    assert len(chosen) == len(set(chosen)) == min(size, len(everything))
    assert [one for one in everything if one in chosen] == chosen
    assert ids(sample_cases(tasks, size)) == chosen
