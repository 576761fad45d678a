"""Merged weights of a small model, and disks that are full while they are written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.backends.hugging_face_folder import model_weights
from evals.errors import TrainingError
from tests.faults.mounts import MountSpace
from tests.small_hf_model import TEMPLATE, change_json, save_model
from tests.training.smollm2_adapter import adapter_of
from training.bases import Base, open_base
from training.manifest import Adapter
from training.merge import merge, tell_older_readers, weights_count

ROOT = Path(__file__).parents[2]
TEXT = "The sky is blue, and the sea is deep."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return open_base(str(save_model(tmp_path_factory.mktemp("merge") / "base")))


@pytest.fixture(scope="module")
def adapter(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return adapter_of(base, tmp_path_factory.mktemp("merge") / "adapter")


def logits(folder: Path, adapter: Path | None = None) -> Any:
    """Those of every position of a text, computed in 32-bit floats."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
            model = peft.PeftModel.from_pretrained(model, adapter)
    with torch.inference_mode():
        return model.eval()(**tokenizer(TEXT, return_tensors="pt")).logits[0]


def test_merged_weights_answer_as_base_and_adapter_do(base: Base, adapter: Adapter, tmp_path: Path) -> None:
    merged = merge(adapter, base, tmp_path / "merged")
    wanted, found, without = logits(base.folder, adapter.folder), logits(merged), logits(base.folder)
    # bfloat16 keeps 8 bits: a few such roundings, of weights that are as large as logits here.
    spread = float(wanted.std())
    assert float((found - wanted).abs().mean()) < 0.03 * spread
    assert float((without - wanted).abs().mean()) > 0.3 * spread


def test_the_folder_is_a_whole_model_in_bfloat16_with_the_adapters_tokenizer(
    base: Base, adapter: Adapter, tmp_path: Path
) -> None:
    merged = merge(adapter, base, tmp_path / "merged")
    assert json.loads((merged / "config.json").read_text())["dtype"] == "bfloat16"
    assert (merged / "tokenizer.json").read_bytes() == (adapter.folder / "tokenizer.json").read_bytes()
    assert (merged / "chat_template.jinja").read_text() == TEMPLATE
    assert (merged / "generation_config.json").read_bytes() == (
        base.folder / "generation_config.json"
    ).read_bytes()
    assert weights_count(open_base(str(merged))) == weights_count(base)
    assert not [file for file in tmp_path.iterdir() if file != merged]


def test_a_model_of_several_shards_is_read_again(
    base: Base, adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.merge.SHARD_SIZE", "100KB")
    merged = merge(adapter, base, tmp_path / "merged")
    assert len(model_weights(merged)) > 1
    assert weights_count(open_base(str(merged))) == weights_count(base)


@pytest.mark.parametrize(
    ("told", "older"),
    [
        ({"rope_theta": 100000.0, "rope_type": "default"}, {"rope_theta": 100000.0}),
        (
            {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 32.0},
            {
                "rope_theta": 500000.0,
                "rope_scaling": {"rope_type": "llama3", "type": "llama3", "factor": 32.0},
            },
        ),
        (
            {
                "full_attention": {"rope_theta": 1e6, "rope_type": "default"},
                "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
            },
            {"rope_theta": 1e6, "rope_local_base_freq": 1e4},
        ),
    ],
    ids=["plain", "scaled", "two kinds of layers"],
)
def test_rotary_settings_are_told_under_their_older_names_too(
    told: dict[str, Any], older: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    change_json(file, rope_parameters=told)
    tell_older_readers(file)
    assert json.loads(file.read_text()) == {"rope_parameters": told, **older}


def test_an_adapter_of_another_base_is_refused(base: Base, adapter: Adapter, tmp_path: Path) -> None:
    other = Base("other", base.folder, "0" * 64, "")
    with pytest.raises(TrainingError, match="on another base its weights mean nothing"):
        merge(adapter, other, tmp_path / "merged")


def test_a_base_that_is_quantised_itself_is_refused(base: Base, adapter: Adapter, tmp_path: Path) -> None:
    folder = tmp_path / "quantised"
    folder.mkdir()
    for file in base.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    change_json(folder / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(TrainingError, match="would round the adapter away; train on its unquantised form"):
        merge(adapter, Base(base.name, folder, base.digest, ""), tmp_path / "merged")


def test_weights_that_do_not_fit_the_adapter_are_told(adapter: Adapter, tmp_path: Path) -> None:
    base = open_base(str(save_model(tmp_path / "short", layers=1)))
    disguised = Base(base.name, base.folder, adapter.manifest.base.digest, "")
    with pytest.raises(TrainingError, match="matrices have no counterpart"):
        merge(adapter, disguised, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def run_merge(before: Sequence[str], *arguments: object) -> tuple[int, str]:
    """Exit status and what was said, of a merge in another process."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "tests.training.merging", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    return done.returncode, done.stderr


def test_a_disk_without_room_is_told_before_anything_is_written(
    base: Base, adapter: Adapter, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    with MountSpace() as space:
        space.do("mount", "-t", "tmpfs", "-o", "size=1m", "small", str(small))
        status, said = run_merge(space.prefix(ROOT), adapter.folder, base.folder, small / "merged")
        assert status == 1
        assert "ERROR: merging takes 67," in said and "1,048,576 bytes are free" in said
        assert list(space.seen(small).iterdir()) == []


def test_a_disk_that_fills_up_while_merging_leaves_nothing_half(
    base: Base, adapter: Adapter, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    with MountSpace() as space:
        # Bytes enough, but no room for a fourth file or folder: it fails with ENOSPC in the middle.
        space.do("mount", "-t", "tmpfs", "-o", "size=200m,nr_inodes=3", "small", str(small))
        status, said = run_merge(space.prefix(ROOT), adapter.folder, base.folder, small / "merged")
        assert status == 1, said
        assert "ERROR: the merged weights cannot be written" in said
        assert "No space left on device" in said and "make room" in said.lower()
        assert list(space.seen(small).iterdir()) == []


def test_a_quota_met_in_the_middle_of_the_weights_leaves_nothing_half(
    base: Base, adapter: Adapter, tmp_path: Path
) -> None:
    status, said = run_merge((), adapter.folder, base.folder, tmp_path / "merged", 100_000)
    assert status == 1
    assert "ERROR: the merged weights cannot be written" in said and "File too large" in said
    assert "They take 67," in said
    assert list(tmp_path.iterdir()) == []
