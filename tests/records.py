"""Small results, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from evals.backends.base import Model, parse_spec
from evals.runs import CaseRecord, CheckRecord, RunInfo


def check(
    outcome: str = "pass", *, name: str = "keywords", capability: str = "content", **fields: Any
) -> CheckRecord:
    """One check's result; a miss has a cause and a reason."""
    missed = outcome in ("fail", "error")
    defaults = {"cause": "missing keyword" if missed else "", "reason": "lacks 'blue'" if missed else "fine"}
    value = 1.0 if outcome == "pass" else 0.0
    return CheckRecord(**{
        "kind": "keywords",
        "name": name,
        "capability": capability,
        "outcome": outcome,
        "value": value,
        "extracted": None,
        **defaults,
        **fields,
    })


def record(*checks: CheckRecord, model: str = "small:1b", case: str = "sky", **fields: Any) -> CaseRecord:
    """One case's record, answered in half a second unless said otherwise."""
    defaults: dict[str, Any] = {
        "task": "colours",
        "repeat": 0,
        "outcome": "answered",
        "timings": {"decode_s": 0.5, "first_token_s": 0.1},
        "tokens": {"prompt": 10, "completion": 20},
        "response": f"{model}-{case}",
    }
    return CaseRecord(model=model, case=case, checks=checks or (check(),), **{**defaults, **fields})


def run_info(*models: str, **fields: Any) -> RunInfo:
    """What a run was."""
    defaults: dict[str, Any] = {
        "run": "20260101-120000-small-1b",
        "started": "2026-01-01T12:00:00+00:00",
        "wall_s": 12.5,
        "models": tuple(Model(parse_spec(name), "d" * 64) for name in models or ("small:1b",)),
        "unavailable": {},
        "tasks": {"colours": {"hash": "a" * 64, "cases": 1}},
        "settings": {"models": ["small:1b"]},
        "versions": {"python": "3.11.7"},
        "git": {"commit": "c" * 40, "dirty": True},
        "host": {"cores": 2},
        "asked": 4,
        "stored": 1,
        "selected": {},
    }
    return RunInfo(**{**defaults, **fields})
