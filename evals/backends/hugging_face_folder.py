"""Folders of Hugging Face models: found on disk or fetched, looked through, and named by a digest.

Nothing in here runs or unpickles what a folder holds, and nothing imports torch: weights are safetensors, all else is
read as JSON and text.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from evals.backends.base import Model, ModelSpec
from evals.backends.batches import WINDOW
from evals.backends.embedded import split_adapter
from evals.backends.weights import sha256_of
from evals.errors import ModelUnavailable, first_line

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
FETCHED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab.txt"]
# Below the top are other formats' copies of the weights; Mistral's own stand beside them under this name.
NOT_FETCHED = ["*/*", "consolidated*"]
# What huggingface_hub raises on answers of a mirror that it did not expect.
_ANOTHER_SHAPE = (TypeError, ValueError, KeyError, AttributeError)
# Beside the weights, what decides an answer.
DECIDING = (
    "config.json", "generation_config.json", ADAPTER_CONFIG, INDEX, "tokenizer*", "chat_template*", "vocab.*",
    "merges.txt", "special_tokens_map.json", "added_tokens.json", "tekken.json", "*.model", "*.tiktoken",
)  # fmt: skip


def resolve(spec: ModelSpec) -> Model | ModelUnavailable:
    """Find (or fetch) `ID_OR_PATH` or `BASE+ADAPTER`; the digest is over the files, the adapter's after the base's.

    The tokenizer and its chat template are the adapter's where it brings a template, else the base's.
    """
    base_name, adapter_name = split_adapter(spec.name)
    try:
        _require(["torch", "transformers", *(["peft"] if adapter_name else [])])
        base = find_folder(base_name)
        weights = model_weights(base)
        adapter = find_folder(adapter_name) if adapter_name else None
        told = _adapter_base(adapter) if adapter else None
        tokenizer = adapter if adapter and chat_template(adapter) else base
        template = chat_template(tokenizer)
        if template is None:
            raise ModelUnavailable(
                f"{base} has no chat template, as base models have none: it cannot be asked in messages. Take its "
                "instruction-tuned form, or add chat_template.jinja to the folder"
            )
        config = read_json(base / "config.json")
        _refuse_own_code(base, config)
        architecture = _architecture(base, config)
        digest = folder_digest(base, weights)
        if adapter:
            weights = [*weights, adapter / ADAPTER_WEIGHTS]
            digest += "+" + folder_digest(adapter, weights[-1:])
        size = sum(file.stat().st_size for file in weights)
    except (ModelUnavailable, OSError) as error:
        return ModelUnavailable(f"{spec.text}: {error}")
    details = {
        "folder": str(base),
        "adapter": str(adapter) if adapter else None,
        "adapter_base": told,
        "tokenizer": str(tokenizer),
        "architecture": architecture,
        "context_length": context_length(config),
        "size_bytes": size,
    }
    return Model(spec, digest, thinks="enable_thinking" in template, slots=WINDOW, details=details)


def _require(packages: list[str]) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelUnavailable(
            f"hf: needs {', '.join(missing)}, which this environment lacks; run: pip install 'goldengate[hf]'"
        )


def find_folder(name: str) -> Path:
    """The folder of that path, or of the model of that ID, fetched from the hub without a token.

    Raises `ModelUnavailable` if there is none. Only safetensors, JSON, tokenizer and template files are fetched.
    """
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # a user that is not there
        path = Path(name)
    if path.is_dir():
        return path.resolve()
    if name.startswith((".", "/", "~")) or "\\" in name or name.count("/") != 1:
        raise ModelUnavailable(
            f"there is no folder {path}; hf: takes a folder, or a model's ID on the hub, OWNER/NAME"
        )
    return _from_hub(name)


def _from_hub(identifier: str) -> Path:
    import huggingface_hub
    from httpx import HTTPError
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(
            huggingface_hub.snapshot_download(
                identifier, allow_patterns=FETCHED, ignore_patterns=NOT_FETCHED, token=False
            )
        )
    except (HfHubHTTPError, HFValidationError, HTTPError, OSError, *_ANOTHER_SHAPE) as error:
        raise ModelUnavailable(
            f"{identifier} is no folder here and could not be fetched from the hub: {first_line(error)}. Models that ask for "
            "consent or a token have to be fetched first: `hf download`, then name the folder"
        ) from error


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Raises `ModelUnavailable` for anything else."""
    try:
        data = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise ModelUnavailable(f"{file.parent} has no {file.name}: it holds no whole model") from error
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{file} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ModelUnavailable(f"{file} holds no JSON object")
    return data


