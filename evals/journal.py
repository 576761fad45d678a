"""An append-only file of JSON lines that outlives a kill and a full disk."""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Journal:
    """One file, a JSON line a value; each line is handed to the system at once, so a kill tears at most the last.

    A line that cannot be written whole (disk full, quota) is taken back out of the file and waits in memory, with all
    that come after it, for the next `add` or `close`; `problem` says why for as long as any line waits, or for good if
    the disk itself failed.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file; raises `OSError`."""
        self._waits = self._failed = ""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        self._end = os.fstat(self._file).st_size
        self._waiting: deque[bytes] = deque()

    @property
    def problem(self) -> str:
        """Why not all of it is on disk; empty while all is."""
        return self._failed or self._waits

    def add(self, value: Mapping[str, Any]) -> None:
        """Append one value; never raises on a disk that is full."""
        self._waiting.append(json.dumps(value).encode("ascii") + b"\n")
        self._write()

    def sync(self) -> None:
        """Hand what was written over to the disk itself."""
        try:
            os.fsync(self._file)
        except OSError as error:
            self._failed = error.strerror or str(error)

    def close(self) -> None:
        """Write what waits, if it can be; what cannot is told by `problem`."""
        if self._file < 0:
            return
        self._write()
        self.sync()
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._file = -1

    def _write(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            try:
                written = os.write(self._file, line)
            except OSError as error:
                self._waits = error.strerror or str(error)
                return
            if written < len(line):
                # A torn line would spoil all that is read after it.
                os.ftruncate(self._file, self._end)
                self._waits = "the disk took only a part of a line"
                return
            self._end += written
            self._waiting.popleft()
        self._waits = ""
