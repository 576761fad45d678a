"""Parts of the golden cases: one split, or a small sample that stands for all, the same for everybody. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from evals.cases import GoldenCase, GoldenTask, Split

Stratum = tuple[str, str]


def of_split(tasks: Sequence[GoldenTask], split: Split | None) -> tuple[GoldenTask, ...]:
    """The tasks with their cases of one split, or with all. Tasks that have none are left out; hashes stay."""
    return _with_cases(tasks, lambda case: split is None or case.split == split)


def _with_cases(tasks: Sequence[GoldenTask], wanted: Callable[[GoldenCase], bool]) -> tuple[GoldenTask, ...]:
    chosen = (replace(task, cases=tuple(filter(wanted, task.cases))) for task in tasks)
    return tuple(task for task in chosen if task.cases)


def sample_cases(tasks: Sequence[GoldenTask], size: int) -> tuple[GoldenTask, ...]:
    """`size` cases, stratified by task and first tag (the difficulty), in the order of the files.

    Each stratum gets its share by the largest-remainder method; within one, cases are taken in the order of
    the SHA-256 of `task/id`, so adding a case elsewhere changes nothing here. A task's hash stays that of the
    whole task. Tasks of which nothing is taken are left out.
    """
    strata: dict[Stratum, list[GoldenCase]] = {}
    for task in tasks:
        for case in task.cases:
            strata.setdefault((task.name, case.tags[0] if case.tags else ""), []).append(case)
    shares = _shares({name: len(cases) for name, cases in strata.items()}, size)
    taken = {
        (case.task, case.id)
        for name, cases in strata.items()
        for case in sorted(cases, key=_rank)[: shares[name]]
    }
    return _with_cases(tasks, lambda case: (case.task, case.id) in taken)


def _rank(case: GoldenCase) -> str:
    return hashlib.sha256(f"{case.task}/{case.id}".encode()).hexdigest()


def _shares(sizes: Mapping[Stratum, int], wanted: int) -> dict[Stratum, int]:
    total = sum(sizes.values())
    if wanted >= total:
        return dict(sizes)
    exact = {name: wanted * size / total for name, size in sizes.items()}
    shares = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (shares[name] - exact[name], name))
    for name in by_remainder[: wanted - sum(shares.values())]:
        shares[name] += 1
    return shares
