"""Merged weights: the base in bfloat16 with the adapter's products added, as a folder of safetensors.

The base is read unquantised, whatever the adapter was trained on: adding to 4-bit weights would round the adapter away.
"""

from __future__ import annotations

import gc
import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.backends.hugging_face_folder import ADAPTER_WEIGHTS, model_weights
from evals.errors import ModelUnavailable, TrainingError, first_line
from training.adapter_gguf import base_config
from training.manifest import refuse_other_base

if TYPE_CHECKING:
    from training.bases import Base
    from training.manifest import Adapter

# Of a bfloat16 weight; and what tokenizer, settings and the headers of the shards take besides, generously.
BYTES_A_WEIGHT = 2
BESIDES_BYTES = 64 * 2**20
SHARD_SIZE = "2GB"
# The tokenizer is the adapter's, which training saved beside it, with the template that it was trained with.
_TOKENIZER = (
    "tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model",
)  # fmt: skip


def merge(adapter: Adapter, base: Base, target: Path) -> Path:
    """Write the merged model to the folder `target`, which must not exist, and return it.

    It appears under its name when it is whole. Raises `TrainingError` for an adapter of another base, a quantised base,
    weights that do not fit each other, and a disk without room; nothing is left behind then.
    """
    refuse_other_base(adapter, base)
    config = base_config(base)
    if config.get("quantization_config"):
        raise TrainingError(
            f"{base.name} is quantised itself, and merging into such weights would round the adapter away; train on its "
            "unquantised form (train.method qlora quantises it while training), then create again"
        )
    needed = weights_count(base) * BYTES_A_WEIGHT + BESIDES_BYTES
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _refuse_full(target.parent, needed)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.part-", dir=target.parent))
    except OSError as error:
        raise _unwritten(target, needed, error) from error
    try:
        _write(adapter, base, scratch)
        _fsync(scratch)
        os.replace(scratch, target)
    except TrainingError:
        raise
    except (
        Exception
    ) as error:  # safetensors has an exception of its own for a full disk, transformers passes on any
        raise _unwritten(target, needed, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def weights_count(base: Base) -> int:
    """How many numbers the base's weights have, from the headers of its files. Raises `TrainingError`."""
    from safetensors import SafetensorError, safe_open

    count = 0
    try:
        for file in model_weights(base.folder):
            with safe_open(file, framework="np") as opened:
                for name in opened.keys():  # noqa: SIM118 - the file is no mapping
                    count += math.prod(opened.get_slice(name).get_shape())
    except (ModelUnavailable, SafetensorError, OSError) as error:
        raise TrainingError(f"the weights of {base.name} cannot be read: {first_line(error)}") from error
    return count


def _refuse_full(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TrainingError(
            f"merging takes {needed:,} bytes in {folder}, and {free:,} bytes are free there; make room, or name another "
            "folder with --work"
        )


def _unwritten(target: Path, needed: int, error: Exception) -> TrainingError:
    try:
        free = f"{shutil.disk_usage(target.parent).free:,}"
    except OSError:
        free = "unknown"
    return TrainingError(
        f"the merged weights cannot be written to {target}: {first_line(error)}. They take {needed:,} bytes, free are "
        f"{free}; nothing half was left. Make room, or name another folder with --work"
    )


def _write(adapter: Adapter, base: Base, folder: Path) -> None:
    merged = _merged(adapter, base)
    with warnings.catch_warnings():
        # The sampling defaults of some bases contradict each other, which saving them says.
        warnings.filterwarnings("ignore", module=r"transformers\.generation")
        merged.save_pretrained(folder, max_shard_size=SHARD_SIZE)
    del merged
    gc.collect()
    tell_older_readers(folder / "config.json")
    for source in (base.folder, adapter.folder):
        for file in (found for pattern in _TOKENIZER for found in sorted(source.glob(pattern))):
            shutil.copyfile(file, folder / file.name)
    if (base.folder / "generation_config.json").is_file():
        shutil.copyfile(base.folder / "generation_config.json", folder / "generation_config.json")


def _merged(adapter: Adapter, base: Base) -> Any:
    import peft
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    told = {"local_files_only": True, "trust_remote_code": False}
    try:
        auto: Any = transformers.AutoModelForCausalLM
        loaded = auto.from_pretrained(base.folder, dtype=torch.bfloat16, use_safetensors=True, **told)
        with warnings.catch_warnings():
            # PEFT asks transformers 5.24 for a property by the name that it had until then.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            adapted = peft.PeftModel.from_pretrained(
                loaded, str(adapter.folder), is_trainable=False, local_files_only=True
            )
        _refuse_odd(adapted, adapter)
        # With safe_merge PEFT raises where the sum is not finite, instead of writing it.
        return adapted.merge_and_unload(safe_merge=True)
    except TrainingError:
        raise
    except Exception as error:  # settings are other files' and break PEFT and transformers wherever they like
        raise TrainingError(
            f"{adapter.folder} cannot be merged into {base.name}: {first_line(error)}"
        ) from error


def _refuse_odd(adapted: Any, adapter: Adapter) -> None:
    """Raise for matrices without counterpart, of which PEFT only warns, or says nothing."""
    import peft
    from safetensors import safe_open

    with safe_open(adapter.folder / ADAPTER_WEIGHTS, framework="np") as opened:
        brought = set(opened.keys())
    wanted = set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
    odd = sorted(one for one in wanted ^ brought if "lora_" in one)
    if odd:
        raise TrainingError(
            f"{adapter.folder} does not fit its base: {len(odd)} matrices have no counterpart, {odd[0]} for one"
        )


def tell_older_readers(file: Path) -> None:
    """Write the rotary settings under their old names as well.

    transformers 5 writes `rope_parameters`; Ollama's conversion (0.9.3, seen) reads `rope_theta` and `rope_scaling` and
    takes 10000 without a word where they are missing: the model then answers, but worse the longer the text.
    """
    config = json.loads(file.read_bytes())
    told = config.get("rope_parameters")
    if not isinstance(told, dict):
        return
    local = told.get("sliding_attention")
    rope = told.get("full_attention", told)
    if isinstance(local, dict):
        config.setdefault("rope_local_base_freq", local.get("rope_theta"))
    config.setdefault("rope_theta", rope.get("rope_theta"))
    if rope.get("rope_type", "default") != "default":
        scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
        config.setdefault("rope_scaling", {**scaling, "type": rope["rope_type"]})
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _fsync(folder: Path) -> None:
    files: Iterable[Path] = sorted(folder.iterdir())
    for file in files:
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
