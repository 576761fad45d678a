"""The health of golden tasks on the terminal: a table with a line a task, then what deserves a look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evals.health import ENOUGH_ANSWERS, NEAR, Lengths, NearPair, TaskHealth
from evals.report.tables import percent

PAIRS_SHOWN = 10
COLUMNS = ("task", "cases", "dev", "gate", "input", "answer", "drop", "in gate")


def print_health(console: Console, tasks: Sequence[TaskHealth]) -> None:
    """Print all tasks; what fails is said last, in words."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "task" else "right", no_wrap=True)
    for one in tasks:
        table.add_row(*_cells(one))
    console.print(table)
    console.print(
        "input, answer: words, median / 90% / most; drop: the smallest drop of a "
        "pass rate that all cases, or those of the gate split, show at 80% power, at best."
    )
    for one in tasks:
        console.print()
        console.print(Text(one.task, style="bold"))
        for line in _lines(one):
            console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
    console.print()
    count = sum(len(one.across) for one in tasks)
    if count:
        what = "1 near duplicate stands" if count == 1 else f"{count} near duplicates stand"
        console.print(
            Text(f"{what} in both splits: move one of each pair, or write it anew.", style="bold red")
        )
    else:
        console.print(Text("No near duplicate stands in both splits.", style="bold green"))


def _cells(one: TaskHealth) -> tuple[str, ...]:
    dev, gate = (str(one.splits.get(split, 0)) for split in ("dev", "gate"))
    drops = ("-" if drop is None else percent(drop) for drop in (one.drop, one.drop_gate))
    return (
        one.task,
        str(one.cases),
        dev,
        gate,
        _words(one.inputs),
        _words(one.references),
        *drops,
    )


def _words(lengths: Lengths) -> str:
    return f"{lengths.median}/{lengths.p90}/{lengths.longest}"


def _lines(one: TaskHealth) -> Iterator[str]:
    yield "tags: " + (", ".join(f"{tag} {count}" for tag, count in one.tags.items()) or "none")
    yield f"wrong answers beside {one.wrong} of {one.cases} cases"
    for pair in one.near[:PAIRS_SHOWN]:
        yield _pair(pair)
    if len(one.near) > PAIRS_SHOWN:
        yield f"and {len(one.near) - PAIRS_SHOWN} more near duplicates ({NEAR:g}% or more)"
    if one.answers < ENOUGH_ANSWERS:
        yield f"recorded answers: {one.answers}, too few to tell checks that never fail or never pass"
        return
    over = f"over {one.answers} recorded answers of {one.models} model{'s' * (one.models != 1)}"
    yield f"{over}, never failed: {_names(one.never_fails)}"
    yield f"{over}, never passed: {_names(one.never_passes)}"


def _pair(pair: NearPair) -> str:
    where = "one in dev, one in gate" if pair.across else "in the same split"
    return f"near duplicates ({pair.likeness:.0f}%), {where}: {pair.one} ~ {pair.other}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
