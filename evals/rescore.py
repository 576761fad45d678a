"""Today's checks on the replies of a recorded run; no model is asked.

A reply is judged again only where today's request for its case has the response key that it was recorded under: what
was asked otherwise has not been asked. The record is read as a stream, a reply at a time, and never written to; the
verdicts go into a run record of their own, whose `rescored` names the run that they are of.
"""

from __future__ import annotations

import json
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, PositiveInt, ValidationError

from evals.backends.base import Model, ModelReply
from evals.cases import GoldenTask, Split, load_golden
from evals.consistency import AGREEMENTS, Agreement, AgreementName, agreement, form
from evals.errors import RunRecordError, SettingsError
from evals.flips import Changes, Comparison, LeftOut
from evals.gate import GateVerdict, Selection, judge_run
from evals.needs import CaseKey, chat_request
from evals.outcomes import classify, judge_reply
from evals.report.markdown import markdown_report
from evals.report.rescored import changes_section
from evals.runs import (
    CaseRecord,
    RunInfo,
    RunWriter,
    check_record,
    read_lines,
    read_run,
    task_facts,
)
from evals.sampling import of_split, stood_for
from evals.scores import Summary, summarise
from evals.surroundings import git_state, versions


@dataclass(frozen=True, slots=True)
class Rescored:
    """A run judged again: what changed, and the figures, verdict and folder of the new record."""

    changes: Changes
    summary: Summary
    verdict: GateVerdict
    folder: Path


def rescore(folder: Path, golden: Path, reports: Path, *, gate: bool = True) -> Rescored:
    """Judge the replies of the run in `folder` by the cases in `golden`, and write a run record below `reports`.

    Without `gate` floors are shown, not enforced. Raises `GoldenGateError`; then nothing is left below `reports`.
    """
    then = read_run(folder)
    asked = _asked(then, folder)
    whole = _tasks(asked, golden)
    tasks = of_split(whole, asked.split)
    settings = {**then.settings, "golden": str(golden), "reports": str(reports), "gate": gate}
    info = replace(
        then,
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        tasks=task_facts(tasks),
        settings=settings,
        versions=versions(),
        git=git_state(golden),
        resumed=0,
        rescored=then.run,
    )
    clock = time.monotonic()
    writer = RunWriter.new(reports, then.models[0].label)
    try:
        judging = _Judging(then.models, tasks, asked.repeats)
        _judge_all(folder, writer, judging)
        if not judging.records:
            raise RunRecordError(
                f"no reply of the run in {folder} answers what the cases in {golden} ask today; "
                "`pytest evals` asks them anew"
            )
        summary = summarise(
            judging.records,
            {task.name: task.floors for task in tasks},
            [model.label for model in then.models],
            judging.repeats.agreements(tasks),
        )
        selection = _selection(judging.records, then, whole, asked)
        verdict = judge_run(judging.records, summary, then.unavailable, selection, enforce_floors=gate)
        info = replace(
            info,
            run=writer.folder.name,
            wall_s=time.monotonic() - clock,
            asked=len(judging.records),
            stored=sum(record.stored for record in judging.records),
            selected=asdict(selection),
        )
        changes = Changes(then, info, judging.comparison, judging.left_out())
        report = markdown_report(info, summary, verdict, judging.records) + changes_section(changes)
        writer.finish(info, {**summary.to_json(), "gate": asdict(verdict)}, report)
    except OSError as error:
        writer.discard()
        raise SettingsError(
            f"the new record in {writer.folder} cannot be written: {error.strerror or error}; "
            "name another folder with --reports DIR"
        ) from error
    except BaseException:
        writer.discard()
        raise
    return Rescored(changes, summary, verdict, writer.folder)


