"""The progress line: one line, never wider than the terminal, made of printable characters."""

from __future__ import annotations

import io
import time

import pytest
from rich.cells import cell_len

from evals.report.progress import Progress

HOSTILE = "mod\x1b[2Jel\u202e\r\n" + "x" * 200


def long_ago() -> float:
    return time.monotonic() - 1000.0


def screen(written: str) -> list[str]:
    """What a terminal showed after each carriage return."""
    return [part for part in written.split("\r") if part]


@pytest.mark.parametrize("columns", [80, 40, 10, 2])
@pytest.mark.parametrize("model", ["small:1b", HOSTILE, "模型" * 60], ids=["plain", "hostile", "wide"])
@pytest.mark.parametrize("live", [True, False], ids=["live", "log"])
def test_the_line_fits_the_terminal_and_does_not_steer_it(
    columns: int, model: str, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.StringIO()
    progress = Progress(stream, live=live, now=long_ago())
    progress.total = 263

    progress.judged(model, "minecraft_ops/give-diamonds")

    lines = screen(stream.getvalue()) if live else stream.getvalue().strip("\n").split("\n")
    assert len(lines) == 1
    assert 0 < cell_len(lines[0]) < columns
    assert lines[0].isprintable()


def test_the_line_tells_figures_first() -> None:
    progress = Progress(io.StringIO(), live=False, now=100.0)
    progress.total = 10
    progress.judged("small:1b", "colours/sky")
    progress.judged("small:1b", "colours/sea")

    assert progress.text(now=120.0) == "2/10 cases  1 min 20 s left  small:1b  colours/sea"


def test_without_a_total_or_a_case_nothing_is_foretold() -> None:
    progress = Progress(io.StringIO(), live=False, now=100.0)

    assert progress.text(now=120.0) == "0 cases  "
    progress.judged("small:1b", "colours/sky")
    assert progress.text(now=120.0) == "1 cases  small:1b  colours/sky"
    assert progress.seconds_left(120.0) is None


def test_throughput_counts_the_tokens_of_replies() -> None:
    progress = Progress(io.StringIO(), live=False, now=time.monotonic() - 10.0)
    assert progress.tokens_per_s() is None

    progress.replied(100)
    progress.replied(0)

    assert progress.tokens_per_s() == pytest.approx(10.0, rel=0.1)


def test_a_shorter_line_covers_the_longer_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    progress = Progress(stream, live=True, now=long_ago())
    progress.judged("模型" * 10, "colours/a-case-with-a-long-name")
    time.sleep(0.11)
    progress.judged("s", "a")
    progress.clear()
    progress.clear()

    longer, shorter, gone = screen(stream.getvalue())
    assert cell_len(shorter) == cell_len(longer)
    assert shorter.rstrip() == "2 cases  s  a"
    assert gone == " " * len("2 cases  s  a")
    assert stream.getvalue().endswith("\r")


def test_lines_are_not_drawn_more_often_than_they_can_be_read() -> None:
    live, log = io.StringIO(), io.StringIO()
    for stream, is_live in ((live, True), (log, False)):
        progress = Progress(stream, live=is_live, now=long_ago())
        for _ in range(1000):
            progress.judged("small:1b", "colours/sky")

    assert live.getvalue().count("\r") < 20
    assert log.getvalue().count("small:1b") == 1


def test_nothing_is_cleared_where_nothing_was_drawn() -> None:
    stream = io.StringIO()
    Progress(stream, live=True).clear()

    assert stream.getvalue() == ""


def test_the_line_is_there_before_the_first_reply_and_only_on_a_terminal() -> None:
    live, log = io.StringIO(), io.StringIO()
    for stream, is_live in ((live, True), (log, False)):
        progress = Progress(stream, live=is_live)
        progress.total = 40
        progress.begin()
        progress.begin()

    assert screen(live.getvalue()) == ["0/40 cases  waiting for the first reply"]
    assert log.getvalue() == ""


@pytest.mark.parametrize("live", [True, False], ids=["terminal", "log"])
def test_a_note_stands_on_a_line_of_its_own_and_cannot_steer_the_terminal(live: bool) -> None:
    stream = io.StringIO()
    progress = Progress(stream, live=live, now=0.0)
    progress.begin()
    stream.write("..m")

    progress.tell("waiting for \x1b[31mhost")

    assert stream.getvalue().endswith("note: waiting for \\x1b[31mhost\n")
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().rpartition("note:")[0][-1:] == ("\r" if live else "\n")
