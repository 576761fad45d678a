"""What Ollama is given: an adapter on a base that it has, or merged weights; and always template, stop and parameters.

An adapter is sent as GGUF, as written here: Ollama's own conversion of PEFT's safetensors (0.9.3, seen) permutes the
rows of the wrong matrix of a query or key projection, and the model then answers as neither base nor adapter would.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evals.backends.hugging_face_folder import chat_template
from evals.backends.weights import gguf_file
from evals.checks.answers import shorten
from evals.errors import ModelUnavailable, TrainingError
from training.adapter_gguf import base_config, beyond_lora, gguf_architecture, write_adapter_gguf
from training.bases import GGUF_PREFIX, open_base
from training.manifest import refuse_other_base
from training.merge import merge, weights_count
from training.merged_gguf import ARCHITECTURES, write_merged_gguf
from training.official import find_official
from training.shown import read_parameters

if TYPE_CHECKING:
    from training.bases import Base
    from training.manifest import Adapter
    from training.registry import Registry
    from training.shown import Shown

# The architectures for which Ollama runs adapters.
ADAPTER_ARCHITECTURES = ("llama",)
# What Ollama shows of a model that was made without a template: it would be given the bare text of the last message.
NO_TEMPLATES = ("", "{{ .Prompt }}", "{{.Prompt}}")
_WEIGHTS = re.compile(r"^FROM .*sha256-([0-9a-f]{64})$", re.MULTILINE)
# A base's figures in Ollama, and the same in config.json.
_FIGURES = {
    "block_count": ("num_hidden_layers", "layers"),
    "embedding_length": ("hidden_size", "numbers in a hidden state"),
    "feed_forward_length": ("intermediate_size", "numbers in a feed-forward layer"),
    "attention.head_count": ("num_attention_heads", "attention heads"),
    "attention.head_count_kv": ("num_key_value_heads", "key and value heads"),
    "vocab_size": ("vocab_size", "tokens in the vocabulary"),
}


@dataclass(frozen=True, slots=True)
class Package:
    """What Ollama is given. `base` is a tag there, for kind adapter; the files are names in the model -> files here.

    `template`, `system` and `parameters` (with the stop tokens) are always sent. `quantize` is '' or `q8_0`, `q4_K_M`…
    """

    kind: Literal["adapter", "merged"]
    base: str
    files: Mapping[str, Path]
    adapters: Mapping[str, Path]
    template: str
    system: str
    parameters: Mapping[str, Any]
    quantize: str


@dataclass(frozen=True, slots=True)
class Manners:
    """How a model is asked: its template in Ollama's language, system message, and parameters with the stop tokens."""

    template: str
    system: str
    parameters: Mapping[str, Any]


def make_package(
    adapter: Adapter,
    *,
    registry: Registry,
    base_ollama: str,
    quantize: str,
    merged: bool | None,
    work: Path,
) -> Package:
    """Write what Ollama needs into the folder `work`, and say how it is put together.

    `base_ollama` is the base's name in Ollama, '' for that of the adapter's manifest. `merged` None lets the adapter
    and the server decide; asked for a quantisation that the base there does not have, weights are merged.

    Raises `TrainingError` where the base in Ollama is another than the adapter was trained on, where an adapter was
    asked for and cannot be, and where no template is known; `RegistryError` where Ollama does not answer.
    """
    base = open_base(adapter.manifest.base.name)
    refuse_other_base(adapter, base)
    name = base_in_ollama(base_ollama, adapter, registry)
    shown = registry.show(name) if name else None
    if shown is not None and (other := list(differences(shown, base))):
        raise TrainingError(
            f"{shorten(name)} in Ollama is not {base.name}, which the adapter was trained on: {'; '.join(other)}. Name the "
            "right one with --base-ollama"
        )
    manners = find_manners(shown, adapter, base)
    against = list(_against_adapter(shown, adapter, base, quantize))
    if merged is False and against:
        raise TrainingError(
            f"{adapter.folder} cannot be sent as an adapter: {'; '.join(against)}. Leave --adapter out, and weights are merged"
        )
    if merged or against:
        files = merged_files(adapter, base, work)
        return Package(
            "merged", "", files, {}, manners.template, manners.system, manners.parameters, quantize
        )
    file = write_adapter_gguf(adapter, base, work / f"adapter-{adapter.manifest.digest[:12]}.gguf")
    return Package(
        "adapter", name, {}, {file.name: file}, manners.template, manners.system, manners.parameters, ""
    )


def merged_files(adapter: Adapter, base: Base, work: Path) -> dict[str, Path]:
    """The merged model under `work`, as one GGUF file where the base came from one, else as safetensors.

    What an earlier call has made there of the same adapter is taken as it is.
    """
    folder = work / f"merged-{adapter.manifest.digest[:12]}"
    if not folder.exists():
        merge(adapter, base, folder)
    if base.name.startswith(GGUF_PREFIX) and gguf_architecture(base_config(base)) in ARCHITECTURES:
        file = folder.with_suffix(".gguf")
        if not file.exists():
            try:
                source = gguf_file(base.name.removeprefix(GGUF_PREFIX))
            except ModelUnavailable as error:
                raise TrainingError(str(error)) from error
            write_merged_gguf(folder, source, file)
        return {file.name: file}
    return {file.name: file for file in sorted(folder.iterdir())}


