"""How much the harness costs beside the requests themselves.

1,024 cases of one check each (four tasks, each with a system prompt of some 250 tokens) run against a local stub server
that answers after 20 ms, 32 requests at once. Measured is the whole process (`pytest evals …`, from its start to its
exit, store on and empty), divided by a bare httpx loop that sends the same requests in the same run::

    python -m benchmarks.harness [--rounds 5] [--profile]

Pairs alternate, and the median of their ratios is told: machines drift, ratios within a pair much less.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.bare_loop import bare_loop
from benchmarks.medians import told
from benchmarks.stub_server import ANSWER, MODEL
from evals.backends.base import Model, parse_spec
from evals.backends.ollama import server_options
from evals.cases import load_golden
from evals.needs import chat_request

CASES = 1024
TASKS = 4
CONCURRENCY = 32
DELAY_S = 0.02
SYSTEM_WORDS = 190  # some 250 tokens

_TASK = """\
task: {name}
about: Benchmark task {name}.
source: benchmarks/harness.py
system: system.md
options: {{max_tokens: 16}}
checks:
  - {{kind: regex, capability: content, all_of: {{number: "the answer is [0-9]+"}}}}
gate:
  floors: {{content: 0.5}}
"""


def write_golden(folder: Path) -> None:
    """1,024 cases in four tasks."""
    words = [
        "every",
        "rule",
        "of",
        "this",
        "long",
        "system",
        "prompt",
        "is",
        "here",
        "so",
        "that",
        "it",
        "has",
        "a",
        "realistic",
        "length",
    ]
    for task in range(TASKS):
        name = f"bench_{task}"
        place = folder / name
        place.mkdir(parents=True)
        (place / "task.yaml").write_text(_TASK.format(name=name))
        (place / "system.md").write_text(
            f"Task {task}. " + " ".join(words[i % len(words)] for i in range(SYSTEM_WORDS))
        )
        entries = [
            {
                "id": f"case-{number}",
                "input": f"What is the answer to question {number} of {task}?",
                "reference": ANSWER,
            }
            for number in range(CASES // TASKS)
        ]
        # JSON is YAML; a case a line keeps the file readable.
        (place / "cases.yaml").write_text("\n".join(f"- {json.dumps(entry)}" for entry in entries) + "\n")


def request_bodies(golden: Path) -> list[dict[str, Any]]:
    """The bodies that the harness sends, for the bare loop."""
    model = Model(parse_spec(MODEL), "")
    bodies = []
    for task in load_golden(golden):
        for case in task.cases:
            request = chat_request(model, task, case)
            messages = [{"role": one.role, "content": one.content} for one in request.messages]
            options = server_options(request.options)
            bodies.append({"model": MODEL, "messages": messages, "stream": True, "options": options})
    return bodies


def harness(url: str, golden: Path, scratch: Path, profile: Path | None = None) -> float:
    """Seconds of one whole `pytest evals` process with an empty store."""
    cache = scratch / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    program = ["-m", "pytest"] if profile is None else ["-m", "cProfile", "-o", str(profile), "-m", "pytest"]
    command = [
        sys.executable,
        *program,
        "evals",
        "--model",
        MODEL,
        "--ollama-host",
        url,
        "--golden",
        str(golden),
    ]
    # hypothesis comes with the dev extra only; its plugin would import it for the summary.
    command += ["-p", "no:hypothesispytest"]
    command += ["--reports", str(scratch / "reports"), "--concurrency", str(CONCURRENCY)]
    environment = {**os.environ, "GOLDENGATE_CACHE": str(cache)}
    # Without compiled files pytest rewrites every plugin's modules at each start: two seconds that no user sees.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - started
    if done.returncode != 0 or f"{CASES} passed" not in done.stdout:
        raise SystemExit(
            f"the harness failed ({done.returncode}):\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
        )
    return took


@contextmanager
def stub_server(delay_s: float) -> Iterator[str]:
    """A stub server's address."""
    command = [sys.executable, "-m", "benchmarks.stub_server", str(delay_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdin
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", type=Path, help="write a cProfile of one run there and stop")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, stub_server(DELAY_S) as url:
        golden = Path(scratch) / "golden"
        write_golden(golden)
        if chosen.profile:
            harness(url, golden, Path(scratch), chosen.profile)
            return
        bodies = Path(scratch) / "bodies.json"
        bodies.write_text(json.dumps(request_bodies(golden)))
        chat = f"{url}/api/chat"
        bare_loop(chat, bodies, CONCURRENCY)
        pairs = []
        for number in range(chosen.rounds):
            pair = (bare_loop(chat, bodies, CONCURRENCY), harness(url, golden, Path(scratch)))
            pairs.append(pair)
            print(
                f"round {number + 1}: bare {pair[0]:.2f} s, harness {pair[1]:.2f} s, ratio {pair[1] / pair[0]:.2f}"
            )
    ratios = told([whole / bare for bare, whole in pairs])
    bare_s, whole_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{CASES} cases: {ratios}; {bare_s:.2f} s bare, {whole_s:.2f} s whole")


if __name__ == "__main__":
    main()
