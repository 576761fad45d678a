"""What of the golden cases is asked: by pytest's own options, by split, by sample; a part gets no verdict."""

from __future__ import annotations

import json

import pytest

from tests.evals_run import Evals, write_task
from tests.fault_server import FaultServer


def test_selection_by_k_m_and_task(evals: Evals, fault_server: FaultServer) -> None:
    write_task(evals.golden, "other", {"other?": "right"})
    assert "1 passed" in evals.run("-k", "q1 and keywords").out
    assert fault_server.questions == ["two?"]
    assert "4 passed" in evals.run("-m", "content").out
    assert "2 passed" in evals.run("--task", "other").out


def test_last_failed_runs_the_failures_again(evals: Evals) -> None:
    write_task(evals.golden, questions={"a?": "right", "b?": "blue"}, content_floor=1.0)
    cache = ["-p", "cacheprovider", "-o", f"cache_dir={evals.root / 'pytest-cache'}"]
    assert evals.run(*cache).status == 1
    again = evals.run("--lf", *cache)
    assert "1 failed" in again.out
    assert "passed" not in again.out.splitlines()[-1]


def test_collecting_asks_no_server(evals: Evals, fault_server: FaultServer) -> None:
    done = evals.run("--collect-only", "-q")
    assert "test_golden[tiny-small/q0-regex]" in done.out
    assert fault_server.asked == []
    assert not evals.reports.exists()


def test_a_sample_is_the_same_for_everybody_and_said(evals: Evals, fault_server: FaultServer) -> None:
    write_task(evals.golden, questions={f"question {number}?": "right" for number in range(20)})
    done = evals.run("--sample", "4")
    assert "a sample of 4 of 20 cases" in done.out
    first = sorted(fault_server.questions)
    assert len(first) == 4
    fault_server.asked.clear()
    evals.run("--sample", "4", "--refresh")
    assert sorted(fault_server.questions) == first


def in_dev(evals: Evals, *names: str) -> None:
    """Put cases of the small task into the dev split."""
    path = evals.golden / "small" / "cases.yaml"
    cases = [json.loads(line.removeprefix("- ")) for line in path.read_text().splitlines()]
    split = {name: {"split": "dev"} for name in names}
    path.write_text("".join(f"- {json.dumps({**case, **split.get(case['id'], {})})}\n" for case in cases))


def test_a_split_is_asked_alone_and_said(evals: Evals, fault_server: FaultServer) -> None:
    in_dev(evals, "q1")

    dev = evals.run("--split", "dev")
    assert dev.status == 0, dev.out
    assert "1 cases of small in the split 'dev'" in dev.out
    assert [(line["case"], line["split"]) for line in dev.results] == [("q1", "dev")]
    assert "No verdict, only a part was selected (1 of 3 cases" in dev.out
    assert len(fault_server.chats) == 1

    both = evals.run()
    assert [(line["case"], line["split"]) for line in both.results] == [
        ("q0", "gate"),
        ("q1", "dev"),
        ("q2", "gate"),
    ]


def test_the_gate_split_alone_gets_a_verdict(evals: Evals) -> None:
    in_dev(evals, "q1")

    done = evals.run("--split", "gate")

    assert done.status == 0, done.out
    assert [line["case"] for line in done.results] == ["q0", "q2"]
    assert "The gate holds." in done.out


def test_a_gate_split_that_leaves_a_task_out_gets_no_verdict(evals: Evals) -> None:
    write_task(evals.golden, "other")
    in_dev(evals, "q0", "q1", "q2")

    done = evals.run("--split", "gate")

    assert done.status == 0, done.out
    assert "No verdict, only a part was selected (3 of 6 cases" in done.out


def test_a_sample_of_a_split_is_taken_from_that_split(evals: Evals) -> None:
    in_dev(evals, "q0", "q1")

    done = evals.run("--split", "dev", "--sample", "1")

    assert "a sample of 1 of 2 cases of small in the split 'dev'" in done.out
    assert done.results[0]["case"] in ("q0", "q1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--split", "dev"], "no case of the chosen tasks is in the split 'dev'"),
        (["--split", "test"], "--split is 'test'; it takes dev or gate"),
    ],
    ids=["an empty split", "an unknown split"],
)
def test_a_split_that_holds_nothing_is_a_mistake(evals: Evals, arguments: list[str], says: str) -> None:
    done = evals.run(*arguments)

    assert done.status == 4
    assert says in done.out
    assert not evals.reports.exists()


def test_many_tasks_are_counted_in_the_first_line(evals: Evals) -> None:
    for number in range(3):
        write_task(evals.golden, f"more{number}")

    assert "goldengate: 12 cases of 4 tasks" in evals.run().out


@pytest.mark.parametrize("arguments", [["-m", "format"], ["-k", "q0"], ["--sample", "2"]], ids=" ".join)
def test_a_part_of_the_suite_gets_no_verdict(evals: Evals, arguments: list[str]) -> None:
    done = evals.run(*arguments)
    assert done.status == 0, done.out
    assert "No verdict, only a part was selected" in done.out
    assert "The gate holds" not in done.out
    assert done.summary["gate"]["state"] == "partial"
    assert done.info["selected"]["checks"] < done.info["selected"]["of_checks"] == 6
