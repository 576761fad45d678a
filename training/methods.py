"""In which numbers the base is held while its adapter is trained, and loading it that way."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from evals.errors import TrainingError, first_line
from training.bases import Base
from training.config import Method
from training.memory import is_out_of_memory, out_of_memory


@dataclass(frozen=True, slots=True)
class Way:
    """A method that was settled on: what a weight of the base takes in bytes, and whether sums run in bfloat16."""

    method: Method
    bytes_per_weight: float
    bf16: bool


# 4 bits and, a block of 64 weights, a scale: 8 bits of it (nf4, quantised twice), or 16 and a zero point (HQQ).
_WAYS = {
    "bf16": Way("bf16", 2.0, bf16=True),
    "fp32": Way("fp32", 4.0, bf16=False),
    "qlora": Way("qlora", 0.516, bf16=True),
    "hqq": Way("hqq", 0.5625, bf16=True),
}


def settle(method: Method) -> Way:
    """The way that a config asks for; `auto` is bf16 on a GPU that has it, else fp32. Raises `TrainingError`."""
    import torch

    if method == "auto":
        method = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"
    needed = {"qlora": "bitsandbytes", "hqq": "hqq"}.get(method)
    if needed and importlib.util.find_spec(needed) is None:
        raise TrainingError(
            f"train.method {method} needs the package {needed}, which this environment lacks; run: pip install {needed}, "
            "or take bf16 (on a GPU) or fp32"
        )
    if needed and not torch.cuda.is_available():
        raise TrainingError(f"train.method {method} needs a CUDA GPU, and there is none here; take fp32")
    return _WAYS[method]


def load_base(base: Base, way: Way, device: int) -> Any:
    """The base with frozen weights; `device` is the number of the GPU that quantised weights go to.

    Nothing is fetched, no code or pickle of the folder is opened. Raises `TrainingError`.
    """
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    options: dict[str, Any] = {"dtype": torch.bfloat16 if way.bf16 else torch.float32}
    if way.method == "qlora":
        options["quantization_config"] = transformers.BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    if way.method == "hqq":
        options["quantization_config"] = transformers.HqqConfig(nbits=4, group_size=64)
    if "quantization_config" in options:
        options["device_map"] = {"": device}
    auto: Any = transformers.AutoModelForCausalLM
    try:
        model, report = auto.from_pretrained(
            base.folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
    except Exception as error:  # configs are other people's files, and break transformers wherever they like
        if is_out_of_memory(error):
            raise out_of_memory(error) from error
        raise TrainingError(f"the base {base.name} cannot be loaded: {first_line(error)}") from error
    if report["missing_keys"]:
        names = ", ".join(sorted(report["missing_keys"])[:3])
        raise TrainingError(
            f"{base.folder} lacks {len(report['missing_keys'])} weights of its architecture ({names}…), which would be "
            "random; fetch or save it again"
        )
    return model
