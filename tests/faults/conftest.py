"""Fixtures of the played faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault_server import FaultServer
from tests.faults.played_run import PlayedRun


@pytest.fixture
def played(tmp_path: Path, fault_server: FaultServer) -> Iterator[PlayedRun]:
    """A run of ten cases; no process of it may be left when the test ends."""
    played = PlayedRun(tmp_path, fault_server.url)
    yield played
    left = played.alive()
    played.stop()
    assert not left, "processes outlived their run"
