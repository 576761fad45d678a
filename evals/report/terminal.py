"""The end of a run on the terminal: scores, failure kinds, speed, verdict, where the record is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evals.checks.answers import shorten
from evals.report.tables import SCORE_COLUMNS, outcome_line, score_cells, speed_line
from evals.scores import ModelFigures, Score, Summary

CAUSES_SHOWN = 8


def print_summary(
    console: Console,
    summary: Summary,
    problems: Sequence[str],
    unavailable: Mapping[str, str],
    *,
    folder: Path,
    enforced: bool,
    complete: bool,
    stored: int,
    notes: Sequence[str] = (),
) -> None:
    """Print the summary of a run; colours say nothing that the words do not say."""
    for figures in summary.models:
        console.print()
        console.print(Text(figures.model, style="bold"))
        scores = [score for score in summary.scores if score.model == figures.model]
        console.print(_score_table(scores))
        console.print(Padding(_figures(figures), (0, 0, 0, 2)))
    for message in unavailable.values():
        console.print()
        console.print(Text(message, style="red"))
    console.print()
    for note in notes:
        console.print(Text(f"note: {note}", style="yellow"))
    _print_verdict(console, problems, enforced=enforced, complete=complete)
    if stored:
        console.print(f"{stored} replies came from the store; --refresh asks the models again.")
    console.print(Text(f"run: {folder}" if complete else f"unfinished run: {folder}"), soft_wrap=True)


def _score_table(scores: Sequence[Score]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style="dim")
    for name in SCORE_COLUMNS:
        table.add_column(
            name, justify="right" if name in ("pass rate", "n", "95% interval") else "left", no_wrap=True
        )
    task = ""
    for score in scores:
        cells = list(score_cells(score))
        # A task is named once; its other capabilities stand below it.
        cells[0], task = ("" if cells[0] == task else cells[0]), score.task
        style = {True: "green", False: "red", None: ""}[score.holds]
        table.add_row(*map(escape, cells[:-1]), Text(cells[-1], style=style))
    return table


def _figures(figures: ModelFigures) -> Group:
    lines = [Text(f"replies: {outcome_line(dict(figures.outcomes))}")]
    if figures.causes:
        shown = list(figures.causes.items())[:CAUSES_SHOWN]
        lines.append(Text("misses in whole answers, by cause:"))
        lines += [Text(f"  {count:>5}  {shorten(cause, 66)}") for cause, count in shown]
        if len(figures.causes) > CAUSES_SHOWN:
            lines.append(
                Text(f"         and {len(figures.causes) - CAUSES_SHOWN} rarer causes, in report.md")
            )
    for fault, count in figures.faults.items():
        lines.append(Text(f"no reply, {count} times: {shorten(fault, 300)}", style="red"))
    if figures.retried:
        lines.append(
            Text(f"{figures.retried} replies came only after asking again; reasons in results.jsonl")
        )
    lines.append(
        Text(f"speed: {speed_line(figures.tokens_per_s, figures.first_token_s, figures.completion_tokens)}")
    )
    return Group(*lines)


def _print_verdict(console: Console, problems: Sequence[str], *, enforced: bool, complete: bool) -> None:
    if not complete:
        console.print(Text("Interrupted: the figures are of what was judged so far.", style="yellow"))
        console.print("The replies are in the store; the same command asks only for the rest.")
    elif problems:
        console.print(
            Text("The gate does not hold:" if enforced else "Not everything was answered:", style="bold red")
        )
        for problem in problems:
            console.print(Text(f"  {problem}"))
    elif enforced:
        console.print(Text("The gate holds.", style="bold green"))
    else:
        console.print("Measured only (--no-gate): floors are shown, not enforced.")
