"""How long examples are in tokens, which of them fit, and which are skipped or shortened. Pure but for the encoder."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from evals.errors import TrainingError
from training.data import Example
from training.encode import Encoder, Lengths, Skipped

FIT_LENGTHS = (512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class Spread:
    """Tokens: median, 90th and 95th percentile by nearest rank, longest."""

    median: int
    p90: int
    p95: int
    longest: int


@dataclass(frozen=True, slots=True)
class Fit:
    """Shares of the examples, as fractions: whose completion alone, and whose prompt and completion together, have at
    most `length` tokens. `beyond`: the base reads no text of that length."""

    length: int
    completion: float
    whole: float
    beyond: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Lines that the base cannot be given, and why."""

    reason: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TokenLengths:
    """A file's examples in tokens, the end token counted with the completion. `context` is the base's, if known.

    `shortened`: lines whose prompt loses tokens in its middle, with how many. No figure covers `refused` lines.
    """

    prompt: Spread
    completion: Spread
    fits: tuple[Fit, ...]
    context: int | None
    skipped: tuple[Skipped, ...]
    shortened: tuple[tuple[int, int], ...]
    refused: tuple[Refused, ...]


def measure(examples: Sequence[Example], encoder: Encoder, context: int | None = None) -> TokenLengths:
    """Measure and encode every example. What the encoder refuses is `refused`; nothing is raised for it."""
    lengths: list[Lengths] = []
    skipped: list[Skipped] = []
    shortened: list[tuple[int, int]] = []
    refused: defaultdict[str, list[int]] = defaultdict(list)
    for example in examples:
        try:
            encoded = encoder.encode(example)
            if isinstance(encoded, Skipped):
                lengths.append(encoder.lengths(example))
                skipped.append(encoded)
                continue
        except TrainingError as error:
            refused[str(error).removeprefix(f"line {example.line}: ")].append(example.line)
            continue
        start, cut = encoded.completion_from, encoded.cut
        lengths.append(Lengths(start + cut, len(encoded.input_ids) - start))
        if cut:
            shortened.append((example.line, cut))
    return TokenLengths(
        prompt=spread([one.prompt for one in lengths]),
        completion=spread([one.completion for one in lengths]),
        fits=tuple(_fit(lengths, length, context) for length in FIT_LENGTHS) if lengths else (),
        context=context,
        skipped=tuple(skipped),
        shortened=tuple(shortened),
        refused=tuple(Refused(reason, tuple(lines)) for reason, lines in refused.items()),
    )


def spread(counts: Sequence[int]) -> Spread:
    """Of no counts at all, zeros."""
    if not counts:
        return Spread(0, 0, 0, 0)
    ordered = sorted(counts)
    p90, p95 = (ordered[-(-share * len(ordered) // 100) - 1] for share in (90, 95))
    return Spread(round(statistics.median(ordered)), p90, p95, ordered[-1])


def _fit(lengths: Sequence[Lengths], length: int, context: int | None) -> Fit:
    completion = sum(one.completion <= length for one in lengths) / len(lengths)
    whole = sum(one.prompt + one.completion <= length for one in lengths) / len(lengths)
    return Fit(length, completion, whole, context is not None and length > context)
