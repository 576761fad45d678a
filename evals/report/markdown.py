"""`report.md`: a run for a pull request or a colleague. Replies are hostile text: every cell is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evals.checks.answers import shorten
from evals.gate import GateVerdict
from evals.report.tables import (
    SCORE_COLUMNS,
    figure_lines,
    outcome_line,
    score_cells,
    speed_line,
)
from evals.runs import CaseRecord, RunInfo
from evals.scores import Summary

MISSES_SHOWN = 200
FIGURES_LIMIT = 2000

_ESCAPES = str.maketrans({
    **{char: f"\\{char}" for char in "\\`*_{}[]#|~$"},
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
})


def markdown_report(
    info: RunInfo, summary: Summary, verdict: GateVerdict, records: Sequence[CaseRecord]
) -> str:
    """The whole report as GitHub-flavoured Markdown."""
    lines = ["# Golden Gate run", "", f"**{verdict.sentence}**", ""]
    if verdict.problems:
        lines += [*(f"- {escaped(problem)}" for problem in verdict.problems), ""]
    for figures in summary.models:
        model = next(one for one in info.models if one.label == figures.model)
        lines += [f"## {escaped(figures.model)}", "", f"digest `{model.digest[:12]}`", ""]
        rows = [score_cells(score) for score in summary.scores if score.model == figures.model]
        lines += [*table_lines(SCORE_COLUMNS, rows), ""]
        lines.append(f"- replies: {outcome_line(dict(figures.outcomes))}")
        lines.append(
            f"- {speed_line(figures.tokens_per_s, figures.first_token_s, figures.completion_tokens)}"
        )
        lines += [f"- {escaped(line, FIGURES_LIMIT)}" for line in figure_lines(summary, figures.model)]
        if figures.causes:
            counts = [(cause, str(count)) for cause, count in figures.causes.items()]
            lines += ["", "Misses in whole answers, by cause:", "", *table_lines(("cause", "misses"), counts)]
        lines.append("")
    lines += _misses(records)
    lines += ["## Run", "", *(f"- {text}" for text in _facts(info)), ""]
    return "\n".join(lines)


def escaped(text: str, limit: int = 300) -> str:
    """One line that Markdown and HTML leave as it is, pipes included."""
    return shorten(text, limit).translate(_ESCAPES)


def table_lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(escaped(cell) for cell in row) for row in rows]
    return [f"| {line} |" for line in lines]


def _misses(records: Sequence[CaseRecord]) -> list[str]:
    """The first misses of each model and task, each with its share of the room, and how many more there are."""
    by_task: dict[tuple[str, str], list[tuple[str, str, str, str]]] = {}
    for record in records:
        for check in record.checks:
            if check.outcome != "pass":
                row = (record.model, f"{record.task}/{record.case}", check.name, check.reason)
                by_task.setdefault((record.model, record.task), []).append(row)
    if not by_task:
        return []
    share = max(1, MISSES_SHOWN // len(by_task))
    shown = [row for rows in by_task.values() for row in rows[:share]]
    lines = ["## Misses", "", *table_lines(("model", "case", "check", "reason"), shown), ""]
    if more := sum(map(len, by_task.values())) - len(shown):
        lines += [f"{more} more stand in `results.jsonl`.", ""]
    return lines


def _facts(info: RunInfo) -> Iterable[str]:
    yield f"run `{info.run}`, {info.started}, {info.wall_s:.0f} s; {info.stored} of {info.asked} replies from the store"
    if info.resumed:
        yield f"it was interrupted and went on: {info.resumed} replies are from before"
    if info.rescored:
        yield f"today's checks on the replies of run {escaped(info.rescored)}"
    yield "tasks: " + ", ".join(f"{name} `{facts['hash'][:12]}`" for name, facts in info.tasks.items())
    yield "versions: " + ", ".join(f"{name} {version}" for name, version in info.versions.items())
    if info.git:
        yield f"commit `{info.git['commit'][:12]}`" + (
            " with uncommitted changes" if info.git["dirty"] else ""
        )
