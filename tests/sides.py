"""Runs to compare, made of the outcomes of their cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals.backends.base import Model, parse_spec
from evals.pairing import RunSide
from evals.runs import CaseRecord, CheckRecord
from tests.records import check, record

# A case a letter: p passes, f fails, u brought no reply, e broke the grader.
OUTCOMES = {"p": "pass", "f": "fail", "u": "unscored", "e": "error"}


def side(
    outcomes: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    *,
    label: str = "base:1",
    digest: str = "",
    task: str = "colours",
    gate: Mapping[str, Any] | None = None,
    clusters: Sequence[str] = (),
    **facts: Any,
) -> RunSide:
    """One model's run of one task: outcomes a case, by capability (`content` alone), or several texts, one a repeat."""
    by_capability = outcomes if isinstance(outcomes, Mapping) else {"content": outcomes}
    repeats = {name: [text] if isinstance(text, str) else list(text) for name, text in by_capability.items()}
    first = next(iter(repeats.values()))
    records = [
        case_record(
            {name: texts[repeat][number] for name, texts in repeats.items()},
            label,
            task,
            number,
            repeat,
            clusters[number] if clusters else "",
        )
        for repeat in range(len(first))
        for number in range(len(first[repeat]))
    ]
    return RunSide(
        model=Model(parse_spec(label), digest or label.encode().hex().ljust(64, "0")),
        runs=(f"run-of-{label.replace(':', '-')}",),
        tasks={task: {"hash": "a" * 64, "options": {"temperature": 0.0}, "gate": gate or {}, **facts}},
        records=records,
    )


def case_record(
    letters: Mapping[str, str], label: str, task: str, number: int, repeat: int, cluster: str
) -> CaseRecord:
    """One case's record, a check a capability."""
    checks: list[CheckRecord] = [
        check(OUTCOMES[letter], name=f"{name}-check", capability=name) for name, letter in letters.items()
    ]
    gone = "u" in letters.values()
    return record(
        *checks,
        model=label,
        task=task,
        case=f"c{number:03}",
        repeat=repeat,
        cluster=cluster,
        outcome="infrastructure" if gone else "answered",
        fault="connection refused" if gone else "",
    )


def merged(*sides: RunSide) -> RunSide:
    """The tasks and cases of several sides as those of one model."""
    first = sides[0]
    return RunSide(
        first.model,
        first.runs,
        {name: facts for one in sides for name, facts in one.tasks.items()},
        [one for side in sides for one in side.records],
    )
