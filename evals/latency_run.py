"""pytest's hooks of a latency pass: what is timed, what is kept of it, and the exit status.

Registered only where `test_latency.py` itself is named. It is a pass of its own: no golden case is judged in it,
nothing else asks the models meanwhile, and neither side of the store is used.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.backends.base import Model, parse_specs
from evals.cases import load_golden
from evals.controller import console_like
from evals.errors import RunRecordError, SettingsError
from evals.latency import Kind, Latency
from evals.latency_asking import CASES, COLD_ROUNDS, KEEPS_LOADED, Timing, kinds_of, timed_requests
from evals.latency_record import LATENCY_FILE, latencies_in
from evals.needs import id_label
from evals.options import RunSettings, run_settings
from evals.report.latency import latency_report, print_latency
from evals.resources import open_gpus
from evals.runs import write_whole
from evals.session import GoldenRun, chosen_cases

# Who asks for one of these wants to see pytest-benchmark's own table.
OWN_TABLE = ("verbose", "columns", "compare", "histogram", "cprofile")

TIMINGS = pytest.StashKey[dict[str, Timing]]()
NAMES = pytest.StashKey[dict[str, Kind]]()


def start(config: pytest.Config) -> None:
    """Get ready before collection; raises `GoldenGateError` where nothing could be measured."""
    _refuse_what_measures_nothing(config)
    settings = _settings(config)
    if config.option.collectonly:
        models = [Model(spec, "") for spec in parse_specs(list(settings.models))]
        chosen_cases(settings, load_golden(Path(settings.golden), settings.tasks))
        config.stash[NAMES] = {
            f"{id_label(model)}-{kind}": kind for model in models for kind in kinds_of(model.spec)
        }
        return
    latency_pass = LatencyPass(config, settings)
    config.stash[TIMINGS] = latency_pass.timings
    config.stash[NAMES] = latency_pass.names
    config.pluginmanager.register(latency_pass, "goldengate-latency-pass")


def _refuse_what_measures_nothing(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("benchmark"):
        raise SettingsError(
            "latency is measured with pytest-benchmark, which is switched off here; leave out -p"
        )
    if config.getoption("dist", "no") != "no" or config.getoption("numprocesses", None):
        raise SettingsError(
            "latency is measured by one process: add -n0. Workers side by side would time each other's load"
        )
    off = config.getoption("benchmark_disable") and not config.getoption("benchmark_enable")
    for name, given in (("disable", off), ("skip", config.getoption("benchmark_skip"))):
        if given:
            raise SettingsError(f"--benchmark-{name} leaves nothing to measure; leave it out")
    session: Any = config._benchmarksession  # type: ignore[attr-defined]
    if session.compare_fail and not session.compared_mapping:
        raise SettingsError(
            "--benchmark-compare-fail has nothing to compare with: add --benchmark-compare, "
            "after a pass with --benchmark-autosave"
        )


def _settings(config: pytest.Config) -> RunSettings:
    settings = run_settings(config)
    if replayed := [spec.text for spec in parse_specs(list(settings.models)) if spec.backend == "replay"]:
        raise SettingsError(f"{replayed[0]} is a recorded run: it has no latency; name the model itself")
    if settings.resume:
        raise SettingsError("a latency pass does not go on where it ended: time passed; leave --resume out")
    # One request at a time on one server: anything more measures the queue.
    return replace(settings, store=False, concurrency=1, hosts=settings.hosts[:1], repeats=1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.function.__module__ != "evals.test_latency":
        return
    timings = metafunc.config.stash.get(TIMINGS, {})
    parameters = []
    for name, kind in metafunc.config.stash[NAMES].items():
        clock = {"timer": timings[name].reply_seconds} if name in timings else {}
        parameters.append(pytest.param(name, id=name, marks=pytest.mark.benchmark(group=kind, **clock)))
    metafunc.parametrize("timing", parameters, indirect=True)


def _warm_only(models: Iterable[Model]) -> list[str]:
    if not any(model.spec.backend == KEEPS_LOADED for model in models):
        return []
    return [f"models of {KEEPS_LOADED}: are timed warm only: the protocol has no way to unload one"]


@pytest.fixture
def timing(request: pytest.FixtureRequest) -> Timing:
    """The timed requests of one model, cold or warm."""
    return request.config.stash[TIMINGS][request.param]


class LatencyPass:
    """Follows one latency pass from the resolving of its models to its exit status."""

    def __init__(self, config: pytest.Config, settings: RunSettings) -> None:
        self._config = config
        self._started = time.monotonic()
        self._run = GoldenRun(settings, config.rootpath)
        self._run.start()
        self._open = ExitStack()
        gpus = self._open.enter_context(open_gpus())
        replies, rounds = self._run.asking.replies, settings.latency_rounds
        self.timings: dict[str, Timing] = {}
        self.names: dict[str, Kind] = {}
        for model in self._run.models:
            requests = timed_requests(model, self._run.tasks)
            for kind in kinds_of(model.spec):
                name = f"{id_label(model)}-{kind}"
                self.names[name] = kind
                self.timings[name] = Timing(replies, model, kind, requests, rounds, gpus)
        self._measured = 0
        self._latencies: tuple[Latency, ...] = ()
        self._errors: list[str] = []
        self._benchmarks: Any = config._benchmarksession  # type: ignore[attr-defined]
        if not any(config.getoption(f"benchmark_{name}") for name in OWN_TABLE):
            self._benchmarks.quiet = True

    def pytest_report_header(self) -> list[str]:
        models = ", ".join(f"{model.label} ({model.digest[:12]})" for model in self._run.models)
        cases = min(CASES, len(self._run.tasks))
        rounds = f"{COLD_ROUNDS} cold and {self._run.settings.latency_rounds} warm requests a model"
        return [
            f"goldengate: latency, {rounds}, one at a time, of {cases} case{'s' * (cases != 1)}",
            f"models: {models}",
            *_warm_only(self._run.models),
            *self._run.unavailable.values(),
        ]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._measured += report.when == "call" and report.passed and "::test_latency[" in report.nodeid

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._open.close()
        self._run.asking.replies.close()
        ended = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        if not self._measured:
            self._errors.append("nothing was measured")
            self._run.abandon()
            return
        try:
            self._keep(complete=ended and not (session.shouldstop or session.shouldfail))
        except (RunRecordError, OSError) as error:
            self._errors.append(f"the latencies are lost: {error}")
        self._errors += self._slower()
        if ended and self._errors:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _slower(self) -> list[str]:
        """What `--benchmark-compare-fail` forbids; taken from pytest-benchmark, which would raise a traceback."""
        found, self._benchmarks.performance_regressions = self._benchmarks.performance_regressions, []
        return [f"{name} is slower than --benchmark-compare-fail allows: {how}" for name, how in found]

    def _keep(self, *, complete: bool) -> None:
        """Write down what pytest-benchmark has, and the run's record last; raises where some of it is missing."""
        hook = self._config.hook
        benchmarks = self._benchmarks.benchmarks
        data = hook.pytest_benchmark_generate_json(
            config=self._config,
            benchmarks=benchmarks,
            include_data=True,
            machine_info=self._benchmarks.get_machine_info(),
            commit_info=hook.pytest_benchmark_generate_commit_info(config=self._config),
        )
        hook.pytest_benchmark_update_json(config=self._config, benchmarks=benchmarks, output_json=data)
        self._latencies = latencies_in(data)
        if len(self._latencies) != self._measured:
            raise RunRecordError(
                f"pytest-benchmark kept {len(self._latencies)} of the {self._measured} measurements"
            )
        writer = self._run.writer
        write_whole(writer.folder / LATENCY_FILE, json.dumps(data, indent=2, default=str) + "\n")
        if not complete:
            writer.close()
            return
        asked = sum(one.requests for one in self._latencies)
        info = replace(self._run.info(time.monotonic() - self._started), asked=asked)
        summary = {"latency": [one.to_json() for one in self._latencies]}
        (writer.folder / "results.jsonl").touch()  # nothing was judged, and readers of runs find just that
        writer.finish(info, summary, latency_report(info, self._latencies))

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        text = io.StringIO()
        console = console_like(self._config, text)
        console.print()
        if self._latencies:
            print_latency(console, self._latencies)
        for note in self._run.asking.replies.notes:
            console.print(f"note: {note}", markup=False)
        if self._latencies:
            console.print(f"run: {self._run.folder}", markup=False, soft_wrap=True)
        terminalreporter.write(text.getvalue())
        for error in self._errors:
            terminalreporter.write_line(f"ERROR: {error}", red=True)
