"""Run records -> what `report.html` shows: columns of models, cases with every reply, flips, a verdict.

Each model of each run is a column of its own. A case stands once for all of them, as long as its task's hash is the same;
where runs asked different forms of a task, a note names it, and its cases stand apart.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from evals.backends.base import Model
from evals.cases import GoldenTask, read_golden
from evals.errors import RunRecordError, SettingsError, first_line
from evals.leaderboard import Standing, capabilities_in_order, place, standings
from evals.prompts import PromptError, chat_messages
from evals.report.about import (
    differing_cases,
    differing_forms,
    differing_tasks,
    few,
    run_facts,
    run_notes,
)
from evals.report.page import WHOLE, ModelColumn, Page
from evals.report.recorded import Recorded, read_recorded
from evals.report.shown import Answer, CaseForm, Prompt, shown
from evals.report.snapshots import flipped
from evals.runs import write_whole
from evals.snapshots import Compared
from evals.verdict import Verdict

# A model, with the index of its run.
Row = tuple[int, Standing]


def write_report(folders: Sequence[Path], golden: Path | Sequence[GoldenTask] | None, out: Path) -> None:
    """Write the page of these runs; raises `GoldenGateError` where they cannot be read, or `out` not be written."""
    from evals.report.html import html_report

    page = gather(folders, golden)
    try:
        text = html_report(page)
    except (ValueError, OverflowError) as error:
        names = few([str(folder) for folder in folders])
        raise RunRecordError(f"no page can be made of {names}: {first_line(error)}") from error
    try:
        write_whole(out, text)
    except OSError as error:
        raise SettingsError(
            f"the report cannot be written to {out}: {error.strerror or error}; name another file with --out FILE"
        ) from error


def gather(folders: Sequence[Path], golden: Path | Sequence[GoldenTask] | None) -> Page:
    """The page of these runs; prompts come from the golden folder, or its tasks, where they are still what was asked.

    Raises `RunRecordError` for a run that is unfinished or damaged, and `SettingsError` for a golden folder that is not
    there.
    """
    runs = [read_recorded(folder) for folder in {folder.resolve(): folder for folder in folders}.values()]
    notes = list(run_notes(runs))
    several = len(runs) > 1
    verdict, verdict_of, said = _verdict(runs)
    notes += said
    facts = [line for run in runs for line in run_facts(run)]
    gates = [_gate(run, named=several) for run in runs if run.gate]
    if verdict is not None and not several:
        runs += _baseline_runs(runs[0], verdict)
    rows = _rows(runs)
    if not any(row.figures.replies for _, row in rows):
        names = few([str(run.folder) for run in runs])
        raise RunRecordError(f"nothing was judged in {names}: there is nothing to report")
    answers = _answers(runs, rows)
    prompts, said = _prompts(answers, golden)
    labels = _labels(runs, rows)
    lower = shown(answers, prompts, _flips(runs, rows, labels))
    notes += differing_tasks([row.tasks for _, row in rows])
    notes += [*differing_forms(runs), *differing_cases(answers), *said]
    if lower.cut:
        notes.append(f"{lower.cut:,} long texts are shortened here; whole replies stand in replies.jsonl")
    return Page(
        title=_title([row.model for _, row in rows], None if several else verdict),
        models=tuple(
            _column(label, runs[index], row) for label, (index, row) in zip(labels, rows, strict=True)
        ),
        task_names=tuple(sorted({task for _, row in rows for task in row.tasks})),
        capabilities=tuple(
            capabilities_in_order(name for _, row in rows for name in row.overall if name != WHOLE)
        ),
        gate=tuple(gates),
        verdict=verdict,
        cases=lower.cases,
        systems=lower.systems,
        flips=lower.flips,
        notes=tuple(notes),
        facts=tuple(facts),
        verdict_of=verdict_of if several else "",
    )


def _title(models: Sequence[str], verdict: Verdict | None) -> str:
    if verdict is not None:
        return f"{verdict.candidate.model} beside {verdict.baseline.model}"
    return few(list(dict.fromkeys(models)), 3)


def _rows(runs: Sequence[Recorded]) -> list[Row]:
    """Models of all runs, the best first, each with the index of its run."""
    rows = [(index, row) for index, run in enumerate(runs) for row in run.rows]
    return sorted(rows, key=lambda one: (place(one[1]), one[0]))


def _labels(runs: Sequence[Recorded], rows: Sequence[Row]) -> list[str]:
    """Labels of the columns: the model's, with its run's name where another run has one of the same label."""
    shared = Counter(row.model for _, row in rows)
    labels: list[str] = []
    for index, row in rows:
        label = row.model if shared[row.model] == 1 else f"{row.model} ({runs[index].info.run})"
        count = labels.count(label)
        labels.append(f"{label} {count + 1}" if count else label)
    return labels


def _column(label: str, run: Recorded, row: Standing) -> ModelColumn:
    model = next(one for one in run.info.models if one.label == row.model)
    figures = row.figures
    latencies = sorted(
        seconds
        for record, _ in run.replies
        if record.model == row.model and not record.stored and not record.fault
        if (seconds := record.timings.get("total_s")) is not None
    )
    told = _told(model, "latency_s")
    return ModelColumn(
        label=label,
        model=row.model,
        digest=model.digest,
        run=run.info.run,
        replies=figures.replies,
        overall=row.overall,
        tasks=row.tasks,
        outcomes=figures.outcomes,
        causes=figures.causes,
        latencies=tuple(latencies),
        size_bytes=None if (size := _told(model, "size_bytes")) is None else round(size),
        tokens_per_s=figures.tokens_per_s,
        first_token_s=figures.first_token_s,
        latency_s=statistics.median(latencies) if latencies else told,
        tokens_a_reply=_told(model, "tokens_a_reply")
        or (figures.completion_tokens / figures.replies if figures.completion_tokens else None),
    )


def _told(model: Model, name: str) -> float | None:
    """A figure among the details of a model, if it is one above 0."""
    value = model.details.get(name)
    return value if isinstance(value, (int, float)) and 0 < value < float("inf") else None


def _answers(runs: Sequence[Recorded], rows: Sequence[Row]) -> list[Answer]:
    columns = {(index, row.model): column for column, (index, row) in enumerate(rows)}
    return [
        Answer(columns[index, record.model], _form(run, record.task, record.case), record, reply)
        for index, run in enumerate(runs)
        for record, reply in run.replies
    ]


def _form(run: Recorded, task: str, case: str) -> CaseForm:
    return task, str(run.info.tasks[task]["hash"]), case


def _prompts(
    answers: Sequence[Answer], golden: Path | Sequence[GoldenTask] | None
) -> tuple[dict[CaseForm, Prompt], list[str]]:
    """What the cases ask, of the tasks that are as they were, and notes about the others."""
    asked = {answer.form[:2] for answer in answers}
    if not asked:
        return {}, []
    if golden is None:
        return {}, ["prompts are not shown: there is no golden folder here; name it with --golden DIR"]
    tasks = _tasks(golden, {task for task, _ in asked}) if isinstance(golden, Path) else golden
    found: dict[CaseForm, Prompt] = {}
    same = {task.name: task for task in tasks if (task.name, task.hash) in asked}
    for task in same.values():
        for case in task.cases:
            with contextlib.suppress(PromptError):  # lint tells of it
                found[task.name, task.hash, case.id] = Prompt(
                    task.system, chat_messages(task, case)[-1].content
                )
    if others := sorted({task for task, hash_ in asked if task not in same or same[task].hash != hash_}):
        what = "some prompts are not shown, since their tasks were changed or are not there any more"
        return found, [f"{what}: {few(others)}"]
    return found, []


def _tasks(golden: Path, names: Collection[str]) -> Sequence[GoldenTask]:
    """Those of the named tasks that are in the folder and can be read."""
    if not golden.is_dir():
        raise SettingsError(f"there is no golden folder {golden}; name one with --golden DIR")
    there = sorted(path.parent.name for path in golden.glob("*/task.yaml") if path.parent.name in names)
    return read_golden(golden, there, thorough=False)[0] if there else []


def _flips(
    runs: Sequence[Recorded], rows: Sequence[Row], labels: Sequence[str]
) -> list[tuple[str, Compared]]:
    by_model = {(index, row.model): label for label, (index, row) in zip(labels, rows, strict=True)}
    return [
        (by_model.get((index, one.model), one.model), one)
        for index, run in enumerate(runs)
        for one in flipped(run.compared)
    ]


def _verdict(runs: Sequence[Recorded]) -> tuple[Verdict | None, str, list[str]]:
    """The verdict, the run whose it is, and what is to be said of several."""
    with_one = [run for run in runs if run.verdict is not None]
    if len(with_one) == 1:
        return with_one[0].verdict, with_one[0].info.run, []
    names = few([run.info.run for run in with_one])
    said = f"each of these runs has a verdict of its own, shown on its own page: {names}"
    return None, "", [said] if with_one else []


def _baseline_runs(run: Recorded, verdict: Verdict) -> list[Recorded]:
    """The recorded runs that the verdict compares with, as far as they lie beside the run: the baseline's part of them."""
    asked = {_form(run, record.task, record.case) for record, _ in run.replies}
    found: list[Recorded] = []
    for name in verdict.baseline.runs:
        folder = run.folder.resolve().parent / name
        # os.path.isfile takes a name too long for a file, too.
        if name == run.info.run or Path(name).name != name or not os.path.isfile(folder / "run.json"):
            continue
        recorded = read_recorded(folder)
        replies = tuple(
            (record, reply)
            for record, reply in recorded.replies
            if record.model == verdict.baseline.model and _form(recorded, record.task, record.case) in asked
        )
        if replies:
            # Over the candidate's cases only, and held to no floor.
            rows = tuple(standings([record for record, _ in replies], {}))
            found.append(replace(recorded, rows=rows, replies=replies, gate=None, compared=()))
    return found


def _gate(run: Recorded, *, named: bool) -> tuple[str, tuple[str, ...]]:
    assert run.gate is not None
    sentence, problems = run.gate
    return (f"{run.info.run}: {sentence}" if named else sentence), problems
