"""One `pytest evals` run: what it was asked to do, its models and cases, its results as they arrive.

The controller (the only process without xdist) resolves the models, gathers results and writes the run record;
whoever executes tests (it, or an xdist worker) asks models through `needs.Asking`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evals.against import Against, write_verdict
from evals.backends.base import Model, parse_specs
from evals.cases import GoldenTask, load_golden
from evals.curtailment import Curtailment, Settled
from evals.errors import GoldenGateError, ModelUnavailable, RunMismatch, SettingsError
from evals.gate import GateVerdict, Selection, faults, judge_run, with_comparison, with_problem
from evals.needs import Asking, CheckItem, GoldenItem, SnapshotItem, all_items, test_name
from evals.options import RunSettings
from evals.report.compared import markdown_verdict
from evals.report.gather import write_report
from evals.report.markdown import markdown_report
from evals.report.snapshots import snapshots_section
from evals.results import Results
from evals.resume import Started, read_started, refuse_changes
from evals.runs import CaseRecord, RunInfo, RunWriter, task_facts, write_whole
from evals.sampling import of_split, sample_cases, stood_for
from evals.scores import Summary, summarise
from evals.since import lowered_since
from evals.snapshot_folder import left_over
from evals.snapshots import SNAPSHOTS_FILE, SnapshotResults, snapshot_problems
from evals.surroundings import git_state, host, versions
from evals.verdict import Decision, Verdict


def chosen_cases(settings: RunSettings, tasks: tuple[GoldenTask, ...]) -> tuple[GoldenTask, ...]:
    """The tasks with the cases to run: all, or those of the split and the sample that were asked for.

    Raises `SettingsError` where none is left.
    """
    chosen = of_split(tasks, settings.split)
    if not chosen:
        raise SettingsError(f"no case of the chosen tasks is in the split '{settings.split}'")
    return chosen if settings.sample is None else sample_cases(chosen, settings.sample)


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
        self.summary = Summary((), (), ())
        self.selection = Selection(0, 0, 0, 0)
        self.verdict: GateVerdict | None = None
        self.report = ""
        self.broken_off = 0
        self.snapshots: SnapshotResults | None = None
        self.on_note: Callable[[str], None] = lambda note: None
        self.resumed = 0
        self._golden: tuple[GoldenTask, ...] = ()
        self._all_compared = False
        self._compares_snapshots = False
        self.complete = False
        self.notes: list[str] = []
        self._begun = False
        self._at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._git: dict[str, Any] = {}
        self._undercut: list[str] = []
        candidates = parse_specs(list(settings.models))
        self.against = Against(settings, candidates) if settings.compares else None
        # The baseline first: what it passes decides how early the candidate's verdict is certain.
        self.specs = self.against.specs if self.against else candidates
        self.candidate = candidates[0].text
        self.comparison: Verdict | None = None
        self._going_on: Started | None = None
        if settings.resume:
            folder = Path(settings.resume)
            self._going_on = read_started(folder)
            self.writer = RunWriter(folder, resumed=True)
        else:
            self.writer = RunWriter.new(Path(settings.reports), candidates[0].text)
        self.results = Results(self.writer)
        self.asking = Asking(settings, self.writer.folder / "generate.log")
        self._curtailment: Curtailment | None = None
        self._settled: Settled | None = None
        self.spared = 0

    @property
    def folder(self) -> Path:
        return self.writer.folder

    @property
    def _own_labels(self) -> list[str]:
        """The models that are judged: all but a baseline."""
        return [model.label for model in self.models if model.label != self.settings.baseline]

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
            if self.against is not None:
                self.against.begin(self.tasks, golden)
            if self.settings.since is not None:
                folder, named = Path(self.settings.golden), self.settings.tasks
                policy = Path(self.settings.policy) if self.settings.policy else None
                self._undercut = lowered_since(self.settings.since, folder, named, golden, policy)
            self._git = git_state(self.root)
            found = self.asking.replies.resolve(self.specs)
            for note in self.asking.replies.notes:
                self.note(note)
            for spec, model in zip(self.specs, found, strict=True):
                if isinstance(model, ModelUnavailable):
                    self.unavailable[spec.text] = str(model)
            self.models = tuple(model for model in found if isinstance(model, Model))
            if not self.models or (self.unavailable and self.against is not None):
                what = "no model can be asked" if not self.models else "there is nothing to compare"
                raise SettingsError(f"{what}:\n" + "\n".join(self.unavailable.values()))
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
        results = self.results
        if self._begun:
            return len(results.expected)  # what the run began with stands: a new worker may find other cases
        chosen = [self.items[name] for name in names if name in self.items]
        results.expect(item for item in chosen if isinstance(item, CheckItem))
        compared = sum(isinstance(item, SnapshotItem) for item in chosen)
        every = sum(len(task.cases) for task in self._golden)
        self._all_compared = compared == len(self._own_labels) * every
        self._compares_snapshots = compared > 0
        asked = len(self.models) * self.settings.repeats
        whole = [case for task in self.whole for case in task.cases]
        self.selection = Selection(
            cases=len(results.expected),
            of_cases=asked * len(whole),
            checks=sum(map(len, results.expected.values())),
            of_checks=asked * sum(len(case.checks) for case in whole),
            floors=any(task.gate.floors for task in self.tasks),
            others=sum(not isinstance(item, CheckItem) for item in chosen),
        )
        if self.settings.stop_early:
            self._curtailment = self._follow()
        self._begun = True
        self._begin(names)
        return len(results.expected)

    def _follow(self) -> Curtailment | None:
        """What tells when the verdict is certain; None where nothing decides it."""
        settings = self.settings
        ends: set[Decision] = {"promote", "block", "inconclusive"}
        if self.selection.partial:
            ends.discard("promote")
        asked = self.against.asked(self.tasks) if self.against else ()
        floors = {task.name: task.floors for task in self.tasks}
        if not asked and not any(floors.values()):
            return None
        items = [one for found in self.results.expected.values() for one in found]
        of_candidate = [one for one in items if one.model.label == self.candidate]
        cases = {(one.need.task.name, one.need.case.id) for one in of_candidate}
        lacking = self.against is not None and (not asked or self.against.certain(cases))
        agreement = settings.repeats > 1 and any(task.gate.agreement for task in self.tasks)
        # Where something else decides too, nothing but a block is certain before the end.
        if agreement or self._compares_snapshots or self._undercut or lacking:
            ends = {"block"}
        return Curtailment(
            of_candidate,
            floors,
            asked,
            repeats=settings.repeats,
            recorded=self.against.recorded_rates() if self.against else None,
            ends=ends,
        )

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
        for note in message["notes"]:
            self.note(note)
        for record in self.results.take(message):
            if self._curtailment is not None and self._settled is None:
                baseline = record.model != self.candidate
                self._settled = self._curtailment.take(record, of_baseline=baseline)
                if self._settled is not None:
                    self.asking.stop()
            yield record

    def note(self, text: str) -> None:
        """Keep a sentence for the summary, and tell it now; once."""
        if text not in self.notes:
            self.notes.append(text)
            self.on_note(text)

    def finish(self, *, complete: bool, wall_s: float) -> None:
        """Write down what is left, sum up, and complete the record if the run was complete."""
        self.asking.replies.close()
        results = self.results
        if self._settled is not None:
            self.spared = results.drop_open()
            if results.whole:
                self._settled = None
        results.end(complete=complete and self._settled is None)
        self.complete = complete and results.received > 0
        self.summary = summarise(
            results.records,
            {task.name: task.floors for task in self.tasks},
            [model.label for model in self.models],
            agreements=results.agreements,
            ungated=self.settings.baseline,
        )
        self.verdict = self._judge()
        if not results.received:
            self.abandon()
            return
        self._finish_snapshots()
        if not self.complete:
            self.writer.close()
            return
        if self.against is not None:
            self._compare(self.against)
        self._write_down(wall_s)

    def _judge(self) -> GateVerdict:
        """The verdict on what was judged, but for snapshots and the baseline."""
        results = self.results
        problems = list(self._undercut) if self.settings.gate else []
        if self._settled is not None:
            verdict = self._settled.as_gate()
            problems += faults(results.records, self.summary, self.broken_off)
        else:
            verdict = judge_run(
                results.records,
                self.summary,
                self.unavailable,
                self.selection,
                enforce_floors=self.settings.gate,
                broken_off=self.broken_off,
            )
            if results.lost and not self.selection.checks:
                verdict = with_problem(
                    verdict, f"{results.lost} of the replies that were to agree never came"
                )
        for problem in problems:
            verdict = with_problem(verdict, problem)
        return verdict

    def _compare(self, against: Against) -> None:
        """Compare the candidate with its baseline; where what was judged does not fit together, that is a problem."""
        assert self.verdict is not None
        try:
            self.comparison = against.verdict(
                self.folder.name,
                self.models,
                self.tasks,
                self.results.records,
                problems=self.verdict.problems,
                partial=self.selection.part,
                settled=self._settled,
                spared=self.spared if self.settings.stop_early else None,
            )
        except RunMismatch as error:
            self.verdict = with_problem(self.verdict, str(error))
            return
        self.verdict = with_comparison(self.verdict, self.comparison)

    def _write_down(self, wall_s: float) -> None:
        """Complete the run's record."""
        assert self.verdict is not None
        info = self.info(wall_s)
        self.report = markdown_report(info, self.summary, self.verdict, self.results.records)
        if self.comparison is not None:
            self.report += markdown_verdict(self.comparison)
        summary = {**self.summary.to_json(), "gate": asdict(self.verdict), "undercut": self._undercut}
        if self.snapshots is not None:
            self.report += snapshots_section(self.snapshots)
            summary["snapshots"] = self.snapshots.counts
        try:
            if self.comparison is not None:
                write_verdict(self.folder, self.comparison)
            self.writer.finish(info, summary, self.report)
        except OSError as error:
            reason = (
                f"the run record cannot be written: {error.strerror or error}; make room, then use --resume"
            )
            self.verdict = with_problem(self.verdict, reason)
            return
        try:
            write_report([self.folder], self._golden, self.folder / "report.html")
        except GoldenGateError as error:
            self.note(f"there is no report.html: {error}")

    def _finish_snapshots(self) -> None:
        """Keep what was compared, and tell, or with `--snapshot-update` remove, what no case of a whole run stands for."""
        settings = self.settings
        if not self.results.compared or settings.snapshots is None:
            return
        gone: list[Path] = []
        if self.complete and self._all_compared:
            cases = {task.name: [case.id for case in task.cases] for task in self._golden}
            gone = left_over(Path(settings.snapshots), self._own_labels, cases, every_task=not settings.tasks)
        removed = settings.snapshots_written == "all"
        self.snapshots = SnapshotResults(tuple(self.results.compared), len(gone), removed)
        try:
            for path in gone if removed else ():
                path.unlink(missing_ok=True)
            lines = (json.dumps(one.to_json()) + "\n" for one in self.results.compared)
            write_whole(self.folder / SNAPSHOTS_FILE, "".join(lines))
        except OSError as error:
            self.note(f"not all of the snapshots is kept: {error.filename}: {error.strerror or error}")
        assert self.verdict is not None
        for problem in snapshot_problems(
            self.results.compared, strict=settings.snapshot_strict and settings.gate
        ):
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
            asked=len(self.results.records),
            stored=self.results.stored,
            selected=asdict(self.selection),
            resumed=self.resumed,
            spared=self.spared,
        )
