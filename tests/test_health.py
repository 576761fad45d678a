"""The health of a task: lengths, near duplicates within and across splits, checks that tell nothing, the drop it can show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.cases import GoldenTask, load_golden
from evals.health import ENOUGH_ANSWERS, Lengths, near_pairs, task_health
from evals.power import smallest_drop
from evals.runs import CaseRecord
from tests.golden_folder import write_golden
from tests.records import check, record

CASES = """\
- {id: sky, input: What colour is the sky over the sea at noon?, expect: {keywords: [blue]}, reference: Blue., wrong: [grey], tags: [easy]}
- {id: same, input: what colour is the sea at noon the sky over, expect: {keywords: [blue]}, reference: It is blue., split: dev, tags: [hard, sea]}
- {id: twin, input: "What colour is the sky over the sea, at noon!", expect: {keywords: [blue]}, reference: It is blue, tags: [hard]}
- {id: blood, input: Name the colour of blood., expect: {keywords: [red]}, reference: red, split: dev}
"""


@pytest.fixture
def task(tmp_path: Path) -> GoldenTask:
    return load_golden(write_golden(tmp_path, cases=CASES))[0]


def answers(n: int, outcome: str = "answered") -> list[CaseRecord]:
    """Each with a check that always passes, one that never does, and one that passes every second time."""
    return [
        record(
            check(name="always"),
            check("fail", name="never"),
            check("pass" if number % 2 else "error", name="some"),
            case=f"c{number}",
            outcome=outcome,
        )
        for number in range(n)
    ]


def test_cases_are_counted_by_split_and_tag_and_measured_in_words(task: GoldenTask) -> None:
    health = task_health(task, [])

    assert (health.cases, health.splits, health.wrong) == (4, {"gate": 2, "dev": 2}, 1)
    assert health.tags == {"hard": 2, "easy": 1, "sea": 1}
    assert health.inputs == Lengths(median=10, p90=10, longest=10)
    assert health.references == Lengths(median=2, p90=3, longest=3)


def test_near_duplicates_are_found_whatever_their_word_order_case_and_punctuation(task: GoldenTask) -> None:
    pairs = list(near_pairs(task.cases))

    assert {(pair.one, pair.other, pair.across) for pair in pairs} == {
        ("sky", "same", True),
        ("sky", "twin", False),
        ("same", "twin", True),
    }
    assert all(pair.likeness == 100 for pair in pairs)
    assert {(pair.one, pair.other) for pair in task_health(task, []).across} == {
        ("sky", "same"),
        ("same", "twin"),
    }


def test_inputs_of_punctuation_alone_are_alike_only_where_they_are(task: GoldenTask) -> None:
    first, second, third, _ = (
        dataclasses.replace(case, input=text)
        for case, text in zip(task.cases, ["?!?!", "?!?!", "....", "x"], strict=True)
    )

    assert [(pair.one, pair.other) for pair in near_pairs([first, second, third])] == [("sky", "same")]


def test_a_check_that_never_fails_or_never_passes_is_named_once_there_are_enough_answers(
    task: GoldenTask,
) -> None:
    few, enough = task_health(task, answers(ENOUGH_ANSWERS - 1)), task_health(task, answers(ENOUGH_ANSWERS))

    assert (few.never_fails, few.never_passes) == ((), ())
    assert (enough.answers, enough.models) == (20, 1)
    assert (enough.never_fails, enough.never_passes) == (("always",), ("never",))


def test_replies_that_are_no_whole_answers_and_other_tasks_tell_nothing_about_checks(
    task: GoldenTask,
) -> None:
    cut = answers(ENOUGH_ANSWERS, outcome="truncated")
    elsewhere = [dataclasses.replace(one, task="shades") for one in answers(ENOUGH_ANSWERS)]

    health = task_health(task, cut + elsewhere)

    assert (health.answers, health.never_fails, health.never_passes) == (0, (), ())


def test_the_drop_is_that_of_all_cases_and_of_the_gate_split(task: GoldenTask) -> None:
    many = tuple(
        dataclasses.replace(task.cases[0], id=f"c{number}", split="dev" if number < 10 else "gate")
        for number in range(40)
    )

    health = task_health(dataclasses.replace(task, cases=many), [])

    assert (health.drop, health.drop_gate) == (smallest_drop(40), smallest_drop(30))
    assert task_health(task, []).drop is None


@given(texts=st.lists(st.text(min_size=1), min_size=2, max_size=6), data=st.data())
def test_a_copied_input_is_always_found(texts: list[str], data: st.DataObject) -> None:
    from evals.cases import GoldenCase

    source = data.draw(st.integers(0, len(texts) - 1))
    cases = [
        GoldenCase("t", f"c{number}", text, {}, "", (), (), "gate")
        for number, text in enumerate([*texts, texts[source]])
    ]

    found = {(pair.one, pair.other) for pair in near_pairs(cases)}

    assert (f"c{source}", f"c{len(texts)}") in found
