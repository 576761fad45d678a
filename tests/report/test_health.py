"""The health of golden tasks at 80 columns, with what deserves a look in words."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from evals.health import Lengths, NearPair, TaskHealth
from evals.report.health import PAIRS_SHOWN, print_health


def health(**fields: Any) -> TaskHealth:
    defaults: dict[str, Any] = {
        "task": "answer_from_context",
        "cases": 172,
        "splits": {"dev": 60, "gate": 112},
        "tags": {"easy": 60, "hard": 112},
        "inputs": Lengths(120, 180, 400),
        "references": Lengths(12, 18, 1200),
        "wrong": 150,
        "near": (),
        "answers": 344,
        "models": 2,
        "never_fails": (),
        "never_passes": ("exact", "overlap"),
        "drop": 0.0456,
        "drop_gate": None,
    }
    return TaskHealth(**{**defaults, **fields})


def printed(*tasks: TaskHealth, width: int = 80) -> str:
    stream = io.StringIO()
    print_health(Console(file=stream, width=width), tasks)
    return stream.getvalue()


def test_at_80_columns_a_long_row_stands_whole() -> None:
    lines = printed(health()).splitlines()

    assert lines[1].split() == [
        *("answer_from_context", "172", "60", "112", "120/180/400", "12/18/1200", "4.6%", "-")
    ]
    assert max(map(len, lines)) <= 80
    assert "  wrong answers beside 150 of 172 cases" in lines


def test_checks_that_tell_nothing_are_named() -> None:
    text = printed(health())

    assert "over 344 recorded answers of 2 models, never failed: none" in text
    assert "over 344 recorded answers of 2 models, never passed: exact, overlap" in text


@pytest.mark.parametrize(
    ("across", "says"),
    [
        (0, "No near duplicate stands in both splits."),
        (1, "1 near duplicate stands in both splits: move one of each pair, or write it anew."),
        (2, "2 near duplicates stand in both splits: move one of each pair, or write it anew."),
    ],
)
def test_the_last_line_says_whether_the_splits_are_apart(across: int, says: str) -> None:
    near = (
        NearPair("a", "b", 91.0, False),
        *(NearPair("c", f"d{number}", 90, True) for number in range(across)),
    )
    text = printed(health(near=near))

    assert "near duplicates (91%), in the same split: a ~ b" in text
    assert " ".join(text.split()).endswith(says)


def test_very_many_pairs_are_counted_not_listed() -> None:
    near = tuple(NearPair("a", f"b{number}", 99.0, False) for number in range(PAIRS_SHOWN + 3))

    assert "and 3 more near duplicates (85% or more)" in printed(health(near=near))
