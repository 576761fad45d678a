"""How fast a recorded run is scored again, and in how much memory: the whole process `python -m evals rescore RUN`.

10,000 recorded replies x 4 cheap checks (`regex`, `keywords`, `json_schema`, `json_fields`), in four tasks of 2,500
cases. A tenth of the replies is wrong, and of each tenth reply a verdict was another one when it was recorded, half of
them a pass, so that flips are found, counted and written as well::

    python -m benchmarks.rescoring [--rounds 3] [--profile FILE]

Start-up, reading the cases and judging their references, the new run record and its report are all counted.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from evals.backends.base import Model, ModelReply, parse_spec
from evals.cases import GoldenCase, GoldenTask, load_golden
from evals.checks.base import CheckOutcome
from evals.needs import chat_request
from evals.outcomes import judge_reply
from evals.runs import CaseRecord, RunInfo, RunWriter, check_record, reply_figures, task_facts
from evals.surroundings import versions

TASKS = 4
CASES = 2500
CHECKS = 4
WRONG_EVERY = 10
# Of so many replies in a row the first, a wrong one, was recorded as a pass, and the second as a miss.
FLIPPED_EVERY = 20
MIB = 2**20

_TASK = """\
task: {name}
about: Benchmark task {name}.
source: benchmarks/rescoring.py
system: Answer with one JSON object.
options: {{max_tokens: 64}}
checks:
  - {{kind: regex, capability: format, all_of: {{object: "^{{", number: '"number": [0-9]+'}}}}
  - {{kind: keywords, capability: content}}
  - kind: json_schema
    capability: format
    schema:
      type: object
      required: [number, colour, why]
      properties: {{number: {{type: integer}}, colour: {{enum: [red, green, blue]}}, why: {{type: string}}}}
  - {{kind: json_fields, capability: content}}
gate:
  floors: {{format: 0.5, content: 0.5}}
"""
_COLOURS = ("red", "green", "blue")
_WHY = "the rule for this question says so, and nothing in the text that was given speaks against it"


def write_golden(folder: Path) -> None:
    """10,000 cases in four tasks."""
    for task in range(TASKS):
        place = folder / f"bench_{task}"
        place.mkdir(parents=True)
        (place / "task.yaml").write_text(_TASK.format(name=place.name))
        entries = []
        for number in range(CASES):
            colour = _COLOURS[number % len(_COLOURS)]
            entries.append({
                "id": f"case-{number}",
                "input": f"Which colour has question {number} of task {task}, and why?",
                "expect": {"keywords": [colour], "fields": {"number": number, "colour": colour}},
                "reference": json.dumps({"number": number, "colour": colour, "why": _WHY}),
                "tags": ["easy"],
            })
        # JSON is YAML; a case a line keeps the file readable.
        (place / "cases.yaml").write_text("\n".join(f"- {json.dumps(entry)}" for entry in entries) + "\n")


def write_run(golden: Path, reports: Path) -> Path:
    """A complete record of one model that answered every case, most of them well."""
    model = Model(parse_spec("benchmark"), "b" * 64)
    tasks = load_golden(golden)
    writer = RunWriter.new(reports, model.label)
    asked = [(task, case) for task in tasks for case in task.cases]
    for number, (task, case) in enumerate(asked):
        writer.add(*_recorded(model, task, case, number))
    info = RunInfo(
        run=writer.folder.name,
        started="2026-01-01T12:00:00+0000",
        wall_s=1.0,
        models=(model,),
        unavailable={},
        tasks=task_facts(tasks),
        settings={"models": [model.label], "tasks": [], "split": None},
        versions=versions(),
        git={},
        host={},
        asked=len(asked),
        stored=0,
    )
    writer.finish(info, {}, "")
    return writer.folder


def _recorded(model: Model, task: GoldenTask, case: GoldenCase, number: int) -> tuple[CaseRecord, ModelReply]:
    colour = case.expect["fields"]["colour"]
    text = case.reference.replace(colour, "grey") if number % WRONG_EVERY == 0 else case.reference
    reply = ModelReply(text, prompt_tokens=40, completion_tokens=30, decode_s=0.5, total_s=0.6)
    request = chat_request(model, task, case)
    checks = [check_record(*judged) for judged in judge_reply(case, reply, request.messages[-1].content)]
    if number % FLIPPED_EVERY in (0, 1):
        turned = CheckOutcome.FAIL if checks[1].outcome == CheckOutcome.PASS else CheckOutcome.PASS
        checks[1] = replace(checks[1], outcome=turned.value, reason="as of then")
    timings, tokens = reply_figures(reply)
    record = CaseRecord(
        model=model.label,
        task=task.name,
        case=case.id,
        repeat=0,
        outcome="answered",
        checks=tuple(checks),
        timings=timings,
        tokens=tokens,
        response=request.key(model.digest),
        tags=case.tags,
        split=case.split,
    )
    return record, reply


def rescore(golden: Path, run: Path, reports: Path, profile: Path | None = None) -> float:
    """Seconds of one whole process."""
    program = ["-m", "evals"] if profile is None else ["-m", "cProfile", "-o", str(profile), "-m", "evals"]
    command = [sys.executable, *program, "rescore", str(run), "--golden", str(golden)]
    started = time.perf_counter()
    done = subprocess.run([*command, "--reports", str(reports)], capture_output=True, text=True, check=False)
    took = time.perf_counter() - started
    found = re.search(r"(\d+) verdicts flipped", done.stdout.replace(",", ""))
    if done.returncode != 0 or not found or int(found[1]) != 2 * TASKS * CASES // FLIPPED_EVERY:
        raise SystemExit(f"rescoring failed ({done.returncode}):\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", type=Path, help="write a cProfile of one run there and stop")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        golden, reports = Path(scratch) / "golden", Path(scratch) / "reports"
        write_golden(golden)
        run = write_run(golden, reports)
        if chosen.profile:
            rescore(golden, run, reports, chosen.profile)
            return
        times = [rescore(golden, run, reports) for _ in range(chosen.rounds)]
    checks = TASKS * CASES * CHECKS
    # None but these processes is started here: their sum, and of memory the largest.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(
        f"{TASKS * CASES:,} replies, {checks:,} checks, whole process: median {statistics.median(times):.2f} s "
        f"(from {min(times):.2f} to {max(times):.2f}), {checks / statistics.median(times):,.0f} checks/s; "
        f"processor {(used.ru_utime + used.ru_stime) / chosen.rounds:.2f} s a round; peak {peak / MIB:.0f} MiB"
    )


if __name__ == "__main__":
    main()
