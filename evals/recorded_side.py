"""One model's part of a recorded run, to compare: refused where it is damaged, not whole, or holds no single cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evals.backends.base import Model
from evals.cases import Gate
from evals.checks.answers import shorten
from evals.errors import RunRecordError
from evals.gate import Selection
from evals.pairing import RunSide, unsound_value
from evals.policy import policy_of_tasks
from evals.runs import CaseRecord, RunInfo, read_lines, read_run, run_folder


def read_side(text: str, reports: Path) -> RunSide:
    """One model of a recorded run: `RUN`, or `RUN#MODEL` where it holds several; RUN is a folder, or its name in
    `reports`.

    Raises `RunRecordError` for a run that is not complete, has no results by case, or is damaged.
    """
    folder, label = find_run(text, reports)
    info = read_run(folder)
    _refuse_damaged(info, folder)
    if info.settings.get("summary_only"):
        raise RunRecordError(
            f"the run in {folder} is a table from elsewhere: it has rates and no single cases, so nothing can be paired"
        )
    if info.spared:
        raise RunRecordError(
            f"the run in {folder} was stopped early: {info.spared} of its requests were never asked, so it cannot stand "
            "for its model; run it without --stop-early"
        )
    model = _chosen(info, label, folder)
    records = list(read_lines(folder / "results.jsonl", _sound))
    _refuse_disorder(records, info, folder)
    _refuse_gaps(records, info, folder)
    own = [one for one in records if one.model == model.label]
    return RunSide(model, (info.run,), info.tasks, own, info.versions)


def find_run(text: str, reports: Path) -> tuple[Path, str]:
    """The folder of a run that is meant, and the model's label or ''; raises `RunRecordError` where there is none."""
    try:
        return run_folder(text, reports), ""
    except RunRecordError:
        name, sign, label = text.partition("#")
        if not sign:
            raise
    return run_folder(name, reports), label


def selection_of(info: RunInfo, folder: Path) -> Selection:
    """What a run judged of what there was, as its record tells; raises `RunRecordError`."""
    try:
        return TypeAdapter(Selection).validate_json(json.dumps(info.selected), strict=True)
    except ValidationError as error:
        raise RunRecordError(f"{folder / 'run.json'} is damaged: what was selected is not told") from error


def _refuse_damaged(info: RunInfo, folder: Path) -> None:
    def is_task(facts: Any) -> bool:
        if not (isinstance(facts, dict) and isinstance(facts.get("hash"), str)):
            return False
        gate = Gate.model_validate(facts.get("gate", {}))
        fractions = (*gate.floors.values(), *gate.agreement.values())
        # NaN is no fraction either: nothing would be lower than it.
        return isinstance(facts.get("options", {}), dict) and all(0 <= value <= 1 for value in fractions)

    names = [info.run, *(name for model in info.models for name in (model.label, model.digest))]
    try:
        whole = isinstance(info.settings, dict) and all(map(is_task, info.tasks.values()))
        whole = whole and all(isinstance(name, str) for name in names)
        TypeAdapter(dict[str, str]).validate_python(info.versions, strict=True)
    except (ValidationError, AttributeError):
        whole = False
    if not whole:
        raise RunRecordError(
            f"{folder / 'run.json'} is damaged: its models, tasks, settings or versions are not what a run writes"
        )
    policy_of_tasks(info.tasks)  # refuses margins that are no fractions


def _chosen(info: RunInfo, label: str, folder: Path) -> Model:
    labels = [model.label for model in info.models]
    if not labels:
        raise RunRecordError(f"the run in {folder} holds no model")
    if not label and len(labels) == 1:
        return info.models[0]
    if label in labels:
        return info.models[labels.index(label)]
    ways = ", ".join(shorten(f"{folder}#{one}", 200) for one in labels)
    if not label:
        raise RunRecordError(f"the run in {folder} holds {len(labels)} models; name one: {ways}")
    raise RunRecordError(f"the run in {folder} holds no model {shorten(label)!r}; there are: {ways}")


def _sound(data: Mapping[str, Any]) -> CaseRecord:
    record = CaseRecord.from_json(data)
    if unsound := unsound_value(record):
        raise ValueError(unsound)
    return record


def _refuse_disorder(records: Sequence[CaseRecord], info: RunInfo, folder: Path) -> None:
    """Lines that a run does not write: of a task or model that it did not ask, or one of a repeat that has one already."""
    labels = {model.label for model in info.models}
    seen: set[tuple[str, str, str, int]] = set()
    for one in records:
        key = (one.model, one.task, one.case, one.repeat)
        what = ""
        if key in seen:
            what = "stands in it twice"
        elif one.task not in info.tasks or one.model not in labels:
            kind = "model" if one.task in info.tasks else "task"
            what = f"is of a {kind} that is not in {folder / 'run.json'}"
        if what:
            raise RunRecordError(
                f"{folder / 'results.jsonl'} is damaged: repeat {one.repeat} of {shorten(f'{one.task}/{one.case}')} {what}"
            )
        seen.add(key)


def _refuse_gaps(records: Sequence[CaseRecord], info: RunInfo, folder: Path) -> None:
    """Lines or checks that are gone would be misses that nobody sees."""
    checks = sum(len(one.checks) for one in records)
    told = selection_of(info, folder).checks
    for what, found, of in (("results", len(records), info.asked), ("checks", checks, told)):
        if found != of:
            raise RunRecordError(
                f"the run in {folder} is not as it was written: results.jsonl holds {found:,} {what}, and run.json tells "
                f"of {shorten(str(of))}; take the record as the run wrote it, or run it again"
            )
