"""Whole runs of `pytest evals` against a local server: outcomes, exit status, records, store, selection."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from evals.backends.base import EMBEDDED_SPEC
from evals.options import PACKAGE
from tests.evals_run import Evals, write_task
from tests.fault_server import ANSI, NUL, THINKING_ONLY, FaultServer, answer, closed_port, error


def test_a_run_whose_floors_hold_ends_with_0_and_a_complete_record(evals: Evals) -> None:
    done = evals.run()
    assert done.status == 0, done.out
    assert "The gate holds." in done.out
    assert "6 passed" in done.out
    assert done.info["models"][0]["digest"] == done.info["models"][0]["digest"].lower()
    assert done.info["tasks"]["small"]["cases"] == 3
    assert [line["case"] for line in done.results] == ["q0", "q1", "q2"]
    assert {check["name"] for line in done.results for check in line["checks"]} == {"regex", "keywords"}
    assert (done.folder / "report.md").read_text().startswith("# Golden Gate run")


def test_a_second_identical_run_asks_the_model_nothing(evals: Evals, fault_server: FaultServer) -> None:
    evals.run()
    assert len(fault_server.chats) == 3
    again = evals.run()
    assert again.status == 0
    assert len(fault_server.chats) == 3
    assert "3 replies came from the store" in again.out
    assert again.info["stored"] == 3


def test_refresh_asks_again_and_no_store_keeps_nothing(evals: Evals, fault_server: FaultServer) -> None:
    evals.run("--no-store")
    assert not (evals.cache / "responses").exists()
    evals.run()
    assert len(fault_server.chats) == 6
    evals.run("--refresh")
    assert len(fault_server.chats) == 9


def test_a_model_created_anew_under_the_same_name_is_asked_again(
    evals: Evals, fault_server: FaultServer
) -> None:
    evals.run()
    fault_server.recreate("tiny:latest")
    evals.run()
    assert len(fault_server.chats) == 6


def test_misses_above_the_floor_are_data_and_below_it_fail_the_run(evals: Evals) -> None:
    write_task(evals.golden, questions={"a?": "right", "b?": "right", "c?": "blue"}, content_floor=0.6)
    above = evals.run()
    assert above.status == 0, above.out
    assert "1 miss" in above.out
    write_task(evals.golden, questions={"a?": "right", "b?": "blue", "c?": "blue"}, content_floor=0.6)
    below = evals.run()
    assert below.status == 1
    assert "content 33.3% (1 of 3) is below the floor of 60%" in below.out
    assert "failed" not in below.out.splitlines()[-1]


def test_any_miss_where_the_floor_is_1_is_a_failed_test(evals: Evals) -> None:
    write_task(evals.golden, questions={"a?": "right", "b?": "blue"}, content_floor=1.0)
    done = evals.run()
    assert done.status == 1
    assert "1 failed" in done.out
    assert "lacks 'blue'" in done.out
    assert "All right." in done.out  # the failure shows the reply


def test_no_gate_measures_only(evals: Evals) -> None:
    write_task(evals.golden, questions={"a?": "right", "b?": "blue"}, content_floor=1.0)
    done = evals.run("--no-gate")
    assert done.status == 0
    assert "1 miss" in done.out
    assert "100% below" in done.out  # the floor is shown
    assert "Measured only" in done.out


def test_an_unanswered_request_fails_even_a_measurement_and_counts_in_n(
    evals: Evals, fault_server: FaultServer
) -> None:
    fault_server.play_for("two?", error(400, "no"))
    done = evals.run("--no-gate")
    assert done.status == 1
    assert "1 of 3 requests brought no reply" in done.out
    assert "the server refused the request (400): no" in done.out
    score = next(one for one in done.summary["scores"] if one["capability"] == "content")
    assert (score["passes"], score["n"]) == (2, 3)
    outcomes = {line["case"]: line["outcome"] for line in done.results}
    assert outcomes == {"q0": "answered", "q1": "infrastructure", "q2": "answered"}
    assert {check["outcome"] for check in done.results[1]["checks"]} == {"unscored"}


def test_a_fault_is_not_kept_so_the_next_run_asks_only_for_it(
    evals: Evals, fault_server: FaultServer
) -> None:
    fault_server.play_for("two?", error(400, "no"), answer("All right."))
    assert evals.run().status == 1
    again = evals.run()
    assert again.status == 0
    assert fault_server.questions.count("two?") == 2
    assert len(fault_server.chats) == 4


def test_replies_without_an_answer_pass_nothing(evals: Evals, fault_server: FaultServer) -> None:
    fault_server.play_for("one?", answer(""))
    fault_server.play_for("two?", THINKING_ONLY)
    fault_server.play_for("three?", answer("All right but cu", reason="length"))
    done = evals.run("--no-gate")
    assert [line["outcome"] for line in done.results] == ["empty", "thinking_only", "truncated"]
    assert all(check["outcome"] == "fail" for line in done.results for check in line["checks"])


def test_an_unknown_model_is_named_with_its_neighbours_and_the_others_go_on(evals: Evals) -> None:
    done = evals.run(models=["tny", "tiny"])
    assert done.status == 1
    assert "tny is not in Ollama" in done.out
    assert "ollama pull tny" in done.out
    assert "tiny:latest" in done.out
    assert len(done.results) == 3
    assert "Traceback" not in done.out


def test_with_no_model_at_all_nothing_is_written_and_the_status_is_4(evals: Evals) -> None:
    done = evals.run(models=["nope"])
    assert done.status == 4
    assert "ollama pull nope" in done.out
    assert not evals.reports.exists()


def test_a_server_that_does_not_run_is_a_sentence(evals: Evals) -> None:
    evals.host = f"127.0.0.1:{closed_port()}"
    done = evals.run()
    assert done.status == 4
    assert f"no Ollama server at http://{evals.host}" in done.out
    assert "ollama serve" in done.out
    assert "Traceback" not in done.out


def test_broken_cases_are_told_all_at_once_before_any_model_is_asked(
    evals: Evals, fault_server: FaultServer
) -> None:
    cases = evals.golden / "small" / "cases.yaml"
    cases.write_text("- {id: a, input: x, reference: y, colour: red}\n- {id: A B, input: x, reference: y}\n")
    done = evals.run()
    assert done.status == 4
    assert "cases.yaml:1: [0].colour: unknown key" in done.out
    assert "cases.yaml:2: [1].id" in done.out
    assert "Traceback" not in done.out
    assert fault_server.chats == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-k", "nothing-like-this"], "no golden case was selected"),
        (["--task", "nope"], "there is no task 'nope'"),
        (["--concurrency", "0"], "--concurrency is '0'"),
        (["--concurrency", "1.5"], "whole number"),
        (["--reply-timeout", "soon"], "--reply-timeout is 'soon'"),
        (["--ollama-host", "ftp://x"], "is no address"),
        (["--ollama-host", "http://user:secret@x"], "--ollama-host holds a name or a password"),
        (["--ollama-host", "user:secret@x", "--model", "replay:/nowhere"], "holds a name or a password"),
        (["--model", "gguf:"], "names nothing after 'gguf:'"),
        (["--model", "gguf:/no/such/file.gguf", "--model", "replay:/nowhere"], ""),
        (["--golden", "/no/such/folder"], "there is no golden folder"),
        (["--baseline", "../rec/nosuch"], "there is no run in ../rec/nosuch"),
        (["--baseline", "/no/such#tiny"], "there is no run in /no/such;"),
        (["--baseline", "golden"], "there is no run in golden"),
        (["--baseline", "base", "--policy", "gone.yaml"], "--policy gone.yaml: there is no file "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_end_with_4_or_1_and_a_sentence(evals: Evals, arguments: list[str], said: str) -> None:
    done = evals.run(*arguments)
    assert done.status == (4 if said else 1), done.out
    assert said in done.out
    assert "Traceback" not in done.out


@pytest.mark.parametrize("model", ["tiny", EMBEDDED_SPEC])
def test_a_password_in_an_address_is_neither_kept_nor_told(evals: Evals, model: str) -> None:
    done = evals.run("--ollama-host", "http://user:secret@127.0.0.1:9", models=[model])
    assert done.status == 4
    assert "secret" not in done.out
    assert not list(evals.reports.rglob("*.json*"))


def test_an_empty_golden_folder_is_an_error(evals: Evals, tmp_path: Path) -> None:
    evals.golden = tmp_path / "nothing"
    evals.golden.mkdir()
    done = evals.run()
    assert done.status == 4
    assert "holds no task" in done.out


def test_x_stops_at_a_failure_and_leaves_an_unfinished_record(evals: Evals) -> None:
    write_task(evals.golden, questions={"a?": "blue", "b?": "right"}, content_floor=1.0)
    done = evals.run("-x")
    assert done.status == 1
    assert not (done.folder / "run.json").exists()
    assert [check["outcome"] for line in done.results for check in line["checks"]] == ["pass", "fail"]


def test_junit_tells_model_case_check_and_reason(evals: Evals, tmp_path: Path) -> None:
    write_task(evals.golden, questions={"a?": "right", "b?": "blue"})
    path = tmp_path / "junit.xml"
    evals.run(f"--junitxml={path}")
    tests = ET.parse(path).getroot().findall(".//testcase")
    by_check = [
        {one.get("name"): one.get("value") for one in test.findall("./properties/property")} for test in tests
    ]
    missed = next(one for one in by_check if one["outcome"] == "fail")
    assert missed["model"] == "tiny"
    assert (missed["task"], missed["case"], missed["check"]) == ("small", "q1", "keywords")
    assert missed["reason"] == "lacks 'blue'"
    assert len(tests) == 4


def test_hostile_replies_are_kept_whole_and_shown_escaped(evals: Evals, fault_server: FaultServer) -> None:
    write_task(evals.golden, questions={"one?": "blue", "two?": "blue", "three?": "blue"}, content_floor=1.0)
    huge = "x" * (10 * 1024 * 1024)
    fault_server.play_for("one?", ANSI)
    fault_server.play_for("two?", NUL)
    fault_server.play_for("three?", answer(huge))
    done = evals.run()
    assert done.status == 1
    assert "\x1b[31m" not in done.out
    assert "\\x1b[31mred" in done.out
    assert "\0" not in done.out
    replies = [
        json.loads(line)["reply"]["text"] for line in (done.folder / "replies.jsonl").read_text().splitlines()
    ]
    assert len(replies[2]) == len(huge)
    assert replies[1] == "a\0b"
    assert len(done.out) < 20_000


def test_a_pattern_that_backtracks_for_ever_is_an_error_and_the_run_goes_on(
    evals: Evals, fault_server: FaultServer
) -> None:
    task = evals.golden / "small" / "task.yaml"
    slow = '{kind: regex, name: slow, capability: content, timeout_s: 0.2, none_of: {p: "(a+)+$"}}'
    task.write_text(task.read_text().replace("gate:", f"  - {slow}\ngate:"))
    fault_server.play_for("two?", answer("a" * 5000 + "! right"))
    done = evals.run()
    assert done.status == 1
    assert "1 check broke instead of judging" in done.out
    slow_results = [
        check["outcome"] for line in done.results for check in line["checks"] if check["name"] == "slow"
    ]
    assert slow_results == ["pass", "error", "pass"]


def test_settings_come_from_the_environment_and_from_pyproject(
    evals: Evals, fault_server: FaultServer
) -> None:
    (evals.root / "pyproject.toml").write_text('[tool.pytest.ini_options]\ngoldengate_task = ["other"]\n')
    write_task(evals.golden, "other", {"other?": "right"})
    assert "2 passed" in evals.run(f"--rootdir={evals.root}", "-c", str(evals.root / "pyproject.toml")).out
    assert fault_server.questions == ["other?"]
    done = evals.run("-c", str(evals.root / "pyproject.toml"), GOLDENGATE_TASK="small")
    assert "6 passed" in done.out


def test_a_recorded_run_replays_without_a_server(evals: Evals) -> None:
    recorded = evals.run()
    evals.host = f"127.0.0.1:{closed_port()}"
    again = evals.run("--no-store", models=[f"replay:{recorded.folder}"])
    assert again.status == 0, again.out
    same = [(line["case"], line["outcome"]) for line in recorded.results]
    assert [(line["case"], line["outcome"]) for line in again.results] == same


def test_a_replay_can_itself_be_replayed_and_judged_again(evals: Evals) -> None:
    recorded = evals.run().folder
    replay = evals.run(models=[f"replay:{recorded}"]).folder
    (recorded / "replies.jsonl").unlink()
    again = evals.run(models=[f"replay:{replay}"])
    assert (again.status, [line["outcome"] for line in again.results]) == (0, ["answered"] * 3), again.out
    rescored = subprocess.run(
        [
            sys.executable,
            "-m",
            "evals",
            "rescore",
            again.folder,
            "--golden",
            evals.golden,
            "--reports",
            evals.reports,
        ],
        env=evals.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rescored.returncode == 0, rescored.stdout + rescored.stderr


def test_a_replay_does_not_answer_what_was_asked_otherwise(evals: Evals) -> None:
    recorded = evals.run()
    write_task(evals.golden, questions={"one?": "right", "two, changed?": "right"})
    again = evals.run("--no-store", models=[f"replay:{recorded.folder}"])
    assert again.status == 1
    assert "the recorded run has no answer to small/q1" in again.out


def test_two_cases_that_ask_the_same_share_one_request_and_both_are_judged(
    evals: Evals, fault_server: FaultServer
) -> None:
    cases = evals.golden / "small" / "cases.yaml"
    entry = {"input": "the same?", "reference": "it is right", "expect": {"keywords": ["right"]}}
    cases.write_text(
        "".join(f"- {json.dumps({'id': name, **entry})}\n" for name in ("first", "second", "third"))
    )
    for arguments in (["--no-store"], [], []):
        done = evals.run(*arguments)
        assert done.status == 0, done.out
        assert [line["case"] for line in done.results] == ["first", "second", "third"]
    assert len(fault_server.chats) == 2


def test_two_names_of_one_model_are_both_judged(evals: Evals) -> None:
    done = evals.run(models=["tiny", "tiny:latest"])
    assert done.status == 0, done.out
    assert len(done.results) == 6
    assert "12 passed" in done.out


def test_a_task_without_floors_is_not_said_to_hold_them(evals: Evals) -> None:
    task = evals.golden / "small" / "task.yaml"
    task.write_text(task.read_text().partition("gate:")[0])
    done = evals.run()
    assert "No task sets a floor: nothing was gated." in done.out
    assert done.summary["gate"]["state"] == "ungated"


def test_a_replay_answers_from_its_record_alone_and_leaves_the_store_as_it_is(
    evals: Evals, fault_server: FaultServer
) -> None:
    recorded = evals.run()
    lines = (recorded.folder / "replies.jsonl").read_text()
    (recorded.folder / "replies.jsonl").write_text(lines.replace("All right.", "All wrong."))
    replayed = evals.run("--no-gate", models=[f"replay:{recorded.folder}"])
    assert "All wrong." in (replayed.folder / "replies.jsonl").read_text()
    real = evals.run()
    assert len(fault_server.chats) == 3
    assert "All wrong." not in (real.folder / "replies.jsonl").read_text()
    assert "6 passed" in real.out


def test_junit_holds_the_verdict_on_the_whole(evals: Evals, tmp_path: Path) -> None:
    write_task(evals.golden, questions={"a?": "blue", "b?": "blue"}, content_floor=0.5)
    path = tmp_path / "junit.xml"
    assert evals.run(f"--junitxml={path}").status == 1
    suite = ET.parse(path).getroot().findall(".//testsuite/properties/property")
    told = {one.get("name"): one.get("value") for one in suite}
    assert told["goldengate_gate"] == "fails"
    assert "below the floor" in str(told["goldengate_problem"])


def test_a_speed_is_told_of_fresh_replies_only(evals: Evals) -> None:
    assert "tok/s" in evals.run().out.split("speed:")[1].splitlines()[0]
    assert "tok/s" not in evals.run().out.split("speed:")[1].splitlines()[0]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another project, with a test, a marker, a folder and a module that happen to have our names."""
    folder = tmp_path / "elsewhere"
    (folder / "evals").mkdir(parents=True)
    (folder / "queue.py").write_text("raise SystemExit('a module of this folder was run')\n")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = golden: files compared\n")
    (folder / "test_own.py").write_text("import pytest\n\n@pytest.mark.golden\ndef test_own():\n    pass\n")
    return folder


