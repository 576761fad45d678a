"""One `pytest evals` run: what it was asked to do, its models and cases, its results as they arrive.

The controller (the only process without xdist) resolves the models, gathers results and writes the run record;
whoever executes tests (it, or an xdist worker) asks models through `Replies`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.backends.base import ChatRequest, Model, ModelReply, parse_specs
from evals.cache import cache_folder
from evals.cases import CaseCheck, GoldenCase, GoldenTask, load_golden
from evals.checks.base import CheckResult
from evals.errors import GoldenGateError, ModelUnavailable, SettingsError
from evals.gate import gate_problems
from evals.generate import Settings as AskSettings
from evals.outcomes import classify
from evals.prompts import chat_messages
from evals.replies import Replies
from evals.report.markdown import markdown_report
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
)
from evals.sampling import sample_cases
from evals.scores import Summary, summarise

CaseKey = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What the user asked for, after command line, environment and pyproject.toml."""

    models: tuple[str, ...]
    golden: str
    reports: str
    tasks: tuple[str, ...]
    host: str | None
    concurrency: int | None
    sample: int | None
    reply_timeout_s: float
    refresh: bool
    store: bool
    gate: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunSettings:
        return cls(**{**data, "models": tuple(data["models"]), "tasks": tuple(data["tasks"])})


@dataclass(frozen=True, slots=True)
class Item:
    """What one test item judges. Its id is unique in a run."""

    model: Model
    task: GoldenTask
    case: GoldenCase
    check: CaseCheck

    @property
    def id(self) -> str:
        return f"{self.model.label}-{self.case.task}/{self.case.id}-{self.check.label}"


def chosen_tasks(settings: RunSettings) -> tuple[GoldenTask, ...]:
    """The tasks to run, sampled if that was asked for; raises `GoldenGateError`."""
    tasks = load_golden(Path(settings.golden), settings.tasks)
    return tasks if settings.sample is None else sample_cases(tasks, settings.sample)


def all_items(models: Iterable[Model], tasks: Sequence[GoldenTask]) -> list[Item]:
    """Every model x case x check, model by model, so that each is loaded once."""
    return [
        Item(model, task, case, check)
        for model in models
        for task in tasks
        for case in task.cases
        for check in case.checks
    ]


def chat_request(model: Model, task: GoldenTask, case: GoldenCase) -> ChatRequest:
    """What a model is asked for a case. Thinking is named only to models that have it."""
    options = task.options.model_dump(mode="json")
    think = options.pop("think")
    messages = chat_messages(task, case)
    return ChatRequest(task.name, case.id, messages, options, think if model.thinks else None)


class Asking:
    """The executing side: orders the replies of the selected cases and hands them to tests."""

    def __init__(self, settings: RunSettings, log: Path) -> None:
        store = str(cache_folder() / "responses") if settings.store else None
        ask = AskSettings(settings.host, settings.concurrency, settings.reply_timeout_s, store)
        self.replies = Replies(ask, log, refresh=settings.refresh)
        self._selected: dict[str, dict[str, tuple[Item, int]]] = {}
        self._requests: dict[tuple[str, str], tuple[str, ChatRequest]] = {}
        self._told: dict[tuple[str, str], int] = {}

    def select(self, items: Iterable[Item]) -> None:
        """The items that will run; called once, after collection."""
        for item in items:
            by_case = self._selected.setdefault(item.model.label, {})
            name = _case_name(item)
            _, count = by_case.get(name, (item, 0))
            by_case[name] = (item, count + 1)

    def checks_selected(self, item: Item) -> int:
        """How many checks of the item's case will run."""
        return self._selected[item.model.label][_case_name(item)][1]

    def tell(self, item: Item) -> bool:
        """Count one result of the item's case; True for the first, which carries the reply along.

        After the last one the reply's memory is given back.
        """
        name = (item.model.label, _case_name(item))
        self._told[name] = self._told.get(name, 0) + 1
        if self._told[name] == self.checks_selected(item):
            self.replies.forget(self._requests[name][0])
        return self._told[name] == 1

    def order_model(self, label: str) -> None:
        """Ask for all selected cases of one model, ahead of their tests."""
        requests: list[ChatRequest] = []
        model: Model | None = None
        for name, (item, _) in self._selected.get(label, {}).items():
            model = item.model
            request = chat_request(model, item.task, item.case)
            self._requests[label, name] = (request.key(model.digest), request)
            requests.append(request)
        if model is not None:
            self.replies.order(model, requests)

    def order_all(self) -> None:
        """Ask for everything, model after model."""
        for label in self._selected:
            self.order_model(label)

    def request(self, item: Item) -> tuple[str, ChatRequest]:
        """The response key and the request of an item's case, ordered on first use."""
        name = (item.model.label, _case_name(item))
        if name not in self._requests:
            self.order_model(item.model.label)
        return self._requests[name]


