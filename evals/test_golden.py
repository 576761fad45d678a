"""Every golden case on every model: one test a check. `pytest evals --model SPEC` runs them."""

from __future__ import annotations

import pytest

from evals.backends.base import ModelReply
from evals.checks.base import CheckResult
from evals.plugin import settle
from evals.session import Item


@pytest.mark.golden
def test_golden(item: Item, reply: ModelReply, result: CheckResult, pytestconfig: pytest.Config) -> None:
    """The reply passes the check; where the capability's floor allows misses, a miss is data."""
    settle(pytestconfig, item, reply, result)
