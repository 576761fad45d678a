"""A real terminal: a command runs in a pty, and what it wrote is read as lines of a screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.played_run import HANG_LIMIT_S

SGR = re.compile(r"\x1b\[[0-9;]*m")


def in_terminal(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], columns: int
) -> tuple[int, str]:
    """Run a command in a terminal of so many columns; its exit status and all that it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    running = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    limit = time.monotonic() + HANG_LIMIT_S
    written = b""
    # Linux answers with an error once nobody has the other end open any more.
    with contextlib.suppress(OSError):
        while select.select([ours], [], [], max(0.0, limit - time.monotonic()))[0]:
            data = os.read(ours, 65536)
            if not data:
                break
            written += data
    os.close(ours)
    return running.wait(timeout=HANG_LIMIT_S), written.decode()


def drawn_lines(written: str) -> list[str]:
    """All lines that ever stood on the screen, without colours: one that is drawn anew counts each time."""
    return [line for line in re.split(r"[\r\n]+", SGR.sub("", written)) if line]
