"""How a training goes, while it goes: a bar, the loss, tokens a second and the time left.

On a terminal it is one line that is rewritten, without a thread of its own that would take time from the training;
elsewhere (a log, CI) a line now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

REDRAW_EVERY_S = 0.1
LOG_EVERY_S = 30.0
# Narrower than this there is room for neither the bar nor the speed.
WIDE = 70


class Progress(Protocol):
    """What a training tells of itself. `end` comes in any case, whatever broke the training off."""

    def begin(self, total_steps: int) -> None:
        """Before the first step of this process, which is not step 1 where a training is resumed."""

    def step(self, step: int, loss: float, tokens: int, tokens_per_s: float) -> None:
        """After optimiser step number `step`, from 1: its mean loss, and the tokens of all steps up to it."""

    def end(self) -> None:
        """After the last step, or where the training broke off."""


class TerminalProgress:
    """Shows a training on a console of rich. `now` gives seconds."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = now
        self._bar: Bar | None = None
        self._total = 0
        self._first: tuple[int, float] | None = None
        self._told = 0.0
        self._step = 0
        self._newest = self._shown = ""

    def begin(self, total_steps: int) -> None:
        self._total = total_steps
        self._told = self._now()
        self._first, self._step = None, 0
        self._newest = self._shown = ""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            self._print(f"0/{total_steps} steps")
            return
        columns = [BarColumn(bar_width=None)] if self._console.width >= WIDE else []
        words = TextColumn(
            "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
        )
        self._bar = Bar(*columns, words, console=self._console, auto_refresh=False, expand=True)
        self._bar.add_task(f"0/{total_steps}  waiting for the first step", total=total_steps)
        self._bar.start()

    def step(self, step: int, loss: float, tokens: int, tokens_per_s: float) -> None:
        now = self._now()
        # The first step is where time starts: it waits for what is made ready once.
        self._first = self._first or (step, now)
        self._step = step
        parts = [f"{step}/{self._total}", f"loss {loss:.4f}"]
        if self._bar is None or self._console.width >= WIDE:
            parts.append(f"{tokens_per_s:,.0f} tok/s")
        before, started = self._first
        if step > before:
            left = round((now - started) / (step - before) * (self._total - step))
            parts.append(f"{_duration(left)} left")
        if self._bar is None:
            parts.append(f"{tokens:,} tokens")
        self._newest = "  ".join(parts)
        if step == before or now - self._told >= (LOG_EVERY_S if self._bar is None else REDRAW_EVERY_S):
            self._told = now
            self._show()

    def end(self) -> None:
        if self._newest != self._shown:
            self._show()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self) -> None:
        self._shown = self._newest
        if self._bar is None:
            self._print(self._newest)
        else:
            self._bar.update(
                self._bar.task_ids[0], completed=self._step, description=self._newest, refresh=True
            )

    def _print(self, words: str) -> None:
        self._console.print(Text(words), soft_wrap=True)


def _duration(seconds: int) -> str:
    """`2:05 min`, `13:20 h`."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes >= 60 else f"{minutes}:{rest:02d} min"
