"""The end of a run on the terminal: scores, failure kinds, speed, verdict, where the record is."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evals.checks.answers import shorten
from evals.gate import GateVerdict
from evals.leaderboard import Standing
from evals.report.compared import print_verdict
from evals.report.snapshots import print_snapshots
from evals.report.standings import print_standings
from evals.report.tables import (
    SCORE_COLUMNS,
    figure_lines,
    outcome_line,
    score_cells,
    speed_line,
)
from evals.scores import ModelFigures, Score, Summary
from evals.snapshots import SnapshotResults
from evals.verdict import Verdict

CAUSES_SHOWN = 8
MESSAGE_LIMIT = 2000
# Narrower than this, the score table leaves out the interval and n, and names the task above.
FULL_TABLE_COLUMNS = 76
NARROW_COLUMNS = ("capability", "pass rate", "floor")


def print_summary(
    console: Console,
    summary: Summary,
    verdict: GateVerdict,
    unavailable: Mapping[str, str],
    *,
    folder: Path,
    complete: bool,
    stored: int,
    notes: Sequence[str] = (),
    snapshots: SnapshotResults | None = None,
    comparison: Verdict | None = None,
    ranked: Sequence[Standing] = (),
    spared: int = 0,
) -> None:
    """Print the summary of a run; colours say nothing that the words do not say."""
    for figures in summary.models:
        console.print()
        console.print(Text(figures.model, style="bold"))
        scores = [score for score in summary.scores if score.model == figures.model]
        if scores:
            console.print(_score_tables(scores, full=console.width >= FULL_TABLE_COLUMNS))
        console.print(Padding(_figures(figures, figure_lines(summary, figures.model)), (0, 0, 0, 2)))
    for message in unavailable.values():
        console.print()
        console.print(_plain(message, "red"))
    if comparison is None and len(ranked) > 1:
        console.print()
        print_standings(console, ranked)
    if snapshots is not None:
        console.print()
        print_snapshots(console, snapshots)
    console.print()
    for note in notes:
        console.print(_plain(f"note: {note}", "yellow"))
    if comparison is not None:
        print_verdict(console, comparison)
        if verdict.state in ("measured", "unanswered"):
            _print_verdict(console, verdict, folder=folder, complete=complete)
    else:
        _print_verdict(console, verdict, folder=folder, complete=complete)
    if spared and comparison is None:  # which tells it itself
        was = "request was" if spared == 1 else "requests were"
        console.print(f"Stopped early: {spared:,} {was} spared, since nothing could change the verdict.")
    if stored:
        console.print(f"{stored} replies came from the store; --refresh asks the models again.")
    if (folder / "report.html").exists():
        console.print("The whole report, with every reply: report.html in the run's folder.")
    console.print(Text(f"run: {folder}" if complete else f"unfinished run: {folder}"), soft_wrap=True)


def _plain(message: str, style: str = "") -> Text:
    """A message that may quote a server: its lines are kept, whatever steers a terminal is escaped."""
    return Text("\n".join(shorten(line, MESSAGE_LIMIT) for line in message.split("\n")), style=style)


def _score_tables(scores: Sequence[Score], *, full: bool) -> Group:
    if full:
        return Group(_score_table(scores, SCORE_COLUMNS))
    parts: list[Text | Padding] = []
    for task in dict.fromkeys(score.task for score in scores):
        rows = [score for score in scores if score.task == task]
        parts += [Text(task), Padding(_score_table(rows, NARROW_COLUMNS), (0, 0, 0, 2))]
    return Group(*parts)


def _score_table(scores: Sequence[Score], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(
            name, justify="right" if name in ("pass rate", "n", "95% interval") else "left", no_wrap=True
        )
    task = ""
    for score in scores:
        cells = dict(zip(SCORE_COLUMNS, score_cells(score), strict=True))
        # A task is named once; its other capabilities stand below it.
        cells["task"], task = ("" if score.task == task else score.task), score.task
        style = {True: "green", False: "red", None: ""}[score.holds]
        table.add_row(*(Text(cells[name], style=style if name == "floor" else "") for name in columns))
    return table


def _figures(figures: ModelFigures, extra: Iterable[str]) -> Group:
    lines = [Text(f"replies: {outcome_line(dict(figures.outcomes))}")]
    lines += [Text(line) for line in extra]
    if figures.causes:
        shown = list(figures.causes.items())[:CAUSES_SHOWN]
        lines.append(Text("misses in whole answers, by cause:"))
        lines += [Text(f"  {count:>5}  {shorten(cause, 66)}") for cause, count in shown]
        if len(figures.causes) > CAUSES_SHOWN:
            lines.append(
                Text(
                    f"         and {_counted(len(figures.causes) - CAUSES_SHOWN, 'rarer cause')}, in report.md"
                )
            )
    for fault, count in figures.faults.items():
        lines.append(Text(f"no reply ({count}): {shorten(fault, 300)}", style="red"))
    if figures.retried:
        lines.append(
            Text(f"{figures.retried} replies came only after asking again; reasons in results.jsonl")
        )
    lines.append(
        Text(f"speed: {speed_line(figures.tokens_per_s, figures.first_token_s, figures.completion_tokens)}")
    )
    return Group(*lines)


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'s' * (count != 1)}"


def _print_verdict(console: Console, verdict: GateVerdict, *, folder: Path, complete: bool) -> None:
    if not complete:
        console.print(Text("Interrupted: the figures are of what was judged so far.", style="yellow"))
        console.print(Text(f"To go on: pytest evals --resume {shlex.quote(str(folder))}"), soft_wrap=True)
        return
    style = {"holds": "bold green", "fails": "bold red", "unanswered": "bold red"}.get(verdict.state, "")
    console.print(Text(verdict.sentence, style=style))
    for problem in verdict.problems:
        console.print(Padding(_plain(problem), (0, 0, 0, 2)))
