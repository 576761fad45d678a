"""Figures in words: the same on the terminal and in Markdown."""

from __future__ import annotations

from evals.report.tables import points_lines
from evals.runs import CaseRecord
from evals.scores import summarise
from tests.records import check, record


def judged(task: str, passed: int, of: int, case: str, capability: str = "format") -> CaseRecord:
    checks = [
        check("pass" if number < passed else "fail", name=f"f{number}", capability=capability)
        for number in range(of)
    ]
    return record(*checks, task=task, case=case)


def test_format_checks_of_a_task_are_summed_to_k_of_n_a_case() -> None:
    records = [
        judged("judge", 3, 5, "a"),
        judged("judge", 4, 5, "b"),
        judged("seeder", 8, 8, "a"),
        judged("seeder", 1, 2, "b", capability="content"),
    ]

    assert list(points_lines(summarise(records, {}).scores)) == [
        "format checks passed a case: judge 3.5 of 5, seeder 8.0 of 8",
    ]


def test_a_capability_of_one_check_a_case_has_nothing_to_sum() -> None:
    assert list(points_lines(summarise([judged("judge", 1, 1, "a")], {}).scores)) == []


def test_where_cases_have_different_numbers_of_checks_both_figures_are_means() -> None:
    records = [judged("planner", 2, 4, "a"), judged("planner", 5, 5, "b")]

    assert list(points_lines(summarise(records, {}).scores)) == [
        "format checks passed a case: planner 3.5 of 4.5"
    ]
