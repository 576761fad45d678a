"""Examples that begin alike, a task's system message, are computed as one row: the beginning once, then each one's rest.

Each rest sees the beginning and itself, at the positions that it would have alone. The beginning has no loss and sees
nothing of what follows it, so losses and gradients are those of separate rows; only sums come in another order.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from evals.errors import TrainingError

NO_LOSS = -100


def attend_by_mask(model: Any) -> None:
    """Have a base attend as the mask of `as_one_row` says, and count positions as it does.

    Only PyTorch's own attention (sdpa) takes a mask of true and false for what it is: others add it to the scores, or leave
    it aside. Raises `TrainingError` for a base that has no such attention, or one beside it: windows, a state that runs
    through the row, distances counted in the row itself (ALiBi).
    """
    if model.config._attn_implementation != "sdpa":
        with contextlib.suppress(
            ValueError
        ):  # a base that has no other attention says so, or stays what it is
            model.set_attn_implementation("sdpa")
    text = model.config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    windowed = getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True)
    inner = getattr(text, "attn_config", None)  # MPT keeps its settings there
    plain = (
        model.config._attn_implementation == "sdpa"
        and "position_ids" in inspect.signature(model.forward).parameters
        and kinds == {"full_attention"}
        and not (windowed and not getattr(text, "layer_types", None))
        and not any(getattr(one, "alibi", False) for one in (text, inner))
        and not getattr(text, "attention_layers", None)
    )
    if not plain:
        raise TrainingError(
            "train.share_prefix needs a base of plain attention that PyTorch computes (sdpa), and this one has another, or "
            "windows, or layers of another kind; set it to false"
        )


def as_one_row(rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
    """`input_ids` and `labels` of several examples as one row.

    Returns `input_ids`, `labels` and `position_ids` of shape (1, n), and `attention_mask` of shape (1, 1, n, n), true
    where a token sees another. At least one token without loss stays in each rest: the one that predicts its first.
    """
    ids = [list(row["input_ids"]) for row in rows]
    labels = [list(row["labels"]) for row in rows]
    silent = min(next((at for at, one in enumerate(some) if one != NO_LOSS), len(some)) for some in labels)
    alike = next((at for at, tokens in enumerate(zip(*ids, strict=False)) if len(set(tokens)) > 1), silent)
    shared = max(0, min(alike, silent - 1))
    rests = [len(one) - shared for one in ids]
    # 0 is the beginning, which all see; others see their own kind alone.
    kind = torch.cat([
        torch.zeros(shared, dtype=torch.long),
        torch.repeat_interleave(torch.arange(1, len(ids) + 1), torch.tensor(rests)),
    ])
    sees = (kind[:, None] == kind[None, :]) | (kind[None, :] == 0)
    positions = [*range(shared), *(at for one in ids for at in range(shared, len(one)))]
    return {
        "input_ids": torch.tensor([ids[0][:shared] + [token for one in ids for token in one[shared:]]]),
        "labels": torch.tensor([[NO_LOSS] * shared + [one for some in labels for one in some[shared:]]]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": torch.tril(sees)[None, None],
    }
