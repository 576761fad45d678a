"""A recorded run's own gate, judged anew from what it kept: floors, agreement of repeats, snapshots, lowered bars."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from evals.consistency import Agreement, AgreementName, agreement, form
from evals.errors import RunRecordError
from evals.gate import judge_run
from evals.pairing import RunSide
from evals.recorded_side import selection_of
from evals.rescore import recorded_replies
from evals.runs import RunInfo, read_lines
from evals.scores import summarise
from evals.snapshots import SNAPSHOTS_FILE, Compared, snapshot_problems


class _Summary(BaseModel):
    """The part of summary.json that nothing else in the record tells again: the bars that `--since` found lowered."""

    undercut: tuple[str, ...] = ()


def own_problems(side: RunSide, info: RunInfo, folder: Path) -> list[str]:
    """Why the gate of one model's part of the run in `folder` does not hold, a sentence each.

    Floors are those that the run recorded, also where it only measured. Raises `RunRecordError` for a damaged record.
    """
    floors = {name: facts.get("gate", {}).get("floors", {}) for name, facts in side.tasks.items()}
    agreements = list(_agreements(side, folder))
    summary = summarise(side.records, floors, [side.model.label], agreements)
    gate = judge_run(side.records, summary, {}, selection_of(info, folder), enforce_floors=True)
    strict = info.settings.get("snapshot_strict") is True
    return [
        *gate.problems,
        *snapshot_problems(_snapshots(side, folder), strict=strict),
        *_undercut(folder),
    ]


def _agreements(side: RunSide, folder: Path) -> Iterator[Agreement]:
    """The agreement of repeats, in each measure that a task of the run sets a floor for."""
    floors = {name: facts.get("gate", {}).get("agreement", {}) for name, facts in side.tasks.items()}
    repeats = len({one.repeat for one in side.records})
    if repeats < 2 or not any(floors.values()):
        return
    forms: dict[tuple[str, AgreementName], dict[str, list[Hashable]]] = {}
    for record, reply in recorded_replies(folder):
        if record.model != side.model.label:
            continue
        for measure in floors[record.task]:
            by_case = forms.setdefault((record.task, measure), {})
            # A reply itself is forgotten once it is compared.
            by_case.setdefault(record.case, []).append(
                hash(form(measure, reply, record.repeat, (one.outcome for one in record.checks)))
            )
    for (task, measure), by_case in forms.items():
        if whole := {case: found for case, found in by_case.items() if len(found) == repeats}:
            yield agreement(
                whole,
                model=side.model.label,
                task=task,
                measure=measure,
                noise_floor=side.tasks[task].get("options", {}).get("temperature") == 0,
                floor=floors[task][measure],
            )


def _snapshots(side: RunSide, folder: Path) -> list[Compared]:
    path = folder / SNAPSHOTS_FILE
    if not path.exists():
        return []
    adapter = TypeAdapter(Compared)

    def sound(data: Mapping[str, Any]) -> Compared:
        try:
            return adapter.validate_python(data)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"]) from error

    return [one for one in read_lines(path, sound) if one.model == side.model.label]


def _undercut(folder: Path) -> tuple[str, ...]:
    path = folder / "summary.json"
    try:
        return _Summary.model_validate(json.loads(path.read_text("utf-8"))).undercut
    except OSError as error:
        raise RunRecordError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise RunRecordError(f"{path} is damaged: it is not what a run writes") from error
