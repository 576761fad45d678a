"""The progress of a training, on a terminal and in a log, with a clock that the test sets."""

from __future__ import annotations

import io
import math
import re

import pytest
from rich.console import Console

from training.progress import LOG_EVERY_S, Progress, TerminalProgress

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def shown(*, terminal: bool, width: int = 80, colour: bool = True) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    console = Console(
        file=stream,
        force_terminal=terminal,
        width=width,
        no_color=not colour,
        legacy_windows=False,
        _environ={},
    )
    return console, stream


def lines(stream: io.StringIO) -> list[str]:
    """All that was ever seen, line by line, as it stood."""
    return [line for line in re.split(r"[\r\n]", _CONTROL.sub("", stream.getvalue())) if line.strip()]


def train(progress: Progress, clock: Clock, *, steps: int, first: int = 1, seconds: float = 2.0) -> None:
    progress.begin(steps)
    for step in range(first, steps + 1):
        clock.s += seconds
        progress.step(step, 2 / step, step * 1000, 1234.5)
    progress.end()


@pytest.mark.parametrize("width", [200, 80, 40])
def test_a_terminal_has_one_line_that_fits(width: int) -> None:
    console, stream = shown(terminal=True, width=width)
    clock = Clock()
    train(TerminalProgress(console, clock), clock, steps=12_345, first=12_301, seconds=9_000.0)
    told = lines(stream)
    assert max(map(len, told)) <= width
    assert stream.getvalue().count("\n") == 1
    assert any("12302/12345  loss 0.0002" in line and "107:30 h left" in line for line in told)
    assert "12345/12345  loss 0.0002" in told[-1]
    assert "0:00 min left" in told[-1]


def test_a_terminal_with_too_little_room_for_the_words_still_has_one_line() -> None:
    console, stream = shown(terminal=True, width=20)
    clock = Clock()
    train(TerminalProgress(console, clock), clock, steps=12_345, first=12_340)
    assert (max(map(len, lines(stream))), stream.getvalue().count("\n")) == (20, 1)


def test_a_wide_terminal_has_a_bar_and_the_speed() -> None:
    console, stream = shown(terminal=True)
    clock = Clock()
    train(TerminalProgress(console, clock), clock, steps=4)
    told = lines(stream)
    assert told[0].endswith("0/4  waiting for the first step")
    halves = [line for line in told if "2/4" in line]
    assert re.fullmatch(r"[━╸╺ ]+ 2/4  loss 1\.0000  1,234 tok/s  0:04 min left *", halves[0])
    assert re.fullmatch(r"━+ 4/4  loss 0\.5000  1,234 tok/s  0:00 min left *", told[-1])


def test_a_bar_without_colours_is_as_long_as_what_is_done() -> None:
    console, stream = shown(terminal=True, colour=False)
    clock = Clock()
    train(TerminalProgress(console, clock), clock, steps=4)
    told = lines(stream)
    done = [next(line for line in told if f"{step}/4" in line).count("━") for step in (0, 1, 2, 4)]
    assert done[0] == 0
    assert done[1] < done[2] < done[3]


def test_a_log_has_a_line_now_and_then_and_no_control_characters() -> None:
    console, stream = shown(terminal=False)
    clock = Clock()
    train(TerminalProgress(console, clock), clock, steps=40, seconds=2.0)
    text = stream.getvalue()
    assert text.isascii()
    assert "\x1b" not in text and "\r" not in text
    told = text.splitlines()
    assert told[:2] == ["0/40 steps", "1/40  loss 2.0000  1,234 tok/s  1,000 tokens"]
    assert [line.partition("/")[0] for line in told] == ["0", "1", "16", "31", "40"]
    assert told[2] == "16/40  loss 0.1250  1,234 tok/s  0:48 min left  16,000 tokens"
    assert told[-1].startswith("40/40")


def test_a_log_says_nothing_twice() -> None:
    console, stream = shown(terminal=False)
    clock = Clock()
    train(TerminalProgress(console, clock), clock, steps=3, seconds=LOG_EVERY_S)
    assert [line.partition("/")[0] for line in stream.getvalue().splitlines()] == ["0", "1", "2", "3"]


def test_the_time_left_of_a_resumed_training_is_from_its_own_pace() -> None:
    console, stream = shown(terminal=False)
    clock = Clock()
    train(TerminalProgress(console, clock), clock, steps=100, first=91, seconds=40.0)
    (line,) = [line for line in stream.getvalue().splitlines() if line.startswith("95/100")]
    assert "3:20 min left" in line


def test_a_training_that_breaks_off_leaves_its_last_step_and_a_usable_terminal() -> None:
    console, stream = shown(terminal=True)
    clock = Clock()
    progress = TerminalProgress(console, clock)
    progress.begin(10)
    clock.s += 1
    progress.step(1, 2.0, 1000, 50.0)
    clock.s += 0.01  # too soon to be drawn at once
    progress.step(2, math.nan, 2000, 50.0)
    assert "2/10" not in stream.getvalue()
    progress.end()
    progress.end()
    assert "2/10  loss nan" in lines(stream)[-1]
    assert stream.getvalue().endswith("\x1b[?25h")  # the cursor is back


def test_a_training_that_breaks_off_before_its_first_step_ends_its_line() -> None:
    console, stream = shown(terminal=True)
    progress = TerminalProgress(console, Clock())
    progress.begin(10)
    progress.end()
    assert lines(stream)[-1].rstrip().endswith("0/10  waiting for the first step")


def test_the_same_progress_can_show_a_second_training() -> None:
    console, stream = shown(terminal=False)
    clock = Clock()
    progress = TerminalProgress(console, clock)
    train(progress, clock, steps=2)
    train(progress, clock, steps=2)
    told = stream.getvalue().splitlines()
    assert told[: len(told) // 2] == told[len(told) // 2 :]


def test_a_terminal_that_can_only_print_gets_lines() -> None:
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, width=80, legacy_windows=False, _environ={"TERM": "dumb"}
    )
    clock = Clock()
    train(TerminalProgress(console, clock), clock, steps=2)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().splitlines()[-1].startswith("2/2")
