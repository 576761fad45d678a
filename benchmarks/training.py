"""What our training loop costs beside a bare TRL script: LoRA on SmolLM2-135M, in float32 where there is no GPU.

Both see the same tokens once, with the same settings of TRL and PEFT, each in a process of its own with the same
environment. Told is the ratio of tokens a second, ours / bare, from the end of the first step to that of the last:
loading and what the first step makes ready are counted for neither. Rounds begin with the other one each::

    python -m benchmarks.training [--rounds 5] [--examples 24]

One example a batch: then no order saves padding, and both compute the very same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.medians import told
from benchmarks.shared_prompts import write_golden
from training.adapter_folder import read_losses
from training.bases import open_base
from training.config import LoraConfig, ScheduleConfig
from training.data import read_dataset
from training.encode import Encoded, open_encoder

BASE = "gguf:smollm2-135m"
ACCUMULATE = 4
MAX_LENGTH = 256
PLAN = ScheduleConfig(epochs=1, accumulate=ACCUMULATE)
LORA = LoraConfig()
# Nobody listens there: a server's models stay in its memory, as they would for the bare script.
NO_OLLAMA = "http://127.0.0.1:9"

Sums = Sequence[Sequence[float]]


def write_examples(path: Path, count: int) -> None:
    """So many examples of 90 to 200 tokens."""
    with path.open("w") as file:
        for number in range(count):
            told = " ".join(f"Step {step} takes {step * 7 + number} s." for step in range(4 + number % 9))
            line = {"prompt": f"Sum up run {number}. {told}", "completion": f"Run {number}: {told}"}
            file.write(json.dumps(line) + "\n")


def write_settings(folder: Path, count: int) -> int:
    """Write what both need into a folder; returns the number of tokens."""
    write_golden(folder / "golden", 4, 32, None)
    write_examples(folder / "examples.jsonl", count)
    # JSON is YAML.
    (folder / "train.yaml").write_text(
        json.dumps({
            "name": "benchmark",
            "base": BASE,
            "data": "examples.jsonl",
            "held_out": 0,
            "max_length": MAX_LENGTH,
            "train": {"epochs": PLAN.epochs, "accumulate": ACCUMULATE},
        })
    )
    base = open_base(BASE)
    encoder = open_encoder(base.folder, MAX_LENGTH)
    encoded = [encoder.encode(one) for one in read_dataset(folder / "examples.jsonl").examples]
    whole = [one for one in encoded if isinstance(one, Encoded)]
    if len(whole) != count:
        raise SystemExit(f"{count - len(whole)} examples are longer than {MAX_LENGTH} tokens")
    settings = {
        "base": str(base.folder),
        "batch": PLAN.batch,
        "accumulate": ACCUMULATE,
        "learning_rate": PLAN.learning_rate,
        "max_length": MAX_LENGTH,
        **LORA.model_dump(include={"rank", "alpha", "dropout"}),
        "examples": [
            {
                "input_ids": one.input_ids,
                "completion_mask": [int(place >= one.completion_from) for place in range(len(one.input_ids))],
            }
            for one in whole
        ],
    }
    (folder / "bare.json").write_text(json.dumps(settings))
    return sum(len(one.input_ids) for one in whole)


def bare(folder: Path) -> Sums:
    sums: Sums = json.loads(_run("benchmarks.bare_trl", str(folder / "bare.json")).splitlines()[-1])
    return sums


def ours(folder: Path) -> Sums:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "adapter"
        arguments = [str(folder / "train.yaml"), "--out", str(out), "--golden", str(folder / "golden")]
        _run("training", "train", *arguments, "--reports", scratch, "--ollama-host", NO_OLLAMA)
        return [(one.tokens, one.seconds) for one in read_losses(out)]


def _run(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{module} failed ({done.returncode}):\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout


def tokens_per_s(sums: Sums, tokens: int) -> float:
    """Of all steps but the first; raises `SystemExit` where not all tokens were seen."""
    (first_tokens, first_s), (last_tokens, last_s) = sums[0], sums[-1]
    if last_tokens != tokens:
        raise SystemExit(f"{last_tokens:,.0f} tokens were seen, and there are {tokens:,}")
    return (last_tokens - first_tokens) / (last_s - first_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=24, help=f"{ACCUMULATE} make a step")
    chosen = parser.parse_args()
    if chosen.examples < 2 * ACCUMULATE:
        parser.error(f"--examples takes {2 * ACCUMULATE} or more: the first step is not counted")
    pairs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tokens = write_settings(folder, chosen.examples)
        for number in range(chosen.rounds):
            runs = [("bare", bare), ("ours", ours)]
            speed = {
                name: tokens_per_s(run(folder), tokens)
                for name, run in (reversed(runs) if number % 2 else runs)
            }
            pairs.append((speed["bare"], speed["ours"]))
            print(
                f"round {number + 1}: bare {speed['bare']:.1f} tok/s, ours {speed['ours']:.1f} tok/s, "
                f"ratio {speed['ours'] / speed['bare']:.3f}",
                flush=True,
            )
    bare_speed, our_speed = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{tokens:,} tokens, ours / bare: {told([ours / bare for bare, ours in pairs])}; "
        f"{bare_speed:.0f} tok/s bare, {our_speed:.0f} tok/s ours"
    )


if __name__ == "__main__":
    main()
