"""Why answers change from one step to the next: template, merge, conversion, quantisation, or only rounding. Pure.

Prompts that are other tokens tell of the template; where they are the same, other answers tell of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evals.stats import mcnemar_p
from training.fidelity_measure import Against, Engine, Measured

Kind = Literal["template", "merge", "conversion", "quantisation", "unanswered", "rounding", "nothing"]

SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found, at which step, with the cases that show it."""

    kind: Kind
    step: str
    what: str
    mend: str = ""
    cases: tuple[str, ...] = ()


def diagnose(measured: Sequence[Measured]) -> tuple[Finding, ...]:
    """What is wrong, by step: each fault once, where it comes in; then what may be rounding."""
    faults: list[Finding] = []
    rounding: list[Finding] = []
    templates: dict[Engine, str] = {}
    by_label = {one.step.label: one for one in measured}
    for one in measured:
        if one.answered < one.cases:
            faults.append(_unanswered(one))
        if one.before is None or one.first is None:
            continue
        if one.step.engine not in templates and (found := _template(one, measured)):
            templates[one.step.engine] = one.step.label
            faults.append(found)
        foreign = by_label[one.before.other].step.engine != one.step.engine
        if one.before.prompts or (foreign and one.step.engine in templates):
            continue  # another prompt has another answer, whatever the weights
        if beyond_rounding(one):
            faults.append(_weights(one))
        elif one.before.lost or one.before.won:
            rounding.append(_rounding(one))
    if not faults and measured:
        faults.append(_nothing(measured))
    return (*faults, *rounding)


def beyond_rounding(one: Measured) -> bool:
    """Whether a step differs from the one before by more than rounding does.

    Verdicts flip too unevenly for chance; or, of weights that were not quantised, most answers begin otherwise. Single
    flips and a single other beginning are never enough.
    """
    before = one.before
    if before is None or not before.cases:
        return False
    if before.p < SIGNIFICANT:
        return True
    others = before.cases - before.same_start
    return not one.step.quantization and others >= 2 and others * 2 > before.cases


def flips_needed(capabilities: int) -> int:
    """The fewest flips, all in one direction, that are beyond chance."""
    count = 1
    while mcnemar_p(count, 0) * max(1, capabilities) >= SIGNIFICANT:
        count += 1
    return count


def _unanswered(one: Measured) -> Finding:
    return Finding(
        "unanswered",
        one.step.label,
        f"{one.cases - one.answered} of {one.cases} cases were not answered, and are not compared: {one.fault}",
        "mend that first, and run it again",
    )


def _template(one: Measured, measured: Sequence[Measured]) -> Finding | None:
    assert one.first is not None
    if one.first.prompts:
        return Finding(
            "template",
            one.step.label,
            f"template fault: {one.step.engine} makes other tokens of the messages than training did, "
            f"{_more_tokens(one.first)}",
            _TEMPLATE_MENDS[one.step.engine],
            tuple(one.first.prompts),
        )
    clean = any(
        other.step.engine == one.step.engine and not other.leaks
        for other in measured[: measured.index(one)]
        if other.first is not None
    )
    if one.leaks and not clean:
        return Finding(
            "template",
            one.step.label,
            f"template fault: {len(one.leaks)} of {one.cases} answers hold text that belongs to a chat template, and those of "
            f"{one.first.other} do not: {one.step.engine} does not stop where it should, or asks otherwise",
            _TEMPLATE_MENDS[one.step.engine],
            one.leaks,
        )
    return None


_TEMPLATE_MENDS: Mapping[Engine, str] = {
    "transformers": "the tokenizer files beside the merged weights are not the adapter's; create it again",
    "llama.cpp": "compare tokenizer.chat_template in the GGUF file with the adapter's chat_template.jinja; convert the base "
    "again, or name another file with --gguf",
    "Ollama": "`python -m training doctor MODEL --base ADAPTER` shows what it renders, for the model that `create` makes; "
    "name a base with the right template with --base-ollama",
}


def _more_tokens(against: Against) -> str:
    differences = sorted(set(against.prompts.values()))
    told = against.cases - against.untold
    where = f"in {len(against.prompts)} of {told} cases"
    if len(differences) > 1:
        return (
            f"{where} between {differences[0]:+d} and {differences[-1]:+d}: "
            "the texts themselves are cut up or repeated otherwise"
        )
    every = "in every case" if len(against.prompts) == told else where
    return (
        f"{every} {differences[0]:+d}: what stands around the messages is otherwise "
        "(a begin-of-text token, a system message, the roles)"
    )


def _weights(one: Measured) -> Finding:
    before = one.before
    assert before is not None
    cases = tuple(dict.fromkeys(case for flip in before.flips for case in (*flip.lost, *flip.won)))
    told = f"against {before.other} {_flipped(before)}, and {before.same_start} of {before.cases} answers begin alike"
    if one.step.quantization:
        return Finding(
            "quantisation",
            one.step.label,
            f"quantisation {'loss' if before.lost >= before.won else 'changes verdicts'}: {told}; "
            f"the prompts are the same",
            "take a finer quantisation, q8_0 say, or train on more examples of these cases",
            cases,
        )
    if one.step.engine == "transformers":
        return Finding(
            "merge",
            one.step.label,
            f"merge fault: {told}; both run in transformers, so it is the merged weights",
            "send the adapter itself (`create --adapter`), and check that the base is the one that it was trained on",
            cases,
        )
    return Finding(
        "conversion",
        one.step.label,
        f"conversion fault: {told}; the prompts are the same and nothing is quantised, so {one.step.engine} runs other weights",
        "bring the engine up to date, and make the GGUF file again",
        cases,
    )


def _flipped(against: Against) -> str:
    verdicts = sum(one.cases for one in against.flips)
    return (
        f"{against.lost + against.won} of {verdicts} verdicts flipped (lost {against.lost}, won {against.won}, "
        f"p = {against.p:.3f})"
    )


def _rounding(one: Measured) -> Finding:
    before = one.before
    assert before is not None
    needed = flips_needed(len(before.flips))
    what = "a loss through quantisation" if one.step.quantization else "a fault"
    return Finding(
        "rounding",
        one.step.label,
        f"against {before.other} {_flipped(before)}: greedy answers drift with rounding, and single flips may be that. "
        f"From {needed} in one direction on it would be {what}; more cases tell",
        cases=tuple(dict.fromkeys(case for flip in before.flips for case in (*flip.lost, *flip.won))),
    )


def _nothing(measured: Sequence[Measured]) -> Finding:
    compared = [one.step.label for one in measured[1:]]
    said = [f"no fault found in {len(compared)} {'step' if len(compared) == 1 else 'steps'} after the first"]
    said += _limits(measured)
    return Finding("nothing", measured[-1].step.label, "; ".join(said))


def _limits(measured: Sequence[Measured]) -> Iterator[str]:
    """What these cases could not have shown."""
    first = measured[0]
    needed = flips_needed(len(first.rates))
    passed = sum(first.rates.values())
    if not passed:
        yield "the first step passes nothing, so no loss could show in verdicts"
    elif first.cases < needed:
        yield f"{first.cases} cases are too few for a loss to show: from {needed} in one direction on it is more than chance"
    for one in measured[1:]:
        before = one.before
        if before and one.step.quantization and before.same_start * 2 < before.cases:
            yield f"{one.step.label} words most answers otherwise, and flips no more verdicts than chance does"
    untold = [one.step.label for one in measured[1:] if one.first and one.first.untold]
    if untold:
        yield f"the prompts' tokens could not be compared at {', '.join(untold)}"
