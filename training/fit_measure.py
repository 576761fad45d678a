"""Three real steps of training on random weights, and the most memory that they took: what an estimate is held against."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from typing import Any

from evals.errors import TrainingError
from training.fit import Training
from training.memory import is_out_of_memory, out_of_memory
from training.shape import Shape

STEPS = 3
# Dense sums in bfloat16 that a card can do in a second, by its name: makers' figures without sparsity.
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "4090": 165e12, "3090": 71e12, "L4": 121e12}


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen. `share` is of the card's peak FLOP/s, None for a card whose figure is not known here."""

    device: str
    peak: int
    tokens_per_s: float
    share: float | None


def measure(config: Any, shape: Shape, training: Training) -> Measured:
    """Train `STEPS` steps on a CUDA GPU in bfloat16 and take the peak; raises `TrainingError` where there is none."""
    import torch

    if not torch.cuda.is_available():
        raise TrainingError("--measure trains on a CUDA GPU, and there is none here")
    if training.way != "bf16":
        raise TrainingError(
            f"--measure trains in bf16; {training.way} needs real weights to be quantised first"
        )
    try:
        return _measured(config, shape, training)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(error) from error
    finally:
        gc.collect()
        torch.cuda.empty_cache()


def _measured(config: Any, shape: Shape, training: Training) -> Measured:
    import torch
    import transformers

    from training.simulate import adapted

    torch.manual_seed(0)
    auto: Any = transformers.AutoModelForCausalLM
    with torch.device("cuda"):
        model = auto.from_config(config, dtype=torch.bfloat16)
    plan = training.plan
    model = adapted(model, plan)
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], fused=True)
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(STEPS):
        tokens = torch.randint(0, shape.vocabulary, (plan.batch, plan.length), device="cuda")
        torch.cuda.synchronize()
        started = time.perf_counter()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            outputs = model(input_ids=tokens, labels=tokens, use_cache=False, fused_lm_head=True)
            loss = -outputs.log_probs.sum() / plan.length
        del outputs
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    name = torch.cuda.get_device_name()
    speed = plan.batch * plan.length / min(seconds)
    known = next((value for card, value in PEAK_FLOPS.items() if card in name), None)
    return Measured(
        name,
        int(torch.cuda.max_memory_allocated()),
        speed,
        speed * _flops_per_token(shape, training) / known if known else None,
    )


def _flops_per_token(shape: Shape, training: Training) -> float:
    """Useful sums of a token: 2 a weight forwards, 2 backwards (frozen weights get no gradient), 6 a trained one.

    What checkpointing computes again is no use, so it does not count (model FLOPs: Chowdhery et al. 2022, appendix B).
    """
    matrices = sum(one.inputs * one.outputs for one in shape.linears) + shape.vocabulary * shape.hidden
    return 4.0 * matrices + 6.0 * training.trained
