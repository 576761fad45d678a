"""Whole runs that compare a candidate with a baseline: recorded, replayed, or asked in the same run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.evals_run import Done, Evals, write_task
from tests.fault_server import FaultServer, answer

QUESTIONS = 60
POLICY = "  versus_baseline: {superior: [content], non_inferior: {format: 0.15}}\n"
RIGHT = answer("it is right")
WRONG = answer("it is wrong")


def write_policy(golden: Path, policy: str, *, floor: float = 0.2) -> None:
    """The small task with many questions, low floors and a policy."""
    questions = {f"question {number}?": "right" for number in range(QUESTIONS)}
    folder = write_task(golden, questions=questions, content_floor=floor)
    with (folder / "task.yaml").open("a") as file:
        file.write(policy)


def answer_right(server: FaultServer, *right: range) -> None:
    """From now on these questions are answered right, and all others wrong."""
    for number in range(QUESTIONS):
        known = any(number in numbers for numbers in right)
        server.play_only_for(f"question {number}?", RIGHT if known else WRONG)


class Candidates:
    """Runs in which the test chooses which questions are answered right."""

    def __init__(self, evals: Evals, server: FaultServer) -> None:
        self.evals = evals
        self.server = server

    def record(self, *right: range, options: tuple[str, ...] = ()) -> str:
        """Record a run of a model that answers these questions right; returns its folder."""
        answer_right(self.server, *right)
        before = set(self.evals.reports.glob("*"))
        done = self.evals.run("--no-store", "--no-gate", *options)
        assert done.status == 0, done.out
        (made,) = set(self.evals.reports.glob("*")) - before
        return str(made)

    def compare(self, candidate: str, *arguments: str, baseline: str) -> Done:
        return self.evals.run("--baseline", baseline, *arguments, models=(f"replay:{candidate}",))


@pytest.fixture
def candidates(evals: Evals, fault_server: FaultServer) -> Candidates:
    write_policy(evals.golden, POLICY)
    return Candidates(evals, fault_server)


def verdict(done: Done) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((done.folder / "verdict.json").read_text())
    return data


def test_a_better_candidate_is_promoted_a_worse_one_blocked_and_an_equal_one_neither(
    candidates: Candidates,
) -> None:
    base, good, bad, equal = (candidates.record(range(right)) for right in (30, 50, 14, 30))
    expected = {good: (0, "promote"), bad: (1, "block"), equal: (1, "inconclusive")}
    for candidate, (status, decision) in expected.items():
        done = candidates.compare(candidate, baseline=base)
        assert (done.status, verdict(done)["verdict"]) == (status, decision), done.out
        assert f"{decision.capitalize()}:" in done.out


def test_the_smallest_drop_and_unreachable_margins_are_told_before_anything_is_asked(
    candidates: Candidates,
) -> None:
    base = candidates.record(range(30))
    done = candidates.compare(base, baseline=base)
    before, _, _ = done.out.partition("collected")
    assert "baseline: tiny (" in before
    assert "60 cases: sees drops of 12.9 points; can show margin 15" in before


def test_a_recorded_pair_is_compared_without_asking_anything(candidates: Candidates) -> None:
    base, good = (Path(candidates.record(range(right))) for right in (30, 50))
    asked = len(candidates.server.chats)
    done = compare(candidates, good.name, base.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((good / "verdict.json").read_text())["verdict"] == "promote"
    assert "<!-- golden-gate -->" in (good / "comment.md").read_text()
    assert f"comment for a pull request: {good / 'comment.md'}" in done.stdout
    assert len(candidates.server.chats) == asked
    worse = compare(candidates, base.name, good.name)
    assert worse.returncode == 1
    assert "Block: tiny may not replace tiny." in worse.stdout


def test_recordings_of_one_model_answer_each_for_itself(candidates: Candidates) -> None:
    base, good, bad = (candidates.record(range(right)) for right in (30, 50, 14))
    run = candidates.evals.run
    both = run("--no-gate", models=(f"replay:{good}", f"replay:{bad}", "tiny"))
    rates = {one["model"]: one["passes"] for one in both.summary["scores"] if one["capability"] == "content"}
    assert rates == {f"replay:{good}": 50, f"replay:{bad}": 14, "tiny": 14}, both.out
    for candidate, decision in ((good, "promote"), (bad, "block")):
        done = run("--baseline", f"replay:{base}", models=(f"replay:{candidate}",))
        assert verdict(done)["verdict"] == decision, done.out
    # The store holds what the model said last, and no recording answers in its place.
    live = run("--baseline", f"replay:{good}", models=("tiny",))
    assert verdict(live)["verdict"] == "block", live.out


def compare(candidates: Candidates, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m evals compare` on the recorded runs."""
    return subprocess.run(
        [sys.executable, "-m", "evals", "compare", *arguments],
        env=candidates.evals.environment(GOLDENGATE_REPORTS=str(candidates.evals.reports)),
        cwd=candidates.evals.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_further_runs_of_the_baseline_are_its_repeats_and_show_its_noise(candidates: Candidates) -> None:
    base, again, good = (candidates.record(chosen) for chosen in (range(30), range(1, 31), range(50)))
    done = compare(candidates, good, base, again)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(Path(good, "verdict.json").read_text())
    assert found["baseline"]["runs"] == [Path(base).name, Path(again).name]
    noise = {one["capability"]: one["differing"] for one in found["noise"]}
    assert noise == {"content": pytest.approx(2 / 60), "format": 0.0}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_model_of_the_same_run_is_a_baseline_that_is_held_to_no_floor(
    evals: Evals, fault_server: FaultServer, workers: tuple[str, ...]
) -> None:
    write_policy(evals.golden, "  versus_baseline: {non_inferior: {content: 0.15}}\n", floor=0.9)
    task = evals.golden / "small" / "task.yaml"
    task.write_text(task.read_text().replace("content: 0.9", "content: 1.0"))
    fault_server.models["base:latest"] = ("completion",)
    # What the baseline answers is in the store, so that it does not matter which of two workers asks first.
    answer_right(fault_server)
    assert evals.run("--no-gate", models=("base",)).status == 0
    answer_right(fault_server, range(QUESTIONS))
    done = evals.run("--baseline", "base", *workers)
    found = verdict(done)
    assert (found["baseline"]["model"], found["candidate"]["model"]) == ("base", "tiny")
    assert (done.status, found["verdict"]) == (0, "promote"), done.out
    # The baseline missed everything where every miss of a candidate fails its test.
    assert f"{QUESTIONS} miss" in done.out
    assert "failed" not in done.out


def test_an_early_stop_saves_requests_and_gives_the_verdict_of_the_whole_run(candidates: Candidates) -> None:
    base, bad = candidates.record(range(30)), candidates.record(range(6))
    whole = candidates.compare(bad, baseline=base)
    assert verdict(whole)["verdict"] == "block"
    asked = len(candidates.server.chats)
    candidates.server.delay_s = 0.1
    early = candidates.evals.run("--baseline", base, "--stop-early", "--no-store", "--concurrency", "1")
    found = verdict(early)
    assert (early.status, found["verdict"]) == (1, "block"), early.out
    requests = len(candidates.server.chats) - asked
    assert found["spared"] == QUESTIONS - len(early.results)
    # What was under way at the stop was asked, and is not judged.
    assert len(early.results) <= requests < QUESTIONS
    assert "is worse than allowed, whatever the remaining cases bring" in " ".join(early.out.split())
    refused = compare(candidates, bad, str(early.folder))
    assert refused.returncode == 4
    assert "was stopped early" in refused.stderr


def test_floors_alone_stop_a_run_early_too(candidates: Candidates) -> None:
    candidates.record(range(0))
    done = candidates.evals.run("--stop-early", "--no-store", "--concurrency", "1")
    assert done.status == 1
    assert len(done.results) == 49  # of sixty, twelve are a fifth: with 49 missed at most eleven are left
    assert "small content can reach 18.3% at most, below the floor of 20%" in done.out


def test_a_promotion_is_certain_a_few_cases_before_the_end(candidates: Candidates) -> None:
    base, good = candidates.record(range(30)), candidates.record(range(50))
    done = candidates.compare(good, "--stop-early", baseline=base)
    assert (done.status, verdict(done)["verdict"]) == (0, "promote"), done.out
    assert 0 < verdict(done)["spared"] == QUESTIONS - len(done.results) < 10


def test_a_run_that_was_open_to_the_end_has_spared_nothing(candidates: Candidates) -> None:
    base = candidates.record(range(30))
    close = candidates.record(range(54, 60), range(30))
    done = candidates.compare(close, "--stop-early", baseline=base)
    assert (done.status, verdict(done)["verdict"]) == (0, "promote"), done.out
    assert (verdict(done)["spared"], len(done.results)) == (0, QUESTIONS)


def test_a_baseline_that_was_not_finished_is_refused(candidates: Candidates) -> None:
    base = candidates.record(range(30))
    (Path(base) / "run.json").unlink()
    done = candidates.compare(base, baseline=base)
    assert done.status == 4
    assert "was not finished" in done.out


def test_a_baseline_of_other_cases_is_refused_by_name_before_anything_is_asked(
    candidates: Candidates,
) -> None:
    base = candidates.record(range(30))
    cases = candidates.evals.golden / "small" / "cases.yaml"
    cases.write_text(cases.read_text().replace("question 7?", "another question?"))
    asked = len(candidates.server.chats)
    done = candidates.evals.run("--baseline", base)
    assert done.status == 4
    assert "task small was changed" in done.out
    assert len(candidates.server.chats) == asked


def test_other_sampling_options_are_refused_by_name(candidates: Candidates) -> None:
    base = candidates.record(range(30))
    task = candidates.evals.golden / "small" / "task.yaml"
    task.write_text(task.read_text().replace("max_tokens: 32", "max_tokens: 32, temperature: 0.7"))
    done = candidates.evals.run("--baseline", base)
    assert done.status == 4
    assert "temperature 0.0 there, 0.7 here" in done.out


@pytest.mark.parametrize("early", [(), ("--stop-early",)], ids=["whole", "stop-early"])
def test_a_floor_that_was_lowered_since_the_baseline_blocks(
    candidates: Candidates, early: tuple[str, ...]
) -> None:
    base, good = candidates.record(range(30)), candidates.record(range(50))
    task = candidates.evals.golden / "small" / "task.yaml"
    task.write_text(task.read_text().replace("content: 0.2", "content: 0.1"))
    done = candidates.compare(good, *early, baseline=base)
    assert (done.status, verdict(done)["verdict"]) == (1, "block"), done.out
    assert "the floor of small content was lowered from 20% to 10%" in verdict(done)["reasons"][0]


@pytest.mark.parametrize("early", [(), ("--stop-early",)], ids=["whole", "stop-early"])
def test_a_baseline_that_lacks_replies_blocks(candidates: Candidates, early: tuple[str, ...]) -> None:
    base, good = candidates.record(range(30)), candidates.record(range(50))

    def lose(line: dict[str, Any]) -> dict[str, Any]:
        lost = [{**check, "outcome": "unscored", "value": 0.0} for check in line["checks"]]
        return {**line, "outcome": "infrastructure", "fault": "connection refused", "checks": lost}

    rewrite(base, lambda lines: [*lines[:-6], *map(lose, lines[-6:])])
    done = candidates.compare(good, *early, baseline=base)
    assert (done.status, verdict(done)["verdict"]) == (1, "block"), done.out
    assert "is not whole: 6 of 60 requests brought no reply" in verdict(done)["reasons"][0]


@pytest.mark.parametrize("early", [(), ("--stop-early",)], ids=["whole", "stop-early"])
def test_where_nothing_has_to_be_shown_nothing_is_promoted(
    candidates: Candidates, early: tuple[str, ...]
) -> None:
    write_policy(candidates.evals.golden, "")
    base, good = candidates.record(range(30)), candidates.record(range(60))
    done = candidates.compare(good, *early, baseline=base)
    assert (done.status, verdict(done)["verdict"]) == (1, "inconclusive"), done.out


@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_a_record_without_its_misses_is_refused(candidates: Candidates, side: str) -> None:
    base, good = candidates.record(range(30)), candidates.record(range(50))

    def hide(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [line for line in lines if all(check["outcome"] == "pass" for check in line["checks"])]

    rewrite(good if side == "candidate" else base, hide)
    refused = compare(candidates, good, base)
    assert refused.returncode == 4, refused.stdout
    left = 50 if side == "candidate" else 30
    assert f"holds {left} results, and run.json tells of 60" in " ".join(refused.stderr.split())
    if side == "baseline":
        assert candidates.compare(good, baseline=base).status == 4


def rewrite(run: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Change the lines of a run's results."""
    path = Path(run, "results.jsonl")
    lines = change([json.loads(line) for line in path.read_text().splitlines()])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_policy_that_was_loosened_since_a_commit_blocks(candidates: Candidates) -> None:
    golden = candidates.evals.golden
    policy = golden / "policies" / "p.yaml"
    policy.parent.mkdir()
    policy.write_text('policy: p\nabout: x\ntasks:\n  "*": {non_inferior: {format: 0.15}}\n')
    commit(golden)
    base, good = candidates.record(range(30)), candidates.record(range(50))
    options = ("--policy", str(policy), "--since", "HEAD")
    holds = candidates.compare(good, *options, baseline=base)
    assert (holds.status, verdict(holds)["verdict"]) == (0, "promote"), holds.out
    policy.write_text(policy.read_text().replace("0.15", "0.5"))
    fails = candidates.compare(good, *options, baseline=base)
    assert (fails.status, verdict(fails)["verdict"]) == (1, "block")
    told = "the margin of small format was widened from 15% to 50% since HEAD, in p.yaml"
    assert told in verdict(fails)["reasons"]
    # The record keeps it for whoever compares it with another run.
    again = compare(candidates, str(fails.folder), base, "--policy", str(policy))
    assert again.returncode == 1
    assert told in " ".join(again.stdout.split())


def test_a_policy_for_a_task_that_there_is_not_is_a_usage_error(candidates: Candidates) -> None:
    policy = candidates.evals.root / "p.yaml"
    policy.write_text("policy: p\nabout: x\ntasks:\n  smalll: {superior: [content]}\n")
    done = candidates.evals.run("--baseline", "base", "--policy", str(policy))
    assert done.status == 4
    assert "the policy asks something of smalll, which was not asked" in " ".join(done.out.split())


def commit(folder: Path) -> None:
    """Everything in the folder as the first commit of a repository of its own."""
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)


def test_a_floor_that_was_lowered_since_a_commit_blocks_without_a_baseline(candidates: Candidates) -> None:
    golden = candidates.evals.golden
    commit(golden)
    good = candidates.record(range(50))
    holds = candidates.evals.run("--since", "HEAD", models=(f"replay:{good}",))
    task = golden / "small" / "task.yaml"
    task.write_text(task.read_text().replace("content: 0.2", "content: 0.1"))
    fails = candidates.evals.run("--since", "HEAD", models=(f"replay:{good}",))
    assert (holds.status, fails.status) == (0, 1), holds.out
    assert "the floor of small content was lowered from 20% to 10% since HEAD" in " ".join(fails.out.split())
    unknown = candidates.evals.run("--since", "nowhere")
    assert unknown.status == 4
    assert "is in no git repository that has this commit" in unknown.out


def test_a_candidate_that_answers_nothing_is_blocked(candidates: Candidates) -> None:
    base = candidates.record(range(30))
    for number in range(QUESTIONS):
        candidates.server.play_only_for(f"question {number}?", answer(""))
    done = candidates.evals.run("--baseline", base, "--no-store")
    assert (done.status, verdict(done)["verdict"]) == (1, "block")
    assert "answered nothing" in " ".join(verdict(done)["reasons"])


def test_what_is_only_measured_is_compared_and_fails_nothing(candidates: Candidates) -> None:
    base, bad = candidates.record(range(30)), candidates.record(range(14))
    done = candidates.compare(bad, "--no-gate", baseline=base)
    assert done.status == 0, done.out
    assert verdict(done)["verdict"] == "block"


def test_a_part_of_the_suite_is_not_promoted(candidates: Candidates) -> None:
    base, good = candidates.record(range(10)), candidates.record(range(60))
    done = candidates.compare(good, "-k", "not q7-", baseline=base)
    assert (done.status, verdict(done)["verdict"]) == (1, "inconclusive"), done.out
    assert "only a part was compared" in done.out


@pytest.mark.parametrize(
    ("arguments", "models", "says"),
    [
        (("--baseline", "tiny"), ("tiny",), "is the candidate itself"),
        (("--baseline", "base"), ("tiny", "other"), "--baseline judges one candidate, and there are 2"),
        (("--baseline", ""), ("tiny",), "--baseline names nothing: is a variable of the shell not set?"),
        (("--policy", "p.yaml"), ("tiny",), "add --baseline SPEC_OR_RUN"),
        (("--baseline", "gone"), ("tiny",), "there is nothing to compare"),
        (("--stop-early", "--no-gate"), ("tiny",), "leave one of them out"),
    ],
)
def test_what_means_nothing_is_a_usage_error(
    evals: Evals, fault_server: FaultServer, arguments: tuple[str, ...], models: tuple[str, ...], says: str
) -> None:
    done = evals.run(*arguments, models=models)
    assert done.status == 4, done.out
    assert says in " ".join(done.out.split())
    assert fault_server.chats == []


def test_a_guarded_task_has_to_be_asked_too(evals: Evals, fault_server: FaultServer) -> None:
    write_policy(evals.golden, "  versus_baseline: {superior: [content], guards: {basics: 0.15}}\n")
    write_task(evals.golden, "basics")
    done = evals.run("--baseline", "base", "--task", "small")
    assert done.status == 4
    assert "small guards basics, which was not asked: add --task basics" in done.out


@pytest.mark.parametrize("early", [(), ("--stop-early",)], ids=["whole", "stop-early"])
@pytest.mark.parametrize("selected", ["candidate", "baseline"])
def test_a_part_of_the_checks_is_compared_with_the_same_part_or_told_to_be_another(
    candidates: Candidates, selected: str, early: tuple[str, ...]
) -> None:
    part = ("-m", "format")
    base = candidates.record(range(30), options=part if selected == "baseline" else ())
    chosen = part if selected == "candidate" else ()
    done = candidates.evals.run("--baseline", base, "--no-store", *early, *chosen)
    assert "INTERNALERROR" not in done.out
    assert done.status == 1, done.out
    assert (done.folder / "run.json").exists()
    if selected == "baseline":
        assert "was judged by other checks in 60 of the cases" in " ".join(done.out.split())
    else:
        assert verdict(done)["verdict"] == "inconclusive"
