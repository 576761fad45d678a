"""Whole runs that compare answers with the recorded ones, and that record them."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.evals_run import Done, Evals, write_task
from tests.fault_server import RESET, FaultServer, Play, answer

RIGHT = answer("It is right.")
OTHER = answer("Right, I say.")
WRONG = answer("no")
BROKEN = answer("\x1b[31m\r\nright\0")


class Snapshots:
    """Runs of a small task whose answers the test chooses, with snapshots of their own."""

    def __init__(self, evals: Evals, server: FaultServer) -> None:
        self.evals = evals
        self.folder = evals.root / "snapshots"
        self._server = server

    def run(self, *arguments: str, models: tuple[str, ...] = ("tiny",), **environment: str) -> Done:
        """A run that asks anew; it is not in CI, wherever the tests are."""
        options = ("--snapshots", str(self.folder), "--refresh")
        return self.evals.run(*options, *arguments, models=models, **{"CI": "", **environment})

    def answer(self, **plays: Play) -> None:
        """What `one?`, `two?` and `three?` are answered from now on."""
        for word, play in plays.items():
            self._server.play_only_for(f"{word}?", play)

    @property
    def files(self) -> dict[str, bytes]:
        """What is recorded, by file name."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


def lines_of(done: Done) -> dict[str, dict[str, Any]]:
    """`snapshots.jsonl` of a run, by case."""
    text = (done.folder / "snapshots.jsonl").read_text()
    return {one["case"]: one for one in map(json.loads, text.splitlines())}


def recorded(text: str, head: str = "stop_reason: stop") -> bytes:
    return f"{head}\n{text}".encode()


def name(case: str, model: str = "tiny") -> str:
    return f"{model}~small~{case}.txt"


@pytest.fixture
def snapshots(evals: Evals, fault_server: FaultServer) -> Snapshots:
    """Three cases that are answered right, and nothing recorded yet."""
    made = Snapshots(evals, fault_server)
    made.answer(one=RIGHT, two=RIGHT, three=RIGHT)
    return made


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "xdist"])
def test_an_update_records_every_answer_byte_for_byte(snapshots: Snapshots, workers: list[str]) -> None:
    snapshots.answer(two=BROKEN, three=answer("It is", thinking="Hm.", reason="length"))

    done = snapshots.run("--snapshot-update", *workers)

    assert done.status == 0, done.out
    assert "snapshots: 3 new" in done.out
    assert "3 snapshots recorded" in done.out
    assert snapshots.files == {
        name("q0"): recorded("It is right."),
        name("q1"): recorded("\x1b[31m\r\nright\0"),
        name("q2"): recorded("It is", "stop_reason: length, thinking"),
    }


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "xdist"])
def test_a_run_tells_same_drift_and_flips_apart_and_none_is_a_failure(
    snapshots: Snapshots, workers: list[str]
) -> None:
    snapshots.answer(two=WRONG)
    snapshots.run("--snapshot-update")
    before = snapshots.files
    snapshots.answer(one=OTHER, two=RIGHT, three=WRONG)

    done = snapshots.run(*workers)

    assert done.status == 0, done.out
    assert "snapshots: 1 drift, 2 flipped (1 worse, 1 better)" in done.out
    assert "1 drift, 2 flipped in" in done.out.splitlines()[-1]
    worse, better = (done.out.index(f"{way}: small/") for way in ("worse", "better"))
    assert worse < better < done.out.index("drift: small/q0")
    assert "    -It is right." in done.out and "    +no" in done.out
    assert {case: one["verdict"] for case, one in lines_of(done).items()} == {
        "q0": "drift",
        "q1": "flipped",
        "q2": "flipped",
    }
    assert done.summary["snapshots"] == {"drift": 1, "flipped": 2}
    assert "## Snapshots" in (done.folder / "report.md").read_text()
    assert snapshots.files == before


def test_a_model_created_anew_that_answers_the_same_is_the_same(
    snapshots: Snapshots, fault_server: FaultServer
) -> None:
    snapshots.run("--snapshot-update")
    fault_server.recreate("tiny:latest")

    done = snapshots.run("--snapshot-strict")

    assert done.status == 0, done.out
    assert "snapshots: 3 same" in done.out


