"""One step of training without a weight and without a sum: which bytes would live at once.

The model, its adapter, TRL's output layer and AdamW are the real ones; their tensors are PyTorch's fake ones, which know
shape and type and hold nothing. What lives is counted where tensors are made and freed, so no formula has to know what a
layer keeps for its way back.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from training.shape import on_meta

# Two sizes of a model of which the layers repeat: what all its layers take follows from what two more of them take.
_FEW, _MORE = 2, 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides the memory of a step. `bf16`: base in bfloat16 and sums under autocast, else all in float32."""

    rank: int
    length: int
    batch: int = 1
    bf16: bool = True
    checkpointing: bool = True
    targets: str | tuple[str, ...] = "all-linear"


def beside_weights(config: Any, plan: Plan) -> int:
    """Bytes at the peak of a step, the base's own weights apart: adapter, gradients, AdamW, activations, logits.

    Each layer adds the same, so two short models are simulated and the rest is their difference.
    """
    layers = int(config.get_text_config().num_hidden_layers)
    if layers <= _MORE:
        return _simulated(config, plan)
    few, more = (_simulated(_with_layers(config, count), plan) for count in (_FEW, _MORE))
    return few + round((more - few) / (_MORE - _FEW) * (layers - _FEW))


def _with_layers(config: Any, count: int) -> Any:
    short = copy.deepcopy(config)
    text = short.get_text_config()
    # The last ones, so that of a model with windows those of both kinds are among them.
    kinds = getattr(text, "layer_types", None)
    text.num_hidden_layers = count
    if kinds:
        text.layer_types = list(kinds[-count:])
    return short


def _simulated(config: Any, plan: Plan) -> int:
    with torch.device("meta"):
        model = adapted(on_meta(config, dtype=torch.bfloat16 if plan.bf16 else torch.float32), plan)
    with FakeTensorMode(allow_non_fake_inputs=True), Living() as living, _quiet():
        _give_fake_tensors(model)
        frozen: int = sum(one.untyped_storage().nbytes() for one in _frozen(model))
        trained = [one for one in model.parameters() if one.requires_grad]
        optimiser = torch.optim.AdamW(trained, foreach=True)
        for (
            one
        ) in trained:  # AdamW makes its moments at the first step: the peak is one of the steps after it
            one.grad = torch.zeros_like(one)
        optimiser.step()
        optimiser.zero_grad()
        living.peak = living.now
        tokens = torch.zeros((plan.batch, plan.length), dtype=torch.long)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=plan.bf16):
            outputs = model(input_ids=tokens, labels=tokens, use_cache=False, fused_lm_head=True)
            loss = -outputs.log_probs.sum() / plan.length
        del outputs
        loss.backward()
        optimiser.step()
        return int(living.peak - frozen)


def adapted(model: Any, plan: Plan) -> Any:
    """A model with its adapter and output layer as TRL's SFTTrainer sets them up."""
    import peft
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    targets = plan.targets if isinstance(plan.targets, str) else list(plan.targets)
    lora = peft.LoraConfig(task_type="CAUSAL_LM", r=plan.rank, lora_dropout=0.05, target_modules=targets)
    with _quiet():  # PEFT asks by the old name
        with_adapter: Any = peft.get_peft_model(model, lora)
    with_adapter.train()
    if plan.checkpointing:
        # Older transformers know the new name not yet, newer ones warn of the old.
        new = hasattr(model, "activation_checkpointing_enable")
        name = "activation_checkpointing_enable" if new else "gradient_checkpointing_enable"
        getattr(model, name)({"use_reentrant": False})
        with_adapter.enable_input_require_grads()
    return with_adapter


def _give_fake_tensors(model: Any) -> None:
    """In place of each tensor on the meta device, one on the CPU, since autocast and attention go by the device."""
    made: dict[int, Any] = {}
    kept: list[Any] = []
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, old in store.items():
                if old is None:
                    continue
                if id(old) not in made:  # tied weights stay one
                    new = torch.empty(old.shape, dtype=old.dtype, device="cpu")
                    parameter = isinstance(old, torch.nn.Parameter)
                    made[id(old)] = (
                        torch.nn.Parameter(new, requires_grad=old.requires_grad) if parameter else new
                    )
                    kept.append(old)
                store[name] = made[id(old)]


def _frozen(model: Any) -> Iterator[Any]:
    yield from (one for one in model.parameters() if not one.requires_grad)
    yield from model.buffers()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that operations have made and nobody has dropped yet."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_iter(made):
            if isinstance(one, torch.Tensor):
                self._note(one.untyped_storage())
        return made

    def _note(self, storage: Any) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, size)

    def _gone(self, size: int) -> None:
        self.now -= size
