"""Two runs side by side: the same cases, each with the mean over its repeats. Pure, but for `read_side`.

Paired by (task, case): what the baseline makes of a case is held against what the candidate makes of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evals.backends.base import Model
from evals.cases import Gate
from evals.checks.answers import shorten
from evals.errors import RunMismatch, RunRecordError
from evals.runs import CaseRecord, RunInfo, read_lines, read_run, run_folder

# So many names stand in a message; of the others only the number.
NAMED = 5

Facts = Mapping[str, Mapping[str, Any]]
# By (task, capability): by case, whether each of its repeats passed.
Passes = dict[tuple[str, str], dict[str, list[bool]]]


@dataclass(frozen=True, slots=True)
class RunSide:
    """One model's part of one or several runs. `tasks` are their facts as in run.json: hash, options, gate.

    `versions` are those by which it was judged, as there.
    """

    model: Model
    runs: tuple[str, ...]
    tasks: Facts
    records: Sequence[CaseRecord]
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """One case: the share of its repeats that passed, of either side. `cluster` is its own id where it has none."""

    case: str
    cluster: str
    baseline: float
    candidate: float


@dataclass(frozen=True, slots=True)
class Paired:
    """The cases of one capability of one task, in the order of the candidate's record."""

    task: str
    capability: str
    pairs: tuple[Pair, ...]


def read_side(text: str, reports: Path) -> RunSide:
    """One model of a recorded run: `RUN`, or `RUN#MODEL` where it holds several; RUN is a folder, or its name in
    `reports`.

    Raises `RunRecordError` for a run that is not complete, has no results by case, or is damaged.
    """
    folder, label = find_run(text, reports)
    info = read_run(folder)
    _refuse_damaged(info, folder)
    if info.settings.get("summary_only"):
        raise RunRecordError(
            f"the run in {folder} is a table from elsewhere: it has rates and no single cases, so nothing can be paired"
        )
    if info.spared:
        raise RunRecordError(
            f"the run in {folder} was stopped early: {info.spared} of its requests were never asked, so it cannot stand "
            "for its model; run it without --stop-early"
        )
    model = _chosen(info, label, folder)
    records = [one for one in _sound_records(folder) if one.model == model.label]
    _refuse_disorder(records, info, folder)
    return RunSide(model, (info.run,), info.tasks, records, info.versions)


def find_run(text: str, reports: Path) -> tuple[Path, str]:
    """The folder of a run that is meant, and the model's label or ''; raises `RunRecordError` where there is none."""
    try:
        return run_folder(text, reports), ""
    except RunRecordError:
        name, sign, label = text.partition("#")
        if not sign:
            raise
    return run_folder(name, reports), label


def _refuse_damaged(info: RunInfo, folder: Path) -> None:
    def is_task(facts: Any) -> bool:
        if not (isinstance(facts, dict) and isinstance(facts.get("hash"), str)):
            return False
        Gate.model_validate(facts.get("gate", {}))
        return isinstance(facts.get("options", {}), dict)

    names = [info.run, *(name for model in info.models for name in (model.label, model.digest))]
    try:
        whole = isinstance(info.settings, dict) and all(map(is_task, info.tasks.values()))
        whole = whole and all(isinstance(name, str) for name in names)
    except (ValidationError, AttributeError):
        whole = False
    if not whole:
        raise RunRecordError(
            f"{folder / 'run.json'} is damaged: its models, tasks or settings are not what a run writes"
        )


def _chosen(info: RunInfo, label: str, folder: Path) -> Model:
    labels = [model.label for model in info.models]
    if not label and len(labels) == 1:
        return info.models[0]
    if label in labels:
        return info.models[labels.index(label)]
    ways = ", ".join(shorten(f"{folder}#{one}", 200) for one in labels)
    if not label and labels:
        raise RunRecordError(f"the run in {folder} holds {len(labels)} models; name one: {ways}")
    raise RunRecordError(
        f"the run in {folder} holds no model {shorten(label)!r}" + (f"; there are: {ways}" if ways else "")
    )


