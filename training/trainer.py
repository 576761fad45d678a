"""TRL's `SFTTrainer` for our examples: tokens and masks as they were encoded, checkpoints without a pickle, the same
loss curve after a kill, and a stop at the first loss that is no number.

Imported by `train` alone, when a training begins: TRL and what it needs take seconds to load.
"""

from __future__ import annotations

import json
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from trl import SFTTrainer  # type: ignore[attr-defined]

from evals.backends.hugging_face_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from evals.errors import TrainingError
from training.checkpoints import (
    checkpoint_folder,
    checkpoints,
    damaged,
    keep_only,
    load_optimiser,
    load_random_state,
    partial_folder,
    put_in_place,
    save_optimiser,
    save_random_state,
)
from training.config import TrainConfig
from training.encode import Encoded
from training.order import EpochOrder
from training.sft_arguments import arguments, as_dataset, lora_config
from training.shared_prefix import as_one_row, attend_by_mask

COUNTS = "counts.json"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a training has done so far, over all its parts: tokens without padding, seconds of training alone, and of
    everything from the start on."""

    tokens: int = 0
    seconds: float = 0.0
    wall_s: float = 0.0

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """A loss as it came: `step` is the optimiser's, from 1; `held_out` tells what it was measured on."""

    step: int
    loss: float
    held_out: bool
    learning_rate: float
    counts: Counts


