"""Narrow terminals, no terminal, and no colours."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import pytest
from rich.cells import cell_len

from tests.evals_run import write_task
from tests.fault_server import ANSI, FaultServer, answer, error
from tests.faults.played_run import PlayedRun, judged
from tests.faults.terminal import SGR, drawn_lines, in_terminal

NARROW = 40


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """A server that is slow enough for the progress line to be drawn."""
    with FaultServer(delay_s=0.2) as server:
        yield server


def run_in_terminal(played: PlayedRun, *arguments: str, columns: int, **more: str) -> tuple[int, str]:
    environment = played.environment(TERM="xterm-256color", **more)
    environment.pop("COLUMNS")  # the terminal itself tells
    return in_terminal(played.command(*arguments), played.root, environment, columns)


def test_in_forty_columns_no_line_is_longer_than_the_terminal_but_paths(
    played: PlayedRun, fault_server: FaultServer
) -> None:
    fault_server.play_for("question 1?", answer("Nothing of the kind."))
    fault_server.play_for("question 2?", answer("まったく違う答えです。" * 20))
    fault_server.play_for("question 3?", error(400, "this server does not like such a question at all"))
    played.cache.mkdir()
    (played.cache / "responses").write_text("a file where the folder should be")  # a note tells of it
    # pytest's own header and account of failures are as wide as they are; all else is ours.
    status, written = run_in_terminal(
        played, "--no-header", "--tb=no", "-rN", "--concurrency", "1", columns=NARROW
    )
    assert status == 1, written
    lines = drawn_lines(written)
    assert any(re.match(r"[1-9]/10 cases", line) for line in lines), "the progress line was not drawn"
    long = [line for line in lines if cell_len(line.rstrip()) > NARROW]
    assert [line for line in long if not line.startswith(("run: ", "unfinished run: "))] == []


def test_without_a_terminal_nothing_but_lines_is_written(
    played: PlayedRun, fault_server: FaultServer
) -> None:
    write_task(played.golden, questions=dict.fromkeys(played.questions, "right"), content_floor=1.0)
    fault_server.play_for("question 1?", ANSI)
    done = played.run()
    assert done.status == 1
    assert judged(done.folder) == played.whole()
    assert "\\x1b[31mred" in done.out
    controls = {letter for letter in done.out if unicodedata.category(letter) == "Cc"}
    assert controls == {"\n"}


def test_no_color_means_no_colour_and_changes_no_word(played: PlayedRun) -> None:
    status, coloured = run_in_terminal(played, columns=80)
    assert status == 0
    assert SGR.search(coloured)
    status, plain = run_in_terminal(played, columns=80, NO_COLOR="1")
    assert status == 0
    assert not SGR.search(plain)
    assert "\x1b" not in plain
    assert "The gate holds." in plain
    assert "The gate holds." in SGR.sub("", coloured)
