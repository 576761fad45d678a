"""A run that was judged again, on the terminal and in Markdown: first what flipped and why, then what else changed.

All of it may quote replies, or a record that somebody else wrote: whatever steers a terminal is escaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from evals.checks.answers import shorten
from evals.flips import Changes, Flip, LeftOut
from evals.gate import GateVerdict
from evals.report.markdown import escaped
from evals.report.terminal import print_summary
from evals.runs import RunInfo
from evals.scores import Summary

LINES_SHOWN = 30
NAMES_SHOWN = 3
REASON_LIMIT = 160
LINE_LIMIT = 600


def print_rescored(
    console: Console, changes: Changes, summary: Summary, verdict: GateVerdict, *, folder: Path
) -> None:
    """Print what flipped, what else changed since the run, and the summary of the new record."""
    now = changes.now
    replies = _count(now.asked, "reply", "replies")
    checks = _count(now.selected["checks"], "check", "checks")
    head = f"{changes.then.run}, judged again: {replies}, {checks}"
    console.print(Text(shorten(head, LINE_LIMIT)))
    console.print(Text(flips_in_words(changes), style="bold"))
    for line in flip_lines(changes):
        _print_indented(console, line)
    if changes.comparison.flips:
        console.print()
    for line in since_lines(changes):
        _print_indented(console, line)
    notes = list(left_out_lines(changes.left_out))
    unavailable = now.unavailable
    print_summary(console, summary, verdict, unavailable, folder=folder, complete=True, stored=0, notes=notes)


def changes_section(changes: Changes) -> str:
    """The same as a section of `report.md`."""
    lines = [*flip_lines(changes), *since_lines(changes), *left_out_lines(changes.left_out)]
    items = [f"- {escaped(line.strip(), LINE_LIMIT)}" for line in lines]
    head = [f"## Against run {escaped(changes.then.run)}", "", f"**{flips_in_words(changes)}**", ""]
    return "\n".join(["", *head, *items, ""])


def flips_in_words(changes: Changes) -> str:
    """`3 verdicts flipped: 2 pass -> fail, 1 fail -> pass`."""
    directions = changes.comparison.directions()
    if not directions:
        return "No verdict flipped."
    return f"{_count(directions.total(), 'verdict', 'verdicts')} flipped: {_directions(directions)}"


def flip_lines(changes: Changes) -> Iterator[str]:
    """At most thirty lines, a heading a check and its first flips below, each check with its share of the room.

    Checks that fail more often now come first.
    """
    comparison = changes.comparison
    groups = {group: comparison.directions(*group) for group in comparison.kept}
    order = sorted(groups, key=lambda group: (-groups[group]["pass", "fail"], -groups[group].total(), group))
    share = max(1, LINES_SHOWN // max(1, len(groups)) - 1)
    several = len(changes.now.models) > 1
    shown = 0
    for group in order[: LINES_SHOWN // 2]:
        yield f"{' '.join(group)}: {_directions(groups[group])}"
        for flip in comparison.kept[group][:share]:
            yield f"  {_flip(flip, several)}"
            shown += 1
    if more := comparison.directions().total() - shown:
        yield f"and {more:,} more, in flips.jsonl"


def _flip(flip: Flip, several_models: bool) -> str:
    model = f"{flip.model} " if several_models else ""
    again = f"~{flip.repeat}" if flip.repeat else ""
    why = shorten(flip.why, REASON_LIMIT)
    return f"{model}{flip.task}/{flip.case}{again} {flip.check}: {flip.before} -> {flip.now}: {why}"


def since_lines(changes: Changes) -> Iterator[str]:
    """What may be why: tasks, versions and checks that are others than then."""
    then, now, comparison = changes.then, changes.now, changes.comparison
    was = {name: facts["hash"] for name, facts in then.tasks.items()}
    tasks = [name for name, facts in now.tasks.items() if was.get(name, facts["hash"]) != facts["hash"]]
    if tasks:
        yield f"tasks that changed since: {', '.join(tasks)}"
    if comparison.new:
        yield f"checks that were not judged then: {_checks(comparison.new)}"
    if comparison.gone:
        yield f"checks that are gone: {_checks(comparison.gone)}"
    versions = list(_versions(then, now))
    if versions:
        yield f"versions since: {', '.join(versions)}"
    before, after = (str(one.git.get("commit", ""))[:12] for one in (then, now))
    if before and after and before != after:
        yield f"commit since: {before} -> {after}"
    elif not tasks and not versions and comparison.flips:
        yield (
            "neither tasks nor versions differ from then: the code of a check does, or what it found depends on "
            "more than the reply"
        )


def _versions(then: RunInfo, now: RunInfo) -> Iterator[str]:
    for name in dict.fromkeys([*now.versions, *then.versions]):
        before, after = (one.versions.get(name, "none") for one in (then, now))
        if before != after:
            yield f"{name} {before} -> {after}"


def left_out_lines(left_out: LeftOut) -> Iterator[str]:
    """What was not judged, and why, each with the first few cases by name."""
    if names := left_out.otherwise:
        yield (
            f"{_count(len(names), 'case is', 'cases are')} left out, asked otherwise then (prompt, system prompt or "
            f"options): {_names(names)}"
        )
    if names := left_out.gone:
        yield f"{_count(len(names), 'case is', 'cases are')} left out, no longer there: {_names(names)}"
    if names := left_out.never:
        was = "case was" if len(names) == 1 else "cases were"
        yield f"{len(names):,} {was} never asked: {_names(names)}"


def _names(names: Sequence[str]) -> str:
    first = ", ".join(shorten(name, 80) for name in names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return f"{first} and {more:,} more" if more > 0 else first


def _checks(counts: Mapping[tuple[str, str], int]) -> str:
    named = [f"{task} {shorten(check, 40)} ({count:,})" for (task, check), count in counts.items()]
    return _names(named)


def _directions(directions: Counter[tuple[str, str]]) -> str:
    return ", ".join(f"{count:,} {before} -> {now}" for (before, now), count in directions.most_common())


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _print_indented(console: Console, line: str) -> None:
    text = line.lstrip()
    console.print(Padding(Text(shorten(text, LINE_LIMIT)), (0, 0, 0, len(line) - len(text)), expand=False))
