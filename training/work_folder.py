"""A folder for the files that are only made to be sent or asked: merged weights take as much room as the base."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evals.errors import TrainingError


@contextmanager
def work_folder(adapter: Path, asked: Path | None) -> Iterator[Path]:
    """A new folder in `asked`, made if need be, or else beside the adapter; it goes again with all that is in it.

    Raises `TrainingError` where it cannot be made.
    """
    # `.` has no parent, and the adapter's own folder is only read.
    place = asked or adapter.absolute().parent
    try:
        if asked:
            asked.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=place, prefix=".work-", ignore_cleanup_errors=True)
    except OSError as error:
        raise TrainingError(
            f"no folder for temporary files can be made in {place}: {error.strerror or error}; name another with --work"
        ) from error
    with folder as made:
        yield Path(made)
