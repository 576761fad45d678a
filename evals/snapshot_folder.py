"""The folder of snapshots: one file a model and case, `<model>~<task>~<case>.txt`, all of them flat in one folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from evals.errors import SettingsError

SUFFIX = ".txt"
# No part of a name is longer, so that a whole one stays below 200 bytes.
MODEL_LIMIT = 64
TASK_LIMIT = 40
CASE_LIMIT = 81
HASH_LENGTH = 16


def file_name(model: str, task: str, case: str) -> str:
    """The name of a snapshot, for any file system: no two models, tasks or cases share one, letter case ignored."""
    return f"{_case_stem(model, task)}{_part(case, CASE_LIMIT)}{SUFFIX}"


def _case_stem(model: str, task: str) -> str:
    return f"{_model_stem(model)}{_part(task, TASK_LIMIT)}~"


def _model_stem(model: str) -> str:
    return f"{_part(model, MODEL_LIMIT)}~"


def _part(text: str, limit: int) -> str:
    """Small letters, digits and `._-` stay; all else becomes `%` and the hex of its UTF-8 bytes.

    What is then as long as `limit` or longer is cut to just that, and ends in a hash of the whole.
    """
    escaped = re.sub(r"[^a-z0-9._-]", _hex, text)
    if len(escaped) < limit:
        return escaped
    digest = hashlib.sha256(escaped.encode("ascii")).hexdigest()[:HASH_LENGTH]
    return f"{escaped[: limit - HASH_LENGTH - 1]}-{digest}"


def _hex(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02x}" for byte in match[0].encode("utf-8", "surrogatepass"))


def holds_any(folder: Path, models: Iterable[str]) -> bool:
    """Whether anything is recorded of one of these models, by label; a folder that cannot be read holds nothing."""
    stems = tuple(_model_stem(model) for model in models)
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.startswith(stems) and entry.name.endswith(SUFFIX) for entry in entries)
    except OSError:
        return False


def left_over(
    folder: Path, models: Iterable[str], cases: Mapping[str, Iterable[str]], *, every_task: bool
) -> list[Path]:
    """The snapshots of these models whose case is gone; `cases` are all cases of each task, by name.

    With `every_task` these are all tasks that there are, so the snapshots of any other are left over too.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:
        return []
    found: list[Path] = []
    for model in models:
        expected = {file_name(model, task, case) for task, ids in cases.items() for case in ids}
        stems = (_model_stem(model),) if every_task else tuple(_case_stem(model, task) for task in cases)
        found += [folder / name for name in names if name.startswith(stems) and name not in expected]
    return found


def refuse_unwritable(folder: Path) -> None:
    """Raise `SettingsError` where no file can be written to the folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingsError(
            f"no snapshot can be recorded in {folder}: {error.strerror or error}; make it writable, or name another "
            "folder with --snapshots DIR"
        ) from error


def write_snapshot(path: Path, data: bytes) -> None:
    """Replace a file in one step; raises `OSError`."""
    handle, scratch = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(scratch, 0o644)  # a scratch file is its writer's alone, a snapshot is everybody's to read
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise
