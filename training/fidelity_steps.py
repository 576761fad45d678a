"""The steps from training into Ollama, each made so that `pytest evals --model` can ask it.

Files are written into a working folder, models in Ollama get passing names and are deleted again.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evals.backends.weights import gguf_file
from evals.checks.answers import shorten
from evals.errors import ModelUnavailable, RegistryError, SettingsError, TrainingError
from training.adapter_gguf import write_adapter_gguf
from training.bases import GGUF_PREFIX
from training.fidelity_measure import Step
from training.package import Package, make_package, merged_files

if TYPE_CHECKING:
    from training.bases import Base
    from training.manifest import Adapter
    from training.registry import Registry

REFERENCE = "transformers, adapter"
# What is not quantised, as GGUF files and Ollama name it; the first is what merged weights are sent as.
FLOATS = ("F16", "BF16", "F32")


def local_steps(
    adapter: Adapter, base: Base, gguf: Path | None, work: Path, skipped: list[str]
) -> list[Step]:
    """Those that need no Ollama, the reference first; `skipped` gets what could not be made, and why.

    Raises `SettingsError` for a `gguf` that is no GGUF file, and for paths that `--model` cannot take.
    """
    return [
        Step(REFERENCE, _spec("hf", base.folder, adapter.folder), "transformers"),
        *_adapter_gguf_step(adapter, base, gguf, work, skipped),
        *_merged_steps(adapter, base, work, skipped),
    ]


def _spec(prefix: str, model: Path, adapter: Path | None = None) -> str:
    """`hf:BASE+ADAPTER`; raises `SettingsError` for a path that `--model` cannot take."""
    names = [str(path.resolve()) for path in (model, adapter) if path is not None]
    for name in names:
        odd = any(char == "," or char.isspace() or not char.isprintable() for char in name)
        if odd or (name is names[-1] and adapter and "+" in name):
            raise SettingsError(
                f"{shorten(name, 300)} cannot be named with --model, which takes no spaces, commas or +; move the folder"
            )
    return f"{prefix}:{'+'.join(names)}"


def _merged_steps(adapter: Adapter, base: Base, work: Path, skipped: list[str]) -> Iterator[Step]:
    try:
        files = merged_files(adapter, base, work)
    except TrainingError as error:
        skipped.append(f"merged weights: {error}")
        return
    file = next(iter(files.values()))
    whole = file.suffix == ".gguf"
    folder = file.with_suffix("") if whole else file.parent
    label = "transformers, merged"
    yield Step(label, _spec("hf", folder), "transformers", REFERENCE, merged=True)
    if whole:
        yield Step("llama.cpp, merged", _spec("gguf", file), "llama.cpp", label, merged=True)


def _adapter_gguf_step(
    adapter: Adapter, base: Base, gguf: Path | None, work: Path, skipped: list[str]
) -> Iterator[Step]:
    own = base.name.removeprefix(GGUF_PREFIX) if base.name.startswith(GGUF_PREFIX) else ""
    if not (gguf or own):
        skipped.append(
            f"llama.cpp, adapter: {base.name} is no GGUF file; name the same base as one with --gguf BASE.gguf"
        )
        return
    try:
        file = gguf_file(str(gguf or own))
        quantization = _file_type(file)
        written = write_adapter_gguf(adapter, base, work / f"adapter-{adapter.manifest.digest[:12]}.gguf")
    except (ModelUnavailable, TrainingError) as error:
        if gguf and isinstance(error, ModelUnavailable):
            raise SettingsError(f"--gguf: {error}") from error
        skipped.append(f"llama.cpp, adapter: {error}")
        return
    quantized = "" if quantization in FLOATS else quantization
    label = f"llama.cpp, adapter{f' on {quantized}' if quantized else ''}"
    yield Step(label, _spec("gguf", file, written), "llama.cpp", REFERENCE, quantization=quantized)


def _file_type(file: Path) -> str:
    """`Q4_1`: how most of a GGUF file's weights are written."""
    import gguf

    try:
        field = gguf.GGUFReader(file).fields.get("general.file_type")
        if field is not None:
            return gguf.LlamaFileType(int(field.contents())).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    except (ValueError, TypeError, OSError, KeyError, IndexError):
        return "unknown"
    return "unknown"


class OllamaSteps:
    """Models in Ollama that are there for the run only."""

    def __init__(
        self,
        adapter: Adapter,
        base: Base,
        registry: Registry,
        base_ollama: str,
        work: Path,
        passing: contextlib.ExitStack,
    ) -> None:
        self._adapter = adapter
        self._base = base
        self._registry = registry
        self._base_ollama = base_ollama
        self._work = work
        self._passing = passing

    def make(self, quantizations: Sequence[str], labels: Sequence[str], skipped: list[str]) -> list[Step]:
        """The adapter on its base where Ollama can do that, and merged weights in each quantisation."""
        try:
            self._registry.find(self._adapter.manifest.name)
        except RegistryError as error:
            skipped.append(f"Ollama: {error}")
            return []

        def last(*wanted: str) -> str:
            return next((label for one in wanted for label in labels if label.startswith(one)), REFERENCE)

        steps = []
        with self._told("Ollama, adapter", skipped):
            package = self._package("", None)
            if package.kind == "adapter":
                steps.append(self._step("adapter", package, last("llama.cpp, adapter")))
        merged = last("llama.cpp, merged", "transformers, merged")
        for one in {one.lower(): one for one in quantizations}.values():
            plain = one.upper() == FLOATS[0]
            with self._told(f"Ollama, {one}", skipped):
                # Merged weights are sent as 16-bit floats; asked to make them that once more, some versions refuse.
                step = self._step(one, self._package("" if plain else one, True), merged)
                steps.append(step)
                if plain:
                    merged = step.label
        return steps

    @contextlib.contextmanager
    def _told(self, label: str, skipped: list[str]) -> Iterator[None]:
        try:
            yield
        except (RegistryError, TrainingError) as error:
            skipped.append(f"{label}: {error}")

    def _package(self, quantize: str, merged: bool | None) -> Package:
        return make_package(
            self._adapter,
            registry=self._registry,
            base_ollama=self._base_ollama,
            quantize=quantize,
            merged=merged,
            work=self._work,
        )

    def _step(self, what: str, package: Package, made_from: str) -> Step:
        name = f"{self._adapter.manifest.name}:fidelity-{what.lower()}-{secrets.token_hex(4)}"
        self._passing.callback(self._delete, name)
        kept = self._registry.create(name, package).quantization or what
        quantization = "" if kept.upper() in FLOATS else kept
        if package.kind == "adapter":
            label = f"Ollama, adapter{f' on {quantization}' if quantization else ''}"
        else:
            label = f"Ollama, {what}" + (f" ({kept})" if kept.upper() != what.upper() else "")
        return Step(label, name, "Ollama", made_from, package.kind == "merged", quantization)

    def _delete(self, name: str) -> None:
        try:
            if self._registry.find(name) is not None:
                self._registry.delete(name)
        except RegistryError as error:
            print(f"note: {name} may be left in Ollama (`ollama rm {name}`): {error}", file=sys.stderr)
