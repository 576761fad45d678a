"""A LoRA trained as TRL's documentation does it, and nothing else: no encoding, no checkpoints, no manifest.

    python -m benchmarks.bare_trl SETTINGS.json

Prints `[[tokens, seconds], …]`, the sums after each step of the optimiser; loading is not counted.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    import torch
    from datasets import Dataset  # type: ignore[import-untyped]
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

    asked = json.loads(Path(sys.argv[1]).read_text())
    sums: list[tuple[int, float]] = []

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            logs = kwargs["logs"]
            if "loss" in logs:
                sums.append((int(logs["num_tokens"]), time.perf_counter() - self.started))

    on_cpu = not torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as scratch:
        SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(
                asked["base"], dtype=torch.float32 if on_cpu else torch.bfloat16
            ),
            args=SFTConfig(
                output_dir=scratch,
                num_train_epochs=1,
                per_device_train_batch_size=asked["batch"],
                gradient_accumulation_steps=asked["accumulate"],
                learning_rate=asked["learning_rate"],
                gradient_checkpointing=True,
                max_length=asked["max_length"],
                bf16=not on_cpu,
                use_cpu=on_cpu,
                logging_steps=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(asked["examples"]),  # tokens with a mask of the completion's
            processing_class=AutoTokenizer.from_pretrained(asked["base"]),
            peft_config=LoraConfig(
                task_type="CAUSAL_LM",
                r=asked["rank"],
                lora_alpha=asked["alpha"],
                lora_dropout=asked["dropout"],
                target_modules="all-linear",
            ),
            callbacks=[Clock()],
        ).train()
    print(json.dumps(sums))


if __name__ == "__main__":
    main()
