"""Small verdicts, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from evals.verdict import Decision, Difference, Graded, Noise, Requirement, Side, Verdict

_SENTENCES = {
    "promote": "Promote: tuned:1 may replace base:1.",
    "block": "Block: tuned:1 may not replace base:1.",
    "inconclusive": "Inconclusive: about 40 more cases are needed.",
}
_STATUS = {"promote": "shown", "block": "failed", "inconclusive": "open"}


def requirement(status: Any = "shown", **fields: Any) -> Requirement:
    """A requirement of the task `ops`; an open one needs 40 more cases."""
    defaults: dict[str, Any] = {
        "task": "ops",
        "capability": "content",
        "kind": "non_inferior",
        "bound": 0.15,
        "policy": "ops",
        "status": status,
        "estimate": -0.02,
        "low": -0.1,
        "high": 0.06,
        "more_cases": 40 if status == "open" else None,
        "upper": None,
        "sentence": f"ops content 61.0% -> 59.0%: at most 15 points worse, {status}",
    }
    return Requirement(**{**defaults, **fields})


def verdict(decision: Decision = "promote", *requirements: Requirement, **fields: Any) -> Verdict:
    """A verdict with one of everything, and one requirement of that outcome unless others are given."""
    asked = requirements or (requirement(_STATUS[decision]),)
    both: dict[str, Any] = {
        "task": "ops",
        "cases": 50,
        "units": 48,
        "baseline": 0.61,
        "candidate": 0.59,
        "difference": -0.02,
        "low": -0.1,
        "high": 0.06,
    }
    difference = Difference(**both, capability="content", method="tango", lost=3, won=2, p=1.0, p_holm=1.0)
    defaults: dict[str, Any] = {
        "verdict": decision,
        "sentence": _SENTENCES[decision],
        "reasons": tuple(one.sentence for one in asked),
        "candidate": Side("tuned:1", "c" * 64, ("20260101-120000-tuned-1",)),
        "baseline": Side("base:1", "b" * 64, ("20260101-120000-tuned-1",)),
        "requirements": asked,
        "differences": (difference,),
        "graded": (Graded(**both, check="entities", name="f1", method="bca"),),
        "noise": (Noise("ops", "content", 3, 0.04, 0.02),),
        "more_cases": 40 if decision == "inconclusive" else None,
        "notes": ("the baseline was recorded by another version",),
        "spared": 12,
    }
    return Verdict(**{**defaults, **fields})
