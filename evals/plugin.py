"""The entry point of pytest: options, and whether a run is a golden one or a latency pass.

All else of a golden run is in `items` and `controller`, and of a latency pass in `latency_run`. pytest loads this
module in every run of the environment, so it is light, and does nothing to runs of other tests.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evals.options import PACKAGE, add_options, given_on_command_line

LATENCY_TESTS = PACKAGE / "test_latency.py"
# The plugin of a run of ours, whichever it is.
TESTS = "goldengate-tests"
# What resumes the commands of GitHub's runner, once the last reply is printed; empty elsewhere.
GITHUB_TOKEN = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    # `pytest --model X` from any folder: without a path, the option says what is meant.
    if config.args_source is not pytest.Config.ArgsSource.ARGS and given_on_command_line(config):
        config.args = [str(PACKAGE)]


def reached(config: pytest.Config) -> set[Path]:
    """What of this package the arguments reach, known before anything is collected: itself, or single test files.

    A folder around the package counts only in a clone: around an environment it is somebody else's project.
    """
    installed = "site-packages" in PACKAGE.parts
    found: set[Path] = set()
    for argument in config.args:
        name = argument.split("::")[0]
        # As pytest has it: with --pyargs a package goes before a folder of its name.
        if config.option.pyargs and name.split(".")[0] == PACKAGE.name:
            module = PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py")
            found.add(module if module.is_file() else PACKAGE)
            continue
        path = Path(config.invocation_params.dir, name).resolve()
        if path == PACKAGE or (path.parent == PACKAGE and path.name.startswith("test_") and path.exists()):
            found.add(path)
        elif path.exists() and PACKAGE.is_relative_to(path) and not installed:
            found.add(PACKAGE)
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    ours = reached(config)
    if not ours:
        if option := given_on_command_line(config):
            raise pytest.UsageError(
                f"{option} is for golden cases, and none are among {' '.join(config.args)}; "
                "leave the path out, or run `pytest --pyargs evals`"
            )
        return
    # Imported here, so that no other run pays for it.
    from evals.errors import GoldenGateError
    from evals.report.github import stop_commands

    if not hasattr(config, "workerinput"):
        # Flushed: errors go to another stream, and the runner reads both.
        write = partial(config.get_terminal_writer().write, flush=True)
        config.stash[GITHUB_TOKEN] = stop_commands(os.environ, write)
    try:
        if LATENCY_TESTS not in ours:
            from evals import items, judging

            config.pluginmanager.register(items, TESTS)
            config.pluginmanager.register(judging, "goldengate-judging")
            items.start(config)
        elif ours == {LATENCY_TESTS}:
            from evals import latency_run

            config.pluginmanager.register(latency_run, TESTS)
            latency_run.start(config)
        else:
            raise pytest.UsageError("latency is measured in a pass of its own: name test_latency.py alone")
    except GoldenGateError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(wrapper=True)
def pytest_report_header(config: pytest.Config) -> Generator[None, list[Any], list[Any]]:
    lines = yield
    # pytest-benchmark tells its defaults in every run; none of them counts in ours.
    ours = config.pluginmanager.has_plugin(TESTS)
    return [line for line in lines if not (ours and str(line).startswith("benchmark: "))]
