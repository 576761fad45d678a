"""How much memory a model takes, for answers and for training, and what of both fits a GPU. From its config alone.

Sizes are bytes; GB are 10^9 of them. What is estimated is what PyTorch or llama.cpp allocate; `held_back` stands for what
a GPU's driver, kernels and fragments take beside.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from evals.checks.answers import shorten
from evals.errors import SettingsError
from training.shape import Shape
from training.simulate import Plan, beside_weights

# Bits a weight takes in a GGUF file, with the scales of its blocks; of the mixed kinds (K_M, K_S) the usual mean.
BITS = {
    "f16": 16.0,
    "q8_0": 8.5,
    "q6_K": 6.56,
    "q5_K_M": 5.69,
    "q4_K_M": 4.85,
    "q4_0": 4.55,
    "q3_K_M": 3.91,
    "q2_K": 3.16,
}
# The cache's numbers are 16 bits each; llama.cpp holds the logits of this many tokens at once, in 32 bits.
CACHE_BYTES = 2
LLAMA_BATCH = 512
RANKS = (8, 16, 32, 64, 128)
LENGTH_STEP = 64
MOST_RANK, MOST_TOKENS, MOST_BATCH = 4096, 1_048_576, 1024
Way = Literal["bf16", "qlora", "hqq", "fp32"]
# 4 bits a weight of the linear layers and a scale a block of 64: 8 bits of it (nf4, quantised twice), or 16 and a zero
# point (HQQ). What is no linear layer stays in bfloat16.
_LINEAR_BITS: dict[Way, float] = {"bf16": 16, "fp32": 32, "qlora": 4.127, "hqq": 4.5}
_OTHER_BITS: dict[Way, float] = {"bf16": 16, "fp32": 32, "qlora": 16, "hqq": 16}


@dataclass(frozen=True, slots=True)
class Inference:
    """Bytes of answering at one quantisation and context."""

    quantisation: str
    length: int
    weights: int
    cache: int
    buffers: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.buffers


@dataclass(frozen=True, slots=True)
class Training:
    """Bytes of training in one way. `adapter` is with its gradients and AdamW's two moments; `step` is all that lives at
    the peak of a step beside both: activations, logits and what sums need on their way."""

    way: Way
    plan: Plan
    trained: int
    weights: int
    adapter: int
    step: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.step


@dataclass(frozen=True, slots=True)
class Longest:
    """The greatest length that fits at a rank, 0 where none does."""

    way: Way
    rank: int
    length: int


def memory_size(text: str) -> int:
    """`16GB` or `15.5GiB` in bytes; raises `SettingsError`."""
    found = re.fullmatch(r"\s*([0-9]{1,7}(?:\.[0-9]+)?)\s*(GB|GiB|MB|MiB)\s*", text, re.IGNORECASE)
    if not found or float(found[1]) == 0:
        raise SettingsError(f"--gpu {shorten(text)} is no size of a memory; write it as 16GB, or 15.5GiB")
    unit = {"gb": 10**9, "gib": 2**30, "mb": 10**6, "mib": 2**20}[found[2].lower()]
    return round(float(found[1]) * unit)


def held_back(memory: int) -> int:
    """What is not to be had of a GPU: 600 MB for its driver and kernels, and 3% that fragments take."""
    return 600_000_000 + round(0.03 * memory)


def inference(shape: Shape, quantisation: str, length: int) -> Inference:
    """Bytes of answering with `length` tokens of context; raises `SettingsError` for an unknown quantisation."""
    if quantisation not in BITS:
        raise SettingsError(f"{quantisation!r} is no quantisation known here: {', '.join(BITS)}")
    batch = min(LLAMA_BATCH, length)
    return Inference(
        quantisation,
        length,
        weights=round(shape.parameters * BITS[quantisation] / 8),
        cache=CACHE_BYTES * shape.cache_numbers(length),
        buffers=4 * batch * (shape.vocabulary + 2 * shape.hidden),
    )


def plan_of(way: Way, rank: int, length: int, *, batch: int = 1, checkpointing: bool = True) -> Plan:
    """A step in one way: only float32 does not sum in bfloat16.

    Raises `SettingsError` for what no model is trained with, and PyTorch could not count the bytes of.
    """
    for name, value, most in (
        ("rank", rank, MOST_RANK),
        ("max-length", length, MOST_TOKENS),
        ("batch", batch, MOST_BATCH),
    ):
        if value > most:
            raise SettingsError(f"--{name} {value} is too large; {most} is the most that is looked at")
    return Plan(rank, length, batch, bf16=way != "fp32", checkpointing=checkpointing)


def weights_bytes(shape: Shape, way: Way) -> int:
    """Bytes of the frozen base."""
    linear = shape.parameters - shape.rest
    return math.ceil((linear * _LINEAR_BITS[way] + shape.rest * _OTHER_BITS[way]) / 8)


class Trainings:
    """What trainings of one model take; each step is simulated once, whatever the way to hold the base.

    Methods raise `TrainingError` for a config that is no language model's.
    """

    def __init__(self, config: Any, shape: Shape) -> None:
        self._config = config
        self._shape = shape
        self._simulated: dict[Plan, int] = {}

    def estimate(self, way: Way, plan: Plan) -> Training:
        """Bytes of training in one way, by one simulated step: see `training.simulate`."""
        if plan not in self._simulated:
            self._simulated[plan] = beside_weights(self._config, plan)
        trained = self._shape.trained(plan.rank, plan.targets)
        adapter = 16 * trained  # weight, gradient and two moments, 32 bits each
        step = self._simulated[plan] - adapter
        if way == "qlora":
            adapter //= (
                2  # TRL keeps the adapter of a 4-bit base in bfloat16, and AdamW its moments in the same
            )
        if way in ("qlora", "hqq"):
            # One layer, unpacked.
            step += 2 * max((one.inputs * one.outputs for one in self._shape.linears), default=0)
        return Training(way, plan, trained, weights_bytes(self._shape, way), adapter, step)

    def longest(self, way: Way, plan: Plan, memory: int) -> Longest:
        """The greatest length, a multiple of 64 and within the base's context, that fits `memory` bytes, all else as in
        `plan`.

        Bytes grow with the length and with the rank in straight lines, so two of each tell; the length found is
        simulated again, and shortened as long as it does not fit.
        """
        room = memory - held_back(memory)
        low, high = 4 * LENGTH_STEP, 16 * LENGTH_STEP
        at_low, at_high = (self._between(way, replace(plan, length=length)) for length in (low, high))
        length = low + (room - at_low) / (at_high - at_low) * (high - low)
        length = min(length, self._shape.context or length)
        found = max(0, int(length // LENGTH_STEP) * LENGTH_STEP)
        while found and self.estimate(way, replace(plan, length=found)).total > room:
            found -= LENGTH_STEP
        return Longest(way, plan.rank, found)

    def _between(self, way: Way, plan: Plan) -> float:
        least, most = RANKS[0], RANKS[-1]
        at_least, at_most = (self.estimate(way, replace(plan, rank=rank)).total for rank in (least, most))
        return at_least + (at_most - at_least) * (plan.rank - least) / (most - least)
