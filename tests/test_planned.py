"""What a comparison can show, told before anything is asked; and that the real tasks ask nothing that they cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evals.cases import GoldenTask, VersusBaseline, load_golden
from evals.checks.base import Capability
from evals.planned import Planned, planned
from evals.policy import Policy, policy_of_tasks
from evals.power import cases_for_margin, smallest_drop
from evals.runs import task_facts
from tests.golden_folder import TASK, write_golden

REAL = load_golden(Path(__file__).parents[1] / "golden")


def cases(count: int, cluster: str = "") -> str:
    return "".join(
        f"- {{id: c{number}, input: The sky {number}., expect: {{keywords: [blue]}}, reference: Blue.{cluster}}}\n"
        for number in range(count)
    )


def colours(folder: Path, text: str, name: str = "colours") -> GoldenTask:
    task = TASK.replace("task: colours", f"task: {name}")
    return load_golden(write_golden(folder, task, text, name=name), [name])[0]


def asking(**margins: float) -> Policy:
    named = {Capability(name): margin for name, margin in margins.items()}
    return Policy("", {"colours": VersusBaseline(non_inferior=named)})


def test_a_task_tells_the_drop_that_its_cases_show_and_the_cases_that_its_margin_needs(
    tmp_path: Path,
) -> None:
    task = colours(tmp_path, cases(40))

    assert planned([task], asking(content=0.05)) == [Planned("colours", 40, 40, smallest_drop(40), 0.05, 73)]


def test_a_task_of_which_no_margin_is_asked_tells_the_drop_alone(tmp_path: Path) -> None:
    task = colours(tmp_path, cases(5))

    assert planned([task], Policy("", {})) == [Planned("colours", 5, 5, None)]
    assert planned([task], asking(content=0.0)) == [Planned("colours", 5, 5, None)]


def test_cases_of_one_cluster_count_once_even_one_that_is_called_like_a_case(tmp_path: Path) -> None:
    text = cases(3, ", cluster: c7") + cases(9).partition("- {id: c3")[1] + cases(9).partition("- {id: c3")[2]

    (row,) = planned([colours(tmp_path, text)], Policy("", {}))

    assert (row.cases, row.units) == (9, 7)


def test_a_capability_that_few_cases_judge_is_told_with_as_many(tmp_path: Path) -> None:
    own = "- {id: own, input: A., reference: Blue., checks: [{kind: length, words: {max: 9}, capability: format}]}\n"
    task = colours(tmp_path, cases(40) + own)

    (row,) = planned([task], asking(content=0.1, format=0.1))

    assert (row.cases, row.units, row.margin, row.needed) == (41, 1, 0.1, cases_for_margin(0.1))


def test_the_margin_of_a_guard_counts_for_the_task_that_is_guarded(tmp_path: Path) -> None:
    shades, guarded = colours(tmp_path, cases(40), "shades"), colours(tmp_path, cases(40))
    policy = Policy("", {"shades": VersusBaseline(guards={"colours": 0.05})})

    first, second = planned([shades, guarded], policy)

    assert (first.margin, second.margin, second.needed) == (None, 0.05, 73)


def test_the_margin_that_lacks_most_cases_is_told(tmp_path: Path) -> None:
    files = TASK.replace(
        "capability: content}", "capability: content}\n- {kind: length, words: {max: 9}, capability: format}"
    )
    (task,) = load_golden(write_golden(tmp_path, files, cases(40)))

    (row,) = planned([task], asking(content=0.2, format=0.02))

    assert (row.margin, row.needed) == (0.02, cases_for_margin(0.02))


@pytest.mark.parametrize("task", REAL, ids=[task.name for task in REAL])
def test_the_gate_split_of_a_real_task_can_show_its_margins(task: GoldenTask) -> None:
    judging = replace(task, cases=tuple(case for case in task.cases if case.split == "gate"))

    (row,) = planned([judging], policy_of_tasks(task_facts([task])))

    assert row.needed is not None
    assert row.needed <= row.units
