"""Parts of the golden cases: one split, or a small sample that stands for all, the same for everybody. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from evals.cases import GoldenCase, GoldenTask, Split


def of_split(tasks: Sequence[GoldenTask], split: Split | None) -> tuple[GoldenTask, ...]:
    """The tasks with their cases of one split, or with all. Tasks that have none are left out; hashes stay."""
    return _with_cases(tasks, lambda case: split is None or case.split == split)


def stood_for(tasks: Sequence[GoldenTask], split: Split | None) -> Sequence[GoldenTask]:
    """The cases that a verdict on a run of `split` speaks for: to run fewer of them is to run a part.

    The gate split stands for itself: it was made to judge. The dev split never does, nor does a gate split that leaves
    out a task altogether.
    """
    gate = of_split(tasks, "gate")
    return gate if split == "gate" and len(gate) == len(tasks) else tasks


def _with_cases(tasks: Sequence[GoldenTask], wanted: Callable[[GoldenCase], bool]) -> tuple[GoldenTask, ...]:
    chosen = (replace(task, cases=tuple(filter(wanted, task.cases))) for task in tasks)
    return tuple(task for task in chosen if task.cases)


def sample_cases(tasks: Sequence[GoldenTask], size: int) -> tuple[GoldenTask, ...]:
    """`size` cases, stratified by task and first tag (the difficulty), in the order of the files.

    Each task gets its share by the largest-remainder method, one case at least as far as `size` reaches; each
    difficulty gets its share of its task's in the same way. Within one, cases are taken in the order of the
    SHA-256 of `task/id`. A task's hash stays that of the whole task. Tasks of which nothing is taken are left out.
    """
    by_task = _shares({task.name: len(task.cases) for task in tasks if task.cases}, size)
    for name in sorted(name for name, share in by_task.items() if not share):
        most = max(by_task, key=lambda other: (by_task[other], other))
        if by_task[most] > 1:
            by_task[most] -= 1
            by_task[name] = 1
    taken: set[tuple[str, str]] = set()
    for task in tasks:
        strata: dict[str, list[GoldenCase]] = {}
        for case in task.cases:
            strata.setdefault(case.tags[0] if case.tags else "", []).append(case)
        shares = _shares({tag: len(cases) for tag, cases in strata.items()}, by_task.get(task.name, 0))
        for tag, cases in strata.items():
            taken |= {(case.task, case.id) for case in sorted(cases, key=_rank)[: shares[tag]]}
    return _with_cases(tasks, lambda case: (case.task, case.id) in taken)


def _rank(case: GoldenCase) -> str:
    return hashlib.sha256(f"{case.task}/{case.id}".encode()).hexdigest()


def _shares(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    total = sum(sizes.values())
    if wanted >= total:
        return dict(sizes)
    exact = {name: wanted * size / total for name, size in sizes.items()}
    shares = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (shares[name] - exact[name], name))
    for name in by_remainder[: wanted - sum(shares.values())]:
        shares[name] += 1
    return shares
