"""A table of results from elsewhere -> a run record that holds figures only: no case, no reply.

Such a record says `summary_only` in its settings. Reports show it beside other runs; nothing can be compared with it
case by case, so it is no baseline.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from evals.backends.base import Model, ModelSpec
from evals.cases import ID_PATTERN
from evals.checks.answers import shorten
from evals.errors import SettingsError
from evals.gate import GateVerdict
from evals.leaderboard import Standing, standings_of_summary
from evals.report.markdown import escaped
from evals.report.tables import percent
from evals.results_table import MOST_CASES, ImportedModel, read_table
from evals.runs import RunInfo, RunWriter
from evals.scores import ModelFigures, Score, Summary
from evals.stats import wilson_interval

GATE = GateVerdict("ungated", "Figures from elsewhere: nothing was gated.")
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def import_table(
    table: Path, reports: Path, *, name: str = "", task: str = "", cases: int | None = None
) -> Path:
    """Write the table's run record below `reports`, and return its folder.

    `name` is that of the run, `task` what its figures are of (else both come from the file's name), `cases` how many
    there were where the table does not tell. Raises `SettingsError` naming everything that is wrong.
    """
    task = task or re.sub(r"[^a-z0-9_]+", "-", table.stem.lower()).strip("-_") or "imported"
    if not re.fullmatch(ID_PATTERN, task):
        raise SettingsError(
            f"--task {shorten(task)!r} names no task: small letters, digits, - and _, starting with a letter or digit"
        )
    if name and not _RUN_NAME.fullmatch(name):
        raise SettingsError(f"--name {shorten(name)!r} names no run: letters, digits, '.', - and _")
    if cases is not None and not 0 < cases <= MOST_CASES:
        raise SettingsError(f"--cases {cases} is no number of cases: it takes 1 to {MOST_CASES:,}")
    models = read_table(table, cases)
    # All that can fail for the figures' sake, before there is a folder.
    summary = imported_summary(models, task)
    figures = _figures(standings_of_summary(summary))
    writer = _writer(reports, name, task)
    info = RunInfo(
        run=writer.folder.name,
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        wall_s=0.0,
        models=tuple(_model(one) for one in models),
        unavailable={},
        tasks={task: {"hash": "", "cases": max(one.cases for one in models), "options": {}, "gate": {}}},
        settings={"summary_only": True, "table": table.name, "tasks": [task], "split": None},
        versions={},
        git={},
        host={},
        asked=sum(one.cases for one in models),
        stored=0,
    )
    try:
        writer.finish(info, {**summary.to_json(), "gate": asdict(GATE)}, _report(info, figures))
    except OSError as error:
        writer.discard()
        raise SettingsError(
            f"the record in {writer.folder} cannot be written: {error.strerror or error}; "
            "name another folder with --reports DIR"
        ) from error
    return writer.folder


def imported_summary(models: Sequence[ImportedModel], task: str) -> Summary:
    """The figures of a table as those of a run of one task. Pure."""
    scores: list[Score] = []
    for one in models:
        for capability, passes in one.passes.items():
            low, high = wilson_interval(passes, one.cases)
            scores.append(
                Score(one.name, task, capability, passes, one.cases, low, high, None, passes, one.cases)
            )
    figures = tuple(
        ModelFigures(
            model=one.name,
            replies=one.cases,
            outcomes={},
            causes={},
            faults={},
            tokens_per_s=one.figures.get("tokens_per_s"),
            first_token_s=None,
            completion_tokens=round(one.figures.get("tokens", 0) * one.cases),
            retried=0,
        )
        for one in models
    )
    return Summary(tuple(scores), (), figures)


def _writer(reports: Path, name: str, task: str) -> RunWriter:
    if not name:
        return RunWriter.new(reports, task)
    folder = reports / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise SettingsError(f"there is a run {name} in {reports} already; choose another --name") from None
    except OSError as error:
        raise SettingsError(f"no run can be written to {folder}: {error.strerror or error}") from error
    return RunWriter(folder)


def _model(row: ImportedModel) -> Model:
    details: dict[str, float] = {}
    if "size_gb" in row.figures:
        details["size_bytes"] = round(row.figures["size_gb"] * 1e9)
    if "latency_s" in row.figures:
        details["latency_s"] = row.figures["latency_s"]
    if "tokens" in row.figures:
        details["tokens_a_reply"] = row.figures["tokens"]
    return Model(ModelSpec(row.name, "replay", row.name), "", details=details)


def _report(info: RunInfo, figures: Sequence[str]) -> str:
    head = ["# Golden Gate: figures from elsewhere", "", GATE.sentence, ""]
    return "\n".join([*head, *figures, "", f"- run `{info.run}`, imported {info.started}", ""])


def _figures(rows: Sequence[Standing]) -> list[str]:
    names = list(rows[0].overall)
    lines = [f"| model | {' | '.join(map(escaped, names))} | n |", "| --- |" + " --- |" * (len(names) + 1)]
    for row in rows:
        rates = " | ".join(percent(row.overall[name].rate) for name in names)
        lines.append(f"| {escaped(row.model)} | {rates} | {row.figures.replies} |")
    return lines
