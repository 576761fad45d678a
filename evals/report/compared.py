"""The verdict on a candidate beside its baseline, on the terminal and in Markdown; and what can be shown, before a run.

Names of models may be hostile: whatever steers a terminal or means something in Markdown is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from evals.checks.answers import shorten
from evals.planned import Planned
from evals.report.markdown import escaped, table_lines
from evals.report.tables import percent
from evals.report.verdict_words import (
    LEGEND,
    NAME_LIMIT,
    asked_words,
    by_capability,
    first_of,
    found_words,
    interval,
    lines_below,
    needs_words,
    p_words,
    sides_words,
)
from evals.verdict import Difference, Graded, Requirement, Verdict

LINE_LIMIT = 600
# On the terminal; Markdown has the rest.
REASONS_SHOWN = 8
GRADED_SHOWN = 8
# A comment on GitHub takes 65,536 characters.
COMMENT_HEAD_LIMIT = 30_000
COMMENT_DETAILS_LIMIT = 25_000
COMMENT_MARK = "<!-- golden-gate -->"

_STYLES = {"promote": "bold green", "block": "bold red", "inconclusive": "bold yellow"}
_STATUS_STYLES = {"shown": "green", "failed": "red", "open": "yellow"}
_PLAN_LEGEND = "drops: at 80% power, at best; margins: if no case ends otherwise"
_REQUIREMENT_COLUMNS = ("task", "capability", "asked", "found", "status")
_DIFFERENCE_COLUMNS = ("task", "capability", "cases", "baseline", "candidate", "points (95%)", "p (Holm)")
_GRADED_COLUMNS = ("task", "check", "value", "cases", "baseline", "candidate", "points (95%)")


def print_plan(console: Console, rows: Sequence[Planned]) -> None:
    """Before a run with a baseline: a line a task, what its cases can show; split where the terminal is narrow."""
    names = [shorten(row.task, NAME_LIMIT) for row in rows]
    width = max(map(cell_len, names), default=0)
    digits = max((len(str(row.cases)) for row in rows), default=0)
    for name, row in zip(names, rows, strict=True):
        parts = list(_plan_parts(row))
        line = f"{name:<{width}}  {' ' * (digits - len(str(row.cases)))}{'; '.join(parts)}"
        if cell_len(line) <= console.width:
            _print(console, line)
            continue
        _print(console, name)
        for part in parts:
            _print(console, part, indent=2)
    if rows:
        _print(console, _PLAN_LEGEND, "dim")


def _plan_parts(row: Planned) -> Iterator[str]:
    units = "" if row.units == row.cases else f" ({row.units} independent)"
    seen = "no drop" if row.drop is None else f"drops of {row.drop * 100:.1f} points"
    yield f"{row.cases} {'case' if row.cases == 1 else 'cases'}{units}: sees {seen}"
    if row.margin is not None and row.needed is not None:
        margin = f"margin {row.margin * 100:g}"
        what = "independent cases" if units else "cases"
        yield f"{margin} needs {row.needed} {what}" if row.needed > row.units else f"can show {margin}"


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Print the decision, its reasons, what was found by task, and what follows; colours add nothing to the words."""
    _print(console, shorten(verdict.sentence, LINE_LIMIT), _STYLES[verdict.verdict])
    _print(console, sides_words(verdict), indent=2)
    for reason in first_of(verdict.reasons, REASONS_SHOWN):
        _print(console, f"- {shorten(reason, LINE_LIMIT)}", indent=2)
    if verdict.differences:
        console.print()
        _print_differences(console, verdict)
        _print(console, LEGEND, "dim", indent=2)
    told = verdict.reasons[:REASONS_SHOWN]
    for line in lines_below(verdict, told=told, graded=GRADED_SHOWN):
        _print(console, shorten(line, LINE_LIMIT), indent=2)


def _print_differences(console: Console, verdict: Verdict) -> None:
    """By task, a line a capability with what is asked of it; where that finds no room, a line a figure."""
    rows = [
        (one, _difference_cells(one), _asked_of(one.task, one.capability, verdict))
        for one in verdict.differences
    ]
    heads = ("", "rate", "difference (95%)", "p")
    widths = [
        max(map(cell_len, column)) for column in zip(heads, *(cells for _, cells, _ in rows), strict=True)
    ]
    asked_width = max((cell_len(text) for *_, asked in rows for text, _ in asked), default=0)
    full = 2 + sum(widths) + 2 * len(widths) + asked_width <= console.width
    if full:
        _print(console, _columns(heads, widths), "dim", indent=2)
    task = None
    for one, cells, asked in rows:
        if one.task != task:
            task = one.task
            _print(console, shorten(task, NAME_LIMIT), "bold")
        if full:
            start = _columns(cells, widths)
            for number, (text, status) in enumerate(asked or [("", "")]):
                line = Text(f"  {start}" if number == 0 else " " * (len(start) + 2))
                console.print(line.append(text, style=_STATUS_STYLES.get(status, "")))
        else:
            capability, rate, difference, p = cells
            _print(console, f"{capability}: {rate}", indent=2)
            _print(console, f"{difference}, p {p}", indent=4)
            for text, status in asked:
                _print(console, text, _STATUS_STYLES.get(status, ""), indent=4)


