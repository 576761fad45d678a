"""The progress line: model, case, tokens a second, time left.

On a terminal it is one line that is rewritten; elsewhere (a log, CI) a line now and then.
"""

from __future__ import annotations

import shutil
import textwrap
import time
from collections import deque
from typing import Protocol

from rich.cells import cell_len

from evals.checks.answers import shorten

REDRAW_EVERY_S = 0.1
LOG_EVERY_S = 30.0
RECENT = 50
NOTE_LIMIT = 500


class Writer(Protocol):
    """What the line is written to: a terminal writer or a text file."""

    def write(self, text: str, /) -> object:
        """Write at once, without waiting for the end of a line."""


class Progress:
    """Counts cases done and tells how it goes. `total` cases are 0 until it is known."""

    def __init__(self, stream: Writer, *, live: bool, now: float | None = None) -> None:
        self._stream = stream
        self._live = live
        self._started = time.monotonic() if now is None else now
        self._drawn = self._started
        self._width = 0
        # Asked once and now: while a test runs, pytest holds the terminal, and its width cannot be told.
        self._columns = max(shutil.get_terminal_size().columns - 1, 1)
        # When each of the latest replies came and its tokens; the first entry is only where time starts.
        self._fresh = deque([(self._started, 0)], maxlen=RECENT + 1)
        self._where = ""
        self.unit = "cases"
        self.total = 0
        self.done = 0

    def begin(self) -> None:
        """Show the line before there is anything to tell: the first reply waits for the model to load."""
        if self._live and not self._width and not self.done:
            self._show(f"0/{self.total} {self.unit}  waiting for the first reply")

    def replied(self, tokens: int) -> None:
        """A model has answered, in so many tokens; its test may come later."""
        self._fresh.append((time.monotonic(), tokens))
        self._draw()

    def judged(self, model: str, case: str) -> None:
        """A case is judged."""
        self.done += 1
        self._where = f"{model}  {case}"
        self._draw()

    def tell(self, note: str) -> None:
        """Something that the user should know while it happens, such as a wait for a server: a line that stays."""
        self.clear()
        said = f"note: {shorten(note, NOTE_LIMIT)}"
        wrapped = textwrap.fill(said, self._columns, break_on_hyphens=False)
        self._stream.write(f"{wrapped}\n" if self._live else f"\n{said}\n")

    def clear(self) -> None:
        """Take the live line away, so that other output starts on a clean line."""
        if self._live and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._width = 0

    def _draw(self) -> None:
        now = time.monotonic()
        if now - self._drawn < (REDRAW_EVERY_S if self._live else LOG_EVERY_S):
            return
        self._drawn = now
        self._show(self.text(now))

    def _show(self, line: str) -> None:
        text = shorten(line, self._columns)
        # Of Chinese, Japanese and Korean letters, each takes two columns.
        while cell_len(text) > self._columns:
            text = text[:-2] + "…"
        if self._live:
            self._stream.write("\r" + text + " " * (self._width - cell_len(text)))
            self._width = cell_len(text)
        else:
            self._stream.write(f"\n{text}\n")

    def text(self, now: float) -> str:
        """The line itself; figures first, since the end may be cut."""
        total = f"/{self.total}" if self.total else ""
        parts = [f"{self.done}{total} {self.unit}"]
        if (rate := self.tokens_per_s()) is not None:
            parts.append(f"{rate:.0f} tok/s")
        if (left := self.seconds_left(now)) is not None:
            parts.append(f"{_duration(left)} left")
        return "  ".join([*parts, self._where])

    def tokens_per_s(self) -> float | None:
        """Throughput over the latest replies, all requests in flight together."""
        if len(self._fresh) < 2:
            return None
        span = self._fresh[-1][0] - self._fresh[0][0]
        tokens = sum(count for _, count in list(self._fresh)[1:])
        return tokens / span if span > 0 and tokens else None

    def seconds_left(self, now: float) -> float | None:
        """From the pace so far; None until there is one."""
        if not self.total or not self.done:
            return None
        return (now - self._started) / self.done * (self.total - self.done)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
