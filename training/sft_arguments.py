"""A training's config in the words of TRL and PEFT. Imported by `trainer` alone: both take seconds to load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets  # type: ignore[import-untyped]
import torch
from peft import LoraConfig
from trl import SFTConfig  # type: ignore[attr-defined]

from training.config import TrainConfig
from training.encode import Encoded
from training.shared_prefix import NO_LOSS


def as_dataset(examples: Sequence[Encoded]) -> datasets.Dataset:
    """Rows for TRL, which takes `labels` as they are: -100 on the prompt's tokens."""
    return datasets.Dataset.from_dict({
        "input_ids": [list(one.input_ids) for one in examples],
        "labels": [
            [NO_LOSS] * one.completion_from + list(one.input_ids[one.completion_from :]) for one in examples
        ],
    })


def arguments(config: TrainConfig, folder: Path, *, bf16: bool) -> SFTConfig:
    """TRL's arguments. What to save, to measure and to report is `AdapterTrainer`'s; all of TRL's own is off."""
    plan = config.train
    # Older transformers know the new name not yet, newer ones warn of the old.
    known = SFTConfig.__dataclass_fields__
    name = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    checkpointing: dict[str, Any] = {
        name: plan.checkpointing,
        f"{name}_kwargs": {"use_reentrant": False} if plan.checkpointing else None,
    }
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=plan.epochs,
        max_steps=plan.max_steps or -1,
        per_device_train_batch_size=plan.batch,
        per_device_eval_batch_size=plan.batch,
        gradient_accumulation_steps=plan.accumulate,
        learning_rate=plan.learning_rate,
        lr_scheduler_type=plan.schedule if plan.schedule != "constant" else "constant_with_warmup",
        warmup_steps=plan.warmup,
        weight_decay=plan.weight_decay,
        neftune_noise_alpha=plan.neftune,
        seed=plan.seed,
        bf16=bf16,
        use_cpu=not torch.accelerator.is_available(),
        **checkpointing,
        max_length=config.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_steps=1,
        # It would put an average in place of a loss that is no number, and wait for the GPU at each batch to see one.
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        push_to_hub=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
    )


def lora_config(config: TrainConfig) -> LoraConfig:
    """PEFT's form of the adapter's settings."""
    targets = config.lora.targets
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        bias="none",
    )
