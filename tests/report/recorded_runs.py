"""Complete run records on disk, made of given results and replies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evals.backends.base import ModelReply
from evals.cases import GoldenTask, load_golden
from evals.gate import GateVerdict
from evals.runs import CaseRecord, RunWriter, task_facts
from evals.scores import summarise
from tests.records import record, run_info

Line = tuple[CaseRecord, ModelReply]


def line(*checks: Any, text: str = "It is blue.", thinking: str = "", **fields: Any) -> Line:
    """A result with its reply."""
    made = record(*checks, **{"timings": {"total_s": 2.0}, **fields})
    return made, ModelReply(text, thinking, fault=made.fault)


def write_run(
    folder: Path, lines: Iterable[Line], tasks: Mapping[str, Any] | None = None, **fields: Any
) -> Path:
    """A complete record of these lines, as a run writes it."""
    lines = list(lines)
    folder.mkdir(parents=True)
    writer = RunWriter(folder)
    for made, reply in lines:
        writer.add(made, reply)
    labels = list(dict.fromkeys(made.model for made, _ in lines))
    info = run_info(*labels, **{"run": folder.name, **({"tasks": tasks} if tasks else {}), **fields})
    floors = {name: facts.get("gate", {}).get("floors", {}) for name, facts in info.tasks.items()}
    summary = summarise([made for made, _ in lines], floors, labels)
    gate = GateVerdict("fails", "The gate does not hold.", ("colours content is below its floor",))
    writer.finish(info, {**summary.to_json(), "gate": asdict(gate)}, "report\n")
    return folder


def the_task(golden: Path) -> tuple[GoldenTask, dict[str, Any]]:
    """The golden task, and what a run keeps of it."""
    (task,) = load_golden(golden)
    return task, task_facts([task])
