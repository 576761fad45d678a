"""All benchmarks, one after the other, and the table of what they found.

    python -m benchmarks [NAME ...] [--rounds N]

Each runs in a process of its own, and prints its findings as its last lines. They are kept in `benchmarks/results.json`,
and all that are there make the table in README.md, between the two comments that mark its place; so one that was
disturbed can be run again by its name. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table but for what was measured: what it is of, what others need, what is to be reached."""

    what: str
    elsewhere: str
    reach: str


# Each benchmark with the rows that its last lines fill. "Elsewhere" was measured once, on this project's machine.
BENCHMARKS = {
    "harness": (
        Row(
            "1,024 one-check cases, stub server at 20 ms, concurrency 32: whole process / bare httpx loop",
            "pydantic-evals 2.5, inspect_ai 4.0, promptfoo 7.9, DeepEval 23",
            "1.6",
        ),
    ),
    "shared_prompts": (
        Row(
            "64 cases, four 250-token system prompts, llama.cpp with 8 slots: whole process / bare loop",
            "pydantic-evals 1.08, promptfoo 1.15, inspect_ai 1.47, DeepEval 1.53",
            "1.03",
        ),
        Row("the same, cases shuffled in the file: shuffled / in order", "", "no slower"),
    ),
    "rescoring": (
        Row("10,000 stored responses x 4 checks, scored again", "", "4,000 checks/s, under 300 MB"),
    ),
    "collecting": (
        Row("100,000 cases collected (`--collect-only`)", "", "linear, under 1 kB a case above pytest's own"),
    ),
    "loads": (
        Row("loads of each model, 3 models x 100 cases, one in memory at a time", "", "exactly one each"),
    ),
    "training": (
        Row("LoRA on SmolLM2-135M, tokens a second: the training loop / a bare TRL script", "", "0.98"),
    ),
}


def findings(name: str, count: int, arguments: list[str]) -> list[str]:
    """Run one benchmark, its output shown as it comes; what its last `count` lines found, behind their colon.

    Raises `SystemExit` where it fails.
    """
    print(f"== {name}", flush=True)
    lines: list[str] = []
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.strip())
    if process.returncode != 0:
        raise SystemExit(f"benchmarks.{name} ended with status {process.returncode}; nothing was written")
    return [line.partition(": ")[2] for line in lines[-count:]]


def table(found: dict[str, list[str]]) -> str:
    """The findings in Markdown, under a line that tells the machine."""
    lines = [
        f"Measured on {machine()}; of ratios the median, the range and the rounds.",
        "",
        "| what | elsewhere | reach | measured |",
        "|---|---|---|---|",
    ]
    for name, rows in BENCHMARKS.items():
        for row, text in zip(rows, found.get(name, ["not measured"] * len(rows)), strict=True):
            lines.append(f"| {row.what} | {row.elsewhere} | {row.reach} | {text} |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """`2 cores (x86_64), 25 GB of memory, Linux, Python 3.11.7`."""
    import psutil

    memory = psutil.virtual_memory().total
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory / 1e9:.0f} GB of memory, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def with_table(readme: str, text: str) -> str:
    """The README with the table in its place; raises `SystemExit` where the two comments are missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{README} has no {BEGIN} with {END} after it, so the table has no place there")
    return f"{before}{begin}\n{text}{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--rounds", type=int, help="how often each is measured, but for loads, which are counted"
    )
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds takes 1 or more")
    found: dict[str, list[str]] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for name in chosen.names or BENCHMARKS:
        rounds = [f"--rounds={chosen.rounds}"] if chosen.rounds and name != "loads" else []
        found[name] = findings(name, len(BENCHMARKS[name]), rounds)
        RESULTS.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    text = table(found)
    print(f"\n{text}", end="")
    README.write_text(with_table(README.read_text("utf-8"), text), "utf-8")


if __name__ == "__main__":
    main()
