"""The leaderboard on the terminal: models in order, the share of whole cases with its interval, capabilities, speed.

A line a model. A name that finds no room stands on a line of its own; where the figures find none, they flow. Nothing
is left out in either case.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evals.checks.answers import shorten
from evals.leaderboard import Standing, capabilities_in_order, quality
from evals.report.page import WHOLE, Cell
from evals.report.tables import percent

NAME_LIMIT = 70
HEAD_LIMIT = 10
SHORT_HEADS = {"reasoning": "reason.", "consistency": "consist."}
NOT_APART = "not distinguishable from the first"
# Of a place and its mark, before each name.
PLACE_WIDTH = 3


def print_standings(console: Console, standings: Sequence[Standing]) -> None:
    """Print the leaderboard of two models or more, the best first as given; of fewer there is nothing to compare."""
    if len(standings) < 2:
        return
    heads = _heads(standings)
    rows = [_figures(row, heads) for row in standings]
    widths = [max(map(cell_len, column)) for column in zip(_shown(heads), *rows, strict=True)]
    room = console.width - sum(widths) - len(widths) - PLACE_WIDTH - 1
    names = [shorten(row.model, NAME_LIMIT) for row in standings]
    name_width = max((cell_len(name) for name in ["model", *names] if cell_len(name) <= room), default=0)
    if name_width:
        _line(console, _row(" " * PLACE_WIDTH + "model", name_width, _shown(heads), widths), "dim")
    for row, name, figures in zip(standings, names, rows, strict=True):
        place = _place(row, standings)
        if name_width and cell_len(name) <= name_width:
            _line(console, _row(place + name, name_width, figures, widths))
            continue
        _long_name(console, place, name)
        if name_width:
            _line(console, _row("", name_width, figures, widths))
        else:
            named = [shorten(head, NAME_LIMIT) for head in heads]
            told = [f"{head} {figure}" for head, figure in zip(named, figures, strict=True) if figure != "-"]
            for line in _flowing(told or ["nothing was judged"], console.width - 2):
                _indented(console, line)
    for line in _legend(standings):
        _indented(console, line)


def _legend(standings: Sequence[Standing]) -> Iterator[str]:
    if any(_not_apart(row, standings[0]) for row in standings[1:]):
        yield (
            f"~ {NOT_APART}: the 95% intervals overlap. A comparison case by case (--baseline) can tell more apart."
        )
    if any(WHOLE in row.overall for row in standings):
        yield "whole: cases that pass all of their checks, with a 95% interval; all columns pool the tasks"
    else:
        yield "mean: of the capabilities; single cases are not known, so there is no interval"


def _heads(standings: Sequence[Standing]) -> list[str]:
    """Names of the columns of figures, the one that decides the order first."""
    capabilities = capabilities_in_order(name for row in standings for name in row.overall if name != WHOLE)
    known = any(WHOLE in row.overall for row in standings)
    speed = any(row.figures.tokens_per_s is not None for row in standings)
    return [WHOLE if known else "mean", *capabilities, *(["tok/s"] if speed else [])]


def _shown(heads: Sequence[str]) -> list[str]:
    return [SHORT_HEADS.get(head) or shorten(head, HEAD_LIMIT) for head in heads]


def _figures(row: Standing, heads: Sequence[str]) -> list[str]:
    figures: list[str] = []
    for head in heads:
        cell = row.overall.get(head)
        if head == "tok/s":
            speed = row.figures.tokens_per_s
            figures.append("-" if speed is None else f"{speed:.1f}")
        elif head == "mean":
            figures.append(percent(quality(row), 0) if row.overall else "-")
        elif cell is None:
            figures.append("-")
        else:
            figures.append(_with_interval(cell) if head == WHOLE else percent(cell.rate, 0))
    return figures


def _place(row: Standing, standings: Sequence[Standing]) -> str:
    """`2~`: models of the same figure share a place; the mark stands for `NOT_APART`."""
    place = 1 + sum(quality(other) > quality(row) for other in standings)
    mark = "~" if row is not standings[0] and _not_apart(row, standings[0]) else " "
    return f"{place:>2}{mark}"


def _not_apart(row: Standing, first: Standing) -> bool:
    own, best = row.overall.get(WHOLE), first.overall.get(WHOLE)
    return own is not None and best is not None and own.high >= best.low


def _with_interval(cell: Cell) -> str:
    """`61% (57-65)`, the ends rounded outwards."""
    low, high = math.floor(round(cell.low * 100, 6)), math.ceil(round(cell.high * 100, 6))
    return f"{percent(cell.rate, 0)} ({low}-{high})"


def _row(name: str, name_width: int, cells: Sequence[str], widths: Sequence[int]) -> str:
    start = name + " " * (PLACE_WIDTH + name_width - cell_len(name) + 1)
    padded = (" " * (width - cell_len(cell)) + cell for cell, width in zip(cells, widths, strict=True))
    return start + "".join(f" {cell}" for cell in padded)


def _flowing(parts: Sequence[str], width: int) -> Iterator[str]:
    """Parts as lines of at most `width`, broken between parts."""
    line = ""
    for part in parts:
        longer = f"{line}, {part}" if line else part
        if line and cell_len(longer) + 1 > width:
            yield f"{line},"
            longer = part
        line = longer
    yield line


def _long_name(console: Console, place: str, name: str) -> None:
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(place), Text(name, style="bold"))
    console.print(grid)


def _line(console: Console, line: str, style: str = "") -> None:
    console.print(Text(line, style=style))


def _indented(console: Console, line: str) -> None:
    console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
