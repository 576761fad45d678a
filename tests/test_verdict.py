"""verdict.json is read back as it was written, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evals.verdict import Difference, Graded, Noise, Requirement, Side, Verdict, verdict_from_json

VERDICT = Verdict(
    verdict="inconclusive",
    sentence="Inconclusive: about 40 more cases are needed.",
    reasons=("colours content 50.0% -> 60.0%: superior, not shown yet",),
    candidate=Side("tuned:1", "a" * 64, ("20260101-120000-tuned",)),
    baseline=Side("base:1", "b" * 64, ("one", "two")),
    requirements=(
        Requirement(
            "colours", "content", "superior", 0.0, "colours", "open", 0.1, -0.05, 0.25, 40, None, "…"
        ),
        Requirement(
            "colours", "safety", "zero_tolerance", 0.0, "colours", "shown", 0.0, -0.1, 0.1, None, 0.06, "…"
        ),
    ),
    differences=(
        Difference("colours", "content", 50, 40, 0.5, 0.6, 0.1, -0.05, 0.25, "tango", 3, 8, 0.2, 0.4),
    ),
    graded=(Graded("colours", "entities", "f1", 50, 40, 0.5, 0.6, 0.1, -0.05, 0.25, "bca"),),
    noise=(Noise("colours", "content", 3, 0.02, 0.04),),
    more_cases=40,
    notes=("the same weights",),
    spared=12,
)


def test_a_verdict_is_read_back_as_it_was_written() -> None:
    text = json.dumps(VERDICT.to_json(), allow_nan=False)

    assert verdict_from_json(json.loads(text)) == VERDICT
    assert json.loads(text)["format"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"verdict": "maybe"},
        {"requirements": [1]},
        {"differences": "none"},
        {"candidate": {}},
        {"more_cases": "many"},
    ],
    ids=["newer", "no-format", "another-word", "a-number", "a-text", "no-side", "many"],
)
def test_what_is_no_verdict_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        verdict_from_json({**VERDICT.to_json(), **change})
