"""What tests judge and the replies that they need, and the asking of these ahead of the tests.

A test item names the replies that it waits for (`needs`). `Asking` orders those of the selected items, model by model,
hands them out, and gives their memory back once their last test is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from evals.backends.base import AskSettings, ChatRequest, Model, ModelReply
from evals.cache import cache_folder
from evals.cases import CaseCheck, GoldenCase, GoldenTask
from evals.checks.base import Capability
from evals.consistency import AGREEMENTS, AgreementName
from evals.options import RunSettings
from evals.prompts import chat_messages
from evals.replies import Replies
from evals.resume import read_answered

CaseKey = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Need:
    """One reply: a model's answer to a case, asked for the `repeat`-th time, from 0."""

    model: Model
    task: GoldenTask
    case: GoldenCase
    repeat: int = 0

    @property
    def key(self) -> CaseKey:
        """Model label, task, case id, repeat: the name of its record."""
        return self.model.label, self.task.name, self.case.id, self.repeat

    def request(self) -> ChatRequest:
        return chat_request(self.model, self.task, self.case, self.repeat)


class GoldenItem(Protocol):
    """What one test judges. `test` is the function that does it; with `id` it is unique in a run."""

    test: ClassVar[str]

    @property
    def id(self) -> str: ...

    @property
    def model(self) -> Model: ...

    @property
    def capability(self) -> Capability | None: ...

    @property
    def needs(self) -> Sequence[Need]: ...


@dataclass(frozen=True, slots=True)
class CheckItem:
    """One check on one reply."""

    test: ClassVar[str] = "test_golden"
    need: Need
    check: CaseCheck

    @property
    def id(self) -> str:
        case = f"{self.need.task.name}/{self.need.case.id}"
        again = f"~{self.need.repeat}" if self.need.repeat else ""
        return f"{id_label(self.model)}-{case}-{self.check.label}{again}"

    @property
    def model(self) -> Model:
        return self.need.model

    @property
    def capability(self) -> Capability:
        return self.check.capability

    @property
    def needs(self) -> tuple[Need]:
        return (self.need,)


@dataclass(frozen=True, slots=True)
class AgreementItem:
    """How far the repeats of a task's cases agree; `measure` is one of `consistency.AGREEMENTS`."""

    test: ClassVar[str] = "test_agreement"
    model: Model
    task: GoldenTask
    measure: AgreementName
    repeats: int

    @property
    def id(self) -> str:
        return f"{id_label(self.model)}-{self.task.name}-{self.measure}"

    @property
    def capability(self) -> Capability:
        return Capability.CONSISTENCY

    @property
    def needs(self) -> list[Need]:
        return [
            Need(self.model, self.task, case, repeat)
            for case in self.task.cases
            for repeat in range(self.repeats)
        ]


@dataclass(frozen=True, slots=True)
class SnapshotItem:
    """A case's first answer beside the one that is recorded of the model."""

    test: ClassVar[str] = "test_snapshot"
    need: Need

    @property
    def id(self) -> str:
        return f"{id_label(self.model)}-{self.need.task.name}/{self.need.case.id}"

    @property
    def model(self) -> Model:
        return self.need.model

    @property
    def capability(self) -> None:
        return None

    @property
    def needs(self) -> tuple[Need]:
        return (self.need,)


def check_items(models: Iterable[Model], tasks: Sequence[GoldenTask], repeats: int) -> Iterator[CheckItem]:
    """Every model x case x check, model by model, so that each is loaded once; a task's repeats one after the other."""
    for model in models:
        for task in tasks:
            for repeat in range(repeats):
                for case in task.cases:
                    need = Need(model, task, case, repeat)
                    for check in case.checks:
                        yield CheckItem(need, check)


def agreement_items(
    models: Iterable[Model], tasks: Sequence[GoldenTask], repeats: int
) -> Iterator[AgreementItem]:
    """Every model x task x measure of agreement; none where nothing is asked twice."""
    for model in models if repeats > 1 else ():
        for task in tasks:
            for measure in AGREEMENTS:
                yield AgreementItem(model, task, measure, repeats)


def snapshot_items(models: Iterable[Model], tasks: Sequence[GoldenTask]) -> Iterator[SnapshotItem]:
    """Every model x case."""
    for model in models:
        for task in tasks:
            for case in task.cases:
                yield SnapshotItem(Need(model, task, case))


