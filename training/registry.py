"""Models in Ollama, under names that are aliases: find, create, copy, delete. Nothing is believed that was not read back.

A digest is what Ollama lists a model with: the SHA-256 of its manifest, which names every layer (weights, adapter,
template, system message, parameters). Two names of one digest are one model.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import ollama

from evals.backends.http_faults import LOOPBACK
from evals.backends.ollama import NOT_OLLAMA, UNLOAD_LIMIT_S, fault_of, server_url
from evals.backends.weights import sha256_of
from evals.checks.answers import shorten
from evals.errors import ConnectionBroke, RegistryError
from training.shown import Shown, read_parameters

if TYPE_CHECKING:
    from training.package import Package

# Seconds of silence. The server hashes a blob before it answers, and converts and quantises weights between two lines.
LOOK_SILENCE_S = 30.0
CREATE_SILENCE_S = 3600.0
SAID_LIMIT = 500
_HEX = re.compile(r"[0-9a-f]{64}")
_LAYERS = re.compile(r"^(?:FROM|ADAPTER) .*sha256-([0-9a-f]{64})$", re.MULTILINE)

# What a long step does at present, and of how many bytes how many are done; 0 of 0 where there is nothing to count.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model as the server lists it. `digest` is 64 hex digits; `modified` is ISO 8601, or ''."""

    name: str
    digest: str
    size_bytes: int
    family: str
    quantization: str
    modified: str


