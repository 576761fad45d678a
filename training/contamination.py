"""Contamination: training examples that hold what a golden case asks, or the answer that it knows. Pure.

An example that overlaps teaches its case by heart, and the case no longer tells how good the model is. Every case
counts, of whichever task and split. Held against each other are:

- the input of a case and what an example asks: exactly, normalised (case, punctuation, spaces and invisible characters left aside), as near
  duplicates (`NEAR` percent, as `evals.health` measures cases among themselves);
- the input of a case and all that an example holds: one 13-gram, that is 13 words in a row, is enough. A shorter
  input of `SHORTEST_RUN` words or more counts as one such run as a whole;
- the reference answer of a case and what an example answers, likewise, with three differences, because right answers
  are alike by nature. Answers below 13 words are left out: "4", a label or one command is what anybody would answer.
  More than half of an answer's 13-grams must be found, and near means `NEAR_ANSWER` percent: where a task's rules fix
  the form of an answer, independent ones were found to share up to half of their 13-grams, and 94.6% of their text.

13-grams come from the GPT-3 paper (Brown et al. 2020, appendix C), which also takes 8 to 12 words of shorter texts and,
like this module, forgives what many texts share. What is paraphrased or translated is not found.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import regex
from rapidfuzz import fuzz, process, utils

from evals.cases import GoldenCase, GoldenTask
from evals.checks.answers import folded, shorten
from evals.health import NEAR
from evals.prompts import user_prompt
from training.data import Example

How = Literal["exact", "normalised", "13-gram", "near"]
Part = Literal["input", "reference"]

RUN = 13
SHORTEST_RUN = 8
NEAR_ANSWER = 95.0
# Words that the inputs of more independent cases of a task share are the task's own wording.
MOST_SHARING = 3
_STRENGTH: tuple[How, ...] = ("exact", "normalised", "13-gram", "near")
_SHOWN_LIMIT = 120
# Rows of likenesses at a time, so that memory grows with the number of texts, not with its square.
_ROWS = 256

# Scripts that write no spaces: each of their characters is a word.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# What no screen shows: soft hyphens, spaces without width, joiners, marks of direction.
_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")
_WORD = regex.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+")

Run = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overlap:
    """An example's line and a golden case that it overlaps, in the strongest of the ways that were found.

    `shown` is what they share (of near duplicates: what the case has), fit for a terminal; `part` is what of the case.
    """

    line: int
    task: str
    case: str
    how: How
    shown: str
    part: Part = "input"


@dataclass(frozen=True, slots=True)
class _Text:
    """One text of a golden case. `forms` are the texts that equal it: an input also as its task's prompt has it."""

    task: str
    case: str
    part: Part
    text: str
    forms: tuple[str, ...]


def find_overlaps(examples: Sequence[Example], tasks: Sequence[GoldenTask]) -> tuple[Overlap, ...]:
    """Every pair of an example and a case that overlap, by line, the strongest first."""
    golden = [text for task in tasks for case in task.cases for text in _texts(task, case)]
    best: dict[tuple[int, str, str], Overlap] = {}
    for found in (*_equal(examples, golden), *_runs(examples, golden, tasks), *_near(examples, golden)):
        # The ways come in order of strength.
        best.setdefault((found.line, found.task, found.case), found)
    return tuple(sorted(best.values(), key=lambda one: (one.line, _STRENGTH.index(one.how))))


def words(text: str) -> list[str]:
    """A text's words with folded case: runs of letters, digits and underscores, invisible characters left out."""
    return _WORD.findall(folded(_visible(text)))


def normalised(text: str) -> str:
    """A text's words with single spaces; of a text without any, what is not space."""
    return " ".join(words(text)) or "".join(_visible(text).split())


def _visible(text: str) -> str:
    return _INVISIBLE.sub("", text)


def near_texts(
    ones: Sequence[str], others: Sequence[str], bar: float = NEAR
) -> Iterator[tuple[int, int, float]]:
    """Pairs that agree by `bar` percent or more: their places and likeness.

    Likeness is rapidfuzz's `token_sort_ratio`, with the words of each text sorted once, not once a pair.
    """
    rows, columns = ([_sorted_words(text) for text in texts] for texts in (ones, others))
    for start in range(0, len(rows), _ROWS):
        likeness: Any = process.cdist(
            rows[start : start + _ROWS], columns, scorer=fuzz.ratio, score_cutoff=bar
        )
        for row, column in zip(*likeness.nonzero(), strict=True):
            yield start + int(row), int(column), float(likeness[row, column])


def _sorted_words(text: str) -> str:
    text = _visible(text)
    # Of a text without letters and digits nothing would be left.
    return " ".join(sorted((utils.default_process(text) or text).split()))


