"""How far a model agrees with itself when it is asked again. Pure.

At temperature 0 all repeats ought to be equal; what they are not is the noise floor of the server: batching, caches,
and kernels that add in another order. A difference between two models that is smaller says nothing.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from evals.backends.base import ModelReply
from evals.checks.answers import folded, read_json

AgreementName = Literal["exact", "normalised", "verdict"]
AGREEMENTS: tuple[AgreementName, ...] = get_args(AgreementName)
EXPLAINED = {
    "exact": "the same text",
    "normalised": "the same JSON value, or the same words but for case, spaces and forms of letters",
    "verdict": "every check ends the same way",
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """One measure over the cases of a task, each asked `repeats` times.

    `value` is the mean over the cases of the share of pairs of repeats that are equal; `whole` counts the cases of
    which all are. `noise_floor`: the temperature was 0. `least` is a case with the smallest share;
    `floor` is the task's own (`gate.agreement`), None without one.
    """

    model: str
    task: str
    measure: AgreementName
    repeats: int
    cases: int
    whole: int
    value: float
    least: str
    least_value: float
    noise_floor: bool
    floor: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the floor is reached; None where there is none."""
        return None if self.floor is None else self.value >= self.floor

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def pairs_equal(values: Sequence[Hashable]) -> float:
    """The share of pairs that are equal, of two values at least."""
    pairs = len(values) * (len(values) - 1)
    return sum(count * (count - 1) for count in Counter(values).values()) / pairs


def agreement(
    by_case: Mapping[str, Sequence[Hashable]],
    *,
    model: str,
    task: str,
    measure: AgreementName,
    noise_floor: bool,
    floor: float | None = None,
) -> Agreement:
    """One measure from what the repeats of each case came to: one case and two repeats at least."""
    shares = {case: pairs_equal(values) for case, values in by_case.items()}
    least = min(shares, key=lambda case: shares[case])
    return Agreement(
        model=model,
        task=task,
        measure=measure,
        repeats=len(next(iter(by_case.values()))),
        cases=len(shares),
        whole=sum(share == 1 for share in shares.values()),
        value=statistics.fmean(shares.values()),
        least=least,
        least_value=shares[least],
        noise_floor=noise_floor,
        floor=floor,
    )


def form(measure: AgreementName, reply: ModelReply, repeat: int, outcomes: Iterable[str]) -> Hashable:
    """What the repeats of a case must share to agree; `outcomes` is how each check of this one ended, read only
    where that is the measure."""
    if reply.fault:
        return "fault", repeat  # what is missing agrees with nothing
    if measure == "exact":
        return exact_form(reply)
    if measure == "normalised":
        return normalised_form(reply)
    return tuple(outcomes)


def exact_form(reply: ModelReply) -> Hashable:
    """What two replies must share to be the same text; a reply that was cut off is not a whole one."""
    return reply.text, reply.stop_reason == "length"


def normalised_form(reply: ModelReply) -> Hashable:
    """The same for JSON of equal value and for text of the same words: NFKC, small letters, single spaces."""
    reading = read_json(reply.text)
    value = reading.lenient if reading.problem else reading.value
    if isinstance(value, (dict, list)):
        return json.dumps(_plain_numbers(value), sort_keys=True), reply.stop_reason == "length"
    return " ".join(folded(reply.text).split()), reply.stop_reason == "length"


def _plain_numbers(value: Any) -> Any:
    """The value with 1.0 written as 1, which is the same number."""
    if isinstance(value, dict):
        return {key: _plain_numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain_numbers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
