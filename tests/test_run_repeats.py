"""Whole runs that ask each case more than once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evals_run import Evals
from tests.fault_server import FaultServer, answer, error

RIGHT, AGAIN, WRONG = answer("It is right."), answer("it  is RIGHT."), answer("no")


@pytest.fixture
def shaky(evals: Evals, fault_server: FaultServer) -> Evals:
    """Three cases, the first of which gets three answers of two verdicts, the others always the same."""
    fault_server.play_for("one?", RIGHT, AGAIN, WRONG)
    fault_server.play_for("two?", RIGHT)
    fault_server.play_for("three?", RIGHT)
    return evals


def agreements(summary: dict[str, object]) -> dict[str, float]:
    found = summary["agreements"]
    assert isinstance(found, list)
    return {one["measure"]: one["value"] for one in found}


def with_floor(evals: Evals, floor: str) -> None:
    path = evals.golden / "small" / "task.yaml"
    path.write_text(path.read_text() + f"  agreement: {floor}\n")


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "xdist"])
def test_each_repeat_has_its_seed_and_scores_are_means_over_repeats(
    shaky: Evals, fault_server: FaultServer, workers: list[str]
) -> None:
    done = shaky.run("--repeats", "3", "--concurrency", "1", *workers)

    assert done.status == 0, done.out
    seeds = [(body["options"]["seed"], body["messages"][-1]["content"]) for body in fault_server.bodies]
    assert sorted(seeds) == sorted((seed, text) for seed in range(3) for text in ("one?", "two?", "three?"))
    content = next(one for one in done.summary["scores"] if one["capability"] == "content")
    assert (content["n"], content["passes"]) == (3, pytest.approx(2 + 2 / 3))
    assert sorted((one["case"], one["repeat"]) for one in done.results) == [
        (f"q{case}", repeat) for case in range(3) for repeat in range(3)
    ]
    assert done.info["selected"]["cases"] == done.info["selected"]["of_cases"] == 9


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "xdist"])
def test_how_far_repeats_agree_is_told_and_kept(shaky: Evals, workers: list[str]) -> None:
    done = shaky.run("--repeats", "3", "--concurrency", "1", *workers)

    assert agreements(done.summary) == {
        "exact": pytest.approx(2 / 3),
        "normalised": pytest.approx(7 / 9),
        "verdict": pytest.approx(7 / 9),
    }
    assert all(one["noise_floor"] for one in done.summary["agreements"])
    assert "3 repeats agree (temperature 0, the noise floor): exact 66.7%" in " ".join(done.out.split())
    assert "verdicts of repeats differ: small 77.8% (least q0)" in " ".join(done.out.split())
    assert "3 repeats agree" in (done.folder / "report.md").read_text()


def test_a_floor_of_agreement_fails_the_run_and_no_gate_only_measures(shaky: Evals) -> None:
    with_floor(shaky, "{exact: 0.5, verdict: 0.9}")

    done = shaky.run("--repeats", "3", "--concurrency", "1")
    measured = shaky.run("--repeats", "3", "--no-gate")

    assert done.status == 1
    assert "small verdict agreement of repeats 77.8% (2 of 3 cases wholly) is below the floor of 90%" in (
        " ".join(done.out.split())
    )
    assert "exact agreement" not in done.out.split("The gate does not hold.")[1]
    assert (measured.status, agreements(measured.summary)) == (0, agreements(done.summary))


def test_a_floor_that_nobody_knows_is_a_problem_of_the_case_file(evals: Evals) -> None:
    with_floor(evals, "{exactly: 0.5}")

    done = evals.run()

    assert done.status == 4
    assert "task.yaml" in done.out and "exactly" in done.out


def test_a_reply_that_never_came_agrees_with_nothing_and_fails(
    evals: Evals, fault_server: FaultServer
) -> None:
    fault_server.play_for("one?", answer("It is right."), error(400, "no"))

    done = evals.run("--repeats", "2", "--concurrency", "1", "--no-gate")

    assert done.status == 1
    assert "1 replies are missing: q0, repeat 1" in done.out
    assert agreements(done.summary)["exact"] == pytest.approx(2 / 3)


def test_without_repeats_there_is_nothing_to_agree(evals: Evals) -> None:
    plain = evals.run()
    named = evals.pytest(
        evals.root, str(Path(__file__).parents[1] / "evals" / "test_consistency.py"), *evals.options(["tiny"])
    )

    assert "agree" not in plain.out
    assert plain.summary["agreements"] == []
    assert named.status == 4
    assert "add --repeats 2" in named.out


def test_a_repeat_is_kept_and_replayed_as_itself(shaky: Evals, fault_server: FaultServer) -> None:
    first = shaky.run("--repeats", "3", "--concurrency", "1")
    asked = len(fault_server.chats)
    again = shaky.run("--repeats", "3")
    replayed = shaky.run("--repeats", "3", "--no-store", models=[f"replay:{first.folder}"])

    assert len(fault_server.chats) == asked
    assert agreements(first.summary) == agreements(again.summary) == agreements(replayed.summary)


def test_more_repeats_ask_only_for_the_new_ones(evals: Evals, fault_server: FaultServer) -> None:
    evals.run()
    evals.run("--repeats", "2")

    assert len(fault_server.chats) == 6


def test_agreement_may_be_judged_alone_and_is_no_verdict_on_the_whole(evals: Evals) -> None:
    done = evals.run("--repeats", "2", "-m", "consistency", "--junitxml", str(evals.root / "j.xml"))

    assert done.status == 0, done.out
    assert "3 passed" in done.out and "No verdict" in done.out
    assert agreements(done.summary) == {"exact": 1, "normalised": 1, "verdict": 1}
    assert 'name="measure" value="exact"' in (evals.root / "j.xml").read_text()


def test_agreement_alone_is_no_partial_pass_where_replies_are_missing(
    evals: Evals, fault_server: FaultServer
) -> None:
    for text in ("one?", "two?", "three?"):
        fault_server.play_for(text, error(400, "no"))

    done = evals.run("--repeats", "2", "-m", "consistency")

    assert done.status == 1
    assert done.summary["gate"]["state"] == "fails"
    assert "6 of the replies that were to agree never came" in done.out


def test_a_replay_has_no_more_repeats_than_were_recorded(evals: Evals) -> None:
    once = evals.run()

    done = evals.run("--repeats", "2", models=[f"replay:{once.folder}"])

    assert done.status == 4
    assert "each case was asked once there, so --repeats 2 has no answers" in done.out