def _judge_all(folder: Path, writer: RunWriter, judging: _Judging) -> None:
    """Judge reply after reply, and write down results and flips as they come."""
    with (writer.folder / "flips.jsonl").open("w", encoding="ascii") as flips:
        for record, reply in recorded_replies(folder):
            judged = judging.judge(record, reply)
            if judged is not None:
                writer.add(judged, reply)
                for flip in judging.comparison.take(record, judged):
                    flips.write(json.dumps(flip.to_json()) + "\n")


class _Judging:
    """Judges the replies of a run as they are read, and keeps what became of each."""

    def __init__(self, models: Sequence[Model], tasks: Sequence[GoldenTask], repeats: int) -> None:
        self.records: list[CaseRecord] = []
        self.comparison = Comparison()
        self.repeats = _Repeats(repeats)
        self._models = {model.label: model for model in models}
        self._cases = {(task.name, case.id): (task, case) for task in tasks for case in task.cases}
        self._seen: set[CaseKey] = set()
        self._gone: dict[str, None] = {}
        self._otherwise: dict[str, None] = {}

    def judge(self, record: CaseRecord, reply: ModelReply) -> CaseRecord | None:
        """A record with today's verdicts; None where it cannot be judged by today's cases."""
        key = (record.model, record.task, record.case, record.repeat)
        name = f"{record.task}/{record.case}"
        if key in self._seen:
            raise RunRecordError(f"results.jsonl is damaged: it holds {name} of {record.model} twice")
        self._seen.add(key)
        model, found = self._models.get(record.model), self._cases.get((record.task, record.case))
        if model is None:
            raise RunRecordError(f"results.jsonl is damaged: run.json knows no model {record.model!r}")
        if found is None:
            self._gone[name] = None
            return None
        task, case = found
        request = chat_request(model, task, case, record.repeat)
        # What ended before it was asked has no key, and is a fault all the same.
        if record.response != model.key(request) and not (record.fault and not record.response):
            self._otherwise[name] = None
            return None
        checks = tuple(check_record(*one) for one in judge_reply(case, reply, request.messages[-1].content))
        outcome = classify(reply).value
        judged = replace(
            record, checks=checks, outcome=outcome, tags=case.tags, split=case.split, cluster=case.cluster
        )
        self.records.append(judged)
        self.repeats.take(judged, reply)
        return judged

    def left_out(self) -> LeftOut:
        """What was not judged, once all is read."""
        seen = {(model, task, case) for model, task, case, _ in self._seen}
        never = [
            f"{task}/{case}"
            for task, case in self._cases
            if any((model, task, case) not in seen for model in self._models)
        ]
        return LeftOut(tuple(self._gone), tuple(self._otherwise), never)


