"""A bar that was lowered in the same change as the candidate: floors and policies of tasks, before and now. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evals.checks.answers import shorten
from evals.pairing import Facts
from evals.report.tables import share

RECORDED = "since the baseline was recorded"


def lowered(before: Facts, now: Facts, since: str = RECORDED, *, floors_only: bool = False) -> list[str]:
    """What the gates of `now` ask less than those of `before`, a sentence each; both are tasks' facts as in run.json.

    Floors, and without `floors_only` what `versus_baseline` asks. Only tasks that are in both are looked at. `since`
    ends each sentence.
    """
    return [
        f"{what} {since}"
        for task, facts in before.items()
        if task in now
        for what in _weaker(shorten(task), _gate(facts), _gate(now[task]), floors_only)
    ]


def _gate(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    return facts.get("gate") or {}


def _weaker(task: str, before: Mapping[str, Any], now: Mapping[str, Any], floors_only: bool) -> Iterator[str]:
    yield from _falls(f"the floor of {task}", before.get("floors"), now.get("floors"))
    yield from _falls(f"the least agreement of {task}", before.get("agreement"), now.get("agreement"))
    if floors_only:
        return
    then, today = before.get("versus_baseline") or {}, now.get("versus_baseline") or {}
    superior = today.get("superior") or []
    for capability in then.get("superior") or []:
        if capability not in superior:
            yield f"{task} {shorten(capability)} need no longer be superior"
    margins = today.get("non_inferior") or {}
    for capability, margin in (then.get("non_inferior") or {}).items():
        # What has to be superior is not worse; whether a single case is lost is another question.
        if capability not in superior or margin == 0:
            yield from _rises(f"the margin of {task}", {capability: margin}, margins)
    yield from _falls(f"the ratio of {task}", then.get("ratio"), today.get("ratio"))
    yield from _rises(f"the guard by {task} of", then.get("guards"), today.get("guards"))


def _falls(what: str, before: Mapping[str, float] | None, now: Mapping[str, float] | None) -> Iterator[str]:
    yield from _worse(what, before, now, "lowered", lambda then, today: today < then)


def _rises(what: str, before: Mapping[str, float] | None, now: Mapping[str, float] | None) -> Iterator[str]:
    yield from _worse(what, before, now, "widened", lambda then, today: today > then)


def _worse(
    what: str,
    before: Mapping[str, float] | None,
    now: Mapping[str, float] | None,
    how: str,
    is_worse: Any,
) -> Iterator[str]:
    for name, then in (before or {}).items():
        today = (now or {}).get(name)
        if today is None:
            yield f"{what} {shorten(name)} ({share(then)}) was removed"
        elif is_worse(then, today):
            yield f"{what} {shorten(name)} was {how} from {share(then)} to {share(today)}"
