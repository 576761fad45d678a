"""The words for a comparison that the terminal and Markdown share: what was asked, found, and follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.checks.answers import shorten
from evals.report.tables import percent, points
from evals.verdict import Difference, Graded, Noise, Requirement, Side, Verdict

NAME_LIMIT = 70
LEGEND = "Differences in points with 95% intervals; p is Holm's over all of them."


def asked_words(one: Requirement) -> str:
    """What a requirement asks, and for whose sake."""
    words = {
        "superior": "better than the baseline",
        "non_inferior": f"at most {one.bound * 100:g} points worse",
        "zero_tolerance": "no new miss",
        "ratio": f"at least {one.bound * 100:g}% of the baseline",
    }
    return words[one.kind] + (f", to guard {one.policy}" if one.policy != one.task else "")


def found_words(one: Requirement, of: Difference | None) -> str:
    """What is held against a requirement; `of` is the difference in its capability."""
    if one.kind == "ratio":
        return f"{one.estimate:.2f} of the baseline ({one.low:.2f} to {one.high:.2f})"
    if one.kind == "zero_tolerance" and of is not None:
        if one.upper is not None:
            return f"none in {of.units} cases: at most {percent(one.upper)}"
        return f"{of.lost:.3g} of {of.cases} cases newly missed"
    return f"{interval(one)} points"


def needs_words(one: Requirement) -> str:
    """What an open requirement lacks."""
    if one.more_cases is None:
        return "no number of cases would show it as things stand"
    return f"about {one.more_cases:,} more {'case' if one.more_cases == 1 else 'cases'}"


def by_capability(verdict: Verdict) -> dict[tuple[str, str], Difference]:
    """The differences by task and capability."""
    return {(one.task, one.capability): one for one in verdict.differences}


def lines_below(verdict: Verdict, *, told: Sequence[str], graded: int) -> Iterator[str]:
    """What stands below the differences, a line each, but for what the reasons `told`.

    So many `graded` values at most that differ beyond their intervals, and how many do not; 0 where they have a table.
    """
    differences = by_capability(verdict)
    for one in verdict.requirements:
        of = differences.get((one.task, one.capability))
        if one.upper is not None and of is not None and one.sentence not in told:
            name = f"{one.task} {one.capability}"
            yield f"{name}: {of.units} cases without a new miss allow a rate of up to {percent(one.upper)}"
    if graded:
        yield from _graded(verdict.graded, graded)
    yield from _noise(verdict.noise)
    if verdict.spared is not None:
        was = "request was" if verdict.spared == 1 else "requests were"
        yield f"stopped early: {verdict.spared:,} {was} spared"
    yield from (f"note: {note}" for note in verdict.notes)


def _graded(values: Sequence[Graded], most: int) -> Iterator[str]:
    clear = [one for one in values if one.low > 0 or one.high < 0]
    yield from first_of([_graded_line(one) for one in clear], most)
    if rest := len(values) - len(clear):
        what = "1 value" if rest == 1 else f"{rest:,} values"
        yield f"graded: {what} not shown to differ, in verdict.json"


def _graded_line(one: Graded) -> str:
    rates = f"{percent(one.baseline)} -> {percent(one.candidate)}"
    return f"graded: {one.task} {one.check} {one.name.replace('_', ' ')} {rates}, {interval(one)} points"


def _noise(noise: Sequence[Noise]) -> Iterator[str]:
    """The baseline against itself, where it differs; where it does not, one line for all."""
    for one in noise:
        if one.differing or one.widest:
            yield (
                f"noise: {one.repeats} repeats of the baseline differ in {percent(one.differing)} of {one.task} "
                f"{one.capability}, their rates by up to {one.widest * 100:.1f} points"
            )
    if noise and not any(one.differing or one.widest for one in noise):
        yield f"noise: none, {noise[0].repeats} repeats of the baseline agree in every verdict"


def sides_words(verdict: Verdict) -> str:
    """Who is compared with whom, each with the start of its digest and its runs."""
    return f"{_side(verdict.candidate)} beside {_side(verdict.baseline)}"


def _side(side: Side) -> str:
    runs = ", ".join(shorten(run, NAME_LIMIT) for run in side.runs)
    return f"{shorten(side.model, NAME_LIMIT)} ({shorten(side.digest[:12])}{f', run {runs}' if runs else ''})"


def interval(one: Difference | Graded | Requirement) -> str:
    """`+13.0 (+3.1 to +22.9)`, in points."""
    estimate = one.estimate if isinstance(one, Requirement) else one.difference
    return f"{points(estimate)} ({points(one.low)} to {points(one.high)})"


def p_words(p: float) -> str:
    """Three decimals; what is less is not written as 0."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def first_of(lines: Sequence[str], most: int) -> list[str]:
    """At most so many lines, then how many more there are."""
    more = len(lines) - most
    return [*lines[:most], f"and {more:,} more, in verdict.json"] if more > 0 else list(lines)
