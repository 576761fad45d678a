"""Whether a run may pass: floors reached, everything answered, no grader broken. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.runs import CaseRecord
from evals.scores import Summary

# A capability whose floor is this allows no miss: each one fails its test at once.
NO_MISS = 1.0


def gate_problems(
    records: Sequence[CaseRecord], summary: Summary, unavailable: Mapping[str, str], *, enforce_floors: bool
) -> list[str]:
    """Why the run does not pass, each a sentence; empty if it does.

    Without `enforce_floors` (`--no-gate`) only unanswered requests count.
    """
    problems = [f"{label} was not asked at all" for label in unavailable]
    for figures in summary.models:
        if figures.unanswered:
            what = "request" if figures.unanswered == 1 else "requests"
            problems.append(
                f"{figures.model}: {figures.unanswered} of {figures.replies} {what} brought no reply"
            )
    if not records:
        problems.append("nothing was asked")
    if not enforce_floors:
        return problems
    problems += [
        f"{score.model}: {score.task} {score.capability} {score.rate:.1%} "
        f"({score.passes} of {score.n}) is below the floor of {score.floor:.0%}"
        for score in summary.scores
        if score.holds is False
    ]
    broken = sum(check.outcome == "error" for record in records for check in record.checks)
    if broken:
        problems.append(f"{broken} checks broke instead of judging; their reasons are in results.jsonl")
    return problems
