"""The pages of which docs/ shows pictures are what real runs would make."""

from __future__ import annotations

from pathlib import Path

from evals.report.html import html_report
from tests.report.example_runs import example_page


def test_the_pictured_candidate_is_promoted_by_the_real_gate_and_comparison(tmp_path: Path) -> None:
    page = example_page(tmp_path)

    assert page.verdict is not None and page.verdict.verdict == "promote"
    assert [sentence for sentence, _ in page.gate] == ["The gate holds."]
    sides = (page.verdict.candidate, page.verdict.baseline)
    assert {one.model: one.digest for one in sides} == {one.label: one.digest for one in page.models}
    held = {
        one.label: [cell.holds for cells in one.tasks.values() for cell in cells.values()]
        for one in page.models
    }
    assert set(held["qwen3:4b"]) == {None} and False not in held["mc-ops:candidate"]
    assert page.notes == page.verdict.notes == ()
    assert all(case.prompt for case in page.cases)


def test_three_models_of_three_runs_share_their_cases(tmp_path: Path) -> None:
    page = example_page(tmp_path, third=True)

    assert [one.label for one in page.models] == ["mc-ops:candidate", "qwen3:4b", "gemma3n:e4b"]
    assert "It is the verdict of the run" in html_report(page)
    assert {len(case.replies) for case in page.cases} == {3}
