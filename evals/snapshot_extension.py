"""syrupy's side of snapshots: where each one stands, its bytes as they are, and nothing beyond this run's.

Its own session looks after unused snapshots and reports on them, and cannot know that a file belongs to a model that was
not asked now. So every assertion gets a session of its own, which syrupy neither reports nor cleans up after.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.data import SnapshotCollection, SnapshotCollections
from syrupy.extensions.single_file import SingleFileSnapshotExtension
from syrupy.location import PyTestLocation
from syrupy.session import SnapshotSession
from syrupy.types import SnapshotIndex

from evals.errors import SnapshotError
from evals.options import SnapshotsWritten
from evals.snapshot_folder import SUFFIX, write_snapshot

FILE = pytest.StashKey[Path]()


class ReplySnapshot(SingleFileSnapshotExtension):
    """One file an answer, at the place that its test was given."""

    file_extension = SUFFIX.removeprefix(".")

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        return str(test_location.item.stash[FILE].parent)

    @classmethod
    def get_file_basename(cls, *, test_location: PyTestLocation, index: SnapshotIndex) -> str:
        return test_location.item.stash[FILE].name.removesuffix(SUFFIX)

    @classmethod
    def matches_test_location(cls, *, test_location: PyTestLocation, snapshot_location: str) -> bool:
        """The file is named after model and case, not after the test."""
        return Path(snapshot_location) == test_location.item.stash[FILE]

    def discover_snapshots(
        self, *, test_location: PyTestLocation, ignore_extensions: list[str] | None = None
    ) -> SnapshotCollections:
        """None: what else stands in the folder is no business of one test."""
        return SnapshotCollections()

    @classmethod
    def write_snapshot_collection(
        cls, *, snapshot_collection: SnapshotCollection, name_order: dict[str, int] | None = None
    ) -> None:
        """Write the one answer, whole or not at all; raises `OSError`."""
        data = next(iter(snapshot_collection)).data
        assert isinstance(data, bytes)
        write_snapshot(Path(snapshot_collection.location), data)


def reply_snapshot(test: pytest.Item, path: Path, written: SnapshotsWritten) -> SnapshotAssertion:
    """syrupy's assertion on one test's answer, which stands at `path`."""
    test.stash[FILE] = path
    updates: Mapping[SnapshotsWritten, tuple[bool, bool]] = {
        "none": (False, False),
        "new": (False, True),
        "all": (True, False),
    }
    update, new_only = updates[written]
    return SnapshotAssertion(
        session=SnapshotSession(pytest_session=test.session),
        extension_class=ReplySnapshot,
        test_location=PyTestLocation(test),
        update_snapshots=update,
        update_new_snapshots_only=new_only,
    )


def recall(snapshot: SnapshotAssertion, data: bytes) -> tuple[bytes | None, bool]:
    """Assert on an answer: what was recorded before, None if nothing, and whether the answer is recorded now.

    Raises `SnapshotError` where the file can be neither read nor written.
    """
    held = snapshot == data
    result = snapshot.executions[0]
    if result.exception is not None:
        cause = result.exception
        reason = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        raise SnapshotError(f"the snapshot {result.snapshot_location} cannot be used: {reason}")
    old = result.recalled_data
    assert old is None or isinstance(old, bytes)
    return old, held and old != data
