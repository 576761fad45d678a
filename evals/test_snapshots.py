"""Every golden case on every model, beside the answer that is recorded; `--snapshot-update` records what is answered now."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from evals.items import ASKING, SETTINGS
from evals.judging import JUDGED, spare
from evals.needs import SnapshotItem
from evals.snapshot_extension import reply_snapshot
from evals.snapshot_folder import file_name
from evals.snapshot_items import Remembered, compared_item


@pytest.fixture
def snapshot(item: SnapshotItem, request: pytest.FixtureRequest) -> SnapshotAssertion:
    """syrupy's assertion, on the file of the item's model and case."""
    settings = request.config.stash[SETTINGS]
    path = Path(settings.snapshots or "", file_name(item.model.label, item.need.task.name, item.need.case.id))
    return reply_snapshot(request.node, path, settings.snapshots_written)


@pytest.fixture
def remembered(item: SnapshotItem, snapshot: SnapshotAssertion, request: pytest.FixtureRequest) -> Remembered:
    """The model's answer beside the recorded one; waits for that answer, and for no other."""
    stash = request.config.stash
    spare(stash[ASKING])
    reply = stash[ASKING].reply(item.need)
    found = compared_item(item, reply, snapshot)
    request.node.user_properties += [
        ("model", found.model),
        ("task", found.task),
        ("case", found.case),
        ("snapshot", found.verdict),
    ]
    strict = stash[SETTINGS].snapshot_strict and stash[SETTINGS].gate
    made = request.node.stash[JUDGED] = Remembered(item, reply, found, strict)
    return made


def test_snapshot(remembered: Remembered) -> None:
    """The answer is the recorded one; where it is not, that is data, unless a verdict flipped under `--snapshot-strict`."""
    remembered.settle()
