"""What a reader of a page has to know about its runs, as lines. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from evals.checks.answers import shorten
from evals.report.recorded import Recorded
from evals.report.shown import Answer


def run_notes(runs: Sequence[Recorded]) -> Iterator[str]:
    """What is special about single runs."""
    for run in runs:
        info = run.info
        if run.summary_only:
            yield f"{info.run} holds figures from elsewhere: no cases, no replies"
        if info.rescored:
            yield f"{info.run} is today's checks on the replies of {info.rescored}"
        if info.spared:
            yield f"{info.run} was stopped early: {info.spared:,} requests were not asked"
        for label, reason in info.unavailable.items():
            yield f"{info.run} did not ask {label}: {shorten(reason, 300)}"


def differing_forms(runs: Sequence[Recorded]) -> Iterator[str]:
    """Tasks that were changed between the runs."""
    forms: dict[str, set[str]] = {}
    for run in runs:
        for task, facts in run.info.tasks.items():
            forms.setdefault(task, set()).add(str(facts["hash"]))
    if several := sorted(task for task, hashes in forms.items() if len(hashes) > 1):
        yield f"these tasks differ from run to run, so their rates cannot be compared: {few(several)}"


def differing_tasks(tasks_of_models: Sequence[Collection[str]]) -> Iterator[str]:
    """Tasks that some models were asked and others were not."""
    asked = [set(tasks) for tasks in tasks_of_models if tasks]
    if some := sorted(set().union(*asked) - set(asked[0]).intersection(*asked)) if asked else []:
        yield f"not all models were asked the same tasks, so their rates over all tasks cannot be compared: {few(some)}"


def differing_cases(answers: Sequence[Answer]) -> Iterator[str]:
    """Tasks of which models were asked different cases."""
    asked: dict[tuple[str, str], dict[int, set[str]]] = {}
    for answer in answers:
        task, hash_, case = answer.form
        asked.setdefault((task, hash_), {}).setdefault(answer.model, set()).add(case)
    if tasks := sorted({
        task for (task, _), of_model in asked.items() if len(set(map(frozenset, of_model.values()))) > 1
    }):
        yield f"not all models were asked the same cases: {few(tasks)}"


def run_facts(run: Recorded) -> Iterator[str]:
    """Time, versions, machine and commit of a run."""
    info = run.info
    if run.summary_only:
        yield f"{info.run}: imported {info.started}"
        return
    yield f"{info.run}: {info.started}, {info.wall_s:,.0f} s; {info.stored:,} of {info.asked:,} replies from the store"
    if versions := [f"{name} {version}" for name, version in info.versions.items()]:
        yield f"{info.run}: {', '.join(versions)}"
    parts = [str(value) for name in ("system", "machine") if (value := info.host.get(name))]
    if cores := info.host.get("cores"):
        parts.append(f"{cores} cores")
    if memory := info.host.get("memory_bytes"):
        parts.append(f"{memory / 1e9:.1f} GB of memory")
    if commit := info.git.get("commit"):
        parts.append(
            f"commit {str(commit)[:12]}" + (" with uncommitted changes" if info.git.get("dirty") else "")
        )
    if parts:
        yield f"{info.run}: {', '.join(parts)}"


def few(names: Sequence[str], limit: int = 8) -> str:
    """The first names, and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
