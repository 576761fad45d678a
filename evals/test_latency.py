"""How fast each model answers, cold and warm: `pytest evals/test_latency.py --model SPEC`, in a pass of its own."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from evals.errors import GoldenGateError
from evals.latency_asking import Timing


def test_latency(timing: Timing, benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> None:
    """Every timed request is answered; how fast is data, for the table and for `--benchmark-compare`."""
    # The same name wherever pytest was started: measurements are compared by it.
    benchmark.fullname = f"evals/test_latency.py::{request.node.name}"
    try:
        timing.warm_up()
        benchmark.pedantic(  # type: ignore[no-untyped-call]
            timing.ask, setup=timing.set_up, rounds=timing.rounds, iterations=1, warmup_rounds=0
        )
    except GoldenGateError as fault:
        reason = f"a request brought no reply, so nothing is timed: {fault}"
        raise pytest.fail.Exception(reason, pytrace=False) from None
    benchmark.extra_info.update(timing.latency().to_json())