def test_another_projects_tests_run_as_ever(evals: Evals, elsewhere: Path, fault_server: FaultServer) -> None:
    done = evals.pytest(elsewhere)
    assert done.status == 0, done.out
    assert "1 passed" in done.out
    assert "goldengate:" not in done.out
    assert not (elsewhere / "reports").exists()
    assert fault_server.asked == []


def test_an_environment_inside_another_project_is_not_its_tests(evals: Evals, elsewhere: Path) -> None:
    installed = elsewhere / "env" / "site-packages"
    shutil.copytree(PACKAGE, installed / "evals", ignore=shutil.ignore_patterns("__pycache__"))
    (elsewhere / "env" / "pyvenv.cfg").touch()
    done = evals.pytest(elsewhere, ".", PYTHONPATH=str(installed))
    assert done.status == 0, done.out
    assert "1 passed" in done.out
    assert "goldengate:" not in done.out
    assert "golden folder" not in done.out
    assert not (elsewhere / "reports").exists()


def test_a_model_without_a_path_means_the_golden_cases_from_any_folder(evals: Evals, elsewhere: Path) -> None:
    (elsewhere / "test_own.py").unlink()
    done = evals.pytest(elsewhere, *evals.options(["tiny"]))
    assert done.status == 0, done.out
    assert "The gate holds." in done.out


def test_a_folder_of_the_packages_name_is_not_taken_for_it(evals: Evals, elsewhere: Path) -> None:
    done = evals.pytest(elsewhere, "--pyargs", "evals", *evals.options(["tiny"]))
    assert done.status == 0, done.out
    assert "The gate holds." in done.out


def test_an_option_of_ours_beside_other_tests_is_a_mistake(evals: Evals, elsewhere: Path) -> None:
    done = evals.pytest(elsewhere, "test_own.py", "--model", "tiny")
    assert done.status == 4
    assert "--model is for golden cases" in done.out


def test_a_model_that_names_nothing_is_no_wish_for_the_default(evals: Evals) -> None:
    done = evals.run("--model", "", models=[])

    assert done.status == 4
    assert "--model names nothing: is a variable of the shell not set?" in done.out


def test_a_replay_tells_of_no_loads(evals: Evals) -> None:
    recorded = evals.run().folder  # the server tells of 2 s of loading with every reply

    done = evals.run(models=[f"replay:{recorded}"])

    assert done.status == 0
    assert "was loaded" not in done.out
