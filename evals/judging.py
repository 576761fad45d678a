"""What becomes of a test item: its replies awaited, judged, and told as the test's outcome and to the controller.

Registered beside `items`, in the controller and in xdist's workers alike. What a snapshot's item comes to is in
`snapshot_items`.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Protocol

import pytest
from _pytest.outcomes import Skipped  # the class behind `pytest.skip`, which has no public name

from evals.checks.answers import shorten
from evals.checks.base import CheckOutcome, CheckResult
from evals.consistency import EXPLAINED, Agreement, AgreementName, agreement, form
from evals.gate import NO_MISS
from evals.items import ASKING, SETTINGS
from evals.needs import AgreementItem, Asking, CheckItem, GoldenItem, Need, Reply
from evals.outcomes import judge_check
from evals.results import reply_message
from evals.runs import check_record


class Status(NamedTuple):
    """How pytest tells of a test: what it is counted as, its letter, its word with -v, and a colour."""

    category: str
    letter: str
    word: str
    colour: str


class Miss(Skipped):
    """A wrong answer where the floor allows some: data, not a failure. Other such data has another `status`."""

    status = Status("miss", "m", "MISS", "yellow")


class Spared(Miss):
    """What need not be asked any more, since the verdict is certain."""

    status = Status("spared", "-", "SPARED", "cyan")


@dataclass(frozen=True, slots=True)
class Judged:
    """A reply and what the item's check makes of it. `strict`: misses that the gate forbids are failures."""

    item: CheckItem
    reply: Reply
    result: CheckResult
    strict: bool

    def settle(self) -> None:
        """Become the test's outcome: pass, miss, or failure.

        A failure is what no floor allows: no reply at all and, unless only measuring, a broken check or a miss
        where the floor is 1.0.
        """
        if self.result.outcome is CheckOutcome.PASS:
            return
        if self.result.outcome is CheckOutcome.UNSCORED:
            _fail(self.item.need, self.reply, f"no reply: {self.result.reason}")
        floor = self.item.need.task.gate.floors.get(self.item.check.capability, 0.0)
        if self.strict and (floor >= NO_MISS or self.result.outcome is CheckOutcome.ERROR):
            _fail(self.item.need, self.reply, self.result.reason)
        raise Miss(self.result.reason)

    def message(self, asking: Asking) -> dict[str, Any]:
        check = check_record(self.item.check, self.result).to_json()
        return {**reply_message(self.item.need, self.reply, asking), "check": check}


@dataclass(frozen=True, slots=True)
class Agreed:
    """How far repeats agree, and the faults among them. `strict`: a floor that is missed is a failure."""

    item: AgreementItem
    agreement: Agreement
    faults: tuple[str, ...]
    strict: bool

    def settle(self) -> None:
        """Become the test's outcome: pass where all agree, else a miss; a failure below the floor or without replies."""
        found = self.agreement
        if self.faults:
            pytest.fail(f"{len(self.faults)} replies are missing: {self.faults[0]}", pytrace=False)
        if found.value == 1:
            return
        reason = (
            f"{EXPLAINED[found.measure]} in {found.value:.1%} of the pairs of {found.repeats} repeats; "
            f"{found.whole} of {found.cases} cases agree wholly, least {found.least} ({found.least_value:.0%})"
        )
        if self.strict and found.holds is False:
            pytest.fail(f"{reason}; the floor is {found.floor:.1%}", pytrace=False)
        raise Miss(reason)

    def message(self, asking: Asking) -> dict[str, Any]:
        return {"agreement": self.agreement.to_json(), "missing": len(self.faults)}


class Found(Protocol):
    """What a test of ours found, with its result as it travels to the controller."""

    @property
    def item(self) -> GoldenItem: ...

    def message(self, asking: Asking) -> dict[str, Any]: ...


JUDGED = pytest.StashKey[Found]()


@pytest.fixture
def judged(item: CheckItem, request: pytest.FixtureRequest) -> Judged:
    """The item's check on its model's reply; waits for that reply, and for no other."""
    stash = request.config.stash
    settings = stash[SETTINGS]
    need = item.need
    spare(stash[ASKING])
    reply = stash[ASKING].reply(need)
    result = judge_check(need.case, item.check, reply.reply, reply.asked)
    request.node.user_properties += [
        ("model", need.model.label),
        ("task", need.task.name),
        ("case", need.case.id),
        ("repeat", need.repeat),
        ("check", item.check.label),
        ("capability", item.check.capability.value),
        ("outcome", result.outcome.value),
        ("value", round(result.value, 6)),
        ("reason", result.reason),
        ("response", reply.key),
    ]
    # A baseline is what it is: only the candidate is held to floors.
    strict = settings.gate and need.model.label != settings.baseline
    found = request.node.stash[JUDGED] = Judged(item, reply, result, strict)
    return found


def spare(asking: Asking) -> None:
    """End the test here if the verdict is certain."""
    if asking.stopped:
        raise Spared("not asked: the verdict is certain")


@pytest.fixture
def agreed(item: AgreementItem, request: pytest.FixtureRequest) -> Agreed:
    """How far the repeats of the item's cases agree; waits for all of them."""
    stash = request.config.stash
    by_case: dict[str, list[Hashable]] = {}
    faults: list[str] = []
    spare(stash[ASKING])
    for need in item.needs:
        reply = stash[ASKING].reply(need)
        if reply.reply.fault:
            faults.append(f"{need.case.id}, repeat {need.repeat}: {reply.reply.fault}")
        by_case.setdefault(need.case.id, []).append(_form(item.measure, need, reply))
    found = agreement(
        by_case,
        model=item.model.label,
        task=item.task.name,
        measure=item.measure,
        noise_floor=item.task.options.temperature == 0,
        floor=item.task.gate.agreement.get(item.measure),
    )
    node = request.node
    node.user_properties += [(name, value) for name, value in found.to_json().items()]
    made = node.stash[JUDGED] = Agreed(item, found, tuple(faults), stash[SETTINGS].gate)
    return made


def _form(measure: AgreementName, need: Need, reply: Reply) -> Hashable:
    results = (judge_check(need.case, check, reply.reply, reply.asked) for check in need.case.checks)
    return form(measure, reply.reply, need.repeat, (result.outcome.value for result in results))


def _fail(need: Need, reply: Reply, reason: str) -> NoReturn:
    lines = [reason, f"  asked:   {shorten(need.case.input, 300)}"]
    if reply.reply.text:
        lines.append(f"  replied: {shorten(reply.reply.text, 300)}")
    pytest.fail("\n".join(lines), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, Miss):
        report.golden_status = tuple(call.excinfo.value.status)  # type: ignore[attr-defined]
    if call.when != "call" or JUDGED not in item.stash:
        return report
    judged = item.stash[JUDGED]
    asking = item.config.stash[ASKING]
    # An attribute of the report, like its user_properties, survives a worker's crash.
    # JSON in ASCII, since replies may hold anything.
    message = {**judged.message(asking), "notes": asking.replies.notes}
    report.goldengate = json.dumps(message)  # type: ignore[attr-defined]
    asking.done(judged.item)
    if call.excinfo is not None and isinstance(call.excinfo.value, Miss):
        path, line, _ = item.location
        report.longrepr = (path, line or 0, shorten(str(call.excinfo.value), 400))
    return report


def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    status = getattr(report, "golden_status", None)
    if status is None:
        return None
    category, letter, word, colour = status
    return category, letter, (word, {colour: True})
