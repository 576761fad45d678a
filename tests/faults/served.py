"""A `FaultServer` in a process of its own, which can be killed as a server is, and started again on its port::

    with Served(folder, delay_s=0.1) as served:
        served.kill()           # SIGKILL
        served.start()
        served.questions        # all that was ever asked, by whichever process

It writes each question down as it comes in, so that its death loses none.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.fault_server import FaultServer, Play, closed_port
from tests.faults.played_run import wait_until

ROOT = Path(__file__).parent.parent.parent


class Served:
    """The server, seen from the test. Its log stands in `folder`; answers take `delay_s` each."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        self._port = closed_port()
        self._delay_s = delay_s
        self._log = folder / f"asked-{self._port}.txt"
        self._log.touch()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    @property
    def questions(self) -> list[str]:
        """The last message of each chat request so far."""
        return self._log.read_text().splitlines()

    def start(self) -> None:
        """Start it; returns once it answers."""
        command = [sys.executable, "-m", "tests.faults.served", str(self._port), str(self._delay_s)]
        self._process = subprocess.Popen([*command, str(self._log)], cwd=ROOT, stdin=subprocess.PIPE)
        wait_until(self._is_there, "a server that was started")

    def kill(self) -> None:
        """Kill it, if it is there."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _is_there(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
            return True
        return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class _Writing(FaultServer):
    """A server that writes each question down before it answers."""

    def __init__(self, log: IO[str], *, delay_s: float) -> None:
        super().__init__(delay_s=delay_s)
        self._log = log

    def answer_to(self, path: str, raw: bytes) -> Play:
        if path == "/api/chat":
            print(json.loads(raw)["messages"][-1]["content"], file=self._log, flush=True)
        return super().answer_to(path, raw)


def main(port: str, delay_s: str, log: str) -> None:
    """Serve until standard input ends, which it does at the latest with the test run."""
    with Path(log).open("a") as file, _Writing(file, delay_s=float(delay_s)) as server:
        server.go_away()
        server.url = f"http://127.0.0.1:{port}"
        server.come_back()
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
