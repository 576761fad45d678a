"""One `pytest evals` run: what it was asked to do, its models and cases, its results as they arrive.

The controller (the only process without xdist) resolves the models, gathers results and writes the run record;
whoever executes tests (it, or an xdist worker) asks models through `needs.Asking`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evals.backends.base import Model, ModelReply, parse_specs
from evals.cases import GoldenTask, load_golden
from evals.checks.base import CheckOutcome, CheckResult
from evals.consistency import Agreement
from evals.errors import ModelUnavailable, SettingsError
from evals.gate import GateVerdict, Selection, judge_run, with_problem
from evals.needs import (
    Asking,
    CaseKey,
    CheckItem,
    GoldenItem,
    Need,
    Reply,
    SnapshotItem,
    all_items,
    test_name,
)
from evals.options import RunSettings
from evals.outcomes import classify
from evals.report.markdown import markdown_report
from evals.report.snapshots import snapshots_section
from evals.resume import Started, read_started, refuse_changes
from evals.runs import (
    CaseRecord,
    CheckRecord,
    RunInfo,
    RunWriter,
    check_record,
    git_state,
    host,
    reply_figures,
    task_facts,
    versions,
    write_whole,
)
from evals.sampling import of_split, sample_cases, stood_for
from evals.scores import Summary, summarise
from evals.snapshot_folder import left_over
from evals.snapshots import SNAPSHOTS_FILE, Compared, SnapshotResults, snapshot_problems


def chosen_cases(settings: RunSettings, tasks: tuple[GoldenTask, ...]) -> tuple[GoldenTask, ...]:
    """The tasks with the cases to run: all, or those of the split and the sample that were asked for.

    Raises `SettingsError` where none is left.
    """
    chosen = of_split(tasks, settings.split)
    if not chosen:
        raise SettingsError(f"no case of the chosen tasks is in the split '{settings.split}'")
    return chosen if settings.sample is None else sample_cases(chosen, settings.sample)


def reply_message(need: Need, reply: Reply, asking: Asking) -> dict[str, Any]:
    """A reply as it travels to the controller: its name, and itself with the first result that is told of it."""
    message: dict[str, Any] = {
        "model": need.model.label,
        "task": need.task.name,
        "case": need.case.id,
        "repeat": need.repeat,
        "of": asking.checks_selected(need),
        "response": reply.key,
    }
    if asking.tell(need):
        message["reply"] = reply.reply.to_json()
        message["tags"] = need.case.tags
        message["split"] = need.case.split
        message["cluster"] = need.case.cluster
        message["stored"] = reply.key in asking.replies.stored
    return message


class GoldenRun:
    """The controlling side of a run."""

    def __init__(self, settings: RunSettings, root: Path) -> None:
        self.settings = settings
        self.root = root
        self.tasks: tuple[GoldenTask, ...] = ()
        self.whole: tuple[GoldenTask, ...] = ()
        self.available = 0
        self.models: tuple[Model, ...] = ()
        self.unavailable: dict[str, str] = {}
        self.items: dict[str, GoldenItem] = {}
        self.records: list[CaseRecord] = []
        self.summary = Summary((), (), ())
        self.selection = Selection(0, 0, 0, 0)
        self.verdict: GateVerdict | None = None
        self.broken_off = 0
        self.agreements: list[Agreement] = []
        self.compared: list[Compared] = []
        self.snapshots: SnapshotResults | None = None
        self.received = 0
        self.on_note: Callable[[str], None] = lambda note: None
        self._missing: dict[tuple[str, str], int] = {}
        self.resumed = 0
        self._golden: tuple[GoldenTask, ...] = ()
        self._expected: dict[CaseKey, list[CheckItem]] = {}
        self._all_compared = False
        self.complete = False
        self.stored = 0
        self.notes: list[str] = []
        self._open: dict[CaseKey, _OpenCase] = {}
        self._begun = False
        self._at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._git: dict[str, Any] = {}
        self.specs = parse_specs(list(settings.models))
        self._going_on: Started | None = None
        if settings.resume:
            folder = Path(settings.resume)
            self._going_on = read_started(folder)
            self.writer = RunWriter(folder, resumed=True)
        else:
            self.writer = RunWriter.new(Path(settings.reports), self.specs[0].text)
        self.asking = Asking(settings, self.writer.folder / "generate.log")

    @property
    def folder(self) -> Path:
        return self.writer.folder

    def start(self) -> None:
        """Load the cases and resolve the models, both at once; nothing is asked yet.

        Raises `GoldenGateError`: broken cases, bad settings, or no model at all.
        """
        try:
            self.asking.replies.start()
            golden = self._golden = load_golden(Path(self.settings.golden), self.settings.tasks)
            self.tasks = chosen_cases(self.settings, golden)
            self.available = sum(len(task.cases) for task in of_split(golden, self.settings.split))
            self.whole = tuple(stood_for(golden, self.settings.split))
            self._git = git_state(self.root)
            found = self.asking.replies.resolve(self.specs)
            for note in self.asking.replies.notes:
                self.note(note)
            for spec, model in zip(self.specs, found, strict=True):
                if isinstance(model, ModelUnavailable):
                    self.unavailable[spec.text] = str(model)
            self.models = tuple(model for model in found if isinstance(model, Model))
            if not self.models:
                raise SettingsError("no model can be asked:\n" + "\n".join(self.unavailable.values()))
            for model in self.models:
                recorded = (
                    model.details["repeats"] if model.spec.backend == "replay" else self.settings.repeats
                )
                if recorded < self.settings.repeats:
                    times = "once" if recorded == 1 else f"{recorded} times"
                    raise SettingsError(
                        f"{model.label}: each case was asked {times} there, so --repeats {self.settings.repeats} has no "
                        "answers; leave it out"
                    )
            if self._going_on is not None:
                refuse_changes(self._going_on, self.models, self.tasks, self.folder)
                self.resumed = self.asking.go_on(self.folder)
        except BaseException:
            self.abandon()
            raise
        self.items = {test_name(item): item for item in all_items(self.models, self.tasks, self.settings)}

    def expect(self, names: Collection[str]) -> int:
        """The test names of the items that will run; whatever of them brings no result will count as missing.

        Returns the number of replies to judge. With several xdist workers each tells the same names.
        """
        if self._begun:
            return len(self._expected)  # what the run began with stands: a new worker may find other cases
        others = compared = 0
        for item in (self.items[name] for name in names if name in self.items):
            if isinstance(item, CheckItem):
                self._expected.setdefault(item.need.key, []).append(item)
            else:
                others += 1
                compared += isinstance(item, SnapshotItem)
        every = sum(len(task.cases) for task in self._golden)
        self._all_compared = compared == len(self.models) * every
        asked = len(self.models) * self.settings.repeats
        whole = [case for task in self.whole for case in task.cases]
        self.selection = Selection(
            cases=len(self._expected),
            of_cases=asked * len(whole),
            checks=sum(len(items) for items in self._expected.values()),
            of_checks=asked * sum(len(case.checks) for case in whole),
            floors=any(task.gate.floors for task in self.tasks),
            others=others,
        )
        self._begun = True
        self._begin(names)
        return len(self._expected)

    def _begin(self, names: Collection[str]) -> None:
        """Note what is asked before anything is: a run that is killed can then go on."""
        whole = len(names) == len(self.items)
        started = Started(
            settings=self.settings.to_json(),
            digests={model.label: model.digest for model in self.models},
            hashes={task.name: task.hash for task in self.tasks},
            only=None if whole else sorted(names),
            at=self._at,
        )
        try:
            self.writer.begin(started)
        except OSError as error:
            self.note(f"the run cannot be gone on with, should it be killed: {error.strerror or error}")

    def abandon(self) -> None:
        """End without a run: nothing was asked, so nothing is kept."""
        self.asking.replies.close()
        self.writer.discard()

    def receive(self, text: str) -> Iterator[CaseRecord]:
        """Take in one test's result, wherever it was judged; yields a case's record once all its checks are in."""
        message = json.loads(text)
        self.received += 1
        for note in message["notes"]:
            self.note(note)
        if "agreement" in message:
            self.agreements.append(Agreement(**message["agreement"]))
            name = (message["agreement"]["model"], message["agreement"]["task"])
            self._missing[name] = message["missing"]
        if "snapshot" in message:
            self.compared.append(Compared.from_json(message["snapshot"]))
        if "response" not in message:
            return
        key = (message["model"], message["task"], message["case"], message["repeat"])
        case = self._open.setdefault(key, _OpenCase())
        case.take(message)
        self.stored += message.get("stored", False)
        if len(case.checks) == message["of"]:
            yield self._write(key)

    def note(self, text: str) -> None:
        """Keep a sentence for the summary, and tell it now; once."""
        if text not in self.notes:
            self.notes.append(text)
            self.on_note(text)

    def finish(self, *, complete: bool, wall_s: float) -> None:
        """Write down what is left, sum up, and complete the record if the run was complete."""
        self.asking.replies.close()
        if complete:
            self._fill_in()
        for key in list(self._open):
            self._write(key)
        self.complete = complete and self.received > 0
        floors = {task.name: task.floors for task in self.tasks}
        self.summary = summarise(
            self.records, floors, [model.label for model in self.models], agreements=self.agreements
        )
        self.verdict = judge_run(
            self.records,
            self.summary,
            self.unavailable,
            self.selection,
            enforce_floors=self.settings.gate,
            broken_off=self.broken_off,
        )
        if (lost := sum(self._missing.values())) and not self.selection.checks:
            self.verdict = with_problem(self.verdict, f"{lost} of the replies that were to agree never came")
        if not self.received:
            self.abandon()
            return
        self._finish_snapshots()
        if not self.complete:
            self.writer.close()
            return
        info = self.info(wall_s)
        report = markdown_report(info, self.summary, self.verdict, self.records)
        summary = {**self.summary.to_json(), "gate": asdict(self.verdict)}
        if self.snapshots is not None:
            report += snapshots_section(self.snapshots)
            summary["snapshots"] = self.snapshots.counts
        try:
            self.writer.finish(info, summary, report)
        except OSError as error:
            reason = (
                f"the run record cannot be written: {error.strerror or error}; make room, then use --resume"
            )
            self.verdict = with_problem(self.verdict, reason)

    def _finish_snapshots(self) -> None:
        """Keep what was compared, and tell, or with `--snapshot-update` remove, what no case of a whole run stands for."""
        settings = self.settings
        if not self.compared or settings.snapshots is None:
            return
        gone: list[Path] = []
        if self.complete and self._all_compared:
            cases = {task.name: [case.id for case in task.cases] for task in self._golden}
            labels = [model.label for model in self.models]
            gone = left_over(Path(settings.snapshots), labels, cases, every_task=not settings.tasks)
        removed = settings.snapshots_written == "all"
        self.snapshots = SnapshotResults(tuple(self.compared), len(gone), removed)
        try:
            for path in gone if removed else ():
                path.unlink(missing_ok=True)
            lines = (json.dumps(one.to_json()) + "\n" for one in self.compared)
            write_whole(self.folder / SNAPSHOTS_FILE, "".join(lines))
        except OSError as error:
            self.note(f"not all of the snapshots is kept: {error.filename}: {error.strerror or error}")
        assert self.verdict is not None
        for problem in snapshot_problems(self.compared, strict=settings.snapshot_strict and settings.gate):
            self.verdict = with_problem(self.verdict, problem)

    def info(self, wall_s: float) -> RunInfo:
        """What this run was, for its record."""
        return RunInfo(
            run=self.folder.name,
            started=self._going_on.at if self._going_on else self._at,
            wall_s=wall_s,
            models=self.models,
            unavailable=self.unavailable,
            tasks=task_facts(self.tasks),
            settings=self.settings.to_json(),
            versions=versions(),
            git=self._git,
            host=host(),
            asked=len(self.records),
            stored=self.stored,
            selected=asdict(self.selection),
            resumed=self.resumed,
        )

    def _fill_in(self) -> None:
        """Checks that were to be judged and never were (a worker died, a fixture broke) count as missing."""
        written = {(record.model, record.task, record.case, record.repeat) for record in self.records}
        reason = "no result came: its worker, or its test's set-up, ended before"
        lost = CheckResult(CheckOutcome.UNSCORED, 0.0, None, reason, "infrastructure")
        for key, items in self._expected.items():
            if key in written:
                continue
            case = self._open.setdefault(key, _OpenCase())
            asked = items[0].need.case
            case.tags, case.split, case.cluster = asked.tags, asked.split, asked.cluster
            names = {check.name for check in case.checks}
            case.checks += [check_record(item.check, lost) for item in items if item.check.label not in names]

    def _write(self, key: CaseKey) -> CaseRecord:
        case = self._open.pop(key)
        reply = case.reply
        timings, tokens = reply_figures(reply)
        model, task, name, repeat = key
        record = CaseRecord(
            model=model,
            task=task,
            case=name,
            repeat=repeat,
            outcome=classify(reply).value,
            checks=tuple(case.checks),
            timings=timings,
            tokens=tokens,
            response=case.response,
            stop_reason=reply.stop_reason,
            retries=reply.retries,
            fault=reply.fault,
            stored=case.stored,
            tags=case.tags,
            split=case.split,
            cluster=case.cluster,
        )
        self.records.append(record)
        self.writer.add(record, reply)
        return record


class _OpenCase:
    """A case whose checks are still coming in."""

    def __init__(self) -> None:
        self.checks: list[CheckRecord] = []
        self.reply = ModelReply(fault="no result came of this case", stop_reason="fault")
        self.response = ""
        self.stored = False
        self.tags: tuple[str, ...] = ()
        self.split = "gate"
        self.cluster = ""

    def take(self, message: Mapping[str, Any]) -> None:
        if "check" in message:
            self.checks.append(CheckRecord(**message["check"]))
        self.response = message["response"]
        if "reply" in message:
            self.reply = ModelReply.from_json(message["reply"])
            self.stored = bool(message["stored"])
            self.tags = tuple(message["tags"])
            self.split = message["split"]
            self.cluster = message["cluster"]
