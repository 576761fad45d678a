"""Whole runs that are interrupted, killed, or spread over xdist workers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.evals_run import Evals, write_task
from tests.fault_server import ANSWER, HANG, SILENT, FaultServer

QUESTIONS = {f"question {number}?": "right" for number in range(8)}


@pytest.fixture
def evals(tmp_path: Path, fault_server: FaultServer) -> Iterator[Evals]:
    """Eight cases, and a server that takes 0.25 s for each; runs still going at the end are killed."""
    write_task(tmp_path / "golden", questions=QUESTIONS)
    fault_server.delay_s = 0.25
    evals = Evals(tmp_path, fault_server.url)
    yield evals
    evals.stop()


def wait_for_stored(evals: Evals, count: int) -> None:
    """Until so many replies are in the store."""
    limit = time.monotonic() + 30
    while len(list((evals.cache / "responses").glob("*/*.json"))) < count:
        assert time.monotonic() < limit, "no replies reached the store"
        time.sleep(0.02)


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
def test_what_was_answered_is_kept_and_the_next_run_asks_for_the_rest(
    evals: Evals, fault_server: FaultServer, how: signal.Signals
) -> None:
    running = evals.start("--concurrency", "1")
    wait_for_stored(evals, 3)
    asking = children_of(running)
    if how is signal.SIGINT:
        os.killpg(running.pid, how)
    else:
        running.kill()
    out, _ = running.communicate(timeout=30)
    assert running.returncode != 0
    assert "Traceback" not in out
    _, alive = psutil.wait_procs(asking, timeout=10)
    assert not alive, "the process that asks outlived the run"

    stored = len(list((evals.cache / "responses").glob("*/*.json")))
    fault_server.asked.clear()
    again = evals.run()
    assert again.status == 0, again.out
    assert len(fault_server.chats) == len(QUESTIONS) - stored
    assert not list(evals.cache.rglob("*.tmp"))


def test_an_interrupted_run_says_so_and_has_no_complete_record(evals: Evals) -> None:
    running = evals.start("--concurrency", "1")
    wait_for_stored(evals, 3)
    os.killpg(running.pid, signal.SIGINT)
    out, _ = running.communicate(timeout=30)
    assert "Interrupted: the figures are of what was judged so far." in out
    assert "unfinished run:" in out
    (folder,) = evals.reports.iterdir()
    assert not (folder / "run.json").exists()
    for line in (folder / "results.jsonl").read_text().splitlines():
        assert json.loads(line)["outcome"] == "answered"


def test_requests_go_out_ahead_of_the_tests(evals: Evals, fault_server: FaultServer) -> None:
    assert evals.run("--concurrency", "4").status == 0
    assert fault_server.peak == 4


def kill_the_asking(running: subprocess.Popen[str]) -> int:
    """Kill the process that asks; its id."""
    (asking,) = (child for child in children_of(running) if "evals.generate" in " ".join(child.cmdline()))
    asking.kill()
    return asking.pid


def test_the_process_that_asks_may_die_and_another_one_asks_for_the_rest(evals: Evals) -> None:
    running = evals.start("--concurrency", "1")
    wait_for_stored(evals, 2)
    kill_the_asking(running)
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 0, out
    assert "was killed by signal 9" in out
    assert "Traceback" not in out


def test_when_the_process_that_asks_dies_twice_under_one_model_the_run_ends_and_the_next_is_still_asked(
    evals: Evals, fault_server: FaultServer
) -> None:
    fault_server.play_for("question 5?", SILENT, SILENT, ANSWER)
    running = evals.start("--concurrency", "1", "--no-gate", models=["tiny", "thinker:4b"])
    for times in (1, 2):
        wait_for_question(fault_server, "question 5?", times)
        kill_the_asking(running)
    out, _ = running.communicate(timeout=90)
    assert running.returncode == 1, out
    assert "Traceback" not in out
    results = results_of(evals)
    outcomes = {
        name: [one["outcome"] for one in results if one["model"] == name] for name in ("tiny", "thinker:4b")
    }
    assert outcomes["tiny"] == ["answered"] * 5 + ["infrastructure"] * 3
    assert outcomes["thinker:4b"] == ["answered"] * len(QUESTIONS)


def test_under_xdist_each_model_has_one_worker_and_the_record_is_the_same(
    evals: Evals, fault_server: FaultServer
) -> None:
    fault_server.delay_s = 0.0
    models = ["tiny", "thinker:4b"]
    alone = evals.run("--no-store", models=models)
    side_by_side = evals.run("--no-store", "-n", "2", "-v", models=models)
    assert side_by_side.status == 0, side_by_side.out
    workers = re.findall(r"\[(gw\d)\].*test_golden\[(tiny|thinker:4b)-", side_by_side.out)
    assert len(workers) == 2 * 2 * len(QUESTIONS)
    by_model = {model: {worker for worker, one in workers if one == model} for model in models}
    assert all(len(found) == 1 for found in by_model.values())
    assert by_model["tiny"] != by_model["thinker:4b"]

    def judged(done_results: list[dict[str, object]]) -> list[tuple[object, ...]]:
        return sorted((one["model"], one["case"], one["outcome"], one["response"]) for one in done_results)  # type: ignore[type-var]

    assert judged(side_by_side.results) == judged(alone.results)


def test_under_xdist_models_are_resolved_once_and_workers_resolve_none(
    evals: Evals, fault_server: FaultServer
) -> None:
    fault_server.delay_s = 0.0
    assert evals.run("-n", "2", models=["tiny", "thinker:4b"]).status == 0
    assert [one.path for one in fault_server.asked].count("/api/show") == 2


def test_under_xdist_broken_cases_and_empty_selections_are_usage_errors(evals: Evals) -> None:
    assert evals.run("-n", "2", "-k", "nothing-like-this").status == 4
    (evals.golden / "small" / "cases.yaml").write_text("[]")
    broken = evals.run("-n", "2")
    assert broken.status == 4
    assert "holds no list of cases" in broken.out
    assert "Traceback" not in broken.out


def workers_of(running: subprocess.Popen[str]) -> list[psutil.Process]:
    """The xdist workers of a run, without the processes that ask."""
    direct = psutil.Process(running.pid).children()
    alive = [child for child in direct if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "evals.generate" not in " ".join(child.cmdline())]


def wait_for_question(server: FaultServer, text: str, times: int) -> None:
    """Until a question was asked so many times."""
    limit = time.monotonic() + 60
    while server.questions.count(text) < times:
        assert time.monotonic() < limit, f"{text!r} was not asked {times} times"
        time.sleep(0.02)


def wait_for_judged(evals: Evals, count: int) -> None:
    """Until so many cases are in the record."""
    limit = time.monotonic() + 60
    while len(results_of(evals)) < count:
        assert time.monotonic() < limit, f"{count} cases were not judged"
        time.sleep(0.02)


def results_of(evals: Evals) -> list[dict[str, Any]]:
    """What is in the record of the one run, which may still be going on."""
    (folder,) = evals.reports.iterdir()
    path = folder / "results.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_cases_of_a_killed_xdist_worker_are_asked_again_and_nothing_is_lost(
    evals: Evals, fault_server: FaultServer, workers: str
) -> None:
    models = ["tiny", "thinker:4b"]
    running = evals.start("--concurrency", "1", "-n", workers, "-v", models=models)
    wait_for_stored(evals, 4)
    stored = len(list((evals.cache / "responses").glob("*/*.json")))
    killed = workers_of(running)[0]
    killed.kill()
    out, _ = running.communicate(timeout=90)
    assert running.returncode == 0, out
    assert "scheduling tests via ModelScheduling" in out
    assert re.search(r"note: a worker died while asking (tiny|thinker:4b): the cases", out)
    results = results_of(evals)
    assert sorted((one["model"], one["case"]) for one in results) == sorted(
        (model, f"q{number}") for model in models for number in range(len(QUESTIONS))
    )
    assert all(one["outcome"] == "answered" and len(one["checks"]) == 2 for one in results)
    # Only what was under way when it died is asked twice.
    assert len(fault_server.chats) <= len(models) * len(QUESTIONS) + 1, stored


def test_a_test_under_which_a_second_worker_dies_fails_the_run_and_the_rest_is_judged(
    evals: Evals, fault_server: FaultServer
) -> None:
    fault_server.delay_s = 0.0
    fault_server.play_for("question 3?", HANG, HANG, ANSWER)
    running = evals.start("--concurrency", "1", "-n", "1")
    for times in (1, 2):
        wait_for_question(fault_server, "question 3?", times)
        wait_for_judged(evals, 3)
        workers_of(running)[0].kill()
    out, _ = running.communicate(timeout=90)
    assert running.returncode == 1, out
    assert re.search(r"worker 'gw\d' crashed while running '.*q3-", out)
    assert "broke off without a result" in out
    assert "The gate holds" not in out
    missing = [
        one["case"] for one in results_of(evals) if any(c["outcome"] == "unscored" for c in one["checks"])
    ]
    assert missing == ["q3"]


def test_where_a_killed_xdist_worker_is_not_replaced_the_run_ends_and_tells_what_is_missing(
    evals: Evals,
) -> None:
    running = evals.start("--concurrency", "1", "-n", "1", "--max-worker-restart", "0")
    wait_for_stored(evals, 3)
    workers_of(running)[0].kill()
    out, _ = running.communicate(timeout=90)
    assert running.returncode == 1, out
    assert "worker restarting disabled" in out
    assert "The gate holds" not in out
    outcomes = [one["outcome"] for one in results_of(evals)]
    assert len(outcomes) == len(QUESTIONS)
    assert "infrastructure" in outcomes


def test_two_runs_at_once_share_a_store_and_keep_records_apart(evals: Evals) -> None:
    runs = [evals.start(), evals.start()]
    outs = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outs
    folders = list(evals.reports.iterdir())
    assert len(folders) == 2
    assert all(
        len((folder / "results.jsonl").read_text().splitlines()) == len(QUESTIONS) for folder in folders
    )


def test_under_xdist_the_store_is_used_and_counted_too(evals: Evals, fault_server: FaultServer) -> None:
    fault_server.delay_s = 0.0
    evals.run(models=["tiny", "thinker:4b"])
    fault_server.asked.clear()
    again = evals.run("-n", "2", models=["tiny", "thinker:4b"])
    assert fault_server.chats == []
    assert f"{2 * len(QUESTIONS)} replies came from the store" in again.out


def test_a_store_that_cannot_be_written_is_told_and_loses_no_result(evals: Evals) -> None:
    evals.cache.mkdir()
    (evals.cache / "responses").write_text("a file where the folder should be")
    for arguments in ([], ["-n", "1"]):
        done = evals.run(*arguments)
        assert done.status == 0, done.out
        assert "note: replies cannot be kept in" in done.out
        assert len(done.results) == len(QUESTIONS)


def test_a_run_interrupted_before_its_first_case_says_so_and_leaves_nothing(
    evals: Evals, fault_server: FaultServer
) -> None:
    fault_server.delay_s = 20.0
    running = evals.start()
    limit = time.monotonic() + 30
    while not fault_server.chats:
        assert time.monotonic() < limit, "nothing was asked"
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 2
    assert "interrupted before a case was judged" in out
    assert not evals.reports.exists()