def test_strictness_fails_what_flipped_with_its_diff_and_lets_drift_be(snapshots: Snapshots) -> None:
    snapshots.run("--snapshot-update")
    snapshots.answer(one=OTHER, two=WRONG)

    done = snapshots.run("--snapshot-strict")

    assert done.status == 1
    assert "1 failed" in done.out and "1 drift" in done.out
    failure = done.out[done.out.index("FAILURES") : done.out.index("pass rate")]
    assert "keywords: pass -> fail: lacks 'right'" in failure
    assert "-It is right." in failure and "+no" in failure
    assert "The gate does not hold." in done.out
    assert "1 of 3 answers flipped or are unrecorded" in done.out


def test_to_enforce_and_only_to_measure_is_a_contradiction(snapshots: Snapshots) -> None:
    done = snapshots.run("--snapshot-strict", "--no-gate")

    assert done.status == 4
    assert "leave one of them out" in done.out


def test_strictness_fails_what_nothing_is_recorded_of(snapshots: Snapshots) -> None:
    done = snapshots.run("--snapshot-strict")

    assert done.status == 1
    assert "3 failed" in done.out
    assert "nothing is recorded yet; --snapshot-update records this answer" in done.out


def test_without_a_snapshot_of_its_models_a_run_compares_nothing(snapshots: Snapshots) -> None:
    snapshots.run("--snapshot-update", models=("thinker:4b",))

    done = snapshots.run()

    assert "snapshots" not in done.out
    assert not (done.folder / "snapshots.jsonl").exists()
    assert done.info["selected"]["others"] == 0


def test_snapshots_that_are_named_are_compared_and_nothing_else(
    snapshots: Snapshots, fault_server: FaultServer
) -> None:
    file = Path(__file__).parents[1] / "evals" / "test_snapshots.py"
    options = [*snapshots.evals.options(["tiny"]), "--snapshots", str(snapshots.folder)]

    done = snapshots.evals.pytest(snapshots.evals.root, str(file), *options, CI="")

    assert done.status == 0, done.out
    assert "3 unrecorded in" in done.out.splitlines()[-1]
    assert "snapshots: 3 unrecorded" in done.out
    assert sorted(fault_server.questions) == ["one?", "three?", "two?"]
    assert sorted((one["case"], one["checks"]) for one in done.results) == [
        ("q0", []),
        ("q1", []),
        ("q2", []),
    ]
    assert len((done.folder / "replies.jsonl").read_text().splitlines()) == 3


def test_they_may_be_named_as_a_module_too(snapshots: Snapshots) -> None:
    options = [*snapshots.evals.options(["tiny"]), "--snapshots", str(snapshots.folder)]

    done = snapshots.evals.pytest(snapshots.evals.root, "--pyargs", "evals.test_snapshots", *options, CI="")

    assert "snapshots: 3 unrecorded" in done.out


@pytest.mark.parametrize("selection", [["-k", "q1"], ["--sample", "1"]], ids=["-k", "--sample"])
def test_an_update_of_a_part_leaves_all_else_alone(snapshots: Snapshots, selection: list[str]) -> None:
    snapshots.run("--snapshot-update", models=("tiny", "thinker:4b"))
    (snapshots.folder / name("gone")).write_bytes(recorded("a case that was"))
    (snapshots.folder / "README.md").write_text("mine")
    before = snapshots.files
    snapshots.answer(one=OTHER, two=OTHER, three=OTHER)

    done = snapshots.run("--snapshot-update", *selection)

    changed = {file for file, data in snapshots.files.items() if before[file] != data}
    assert snapshots.files.keys() == before.keys()
    assert len(changed) == 1 and changed < {name(f"q{number}") for number in range(3)}
    assert "1 snapshot recorded" in done.out
    assert "gone" not in done.out


