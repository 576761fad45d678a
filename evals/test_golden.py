"""Every golden case on every model: one test a check. `pytest evals --model SPEC` runs them."""

from __future__ import annotations

from evals.judging import Judged


def test_golden(judged: Judged) -> None:
    """The reply passes the check; where the capability's floor allows misses, a miss is data."""
    judged.settle()
