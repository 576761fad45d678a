"""Examples that say the same twice, nearly the same, or the same prompt with another completion. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from evals.checks.answers import folded, plain
from training.contamination import near_texts
from training.data import Example


@dataclass(frozen=True, slots=True)
class NearLines:
    """Two lines that ask nearly the same; `likeness` in percent."""

    one: int
    other: int
    likeness: float


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Lines by what they have in common. Each group has two lines or more; a line is in one group of a kind at most."""

    equal: tuple[tuple[int, ...], ...]
    contradicting: tuple[tuple[int, ...], ...]
    near: tuple[NearLines, ...]


def find_duplicates(examples: Sequence[Example]) -> Duplicates:
    """Equal: all messages, to the letter. Contradicting: the same is asked, case and spaces left aside, and the
    completions differ. Near: what is asked agrees by `evals.health.NEAR` percent, without being the same."""
    asked = {example.line: tuple(map(_form, example.asked)) for example in examples}
    equal = _groups((example.messages, example.line) for example in examples)
    same = _groups((asked[example.line], example.line) for example in examples)
    completions = {example.line: _form(example.completion) for example in examples}
    texts = ["\n".join(example.asked) for example in examples]
    near = [
        NearLines(examples[one].line, examples[other].line, likeness)
        for one, other, likeness in near_texts(texts, texts)
        if one < other and asked[examples[one].line] != asked[examples[other].line]
    ]
    return Duplicates(
        equal,
        tuple(lines for lines in same if len({completions[line] for line in lines}) > 1),
        tuple(sorted(near, key=lambda pair: (-pair.likeness, pair.one, pair.other))),
    )


def _form(text: str) -> str:
    # Punctuation stays: 2 + 2 and 2 - 2 do not ask the same.
    return plain(folded(text))


def _groups(keyed: Iterable[tuple[Hashable, int]]) -> tuple[tuple[int, ...], ...]:
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for key, line in keyed:
        found[key].append(line)
    return tuple(tuple(lines) for lines in found.values() if len(lines) > 1)