def test_what_is_left_of_cases_that_are_gone_is_told_and_then_removed(snapshots: Snapshots) -> None:
    snapshots.run("--snapshot-update", models=("tiny", "thinker:4b"))
    write_task(snapshots.evals.golden, questions={"one?": "right", "two?": "right"})

    told = snapshots.run()
    removed = snapshots.run("--snapshot-update")

    assert "1 snapshot of cases that are gone left over, which --snapshot-update removes" in told.out
    assert "1 snapshot of cases that are gone removed" in removed.out
    assert name("q2") not in snapshots.files
    assert name("q2", "thinker%3a4b") in snapshots.files


def test_what_is_left_of_a_task_that_is_gone_is_removed_where_all_tasks_run(snapshots: Snapshots) -> None:
    write_task(snapshots.evals.golden, "other", {"four?": "right"})
    snapshots.run("--snapshot-update", models=("tiny", "thinker:4b"))
    shutil.rmtree(snapshots.evals.golden / "other")

    told = snapshots.run("--task", "small")
    removed = snapshots.run("--snapshot-update")

    assert "left over" not in told.out
    assert "1 snapshot of cases that are gone removed" in removed.out
    assert "tiny~other~q0.txt" not in snapshots.files
    assert "thinker%3a4b~other~q0.txt" in snapshots.files


def test_new_answers_can_be_recorded_while_the_old_ones_stay(snapshots: Snapshots) -> None:
    snapshots.run("--snapshot-update", "-k", "q0")
    snapshots.answer(one=WRONG, two=OTHER, three=OTHER)

    done = snapshots.run("--snapshot-update-new-only")

    assert "snapshots: 1 flipped (1 worse), 2 new" in done.out
    assert snapshots.files[name("q0")] == recorded("It is right.")
    assert snapshots.files[name("q1")] == recorded("Right, I say.")


def test_a_fault_fails_and_is_not_recorded(snapshots: Snapshots, fault_server: FaultServer) -> None:
    fault_server.play_for("four?", RESET)
    write_task(snapshots.evals.golden, questions={"four?": "right", "one?": "right"})

    done = snapshots.run("--snapshot-update", "--server-wait", "1")

    assert done.status == 1
    assert "no reply: " in done.out
    assert "1 of 2 answers could not be compared with their snapshots" in done.out
    assert snapshots.files.keys() == {name("q1")}


def test_a_file_that_is_no_snapshot_fails_its_case_until_it_is_recorded_anew(snapshots: Snapshots) -> None:
    snapshots.run("--snapshot-update")
    (snapshots.folder / name("q1")).write_bytes(b"\xff")

    broken = snapshots.run()
    mended = snapshots.run("--snapshot-update")

    assert broken.status == 1
    assert "snapshots: 2 same, 1 uncompared" in broken.out
    assert "is no snapshot: it is no text in UTF-8; --snapshot-update records it anew" in broken.out
    assert "Traceback" not in broken.out
    assert mended.status == 0, mended.out
    assert snapshots.files[name("q1")] == recorded("It is right.")


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_asked(
    snapshots: Snapshots, fault_server: FaultServer
) -> None:
    snapshots.folder.write_text("a file where the folder should be")

    done = snapshots.run("--snapshot-update")

    assert done.status == 4
    assert "no snapshot can be recorded in" in done.out
    assert "Traceback" not in done.out
    assert fault_server.chats == []


def test_a_snapshot_that_cannot_be_written_costs_its_own_test_and_nothing_else(snapshots: Snapshots) -> None:
    (snapshots.folder / name("q1")).mkdir(parents=True)

    done = snapshots.run("--snapshot-update")

    assert done.status == 1
    assert "1 failed" in done.out
    assert "q1.txt cannot be used: Is a directory" in done.out
    assert "Traceback" not in done.out
    assert (snapshots.folder / name("q0")).is_file() and (snapshots.folder / name("q2")).is_file()
    assert len(done.results) == 3


