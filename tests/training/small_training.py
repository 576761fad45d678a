"""Whole trainings of a small model in some seconds: what they need on disk, and a process of their own to be killed in:

python -m tests.training.small_training CONFIG.yaml OUT [--resume] [--kill-at STEP]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import yaml

from evals.errors import GoldenGateError
from tests.golden_folder import write_golden
from training.config import read_config
from training.train import train

# Nobody listens there: a server of the machine that runs the tests is left alone.
NO_OLLAMA = "http://127.0.0.1:9"
WORDS = ["red", "green", "blue", "tall", "small", "round", "flat", "warm", "cold", "slow", "quick", "bright"]


class Watched:
    """A progress that keeps what it is told, and can end its process as the machine may at any time."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.total = 0
        self.steps: list[tuple[int, float, int]] = []
        self.ended = False
        self._kill_at = kill_at

    def begin(self, total_steps: int) -> None:
        self.total = total_steps

    def step(self, step: int, loss: float, tokens: int, tokens_per_s: float) -> None:
        self.steps.append((step, loss, tokens))
        if step == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def end(self) -> None:
        self.ended = True


def write_training(folder: Path, base: Path, *, examples: int = 24, **changes: Any) -> Path:
    """A config, its data and a golden folder; returns the config's path. `changes` are keys of the config."""
    write_golden(folder / "golden")
    lines = [
        {
            "prompt": f"Say {word} {number} times.",
            "completion": " ".join([word] * (1 + number % 5)),
        }
        for number in range(examples)
        for word in [WORDS[number % len(WORDS)]]
    ]
    (folder / "examples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config: dict[str, Any] = {
        "name": "small",
        "base": str(base),
        "data": "examples.jsonl",
        "held_out": 0.2,
        "max_length": 128,
        "lora": {"rank": 4, "dropout": 0.1},
        "train": {"method": "fp32", "epochs": 2, "batch": 2, "accumulate": 2, "learning_rate": 0.005},
    }
    for key, value in changes.items():
        config[key] = config[key] | value if isinstance(config.get(key), dict) else value
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def run(config: Path, out: Path | None, *, resume: bool = False, progress: Watched | None = None) -> Path:
    """Train what a config says, as the command does."""
    return train(
        read_config(config),
        golden=config.parent / "golden",
        out=out,
        resume=resume,
        host=NO_OLLAMA,
        progress=progress or Watched(),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--kill-at", type=int)
    asked = parser.parse_args()
    try:
        run(asked.config, asked.out, resume=asked.resume, progress=Watched(asked.kill_at))
    except GoldenGateError as error:
        sys.exit(f"ERROR: {error}")
