"""Responses on disk, content-addressed: one file a key, whole or not there at all.

An entry is a JSON line: `{"sha256": <of the body>, "body": {"request", "digest", "model", "reply"}}`. It is
written beside its place, fsynced and moved there, so a reader never meets half a file; should a disk
damage one all the same, the checksum shows it, and it is set aside as `.damaged` and asked again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from evals.backends.base import ChatRequest, Model, ModelReply


class ResponseStore:
    """Replies by request key, below one folder. Safe for any number of processes at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where a key's entry stands."""
        return self.folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> ModelReply | None:
        """The reply kept under `key`, or None; a damaged entry is moved aside and counts as absent."""
        path = self.path(key)
        try:
            raw = path.read_bytes()
        except OSError:
            return None
        try:
            entry = json.loads(raw)
            if entry["sha256"] != _checksum(entry["body"]):
                raise ValueError("the checksum does not fit")
            body = json.loads(entry["body"])
            if ChatRequest.from_json(body["request"]).key(body["digest"]) != key:
                raise ValueError("this is the entry of another key")
            return ModelReply.from_json(body["reply"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            with contextlib.suppress(OSError):
                os.replace(path, path.with_suffix(".damaged"))
            return None

    def put(self, key: str, model: Model, request: ChatRequest, reply: ModelReply) -> None:
        """Keep a reply; the last writer of a key wins. Raises `OSError` (disk full, no permission)."""
        body = json.dumps({
            "model": model.label,
            "digest": model.digest,
            "request": request.to_json(),
            "reply": reply.to_json(),
        })
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f"{key[:8]}-", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                json.dump({"sha256": _checksum(body), "body": body}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(scratch)
            raise


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode("ascii")).hexdigest()
