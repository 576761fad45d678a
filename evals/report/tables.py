"""Figures as the words that every report shares, so that the terminal and Markdown say the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from evals.consistency import AGREEMENTS, Agreement
from evals.scores import Measure, Score, Summary

SCORE_COLUMNS = ("task", "capability", "pass rate", "95% interval", "n", "floor")


def percent(fraction: float, digits: int = 1) -> str:
    """`0.934` as `93.4%`, with ends marked as they are: 99.96% is not written as 100%, nor is anything as 0%."""
    text = f"{fraction:.{digits}%}"
    least = 10**-digits
    if text == f"{1:.{digits}%}" and fraction < 1:
        return f">{100 - least:.{digits}f}%"
    if text == f"{0:.{digits}%}" and fraction > 0:
        return f"<{least:.{digits}f}%"
    return text


def points(fraction: float) -> str:
    """A difference of rates in points: `+13.0`, `-2.5`, `0.0`."""
    text = f"{fraction * 100:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def share(floor: float) -> str:
    """A floor as people wrote it: `0.95` as `95%`, `0.995` as `99.5%`."""
    return f"{floor * 100:g}%"


def score_cells(score: Score) -> tuple[str, ...]:
    """One row of the score table, in the order of `SCORE_COLUMNS`."""
    floor = "-" if score.floor is None else share(score.floor)
    if score.holds is False:
        floor += " below"
    elif score.holds:
        floor += " ok"
    interval = f"{score.low:.1%} - {score.high:.1%}"
    return score.task, score.capability, percent(score.rate), interval, str(score.n), floor


def outcome_line(outcomes: dict[str, int]) -> str:
    """`answered 120, truncated 3`: kinds of reply, most frequent first."""
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in outcomes.items())


def figure_lines(summary: Summary, model: str) -> Iterator[str]:
    """What stands below a model's score table: k of n, then the measures of its checks."""
    yield from points_lines([score for score in summary.scores if score.model == model])
    yield from measure_lines(summary, model)
    yield from agreement_lines([one for one in summary.agreements if one.model == model])


def points_lines(scores: Sequence[Score]) -> Iterator[str]:
    """`format checks passed a case: judge 3.2 of 5`, for the tasks that sum several of them to k of n; or no line."""
    summed = [score for score in scores if score.capability == "format" and score.checks > score.n]
    if summed:
        parts = ["{} {:.1f} of {:.3g}".format(score.task, *score.points) for score in summed]
        yield f"format checks passed a case: {', '.join(parts)}"


def measure_lines(summary: Summary, model: str) -> Iterator[str]:
    """The measures of a model, a line a task over all replies asked for, and one over those that could be read."""
    of_model = [one for one in summary.measures if one.model == model]
    for task in dict.fromkeys(one.task for one in of_model):
        # Checks that look at the same thing report the same measures; each is told once.
        by_name = {(one.name, one.over_all): one for one in of_model if one.task == task}
        measures = list(by_name.values())
        yield f"{task}, all {max(one.n for one in measures)}: " + _named(
            measures, [one.over_all for one in measures]
        )
        readable = [one for one in measures if one.readable < one.n]
        if readable:
            yield f"{task}, the {readable[0].readable} readable: " + _named(
                readable, [one.over_readable for one in readable]
            )


def agreement_lines(agreements: Sequence[Agreement]) -> Iterator[str]:
    """How far repeats agree, over the tasks of a model at one temperature; then the tasks whose verdicts differ."""
    for floor in (True, False):
        found = [one for one in agreements if one.noise_floor == floor]
        if not found:
            continue
        means = [
            f"{name} {percent(_mean_agreement([one for one in found if one.measure == name]))}"
            for name in AGREEMENTS
            if any(one.measure == name for one in found)
        ]
        what = "temperature 0, the noise floor" if floor else "temperature above 0"
        yield f"{found[0].repeats} repeats agree ({what}): {', '.join(means)}"
    differing = [one for one in agreements if one.measure == "verdict" and one.value < 1]
    if differing:
        parts = [f"{one.task} {percent(one.value)} (least {one.least})" for one in differing]
        yield f"verdicts of repeats differ: {', '.join(parts)}"


def _mean_agreement(agreements: Sequence[Agreement]) -> float:
    cases = sum(one.cases for one in agreements)
    return math.fsum(one.value * one.cases for one in agreements) / cases


def _named(measures: Sequence[Measure], values: Sequence[float]) -> str:
    pairs = zip(measures, values, strict=True)
    return ", ".join(f"{one.name.replace('_', ' ')} {percent(value)}" for one, value in pairs)


def speed_line(tokens_per_s: float | None, first_token_s: float | None, tokens: int) -> str:
    """Tokens and median speed in words; fits 78 columns. Replies from the store have no speed of their own."""
    parts = [f"{tokens:,} tokens"]
    if tokens_per_s is not None:
        parts.append(f"{tokens_per_s:.1f} tok/s")
    if first_token_s is not None:
        parts.append(f"first token {first_token_s:.2f} s")
    return ", ".join(parts) + (" (medians a request)" if len(parts) > 1 else "")