def _columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{cell:<{width}}  " for cell, width in zip(cells, widths, strict=True))


def _difference_cells(one: Difference) -> tuple[str, str, str, str]:
    rate = f"{percent(one.baseline)} -> {percent(one.candidate)}"
    return shorten(one.capability, 20), rate, interval(one), p_words(one.p_holm)


def _asked_of(task: str, capability: str, verdict: Verdict) -> list[tuple[str, str]]:
    """What is asked of a capability and whether it was shown, in few words; with the status."""
    return [
        (f"{_in_short(one)}: {one.status}", one.status)
        for one in verdict.requirements
        if (one.task, one.capability) == (task, capability)
    ]


def _in_short(one: Requirement) -> str:
    words = {
        "superior": "superior",
        "non_inferior": f"{'margin' if one.policy == one.task else 'guard'} {one.bound * 100:g}",
        "zero_tolerance": "no miss",
        "ratio": f"{one.bound * 100:g}% of it",
    }
    return words[one.kind]


def markdown_verdict(verdict: Verdict) -> str:
    """The verdict as a section of `report.md`."""
    lines = ["## Against the baseline", "", f"**{escaped(verdict.sentence, LINE_LIMIT)}**", ""]
    lines += [escaped(sides_words(verdict), LINE_LIMIT), ""]
    lines += [*(f"- {escaped(reason, LINE_LIMIT)}" for reason in verdict.reasons), ""]
    return "\n".join([*lines, *_requirements(verdict), *_details(verdict)])


def comment_markdown(verdict: Verdict, *, link: str = "") -> str:
    """A comment for a pull request, below 60,000 characters; the first line finds it again. `link` leads to the report.

    No name in it calls anybody: an @ is kept apart from what follows.
    """
    head = [
        f"### Golden Gate: {escaped(verdict.sentence, LINE_LIMIT)}",
        "",
        escaped(sides_words(verdict), LINE_LIMIT),
        "",
    ]
    head += [f"- {escaped(reason, LINE_LIMIT)}" for reason in first_of(verdict.reasons, REASONS_SHOWN)]
    head += ["", *_requirements(verdict)]
    lines = [COMMENT_MARK, *_cut(head, COMMENT_HEAD_LIMIT), ""]
    lines += [
        "<details><summary>All differences</summary>",
        "",
        *_cut(_details(verdict), COMMENT_DETAILS_LIMIT),
    ]
    lines += ["", "</details>", ""]
    if re.fullmatch(r"https?://[^\s<>\\]{1,2000}", link):
        lines += [f"[The whole report](<{link}>)", ""]
    return "\n".join(lines)


def _cut(lines: Sequence[str], room: int) -> list[str]:
    """The first lines that have room, and how many more there are; nobody is mentioned in them."""
    kept: list[str] = []
    for number, line in enumerate(lines):
        told = line.replace("@", "@<!-- -->")
        room -= len(told) + 1
        if room < 0:
            return [*kept, "", f"{len(lines) - number:,} more lines stand in the report."]
        kept.append(told)
    return kept


def _requirements(verdict: Verdict) -> list[str]:
    if not verdict.requirements:
        return []
    differences = by_capability(verdict)
    rows = [
        (
            one.task,
            one.capability,
            asked_words(one),
            found_words(one, differences.get((one.task, one.capability))),
            one.status if one.status != "open" else f"open, {needs_words(one)}",
        )
        for one in verdict.requirements
    ]
    return [*table_lines(_REQUIREMENT_COLUMNS, rows), ""]


def _details(verdict: Verdict) -> list[str]:
    lines: list[str] = []
    if verdict.differences:
        lines += [
            *table_lines(_DIFFERENCE_COLUMNS, map(_difference_row, verdict.differences)),
            "",
            LEGEND,
            "",
        ]
    if verdict.graded:
        lines += ["Graded values, which decide nothing:", ""]
        lines += [*table_lines(_GRADED_COLUMNS, map(_graded_row, verdict.graded)), ""]
    return [
        *lines,
        *(f"- {escaped(line, LINE_LIMIT)}" for line in lines_below(verdict, told=verdict.reasons, graded=0)),
        "",
    ]


def _difference_row(one: Difference) -> tuple[str, ...]:
    cases = str(one.cases) if one.units == one.cases else f"{one.cases} in {one.units} clusters"
    rates = (percent(one.baseline), percent(one.candidate))
    return one.task, one.capability, cases, *rates, interval(one), p_words(one.p_holm)


def _graded_row(one: Graded) -> tuple[str, ...]:
    name = one.name.replace("_", " ")
    return (
        one.task,
        one.check,
        name,
        str(one.cases),
        percent(one.baseline),
        percent(one.candidate),
        interval(one),
    )


def _print(console: Console, line: str, style: str = "", *, indent: int = 0) -> None:
    console.print(Padding(Text(line, style=style), (0, 0, 0, indent), expand=False))