def _sound_records(folder: Path) -> Iterable[CaseRecord]:
    def sound(data: Mapping[str, Any]) -> CaseRecord:
        record = CaseRecord.from_json(data)
        if unsound := unsound_value(record):
            raise ValueError(unsound)
        return record

    return read_lines(folder / "results.jsonl", sound)


def unsound_value(record: CaseRecord) -> str:
    """What of a record cannot be compared: a value that is no fraction, a measure that is no number; '' if nothing."""
    texts = (record.model, record.task, record.case, record.cluster, record.outcome)
    checks = [text for check in record.checks for text in (check.name, check.capability, check.outcome)]
    if not all(isinstance(text, str) for text in (*texts, *checks)) or not isinstance(record.repeat, int):
        return "a name that is no text, or a repeat that is no whole number"
    for check in record.checks:
        for name, value in (("value", check.value), *check.measures.items()):
            # NaN is in no range; a measure is a fraction too, but for rounding.
            if not (isinstance(value, (int, float)) and -1e-9 <= value <= 1 + 1e-9):
                return f"the {name} of {check.name} is {shorten(str(value))}, no number from 0 to 1"
    return ""


def _refuse_disorder(records: Sequence[CaseRecord], info: RunInfo, folder: Path) -> None:
    """Lines that a run does not write: of a task that it did not ask, or one of a repeat that has one already."""
    seen: set[tuple[str, str, int]] = set()
    for one in records:
        key = (one.task, one.case, one.repeat)
        if key in seen or one.task not in info.tasks:
            what = (
                "stands in it twice" if key in seen else f"is of a task that is not in {folder / 'run.json'}"
            )
            raise RunRecordError(
                f"{folder / 'results.jsonl'} is damaged: repeat {one.repeat} of {shorten(f'{one.task}/{one.case}')} {what}"
            )
        seen.add(key)


def join(sides: Sequence[RunSide]) -> RunSide:
    """Several runs of one model as one: those after the first count as further repeats of its cases.

    Raises `RunMismatch` where they are not of the same weights, tasks and cases; one side at least.
    """
    first, *others = sides
    cases = {(one.task, one.case) for one in first.records}
    problems: list[str] = []
    records = list(first.records)
    for other in others:
        name = _runs(other)
        if other.model.digest != first.model.digest:
            problems.append(
                f"{name}: {shorten(other.model.label)} has other weights there ({shorten(other.model.digest)[:12]}) than "
                f"in {_runs(first)} ({shorten(first.model.digest)[:12]})"
            )
        problems += [f"{name}: {problem}" for problem in _other_tasks(other.tasks, first.tasks)]
        differing = cases ^ {(one.task, one.case) for one in other.records}
        if differing:
            problems.append(f"{name}: not the same cases were asked: {_listed(differing)}")
        shift = 1 + max((one.repeat for one in records), default=-1)
        records += [replace(one, repeat=one.repeat + shift) for one in other.records]
    if problems:
        raise RunMismatch(_told("these runs are not repeats of each other", problems))
    return replace(first, runs=tuple(run for side in sides for run in side.runs), records=records)


def refuse_mismatch(baseline: RunSide, tasks: Facts, cases: Iterable[tuple[str, str]]) -> None:
    """Raises `RunMismatch` naming every task that the baseline has not or has otherwise, and cases that it lacks.

    `tasks` are the facts of what is asked of the candidate, `cases` the (task, case) of it.
    """
    problems = _other_tasks(baseline.tasks, tasks)
    there = {(one.task, one.case) for one in baseline.records}
    same = {
        name for name in tasks if name in baseline.tasks and _hash(tasks, name) == _hash(baseline.tasks, name)
    }
    if lacking := {case for case in cases if case[0] in same and case not in there}:
        problems.append(f"it lacks {len(lacking)} of the cases: {_listed(lacking)}")
    if problems:
        label = shorten(baseline.model.label)
        head = f"the baseline {label} in {_runs(baseline)} did not ask what the candidate is asked"
        raise RunMismatch(_told(head, problems) + f"\nask it again: --baseline {label}")


