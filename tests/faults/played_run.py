"""A whole run on which a fault is played, and its books: what was kept, what was judged, what is still alive."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil

from tests.evals_run import Done, Evals, write_task

HANG_LIMIT_S = 120.0
CHECKS = 2  # of each case that `write_task` writes


class PlayedRun(Evals):
    """`pytest evals` on `count` cases, `question 0?` and so on, each of which `ANSWER` passes.

    `before` stands in front of the command: a limit or a namespace that the run is started in.
    """

    def __init__(self, root: Path, host: str, count: int = 10) -> None:
        super().__init__(root, host)
        self.before: Sequence[str] = ()
        self.questions = [f"question {number}?" for number in range(count)]
        write_task(self.golden, questions=dict.fromkeys(self.questions, "right"))

    def command(self, *arguments: str, models: Sequence[str] = ("tiny",)) -> list[str]:
        command = super().command(*arguments, models=models)
        # As a user runs it, with pytest's cache.
        option = command.index("no:cacheprovider") - 1
        return [*self.before, *command[:option], *command[option + 2 :]]

    def run(self, *arguments: str, models: Sequence[str] = ("tiny",), **environment: str) -> Done:
        return _in_sentences(super().run(*arguments, models=models, **environment))

    def finish(self, running: subprocess.Popen[str]) -> Done:
        """Wait for a run that was started."""
        out, _ = running.communicate(timeout=HANG_LIMIT_S)
        return _in_sentences(Done(running.returncode, out, self.reports))

    def kill(self, running: subprocess.Popen[str]) -> None:
        """Kill pytest itself with SIGKILL, and none of the processes that it started."""
        running.kill()
        self._running.remove(running)
        # Returns once the last process that shares its output is gone.
        running.communicate(timeout=HANG_LIMIT_S)

    def resume(self, folder: Path, *arguments: str) -> Done:
        """Go on with the run in `folder`."""
        command = [*self.before, sys.executable, "-m", "pytest", "--resume", str(folder), *arguments]
        running = subprocess.Popen(
            command,
            env=self.environment(),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self.finish(running)

    def kept(self) -> set[str]:
        """The questions whose replies are in the store, undamaged ones and others."""
        entries = (self.cache / "responses").glob("*/*.json")
        bodies = [json.loads(json.loads(entry.read_bytes())["body"]) for entry in entries]
        return {body["request"]["messages"][-1]["content"] for body in bodies}

    def recorded(self) -> list[Path]:
        """The folders of runs that have replies in their record."""
        return [path.parent for path in self.reports.glob("*/replies.jsonl")]

    def whole(
        self, outcome: str = "answered", models: Iterable[str] = ("tiny",)
    ) -> dict[tuple[str, str], str]:
        """What `judged` says of a run that lost nothing."""
        return {(model, f"q{number}"): outcome for model in models for number in range(len(self.questions))}

    def alive(self) -> list[psutil.Process]:
        """The processes of this run, told by their cache folder, that are still there after ten seconds."""
        limit = time.monotonic() + 10
        while (found := self._processes()) and time.monotonic() < limit:
            time.sleep(0.05)
        return found

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("GOLDENGATE_CACHE") == str(self.cache)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


def judged(folder: Path) -> dict[tuple[str, str], str]:
    """The outcome of each model and case in a run's record, each of which stands there once with all its checks."""
    outcomes: dict[tuple[str, str], str] = {}
    for line in (folder / "results.jsonl").read_text().splitlines():
        record = json.loads(line)
        name = record["model"], record["case"]
        assert name not in outcomes, f"{name} is in the record twice"
        assert len(record["checks"]) == CHECKS, f"{name} has not all its checks"
        outcomes[name] = record["outcome"]
    return outcomes


def wait_until(there: Callable[[], object], what: str) -> None:
    """Until something is there, or fail by its name."""
    limit = time.monotonic() + HANG_LIMIT_S / 2
    while not there():
        assert time.monotonic() < limit, f"{what}: waited in vain"
        time.sleep(0.01)


def _in_sentences(done: Done) -> Done:
    assert "Traceback" not in done.out, done.out
    assert "INTERNALERROR" not in done.out, done.out
    return done