def _case_name(item: Item) -> str:
    return f"{item.task.name}/{item.case.id}"


def result_message(item: Item, key: str, reply: ModelReply, result: CheckResult, asking: Asking) -> str:
    """One check's result as it travels to the controller: ASCII JSON, since replies may hold anything."""
    message: dict[str, Any] = {
        "model": item.model.label,
        "task": item.task.name,
        "case": item.case.id,
        "repeat": 0,
        "of": asking.checks_selected(item),
        "response": key,
        "check": check_record(item.check, result).to_json(),
    }
    if asking.tell(item):
        message["reply"] = reply.to_json()
        message["tags"] = item.case.tags
        message["stored"] = key in asking.replies.stored
        message["notes"] = asking.replies.notes
    return json.dumps(message)


class GoldenRun:
    """The controlling side of a run."""

    def __init__(self, settings: RunSettings, root: Path) -> None:
        self.settings = settings
        self.root = root
        self.tasks: tuple[GoldenTask, ...] = ()
        self.models: tuple[Model, ...] = ()
        self.unavailable: dict[str, str] = {}
        self.items: dict[str, Item] = {}
        self.records: list[CaseRecord] = []
        self.summary = Summary((), (), ())
        self.problems: list[str] = []
        self.complete = False
        self.stored = 0
        self.notes: list[str] = []
        self._open: dict[CaseKey, _OpenCase] = {}
        self._started = time.time()
        self._git: dict[str, Any] = {}
        self.specs = parse_specs(list(settings.models))
        self.writer = RunWriter(Path(settings.reports), self.specs[0].text)
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
            self.tasks = chosen_tasks(self.settings)
            self._git = git_state(self.root)
            found = self.asking.replies.resolve(self.specs)
            for spec, model in zip(self.specs, found, strict=True):
                if isinstance(model, ModelUnavailable):
                    self.unavailable[spec.text] = str(model)
            self.models = tuple(model for model in found if isinstance(model, Model))
            if not self.models:
                raise SettingsError("no model can be asked:\n" + "\n".join(self.unavailable.values()))
        except GoldenGateError:
            self.abandon()
            raise
        self.items = {item.id: item for item in all_items(self.models, self.tasks)}

    def abandon(self) -> None:
        """End without a run: nothing was asked, so nothing is kept."""
        self.asking.replies.close()
        self.writer.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def receive(self, text: str) -> Iterator[CaseRecord]:
        """Take in one check's result, wherever it was judged; yields the case's record once all are in."""
        message = json.loads(text)
        key = (message["model"], message["task"], message["case"], message["repeat"])
        case = self._open.setdefault(key, _OpenCase())
        case.take(message)
        self.stored += message.get("stored", False)
        self.notes += [note for note in message.get("notes", ()) if note not in self.notes]
        if len(case.checks) == message["of"]:
            yield self._write(key)

    def finish(self, *, complete: bool, wall_s: float) -> None:
        """Write down what is left, sum up, and complete the record if the run was complete."""
        self.asking.replies.close()
        for key in list(self._open):
            self._write(key)
        self.complete = complete and bool(self.records)
        floors = {
            task.name: {capability.value: floor for capability, floor in task.gate.floors.items()}
            for task in self.tasks
        }
        self.summary = summarise(self.records, floors, [model.label for model in self.models])
        self.problems = gate_problems(
            self.records, self.summary, self.unavailable, enforce_floors=self.settings.gate
        )
        if not self.records:
            self.abandon()
            return
        if not self.complete:
            self.writer.close()
            return
        info = RunInfo(
            run=self.folder.name,
            started=time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._started)),
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
        )
        report = markdown_report(info, self.summary, self.problems, self.records, enforced=self.settings.gate)
        verdict = {"gate": self.settings.gate, "problems": self.problems}
        self.writer.finish(info, {**self.summary.to_json(), **verdict}, report)

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
            tags=case.tags,
        )
        self.records.append(record)
        self.writer.add(record, reply)
        return record


class _OpenCase:
    """A case whose checks are still coming in."""

    def __init__(self) -> None:
        self.checks: list[CheckRecord] = []
        self.reply = ModelReply(fault="the reply was lost on the way", stop_reason="fault")
        self.response = ""
        self.tags: tuple[str, ...] = ()

    def take(self, message: Mapping[str, Any]) -> None:
        self.checks.append(CheckRecord(**message["check"]))
        self.response = message["response"]
        if "reply" in message:
            self.reply = ModelReply.from_json(message["reply"])
            self.tags = tuple(message["tags"])
