"""Lint of training data on the terminal: lengths, what fits, then warnings and problems, each with its lines."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evals.checks.answers import shorten
from evals.report.tables import percent
from training.lint import Finding, LintReport, counted
from training.token_lengths import TokenLengths

DETAILS_SHOWN = 10
_LINE_LIMIT = 400


def print_lint(console: Console, report: LintReport) -> None:
    """Print a report; the last line says in words whether the file can be trained on."""
    dataset = report.dataset
    count = counted(len(dataset.examples), "example")
    of_task = f" for {dataset.task}" if dataset.task else ""
    _say(
        console,
        f"{dataset.path}: {count}{of_task}, {report.trained:,} to train, {report.held_out:,} held out",
    )
    if report.tokens:
        _print_tokens(console, report.tokens)
    if report.judgement.judged:
        judged = (f"{check} {count:,}" for check, count in report.judgement.judged.items())
        _say(console, f"completions judged, by check: {', '.join(judged)}")
    elif not dataset.task:
        _say(console, "no task: completions were held against no check")
    for kind, style, findings in (
        ("warning", "yellow", report.warnings),
        ("problem", "bold red", report.problems),
    ):
        for finding in findings:
            _print_finding(console, f"{kind}: ", style, finding, str(dataset.path))
    console.print()
    console.print(_verdict(report, count))


def _verdict(report: LintReport, count: str) -> Text:
    warned = f", {counted(len(report.warnings), 'warning')}" if report.warnings else ""
    if report.problems:
        return Text(
            f"lint failed: {counted(len(report.problems), 'problem')}{warned}, {count}", style="bold red"
        )
    return Text(f"lint clean: {count}{warned}", style="bold green")


def _print_tokens(console: Console, tokens: TokenLengths) -> None:
    spreads = _table(("tokens", "median", "p90", "p95", "max"))
    for name, one in (("prompt", tokens.prompt), ("completion", tokens.completion)):
        spreads.add_row(name, *(f"{value:,}" for value in (one.median, one.p90, one.p95, one.longest)))
    fits = _table(("within", "completion", "whole"))
    for fit in tokens.fits:
        name = f"{fit.length:,}" + "*" * fit.beyond
        fits.add_row(name, percent(fit.completion), percent(fit.whole))
    for table in (spreads, fits):
        console.print()
        console.print(table)
    _say(
        console,
        "within: examples whose completion, and whose prompt and completion, have so many tokens at most",
    )
    if any(fit.beyond for fit in tokens.fits):
        _say(console, f"* more than the base can read: {tokens.context:,} tokens")
    console.print()


def _table(columns: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    return table


def _print_finding(console: Console, kind: str, style: str, finding: Finding, path: str) -> None:
    console.print(Text.assemble((kind, style), _clean(finding.what)))
    for detail in finding.details[:DETAILS_SHOWN]:
        line = f"{path}:{detail.line}: {detail.what}" if detail.what else f"{path}:{detail.line}"
        console.print(Padding(Text(_clean(line)), (0, 0, 0, 2), expand=False))
    more = len(finding.details) - DETAILS_SHOWN
    if more > 0:
        console.print(Padding(Text(f"and {more:,} more"), (0, 0, 0, 2), expand=False))


def _say(console: Console, text: str) -> None:
    console.print(Text(_clean(text)))


def _clean(text: str) -> str:
    # Paths, checks and reasons quote what other people wrote.
    return shorten(text, _LINE_LIMIT)
