"""A recorded run judged again: what flipped is told with its reason, and what cannot be judged is left out by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.base import ModelReply
from evals.cases import GoldenTask, load_golden
from evals.errors import RunRecordError, SettingsError
from evals.flips import Changes, Comparison, LeftOut
from evals.needs import chat_request
from evals.outcomes import classify, judge_reply
from evals.report.rescored import LINES_SHOWN, flip_lines
from evals.rescore import Rescored, recorded_replies, rescore
from evals.runs import (
    CaseRecord,
    RunWriter,
    check_record,
    read_replies,
    read_results,
    read_run,
    task_facts,
)
from evals.surroundings import versions
from tests.evals_run import Evals
from tests.fault_server import FaultServer, answer
from tests.golden_folder import CASES, TASK, edited, write_golden
from tests.no_seccomp import REFUSE
from tests.records import check, record, run_info

TWO_CASES = (
    CASES + "- {id: sea, input: The sea., expect: {keywords: [green]}, reference: green, split: dev}\n"
)
ESCAPE = "\x1b[2J\u202e"


def judged(
    task: GoldenTask, case_id: str, reply: ModelReply, model: str = "small:1b", repeat: int = 0
) -> CaseRecord:
    """The record that a run writes of a reply."""
    case = next(one for one in task.cases if one.id == case_id)
    asked = chat_request(run_info(model).models[0], task, case, repeat)
    return record(
        *(check_record(*one) for one in judge_reply(case, reply, asked.messages[-1].content)),
        model=model,
        task=task.name,
        case=case_id,
        repeat=repeat,
        outcome=classify(reply).value,
        response=asked.key("d" * 64),
        fault=reply.fault,
        stop_reason=reply.stop_reason,
    )


class Recorded:
    """A golden folder and a complete run of it, made from given replies."""

    def __init__(self, root: Path, cases: str = CASES, task: str = TASK) -> None:
        self.root = root
        self.golden = write_golden(root / "golden", task, cases)
        self.lines: list[tuple[CaseRecord, ModelReply]] = []

    def reply(self, case: str, text: str = "", *, fault: str = "", **place: Any) -> None:
        """One more reply of the run, judged by the cases as they are now."""
        reply = ModelReply(text, fault=fault, stop_reason="fault" if fault else "stop")
        task = load_golden(self.golden)[0]
        self.lines.append((judged(task, case, reply, **place), reply))

    def write(self, *, models: Sequence[str] = ("small:1b",), **settings: Any) -> Path:
        """The run's folder."""
        writer = RunWriter.new(self.root / "old", models[0])
        for line in self.lines:
            writer.add(*line)
        info = run_info(
            *models,
            run=writer.folder.name,
            tasks=task_facts(load_golden(self.golden)),
            settings={"models": list(models), "tasks": [], "split": None, **settings},
            versions=versions(),
        )
        writer.finish(info, {}, "")
        return writer.folder

    def edit(self, file: str, lines: Mapping[int, str]) -> None:
        """Change lines of the golden task."""
        path = self.golden / "colours" / file
        path.write_text(edited(path.read_text(), lines))

    def rescore(self, run: Path, **options: bool) -> Rescored:
        return rescore(run, self.golden, self.root / "new", **options)

    def command(self, run: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`python -m evals rescore RUN` on a terminal of 80 columns."""
        return command(
            run, "--golden", str(self.golden), "--reports", str(self.root / "new"), *arguments, **environment
        )


def command(run: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GOLDENGATE_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "evals", "rescore", str(run), *arguments],
        env={**kept, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.fixture
def blue(tmp_path: Path) -> Recorded:
    """One case, answered rightly."""
    made = Recorded(tmp_path)
    made.reply("sky", "It is blue.")
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lines_of(rescored: Rescored) -> list[str]:
    return list(flip_lines(rescored.changes))


def test_a_run_judged_again_by_the_same_checks_has_the_same_verdicts(
    evals: Evals, fault_server: FaultServer
) -> None:
    fault_server.play_for("two?", answer("it is right"))
    ran = evals.run("--no-gate", "--repeats", "2")
    before = contents(ran.folder)

    done = command(
        ran.folder, "--golden", str(evals.golden), "--reports", str(evals.root / "again"), "--no-gate"
    )
    (again,) = (evals.root / "again").iterdir()

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == [
        f"{ran.folder.name}, judged again: 6 replies, 12 checks",
        "No verdict flipped.",
    ]
    assert contents(ran.folder) == before
    assert read_results(again) == read_results(ran.folder)
    assert read_replies(again, "tiny") == read_replies(ran.folder, "tiny")
    assert (again / "flips.jsonl").read_text() == ""
    old, new = read_run(ran.folder), read_run(again)
    assert (new.rescored, old.rescored) == (ran.folder.name, "")
    assert (new.models, new.tasks, new.host) == (old.models, old.tasks, old.host)
    summary = json.loads((again / "summary.json").read_text())
    assert summary["scores"] == ran.summary["scores"]
    assert summary["agreements"] == ran.summary["agreements"]
    assert f"today's checks on the replies of run {ran.folder.name}" in (again / "report.md").read_text()


def test_a_verdict_that_fails_now_is_told_with_the_new_reason(blue: Recorded) -> None:
    run = blue.write()
    blue.edit("cases.yaml", {3: "  expect: {keywords: [blue, sky]}", 4: "  reference: The sky is blue."})

    done = blue.command(run)
    (new,) = (blue.root / "new").iterdir()

    assert done.returncode == 1
    assert done.stdout.splitlines()[1:6] == [
        "1 verdict flipped: 1 pass -> fail",
        "colours keywords: 1 pass -> fail",
        "  colours/sky keywords: pass -> fail: lacks 'sky'",
        "",
        "tasks that changed since: colours",
    ]
    assert "The gate does not hold." in done.stdout
    assert json.loads((new / "flips.jsonl").read_text()) == {
        "model": "small:1b",
        "task": "colours",
        "case": "sky",
        "repeat": 0,
        "check": "keywords",
        "before": "pass",
        "now": "fail",
        "reason_before": "all keywords as wanted",
        "reason": "lacks 'sky'",
    }
    assert [one.outcome for one in read_results(new)[0].checks] == ["fail"]
    assert read_results(run)[0].checks[0].outcome == "pass"
    assert "- colours/sky keywords: pass -&gt; fail: lacks 'sky'" in (new / "report.md").read_text()


def test_a_verdict_that_passes_now_is_told_with_the_reason_that_no_longer_holds(tmp_path: Path) -> None:
    azure = Recorded(tmp_path)
    azure.reply("sky", "It is azure.")
    run = azure.write()
    azure.edit("cases.yaml", {3: "  expect: {keywords: [azure]}", 4: "  reference: azure"})

    done = azure.command(run)

    assert done.returncode == 0
    assert "  colours/sky keywords: fail -> pass: no longer: lacks 'blue'" in done.stdout.splitlines()
    assert "The gate holds." in done.stdout


def test_no_gate_measures_only(blue: Recorded) -> None:
    run = blue.write()
    blue.edit("cases.yaml", {3: "  expect: {keywords: [grey]}", 4: "  reference: grey"})

    done = blue.command(run, "--no-gate")

    assert done.returncode == 0
    assert "Measured only (--no-gate)" in done.stdout


def test_a_case_that_was_asked_otherwise_is_left_out_by_name_and_the_rest_is_no_verdict(
    tmp_path: Path,
) -> None:
    two = Recorded(tmp_path, TWO_CASES)
    two.reply("sky", "It is blue.")
    two.reply("sea", "It is green.")
    run = two.write()
    two.edit("cases.yaml", {2: "  input: The sky above all of us."})

    done = two.command(run)

    said = " ".join(done.stdout.split())
    assert done.returncode == 0
    assert "judged again: 1 reply, 1 check" in said
    assert "1 case is left out, asked otherwise then (prompt, system prompt or options): colours/sky" in said
    assert "never asked" not in said
    assert "No verdict, only a part was selected (1 of 2 cases, 1 of 2 checks)" in said


@pytest.mark.parametrize(
    "line",
    ["prompt: 'Say: {{ input }}'", "system: Be short.", "options: {max_tokens: 7}"],
    ids=lambda line: line[:6],
)
def test_a_run_whose_every_case_was_asked_otherwise_cannot_be_judged_again(line: str, blue: Recorded) -> None:
    run = blue.write()
    blue.edit("task.yaml", {8: line})

    done = blue.command(run)

    assert done.returncode == 4
    assert done.stderr.startswith("ERROR: no reply of the run in ")
    assert not (blue.root / "new").exists()


def test_cases_that_are_gone_or_were_never_asked_are_told(tmp_path: Path) -> None:
    two = Recorded(tmp_path, TWO_CASES)
    two.reply("sky", "It is blue.")
    two.reply("sea", "It is green.")
    run = two.write()
    two.edit("cases.yaml", {5: "- {id: ink, input: Ink., expect: {keywords: [blue]}, reference: blue}"})

    changes = two.rescore(run).changes

    assert changes.left_out == LeftOut(gone=("colours/sea",), otherwise=(), never=["colours/ink"])
    said = " ".join(two.command(run).stdout.split())
    assert "1 case is left out, no longer there: colours/sea" in said
    assert "1 case was never asked: colours/ink" in said


def test_a_task_that_is_gone_leaves_its_cases_out(blue: Recorded) -> None:
    run = blue.write(tasks=["colours", "shades"])

    assert blue.rescore(run).verdict.state == "holds"
    with pytest.raises(SettingsError, match=r"none of the run's tasks is in .*: shades"):
        blue.rescore(blue.write(tasks=["shades"]))


def test_a_run_of_the_gate_split_is_judged_as_one(tmp_path: Path) -> None:
    two = Recorded(tmp_path, TWO_CASES)
    two.reply("sky", "It is blue.")

    assert two.rescore(two.write(split="gate")).verdict.state == "holds"
    assert two.rescore(two.write()).verdict.state == "partial"


def test_a_request_that_brought_no_reply_brings_none_when_it_is_judged_again(tmp_path: Path) -> None:
    two = Recorded(tmp_path, TWO_CASES)
    two.reply("sky", fault="connection refused")
    two.reply("sea", "It is green.")

    done = two.rescore(two.write())

    first = read_results(done.folder)[0]
    assert (first.outcome, first.fault) == ("infrastructure", "connection refused")
    assert [one.outcome for one in first.checks] == ["unscored"]
    assert done.verdict.problems == ("small:1b: 1 of 2 requests brought no reply",)
    assert not done.changes.comparison.flips


def test_a_request_that_never_came_to_be_asked_stays_missing(blue: Recorded) -> None:
    lost, reply = blue.lines.pop()
    blue.lines.append((
        replace(lost, response="", fault="no result came"),
        replace(reply, fault="no result came"),
    ))

    assert blue.rescore(blue.write()).verdict.problems[0] == "small:1b: 1 of 1 request brought no reply"


def test_checks_that_are_new_or_gone_are_told_and_are_no_flips(blue: Recorded) -> None:
    run = blue.write()
    blue.edit("task.yaml", {5: "- {kind: keywords, name: words, capability: content}"})

    done = blue.rescore(run)

    assert dict(done.changes.comparison.new) == {("colours", "words"): 1}
    assert dict(done.changes.comparison.gone) == {("colours", "keywords"): 1}
    said = " ".join(blue.command(run).stdout.split())
    assert "No verdict flipped." in said
    assert "checks that were not judged then: colours words (1)" in said
    assert "checks that are gone: colours keywords (1)" in said


def test_versions_that_differ_are_told(blue: Recorded) -> None:
    run = blue.write()
    path = run / "run.json"
    data = json.loads(path.read_text())
    path.write_text(
        json.dumps({**data, "versions": {**data["versions"], "jsonschema": "1.0\x1b", "old": "2"}})
    )

    said = " ".join(blue.command(run).stdout.split())

    assert f"versions since: jsonschema 1.0\\x1b -> {versions()['jsonschema']}, old 2 -> none" in said


def test_a_flip_without_any_visible_change_is_said_to_be_one(blue: Recorded) -> None:
    first, reply = blue.lines.pop()
    wrong = replace(first.checks[0], outcome="fail", reason="as of then")
    blue.lines.append((replace(first, checks=(wrong,)), reply))

    said = " ".join(blue.command(blue.write()).stdout.split())

    assert "neither tasks nor versions differ from then: the code of a check does" in said


def test_flips_of_several_models_and_repeats_name_both(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    models = ("small:1b", "big:7b")
    for model in models:
        for repeat in range(2):
            made.reply("sky", f"It is blue{repeat}.", model=model, repeat=repeat)
    run = made.write(models=models, repeats=2)
    made.edit("cases.yaml", {3: "  expect: {keywords: [blue0]}", 4: "  reference: blue0"})

    done = made.rescore(run)

    assert lines_of(done) == [
        "colours keywords: 2 pass -> fail",
        "  small:1b colours/sky~1 keywords: pass -> fail: lacks 'blue0'",
        "  big:7b colours/sky~1 keywords: pass -> fail: lacks 'blue0'",
    ]
    assert [score.passes for score in done.summary.scores] == [0.5, 0.5]
    agreed = {(one.model, one.measure): one.value for one in done.summary.agreements}
    assert agreed == {(model, name): 0.0 for model in models for name in ("exact", "normalised", "verdict")}


def test_a_case_of_which_a_repeat_is_missing_is_in_no_agreement(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    made.reply("sky", "It is blue.")

    done = made.rescore(made.write(repeats=2))

    assert done.summary.agreements == ()
    assert done.verdict.state == "partial"


def test_what_replies_and_old_reasons_hold_cannot_steer_the_terminal(blue: Recorded) -> None:
    first, reply = blue.lines.pop()
    blue.reply("sky", f"{ESCAPE} It is red.")
    wrong = replace(first.checks[0], outcome="error", reason=f"<b>{ESCAPE}")
    blue.lines[0] = (replace(blue.lines[0][0], checks=(wrong,)), replace(reply, text=f"{ESCAPE} It is blue."))
    gone = record(case=f"{ESCAPE}[link=x]")
    blue.lines.append((replace(gone, response="k"), reply))

    done = blue.command(blue.write())
    (new,) = (blue.root / "new").iterdir()
    report = (new / "report.md").read_text("utf-8")

    assert done.returncode == 0
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout
    assert "error -> pass: no longer: <b>\\x1b[2J\\u202e" in done.stdout
    assert "colours/\\x1b[2J\\u202e[link=x]" in " ".join(done.stdout.split())
    assert "\x1b" not in report and "<b>" not in report


def test_replies_in_another_order_than_results_find_their_cases(tmp_path: Path) -> None:
    ink = "- {id: ink, input: Ink., expect: {keywords: [black]}, reference: black}\n"
    three = Recorded(tmp_path, TWO_CASES + ink)
    for case, text in {"sky": "It is blue.", "sea": "It is green.", "ink": "It is black."}.items():
        three.reply(case, text)
    run = three.write()
    path = run / "replies.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*rest, first]))

    assert [reply.text for _, reply in recorded_replies(run)] == [
        "It is blue.",
        "It is green.",
        "It is black.",
    ]
    assert three.rescore(run).verdict.state == "holds"


def test_an_unfinished_run_is_refused_with_what_finishes_it(blue: Recorded) -> None:
    run = blue.write()
    (run / "run.json").unlink()

    done = blue.command(run)

    assert done.returncode == 4
    assert f"was not finished: it has no run.json; `pytest evals --resume {run}` finishes it" in done.stderr


def test_no_run_at_all_is_a_sentence(blue: Recorded) -> None:
    done = blue.command(blue.root / "nowhere")

    assert (done.returncode, done.stderr) == (4, f"ERROR: there is no run in {blue.root / 'nowhere'}\n")


def first_line(file: str, **changes: Any) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        path = run / file
        path.write_text(json.dumps({**json.loads(path.read_text().splitlines()[0]), **changes}) + "\n")

    return damage


def appended(file: str, text: str | None) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        path = run / file
        path.write_text(path.read_text() + (path.read_text() if text is None else text))

    return damage


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a torn result": (appended("results.jsonl", '{"model": '), r"results\.jsonl:2: damaged line"),
    "a result nested without end": (
        appended("results.jsonl", "[" * 100_000),
        r"results\.jsonl:2: damaged line",
    ),
    "a result twice": (appended("results.jsonl", None), "lacks the reply of small:1b to colours/sky"),
    "both twice": (
        lambda run: [appended(f"{name}.jsonl", None)(run) for name in ("results", "replies")],
        "holds colours/sky of small:1b twice",
    ),
    "a model of no name": (first_line("results.jsonl", model=7), r"results\.jsonl:1: damaged line: a name"),
    "a time in words": (first_line("results.jsonl", timings={"decode_s": "long"}), "a figure is no number"),
    "another model": (
        lambda run: [first_line(f"{name}.jsonl", model="x")(run) for name in ("results", "replies")],
        "knows no model 'x'",
    ),
    "a reply cut": (
        lambda run: (run / "replies.jsonl").write_text('{"mo'),
        r"replies\.jsonl:1: damaged",
    ),
    "a reply of no text": (
        first_line("replies.jsonl", reply={**ModelReply().to_json(), "text": 7}),
        r"replies\.jsonl:1: damaged line: a name or a reply is no text",
    ),
    "a reply gone": (
        lambda run: (run / "replies.jsonl").write_text(""),
        "lacks the reply of small:1b",
    ),
    "no replies": (lambda run: (run / "replies.jsonl").unlink(), r"replies\.jsonl cannot be read"),
    "settings gone": (first_line("run.json", settings=[]), r"run\.json is damaged: settings"),
    "no model": (first_line("run.json", models=[]), r"run\.json is damaged: models"),
    "a hash of no text": (
        first_line("run.json", tasks={"colours": {"hash": 1}}),
        r"damaged: tasks\.colours\.hash",
    ),
}


@pytest.mark.parametrize("name", DAMAGED, ids=[name.replace(" ", "-") for name in DAMAGED])
def test_a_damaged_record_is_named_and_nothing_is_written(name: str, blue: Recorded) -> None:
    run = blue.write()
    (run / "run.json").write_text(json.dumps(json.loads((run / "run.json").read_text())) + "\n")
    damage, said = DAMAGED[name]
    damage(run)
    before = contents(run)

    with pytest.raises(RunRecordError, match=said):
        blue.rescore(run)

    assert contents(run) == before
    assert not (blue.root / "new").exists()


def test_a_place_that_takes_no_record_is_a_sentence(blue: Recorded) -> None:
    run = blue.write()
    (blue.root / "new").write_text("a file")

    done = blue.command(run)

    assert done.returncode == 4
    assert "name another folder with --reports DIR" in done.stderr


CODE_TASK = "task: colours\nabout: Code.\nsource: tests\nchecks: [{kind: code, capability: content}]\n"
CODE_CASES = """\
- id: sky
  input: Write double(x).
  expect: {function: double, asserts: ["double(2) == 4"]}
  reference: "```python\\ndef double(x):\\n    return 2 * x\\n```"
"""
RUN_EVALS = "from evals.__main__ import app\nfrom evals.command_line import run_app\nrun_app(app)"


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
@pytest.mark.parametrize(
    ("allowed", "outcome"), [("", "error"), ("1", "pass")], ids=["not allowed", "allowed"]
)
def test_code_is_run_without_a_fence_only_on_the_users_word(
    allowed: str, outcome: str, tmp_path: Path
) -> None:
    made = Recorded(tmp_path, CODE_CASES, CODE_TASK)
    made.reply("sky", "```python\ndef double(x):\n    return x + x\n```")
    run = made.write()

    subprocess.run(
        [
            sys.executable,
            "-c",
            REFUSE + RUN_EVALS,
            "rescore",
            str(run),
            "--golden",
            str(made.golden),
            "--no-gate",
        ],
        env={**os.environ, "GOLDENGATE_REPORTS": str(tmp_path / "new"), "GOLDENGATE_RUN_CODE": allowed},
        capture_output=True,
        timeout=120,
        check=True,
    )
    (new,) = (tmp_path / "new").iterdir()

    assert [one.outcome for one in read_results(new)[0].checks] == [outcome]


def changes_of(reason: str, *counts: int) -> Changes:
    """A check for each count, which so many cases fail now for that reason."""
    comparison = Comparison()
    for number, count in enumerate(counts):
        name = f"c{number}"
        for case in range(count):
            before = record(check("pass", name=name), case=str(case))
            now = record(check("fail", name=name, reason=reason), case=str(case))
            assert len(list(comparison.take(before, now))) == 1
    return Changes(run_info(), run_info(), comparison, LeftOut((), (), ()))


def test_one_check_has_all_the_room_and_long_reasons_are_cut() -> None:
    lines = list(flip_lines(changes_of("x" * 1000, 40)))

    assert len(lines) == LINES_SHOWN + 1
    assert lines[0] == "colours c0: 40 pass -> fail"
    assert all(len(line) < 220 for line in lines)
    assert lines[-1] == "and 11 more, in flips.jsonl"


@given(st.lists(st.integers(0, 60), max_size=40))
def test_flips_take_thirty_lines_at_most_and_none_is_lost(counts: list[int]) -> None:
    lines = list(flip_lines(changes_of("lacks 'blue'", *counts)))

    shown = sum(line.startswith("  ") for line in lines)
    more = int(lines.pop().split()[1].replace(",", "")) if lines and lines[-1].startswith("and ") else 0
    assert shown + more == sum(counts)
    assert len(lines) <= LINES_SHOWN
    assert bool(lines) == any(counts)
