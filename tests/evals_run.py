"""Runs `pytest evals` as a user would: a process of its own, on a small golden folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TASK = """\
task: {name}
about: Small questions.
source: tests
system: Answer shortly.
options: {{max_tokens: 32}}
checks:
  - {{kind: regex, capability: format, all_of: {{words: "[a-z]"}}}}
  - {{kind: keywords, capability: content}}
gate:
  floors: {{format: {format_floor}, content: {content_floor}}}
"""


@dataclass(frozen=True, slots=True)
class Done:
    """A finished run."""

    status: int
    out: str
    reports: Path

    @property
    def folder(self) -> Path:
        """The newest run's folder."""
        return max(
            (path for path in self.reports.iterdir() if path.is_dir()),
            key=lambda path: path.stat().st_mtime_ns,
        )

    @property
    def results(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "results.jsonl").read_text().splitlines()]

    @property
    def info(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return data

    @property
    def summary(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return data


def write_task(
    golden: Path,
    name: str = "small",
    questions: Mapping[str, str] | None = None,
    *,
    format_floor: float = 0.5,
    content_floor: float = 0.5,
) -> Path:
    """A task of questions (text -> word that the answer must hold), ids `q0`, `q1`…; returns its folder."""
    folder = golden / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.yaml").write_text(
        TASK.format(name=name, format_floor=format_floor, content_floor=content_floor)
    )
    asked = questions if questions is not None else {"one?": "right", "two?": "right", "three?": "right"}
    cases = [
        {
            "id": f"q{number}",
            "input": text,
            "expect": {"keywords": [word]},
            "reference": f"it is {word}",
            "tags": ["easy"],
        }
        for number, (text, word) in enumerate(asked.items())
    ]
    (folder / "cases.yaml").write_text("\n".join(f"- {json.dumps(case)}" for case in cases) + "\n")
    return folder


class Evals:
    """`pytest evals` with its own golden folder, reports and cache below `root`; `tests` is the module that is run."""

    def __init__(self, root: Path, host: str) -> None:
        self.root = root
        self.golden = root / "golden"
        self.reports = root / "reports"
        self.cache = root / "cache"
        self.host = host
        self.tests = "evals"
        self._running: list[subprocess.Popen[str]] = []

    def options(self, models: Sequence[str]) -> list[str]:
        options = ["--golden", str(self.golden), "--reports", str(self.reports), "--ollama-host", self.host]
        return options + [f"--model={model}" for model in models]

    def command(self, *arguments: str, models: Sequence[str] = ("tiny",)) -> list[str]:
        command = [sys.executable, "-m", "pytest", "--pyargs", self.tests, "-p", "no:cacheprovider"]
        return [*command, *self.options(models), *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GOLDENGATE_", "PYTEST_", "PYTHONDONT"))
        }
        return {**kept, "GOLDENGATE_CACHE": str(self.cache), "COLUMNS": "80", **more}

    def start(self, *arguments: str, models: Sequence[str] = ("tiny",)) -> subprocess.Popen[str]:
        """Start a run and return at once."""
        self.root.mkdir(exist_ok=True)
        running = subprocess.Popen(
            self.command(*arguments, models=models),
            env=self.environment(),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._running.append(running)
        return running

    def stop(self) -> None:
        """Kill what was started and still runs."""
        while self._running:
            running = self._running.pop()
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
            running.communicate()

    def run(self, *arguments: str, models: Sequence[str] = ("tiny",), **environment: str) -> Done:
        """Run to the end; a minute is far more than any of these needs."""
        done = subprocess.run(
            self.command(*arguments, models=models),
            env=self.environment(**environment),
            cwd=self.root,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout + done.stderr, self.reports)

    def pytest(self, folder: Path, *arguments: str, **environment: str) -> Done:
        """Plain `pytest` in another folder."""
        done = subprocess.run(
            [Path(sys.executable).with_name("pytest"), "-p", "no:cacheprovider", *arguments],
            env=self.environment(**environment),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout + done.stderr, self.reports)
