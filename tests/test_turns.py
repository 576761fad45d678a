"""Turns between processes: one at a time at a place, and none that outlives its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from evals.turns import THIS_MACHINE, one_name, turn, turn_file
from tests.conftest import MakeReplies, chat_request, tiny_model
from tests.fault_server import FaultServer

PLACE = "http://127.0.0.1:11434"
HOLDER = """\
import anyio, sys
from evals.turns import turn
async def hold():
    async with turn(sys.argv[1], print):
        print("held", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)
anyio.run(hold)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("GOLDENGATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@contextmanager
def held_elsewhere(place: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the turn at `place` until its standard input ends."""
    command = [sys.executable, "-c", HOLDER, place]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


async def _take(place: str, told: list[str]) -> None:
    async with turn(place, told.append):
        told.append("held")


def take(place: str, within_s: float = 30.0) -> list[str]:
    """What is told while the turn at `place` is taken and given back."""
    told: list[str] = []

    async def run() -> None:
        with anyio.move_on_after(within_s):
            await _take(place, told)

    anyio.run(run)
    return told


def test_a_free_turn_is_had_at_once_and_without_a_word() -> None:
    assert take(PLACE) == take(PLACE) == ["held"]


def test_a_turn_that_another_process_holds_is_waited_for_and_told_once() -> None:
    with held_elsewhere(PLACE):
        assert take(PLACE, within_s=1.0) == [
            f"waiting for another run or worker that asks a model on {PLACE}"
        ]


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_a_turn_comes_when_its_holder_ends_or_is_killed(how: str) -> None:
    told: list[str] = []

    async def run(holder: subprocess.Popen[str]) -> None:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(_take, PLACE, told)
                while not told:
                    await anyio.sleep(0.01)
                if how == "killed":
                    os.kill(holder.pid, signal.SIGKILL)
                elif holder.stdin:
                    holder.stdin.close()

    with held_elsewhere(PLACE) as holder:
        anyio.run(run, holder)
    waiting, waited, held = told
    assert waiting.startswith("waiting for another run")
    assert waited.startswith("waited ") and waited.endswith(f" s for the turn on {PLACE}")
    assert held == "held"


@pytest.mark.parametrize("other", ["http://127.0.0.1:11435", "http://example.org:11434", THIS_MACHINE])
def test_each_place_has_its_own_turn(other: str) -> None:
    with held_elsewhere(PLACE):
        assert take(other) == ["held"]


@pytest.mark.parametrize("name", ["http://localhost:11434", "http://[::1]:11434"])
def test_the_names_of_this_machine_are_one_place(name: str) -> None:
    assert one_name(name) == PLACE
    assert turn_file(name) == turn_file(PLACE)


@pytest.mark.parametrize(
    "place", [PLACE, "http://example.org:11434", "http://localhost.example.org:1", THIS_MACHINE]
)
def test_any_other_place_has_the_name_that_it_is_given(place: str) -> None:
    assert one_name(place) == place


def test_a_wait_that_is_cancelled_leaves_the_turn_to_others() -> None:
    with held_elsewhere(PLACE):
        take(PLACE, within_s=0.3)
    assert take(PLACE) == ["held"]


def test_a_turn_is_given_back_when_its_work_breaks() -> None:
    async def run() -> None:
        async with turn(PLACE, print):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        anyio.run(run)
    with held_elsewhere(PLACE):
        pass


def test_where_there_can_be_no_lock_the_work_goes_on_without_and_says_so(cache: Path) -> None:
    cache.mkdir()
    (cache / "turns").write_text("a file where the folder should be")
    note, held = take(PLACE)
    assert note == f"no turns are taken at {PLACE}, so other runs may ask there at the same time: File exists"
    assert held == "held"


def test_a_cache_folder_that_cannot_be_made_costs_the_turns_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GOLDENGATE_CACHE", str(tmp_path / "file" / "cache"))
    note, held = take(PLACE)
    assert "GOLDENGATE_CACHE" in note
    assert held == "held"


# Through the processes that ask


def test_two_processes_never_have_two_models_of_one_server_at_once(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.delay_s = 0.1
    models = [tiny_model(), tiny_model("thinker:4b")]
    asked = [chat_request(f"{n}") for n in range(4)]
    sides = [replies(concurrency=2) for _ in models]
    for side, model in zip(sides, models, strict=True):
        side.order(model, asked)
    got = [
        side.wait(one.key(model.digest)) for side, model in zip(sides, models, strict=True) for one in asked
    ]
    assert [reply.text for reply in got] == ["All right."] * 8
    names = [body["model"] for body in fault_server.bodies]
    assert sorted(names[:4]) in (["tiny"] * 4, ["thinker:4b"] * 4)
    assert sorted(names[4:]) in (["tiny"] * 4, ["thinker:4b"] * 4)
    waits = [note for side in sides for note in side.notes if note.startswith("waiting for")]
    assert waits == [f"waiting for another run or worker that asks a model on {fault_server.url}"]


def test_a_server_that_is_shared_is_asked_by_both_at_the_same_time(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.delay_s = 1.0
    models = [tiny_model(), tiny_model("thinker:4b")]
    sides = [replies(share_server=True) for _ in models]
    request = chat_request("hello")
    for side, model in zip(sides, models, strict=True):
        side.order(model, [request])
    for side, model in zip(sides, models, strict=True):
        assert side.wait(request.key(model.digest)).text == "All right."
    assert fault_server.peak == 2
    assert [side.notes for side in sides] == [[], []]


def test_the_turn_of_a_run_that_is_killed_goes_to_the_next(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.delay_s = 20.0
    first, second = replies(), replies()
    request = chat_request("hello")
    first.order(tiny_model(), [request])
    deadline = time.monotonic() + 30
    while not fault_server.chats:
        assert time.monotonic() < deadline, "nothing was asked"
        time.sleep(0.01)
    second.order(tiny_model("thinker:4b"), [request])
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    fault_server.delay_s = 0.0
    assert second.wait(request.key(tiny_model("thinker:4b").digest)).text == "All right."
