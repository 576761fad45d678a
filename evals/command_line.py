"""What the command lines have in common: their exit statuses, their folders, and that a mistake is a sentence."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from evals.errors import GoldenGateError

CHECK_FAILED = 1
USAGE_ERROR = 4
TYPER_USAGE_ERROR = 2
GARBAGE_THRESHOLD = 100_000

GoldenFolder = Annotated[
    Path | None, typer.Option("--golden", envvar="GOLDENGATE_GOLDEN", help="folder of golden tasks")
]
ReportsFolder = Annotated[
    Path | None, typer.Option("--reports", envvar="GOLDENGATE_REPORTS", help="folder of recorded runs")
]


def folder_here(name: str) -> Path:
    """`golden` or `reports` here, else the clone's."""
    from evals.options import default_folder

    here = Path(name)
    return here if here.is_dir() else default_folder(name, Path())


def run_app(app: typer.Typer) -> None:
    """Run a command line; a mistake of the user's is a sentence and exit status 4."""
    # Cases and results live until the end: to search them for cycles again and again took half of the time to read them.
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        app()
    except SystemExit as end:
        raise SystemExit(USAGE_ERROR if end.code == TYPER_USAGE_ERROR else end.code) from None
    except GoldenGateError as error:
        typer.echo(f"ERROR: {error}", err=True)
        raise SystemExit(USAGE_ERROR) from None
