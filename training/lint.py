"""Lint of training data: everything that is known of a file before it is trained, and whether anything forbids it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.cases import GoldenTask
from evals.outcomes import ReplyOutcome
from training.completions import Judgement, judge_completions
from training.contamination import Overlap, find_overlaps
from training.data import Dataset, read_dataset, split
from training.duplicates import Duplicates, find_duplicates
from training.encode import Encoder
from training.token_lengths import TokenLengths, measure

# What to call a completion that is no answer.
_KINDS = {
    ReplyOutcome.EMPTY: "is empty",
    ReplyOutcome.THINKING_ONLY: "holds thinking and no answer",
    ReplyOutcome.THINK_LEAK: "holds <think> tags: thinking is no part of a completion",
    ReplyOutcome.REFUSED: "refuses in prose",
}


@dataclass(frozen=True, slots=True)
class Detail:
    """What is said of one line."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault: what it is and how to mend it, then each line that has it."""

    what: str
    details: tuple[Detail, ...] = ()

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class LintReport:
    """What lint knows of a file. `problems` forbid to train on it, `warnings` do not.

    `trained` and `held_out` are the sizes of both sides of the split, skipped examples left out; `tokens` is None where
    no tokenizer was given; `allowed` is the reason why contamination is, or ''.
    """

    dataset: Dataset
    trained: int
    held_out: int
    tokens: TokenLengths | None
    duplicates: Duplicates
    judgement: Judgement
    overlaps: tuple[Overlap, ...]
    allowed: str
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