def all_items(
    models: Sequence[Model], tasks: Sequence[GoldenTask], settings: RunSettings
) -> list[GoldenItem]:
    """All that a run of these models and tasks judges; of a baseline only the checks."""
    own = [model for model in models if model.label != settings.baseline]
    return [
        *check_items(models, tasks, settings.repeats),
        *agreement_items(own, tasks, settings.repeats),
        *(snapshot_items(own, tasks) if settings.snapshots is not None else ()),
    ]


def test_name(item: GoldenItem) -> str:
    """How a test is called behind its file in pytest's node id: `test_golden[…]`."""
    return f"{item.test}[{item.id}]"


def id_label(model: Model) -> str:
    """A model's label as part of a test's id."""
    # pytest escapes what is not ASCII, and backslashes; here it is done once, the same for everybody.
    return model.label.replace("\\", "/").encode("ascii", "xmlcharrefreplace").decode("ascii")


def chat_request(model: Model, task: GoldenTask, case: GoldenCase, repeat: int = 0) -> ChatRequest:
    """What a model is asked for a case. A repeat's seed is the task's plus its number.

    Thinking is named only to models that have it.
    """
    options = task.options.model_dump(mode="json")
    think = options.pop("think")
    options["seed"] += repeat
    messages = chat_messages(task, case)
    return ChatRequest(task.name, case.id, messages, options, think if model.thinks else None, repeat)


class Asking:
    """The executing side: orders the replies that the selected items need, and hands them to tests."""

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
        self._stop_file = log.with_name("stop-early") if settings.stop_early else None
        self._needs: dict[str, dict[CaseKey, Need]] = {}
        self._checks: Counter[CaseKey] = Counter()
        self._told: Counter[CaseKey] = Counter()
        self._requests: dict[CaseKey, tuple[str, ChatRequest]] = {}
        # By need, the items that wait for it; by response key, those of all its needs, since two cases, or two names
        # of one model, may share a reply.
        self._waiting: Counter[CaseKey] = Counter()
        self._users: Counter[str] = Counter()

    def go_on(self, folder: Path) -> int:
        """Take over what an interrupted run has been answered; returns how many replies that is."""
        answered = read_answered(folder)
        self.replies.take_over(answered.replies)
        self.replies.stored |= answered.stored
        return len(answered.replies)

    def stop(self) -> None:
        """Ask nothing more, in this process and in all others that work for the run."""
        if self._stop_file is not None:
            self._stop_file.touch()

    @property
    def stopped(self) -> bool:
        """Whether the run's verdict is certain, so that nothing more need be asked; what is under way is broken off."""
        if self._stop_file is None or not self._stop_file.exists():
            return False
        self.replies.close()
        return True

    def select(self, items: Iterable[GoldenItem]) -> None:
        """The items that will run; called once, after collection."""
        for item in items:
            for need in item.needs:
                self._needs.setdefault(item.model.label, {})[need.key] = need
                self._waiting[need.key] += 1
            if isinstance(item, CheckItem):
                self._checks[item.need.key] += 1

    def checks_selected(self, need: Need) -> int:
        """How many checks of a reply will run."""
        return self._checks[need.key]

    def tell(self, need: Need) -> bool:
        """Count one check's result; True for the first of its reply, which carries the reply along."""
        self._told[need.key] += 1
        return self._told[need.key] == 1

    def done(self, item: GoldenItem) -> None:
        """An item was judged: replies that no other one waits for are forgotten."""
        for need in item.needs:
            key = self._requests[need.key][0]
            self._users[key] -= 1
            if not self._users[key]:
                self.replies.forget(key)

    def order_model(self, label: str) -> None:
        """Ask for all that is needed of one model, ahead of its tests."""
        requests: list[ChatRequest] = []
        needs = self._needs.get(label, {})
        for need in needs.values():
            request = need.request()
            key = need.model.key(request)
            self._requests[need.key] = (key, request)
            self._users[key] += self._waiting[need.key]
            requests.append(request)
        if needs:
            self.replies.order(next(iter(needs.values())).model, requests)

    def order_all(self) -> None:
        """Ask for everything, model after model."""
        for label in self._needs:
            self.order_model(label)

    def reply(self, need: Need) -> Reply:
        """The reply that is needed, as soon as it is there; its model is ordered on first use."""
        if need.key not in self._requests:
            self.order_model(need.model.label)
        key, request = self._requests[need.key]
        return Reply(key, request.messages[-1].content, self.replies.wait(key))


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply with its response key and the last message that it answers."""

    key: str
    asked: str
    reply: ModelReply
