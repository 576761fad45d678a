"""Lint on the terminal: all of it at 80 and at 40 columns, without colour, and harmless whatever the file holds."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from training.completions import Judgement
from training.data import Dataset
from training.duplicates import Duplicates
from training.lint import Detail, Finding, LintReport
from training.lint_report import DETAILS_SHOWN, print_lint
from training.token_lengths import Fit, Spread, TokenLengths

TOKENS = TokenLengths(
    prompt=Spread(812, 1020, 2400, 123_456),
    completion=Spread(41, 80, 120, 900),
    fits=(Fit(512, 0.9996, 0.5, False), Fit(4096, 1.0, 0.9, True)),
    context=2048,
    skipped=(),
    shortened=(),
    refused=(),
)


def report(**fields: Any) -> LintReport:
    defaults: dict[str, Any] = {
        "dataset": Dataset(Path("data/mine.jsonl"), "", (), "judge"),
        "trained": 371,
        "held_out": 41,
        "tokens": TOKENS,
        "duplicates": Duplicates((), (), ()),
        "judgement": Judgement((), (), (), {"headings": 412, "table": 410}),
        "overlaps": (),
        "allowed": "",
        "problems": (),
        "warnings": (),
    }
    return LintReport(**{**defaults, **fields})


def printed(one: LintReport, width: int = 80) -> list[str]:
    stream = io.StringIO()
    print_lint(Console(file=stream, width=width), one)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    return lines


def test_lengths_and_shares_stand_in_tables() -> None:
    lines = printed(report())

    assert lines[0] == "data/mine.jsonl: 0 examples for judge, 371 to train, 41 held out"
    rows = [line.split() for line in lines]
    assert ["prompt", "812", "1,020", "2,400", "123,456"] in rows
    assert ["completion", "41", "80", "120", "900"] in rows
    assert ["512", ">99.9%", "50.0%"] in rows
    assert ["4,096*", "100.0%", "90.0%"] in rows
    assert "* more than the base can read: 2,048 tokens" in lines
    assert "completions judged, by check: headings 412, table 410" in lines


def test_at_40_columns_the_figures_are_all_there() -> None:
    rows = [line.split() for line in printed(report(), width=40)]

    assert ["prompt", "812", "1,020", "2,400", "123,456"] in rows
    assert ["512", ">99.9%", "50.0%"] in rows


def test_without_a_tokenizer_or_a_task_nothing_is_claimed_of_either() -> None:
    bare = report(
        dataset=Dataset(Path("mine.jsonl"), "", (), ""), tokens=None, judgement=Judgement((), (), (), {})
    )

    lines = printed(bare)

    assert "no task: completions were held against no check" in lines
    assert not any("median" in line or "within" in line for line in lines)


@pytest.mark.parametrize(
    ("problems", "warnings", "said"),
    [
        (0, 0, "lint clean: 0 examples"),
        (0, 1, "lint clean: 0 examples, 1 warning"),
        (1, 2, "lint failed: 1 problem, 2 warnings, 0 examples"),
        (2, 0, "lint failed: 2 problems, 0 examples"),
    ],
)
def test_the_last_line_says_how_it_ends(problems: int, warnings: int, said: str) -> None:
    one = Finding("something", (Detail(3, "here"),))

    lines = printed(report(problems=(one,) * problems, warnings=(one,) * warnings))

    assert lines[-1] == said
    assert lines.count("problem: something") == problems
    assert lines.count("warning: something") == warnings


def test_each_line_of_a_finding_is_named_with_its_file() -> None:
    lines = printed(report(problems=(Finding("two faults", (Detail(3, "no colour"), Detail(14, ""))),)))

    assert lines[lines.index("problem: two faults") + 1 :][:2] == [
        "  data/mine.jsonl:3: no colour",
        "  data/mine.jsonl:14",
    ]


def test_of_many_lines_the_first_are_shown_and_the_others_counted() -> None:
    details = tuple(Detail(line, "empty") for line in range(1, DETAILS_SHOWN + 1235))

    lines = printed(report(problems=(Finding("many", details),)))

    assert sum("empty" in line for line in lines) == DETAILS_SHOWN
    assert "  and 1,234 more" in lines
    just = printed(report(problems=(Finding("many", details[:DETAILS_SHOWN]),)))
    assert not any("more" in line and line.startswith("  and") for line in just)


def test_what_a_file_holds_neither_steers_the_terminal_nor_passes_for_markup() -> None:
    hostile = "\x1b[2J\u202e\x07[bold]x[/bold]" + "y" * 5000
    found = (Finding(hostile, (Detail(1, hostile),)),)
    one = report(problems=found, warnings=found, dataset=Dataset(Path("a\x1b[31mb.jsonl"), "", (), ""))

    lines = printed(one)

    assert all(line.isprintable() for line in lines)
    assert any("[bold]x[/bold]" in line for line in lines)
    assert len(lines) < 60


def test_a_context_that_nobody_knows_marks_nothing() -> None:
    tokens = dataclasses.replace(TOKENS, context=None, fits=(Fit(4096, 1.0, 1.0, False),))

    assert not any("*" in line for line in printed(report(tokens=tokens)))
