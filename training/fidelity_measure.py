"""What the same cases show at each step from training into Ollama, counted: verdicts, texts, tokens of prompts. Pure.

A step is held against the one that its weights come from, and against the first, which is the adapter as it was
trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import regex

from evals.stats import mcnemar_p

Engine = Literal["transformers", "llama.cpp", "Ollama"]

# Greedy answers part late where only rounding differs, and at once where weights do: so many characters are looked at.
START = 20
# What chat templates are made of, of all common families; a model that writes it has not been stopped, or not been
# asked as it was trained. What the reference writes as well does not count.
_SPECIAL = regex.compile(
    r"<[|｜][\w▁ -]{1,40}[|｜]>|</?s>|<(?:bos|eos)>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One way to run the adapter. `made_from` is the label of the step whose weights it takes, '' for the first.

    `quantization` is '' for weights in 16 or 32 bits.
    """

    label: str
    spec: str
    engine: Engine
    made_from: str = ""
    merged: bool = False
    quantization: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """What one step made of one case: the capabilities that it passed and missed, and what it answered."""

    passed: Mapping[str, bool]
    text: str
    prompt_tokens: int | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Flips:
    """The cases whose verdict is another than at another step, of one capability; `p` is McNemar's, exact."""

    capability: str
    cases: int
    lost: tuple[str, ...]
    won: tuple[str, ...]
    p: float


@dataclass(frozen=True, slots=True)
class Against:
    """A step beside another one, over the `cases` that both answered.

    `same_start` counts answers whose first 20 characters are equal. `prompts` has the cases whose prompt was another
    number of tokens, with how many more; `untold` counts those of which one side does not tell.
    """

    other: str
    cases: int
    flips: tuple[Flips, ...]
    same_text: int
    same_start: int
    prompts: Mapping[str, int]
    untold: int

    @property
    def lost(self) -> int:
        return sum(len(one.lost) for one in self.flips)

    @property
    def won(self) -> int:
        return sum(len(one.won) for one in self.flips)

    @property
    def p(self) -> float:
        """The least p of all capabilities, times their number (Bonferroni): chance has as many tries."""
        return min([1.0, *(one.p * len(self.flips) for one in self.flips)])


@dataclass(frozen=True, slots=True)
class Measured:
    """A step and its answers, counted. `rates` are passes by capability, of all `cases`; `leaks` are cases with text
    of a chat template in the answer where the first step's has none; `fault` is why the first was not answered."""

    step: Step
    cases: int
    answered: int
    rates: Mapping[str, int]
    leaks: tuple[str, ...]
    fault: str
    before: Against | None
    first: Against | None


def measure(steps: Sequence[Step], answers: Mapping[str, Mapping[str, Given]]) -> tuple[Measured, ...]:
    """Every step that has answers, the first of which is the reference; `answers` are by label and case."""
    there = [step for step in steps if step.label in answers]
    made_from = {step.label: step.made_from for step in steps}

    def origin(step: Step) -> str:
        found = step.made_from
        while found and found not in answers:
            found = made_from.get(found, "")
        return found or there[0].label

    measured = []
    for step in there:
        own, reference = answers[step.label], answers[there[0].label]
        first = step is there[0]
        measured.append(
            Measured(
                step=step,
                cases=len(own),
                answered=sum(not one.fault for one in own.values()),
                rates=_rates(own),
                leaks=tuple(
                    case
                    for case, one in own.items()
                    if _SPECIAL.search(one.text)
                    and not (case in reference and _SPECIAL.search(reference[case].text))
                ),
                fault=next((one.fault for one in own.values() if one.fault), ""),
                before=None if first else compare(own, answers[origin(step)], origin(step)),
                first=None if first else compare(own, reference, there[0].label),
            )
        )
    return tuple(measured)


def _rates(answers: Mapping[str, Given]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in answers.values():
        for capability, passed in one.passed.items():
            found[capability] = found.get(capability, 0) + passed
    return found


def compare(own: Mapping[str, Given], others: Mapping[str, Given], label: str) -> Against:
    """Hold answers against those of the step `label`; white space around them does not count."""
    both = [case for case in own if case in others and not own[case].fault and not others[case].fault]
    told = [
        (case, mine, theirs)
        for case in both
        if (mine := own[case].prompt_tokens) is not None
        and (theirs := others[case].prompt_tokens) is not None
    ]
    texts = [(own[case].text.strip(), others[case].text.strip()) for case in both]
    capabilities = dict.fromkeys(name for case in both for name in own[case].passed)
    return Against(
        other=label,
        cases=len(both),
        flips=tuple(_flips(name, both, own, others) for name in capabilities),
        same_text=sum(mine == theirs for mine, theirs in texts),
        same_start=sum(mine[:START] == theirs[:START] for mine, theirs in texts),
        prompts={case: mine - theirs for case, mine, theirs in told if mine != theirs},
        untold=len(both) - len(told),
    )


def _flips(
    capability: str, cases: Sequence[str], own: Mapping[str, Given], others: Mapping[str, Given]
) -> Flips:
    judged = [
        (case, own[case].passed[capability], others[case].passed[capability])
        for case in cases
        if capability in own[case].passed and capability in others[case].passed
    ]
    lost = tuple(case for case, now, then in judged if then and not now)
    won = tuple(case for case, now, then in judged if now and not then)
    return Flips(capability, len(judged), lost, won, mcnemar_p(len(lost), len(won)))
