"""Results as they arrive from the tests, wherever they were judged: put together to a record a case, and written down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from evals.backends.base import ModelReply
from evals.checks.base import CheckOutcome, CheckResult
from evals.consistency import Agreement
from evals.needs import Asking, CaseKey, CheckItem, Need, Reply
from evals.outcomes import classify
from evals.runs import CaseRecord, CheckRecord, RunWriter, check_record, reply_figures
from evals.snapshots import Compared


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


class Results:
    """What a run's tests have brought so far.

    `received` counts tests, `stored` replies that came from the store. `lost` counts, of the replies that were to agree
    with each other, those that never came.
    """

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self._open: dict[CaseKey, _OpenCase] = {}
        self._missing: dict[tuple[str, str], int] = {}
        self.expected: dict[CaseKey, list[CheckItem]] = {}
        self.records: list[CaseRecord] = []
        self.agreements: list[Agreement] = []
        self.compared: list[Compared] = []
        self.received = 0
        self.stored = 0

    @property
    def lost(self) -> int:
        return sum(self._missing.values())

    @property
    def whole(self) -> bool:
        """Whether everything that was expected is judged."""
        return len(self.records) == len(self.expected)

    def expect(self, items: Iterable[CheckItem]) -> None:
        """The checks that will be judged; what brings no result counts as missing at the end."""
        for item in items:
            self.expected.setdefault(item.need.key, []).append(item)

    def take(self, message: Mapping[str, Any]) -> Iterator[CaseRecord]:
        """Take in one test's result; yields a case's record once all its checks are in."""
        self.received += 1
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

    def end(self, *, complete: bool) -> None:
        """Write down what is left. Of a complete run, checks that were to be judged and never were (a worker died, a
        fixture broke) count as missing."""
        if complete:
            self._fill_in()
        for key in list(self._open):
            self._write(key)

    def drop_open(self) -> int:
        """Of a run that was stopped early: forget cases that are half judged. Returns how many were not begun."""
        begun = {(record.model, record.task, record.case, record.repeat) for record in self.records}
        begun |= self._open.keys()
        self._open.clear()
        return len(self.expected.keys() - begun)

    def _fill_in(self) -> None:
        written = {(record.model, record.task, record.case, record.repeat) for record in self.records}
        reason = "no result came: its worker, or its test's set-up, ended before"
        lost = CheckResult(CheckOutcome.UNSCORED, 0.0, None, reason, "infrastructure")
        for key, items in self.expected.items():
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
        self._writer.add(record, reply)
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