@contextmanager
def _deprecations_of_others() -> Iterator[None]:
    """PEFT and TRL still call checkpointing by the name that transformers is giving up; nobody here can mend that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*gradient_checkpointing", FutureWarning)
        yield


class AdapterTrainer(SFTTrainer):
    """Trains an adapter of a loaded base. Raises `TrainingError` at a loss that is no number."""

    model: Any

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        config: TrainConfig,
        folder: Path,
        *,
        train: Sequence[Encoded],
        held_out: Sequence[Encoded],
        bf16: bool,
        began: Callable[[int], None],
        told: Callable[[Step], None],
        since: float,
    ) -> None:
        """`began` is told the number of steps, `told` each loss; `since` is the `time.perf_counter()` of this part's start."""
        self._config = config
        self._folder = folder
        self._began = began
        self._told = told
        self._since = since
        self._before = Counts()
        self._tokens = 0
        self._fresh: Any = 0
        self._started = self._measuring = 0.0
        self._paused: float | None = None
        if config.train.share_prefix:
            attend_by_mask(model)
        options = arguments(config, folder, bf16=bf16)
        self.order = EpochOrder(
            [len(one.input_ids) for one in train],
            seed=config.train.seed,
            # Batches of all processes are of like length, so that none waits for another.
            batch=config.train.batch * options.world_size,
            grouped=config.train.group_by_length and not config.train.share_prefix,
        )
        with _deprecations_of_others():
            super().__init__(
                model=model,
                args=options,
                train_dataset=as_dataset(train),
                eval_dataset=as_dataset(held_out) if held_out else None,
                processing_class=tokenizer,
                data_collator=as_one_row if config.train.share_prefix else None,
                peft_config=lora_config(config),
                callbacks=[_Rhythm(self)],
            )
        self.remove_callback(PrinterCallback)

    # What TRL would do beside training

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """The card is written at the end, from the manifest."""

    def train(self, resume_from_checkpoint: Any = None, *arguments: Any, **named: Any) -> Any:
        """Train to the end, from a checkpoint on where one is given; one that was stopped early stays as it is."""
        if resume_from_checkpoint and self._stopped_at(Path(resume_from_checkpoint)):
            return None
        with _deprecations_of_others():
            return super().train(resume_from_checkpoint, *arguments, **named)

    def _stopped_at(self, checkpoint: Path) -> bool:
        """Whether the training had come to its early stop there; then all is set to that checkpoint."""
        if self._config.train.early_stop is None:
            return False
        self._load_from_checkpoint(str(checkpoint))
        self.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        return self.patience_is_over()

    def patience_is_over(self) -> bool:
        """Whether the held-out loss has not been better for as many evaluations as `early_stop` says."""
        patience = self._config.train.early_stop
        losses = list(self.held_out_losses().values())
        return bool(patience and losses) and len(losses) - 1 - losses.index(min(losses)) >= (patience or 0)

    # Order

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.order

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimiser in an epoch, on all processes together."""
        batches = math.ceil(len(self.order) / (self._config.train.batch * int(self.args.world_size)))
        return math.ceil(batches / self._config.train.accumulate)

    # Losses

    @property
    def counts(self) -> Counts:
        """Over all parts of a training that was resumed."""
        now, before = time.perf_counter(), self._before
        until = self._paused or now
        seconds = until - self._started - self._measuring if self._started else 0.0
        return Counts(
            before.tokens + self._tokens, before.seconds + seconds, before.wall_s + now - self._since
        )

    def begin(self) -> None:
        """All is loaded, the first step comes next."""
        self._began(self.state.max_steps)
        self._started = time.perf_counter()

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        # Summed where they are, and fetched once a step: TRL's own count leaves some out with several processes.
        mask, ids = inputs["attention_mask"], inputs["input_ids"]
        self._fresh = self._fresh + (mask.sum() if mask.ndim == 2 else ids.new_tensor(ids.numel()))
        return super().training_step(model, inputs, num_items_in_batch)  # type: ignore[no-untyped-call]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        step = self.state.global_step
        if "loss" in logs:
            self._tokens += int(self.accelerator.reduce(self._fresh))
            self._fresh = 0
        for name, held_out in (("loss", False), ("eval_loss", True)):
            if name in logs:
                self._refuse_no_number(logs[name], "held-out loss" if held_out else "loss")
                rate = float(logs.get("learning_rate", 0.0))
                self._told(Step(step, float(logs[name]), held_out, rate, self.counts))
        if "grad_norm" in logs:
            self._refuse_no_number(logs["grad_norm"], "size of the gradient")

    def _refuse_no_number(self, value: float, what: str) -> None:
        if math.isfinite(value):
            return
        step = self.state.global_step
        kept = list(checkpoints(self._folder))
        before = f"The checkpoint of step {kept[-1]} is kept" if kept else "There is no checkpoint before it"
        raise TrainingError(
            f"the {what} at step {step} is {value}: training cannot go on from there. {before}. Lower "
            f"train.learning_rate (now {self._config.train.learning_rate:g}) or raise train.warmup; at the first steps, "
            "the base's own weights or an example far unlike the others may be the cause. Then train anew"
        )

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        """The held-out loss: mean over the batches' mean loss of a token. It leaves the random numbers as they were."""
        self._paused = time.perf_counter()
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=devices):
            measured: dict[str, float] = super().evaluate(*arguments, **named)
        self._measuring += time.perf_counter() - self._paused
        self._paused = None
        return measured

    def held_out_losses(self) -> dict[int, float]:
        """The held-out losses so far, by step."""
        return {int(one["step"]): one["eval_loss"] for one in self.state.log_history if "eval_loss" in one}

    # Checkpoints

    @property
    def trainable(self) -> int:
        """Numbers of the adapter."""
        return sum(int(one.numel()) for one in self.model.parameters() if one.requires_grad)

    def save_adapter(self, folder: Path) -> dict[str, Any]:
        """Write the adapter as PEFT, Ollama and `hf:BASE+ADAPTER` read it; returns its settings, raises `OSError`."""
        model = self.accelerator.unwrap_model(self.model)
        weights = get_peft_model_state_dict(model, save_embedding_layers=False)
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()},
            folder / ADAPTER_WEIGHTS,
            metadata={"format": "pt"},
        )
        settings = model.peft_config["default"].to_dict()
        settings |= {"base_model_name_or_path": self._config.base, "inference_mode": True}
        # Sets have no order, and the digest of the file has to be the same each time.
        ordered = {
            name: sorted(value) if isinstance(value, set) else value for name, value in settings.items()
        }
        (folder / ADAPTER_CONFIG).write_text(
            json.dumps(ordered, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8"
        )
        # safetensors writes for its owner alone.
        shutil.copymode(folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS)
        return ordered

    def load_adapter(self, folder: Path) -> None:
        """Set the adapter's weights to those in a folder; raises `TrainingError` if they are not the same adapter's."""
        model = self.accelerator.unwrap_model(self.model)
        try:
            weights = load_file(folder / ADAPTER_WEIGHTS)
        except (OSError, SafetensorError) as error:
            raise damaged(folder, error) from error
        present = get_peft_model_state_dict(model, save_embedding_layers=False)
        if {name: one.shape for name, one in weights.items()} != {
            name: one.shape for name, one in present.items()
        }:
            raise TrainingError(f"{folder} holds another adapter than the config describes; train anew")
        set_peft_model_state_dict(model, weights)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """In place of a method that pickles its arguments."""
        if self.args.should_save:
            self.save_adapter(Path(output_dir or self._folder))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step = self.state.global_step
        partial = partial_folder(self._folder, step)
        if self.args.should_save:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
        self.accelerator.wait_for_everyone()
        save_random_state(partial, self.args.process_index)
        if self.args.should_save:
            self.save_adapter(partial)
            assert self.optimizer is not None and self.lr_scheduler is not None
            save_optimiser(partial, self.optimizer.state_dict(), self.lr_scheduler.state_dict())
            self.state.save_to_json(str(partial / TRAINER_STATE_NAME))
            (partial / COUNTS).write_text(json.dumps(asdict(self.counts)), encoding="utf-8")
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            put_in_place(partial, checkpoint_folder(self._folder, step))
            # The one before stays, should the disk spoil this one.
            keep_only(self._folder, {*list(checkpoints(self._folder))[-2:], *self._best_step()})
        self.accelerator.wait_for_everyone()

    def _best_step(self) -> set[int]:
        losses = self.held_out_losses() if self._config.train.early_stop else {}
        return {min(losses, key=lambda step: losses[step])} if losses else set()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        self.load_adapter(folder)
        try:
            self._before = Counts(**json.loads((folder / COUNTS).read_text(encoding="utf-8")))
            TrainerState.load_from_json(str(folder / TRAINER_STATE_NAME))
        except (OSError, ValueError, TypeError) as error:
            raise damaged(folder, error) from error

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            assert self.optimizer is not None and self.lr_scheduler is not None
            optimiser, schedule = load_optimiser(Path(checkpoint))
            self.optimizer.load_state_dict(optimiser)
            self.lr_scheduler.load_state_dict(schedule)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_random_state(Path(checkpoint), self.args.process_index)

    def _load_scaler(self, checkpoint: str | None) -> None:
        """There is none: bfloat16 needs no scaling."""

    def keep_best(self) -> float | None:
        """Set the weights to those of the best held-out loss, where that decides; returns the loss of what is set."""
        losses = self.held_out_losses()
        if not losses:
            return None
        last = max(losses)
        best = min(self._best_step(), default=last)
        if best != last:
            self.load_adapter(checkpoint_folder(self._folder, best))
        return losses[best]


class _Rhythm(TrainerCallback):
    """When to measure, to save and to stop, and which order comes next."""

    def __init__(self, trainer: AdapterTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._trainer.begin()

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._trainer.order.epoch = state.global_step // self._trainer.steps_per_epoch

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        plan = self._trainer._config.train
        step, per_epoch = state.global_step, self._trainer.steps_per_epoch
        last = step >= state.max_steps
        if self._trainer.eval_dataset is not None:
            control.should_evaluate = last or step % (plan.evaluate_every or per_epoch) == 0
        control.should_save = not last and step % (plan.save_every or per_epoch) == 0

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._trainer.patience_is_over():
            control.should_training_stop = True
