"""A server that keeps models as Ollama does: list, show, create, copy, delete, blobs, what is in memory, chats.

It extends the fault server: `instead` and `go_away` work here too, and `on_copy` is asked before each copy::

    with RegistryServer() as server:
        server.add("ops:candidate")
        server.fail_copy(2)                                # the second copy from now is refused
        server.answers["ops:candidate"] = answer("right")  # what the model says to everything
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.fault_server import FaultServer, Play, error, line, listed_digest, whole

SIZE = 270898672


class RegistryServer(FaultServer):
    """The server. Digests are those of the fault server: by name at first, and kept by copies."""

    def __init__(self, *, models: Mapping[str, tuple[str, ...]] | None = None) -> None:
        super().__init__(models=models or {})
        self.blobs: dict[str, bytes] = {}
        self.kept: dict[str, dict[str, Any]] = {}  # by model: what it was created with
        self.answers: dict[str, Play] = {}  # by model: what it says to everything
        self.loses_blobs = self.keeps_no_template = self.copies_another = False
        self.on_copy: Callable[[dict[str, Any]], Play | None] = lambda body: None
        self._creations = 0

    def add(self, name: str, digest: str = "") -> str:
        """A model that is there from now on; returns its digest."""
        self.models[name] = ("completion",)
        self._digests[name] = digest or listed_digest(name)
        return self._digests[name]

    def fail_copy(self, number: int) -> None:
        """The copy of that number, from 1, is refused; all others go through."""
        count = 0

        def fail(_: dict[str, Any]) -> Play | None:
            nonlocal count
            count += 1
            return error(500, "no space left on device") if count == number else None

        self.on_copy = fail

    def answer_to(self, path: str, raw: bytes) -> Play:
        if path in self.instead:
            return self.instead[path]
        if path.startswith("/api/blobs/"):
            return self._blob(path.removeprefix("/api/blobs/"), raw)
        if path in ("/api/copy", "/api/delete", "/api/create", "/api/show"):
            return getattr(self, f"_{path.removeprefix('/api/')}")(json.loads(raw), raw)  # type: ignore[no-any-return]
        if path == "/api/chat" and (said := self.answers.get(json.loads(raw)["model"])):
            return said
        return super().answer_to(path, raw)

    def _blob(self, digest: str, raw: bytes) -> Play:
        if not raw:
            return Play((), 200 if digest in self.blobs else 404)
        if digest != f"sha256:{hashlib.sha256(raw).hexdigest()}":
            return error(400, "digest mismatch")
        if not self.loses_blobs:
            self.blobs[digest] = raw
        return Play((), 201)

    def _copy(self, body: dict[str, Any], _: bytes) -> Play:
        if instead := self.on_copy(body):
            return instead
        source, target = body["source"], body["destination"]
        if source not in self.models:
            return error(404, f"model '{source}' not found")
        self.add(target, listed_digest("another") if self.copies_another else self.digest(source))
        self.kept[target] = self.kept.get(source, {})
        return Play((), 200)

    def _delete(self, body: dict[str, Any], _: bytes) -> Play:
        if body["model"] not in self.models:
            return error(404, f"model '{body['model']}' not found")
        del self.models[body["model"]]
        return Play((), 200)

    def _create(self, body: dict[str, Any], _: bytes) -> Play:
        name = body["model"] if ":" in body["model"] else f"{body['model']}:latest"
        self._creations += 1
        self.add(name, hashlib.sha256(f"{self._creations} {sorted(body.items())}".encode()).hexdigest())
        self.kept[name] = body
        steps = [{"status": "parsing GGUF"}, {"status": "writing manifest"}, {"status": "success"}]
        return Play(tuple(map(line, steps)))

    def _show(self, body: dict[str, Any], raw: bytes) -> Play:
        name = body["model"] if ":" in body["model"] else f"{body['model']}:latest"
        if name not in self.models or not self.kept.get(name):
            return super().answer_to("/api/show", raw)
        kept = self.kept[name]
        digests = [*(kept.get("files") or {}).values(), *(kept.get("adapters") or {}).values()]
        layers = "\n".join(f"FROM /models/blobs/{one.replace(':', '-')}" for one in digests)
        parameters = "\n".join(
            f"{key} {json.dumps(one)}"
            for key, value in kept["parameters"].items()
            for one in (value if isinstance(value, list) else [value])
        )
        return whole({
            "model_info": {"general.architecture": "llama"},
            "capabilities": ["completion"],
            "template": "" if self.keeps_no_template else kept["template"],
            "system": kept.get("system", ""),
            "parameters": parameters,
            "modelfile": layers,
        })
