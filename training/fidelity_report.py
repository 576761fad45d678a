"""What `python -m training fidelity` prints: a row for each step, the verdicts that flipped, and what that means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evals.checks.answers import shorten
from evals.report.visible import visible
from training.fidelity import FIDELITY_FILE, Fidelity
from training.fidelity_findings import Finding
from training.fidelity_measure import START, Against, Measured

COLUMNS = ("step", "passed", "flips", "vs 1", "text", "start", "prompt")
# So many cases are named; fidelity.json has all.
NAMED = 8
_STATES = {"nothing": ("ok", "green"), "rounding": ("note", "yellow"), "quantisation": ("loss", "bold red")}
_FAULT = ("fault", "bold red")


def print_fidelity(console: Console, result: Fidelity) -> None:
    """All of it in words too; a table, or where the terminal is too narrow for it, a block for each step."""
    split = f" of the split {result.split}" if result.split else ""
    _say(console, f"fidelity of {result.name} on {result.task}: {_counted(result.cases, 'case')}{split}")
    numbers = {one.step.label: number for number, one in enumerate(result.measured, start=1)}
    rows = [_cells(one, numbers) for one in result.measured]
    if _width(rows) <= console.width:
        console.print(_table(rows))
    else:
        for row in rows:
            _print_block(console, row)
    _say(
        console,
        "passed: verdicts. flips: lost and won against the step that it is made from. vs 1: the same against step 1. "
        f"text, start: answers equal to those of the step it is made from, wholly and in their first {START} characters. "
        "prompt: tokens against step 1.",
        "dim",
    )
    for one in result.measured:
        for line in _flip_lines(one, numbers):
            _say(console, line)
    for reason in result.skipped:
        _say(console, f"skipped: {reason}", "yellow")
    console.print(_findings(result.findings, numbers))
    _say(console, f"{FIDELITY_FILE} in the run's folder has every case")
    console.print(Text(visible(f"run: {result.run}")), soft_wrap=True)  # to be copied


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(visible(text), style=style))


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _cells(one: Measured, numbers: dict[str, int]) -> list[str]:
    """A row, in the order of `COLUMNS`."""
    passed = f"{sum(one.rates.values())}/{one.cases * len(one.rates)}"
    name = visible(f"{numbers[one.step.label]} {one.step.label}")
    before, first = one.before, one.first
    if before is None or first is None:
        return [name, passed, "", "", "", "", ""]
    flips = f"{numbers[before.other]}: {_signed(before)}"
    return [
        name,
        passed,
        flips,
        _signed(first),
        _share(before.same_text, before.cases),
        _share(before.same_start, before.cases),
        _prompt(first),
    ]


def _signed(against: Against) -> str:
    return f"-{against.lost} +{against.won}" if against.cases else "?"


def _share(part: int, whole: int) -> str:
    """Never rounded up to all, nor down to none."""
    if not whole:
        return "?"
    percent = part * 100 / whole
    if 0 < part < whole:
        percent = min(99, max(1, percent))
    return f"{percent:.0f}%"


def _prompt(against: Against) -> str:
    if against.cases == against.untold:
        return "?"
    if not against.prompts:
        return "same"
    low, high = min(against.prompts.values()), max(against.prompts.values())
    return f"{low:+d}" if low == high else f"{low:+d}..{high:+d}"


def _width(rows: Sequence[Sequence[str]]) -> int:
    widths = [max(map(cell_len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    return sum(widths) + 2 * (len(COLUMNS) - 1)


def _table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(COLUMNS):
        table.add_column(name, no_wrap=True, justify="right" if place in (1, 4, 5) else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _print_block(console: Console, row: Sequence[str]) -> None:
    console.print(Text(row[0], style="bold"))
    for name, cell in zip(COLUMNS[1:], row[1:], strict=True):
        if cell:
            console.print(Padding(Text(f"{name:<7}{cell}"), (0, 0, 0, 2), expand=False))


def _flip_lines(one: Measured, numbers: dict[str, int]) -> Iterator[str]:
    """`6 Ollama, q4_K_M, content: lost 3, won 0 of 20 against 5 (p = 0.250)`, and which."""
    if one.before is None:
        return
    for flip in one.before.flips:
        if not (flip.lost or flip.won):
            continue
        yield (
            f"{numbers[one.step.label]} {one.step.label}, {flip.capability}: lost {len(flip.lost)}, won {len(flip.won)} of "
            f"{flip.cases} against {numbers[one.before.other]} (p = {flip.p:.3f})"
        )
        for name, cases in (("lost", flip.lost), ("won", flip.won)):
            if cases:
                yield f"  {name}: {_named(cases)}"


def _named(cases: Sequence[str]) -> str:
    more = f" and {len(cases) - NAMED} more" if len(cases) > NAMED else ""
    return ", ".join(map(shorten, cases[:NAMED])) + more


def _findings(findings: Sequence[Finding], numbers: dict[str, int]) -> Table:
    table = Table.grid(padding=(0, 2))
    for one in findings:
        state, style = _STATES.get(one.kind, _FAULT)
        said = Text()
        if one.kind != "nothing":
            said.append(f"{numbers[one.step]} {visible(one.step)}: ", style="bold")
        said.append(visible(one.what))
        if one.cases:
            said.append(visible(f"\ncases: {_named(one.cases)}"))
        if one.mend:
            said.append(visible(f"\nmend: {one.mend}"))
        table.add_row(Text(state, style=style), said)
    return table