def model_weights(folder: Path) -> list[Path]:
    """The files of a whole model's weights, in their order. Raises `ModelUnavailable`."""
    if (folder / ADAPTER_CONFIG).exists():
        raise ModelUnavailable(f"{folder} is an adapter; name its base before it: hf:BASE+{folder}")
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        shards = read_json(folder / INDEX).get("weight_map")
        names = sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else []
        lost = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
        if lost or not names:
            raise ModelUnavailable(
                f"{folder} lacks weights that {INDEX} names: {', '.join(lost[:3]) or 'it names none'}; fetch them again"
            )
        return [folder / name for name in names]
    raise _no_safetensors(folder, WEIGHTS, "model.save_pretrained(FOLDER), in transformers,")


def _adapter_base(folder: Path) -> str:
    """The base that an adapter says it was trained on; raises `ModelUnavailable` for what is no safe adapter."""
    told = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise _no_safetensors(folder, ADAPTER_WEIGHTS, "PeftModel.save_pretrained(FOLDER)")
    return str(told or "not told")


def _no_safetensors(folder: Path, wanted: str, how: str) -> ModelUnavailable:
    pickled = sorted(
        file.name for file in folder.iterdir() if any(fnmatch(file.name, one) for one in PICKLES)
    )
    if not pickled:
        return ModelUnavailable(f"{folder} has no {wanted}: it holds no weights that can be loaded")
    return ModelUnavailable(
        f"{folder} has no {wanted}, only pickled weights ({', '.join(pickled[:3])}), which run code when they are loaded "
        f"and are never opened here. If you trust them, load them once elsewhere and save them: {how} writes safetensors"
    )


def chat_template(folder: Path) -> str | None:
    """The text of a folder's chat template, or None. Where there are several, the one called default.

    Raises `ModelUnavailable` for a template of another shape.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    if not (folder / "tokenizer_config.json").is_file():
        return None
    told = read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(told, list):
        odd = [one for one in told if not isinstance(one, dict) or not isinstance(one.get("name"), str)]
        if odd:
            raise ModelUnavailable(
                f"{folder / 'tokenizer_config.json'}: an entry of its chat_template is no mapping with a name; fetch or "
                "save the model again"
            )
        told = next((one.get("template") for one in told if one["name"] == "default"), None)
    if told is not None and not isinstance(told, str):
        raise ModelUnavailable(
            f"{folder / 'tokenizer_config.json'}: its chat_template is no text; fetch or save the model again"
        )
    return told


def _architecture(folder: Path, config: dict[str, Any]) -> str:
    told = config.get("architectures") or ["?"]
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        raise ModelUnavailable(
            f"{folder / 'config.json'}: its architectures are no list of names; fetch or save the model again"
        )
    return str(told[0])


def _refuse_own_code(folder: Path, config: dict[str, Any]) -> None:
    if not config.get("auto_map"):
        return
    from transformers import CONFIG_MAPPING

    kind = str(config.get("model_type"))
    if kind not in CONFIG_MAPPING:
        raise ModelUnavailable(
            f"{folder} brings code of its own to run (auto_map in config.json), which is never done here, and "
            f"transformers itself does not know its model type '{kind}'; ask it on a server, with openai:NAME@URL"
        )


def context_length(config: dict[str, Any]) -> int | None:
    """The tokens for which a model has positions, or None if its config tells none."""
    text = config.get("text_config")
    told = (text if isinstance(text, dict) else config).get("max_position_embeddings")
    return told if isinstance(told, int) and not isinstance(told, bool) and told > 0 else None


def folder_digest(folder: Path, weights: list[Path]) -> str:
    """Hex SHA-256 over the names and SHA-256s of all files that decide an answer."""
    deciding = {file for file in folder.iterdir() if any(fnmatch(file.name, one) for one in DECIDING)}
    files = sorted({file for file in deciding if file.is_file()} | set(weights))
    lines = [f"{file.name} {sha256_of(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
