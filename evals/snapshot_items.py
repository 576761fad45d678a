"""What a snapshot's test comes to: same, drift, flipped or unrecorded as data, and a failure where nothing can be said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from evals.checks.answers import shorten
from evals.errors import SnapshotError
from evals.judging import Miss, Status
from evals.needs import Asking, Reply, SnapshotItem
from evals.report.snapshots import flip_line, shown_diff
from evals.results import reply_message
from evals.snapshot_extension import FILE, recall
from evals.snapshots import Compared, Direction, compare, snapshot_form

FAILED_DIFF_LINES = 100
COLOURS: dict[Direction, str] = {"worse": "red", "better": "green", "other": "yellow"}


class Drift(Miss):
    """Other words, the same verdicts."""

    status = Status("drift", "d", "DRIFT", "yellow")


class Unrecorded(Miss):
    """There is no snapshot yet."""

    status = Status("unrecorded", "u", "UNRECORDED", "yellow")


class Flipped(Miss):
    """A check ends otherwise than on the recorded answer."""

    def __init__(self, reason: str, direction: Direction) -> None:
        super().__init__(reason)
        self.status = Status("flipped", "f", f"FLIPPED ({direction})", COLOURS[direction])


@dataclass(frozen=True, slots=True)
class Remembered:
    """An answer beside the recorded one. `strict`: a flip is a failure, and so is a case that nothing is recorded of."""

    item: SnapshotItem
    reply: Reply
    compared: Compared
    strict: bool

    def settle(self) -> None:
        """Become the test's outcome."""
        found = self.compared
        if found.problem:
            asked = shorten(self.item.need.case.input, 300)
            pytest.fail(f"{found.problem}\n  asked:   {asked}", pytrace=False)
        strict = self.strict and found.breaks_strictness
        if found.verdict == "unrecorded" and not found.is_new:
            reason = "nothing is recorded yet; --snapshot-update records this answer"
            if strict:
                pytest.fail(reason, pytrace=False)
            raise Unrecorded(reason)
        if found.verdict == "drift":
            raise Drift("other words, and every check ends as it did")
        if found.verdict == "flipped":
            flips = [flip_line(flip) for flip in found.flips]
            if strict:
                diff = shown_diff(found.diff, FAILED_DIFF_LINES)
                pytest.fail("\n".join([*flips, "- recorded, + now:", *diff]), pytrace=False)
            raise Flipped("; ".join(flips), found.direction)

    def message(self, asking: Asking) -> dict[str, Any]:
        # Where no check tells of the reply, the snapshot's test does.
        alone = not asking.checks_selected(self.item.need)
        told = reply_message(self.item.need, self.reply, asking) if alone else {}
        return {**told, "snapshot": self.compared.to_json()}


def compared_item(item: SnapshotItem, reply: Reply, snapshot: SnapshotAssertion) -> Compared:
    """An answer beside the recorded one, by syrupy's assertion on it, which also records it where that is wanted.

    A fault is no answer: it is neither compared nor recorded.
    """
    need = item.need
    nothing = Compared(need.model.label, need.task.name, need.case.id, "uncompared")
    if reply.reply.fault:
        return replace(nothing, problem=f"no reply: {reply.reply.fault}")
    try:
        old, written = recall(snapshot, snapshot_form(reply.reply))
    except SnapshotError as error:
        return replace(nothing, problem=str(error))
    try:
        return replace(compare(need.model.label, need.case, reply.asked, old, reply.reply), written=written)
    except SnapshotError as error:
        if written:
            return replace(nothing, verdict="unrecorded", written=True)
        path: Path = snapshot.test_location.item.stash[FILE]
        problem = f"{path} is no snapshot: {error}; --snapshot-update records it anew"
        return replace(nothing, problem=problem)