def _other_tasks(there: Facts, here: Facts) -> list[str]:
    problems = [f"it has no task {shorten(name)}" for name in here if name not in there]
    for name, facts in here.items():
        if name not in there or _hash(there, name) == _hash(here, name):
            continue
        then = there[name].get("options") or {}
        now = facts.get("options") or {}
        changed = [
            f"{option} {shorten(str(then.get(option)))} there, {shorten(str(now.get(option)))} here"
            for option in now
            if now[option] != then.get(option)
        ]
        how = "; ".join(changed) or "its prompt, checks or cases are others"
        problems.append(f"task {shorten(name)} was changed: {how}")
    return problems


def _hash(tasks: Facts, name: str) -> object:
    return tasks[name].get("hash")


def _listed(cases: Collection[tuple[str, str]]) -> str:
    names = [shorten(f"{task}/{case}") for task, case in sorted(cases)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _runs(side: RunSide) -> str:
    return ", ".join(map(shorten, side.runs))


def _told(head: str, problems: Sequence[str]) -> str:
    return "\n  ".join([f"{head}:", *problems])


def pair(candidate: RunSide, baseline: RunSide) -> list[Paired]:
    """Each capability of each task over the candidate's cases, in its order; raises `RunMismatch`.

    A case passes a capability when all its checks of it pass; it counts with the mean over its repeats. What brought no
    result is no pass, and a repeat that other cases of the task have and this one lacks is none either.
    """
    if not candidate.records:
        raise RunMismatch(
            f"there is nothing to compare: no case was asked of {shorten(candidate.model.label)}"
        )
    refuse_mismatch(
        baseline, candidate.tasks, dict.fromkeys((one.task, one.case) for one in candidate.records)
    )
    _refuse_other_checks(candidate, baseline)
    theirs = pass_rates(baseline.records)
    clusters = {(one.task, one.case): one.cluster or one.case for one in candidate.records}
    paired = [
        Paired(
            task,
            capability,
            tuple(
                Pair(case, clusters[task, case], theirs[task, capability][case], rate)
                for case, rate in by_case.items()
            ),
        )
        for (task, capability), by_case in pass_rates(candidate.records).items()
    ]
    if not paired:
        raise RunMismatch(
            f"there is nothing to compare: no reply of {shorten(candidate.model.label)} was judged"
        )
    return paired


def _refuse_other_checks(candidate: RunSide, baseline: RunSide) -> None:
    """A case that was judged by other checks there, such as by a part of them (`-k`), passes for other reasons."""

    def checks(side: RunSide) -> dict[tuple[str, str, str], set[str]]:
        found: dict[tuple[str, str, str], set[str]] = {}
        for one in side.records:
            for check in one.checks:
                found.setdefault((one.task, one.case, check.capability), set()).add(check.name)
        return found

    theirs = checks(baseline)
    other = {
        (task, case)
        for (task, case, of), names in checks(candidate).items()
        if theirs.get((task, case, of)) != names
    }
    if other:
        raise RunMismatch(
            f"the baseline {shorten(baseline.model.label)} in {_runs(baseline)} was judged by other checks in "
            f"{len(other)} of the cases: {_listed(other)}"
        )


def passes(records: Iterable[CaseRecord]) -> Passes:
    """By (task, capability) and case: whether each repeat passed all its checks of the capability, in order of repeat.

    A repeat that other cases of the task have counts as not passed where it is missing.
    """
    found: dict[tuple[str, str], dict[str, dict[int, bool]]] = {}
    for one in records:
        right: dict[str, bool] = {}
        for check in one.checks:
            right[check.capability] = right.get(check.capability, True) and check.outcome == "pass"
        for capability, passed in right.items():
            found.setdefault((one.task, capability), {}).setdefault(one.case, {})[one.repeat] = passed
    made: Passes = {}
    for key, by_case in found.items():
        repeats = sorted({repeat for by_repeat in by_case.values() for repeat in by_repeat})
        made[key] = {
            case: [by_repeat.get(repeat, False) for repeat in repeats] for case, by_repeat in by_case.items()
        }
    return made


def pass_rates(records: Iterable[CaseRecord]) -> dict[tuple[str, str], dict[str, float]]:
    """By (task, capability) and case: the share of its repeats that passed."""
    return {
        key: {case: sum(repeats) / len(repeats) for case, repeats in by_case.items()}
        for key, by_case in passes(records).items()
    }
