"""Turns at a place where models are asked, so that no two processes make a small GPU swap models.

A turn is an exclusive lock on a file of the cache folder, named after the place: an Ollama server, or this machine for
models that are computed in the process. xdist workers and other runs of this user, with the same cache folder, take
turns; the kernel gives the lock back when a process is killed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from filelock import FileLock, Timeout

from evals.cache import cache_folder
from evals.errors import SettingsError

THIS_MACHINE = "this machine"
LOOK_EVERY_S = 0.1
_LOOPBACK = {"localhost", "::1"}


def one_name(place: str) -> str:
    """The place under the one name that it has here: localhost and ::1 mean the server at 127.0.0.1 with that port."""
    parts = urlsplit(place)
    if parts.hostname in _LOOPBACK:
        return parts._replace(netloc=f"127.0.0.1:{parts.port}").geturl()
    return place


def turn_file(place: str) -> Path:
    """The file whose lock is the turn at `place`, whichever of its names that is.

    Raises `SettingsError` or `OSError` where it cannot be made.
    """
    folder = cache_folder() / "turns"
    folder.mkdir(exist_ok=True)
    return folder / f"{hashlib.sha256(one_name(place).encode()).hexdigest()[:16]}.lock"


@asynccontextmanager
async def turn(place: str, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Hold the turn at `place`. Waits for it, however long; `tell` hears of a wait once, and again when it is over.

    Where the lock cannot be had at all (an unwritable folder, a file system without locks), `tell` hears so and the
    work goes on without.
    """
    try:
        lock = FileLock(turn_file(place))
        taken = _taken(lock)
    except (SettingsError, OSError, NotImplementedError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        tell(f"no turns are taken at {place}, so other runs may ask there at the same time: {reason}")
        yield
        return
    if not taken:
        began = time.monotonic()
        tell(f"waiting for another run or worker that asks a model on {place}")
        while not _taken(lock):
            await anyio.sleep(LOOK_EVERY_S)
        tell(f"waited {time.monotonic() - began:.0f} s for the turn on {place}")
    try:
        yield
    finally:
        lock.release()


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True
