"""What the harness costs beside a real model: 64 cases under four system prompts of some 250 tokens, eight at once.

The server is llama.cpp with eight slots and SmolLM2-135M. Measured is the whole process (`pytest evals …`, store on and
empty), divided by a bare httpx loop that posts the same bodies in the order of the files, eight at once::

    python -m benchmarks.shared_prompts [--rounds 5] [--cases 64] [--tokens 32] [--profile FILE]

Then both once more with the cases shuffled: the loop's bodies all of them, ours within each task's file, since a system
prompt belongs to a task. A server computes a prompt's shared beginning once a slot if requests with it follow each other.

Each run has a server of its own, fresh and warmed, so none profits from the prompts of another and all compute the same
tokens; starting it is not counted. Rounds begin with another of the four runs each, and the medians of ratios within a
round are told.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bare_loop import bare_loop
from benchmarks.llama_server import MODEL, SLOTS, llama_server
from benchmarks.medians import told
from evals.backends.base import Model, parse_spec
from evals.backends.openai_chat import request_body
from evals.cases import load_golden
from evals.needs import chat_request

TASKS = 4
SYSTEM_WORDS = 230  # some 250 tokens

_TASK = """\
task: {name}
about: Benchmark task {name}.
source: benchmarks/shared_prompts.py
system: system.md
options: {{max_tokens: {tokens}}}
checks:
  - {{kind: regex, capability: content, all_of: {{anything: "."}}}}
"""
_RULES = (
    "Every",
    "rule",
    "of",
    "this",
    "long",
    "system",
    "prompt",
    "is",
    "here",
    "for",
    "a",
    "realistic",
    "length",
)
_THINGS = ("rivers", "bridges", "bread", "winter", "maps", "clocks", "gardens", "ships")


def write_golden(folder: Path, cases: int, tokens: int, shuffle: random.Random | None) -> None:
    """So many cases in four tasks; shuffled within each file if asked for."""
    for task in range(TASKS):
        place = folder / f"bench_{task}"
        place.mkdir(parents=True)
        (place / "task.yaml").write_text(_TASK.format(name=place.name, tokens=tokens))
        words = [_RULES[(task + number) % len(_RULES)] for number in range(SYSTEM_WORDS)]
        (place / "system.md").write_text(f"You are helper {task}. {' '.join(words)}.")
        entries = [
            {
                "id": f"case-{number}",
                "input": f"Tell me {number + 2} facts about {_THINGS[number % len(_THINGS)]}.",
                "reference": "One fact.",
            }
            for number in range(cases // TASKS)
        ]
        if shuffle:
            shuffle.shuffle(entries)
        (place / "cases.yaml").write_text("".join(f"- {json.dumps(entry)}\n" for entry in entries))


def request_bodies(golden: Path) -> list[dict[str, Any]]:
    """The bodies for the bare loop, task by task in the order of the files."""
    model = Model(parse_spec(f"openai:{MODEL}@http://127.0.0.1"), "", thinks=True)
    return [
        request_body(chat_request(model, task, case), MODEL)
        for task in load_golden(golden)
        for case in task.cases
    ]


def harness(url: str, golden: Path, cases: int, profile: Path | None = None) -> float:
    """Seconds of one whole `pytest evals` process with an empty store."""
    with tempfile.TemporaryDirectory() as scratch:
        program = ["-m"] if profile is None else ["-m", "cProfile", "-o", str(profile), "-m"]
        command = [sys.executable, *program, "pytest", "evals", "--model", f"openai:{MODEL}@{url}"]
        command += ["--golden", str(golden), "--reports", str(Path(scratch) / "reports"), "--no-gate"]
        # hypothesis comes with the dev extra only; its plugin would import it for the summary.
        command += ["--concurrency", str(SLOTS), "-p", "no:hypothesispytest"]
        environment = {**os.environ, "GOLDENGATE_CACHE": str(Path(scratch) / "cache")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        took = time.perf_counter() - started
    # A reply of so few tokens is mostly a truncated one, and so a miss.
    judged = sum(int(count) for count in re.findall(r"(\d+) (?:passed|miss)", done.stdout))
    if done.returncode != 0 or judged != cases:
        raise SystemExit(
            f"the harness failed ({done.returncode}):\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
        )
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32, help="the most that a reply has")
    parser.add_argument("--profile", type=Path, help="write a cProfile of one run there and stop")
    chosen = parser.parse_args()
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shuffle = random.Random(0)
        write_golden(folder / "ordered", chosen.cases, chosen.tokens, None)
        write_golden(folder / "shuffled", chosen.cases, chosen.tokens, shuffle)
        bodies = request_bodies(folder / "ordered")
        (folder / "ordered.json").write_text(json.dumps(bodies))
        shuffle.shuffle(bodies)
        (folder / "shuffled.json").write_text(json.dumps(bodies))

        def bare(order: str) -> Callable[[str], float]:
            return lambda url: bare_loop(f"{url}/v1/chat/completions", folder / f"{order}.json", SLOTS)

        def ours(order: str) -> Callable[[str], float]:
            return lambda url: harness(url, folder / order, chosen.cases, chosen.profile)

        runs = {
            "bare": bare("ordered"),
            "ours": ours("ordered"),
            "bare shuffled": bare("shuffled"),
            "ours shuffled": ours("shuffled"),
        }
        if chosen.profile:
            runs = {"ours": runs["ours"]}
        names = list(runs)
        for number in range(1 if chosen.profile else chosen.rounds):
            took = {}
            first = number % len(names)
            for name in (*names[first:], *names[:first]):
                with llama_server() as url:
                    took[name] = runs[name](url)
            rounds.append(took)
            print(
                f"round {number + 1}: " + ", ".join(f"{name} {took[name]:.2f} s" for name in names),
                flush=True,
            )
    if not chosen.profile:
        print(f"{chosen.cases} cases, ours / bare: {_ratio(rounds, 'ours', 'bare')}")
        print(
            f"{chosen.cases} cases, shuffled / in order: {_ratio(rounds, 'ours shuffled', 'ours')}; "
            f"the bare loop {_ratio(rounds, 'bare shuffled', 'bare')}"
        )


def _ratio(rounds: list[dict[str, float]], one: str, other: str) -> str:
    return told([took[one] / took[other] for took in rounds])


if __name__ == "__main__":
    main()
