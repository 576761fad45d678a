"""Hooks of the controlling process: results in, progress and summary out, and the exit status.

Registered for a golden run only; under xdist, in the controller and never in a worker.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest
from _pytest.junitxml import xml_key
from rich.console import Console

from evals.leaderboard import standings
from evals.planned import planned
from evals.plugin import GITHUB_TOKEN
from evals.report.compared import print_plan
from evals.report.github import tell_github
from evals.report.progress import Progress
from evals.report.terminal import print_summary
from evals.session import GoldenRun

NARROWEST = 40
TASKS_NAMED = 3


class _Terminal:
    """The terminal itself: replies arrive inside a test, where pytest would take the line for the test's output."""

    def __init__(self, config: pytest.Config) -> None:
        self._writer = config.get_terminal_writer()
        self._capture: Any = config.pluginmanager.get_plugin("capturemanager")

    def write(self, text: str) -> None:
        with self._capture.global_and_fixture_disabled() if self._capture else contextlib.nullcontext():
            self._writer.write(text, flush=True)


class Controller:
    """Follows one run from its first report to its exit status."""

    def __init__(self, config: pytest.Config, run: GoldenRun) -> None:
        self._config = config
        self._run = run
        self._started = time.monotonic()
        self._error = ""
        reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        # -v and -q ask for pytest's own lines, or for none.
        quiet = reporter is None or reporter.verbosity != 0
        self._live = not quiet and bool(reporter.isatty())
        self._progress = None if quiet else Progress(_Terminal(config), live=self._live)
        if self._progress:
            replied = self._progress.replied
            run.asking.replies.on_reply = lambda reply: replied(reply.completion_tokens or 0)
            run.on_note = self._progress.tell
            run.asking.replies.on_note = run.note

    def pytest_report_header(self) -> list[str]:
        run = self._run
        models = ", ".join(f"{model.label} ({model.digest[:12]})" for model in run.models)
        return [
            f"goldengate: {selected_in_words(run)}",
            f"models: {models}",
            *run.unavailable.values(),
            *self._plan(),
        ]

    def _plan(self) -> list[str]:
        """What the comparison is with, and what it can show, before anything is asked."""
        against = self._run.against
        if against is None:
            return []
        text = io.StringIO()
        print_plan(console_like(self._config, text), planned(self._run.tasks, against.policy))
        return [f"baseline: {against.named}", *text.getvalue().splitlines()]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._expect([test.nodeid for test in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        given = {
            "settings": self._run.settings.to_json(),
            "models": [model.to_json() for model in self._run.models],
            "folder": str(self._run.folder),
        }
        node.workerinput["goldengate"] = json.dumps(given)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        from evals.scheduler import ModelScheduling

        labels = {name: item.model.label for name, item in self._run.items.items()}
        return ModelScheduling(config, log, labels, self._run.note)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._expect(ids)

    def _expect(self, nodeids: list[str]) -> None:
        cases = self._run.expect([name_of(nodeid) for nodeid in nodeids])
        if self._progress:
            self._progress.total = cases
            self._progress.unit = "cases" if self._run.settings.repeats == 1 else "replies"

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self) -> None:
        if self._progress:
            self._progress.begin()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        message = getattr(report, "goldengate", None)
        if message is None:
            self._run.broken_off += report.failed
            return
        for record in self._run.receive(message):
            if self._progress is None:
                continue
            # Under xdist replies arrive in the workers; here they are first seen with their results.
            if hasattr(report, "node") and not record.stored:
                self._progress.replied(record.tokens["completion"] or 0)
            self._progress.judged(record.model, f"{record.task}/{record.case}")

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        # The live line takes the place of letters; a failure is still told at the end, at length.
        if self._live and hasattr(report, "goldengate"):
            category: str = getattr(report, "golden_status", (report.outcome,))[0]
            return category, "", ""
        return None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._progress:
            self._progress.clear()
        ended = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        stopped = bool(session.shouldstop or session.shouldfail)
        self._run.finish(complete=ended and not stopped, wall_s=time.monotonic() - self._started)
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            self._error = "no golden case was selected: nothing was asked, and nothing is green"
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif session.exitstatus == pytest.ExitCode.INTERRUPTED and not self._run.results.received:
            self._error = "interrupted before a case was judged; what was answered is in the store"
        elif ended and self._run.verdict and self._run.verdict.problems:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        junit = self._config.stash.get(xml_key, None)
        if junit is not None and self._run.verdict is not None:
            # JUnit knows no verdict on the whole: misses are `skipped` there, and the suite's properties tell.
            junit.add_global_property("goldengate_gate", self._run.verdict.state)
            if self._run.comparison is not None:
                junit.add_global_property("goldengate_verdict", self._run.comparison.verdict)
            for problem in self._run.verdict.problems:
                junit.add_global_property("goldengate_problem", problem)

    def pytest_unconfigure(self) -> None:
        # After pytest's last line, so that nothing of a reply can follow.
        if self._run.verdict is not None:
            tell_github(
                os.environ,
                self._run.comparison,
                self._run.verdict,
                self._run.report,
                partial(self._config.get_terminal_writer().write, flush=True),
                golden=Path(self._run.settings.golden),
                token=self._config.stash.get(GITHUB_TOKEN, ""),
            )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._error or self._run.verdict is None or not self._run.results.received:
            terminalreporter.write_line(f"ERROR: {self._error or 'no case was judged'}", red=True)
            return
        run = self._run
        text = io.StringIO()
        console = console_like(self._config, text)
        print_summary(
            console,
            run.summary,
            self._run.verdict,
            run.unavailable,
            folder=run.folder,
            complete=run.complete,
            stored=run.results.stored,
            notes=run.notes,
            snapshots=run.snapshots,
            comparison=run.comparison,
            ranked=standings(run.results.records, {}, [model.label for model in run.models]),
            spared=run.spared,
        )
        terminalreporter.write(text.getvalue())


def console_like(config: pytest.Config, file: IO[str]) -> Console:
    """A console that writes to `file` as pytest's terminal would take it: its width, and colours only if it has them."""
    writer = config.get_terminal_writer()
    return Console(
        file=file,
        width=max(NARROWEST, writer.fullwidth),
        force_terminal=writer.hasmarkup,
        no_color=not writer.hasmarkup,
        highlight=False,
    )


def selected_in_words(run: GoldenRun) -> str:
    """`a sample of 40 of 680 cases of 16 tasks`: what will be asked, in one line of a terminal."""
    cases = sum(len(task.cases) for task in run.tasks)
    settings = run.settings
    of = f"a sample of {cases} of {run.available}" if settings.sample else f"{cases}"
    split = f" in the split '{settings.split}'" if settings.split else ""
    names = [task.name for task in run.tasks]
    tasks = ", ".join(names) if len(names) <= TASKS_NAMED else f"{len(names)} tasks"
    return f"{of} cases of {tasks}{split}"


def name_of(nodeid: str) -> str:
    """What stands behind the file in a node id: `test_golden[…]` of `evals/test_golden.py::test_golden[…]`."""
    return nodeid.partition("::")[2]
