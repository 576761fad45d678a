"""A run's folder as `report.html` reads it: everything sound, or a sentence about what is not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from evals.backends.base import ModelReply
from evals.checks.answers import shorten
from evals.errors import RunRecordError, first_line
from evals.leaderboard import Standing, standings, standings_of_summary
from evals.pairing import unsound_value
from evals.rescore import recorded_replies
from evals.runs import CaseRecord, RunInfo, read_lines, read_run
from evals.scores import Summary
from evals.snapshots import SNAPSHOTS_FILE, Compared
from evals.verdict import Verdict, verdict_from_json

Made = TypeVar("Made")

SUMMARY = "summary.json"
VERDICT = "verdict.json"
# A reply that took thirty years took none.
LONGEST_S = 1e9


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run. `rows` are its models, the best first; `replies` is empty for a run that holds figures only."""

    folder: Path
    info: RunInfo
    rows: tuple[Standing, ...]
    replies: tuple[tuple[CaseRecord, ModelReply], ...]
    gate: tuple[str, tuple[str, ...]] | None
    verdict: Verdict | None
    compared: tuple[Compared, ...]

    @property
    def summary_only(self) -> bool:
        return bool(self.info.settings.get("summary_only"))


class _Facts(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, from_attributes=True)


class _Gate(BaseModel):
    sentence: str
    problems: tuple[str, ...] = ()


class _Judged(BaseModel):
    gate: _Gate | None = None


class _TaskGate(_Facts):
    floors: dict[str, float] = {}


class _TaskFacts(_Facts):
    hash: str
    gate: _TaskGate = _TaskGate()


class _ModelFacts(_Facts):
    label: str
    digest: str
    details: dict[str, Any]


class _Settings(_Facts):
    summary_only: bool = False
    baseline: str | None = None


class _RunFacts(_Facts):
    """The parts of run.json that a page shows."""

    run: str
    started: str
    wall_s: float
    models: tuple[_ModelFacts, ...]
    unavailable: dict[str, str]
    tasks: dict[str, _TaskFacts]
    settings: _Settings
    asked: int
    stored: int
    spared: int
    versions: dict[str, str]
    git: dict[str, str | bool]
    host: dict[str, str | int | float | None]
    rescored: str


def read_recorded(folder: Path) -> Recorded:
    """Read a complete run; raises `RunRecordError` naming what is missing or damaged."""
    info = read_run(folder)
    facts = _sound(folder / "run.json", lambda: _RunFacts.model_validate(info))
    settings = facts.settings
    replies: tuple[tuple[CaseRecord, ModelReply], ...] = ()
    if settings.summary_only:
        rows = _sound(folder / SUMMARY, lambda: standings_of_summary(_summary(_json(folder / SUMMARY))))
    else:
        replies = tuple(recorded_replies(folder))
        _sound(folder / "results.jsonl", lambda: _refuse_unsound(replies, facts.tasks))
        floors = {name: task.gate.floors for name, task in facts.tasks.items()}
        records = [record for record, _ in replies]
        labels = [model.label for model in info.models]
        rows = standings(records, floors, labels, ungated=settings.baseline)
    known = {model.label for model in info.models}
    if unknown := [row.model for row in rows if row.model not in known]:
        raise RunRecordError(f"the run in {folder} is damaged: run.json knows no model {unknown[0]!r}")
    return Recorded(
        folder, info, tuple(rows), replies, _gate(folder), read_verdict(folder), _compared(folder)
    )


def _refuse_unsound(
    replies: Sequence[tuple[CaseRecord, ModelReply]], tasks: Mapping[str, _TaskFacts]
) -> None:
    seen: set[tuple[str, str, str, int]] = set()
    for record, _ in replies:
        case = f"{shorten(record.task)}/{shorten(record.case)}"
        key = (record.model, record.task, record.case, record.repeat)
        texts = (record.split, *record.tags)
        problem = unsound_value(record)
        if record.task not in tasks:
            problem = "run.json knows no such task"
        elif not all(isinstance(text, str) for text in texts):
            problem = "its split or a tag is no text"
        elif key in seen:
            problem = "it stands there twice"
        elif not 0 <= (record.timings.get("total_s") or 0) <= LONGEST_S:
            problem = "it took no time that there is"
        if problem:
            raise ValueError(f"{case} of {shorten(record.model)}: {problem}")
        seen.add(key)


def read_verdict(folder: Path) -> Verdict | None:
    """The verdict of a run that was compared with a baseline; raises `RunRecordError`."""
    path = folder / VERDICT
    return _sound(path, lambda: verdict_from_json(_json(path))) if path.exists() else None


def _gate(folder: Path) -> tuple[str, tuple[str, ...]] | None:
    path = folder / SUMMARY
    if not path.exists():
        return None
    gate = _sound(path, lambda: _Judged.model_validate(_json(path))).gate
    return (gate.sentence, gate.problems) if gate else None


def _compared(folder: Path) -> tuple[Compared, ...]:
    path = folder / SNAPSHOTS_FILE
    if not path.exists():
        return ()
    adapter = TypeAdapter(Compared)

    def made(data: Mapping[str, Any]) -> Compared:
        try:
            return adapter.validate_python(data)
        except ValidationError as error:
            raise ValueError(_told(error)) from error

    return tuple(read_lines(path, made))


def _summary(data: Any) -> Summary:
    summary = TypeAdapter(Summary).validate_python(data)
    if empty := [score.capability for score in summary.scores if score.n < 1]:
        raise ValueError(f"a rate of {empty[0]} is of no case at all")
    return summary


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    """A number; raises `ValueError` for NaN and for what is too large to be one."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shorten(text)} is no number")
    return number


def _sound(path: Path, make: Callable[[], Made]) -> Made:
    """What `make` makes of a file; its errors as a sentence that names the file."""
    try:
        return make()
    except ValidationError as error:
        raise RunRecordError(f"{path} is damaged: {_told(error)}") from error
    except OSError as error:
        raise RunRecordError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RunRecordError(f"{path} is damaged: {first_line(error)}") from error


def _told(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])