def lint(
    path: Path,
    *,
    task: GoldenTask | None,
    tasks: Sequence[GoldenTask],
    encoder: Encoder | None,
    context: int | None = None,
    held_out: float = 0.1,
    allow_contamination: str = "",
) -> LintReport:
    """Lint a file. Raises `DataError` where lines cannot be read.

    `task` is what the file trains for, `tasks` are all that it must not overlap, `context` the tokens that the base can
    read, `held_out` a fraction, and `allow_contamination` the reason why overlaps forbid nothing.
    """
    dataset = read_dataset(path, task)
    examples = dataset.examples
    tokens = measure(examples, encoder, context) if encoder else None
    overlaps = find_overlaps(examples, tasks)
    duplicates = find_duplicates(examples)
    judgement = judge_completions(examples, task)
    gone = _not_trained(tokens)
    sides = split(dataset, held_out)
    trained, held = ({one.line for one in side} - gone for side in sides)
    allowed = allow_contamination.strip()
    problems = [
        *_contaminated(overlaps if not allowed else ()),
        *_no_answers(judgement, task, blocking=True),
        *_missed(judgement),
        *_refused(tokens),
    ]
    if not trained:
        problems.append(Finding(_nothing_left(len(examples), len(gone))))
    warnings = [
        *_allowed(overlaps if allowed else (), allowed),
        *_no_answers(judgement, task, blocking=False),
        *_unjudged(judgement),
        *_skipped(tokens),
        *_shortened(tokens),
        *_duplicates(duplicates, {one.line for one in sides[1]}),
    ]
    if held_out and trained and not held:
        warnings.append(Finding("no example is held out, so that no held-out loss can be measured"))
    return LintReport(
        dataset=dataset,
        trained=len(trained),
        held_out=len(held),
        tokens=tokens,
        duplicates=duplicates,
        judgement=judgement,
        overlaps=overlaps,
        allowed=allowed,
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def counted(count: int, one: str, many: str = "") -> str:
    """`1 example`, `1,234 examples`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _not_trained(tokens: TokenLengths | None) -> set[int]:
    if tokens is None:
        return set()
    return {one.line for one in tokens.skipped} | {line for one in tokens.refused for line in one.lines}


def _nothing_left(examples: int, gone: int) -> str:
    if gone >= examples:
        return "nothing is left to train: every example is skipped or refused"
    return f"nothing is left to train: what is not skipped ({examples - gone}) is held out; add examples, or hold out less"


def _contaminated(overlaps: Sequence[Overlap]) -> Iterator[Finding]:
    if overlaps:
        lines = len({one.line for one in overlaps})
        what = (
            f"{counted(lines, 'example overlaps', 'examples overlap')} golden cases: take them out, or say why they may "
            "stay: here with --allow-contamination REASON, in the training's config with allow_contamination"
        )
        yield Finding(what, tuple(_overlap(one) for one in overlaps))


def _allowed(overlaps: Sequence[Overlap], reason: str) -> Iterator[Finding]:
    if overlaps:
        lines = len({one.line for one in overlaps})
        what = f"{counted(lines, 'example overlaps', 'examples overlap')} golden cases; allowed: {reason}"
        yield Finding(what, tuple(_overlap(one) for one in overlaps))


def _overlap(one: Overlap) -> Detail:
    return Detail(one.line, f"{one.task}/{one.case}, {one.part}, {one.how}: {one.shown}")


def _no_answers(judgement: Judgement, task: GoldenTask | None, *, blocking: bool) -> Iterator[Finding]:
    """Whatever is no answer misses every check of a task; where there is none, only an empty completion is a problem."""
    found = [
        one
        for one in judgement.no_answers
        if blocking is (task is not None or one.kind in (ReplyOutcome.EMPTY, ReplyOutcome.THINKING_ONLY))
    ]
    if found:
        what = f"{counted(len(found), 'completion is', 'completions are')} no answer"
        if any(one.kind is ReplyOutcome.REFUSED for one in found):
            what += '; where refusing is right, give the line "expect": {"refuse": true}'
        yield Finding(what, tuple(Detail(one.line, _KINDS[one.kind]) for one in found))


def _missed(judgement: Judgement) -> Iterator[Finding]:
    if judgement.missed:
        lines = len({one.line for one in judgement.missed})
        what = (
            f"{counted(lines, 'line misses', 'lines miss')} what the task checks: mend each, or take it out"
        )
        yield Finding(what, tuple(Detail(one.line, f"{one.check}: {one.reason}") for one in judgement.missed))


def _unjudged(judgement: Judgement) -> Iterator[Finding]:
    for one in judgement.unjudged:
        what = f"the check {one.check} could not judge {counted(len(one.lines), 'completion')}: {one.reason}"
        yield Finding(what, _of_lines(one.lines))


def _refused(tokens: TokenLengths | None) -> Iterator[Finding]:
    for one in tokens.refused if tokens else ():
        what = f"{counted(len(one.lines), 'example')} cannot be encoded: {one.reason}"
        yield Finding(what, _of_lines(one.lines))


def _skipped(tokens: TokenLengths | None) -> Iterator[Finding]:
    if tokens and tokens.skipped:
        what = f"{counted(len(tokens.skipped), 'example')} will be skipped"
        yield Finding(what, tuple(Detail(one.line, one.reason) for one in tokens.skipped))


def _shortened(tokens: TokenLengths | None) -> Iterator[Finding]:
    if tokens and tokens.shortened:
        what = f"{counted(len(tokens.shortened), 'prompt')} will be shortened in the middle"
        details = (Detail(line, f"loses {counted(cut, 'token')}") for line, cut in tokens.shortened)
        yield Finding(what, tuple(details))


def _duplicates(found: Duplicates, held: set[int]) -> Iterator[Finding]:
    if found.equal:
        more = sum(len(lines) - 1 for lines in found.equal)
        details = (Detail(lines[0], f"again in {_lines(lines[1:])}") for lines in found.equal)
        yield Finding(
            f"{counted(more, 'example stands', 'examples stand')} there more than once", tuple(details)
        )
    if found.contradicting:
        what = f"{counted(len(found.contradicting), 'prompt has', 'prompts have')} completions that differ"
        details = (Detail(lines[0], f"and {_lines(lines[1:])}") for lines in found.contradicting)
        yield Finding(what, tuple(details))
    if found.near:
        across = sum((pair.one in held) != (pair.other in held) for pair in found.near)
        what = f"{counted(len(found.near), 'pair')} of prompts that nearly agree"
        what += f", {across} of them across the split, which flatters the held-out loss" if across else ""
        details = (Detail(pair.one, f"and line {pair.other}: {pair.likeness:.0f}%") for pair in found.near)
        yield Finding(what, tuple(details))


def _lines(lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:10])) + (f" and {len(lines) - 10} more" if len(lines) > 10 else "")
    return f"line{'s' * (len(lines) > 1)} {shown}"


def _of_lines(lines: Iterable[int]) -> tuple[Detail, ...]:
    return tuple(Detail(line, "") for line in lines)
