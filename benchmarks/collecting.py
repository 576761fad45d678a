"""What it costs to collect many cases: `pytest evals --collect-only -q` of 1,000, 10,000 and 100,000 of them.

Each case has one check, so it is one test. Beside it, in the same round, pytest alone collects a file whose one test has
as many parameters with the same ids: what our process takes beyond that is ours::

    python -m benchmarks.collecting [--rounds 3] [--sizes 1000,10000,100000] [--profile FILE]

Told are seconds and peak memory of whole processes. Time is linear if a case costs the same at every size, memory is the
difference of the two peaks over the cases.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.medians import told

TASKS = 10
SIZES = (1_000, 10_000, 100_000)
MODEL = "stub:1b"

_TASK = """\
task: {name}
about: Benchmark task {name}.
source: benchmarks/collecting.py
system: Answer with a number.
options: {{max_tokens: 16}}
checks:
  - {{kind: regex, capability: content, all_of: {{number: "the answer is [0-9]+"}}}}
"""
_PLAIN = """\
import pytest

IDS = [f"{model}-bench_{{number % {tasks}}}/case-{{number // {tasks}}}-regex" for number in range({size})]


@pytest.mark.parametrize("item", range({size}), ids=IDS)
def test_golden(item):
    pass
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process: seconds from start to exit, and peak resident memory in bytes."""

    seconds: float
    peak: int


def write_golden(folder: Path, size: int) -> None:
    """So many one-check cases, in ten tasks."""
    for task in range(TASKS):
        place = folder / f"bench_{task}"
        place.mkdir(parents=True)
        (place / "task.yaml").write_text(_TASK.format(name=place.name))
        lines = [
            json.dumps({
                "id": f"case-{number}",
                "input": f"What is the answer to question {number} of {task}?",
                "reference": f"the answer is {number}",
            })
            for number in range(size // TASKS)
        ]
        (place / "cases.yaml").write_text("".join(f"- {line}\n" for line in lines))


def cost_of(command: list[str], folder: Path, tests: int) -> Cost:
    """Run a collecting process to its end; stops where it does not collect that many tests."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    output = folder / "collected.txt"
    started = time.perf_counter()
    with output.open("wb") as sink:
        process = subprocess.Popen(command, env=environment, stdout=sink, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    said = output.read_text()
    if process.returncode != 0 or f"{tests} tests collected" not in said:
        raise SystemExit(f"collecting failed ({process.returncode}):\n{said[-3000:]}")
    return Cost(took, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def collect(size: int, folder: Path, profile: Path | None = None) -> tuple[Cost, Cost]:
    """What pytest alone takes for so many tests, and what we take."""
    golden = folder / f"golden-{size}"
    if not golden.exists():
        write_golden(golden, size)
    plain = folder / f"test_plain_{size}.py"
    plain.write_text(_PLAIN.format(model=MODEL, tasks=TASKS, size=size))
    # Neither plugin is there without the dev extra or ours.
    pytest = ["pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    pytest += ["-p", "no:beet"]
    program = ["-m"] if profile is None else ["-m", "cProfile", "-o", str(profile), "-m"]
    ours = [sys.executable, *program, *pytest, "evals", "--model", MODEL, "--golden", str(golden)]
    alone = [sys.executable, "-m", *pytest, str(plain), "-c", os.devnull, "--rootdir", str(folder)]
    return cost_of(alone, folder, size), cost_of(ours, folder, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--profile", type=Path, help="write a cProfile of the largest size there and stop")
    chosen = parser.parse_args()
    sizes = [int(size) for size in chosen.sizes.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if chosen.profile:
            collect(sizes[-1], folder, chosen.profile)
            return
        costs: list[tuple[float, float]] = []
        for size in sizes:
            rounds = [collect(size, folder) for _ in range(chosen.rounds)]
            alone, ours = zip(*rounds, strict=True)
            seconds = [cost.seconds for cost in ours]
            peak, alone_peak = (statistics.median(cost.peak for cost in group) for group in (ours, alone))
            costs.append((statistics.median(seconds) / size, (peak - alone_peak) / size))
            print(
                f"{size:,} cases: {told(seconds, ' s')}, {peak / 1e6:.0f} MB; "
                f"pytest alone {told([cost.seconds for cost in alone], ' s')}, {alone_peak / 1e6:.0f} MB; "
                f"{costs[-1][1]:,.0f} bytes a case above pytest's",
                flush=True,
            )
    milliseconds = ", ".join(f"{1000 * seconds:.2f}" for seconds, _ in costs)
    print(
        f"collected: {milliseconds} ms a case for {', '.join(f'{size:,}' for size in sizes)} of them "
        f"({chosen.rounds} rounds); of the last {costs[-1][1]:,.0f} bytes a case above pytest's own"
    )


if __name__ == "__main__":
    main()
