"""Mounts that only the processes see that are started in them, and that go with the test, whatever happens to it::

    with MountSpace() as space:
        space.do(f"mount -t tmpfs -o size=64k full {folder}")
        [*space.prefix, "pytest", ...]      # a command that finds the small disk at `folder`
        space.seen(folder)                  # the same folder, as the test can read it

Linux only, as root or where a user may make namespaces; skips with the reason elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest


class MountSpace:
    """A mount namespace, held by a shell that ends with its standard input."""

    def __init__(self) -> None:
        if missing := [name for name in ("unshare", "nsenter", "mount") if shutil.which(name) is None]:
            pytest.skip(f"no mount can be made: there is no command {missing[0]}")
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self._shell = subprocess.Popen(
            ["unshare", *user, "--mount", "--propagation", "private", "sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        enter = ["nsenter", f"--target={self._shell.pid}", "--mount"]
        self._enter = [*enter, *(["--user", "--preserve-credentials"] if user else [])]

    def prefix(self, folder: Path) -> list[str]:
        """What stands before a command that is to run here, in `folder`."""
        return [*self._enter, "env", f"--chdir={folder}"]

    def seen(self, path: Path) -> Path:
        """A path of this namespace, for a process outside."""
        return Path(f"/proc/{self._shell.pid}/root{path}")

    def do(self, *command: str) -> None:
        """Run a command in the namespace; skips the test if it fails, as it does for a user who may not."""
        assert self._shell.stdin and self._shell.stdout
        with contextlib.suppress(BrokenPipeError):  # there is no namespace: what `unshare` said comes next
            print(f"{shlex.join(command)} && echo done || echo failed", file=self._shell.stdin, flush=True)
        said = []
        for line in self._shell.stdout:
            if line == "done\n":
                return
            said.append(line.strip())
            if line == "failed\n":
                break
        pytest.skip(f"no mount can be made: {' '.join(said)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shell.communicate()
