"""Makes small models in the format of Hugging Face: random weights, a tokenizer of bytes, a chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
VOCABULARY = 256 + len(SPECIAL)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
THINKING_TEMPLATE = TEMPLATE + "{% if enable_thinking %}<think>\n{% endif %}"


def save_tokenizer(folder: Path, template: str | None = TEMPLATE) -> None:
    """A tokenizer with a token for each byte, and those of ChatML."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", bos_token="<|im_start|>", pad_token="<|pad|>"
    )
    if template:
        fast.chat_template = template
    fast.save_pretrained(folder)


def save_model(
    folder: Path, *, template: str | None = TEMPLATE, positions: int = 2048, layers: int = 2
) -> Path:
    """A whole model of 0.1 million parameters that answers gibberish, the same each time; returns its folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.3,  # large, so that no two tokens are nearly as likely
        bos_token_id=256,
        eos_token_id=257,
        pad_token_id=258,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    save_tokenizer(folder, template)
    return folder


def save_adapter(folder: Path, base: Path, *, scale: float = 1.0, template: str | None = None) -> Path:
    """A LoRA adapter of a model in `base`; with scale 0 it changes nothing."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_().mul_(scale)
    adapted.save_pretrained(folder)
    if template:
        save_tokenizer(folder, template)
    return folder


def change_json(file: Path, **changes: Any) -> None:
    """Set fields of a JSON object in a file."""
    data = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(data | changes))


def save_smollm2(folder: Path) -> Path:
    """SmolLM2-135M-Instruct out of the embedded default, as safetensors; raises `ModelUnavailable` without it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from evals.backends.weights import embedded_default

    file = embedded_default()
    model: Any = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    # The weights are floats by now, which transformers does not see and would not save.
    model.hf_quantizer = None
    model.is_quantized = False
    model.quantization_method = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    return folder
