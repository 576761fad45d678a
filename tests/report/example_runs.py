"""Run records of a candidate, its baseline and a third model on real golden tasks, with replies that the cases hold.

Which case a model gets right is drawn; everything else is what a run makes of it: the real checks judge the replies, and
the real gate and comparison judge the runs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from evals.backends.base import Model, ModelReply, parse_spec
from evals.cases import GoldenCase, GoldenTask, load_golden
from evals.compared_runs import compare_runs
from evals.gate import Selection, judge_run
from evals.needs import chat_request
from evals.outcomes import classify, judge_reply
from evals.report.gather import gather
from evals.report.page import Page
from evals.runs import CaseRecord, RunWriter, check_record, task_facts
from evals.scores import summarise
from tests.records import run_info

GOLDEN = Path(__file__).parents[2] / "golden"
TASKS = ("general_knowledge", "minecraft_ops")
# By task, how often a model is right where the baseline is, and where it is not.
CANDIDATE = {"minecraft_ops": (0.98, 0.8), "general_knowledge": (0.97, 0.2)}
THIRD = {"minecraft_ops": (0.75, 0.3), "general_knowledge": (0.9, 0.4)}
BASELINE = {"minecraft_ops": 0.62, "general_knowledge": 0.75}


def example_page(reports: Path, *, third: bool = False) -> Page:
    """The page of a candidate that is promoted, beside its baseline, and beside a third model if wanted."""
    golden = load_golden(GOLDEN, TASKS)
    drawn = random.Random(7)
    right = {
        (task.name, case.id): drawn.random() < BASELINE[task.name] for task in golden for case in task.cases
    }
    base = _run(reports, "20261118-210240-qwen3-4b", _model("qwen3:4b", 2.5), golden, right, 1.6)
    better, other = (
        {key: drawn.random() < odds[key[0]][not was] for key, was in right.items()}
        for odds in (CANDIDATE, THIRD)
    )
    tuned = _run(
        reports,
        "20261120-091402-mc-ops-candidate",
        _model("mc-ops:candidate", 2.5),
        golden,
        better,
        1.4,
        careful=True,
    )
    compare_runs(str(tuned), [str(base)], reports)
    if not third:
        return gather([tuned], golden)
    gemma = _run(reports, "20261119-183011-gemma3n-e4b", _model("gemma3n:e4b", 7.5), golden, other, 3.1)
    return gather([tuned, base, gemma], golden)


def _model(name: str, gigabytes: float) -> Model:
    digest = f"{random.Random(name).getrandbits(256):064x}"
    return Model(parse_spec(name), digest, details={"size_bytes": round(gigabytes * 1e9)})


def _run(
    reports: Path,
    name: str,
    model: Model,
    golden: tuple[GoldenTask, ...],
    right: dict[tuple[str, str], bool],
    seconds: float,
    *,
    careful: bool = False,
) -> Path:
    """A complete run in which the model got those cases right; a `careful` one keeps to form and safety all the same."""
    folder = reports / name
    folder.mkdir(parents=True)
    writer = RunWriter(folder)
    drawn = random.Random(name)
    records: list[CaseRecord] = []
    for task in golden:
        for case in task.cases:
            text = case.reference if right[task.name, case.id] else _wrong(case, drawn, careful=careful)
            reply = ModelReply(
                text,
                prompt_tokens=240,
                completion_tokens=len(text) // 4 + 1,
                decode_s=(took := seconds * drawn.lognormvariate(0, 0.35)) * 0.8,
                first_token_s=took * 0.2,
                total_s=took,
            )
            records.append(_record(model, task, case, reply))
            writer.add(records[-1], reply)
    facts = task_facts(golden)
    summary = summarise(records, {task.name: task.floors for task in golden}, [model.label])
    checks = sum(len(record.checks) for record in records)
    selected = Selection(len(records), len(records), checks, checks)
    gate = judge_run(records, summary, {}, selected, enforce_floors=True)
    info = run_info(
        run=name,
        started=f"{name[:4]}-{name[4:6]}-{name[6:8]}T{name[9:11]}:{name[11:13]}:{name[13:15]}+0000",
        wall_s=seconds * len(records) / 4,
        models=(model,),
        tasks=facts,
        settings={"models": [model.label]},
        git={"commit": "4f1c2ab0d9e8" + "0" * 28, "dirty": False},
        host={"system": "Linux", "machine": "x86_64", "cores": 8, "memory_bytes": 33_500_000_000},
        asked=len(records),
        stored=0,
        selected=asdict(selected),
    )
    writer.finish(info, {**summary.to_json(), "gate": asdict(gate)}, "")
    return folder


def _record(model: Model, task: GoldenTask, case: GoldenCase, reply: ModelReply) -> CaseRecord:
    request = chat_request(model, task, case)
    return CaseRecord(
        model=model.label,
        task=task.name,
        case=case.id,
        repeat=0,
        outcome=classify(reply).value,
        checks=tuple(check_record(*one) for one in judge_reply(case, reply, request.messages[-1].content)),
        timings={"decode_s": reply.decode_s, "first_token_s": reply.first_token_s, "total_s": reply.total_s},
        tokens={"prompt": reply.prompt_tokens, "completion": reply.completion_tokens},
        response=model.key(request),
        tags=case.tags,
        split=case.split,
        cluster=case.cluster,
    )


def _wrong(case: GoldenCase, drawn: random.Random, *, careful: bool) -> str:
    """One of the wrong answers of a case; sometimes the right one in the wrong form."""
    wrong = list(_misses(case, careful=careful))
    if careful:
        return drawn.choice(wrong) if wrong else case.reference
    if drawn.random() < 0.25:
        return f"Sure! Here you go:\n\n{case.reference}\n\nLet me know if that helps."
    return drawn.choice(list(case.wrong) or [""])


def _misses(case: GoldenCase, *, careful: bool) -> Iterator[str]:
    for text in case.wrong:
        found = {
            check.capability.value: result.outcome
            for check, result in judge_reply(case, ModelReply(text), case.input)
        }
        if careful and not all(found.get(name, "pass") == "pass" for name in ("format", "safety")):
            continue
        yield text
