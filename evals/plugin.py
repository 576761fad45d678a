"""The entry point of pytest: options, and whether a run is a golden one. All else is in `items` and `controller`.

pytest loads this module in every run of the environment, so it is light, and does nothing to runs of other tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.options import PACKAGE, add_options, given_on_command_line


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    # `pytest --model X` from any folder: without a path, the option says what is meant.
    if config.args_source is not pytest.Config.ArgsSource.ARGS and given_on_command_line(config):
        config.args = [str(PACKAGE / "test_golden.py")]


def _collects_golden(config: pytest.Config) -> bool:
    """Whether the arguments reach `evals/test_golden.py`, known before anything is collected.

    A folder around the package counts only in a clone: around an environment it is somebody else's project.
    """
    installed = "site-packages" in PACKAGE.parts
    for argument in config.args:
        name = argument.split("::")[0]
        path = Path(config.invocation_params.dir, name).resolve()
        if path.exists():
            if path == PACKAGE / "test_golden.py" or path == PACKAGE:
                return True
            if PACKAGE.is_relative_to(path) and not installed:
                return True
        elif config.option.pyargs and name.split(".")[0] == PACKAGE.name:
            return True
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not _collects_golden(config):
        if option := given_on_command_line(config):
            raise pytest.UsageError(
                f"{option} is for golden cases, and none are among {' '.join(config.args)}; "
                "leave the path out, or run `pytest --pyargs evals`"
            )
        return
    # Imported here, so that no other run pays for it.
    from evals import items
    from evals.errors import GoldenGateError

    config.pluginmanager.register(items, "goldengate-items")
    try:
        items.start(config)
    except GoldenGateError as error:
        raise pytest.UsageError(str(error)) from error