class _Repeats:
    """What the repeats of each case came to, kept as hashes: a reply itself is forgotten once it is judged."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._forms: dict[tuple[str, str, AgreementName], dict[str, list[Hashable]]] = {}

    def take(self, record: CaseRecord, reply: ModelReply) -> None:
        """Note one reply in the form that each measure of agreement compares."""
        if self._number == 1:
            return
        for measure in AGREEMENTS:
            made = form(measure, reply, record.repeat, (check.outcome for check in record.checks))
            by_case = self._forms.setdefault((record.model, record.task, measure), {})
            by_case.setdefault(record.case, []).append(hash(made))

    def agreements(self, tasks: Sequence[GoldenTask]) -> list[Agreement]:
        """The agreement of the cases of which all repeats were judged; none where nothing was asked twice."""
        by_name = {task.name: task for task in tasks}
        found: list[Agreement] = []
        for (model, name, measure), forms in self._forms.items():
            if by_case := {case: values for case, values in forms.items() if len(values) == self._number}:
                task = by_name[name]
                found.append(
                    agreement(
                        by_case,
                        model=model,
                        task=name,
                        measure=measure,
                        noise_floor=task.options.temperature == 0,
                        floor=task.gate.agreement.get(measure),
                    )
                )
        return found


def recorded_replies(folder: Path) -> Iterator[tuple[CaseRecord, ModelReply]]:
    """Each result of a run with the reply that it is of; a result without one has a reply that is its fault.

    The two files are in the same order, so that hardly more than one reply is held at a time. Raises `RunRecordError`.
    """
    replies = read_lines(folder / "replies.jsonl", _named_reply)
    ahead: dict[tuple[str, ...], ModelReply] = {}
    for record in read_lines(folder / "results.jsonl", _sound_record):
        if record.fault:
            fault = ModelReply(fault=record.fault, stop_reason=record.stop_reason, retries=record.retries)
            yield record, fault
            continue
        key = (record.model, record.task, record.case, record.response)
        while key not in ahead:
            name, reply = next(replies, ((), ModelReply()))
            if not name:
                raise RunRecordError(
                    f"{folder / 'replies.jsonl'} is damaged: it lacks the reply of {record.model} to "
                    f"{record.task}/{record.case}"
                )
            ahead[name] = reply
        yield record, ahead.pop(key)


def _sound_record(data: Mapping[str, Any]) -> CaseRecord:
    record = CaseRecord.from_json(data)
    texts = [record.model, record.task, record.case, record.response, record.fault, record.stop_reason]
    texts += [text for check in record.checks for text in (check.name, check.outcome, check.reason)]
    numbers = [*record.timings.values(), *record.tokens.values(), record.repeat]
    if not all(isinstance(text, str) for text in (*texts, *record.retries)):
        raise TypeError("a name, an outcome or a reason is no text")
    if not all(number is None or isinstance(number, (int, float)) for number in numbers):
        raise TypeError("a figure is no number")
    return record


def _named_reply(data: Mapping[str, Any]) -> tuple[tuple[str, ...], ModelReply]:
    name = (data["model"], data["task"], data["case"], data["response"])
    reply = ModelReply.from_json(data["reply"])
    if not all(isinstance(text, str) for text in (*name, reply.text, reply.thinking, reply.stop_reason)):
        raise TypeError("a name or a reply is no text")
    return name, replace(reply, fault="")


class _Settings(BaseModel):
    """What a run was to ask: the tasks that were named (none: all), the split (None: both), the repeats of a case."""

    tasks: list[str]
    split: Split | None
    repeats: PositiveInt = 1


class _TaskFacts(BaseModel):
    hash: str


class _ModelFacts(BaseModel):
    label: str
    digest: str


class _RunFacts(BaseModel):
    """The parts of run.json that are used here, as `pytest evals` writes them."""

    run: str
    started: str
    models: tuple[_ModelFacts, ...] = Field(min_length=1)
    unavailable: dict[str, str]
    tasks: dict[str, _TaskFacts]
    settings: _Settings
    versions: dict[str, str]
    git: dict[str, str | bool]


def _asked(then: RunInfo, folder: Path) -> _Settings:
    try:
        return _RunFacts.model_validate(then, from_attributes=True, strict=True).settings
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RunRecordError(f"{folder / 'run.json'} is damaged: {where}: {first['msg']}") from error


def _tasks(asked: _Settings, golden: Path) -> tuple[GoldenTask, ...]:
    """Today's tasks of those that the run was to ask."""
    there = [name for name in asked.tasks if (golden / name).is_dir()]
    if asked.tasks and not there and golden.is_dir():
        raise SettingsError(f"none of the run's tasks is in {golden}: {', '.join(asked.tasks)}")
    return load_golden(golden, there)


def _selection(
    records: Sequence[CaseRecord], then: RunInfo, tasks: Sequence[GoldenTask], asked: _Settings
) -> Selection:
    """What was judged of what there is today; the gate split stands for itself, as in a run."""
    cases = [case for task in stood_for(tasks, asked.split) for case in task.cases]
    times = len(then.models) * asked.repeats
    return Selection(
        cases=len(records),
        of_cases=times * len(cases),
        checks=sum(len(record.checks) for record in records),
        of_checks=times * sum(len(case.checks) for case in cases),
        floors=any(task.gate.floors for task in tasks),
    )
