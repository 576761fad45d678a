"""One `pytest evals` run: what it was asked to do, its models and cases, its results as they arrive.

The controller (the only process without xdist) resolves the models, gathers results and writes the run record;
whoever executes tests (it, or an xdist worker) asks models through `Replies`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.backends.base import AskSettings, ChatRequest, Model, ModelReply, parse_specs
from evals.cache import cache_folder
from evals.cases import CaseCheck, GoldenCase, GoldenTask, load_golden
from evals.checks.base import CheckOutcome, CheckResult
from evals.errors import ModelUnavailable, SettingsError
from evals.gate import GateVerdict, Selection, judge_run
from evals.options import RunSettings
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
from evals.sampling import of_split, sample_cases
from evals.scores import Summary, summarise

CaseKey = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Item:
    """What one test item judges. Its id is unique in a run."""

    model: Model
    task: GoldenTask
    case: GoldenCase
    check: CaseCheck

    @property
    def id(self) -> str:
        # pytest escapes what is not ASCII, and backslashes; here it is done once, the same for everybody.
        label = self.model.label.replace("\\", "/").encode("ascii", "xmlcharrefreplace").decode("ascii")
        return f"{label}-{self.case.task}/{self.case.id}-{self.check.label}"


def chosen_cases(settings: RunSettings, tasks: tuple[GoldenTask, ...]) -> tuple[GoldenTask, ...]:
    """The tasks with the cases to run: all, or those of the split and the sample that were asked for.

    Raises `SettingsError` where none is left.
    """
    chosen = of_split(tasks, settings.split)
    if not chosen:
        raise SettingsError(f"no case of the chosen tasks is in the split '{settings.split}'")
    return chosen if settings.sample is None else sample_cases(chosen, settings.sample)


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
        ask = AskSettings(
            settings.hosts,
            settings.concurrency,
            settings.reply_timeout_s,
            store,
            settings.server_wait_s,
            settings.share_server,
        )
        self.replies = Replies(ask, log, refresh=settings.refresh)
        self._selected: dict[str, dict[str, tuple[Item, int]]] = {}
        self._requests: dict[tuple[str, str], tuple[str, ChatRequest]] = {}
        self._told: Counter[tuple[str, str]] = Counter()
        # Two cases, or two names of one model, may share a key: its reply is kept until the last of them is done.
        self._users: Counter[str] = Counter()

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
        self._told[name] += 1
        if self._told[name] == self.checks_selected(item):
            key = self._requests[name][0]
            self._users[key] -= 1
            if not self._users[key]:
                self.replies.forget(key)
        return self._told[name] == 1

    def order_model(self, label: str) -> None:
        """Ask for all selected cases of one model, ahead of their tests."""
        requests: list[ChatRequest] = []
        model: Model | None = None
        for name, (item, _) in self._selected.get(label, {}).items():
            model = item.model
            request = chat_request(model, item.task, item.case)
            key = request.key(model.digest)
            self._requests[label, name] = (key, request)
            self._users[key] += 1
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
        message["split"] = item.case.split
        message["stored"] = key in asking.replies.stored
        message["notes"] = asking.replies.notes
    return json.dumps(message)


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
        self.items: dict[str, Item] = {}
        self.records: list[CaseRecord] = []
        self.summary = Summary((), (), ())
        self.selection = Selection(0, 0, 0, 0)
        self.verdict: GateVerdict | None = None
        self.broken_off = 0
        self._expected: dict[CaseKey, list[Item]] = {}
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
            golden = load_golden(Path(self.settings.golden), self.settings.tasks)
            self.tasks = chosen_cases(self.settings, golden)
            self.available = sum(len(task.cases) for task in of_split(golden, self.settings.split))
            # The gate split stands for itself: it was made to judge. The dev split never does, nor does a gate split
            # that leaves out a task altogether.
            gate = of_split(golden, "gate")
            self.whole = gate if self.settings.split == "gate" and len(gate) == len(golden) else golden
            self._git = git_state(self.root)
            found = self.asking.replies.resolve(self.specs)
            for spec, model in zip(self.specs, found, strict=True):
                if isinstance(model, ModelUnavailable):
                    self.unavailable[spec.text] = str(model)
            self.models = tuple(model for model in found if isinstance(model, Model))
            if not self.models:
                raise SettingsError("no model can be asked:\n" + "\n".join(self.unavailable.values()))
        except BaseException:
            self.abandon()
            raise
        self.items = {item.id: item for item in all_items(self.models, self.tasks)}

    def expect(self, ids: Iterable[str]) -> int:
        """The ids of the items that will run; whatever of them brings no result will count as missing.

        Returns the number of cases. With several xdist workers each tells the same ids.
        """
        self._expected = {}
        for item in (self.items[name] for name in ids if name in self.items):
            self._expected.setdefault((item.model.label, item.task.name, item.case.id, 0), []).append(item)
        whole = all_items(self.models, self.whole)
        self.selection = Selection(
            cases=len(self._expected),
            of_cases=len(self.models) * sum(len(task.cases) for task in self.whole),
            checks=sum(len(items) for items in self._expected.values()),
            of_checks=len(whole),
            floors=any(task.gate.floors for task in self.tasks),
        )
        return len(self._expected)

    def abandon(self) -> None:
        """End without a run: nothing was asked, so nothing is kept."""
        self.asking.replies.close()
        self.writer.discard()

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
        if complete:
            self._fill_in()
        for key in list(self._open):
            self._write(key)
        self.complete = complete and bool(self.records)
        floors = {
            task.name: {capability.value: floor for capability, floor in task.gate.floors.items()}
            for task in self.tasks
        }
        self.summary = summarise(self.records, floors, [model.label for model in self.models])
        self.verdict = judge_run(
            self.records,
            self.summary,
            self.unavailable,
            self.selection,
            enforce_floors=self.settings.gate,
            broken_off=self.broken_off,
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
            selected=asdict(self.selection),
        )
        report = markdown_report(info, self.summary, self.verdict, self.records)
        self.writer.finish(info, {**self.summary.to_json(), "gate": asdict(self.verdict)}, report)

    def _fill_in(self) -> None:
        """Checks that were to be judged and never were (a worker died, a fixture broke) count as missing."""
        written = {(record.model, record.task, record.case, record.repeat) for record in self.records}
        reason = "no result came: its worker, or its test's set-up, ended before"
        lost = CheckResult(CheckOutcome.UNSCORED, 0.0, None, reason, "infrastructure")
        for key, items in self._expected.items():
            if key in written:
                continue
            case = self._open.setdefault(key, _OpenCase())
            case.tags, case.split = items[0].case.tags, items[0].case.split
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

    def take(self, message: Mapping[str, Any]) -> None:
        self.checks.append(CheckRecord(**message["check"]))
        self.response = message["response"]
        if "reply" in message:
            self.reply = ModelReply.from_json(message["reply"])
            self.stored = bool(message["stored"])
            self.tags = tuple(message["tags"])
            self.split = message["split"]
