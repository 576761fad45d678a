"""Runs that were killed and go on."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.evals_run import Done, Evals, write_task
from tests.fault_server import FaultServer, error

QUESTIONS = {f"question {number}?": "right" for number in range(8)}


@pytest.fixture
def evals(tmp_path: Path, fault_server: FaultServer) -> Iterator[Evals]:
    """Eight cases, and a server that takes 0.25 s for each."""
    write_task(tmp_path / "golden", questions=QUESTIONS)
    fault_server.delay_s = 0.25
    evals = Evals(tmp_path, fault_server.url)
    yield evals
    evals.stop()


def killed(evals: Evals, *arguments: str, after: int = 3) -> Path:
    """The folder of a run that was killed when so many replies stood in its record."""
    running = evals.start("--concurrency", "1", *arguments)
    limit = time.monotonic() + 60
    while True:
        assert time.monotonic() < limit and running.poll() is None
        found = list(evals.reports.glob("*/replies.jsonl"))
        if found and found[0].read_bytes().count(b"\n") >= after:
            break
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    evals.stop()
    return found[0].parent


def going_on(evals: Evals, folder: Path, *arguments: str) -> Done:
    return evals.pytest(evals.root, "--resume", str(folder), *arguments)


def replies_of(folder: Path) -> dict[str, Any]:
    lines = (folder / "replies.jsonl").read_text().splitlines()
    return {json.loads(line)["case"]: json.loads(line)["reply"] for line in lines}


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "xdist"])
@pytest.mark.parametrize("store", [[], ["--no-store"]], ids=["store", "no store"])
def test_a_killed_run_goes_on_and_asks_only_for_the_rest(
    evals: Evals, fault_server: FaultServer, store: list[str], workers: list[str]
) -> None:
    folder = killed(evals, *store, *workers)
    before = replies_of(folder)
    fault_server.asked.clear()

    done = going_on(evals, folder, *workers)

    assert done.status == 0, done.out
    assert done.folder == folder
    assert sorted(replies_of(folder)) == sorted(f"q{number}" for number in range(8))
    assert {case: replies_of(folder)[case] for case in before} == before
    assert len(fault_server.chats) <= 8 - len(before)
    assert [(one["case"], one["outcome"]) for one in sorted(done.results, key=lambda one: one["case"])] == [
        (f"q{number}", "answered") for number in range(8)
    ]
    assert done.info["resumed"] == len(before)
    assert "it was interrupted and went on" in (folder / "report.md").read_text()


def test_a_torn_last_line_is_cut_off_and_its_case_asked_again(evals: Evals) -> None:
    folder = killed(evals, "--no-store")
    path = folder / "replies.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    left = path.read_bytes().count(b"\n")

    done = going_on(evals, folder)

    assert done.status == 0, done.out
    assert (len(replies_of(folder)), done.info["resumed"]) == (8, left)


def test_a_fault_is_asked_again(evals: Evals, fault_server: FaultServer) -> None:
    fault_server.play_for("question 0?", error(400, "no"), error(400, "no"))
    folder = killed(evals, "--no-gate")

    done = going_on(evals, folder)

    assert "q0" in {one["case"] for one in done.results if one["outcome"] == "infrastructure"}
    assert len([text for text in fault_server.questions if text == "question 0?"]) == 2


def test_the_selection_is_that_of_the_beginning(evals: Evals) -> None:
    folder = killed(evals, "-k", "q0 or q1 or q2 or q3 or q4", after=2)

    done = going_on(evals, folder)

    assert sorted(one["case"] for one in done.results) == ["q0", "q1", "q2", "q3", "q4"]
    assert "No verdict, only a part was selected (5 of 8 cases" in done.out


def test_a_changed_task_is_refused_with_the_reason_and_loses_nothing(evals: Evals) -> None:
    folder = killed(evals)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".json", ".jsonl")}
    write_task(evals.golden, questions={**QUESTIONS, "one more?": "right"})

    done = going_on(evals, folder)

    assert done.status == 4
    assert "cannot go on: the task small was changed" in done.out
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_model_created_anew_is_refused_with_the_reason(evals: Evals, fault_server: FaultServer) -> None:
    folder = killed(evals)
    fault_server.recreate("tiny:latest")

    done = going_on(evals, folder)

    assert done.status == 4
    assert "the model tiny is another one" in done.out
    assert replies_of(folder)


def test_a_server_that_is_away_loses_nothing(evals: Evals) -> None:
    folder = killed(evals)

    done = going_on(evals, folder, "--ollama-host", "127.0.0.1:9")

    assert done.status == 4
    assert "no Ollama server at http://127.0.0.1:9" in done.out
    assert len(replies_of(folder)) >= 3


@pytest.mark.parametrize(
    "option", ["--model=other", "--task=small", "--no-store", "--repeats=2", "--no-gate"]
)
def test_what_was_asked_cannot_be_changed(evals: Evals, option: str) -> None:
    folder = killed(evals, after=1)

    done = going_on(evals, folder, option)

    assert done.status == 4
    assert f"leave {option.split('=')[0]} out" in done.out


def test_a_complete_run_and_no_run_are_told(evals: Evals, fault_server: FaultServer) -> None:
    fault_server.delay_s = 0
    complete = evals.run().folder

    assert "is complete: there is nothing to go on with" in going_on(evals, complete).out
    missing = going_on(evals, evals.root / "nothing")
    assert missing.status == 4
    assert "there is no unfinished run" in missing.out


def test_an_interrupted_run_says_how_to_go_on_and_the_name_is_enough(evals: Evals) -> None:
    running = evals.start("--concurrency", "1")
    limit = time.monotonic() + 60
    while not list(evals.reports.glob("*/replies.jsonl")):
        assert time.monotonic() < limit
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=30)
    (folder,) = evals.reports.iterdir()

    assert f"To go on: pytest evals --resume {folder}" in out
    done = evals.pytest(evals.root, "--resume", folder.name, "--reports", str(evals.reports))
    assert done.status == 0, done.out


def test_a_damaged_beginning_is_told(evals: Evals) -> None:
    folder = killed(evals, after=1)
    copied = evals.root / "copied"
    shutil.copytree(folder, copied)
    (copied / "started.json").write_text("{")

    done = going_on(evals, copied)

    assert done.status == 4
    assert "started.json is damaged" in done.out


@pytest.mark.parametrize(
    "selection", [["-k", "q0"], ["-m", "format"], ["--deselect", "x"]], ids=lambda given: given[0]
)
def test_a_part_of_it_cannot_be_selected_which_would_seal_the_rest(
    evals: Evals, selection: list[str]
) -> None:
    folder = killed(evals, after=1)

    done = going_on(evals, folder, *selection)

    assert done.status == 4
    assert f"leave {selection[0]} out" in done.out
    assert not (folder / "run.json").exists()


def test_a_run_that_is_still_going_on_is_left_alone(evals: Evals, fault_server: FaultServer) -> None:
    running = evals.start("--concurrency", "1")
    limit = time.monotonic() + 60
    while not list(evals.reports.glob("*/replies.jsonl")):
        assert time.monotonic() < limit
        time.sleep(0.02)
    (folder,) = evals.reports.iterdir()

    done = going_on(evals, folder)
    out, _ = running.communicate(timeout=60)

    assert done.status == 4
    assert "is still going on, in another process" in done.out
    assert running.returncode == 0, out
    assert len(replies_of(folder)) == 8
    assert not (folder / "run.lock").exists()