def base_in_ollama(asked: str, adapter: Adapter, registry: Registry) -> str:
    """The base's name in Ollama: the one that was asked for, else that of the manifest; '' where that is not there.

    Raises `TrainingError` where the one that was asked for is not there.
    """
    name = asked or adapter.manifest.base.ollama
    if not name or registry.find(name) is not None:
        return name
    if asked:
        raise TrainingError(
            f"there is no {shorten(name)} in Ollama at {registry.url}; fetch it (`ollama pull {shorten(name)}`), or leave "
            "--base-ollama out: then the base of the adapter's manifest is taken, and if Ollama has none, weights are "
            "merged, and the template is taken from a table"
        )
    return ""


def find_manners(shown: Shown | None, adapter: Adapter, base: Base) -> Manners:
    """Template, system message and parameters: those of the base in Ollama, else of the table of official templates.

    Without a word on it Ollama divides the likelihood of what was said before by 1.1, of which training knows nothing,
    so `repeat_penalty` is 1 where the base does not tell. Raises `TrainingError` where no template is known.
    """
    table = official_manners(adapter, base)
    template = (shown.template or "") if shown else ""
    if shown is None or template.strip() in NO_TEMPLATES:
        if table is None:
            raise TrainingError(
                f"no template is known for {base.name}, and without one a model answers garbage: name the same model in "
                "Ollama with --base-ollama (`ollama pull` it first), whose template is then taken"
            )
        # Ollama would keep that of the base in any case: an empty one takes nothing away there.
        return table if shown is None else replace(table, system=shown.system or "")
    parameters = {"repeat_penalty": 1.0, **read_parameters(shown.parameters or "")}
    if "stop" not in parameters and table is not None:
        parameters["stop"] = table.parameters["stop"]
    return Manners(template, shown.system or "", parameters)


def official_manners(adapter: Adapter, base: Base) -> Manners | None:
    """Those of the table for the template that the adapter was trained with, None where the table has none."""
    try:
        told = chat_template(adapter.folder) or chat_template(base.folder) or ""
    except ModelUnavailable as error:
        raise TrainingError(str(error)) from error
    found = find_official(told)
    if found is None:
        return None
    return Manners(found.template, "", {"repeat_penalty": 1.0, "stop": list(found.stop)})


def _against_adapter(shown: Shown | None, adapter: Adapter, base: Base, quantize: str) -> Iterator[str]:
    """Reasons why the adapter itself cannot be sent."""
    architecture = gguf_architecture(base_config(base))
    if architecture not in ADAPTER_ARCHITECTURES:
        yield f"Ollama runs adapters of the architectures {', '.join(ADAPTER_ARCHITECTURES)} only, and this is {architecture or 'another'}"
    if more := beyond_lora(adapter.settings):
        yield f"it has {more}, which can only be merged"
    if shown is None:
        yield "its base is not in Ollama, or was not named"
        return
    has = (shown.details.quantization_level if shown.details else "") or ""
    if quantize and quantize.lower() != has.lower():
        yield f"{quantize} was asked for, and the base in Ollama is {shorten(has) or 'of unknown quantisation'}"


def differences(shown: Shown, base: Base) -> Iterator[str]:
    """How a model in Ollama differs from the base: all figures that both tell."""
    if base.name.startswith(GGUF_PREFIX) and base.revision in _WEIGHTS.findall(shown.modelfile or ""):
        return  # the very same file
    config = base_config(base)
    told: Mapping[str, Any] = shown.modelinfo or {}
    there = str(told.get("general.architecture") or "")
    here = gguf_architecture(config)
    if there and here and there != here:
        yield f"it is a {shorten(there)}, not a {here}"
        return
    for key, (field, words) in _FIGURES.items():
        theirs, ours = told.get(f"{there}.{key}"), config.get(field)
        if isinstance(theirs, int) and isinstance(ours, int) and theirs != ours:
            yield f"it has {theirs:,} {words}, not {ours:,}"
    count = told.get("general.parameter_count")
    if isinstance(count, int) and count:
        ours = weights_count(base)
        if not _same_count(count - ours, config):
            yield f"it has {count:,} parameters, not {ours:,}"


def _same_count(more: int, config: Mapping[str, Any]) -> bool:
    """Whether a GGUF file may count so many numbers more than the base's weights, and still hold these."""
    # Some files hold the output layer a second time where it is the embedding.
    twice = int(config.get("vocab_size") or 0) * int(config.get("hidden_size") or 0)
    # Those of Llama 3.1 and others hold how far each pair of a head's numbers is rotated, for one length of text or two.
    heads = int(config.get("num_attention_heads") or 1)
    tables = int(config.get("head_dim") or int(config.get("hidden_size") or 0) // heads)
    return any(0 <= more - without <= tables for without in (0, twice, -twice))
