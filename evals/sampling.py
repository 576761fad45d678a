"""A small part of the golden cases that stands for all of them, the same for everybody. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evals.cases import GoldenCase, GoldenTask

Stratum = tuple[str, str]


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
    chosen = (
        replace(task, cases=tuple(case for case in task.cases if (task.name, case.id) in taken))
        for task in tasks
    )
    return tuple(task for task in chosen if task.cases)


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
