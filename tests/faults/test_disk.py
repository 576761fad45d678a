"""Disks that are full, for a run's record and for the store: a small tmpfs, and a limit on the size of files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault_server import ANSWER, FaultServer, answer
from tests.faults.mounts import MountSpace
from tests.faults.played_run import PlayedRun, judged

# Of ten such replies, each fits into either of the two limits, and all of them together do not.
LONG_ANSWER = answer("All right. " + "x" * 9_000)
FULL_DISK = "64k"
LONGEST_FILE = 48 * 1024

LIMITED = """\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """A server with long answers."""
    with FaultServer() as server:
        server.play(*[LONG_ANSWER] * 40)
        yield server


@pytest.fixture
def space() -> Iterator[MountSpace]:
    with MountSpace() as space:
        yield space


def recorded_cases(folder: Path) -> set[str]:
    """The cases whose replies stand in the record; each of its lines is whole."""
    return {json.loads(line)["case"] for line in (folder / "replies.jsonl").read_text().splitlines()}


def asked_cases(played: PlayedRun, server: FaultServer) -> list[str]:
    """The cases that were asked, sorted."""
    return sorted(f"q{played.questions.index(question)}" for question in server.questions)


def all_cases(played: PlayedRun) -> set[str]:
    return {case for _, case in played.whole()}


def test_a_record_on_a_full_disk_is_told_and_finished_once_there_is_room(
    played: PlayedRun, fault_server: FaultServer, space: MountSpace
) -> None:
    played.reports.mkdir()
    space.do("mount", "-t", "tmpfs", "-o", f"size={FULL_DISK}", "full", str(played.reports))
    played.before = space.prefix(played.root)

    done = played.run("--no-store")

    assert done.status == 1, done.out
    said = " ".join(done.out.split())
    assert "the run record cannot be written: " in said and "make room, then use --resume" in said
    (seen,) = space.seen(played.reports).iterdir()
    assert not (seen / "run.json").exists()
    before = recorded_cases(seen)
    assert 0 < len(before) < len(played.questions)

    space.do("mount", "-o", "remount,size=8m", str(played.reports))
    fault_server.asked.clear()
    again = played.resume(played.reports / seen.name)
    assert again.status == 0, again.out
    assert judged(seen) == played.whole()
    assert (seen / "run.json").exists()
    # What did not reach the disk is asked again, since no store kept it.
    assert asked_cases(played, fault_server) == sorted(all_cases(played) - before)


def test_a_record_that_meets_a_quota_is_told_and_finished_from_the_store_once_there_is_room(
    played: PlayedRun, fault_server: FaultServer
) -> None:
    played.before = [sys.executable, "-c", LIMITED, str(LONGEST_FILE)]

    done = played.run()

    assert done.status == 1, done.out
    said = " ".join(done.out.split())
    assert "the run record cannot be written: " in said and "make room, then use --resume" in said
    folder = done.folder
    assert not (folder / "run.json").exists()
    before = recorded_cases(folder)
    assert 0 < len(before) < len(played.questions)

    played.before = ()
    fault_server.asked.clear()
    again = played.resume(folder)
    assert again.status == 0, again.out
    assert judged(folder) == played.whole()
    assert fault_server.chats == []


def test_a_store_on_a_full_disk_costs_no_result_and_the_next_run_asks_for_what_it_could_not_keep(
    played: PlayedRun, fault_server: FaultServer, space: MountSpace
) -> None:
    played.cache.mkdir()
    space.do("mount", "-t", "tmpfs", "-o", f"size={FULL_DISK}", "full", str(played.cache))
    played.before = space.prefix(played.root)

    done = played.run()

    assert done.status == 0, done.out
    assert judged(done.folder) == played.whole()
    assert "note: replies cannot be kept in" in done.out
    assert "No space left on device" in " ".join(done.out.split())
    entries = list(space.seen(played.cache).rglob("responses/*/*"))
    assert [entry for entry in entries if entry.suffix != ".json" or not entry.stat().st_size] == []
    assert 0 < len(entries) < len(played.questions)

    space.do("mount", "-o", "remount,size=8m", str(played.cache))
    fault_server.asked.clear()
    again = played.run()
    assert again.status == 0, again.out
    assert judged(again.folder) == played.whole()
    assert "cannot be kept" not in again.out
    assert len(fault_server.chats) == len(played.questions) - len(entries)


def test_a_store_that_meets_a_quota_costs_no_result(played: PlayedRun, fault_server: FaultServer) -> None:
    # An entry holds what was asked, a record does not: so only entries are longer than the limit.
    task = played.golden / "small" / "task.yaml"
    task.write_text(task.read_text().replace("Answer shortly.", "Answer shortly. " + "x" * 80_000))
    played.before = [sys.executable, "-c", LIMITED, str(LONGEST_FILE)]
    for question in played.questions:
        fault_server.play_for(question, ANSWER)

    done = played.run()

    assert done.status == 0, done.out
    assert judged(done.folder) == played.whole()
    assert "note: replies cannot be kept in" in done.out
    assert "File too large" in " ".join(done.out.split())
    assert list(played.cache.rglob("responses/*/*")) == []

    played.before = ()
    fault_server.asked.clear()
    again = played.run()
    assert again.status == 0, again.out
    assert len(fault_server.chats) == len(played.questions)
    assert played.kept() == set(played.questions)
