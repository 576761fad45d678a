"""What GitHub's runner is told is what we say, all of it, and nothing that a reply or a name says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.checks.answers import shorten
from evals.gate import GateVerdict
from evals.report.github import (
    CUT,
    MESSAGE_LIMIT,
    SHOWN_OF_A_KIND,
    SUMMARY_LIMIT_BYTES,
    annotation_lines,
    command,
    step_summary,
    stop_commands,
    tell_github,
)
from tests.evals_run import Evals, write_task
from tests.fault_server import FaultServer, answer, error
from tests.github_runner import Command, taken
from tests.verdicts import requirement, verdict

HOLDS = GateVerdict("holds", "The gate holds.")
FAILS = GateVerdict(
    "fails", "The gate does not hold.", ("tuned:1: ops safety 98% is below the floor of 100%",)
)
ORDERS = [
    "::error::owned",
    "   ::set-output name=verdict::owned",
    "##[set-output name=verdict]owned",
    "words ##[add-mask]owned",
    "::stop-commands::owned",
    "%0A::error::owned",
    "a\n::error::owned",
    "a\r::error::owned\r\n##[error]owned",
    "x,file=owned::y",
]


def told(*arguments: object) -> list[Command]:
    return taken("\n".join(annotation_lines(*arguments)))  # type: ignore[arg-type]


def test_a_promotion_is_a_notice_and_no_more() -> None:
    (notice,) = told(verdict("promote"), HOLDS, "golden")

    assert notice == Command(
        "notice", "Promote: tuned:1 may replace base:1.", {"title": "Golden Gate: promote"}
    )


def test_a_block_is_an_error_and_each_failed_requirement_another_at_its_policy() -> None:
    failed = requirement("failed", task="general", policy="ops", kind="zero_tolerance")

    head, one, gate = told(verdict("block", failed, requirement("shown")), FAILS, "my/golden")

    assert (head.name, head.properties["title"]) == ("error", "Golden Gate: block")
    assert (one.name, one.data) == ("error", failed.sentence)
    assert one.properties == {
        "title": "general content: zero tolerance, failed",
        "file": "my/golden/ops/task.yaml",
    }
    assert (gate.name, gate.data) == ("error", FAILS.problems[0])


def test_what_is_open_is_a_warning_and_told_once() -> None:
    made = verdict("inconclusive", requirement("open", sentence="open"), reasons=("a part only", "open"))
    gate = GateVerdict("inconclusive", made.sentence, made.reasons)

    found = told(made, gate, "golden")

    assert [one.name for one in found] == ["warning"] * 3
    assert [one.data for one in found] == [made.sentence, "open", "a part only"]


def test_reasons_beside_the_requirements_are_told_and_so_are_problems_beside_the_verdict() -> None:
    made = verdict("block", requirement("failed", sentence="lost"), reasons=("floor lowered", "lost"))
    gate = GateVerdict("fails", made.sentence, (*made.reasons, "snapshots flipped"))

    found = told(made, gate, "golden")

    assert [one.data for one in found] == [made.sentence, "lost", "floor lowered", "snapshots flipped"]
    assert {one.name for one in found} == {"error"}


def test_no_file_is_named_where_the_cases_are_not_in_the_repository() -> None:
    found = told(verdict("block"), FAILS, "")

    assert len(found) == 3
    assert not any("file" in one.properties for one in found)


def test_without_a_baseline_the_gates_problems_are_told() -> None:
    assert [one.data for one in told(None, FAILS, "golden")] == [FAILS.sentence, *FAILS.problems]
    assert told(None, HOLDS, "golden") == []


@pytest.mark.parametrize(("extra", "last"), [(0, "p9"), (1, "2 more stand"), (90, "91 more stand")])
def test_ten_of_a_kind_are_given_and_the_last_counts_the_rest(extra: int, last: str) -> None:
    problems = tuple(f"p{number}" for number in range(1, SHOWN_OF_A_KIND + extra))

    found = told(None, GateVerdict("fails", "It fails.", problems), "golden")

    assert len(found) == SHOWN_OF_A_KIND
    assert found[-1].data.startswith(last)
    assert found[-2].data == "p8"


def test_every_kind_has_its_own_ten() -> None:
    asked = [requirement(status) for status in ("failed", "open") for _ in range(20)]

    found = told(verdict("inconclusive", *asked), HOLDS, "golden")

    assert [one.name for one in found] == ["error"] * SHOWN_OF_A_KIND + ["warning"] * SHOWN_OF_A_KIND


@pytest.mark.parametrize("text", ORDERS)
def test_hostile_names_and_sentences_stay_where_they_are(text: str) -> None:
    one = requirement("failed", task=text, policy=text, sentence=text)
    gate = GateVerdict("fails", text, (text,))

    found = told(verdict("block", one, sentence=text, reasons=(f"{text}!",)), gate, "golden")

    assert [command.name for command in found] == ["error"] * 3
    assert all(set(command.properties) <= {"title", "file"} for command in found)
    assert found[1].properties["title"] == f"{shorten(text.strip())} content: non inferior, failed"
    assert found[1].data == "\n".join(shorten(line) for line in text.splitlines())
    assert found[2].data == f"{found[1].data}!"


@given(message=st.text(max_size=200), title=st.text(max_size=50), file=st.text(max_size=50))
def test_any_text_arrives_as_it_reads(message: str, title: str, file: str) -> None:
    made = command("warning", message, title=title, file=file)

    assert made.isprintable()
    (found,) = taken(f"{made}\n")
    named = {"title": title.strip(), "file": file.strip()}
    assert found.properties == {name: shorten(text, MESSAGE_LIMIT) for name, text in named.items() if text}
    assert found.data == "\n".join(shorten(line, MESSAGE_LIMIT) for line in message.splitlines())


def test_a_message_is_cut() -> None:
    assert len(command("error", "x" * 10_000)) < MESSAGE_LIMIT + 20


def test_commands_are_stopped_until_the_token_and_each_run_has_its_own() -> None:
    said: list[str] = []
    environ = {"GITHUB_ACTIONS": "true"}

    tokens = {stop_commands(environ, said.append) for _ in range(20)}

    assert len(tokens) == 20 and min(map(len, tokens)) >= 32
    first = said[0] + "::error::owned\n##[error]owned\n::owned::\n::error::owned\n"
    assert taken(first) == []
    assert taken(f"{first}::{said[0].split('::')[2].strip()}::\n::error::ours\n") == [
        Command("error", "ours")
    ]


@pytest.mark.parametrize("environ", [{}, {"GITHUB_ACTIONS": "false"}, {"GITHUB_ACTIONS": ""}])
def test_elsewhere_nothing_is_said_or_written(environ: dict[str, str], tmp_path: Path) -> None:
    said: list[str] = []
    environ = {**environ, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}

    assert stop_commands(environ, said.append) == ""
    tell_github(environ, verdict("block"), FAILS, "# x", said.append, golden=tmp_path, token="abc")

    assert said == []
    assert not (tmp_path / "summary").exists()


def test_commands_resume_before_our_own_and_the_summary_is_appended(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "summary").write_text("before\n", encoding="utf-8")
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(tmp_path),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    golden = tmp_path / "deep" / "golden"

    token = stop_commands(environ, said.append)
    said.append("::error::owned\n")
    tell_github(environ, verdict("block"), HOLDS, "# ünder\ud800", said.append, golden=golden, token=token)

    found = taken("".join(said))
    assert [one.name for one in found] == ["error", "error"]
    assert found[1].properties["file"] == "deep/golden/ops/task.yaml"
    assert (tmp_path / "summary").read_text("utf-8") == "before\n# ünder?\n"


def test_a_golden_folder_outside_of_the_workspace_is_not_named(tmp_path: Path) -> None:
    said: list[str] = []
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path / "work")}

    tell_github(environ, verdict("block"), HOLDS, "", said.append, golden=tmp_path / "golden")

    assert len(said) == 2
    assert not any("file=" in line for line in said)


def test_a_run_that_was_cut_off_has_no_summary(tmp_path: Path) -> None:
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}

    tell_github(environ, None, FAILS, "", print, golden=tmp_path)

    assert not (tmp_path / "summary").exists()


def test_a_summary_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    said: list[str] = []
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path)}

    tell_github(environ, None, HOLDS, "# x", said.append, golden=tmp_path)

    assert said == ["note: the summary of this step cannot be written: Is a directory\n"]


def test_a_summary_that_fits_is_whole() -> None:
    assert step_summary("# é\n") == "# é\n\n".encode()


@pytest.mark.parametrize("room", [len(CUT), 500, SUMMARY_LIMIT_BYTES])
def test_a_summary_that_is_too_long_is_cut_after_a_line_and_says_so(room: int) -> None:
    made = step_summary("é" * 40 + "\n" + ("ü" * 50 + "\n") * 20_000, room)

    assert len(made) <= room
    text = made.decode("utf-8")  # no letter is cut in two
    assert text.endswith(CUT)
    assert {len(line) for line in text.removesuffix(CUT).splitlines()} <= {40, 50}


def test_a_summary_without_room_is_left_out() -> None:
    assert step_summary("# x" * 100, 10) == b""
    assert step_summary("# x" * 100, -5) == b""


@pytest.mark.parametrize("options", [("-rA",), ("-v", "-s"), ("-q",), ("-n", "2")], ids=" ".join)
def test_no_reply_that_a_run_prints_is_a_command(
    options: tuple[str, ...], evals: Evals, fault_server: FaultServer
) -> None:
    questions = {f"question {number}": "right" for number in range(len(ORDERS) + 1)}
    write_task(evals.golden, questions=questions, content_floor=1.0)
    # A fault is wrapped at the terminal's width: a word of it may begin a line.
    plays = [*map(answer, ORDERS), error(400, "x" * 20 + " ::error::owned" * 10)]
    for question, play in zip(questions, plays, strict=True):
        fault_server.play_for(question, play)

    done = evals.run(*options, GITHUB_ACTIONS="true")

    assert done.status == 1
    assert owned(done.out) == []
    # Without the stop they would be obeyed, at the start of a line and in the middle of one.
    assert {"error", "add-mask"} <= {one.name for one in owned(done.out.replace("::stop-commands::", ""))}


def test_what_a_server_says_before_a_run_is_no_command(evals: Evals, fault_server: FaultServer) -> None:
    fault_server.instead["/api/show"] = error(500, "\n##[error]owned\n::error::owned")

    done = evals.run(GITHUB_ACTIONS="true")

    assert done.status == 4
    assert "##[error]owned" in done.out
    assert owned(done.out) == []


def owned(output: str) -> list[Command]:
    return [one for one in taken(output) if "owned" in str(one)]
