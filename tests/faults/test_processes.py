"""Processes that are killed, runs side by side, and a clock that jumps."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fault_server import ANSWER, FaultServer, error
from tests.faults.played_run import PlayedRun, judged, wait_until

# Of one process that dies: the request under way, and the answers of the last fifth of a second, which no look at the
# server has vouched for yet. One more for a slow machine.
ASKED_TWICE = 4


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """A server that takes 0.1 s for each answer."""
    with FaultServer(delay_s=0.1) as server:
        yield server


def processes_of(pid: int, *, asking: bool) -> list[psutil.Process]:
    """The processes of a run: those that ask models, or the others (its xdist workers)."""
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if ("evals.generate" in " ".join(child.cmdline())) == asking]


def recorded_questions(played: PlayedRun, folder: Path) -> set[str]:
    """The questions whose replies stand whole in a run's record."""
    lines = (folder / "replies.jsonl").read_text().splitlines(keepends=True)
    cases = [json.loads(line)["case"] for line in lines if line.endswith("\n")]
    return {played.questions[int(case[1:])] for case in cases}


def test_a_run_whose_pytest_is_killed_goes_on_and_asks_only_for_the_rest(
    played: PlayedRun, fault_server: FaultServer
) -> None:
    running = played.start("--concurrency", "1")
    wait_until(lambda: played.recorded() and len(fault_server.chats) > 4, "some replies")
    played.kill(running)
    assert played.alive() == []
    (folder,) = played.recorded()
    kept = played.kept() | recorded_questions(played, folder)
    assert kept
    fault_server.asked.clear()

    done = played.resume(folder)

    assert done.status == 0, done.out
    assert judged(folder) == played.whole()
    assert sorted(fault_server.questions) == sorted(set(played.questions) - kept)


def test_a_killed_worker_costs_no_reply_and_no_case(played: PlayedRun, fault_server: FaultServer) -> None:
    models = ["tiny", "thinker:4b"]
    running = played.start("--concurrency", "1", "--share-server", "-n", "2", models=models)
    wait_until(lambda: len(fault_server.chats) > 6, "some replies")
    processes_of(running.pid, asking=False)[0].kill()
    done = played.finish(running)
    assert done.status == 0, done.out
    assert judged(done.folder) == played.whole(models=models)
    assert re.search(r"note: a worker died while asking (tiny|thinker:4b)", done.out)
    assert len(fault_server.chats) <= len(models) * len(played.questions) + ASKED_TWICE


def test_a_killed_asking_process_costs_no_reply(played: PlayedRun, fault_server: FaultServer) -> None:
    running = played.start("--concurrency", "1")
    wait_until(lambda: len(fault_server.chats) > 4, "some replies")
    (asking,) = processes_of(running.pid, asking=True)
    asking.kill()
    asking.wait()
    kept = played.kept()
    done = played.finish(running)
    assert done.status == 0, done.out
    assert judged(done.folder) == played.whole()
    assert "the process that asks the model was killed by signal 9" in " ".join(done.out.split())
    assert [question for question in kept if fault_server.questions.count(question) != 1] == []
    assert len(fault_server.chats) <= len(played.questions) + ASKED_TWICE


def test_two_runs_at_once_on_one_store_lose_nothing_although_one_is_killed(
    played: PlayedRun, fault_server: FaultServer
) -> None:
    first, second, third = (played.start("--concurrency", "2") for _ in range(3))
    wait_until(lambda: len(played.kept()) >= 3, "three replies in the store")
    played.kill(first)
    for done in (played.finish(second), played.finish(third)):
        assert done.status == 0, done.out
    finished = [path.parent for path in played.reports.glob("*/run.json")]
    assert len(finished) == 2
    assert [judged(folder) for folder in finished] == [played.whole()] * 2

    fault_server.asked.clear()
    again = played.run()
    assert again.status == 0, again.out
    assert judged(again.folder) == played.whole()
    assert fault_server.chats == []
    assert not list(played.cache.rglob("*.tmp"))


# Each reading is an hour, or a day, away from the one before.
JUMPING = """\
import itertools, pathlib, sys, time

_real = time.time
_jumps = itertools.cycle([0.0, 3600.0, -86400.0])
time.time = lambda: _real() + next(_jumps)
asks = "evals.generate" in sys.orig_argv
pathlib.Path(__file__).with_name("in the process that asks" if asks else "in pytest").touch()
"""


@pytest.fixture
def jumping(played: PlayedRun) -> dict[str, str]:
    """The environment of a run in whose processes the wall clock jumps at each reading."""
    folder = played.root / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(JUMPING)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def negative(value: Any, where: str = "") -> list[str]:
    """Where a negative number stands in JSON data."""
    if isinstance(value, dict):
        return [found for name, one in value.items() for found in negative(one, f"{where}.{name}")]
    if isinstance(value, list):
        return [found for number, one in enumerate(value) for found in negative(one, f"{where}[{number}]")]
    return [where] if isinstance(value, (int, float)) and value < 0 else []


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_a_clock_that_jumps_changes_no_outcome_and_makes_no_duration_negative(
    played: PlayedRun, fault_server: FaultServer, jumping: dict[str, str], workers: list[str]
) -> None:
    then, soon = (formatdate(1_900_000_000 + seconds, usegmt=True) for seconds in (0, 1))
    fault_server.play_for("question 3?", error(429, "later", retry_after=soon, date=then), ANSWER)
    done = played.run(*workers, **jumping)
    assert {path.name for path in (played.root / "clock").glob("in *")} == {
        "in pytest",
        "in the process that asks",
    }
    assert done.status == 0, done.out
    assert judged(done.folder) == played.whole()
    assert negative(done.info) == []
    assert [found for result in done.results for found in negative(result)] == []
    assert 0 < done.info["wall_s"] < 120
    asked = [one.at for one in fault_server.chats if b"question 3?" in one.raw]
    assert asked[1] - asked[0] > 0.9  # as its server said, by its server's clock


@pytest.mark.slow
def test_a_retry_after_that_lies_a_century_ahead_is_waited_for_twenty_seconds_at_most(
    played: PlayedRun, fault_server: FaultServer
) -> None:
    fault_server.play_for(
        "question 3?", error(429, "later", retry_after="Mon, 01 Jan 2120 00:00:00 GMT"), ANSWER
    )
    done = played.run()
    assert done.status == 0, done.out
    assert judged(done.folder) == played.whole()
    assert 19 < done.info["wall_s"] < 110