@pytest.mark.parametrize("said", ["true", "1", "woodpecker"])
def test_in_ci_an_update_is_refused_unless_it_is_allowed(
    snapshots: Snapshots, fault_server: FaultServer, said: str
) -> None:
    refused = snapshots.run("--snapshot-update", CI=said)
    asked = len(fault_server.chats)
    allowed = snapshots.run("--snapshot-update", "--snapshot-ci", CI=said)

    assert (refused.status, asked) == (4, 0)
    assert "--snapshot-update is refused because CI is set" in refused.out
    assert "Traceback" not in refused.out
    assert allowed.status == 0, allowed.out
    assert len(snapshots.files) == 3


@pytest.mark.parametrize("said", ["", "0", "false"])
def test_ci_that_is_switched_off_is_no_ci(snapshots: Snapshots, said: str) -> None:
    assert snapshots.run("--snapshot-update", CI=said).status == 0


def test_collecting_tells_of_them_and_writes_nothing(snapshots: Snapshots, fault_server: FaultServer) -> None:
    done = snapshots.run("--snapshot-update", "--collect-only", "-q")

    assert "test_snapshot[tiny-small/q0]" in done.out
    assert not snapshots.folder.exists()
    assert fault_server.asked == []


def test_a_killed_update_records_the_rest_when_it_goes_on(
    snapshots: Snapshots, fault_server: FaultServer
) -> None:
    evals = snapshots.evals
    fault_server.delay_s = 0.3
    # What is not in CI here may be there: the option makes both alike.
    options = ("--snapshot-update", "--snapshot-ci", "--snapshots", str(snapshots.folder))
    running = evals.start("--concurrency", "1", *options)
    limit = time.monotonic() + 60
    while not (replies := list(evals.reports.glob("*/replies.jsonl"))) or not replies[0].stat().st_size:
        assert time.monotonic() < limit and running.poll() is None
        time.sleep(0.02)
    evals.stop()

    refused = evals.pytest(evals.root, "--resume", str(replies[0].parent), "--snapshot-update", CI="")
    done = evals.pytest(evals.root, "--resume", str(replies[0].parent), CI="")

    assert refused.status == 4
    assert "leave --snapshot-update out" in refused.out
    assert done.status == 0, done.out
    assert snapshots.files == {name(f"q{number}"): recorded("It is right.") for number in range(3)}
    assert lines_of(done).keys() == {"q0", "q1", "q2"}


def test_answers_that_steer_a_terminal_are_shown_escaped(snapshots: Snapshots) -> None:
    snapshots.run("--snapshot-update")
    snapshots.answer(one=BROKEN, two=answer("\x1b]0;title\x07no"))

    done = snapshots.run("--snapshot-strict")

    assert "\x1b" not in done.out and "\0" not in done.out
    assert "+\\x1b]0;title\\x07no" in done.out
    assert lines_of(done)["q1"]["diff"][-1] == "+\x1b]0;title\x07no"


def test_colours_tell_worse_from_better_and_can_be_switched_off(snapshots: Snapshots) -> None:
    snapshots.answer(one=WRONG)
    snapshots.run("--snapshot-update")
    snapshots.answer(one=RIGHT, two=WRONG)

    coloured = snapshots.run("--color=yes", "-v")
    plain = snapshots.run("-v", NO_COLOR="1")

    assert "\x1b[32mFLIPPED (better)" in coloured.out and "\x1b[31mFLIPPED (worse)" in coloured.out
    assert "\x1b[" not in plain.out
    assert "FLIPPED (worse)" in plain.out


def test_snapshots_of_other_tests_in_the_same_run_are_syrupys_business(snapshots: Snapshots) -> None:
    theirs = snapshots.evals.root / "test_theirs.py"
    theirs.write_text("def test_theirs(snapshot):\n    assert 1 == snapshot\n")

    alone = snapshots.evals.pytest(snapshots.evals.root, str(theirs), "--snapshot-update", CI="1")
    both = snapshots.run("--snapshot-strict", "--snapshot-update", str(theirs))

    assert alone.status == 0, alone.out
    assert "1 snapshot generated" in alone.out
    assert (snapshots.evals.root / "__snapshots__" / "test_theirs.ambr").is_file()
    assert both.status == 0, both.out
    assert "1 snapshot passed" in both.out
    assert len(snapshots.files) == 3