def _texts(task: GoldenTask, case: GoldenCase) -> Iterator[_Text]:
    asked = user_prompt(task.prompt, case.input)
    yield _Text(task.name, case.id, "input", case.input, tuple(dict.fromkeys((case.input, asked))))
    if len(words(case.reference)) >= RUN:
        yield _Text(task.name, case.id, "reference", case.reference, (case.reference,))


def _own(example: Example, part: Part) -> tuple[str, ...]:
    """An example's texts that are of one kind with this part of a case."""
    if part == "input":
        return example.asked
    return tuple(one.content for one in example.messages if one.role == "assistant")


def _everything(example: Example) -> tuple[str, ...]:
    """All that the line itself holds: with a prompt, the system message is the task's."""
    if example.prompt:
        return example.prompt, example.completion
    return tuple(one.content for one in example.messages)


def _overlap(line: int, text: _Text, how: How, shown: str) -> Overlap:
    return Overlap(line, text.task, text.case, how, shorten(shown, _SHOWN_LIMIT), text.part)


def _equal(examples: Sequence[Example], golden: Sequence[_Text]) -> Iterator[Overlap]:
    exact: defaultdict[tuple[Part, str], list[_Text]] = defaultdict(list)
    alike: defaultdict[tuple[Part, str], list[_Text]] = defaultdict(list)
    for one in golden:
        for form in one.forms:
            exact[one.part, form].append(one)
            alike[one.part, normalised(form)].append(one)
    parts: tuple[Part, ...] = ("input", "reference")
    own = [(e.line, part, text) for e in examples for part in parts for text in _own(e, part)]
    for line, part, text in own:
        yield from (_overlap(line, one, "exact", one.text) for one in exact.get((part, text), ()))
    for line, part, text in own:
        key = (part, normalised(text))
        yield from (_overlap(line, one, "normalised", one.text) for one in alike.get(key, ()))


def _runs(
    examples: Sequence[Example], golden: Sequence[_Text], tasks: Sequence[GoldenTask]
) -> Iterator[Overlap]:
    """Overlaps by runs of words: 13, or a whole shorter input."""
    holders: defaultdict[Run, list[int]] = defaultdict(list)
    counts: list[int] = []
    for place, one in enumerate(golden):
        runs = _golden_runs(one)
        counts.append(len(runs))
        for run in runs:
            holders[run].append(place)
    for run in tuple(_wordings(golden, holders, tasks)):
        holders[run] = [place for place in holders[run] if golden[place].part == "reference"]
    lengths = {len(run) for run in holders}
    for example in examples:
        runs_here: dict[Run, None] = {}  # in order, so that what is shown is where it begins
        for text in _everything(example):
            own = words(text)
            runs_here |= {run: None for length in lengths for run in _windows(own, length)}
        first: dict[int, Run] = {}
        shared: Counter[int] = Counter()
        for run in runs_here:
            for place in holders.get(run, ()):
                first.setdefault(place, run)
                shared[place] += 1
        for place in sorted(first):
            if golden[place].part == "input" or 2 * shared[place] > counts[place]:
                yield _overlap(example.line, golden[place], "13-gram", " ".join(first[place]))


def _golden_runs(text: _Text) -> set[Run]:
    own = words(text.text)
    length = RUN if text.part == "reference" else min(len(own), RUN)
    return set(_windows(own, length)) if length >= SHORTEST_RUN else set()


def _windows(own: Sequence[str], length: int) -> Iterable[Run]:
    return zip(*(own[start:] for start in range(length)), strict=False)


def _wordings(
    golden: Sequence[_Text], holders: dict[Run, list[int]], tasks: Sequence[GoldenTask]
) -> Iterator[Run]:
    """Runs that too many inputs of one task share; cases of one cluster are not independent, and count once."""
    clusters = {(task.name, case.id): case.cluster or case.id for task in tasks for case in task.cases}
    for run, places in holders.items():
        if len(places) > MOST_SHARING:
            inputs = [golden[place] for place in places if golden[place].part == "input"]
            sharing = {(one.task, clusters[one.task, one.case]) for one in inputs}
            if max(Counter(task for task, _ in sharing).values(), default=0) > MOST_SHARING:
                yield run


def _near(examples: Sequence[Example], golden: Sequence[_Text]) -> Iterator[Overlap]:
    bars: tuple[tuple[Part, float], ...] = (("input", NEAR), ("reference", NEAR_ANSWER))
    for part, bar in bars:
        texts = [one for one in golden if one.part == part]
        own = [(example.line, text) for example in examples for text in _own(example, part)]
        pairs = near_texts([text for _, text in own], [one.text for one in texts], bar)
        for mine, theirs, _ in pairs:
            yield _overlap(own[mine][0], texts[theirs], "near", texts[theirs].text)
