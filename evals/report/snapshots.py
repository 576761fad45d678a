"""Answers beside the recorded ones, on the terminal and in Markdown: flips first, each with what changed in the words.

All of it quotes replies: whatever steers a terminal is escaped.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from evals.checks.answers import shorten
from evals.flips import Flip
from evals.report.markdown import escaped
from evals.snapshots import SNAPSHOTS_FILE, Compared, Direction, SnapshotResults, direction

STYLES: dict[Direction, str] = {"worse": "red", "better": "green", "other": "yellow"}
FLIPS_SHOWN = 10
DIFF_LINES_SHOWN = 20
DRIFTS_SHOWN = 10
REASON_LIMIT = 160
# A line of a diff takes two rows of a terminal at most; where two lines differ further behind, they begin near there.
LINE_LIMIT = 150
LEAD = 30
ROOM = 70


def print_snapshots(console: Console, results: SnapshotResults) -> None:
    """Print how the answers stand beside the recorded ones."""
    compared = results.compared
    several = len({one.model for one in compared}) > 1
    console.print(Text(snapshots_in_words(results), style="bold"))
    flips = flipped(compared)
    if flips:
        console.print(Text("  - recorded, + now", style="dim"))
    for one in flips[:FLIPS_SHOWN]:
        for flip in one.flips:
            way = direction(flip)
            _indented(console, f"{way}: {_name(one, several)} {flip_line(flip)}", 2, STYLES[way])
        for line in shown_diff(one.diff, DIFF_LINES_SHOWN):
            _indented(console, line, 4, _diff_style(line))
    for line in _rest_lines(results, several):
        _indented(console, line, 2)


def snapshots_section(results: SnapshotResults) -> str:
    """The same as a section of `report.md`, without the diffs."""
    several = len({one.model for one in results.compared}) > 1
    lines = [
        f"{one.direction}: {_name(one, several)}: {'; '.join(map(flip_line, one.flips))}"
        for one in flipped(results.compared)[:FLIPS_SHOWN]
    ]
    items = [f"- {escaped(line, 600)}" for line in [*lines, *_rest_lines(results, several)]]
    return "\n".join(["", "## Snapshots", "", f"**{snapshots_in_words(results)}**", "", *items, ""])


def snapshots_in_words(results: SnapshotResults) -> str:
    """`snapshots: 37 same, 2 drift, 1 flipped (1 worse)`."""
    ways = Counter(one.direction for one in flipped(results.compared))
    told = ", ".join(f"{ways[way]:,} {way}" for way in STYLES if ways[way])
    parts = [
        f"{count:,} {name}" + (f" ({told})" if name == "flipped" else "")
        for name, count in results.counts.items()
    ]
    return f"snapshots: {', '.join(parts)}"


def flipped(compared: Sequence[Compared]) -> list[Compared]:
    """The answers of which a check ends otherwise, those that are worse first, else in the order of their names."""
    ways = list(STYLES)
    return sorted(
        (one for one in compared if one.verdict == "flipped"),
        key=lambda one: (ways.index(one.direction), one.model, one.task, one.case),
    )


def flip_line(flip: Flip) -> str:
    """One check, how it ended on the recorded answer and how now, and why."""
    return f"{flip.check}: {flip.before} -> {flip.now}: {shorten(flip.why, REASON_LIMIT)}"


def shown_diff(diff: Sequence[str], limit: int) -> list[str]:
    """A unified diff without its head, at most `limit` lines of it, fit for a terminal."""
    body = diff[2:]
    lines = [shorten(line, LINE_LIMIT) for line in _near_the_difference(body[:limit])]
    more = len(body) - limit
    return [*lines, f"… {more:,} more lines, in {SNAPSHOTS_FILE}"] if more > 0 else lines


def _near_the_difference(lines: Sequence[str]) -> Iterator[str]:
    """Lines of a diff, where a removed and an added line differ far behind their start cut to begin near there."""
    for changed, group in itertools.groupby(lines, key=lambda line: line[:1] in ("-", "+")):
        block = list(group)
        if not changed:
            yield from block
            continue
        removed, added = ([line for line in block if line[0] == mark] for mark in "-+")
        starts = [_start(*pair) for pair in zip(removed, added, strict=False)]
        for side in (removed, added):
            for line, start in zip(side, itertools.chain(starts, itertools.repeat(1)), strict=False):
                yield f"{line[0]}…{line[start:]}" if start > 1 else line


def _start(removed: str, added: str) -> int:
    """Where to begin with two lines of a diff: behind the mark, or short of their first difference if that is far behind."""
    pairs = enumerate(zip(removed[1:], added[1:], strict=False), start=1)
    common = next((place for place, (one, other) in pairs if one != other), min(len(removed), len(added)))
    return common - LEAD if common > ROOM else 1


def _rest_lines(results: SnapshotResults, several: bool) -> Iterator[str]:
    compared = results.compared
    if more := max(0, len(flipped(compared)) - FLIPS_SHOWN):
        yield f"and {more:,} more flipped, in {SNAPSHOTS_FILE}"
    drifts = [_name(one, several) for one in compared if one.verdict == "drift"]
    if drifts:
        more = len(drifts) - DRIFTS_SHOWN
        named = ", ".join(drifts[:DRIFTS_SHOWN])
        yield f"drift: {named}" + (f" and {more:,} more" if more > 0 else "")
    if written := sum(one.written for one in compared):
        yield f"{_count(written)} recorded"
    if results.counts.get("unrecorded"):
        yield "--snapshot-update records what is unrecorded, and what changed"
    if results.left_over:
        what = "removed" if results.removed else "left over, which --snapshot-update removes"
        yield f"{_count(results.left_over)} of cases that are gone {what}"


def _count(number: int) -> str:
    return f"{number:,} {'snapshot' if number == 1 else 'snapshots'}"


def _name(one: Compared, several: bool) -> str:
    model = f"{shorten(one.model, 80)} " if several else ""
    return f"{model}{one.task}/{one.case}"


def _diff_style(line: str) -> str:
    return {"-": "red", "+": "green", "@": "dim", "…": "dim"}.get(line[:1], "")


def _indented(console: Console, line: str, indent: int, style: str = "") -> None:
    console.print(Padding(Text(line, style=style), (0, 0, 0, indent)))