def full_name(name: str) -> str:
    """A name with its tag: `x` is `x:latest`."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class Registry:
    """One Ollama server. Every call raises `RegistryError` where the server is gone, refuses or is not what it was.

    `host` is read as `--ollama-host`; raises `SettingsError` for what is no address.
    """

    def __init__(self, host: str | None) -> None:
        self.url = server_url(host)
        local = urlsplit(self.url).hostname in LOOPBACK
        self._client = ollama.Client(
            host=self.url,
            timeout=httpx.Timeout(CREATE_SILENCE_S, connect=10.0, pool=10.0),
            # A proxy of the environment must not see what is meant for this machine.
            trust_env=not local,
            # No connection outlives its request, so that there is nothing to close.
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._looks = ollama.Client(
            host=self.url,
            timeout=httpx.Timeout(LOOK_SILENCE_S, connect=10.0),
            trust_env=not local,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def find(self, name: str) -> Entry | None:
        """The model of that name, None where there is none."""
        wanted = full_name(name)
        with self._translated("list its models", name):
            models = self._looks.list().models
        for one in models:
            if full_name(one.model or "") == wanted:
                return _entry(one, wanted)
        return None

    def get(self, name: str) -> Entry:
        """The model of that name; raises `RegistryError` where there is none."""
        found = self.find(name)
        if found is None:
            raise RegistryError(
                f"Ollama at {self.url} has no model {shorten(full_name(name))}; `ollama list` shows what is there"
            )
        return found

    def show(self, name: str) -> Shown:
        """Template, system message, parameters, capabilities and architecture of a model."""
        with self._translated(f"show {shorten(name)}", name):
            # ollama's own call drops the system message.
            return self._looks._request(Shown, "POST", "/api/show", json={"model": name})

    def create(self, name: str, package: Package, progress: Progress | None = None) -> Entry:
        """Make a model of a package, or replace the one of that name once the new one is whole.

        Files are uploaded unless the server has them; it refuses bytes that do not have the digest computed here.
        Afterwards the model is read back: template, system message, parameters, and the digests of GGUF files that were sent.
        """
        told = progress or _untold
        files = self._upload(package.files, told)
        adapters = self._upload(package.adapters, told)
        with self._translated(f"create {shorten(name)}", name):
            stream = self._client.create(
                name,
                from_=package.base or None,
                files=files or None,
                adapters=adapters or None,
                quantize=package.quantize or None,
                template=package.template,
                system=package.system,
                parameters=package.parameters,
                stream=True,
            )
            status = ""
            for part in stream:
                status = part.status or status
                told(status, part.completed or 0, part.total or 0)
        if status != "success":
            raise RegistryError(
                f"Ollama at {self.url} broke off while it created {shorten(name)}, after {shorten(status)!r}; "
                "what stood under that name stands still. Is there room on its disk?"
            )
        made = self.get(name)
        self._refuse_another(name, package, {**files, **adapters})
        return made

    def copy(self, source: str, target: str) -> Entry:
        """Give a model a second name, at once replacing what had it; raises unless it has the source's digest then."""
        before = self.get(source)
        with self._translated(f"copy {shorten(source)} to {shorten(target)}", source):
            self._looks.copy(before.name, full_name(target))
        copied = self.get(target)
        if copied.digest != before.digest:
            raise RegistryError(
                f"{shorten(target)} has the digest {copied.digest[:12]} after {shorten(source)} ({before.digest[:12]}) was "
                "copied to it: somebody else changes these names at the same time"
            )
        return copied

    def delete(self, name: str) -> None:
        """Take a name away; the layers stay as long as another name needs them."""
        with self._translated(f"delete {shorten(name)}", name):
            self._looks.delete(full_name(name))
        if self.find(name) is not None:
            raise RegistryError(f"Ollama at {self.url} still has {shorten(name)} after it was deleted")

    def unload_all(self) -> tuple[str, ...]:
        """Have the server take every model out of memory; returns their names, once none is left."""
        loaded = self._loaded()
        for name in loaded:
            with self._translated(f"unload {shorten(name)}", name):
                self._looks.generate(name, keep_alive=0)
        deadline = time.monotonic() + UNLOAD_LIMIT_S
        while left := set(self._loaded()).intersection(loaded):
            if time.monotonic() > deadline:
                raise RegistryError(
                    f"Ollama at {self.url} has {', '.join(map(shorten, sorted(left)))} in memory still, "
                    f"{UNLOAD_LIMIT_S:g} s after it was told to unload; is somebody asking it?"
                )
            time.sleep(0.05)
        return loaded

    def _loaded(self) -> tuple[str, ...]:
        with self._translated("list what it has in memory", ""):
            return tuple(name for one in self._looks.ps().models if (name := one.model or one.name))

    def _upload(self, files: Mapping[str, Path], told: Progress) -> dict[str, str]:
        """Each file's name in the model with its digest, `sha256:…`."""
        return {name: self._blob(name, path, told) for name, path in files.items()}

    def _blob(self, name: str, path: Path, told: Progress) -> str:
        try:
            size = path.stat().st_size
            told(f"hashing {name}", 0, size)
            digest = f"sha256:{sha256_of(path)}"
        except OSError as error:
            raise RegistryError(f"{path} cannot be read: {error.strerror or error}") from error
        if self._has_blob(digest, name):
            told(f"{name} is there already", size, size)
            return digest
        told(f"uploading {name}", 0, size)
        with self._translated(f"take {shorten(name)}", name):
            sent = self._client.create_blob(path)
        if sent != digest:
            raise RegistryError(f"{path} was changed while it was sent to Ollama; create the model again")
        if not self._has_blob(digest, name):
            raise RegistryError(
                f"Ollama at {self.url} does not have {digest[:19]} after {path} was sent; is there room on its disk?"
            )
        told(f"uploaded {name}", size, size)
        return digest

    def _has_blob(self, digest: str, name: str) -> bool:
        with self._translated(f"look for {shorten(name)}", name):
            # ollama's client has no call for it.
            answer = self._looks._client.head(f"/api/blobs/{digest}")
            if answer.status_code not in (200, 404):
                answer.raise_for_status()
            return bool(answer.status_code == 200)

    def _refuse_another(self, name: str, package: Package, digests: Mapping[str, str]) -> None:
        """Raise unless the server kept what it was sent."""
        kept = self.show(name)
        if (kept.template or "") != package.template:
            raise RegistryError(
                f"Ollama at {self.url} keeps another template of {shorten(name)} than was sent"
            )
        if (kept.system or "") != package.system:
            raise RegistryError(
                f"Ollama at {self.url} keeps another system message of {shorten(name)} than was sent: "
                f"{shorten(repr(kept.system or ''))} instead of {shorten(repr(package.system))}"
            )
        parameters = read_parameters(kept.parameters or "")
        if lost := sorted(set(package.parameters) - set(parameters)):
            raise RegistryError(
                f"Ollama at {self.url} left the parameters {', '.join(lost)} of {shorten(name)} out"
            )
        for one, sent in package.parameters.items():
            if not _same(sent, parameters[one]):
                raise RegistryError(
                    f"Ollama at {self.url} keeps {shorten(str(parameters[one]))} for the parameter {shorten(one)} of "
                    f"{shorten(name)}, and {shorten(str(sent))} was sent"
                )
        layers = set(_LAYERS.findall(kept.modelfile or ""))
        # Ollama keeps GGUF files as they are; safetensors it converts, and what it quantises it writes anew.
        whole = {
            file: digest.removeprefix("sha256:")
            for file, digest in digests.items()
            if file.endswith(".gguf") and (file in package.adapters or not package.quantize)
        }
        if layers and (lost := sorted(file for file, digest in whole.items() if digest not in layers)):
            raise RegistryError(
                f"Ollama at {self.url} made {shorten(name)} of other files than {', '.join(map(shorten, lost))}"
            )

    @contextmanager
    def _translated(self, what: str, name: str) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise RegistryError(
                f"Ollama at {self.url} was asked to {what} and fell silent; look at its log, then try again"
            ) from error
        except (ConnectionError, *NOT_OLLAMA) as error:
            fault = fault_of(error, name)
            mend = "; is it running? `ollama serve` starts it" if isinstance(fault, ConnectionBroke) else ""
            raise RegistryError(
                f"Ollama at {self.url} did not {what}: {shorten(str(fault), SAID_LIMIT)}{mend}"
            ) from error
        except OSError as error:
            raise RegistryError(f"a file for Ollama cannot be read: {error}") from error


def _same(sent: Any, kept: Any) -> bool:
    """Whether a parameter is the one that was sent; some servers keep numbers as 32-bit floats."""
    if isinstance(sent, int | float) and isinstance(kept, int | float):
        return math.isclose(sent, kept, rel_tol=1e-6)
    return bool(sent == kept)


def _entry(one: ollama.ListResponse.Model, name: str) -> Entry:
    digest = (one.digest or "").removeprefix("sha256:")
    if not _HEX.fullmatch(digest):
        raise RegistryError(f"Ollama lists {shorten(name)} with {shorten(digest)!r}, which is no digest")
    details = one.details
    return Entry(
        name=name,
        digest=digest,
        size_bytes=int(one.size or 0),
        family=(details.family if details else "") or "",
        quantization=(details.quantization_level if details else "") or "",
        modified=one.modified_at.isoformat() if one.modified_at else "",
    )


def _untold(status: str, completed: int, total: int) -> None:
    """Nobody wants to know."""
