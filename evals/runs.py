"""Run records: what a run asked, what came back, and how it was judged.

`reports/<run id>/`: `results.jsonl` (a line per model, case and repeat) and `replies.jsonl` (their whole texts) grow
while the run goes on; `run.json` is written last, so its presence means that the record is complete.
Records are joined by (model, task, case, repeat), never by pytest's node ids.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from evals.backends.base import Model, ModelReply
from evals.cases import CaseCheck, GoldenTask
from evals.checks.answers import shorten
from evals.checks.base import CheckResult
from evals.errors import RunRecordError, SettingsError
from evals.journal import Journal
from evals.resume import REPLIES, STARTED, Started, reply_names, without_torn_line

Made = TypeVar("Made")

FORMAT = 1
EXTRACTED_LIMIT = 4000
SYNC_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """One check's result as it stands in `results.jsonl`."""

    kind: str
    name: str
    capability: str
    outcome: str
    value: float
    extracted: Any
    reason: str
    cause: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    expected: Any = None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """One line of `results.jsonl`. Times in seconds."""

    model: str
    task: str
    case: str
    repeat: int
    outcome: str
    checks: tuple[CheckRecord, ...]
    timings: Mapping[str, float | None]
    tokens: Mapping[str, int | None]
    response: str
    stop_reason: str = "stop"
    retries: tuple[str, ...] = ()
    fault: str = ""
    stored: bool = False
    tags: tuple[str, ...] = ()
    split: str = "gate"
    cluster: str = ""

    def to_json(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {**fields, "checks": [check.to_json() for check in self.checks]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CaseRecord:
        checks = tuple(CheckRecord(**check) for check in data["checks"])
        lists = {name: tuple(data.get(name, ())) for name in ("retries", "tags")}
        return cls(**{**data, "checks": checks, **lists})


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run was: `run.json`, without the results.

    `rescored`: the run whose replies were judged again, or ''. `spared`: requests that an early stop saved.
    """

    run: str
    started: str
    wall_s: float
    models: tuple[Model, ...]
    unavailable: Mapping[str, str]
    tasks: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    git: Mapping[str, Any]
    host: Mapping[str, Any]
    asked: int
    stored: int
    selected: Mapping[str, Any] = field(default_factory=dict)
    resumed: int = 0
    rescored: str = ""
    spared: int = 0


def check_record(check: CaseCheck, result: CheckResult) -> CheckRecord:
    """A result as it is written down; what was extracted is shortened beyond 4,000 characters of JSON."""
    extracted = result.extracted
    text = json.dumps(extracted, default=str)
    if len(text) > EXTRACTED_LIMIT:
        extracted = text[:EXTRACTED_LIMIT] + "…"
    return CheckRecord(
        kind=check.check.kind,
        name=check.label,
        capability=check.capability.value,
        outcome=result.outcome.value,
        value=result.value,
        extracted=extracted,
        reason=result.reason,
        cause=result.cause,
        measures=dict(result.measures),
        expected=check.check.expected(check.expect),
    )


def reply_figures(reply: ModelReply) -> tuple[dict[str, float | None], dict[str, int | None]]:
    """A reply's timings and token counts under their names in the record."""
    timings = {
        "load_s": reply.load_s,
        "prompt_s": reply.prompt_s,
        "decode_s": reply.decode_s,
        "first_token_s": reply.first_token_s,
        "total_s": reply.total_s,
    }
    return timings, {"prompt": reply.prompt_tokens, "completion": reply.completion_tokens}


class RunWriter:
    """Writes one run's record as results arrive.

    Lines are handed to the system at once and fsynced at most half a second later: one fsync a line would cost more than
    judging it. As long as it goes on it holds the lock `run.lock`, so that no other process goes on with it too.
    """

    def __init__(self, folder: Path, *, resumed: bool = False, made_reports: bool = False) -> None:
        self.folder = folder
        self._resumed = resumed
        self._made_reports = made_reports
        self._results: Journal | None = None
        self._replies: Journal | None = None
        self._unopened = ""
        self._lock = FileLock(folder / "run.lock")
        with contextlib.suppress(NotImplementedError, OSError):  # a file system without locks
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                raise SettingsError(f"the run in {folder} is still going on, in another process") from None
        self._kept: set[tuple[str, str, str, str]] = set()
        self._synced = time.monotonic()

    @classmethod
    def new(cls, reports: Path, label: str) -> RunWriter:
        """A run in a new folder; raises `SettingsError` where none can be made."""
        made_reports = not reports.exists()
        return cls(_new_folder(reports, label), made_reports=made_reports)

    def begin(self, started: Started) -> None:
        """Note what is asked, or, of a run that goes on, make its files fit to go on; raises `OSError`."""
        if self._resumed:
            without_torn_line(self.folder / REPLIES)
            self._kept = reply_names(self.folder)
            (self.folder / "results.jsonl").unlink(missing_ok=True)
        else:
            write_whole(self.folder / STARTED, json.dumps(started.to_json(), indent=2) + "\n")

    @property
    def problem(self) -> str:
        """Why something of the record cannot be written at present; empty while all is."""
        journals = [one for one in (self._results, self._replies) if one is not None]
        return self._unopened or next((one.problem for one in journals if one.problem), "")

    def add(self, record: CaseRecord, reply: ModelReply) -> None:
        """Append one case's results and its reply; what a full disk does not take waits in memory."""
        if self._results is None or self._replies is None:
            try:
                self._results = Journal(self.folder / "results.jsonl")
                self._replies = Journal(self.folder / REPLIES)
            except OSError as error:
                self._unopened = error.strerror or str(error)
                return
        self._results.add(record.to_json())
        name = (record.model, record.task, record.case, record.response)
        if not reply.fault and name not in self._kept:
            key = dict(zip(("model", "task", "case", "response"), name, strict=True))
            self._replies.add({**key, "stored": record.stored, "reply": reply.to_json()})
        if time.monotonic() - self._synced > SYNC_EVERY_S:
            self._results.sync()
            self._replies.sync()
            self._synced = time.monotonic()

    def close(self) -> None:
        """Everything so far is on disk, or `problem` says why not; the record is not yet complete."""
        for journal in (self._results, self._replies):
            if journal is not None:
                journal.close()
        if self._lock.is_locked:
            self._lock.release()
            (self.folder / "run.lock").unlink(missing_ok=True)

    def discard(self) -> None:
        """Take the folder away again, and the reports folder if it was made for it; not that of a run that goes on."""
        self.close()
        if self._resumed:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._made_reports:
            with contextlib.suppress(OSError):
                self.folder.parent.rmdir()

    def finish(self, info: RunInfo, summary: Mapping[str, Any], report: str) -> None:
        """Write the summary and the report, and `run.json` last; raises `OSError` if any of it cannot be written."""
        self.close()
        if self.problem:
            raise OSError(errno.EIO, self.problem)
        write_whole(self.folder / "summary.json", json.dumps(summary, indent=2) + "\n")
        write_whole(self.folder / "report.md", report)
        data = {"format": FORMAT, **asdict(info), "models": [model.to_json() for model in info.models]}
        write_whole(self.folder / "run.json", json.dumps(data, indent=2) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step."""
    scratch = path.with_name(path.name + ".tmp")
    try:
        with scratch.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise


def _new_folder(reports: Path, label: str) -> Path:
    stem = time.strftime("%Y%m%d-%H%M%S-") + (
        re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40] or "run"
    )
    try:
        reports.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            folder = reports / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise SettingsError(
            f"no run can be written to {reports}: {error.strerror or error}; name another folder with --reports DIR"
        ) from error
    raise SettingsError(f"{reports} holds a thousand runs of this second; is the clock right?")


def read_run(folder: Path) -> RunInfo:
    """A complete run's `run.json`; raises `RunRecordError`."""
    path = folder / "run.json"
    if not path.is_file():
        if (folder / "results.jsonl").exists():
            raise RunRecordError(
                f"the run in {folder} was not finished: it has no run.json; `pytest evals --resume {folder}` finishes it"
            )
        raise RunRecordError(f"there is no run in {folder}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise RunRecordError(f"{path} was written by another version of Golden Gate")
        models = tuple(Model.from_json(model) for model in data["models"])
        return RunInfo(**{**data, "models": models})
    except OSError as error:
        raise RunRecordError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunRecordError(f"{path} is damaged: {error}") from error


def run_folder(run: str, reports: Path) -> Path:
    """The folder of a run that is named by it, or by its name in the reports folder; raises `RunRecordError`."""
    for folder in (Path(run), reports / run):
        if run and os.path.isdir(folder):  # unlike Path.is_dir, also of a name too long for a folder
            return folder
    newest = ", ".join(folder.name for folder in reversed(finished_runs(reports)[-5:]))
    raise RunRecordError(
        f"there is no run {shorten(run)!r}, neither as a folder nor by that name in {reports}"
        + (f"; the newest there: {newest}" if newest else "")
    )


def finished_runs(reports: Path) -> list[Path]:
    """The folders of complete runs, in order of name; none where there is no such folder."""
    return sorted(path.parent for path in reports.glob("*/run.json"))


def results_of_tasks(folder: Path, hashes: Mapping[str, str]) -> list[CaseRecord]:
    """A run's results of the named tasks, of those whose hash is still the same; raises `RunRecordError`."""
    tasks = read_run(folder).tasks
    same = {name for name, hash_ in hashes.items() if name in tasks and tasks[name]["hash"] == hash_}
    return [record for record in read_results(folder) if record.task in same] if same else []


def read_results(folder: Path) -> list[CaseRecord]:
    """All lines of `results.jsonl`; raises `RunRecordError` naming a damaged line."""
    return list(read_lines(folder / "results.jsonl", CaseRecord.from_json))


def read_replies(folder: Path, model: str) -> dict[str, ModelReply]:
    """One model's replies of a run, by response key."""

    def reply(data: Mapping[str, Any]) -> tuple[str, str, ModelReply]:
        return data["model"], str(data["response"]), ModelReply.from_json(data["reply"])

    return {key: made for name, key, made in read_lines(folder / "replies.jsonl", reply) if name == model}


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


# Python's JSON reads NaN and Infinity; no figure of a record is either.
_LINES = json.JSONDecoder(parse_constant=_no_number)


def read_lines(path: Path, make: Callable[[Mapping[str, Any]], Made]) -> Iterator[Made]:
    """What `make` makes of each line of a record's file, one at a time; raises `RunRecordError` naming a damaged one."""
    try:
        with path.open(encoding="ascii") as file:
            for number, line in enumerate(file, start=1):
                try:
                    made = make(_LINES.decode(line))
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    raise RunRecordError(f"{path}:{number}: damaged line: {error}") from error
                yield made
    except (OSError, UnicodeDecodeError) as error:
        raise RunRecordError(f"{path} cannot be read: {error}") from error


def task_facts(tasks: Sequence[GoldenTask]) -> dict[str, dict[str, Any]]:
    """What a run record keeps of its tasks."""
    return {
        task.name: {
            "hash": task.hash,
            "cases": len(task.cases),
            "options": task.options.model_dump(mode="json"),
            "gate": task.gate.model_dump(mode="json"),
        }
        for task in tasks
    }
