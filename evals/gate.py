"""Whether a run may pass: floors reached, everything answered, no grader broken. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.report.tables import percent, share
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
            what = "request" if figures.replies == 1 else "requests"
            problems.append(
                f"{figures.model}: {figures.unanswered} of {figures.replies} {what} brought no reply"
            )
    if not records:
        problems.append("nothing was asked")
    if not enforce_floors:
        return problems
    problems += [
        f"{score.model}: {score.task} {score.capability} {percent(score.rate)} "
        f"({score.passes} of {score.n}) is below the floor of {share(score.floor)}"
        for score in summary.scores
        if score.floor is not None and not score.holds
    ]
    broken = sum(check.outcome == "error" for record in records for check in record.checks)
    if broken:
        what = "check" if broken == 1 else "checks"
        problems.append(f"{broken} {what} broke instead of judging; their reasons are in results.jsonl")
    return problems
