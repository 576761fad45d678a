"""From an adapter to `NAME:candidate` in Ollama: packaged, created under another name, examined, and only then named."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evals.errors import RegistryError, TrainingError
from training.aliases import alone
from training.bases import open_base
from training.doctor import Finding, examine
from training.package import Package, make_package, official_manners

if TYPE_CHECKING:
    from training.manifest import Adapter
    from training.registry import Entry, Progress, Registry

CANDIDATE = "candidate"
# What servers say to an adapter that they do not run; newer ones run none.
_NO_ADAPTERS = (
    "adapters are no longer supported",
    "unsupported architecture",
    "loras are not yet implemented",
)


def create(
    adapter: Adapter,
    *,
    name: str,
    registry: Registry,
    base_ollama: str,
    quantize: str,
    merged: bool | None,
    work: Path,
    progress: Progress | None = None,
) -> tuple[Entry, tuple[Finding, ...]]:
    """Make `NAME:candidate`, and return it with what the doctor found.

    A candidate of before stands until the new one is found to be well. A template of the base in Ollama that renders
    otherwise than the adapter was trained with is replaced by that of the table, if there is one.

    Raises `TrainingError` where the model would answer wrongly, with each fault and its mend: then nothing was kept.
    `RegistryError` where Ollama fails. `work` is a folder for the files that are sent.
    """

    def packaged(whole: bool | None) -> Package:
        return make_package(
            adapter, registry=registry, base_ollama=base_ollama, quantize=quantize, merged=whole, work=work
        )

    package = packaged(merged)
    with _passing(name, registry) as passing:
        try:
            findings = _try(passing, package, adapter, registry, progress)
        except RegistryError as error:
            if (
                package.kind != "adapter"
                or merged is not None
                or not any(one in str(error) for one in _NO_ADAPTERS)
            ):
                raise
            package = packaged(True)
            findings = _try(passing, package, adapter, registry, progress)
        if _faults(findings):
            other = official_manners(adapter, open_base(adapter.manifest.base.name))
            if other is not None and other.template != package.template:
                parameters = {**package.parameters, "stop": other.parameters["stop"]}
                again = replace(package, template=other.template, parameters=parameters)
                findings = _try(passing, again, adapter, registry, progress)
        if faults := _faults(findings):
            raise TrainingError(
                f"{name}:{CANDIDATE} was not made: the model would not answer as it was trained to.\n"
                + "\n".join(f"- {one.what}. {one.mend}" for one in faults)
            )
        # Not while a promotion looks at the candidate of before.
        with alone(name, registry.url, wait_s=60):
            return registry.copy(passing, f"{name}:{CANDIDATE}"), findings


def _try(
    name: str, package: Package, adapter: Adapter, registry: Registry, progress: Progress | None
) -> tuple[Finding, ...]:
    registry.create(name, package, progress)
    return examine(name, registry=registry, base_folder=adapter.folder)


def _faults(findings: Sequence[Finding]) -> list[Finding]:
    return [one for one in findings if one.state == "fault"]


@contextlib.contextmanager
def _passing(name: str, registry: Registry) -> Iterator[str]:
    """A name for a model that is not named yet; what has it is deleted in the end, whatever comes."""
    passing = f"{name}:creating-{secrets.token_hex(4)}"
    try:
        yield passing
    finally:
        with contextlib.suppress(RegistryError):
            if registry.find(passing) is not None:
                registry.delete(passing)
