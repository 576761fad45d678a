"""Rows that begin alike, computed as one: what each token sees, and that losses and gradients are those of separate rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from evals.errors import TrainingError
from tests.small_hf_model import save_model
from training.shared_prefix import NO_LOSS, as_one_row, attend_by_mask


def row(prompt: list[int], completion: list[int]) -> dict[str, list[int]]:
    return {"input_ids": prompt + completion, "labels": [NO_LOSS] * len(prompt) + completion}


TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@given(st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=5), TOKENS)
def test_each_token_sees_what_it_would_see_alone(
    parts: list[tuple[list[int], list[int]]], beginning: list[int]
) -> None:
    rows = [row(beginning + prompt, completion) for prompt, completion in parts]

    made = as_one_row(rows)

    ids, labels, positions = (made[name][0].tolist() for name in ("input_ids", "labels", "position_ids"))
    sees = made["attention_mask"][0, 0]
    shared = len(ids) - sum(len(one["input_ids"]) for one in rows)  # negative: what was saved
    shared = -shared // (len(rows) - 1) if len(rows) > 1 else 0
    start = shared
    for one in rows:
        length = len(one["input_ids"]) - shared
        for at in range(start, start + length):
            seen = [place for place in range(len(ids)) if sees[at, place]]
            assert [ids[place] for place in seen] == one["input_ids"][: positions[at] + 1]
        assert labels[start : start + length] == one["labels"][shared:]
        start += length
    # What predicts a row's first token with loss is a token of its own, not the end of its neighbour.
    assert all(labels[at] == NO_LOSS for at, place in enumerate(positions) if place <= shared)


def test_rows_that_share_nothing_and_a_single_row_stay_what_they_are() -> None:
    made = as_one_row([row([1, 2], [3]), row([4, 2], [5, 6])])

    assert made["input_ids"].tolist() == [[1, 2, 3, 4, 2, 5, 6]]
    assert made["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3]]
    assert as_one_row([row([1, 2], [3])])["labels"].tolist() == [[NO_LOSS, NO_LOSS, 3]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base"))


def gradients(base: Path, batches: list[dict[str, torch.Tensor]]) -> tuple[float, list[torch.Tensor]]:
    """The summed loss of all tokens over the batches, and its gradients."""
    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_pretrained(base, dtype=torch.float64)
    total = 0.0
    for batch in batches:
        labels = batch.pop("labels")
        logits = model(**batch, use_cache=False).logits
        loss: Any = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum", ignore_index=NO_LOSS
        )
        loss.backward()
        total += float(loss.detach())
    return total, [one.grad for one in model.parameters()]


def test_losses_and_gradients_are_those_of_separate_rows(base: Path) -> None:
    system = [256, *range(60, 90), 257]
    rows = [row([*system, *range(start, start + 7)], [start, 5, 257]) for start in (100, 120, 140)]
    apart = [{name: torch.tensor([value]) for name, value in one.items()} for one in rows]

    loss, slopes = gradients(base, [as_one_row(rows)])
    loss_apart, slopes_apart = gradients(base, apart)

    assert loss == pytest.approx(loss_apart, rel=1e-9)
    for one, other in zip(slopes, slopes_apart, strict=True):
        # Norms and rotations are computed in float32, whatever the weights are.
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def on_meta(config: Any) -> Any:
    auto: Any = transformers.AutoModelForCausalLM
    with torch.device("meta"):
        return auto.from_config(config)


SMALL: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@pytest.mark.parametrize(
    "config",
    [
        transformers.LlamaConfig(**SMALL),
        transformers.Qwen3Config(**SMALL),
        transformers.GPTNeoXConfig(**SMALL),
    ],
    ids=lambda one: one.model_type,
)
def test_bases_of_plain_attention_are_taken(config: Any) -> None:
    model = on_meta(config)

    attend_by_mask(model)

    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    "config",
    [
        transformers.Gemma3TextConfig(**(SMALL | {"num_hidden_layers": 6}), head_dim=8, sliding_window=64),
        transformers.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=64),
        transformers.GPTNeoConfig(
            vocab_size=50,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
        ),
        transformers.MptConfig(vocab_size=50, d_model=32, n_layers=2, n_heads=4),
        transformers.BloomConfig(vocab_size=50, hidden_size=32, n_layer=2, n_head=4),
        transformers.FalconConfig(**SMALL, alibi=True),
        transformers.FalconConfig(**(SMALL | {"attn_implementation": "eager"})),
        transformers.RwkvConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2),
        transformers.MambaConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, state_size=8),
    ],
    ids=lambda one: f"{one.model_type}-{one._attn_implementation}",
)
def test_bases_of_another_attention_are_refused(config: Any) -> None:
    with pytest.raises(TrainingError, match="share_prefix"):
        attend_by_mask(on_meta(config))


def test_a_base_that_asks_for_eager_attention_is_computed_by_pytorch_s_own(base: Path) -> None:
    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_pretrained(base, attn_implementation="eager").eval()
    rows = [row([60, 61, 62], [63, 64, 65]), row([60, 61, 62], [70, 71])]

    attend_by_mask(model)

    made = as_one_row(rows)
    made.pop("labels")
    with torch.no_grad():
        alone = model(torch.tensor([rows[1]["input_ids"]])).logits[0, -1]
        shared = model(**made).logits[0, -1]
    torch.testing.assert_close(shared, alone, rtol=1e-4, atol=1e-4)
