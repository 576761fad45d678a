"""The boundary to models: specs, what is sent, what comes back, and the protocol between.

Everything here is plain frozen data that survives a trip through JSON, because requests and replies
cross a process boundary and are kept on disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit, urlunsplit

from evals.errors import SettingsError

EMBEDDED_SPEC = "gguf:smollm2-135m"
OPENAI_KEY = "GOLDENGATE_OPENAI_KEY"
Backend = Literal["ollama", "gguf", "hf", "openai", "replay"]
_PREFIXES: tuple[Backend, ...] = ("gguf", "hf", "openai", "replay")
_OPENAI_EXAMPLE = "openai:NAME@http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One `--model`: which backend, and the name there. `text` is what the user typed, and its label."""

    text: str
    backend: Backend
    name: str


def parse_spec(text: str) -> ModelSpec:
    """`qwen3:4b` -> Ollama; `gguf:…`, `hf:…`, `openai:…` and `replay:…` -> those; raises `SettingsError`."""
    text = text.strip()
    prefix, colon, rest = text.partition(":")
    if not text or any(char.isspace() or not char.isprintable() for char in text):
        raise SettingsError(f"--model {text!r} is no model: names hold no spaces or control characters")
    for backend in _PREFIXES:
        if colon and prefix == backend:
            if not rest:
                raise SettingsError(f"--model {text} names nothing after '{prefix}:'")
            if backend == "openai":
                split_server(rest)
            return ModelSpec(text, backend, rest)
    return ModelSpec(text, "ollama", text)


def split_server(name: str) -> tuple[str, str]:
    """`NAME@URL` -> the name and the server's address, which ends in `/v1` whether it was written or not.

    NAME may hold an `@`. Raises `SettingsError` where there is no address, or one that holds more than an address.
    """
    at = max(name.rfind("@http://"), name.rfind("@https://"))
    if at < 0:
        # What stands behind the last @ is not repeated: it may be half of a password.
        raise SettingsError(
            f"--model openai:{name.partition('@')[0]}… names no server; write {_OPENAI_EXAMPLE}, with http:// or https://"
        )
    model, url = name[:at], name[at + 1 :]
    if "@" in url:
        raise SettingsError(
            f"--model openai:{model}@… holds a name or a password in its address; leave it out and put the key into the "
            f"environment variable {OPENAI_KEY}"
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"--model openai:{name}: its address means nothing: {error}") from error
    if not model or not host:
        raise SettingsError(
            f"--model openai:{name} lacks the {'server' if model else 'name'}; write {_OPENAI_EXAMPLE}"
        )
    if parts.query or parts.fragment:
        raise SettingsError(
            f"--model openai:{model}@…: its address goes on behind its path; write {_OPENAI_EXAMPLE}"
        )
    path = parts.path.rstrip("/")
    return model, urlunsplit((
        parts.scheme,
        parts.netloc,
        path if path.endswith("/v1") else f"{path}/v1",
        "",
        "",
    ))


def parse_specs(texts: list[str]) -> tuple[ModelSpec, ...]:
    """All `--model` values: commas split, duplicates dropped, the embedded default if there is none."""
    names = [part.strip() for text in texts for part in text.split(",")]
    chosen = list(dict.fromkeys(name for name in names if name)) or [EMBEDDED_SPEC]
    return tuple(parse_spec(name) for name in chosen)


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Model:
    """A resolved model. `digest` names its exact weights and template; `slots` is how many requests it
    takes at once, None where the server does not tell; `details` is for the record."""

    spec: ModelSpec
    digest: str
    thinks: bool = False
    slots: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.spec.text

    def key(self, request: ChatRequest) -> str:
        """The name of its reply. A recording answers for itself alone, not for its model, nor for another recording."""
        key = request.key(self.digest)
        if self.spec.backend != "replay":
            return key
        return hashlib.sha256(f"{key} {self.spec.name}".encode("utf-8", "surrogatepass")).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Model:
        return cls(**{**data, "spec": ModelSpec(**data["spec"])})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request to one model. `options` are the resolved sampling options, thinking apart.

    `think` is None for a model that has no thinking: some servers refuse the field then.
    """

    task: str
    case: str
    messages: tuple[Message, ...]
    options: Mapping[str, Any]
    think: bool | str | None = None
    repeat: int = 0

    def key(self, digest: str) -> str:
        """The name of its response: SHA-256 over all that decides the answer, the model's digest first.

        The chat template is part of the digest (Ollama's manifest, the GGUF's metadata).
        """
        parts = {
            "digest": digest,
            "messages": [[one.role, one.content] for one in self.messages],
            "options": dict(self.options),
            "think": self.think,
            "repeat": self.repeat,
        }
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def to_json(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {**fields, "messages": [{"role": one.role, "content": one.content} for one in self.messages]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ChatRequest:
        return cls(**{**data, "messages": tuple(Message(**one) for one in data["messages"])})


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What came back. Times in seconds, None where the backend does not tell.

    `fault` is the reason if no usable reply came at all; `retries` are the reasons why it was asked again.
    """

    text: str = ""
    thinking: str = ""
    stop_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    load_s: float | None = None
    prompt_s: float | None = None
    decode_s: float | None = None
    first_token_s: float | None = None
    total_s: float | None = None
    fault: str = ""
    retries: tuple[str, ...] = ()

    @property
    def tokens_per_s(self) -> float | None:
        """Decoding speed, where both figures are there and mean something."""
        if not self.completion_tokens or not self.decode_s:
            return None
        return self.completion_tokens / self.decode_s

    def to_json(self) -> dict[str, Any]:
        # Flat, so no need for asdict, which copies deeply: this runs for every reply.
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelReply:
        return cls(**{**data, "retries": tuple(data["retries"])})


@dataclass(frozen=True, slots=True)
class AskSettings:
    """How to ask. `hosts` are Ollama servers, none for the default one; `server_wait_s` is how long a server that
    went away is waited for; with `share_server` several models of one server are asked at the same time."""

    hosts: tuple[str, ...] = ()
    concurrency: int | None = None
    reply_timeout_s: float = 300.0
    store: str | None = None
    server_wait_s: float = 60.0
    share_server: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AskSettings:
        return cls(**{**data, "hosts": tuple(data["hosts"])})


class ChatModel(Protocol):
    """What a backend is: it answers one request, and can be closed."""

    async def chat(self, request: ChatRequest) -> ModelReply:
        """Ask once. Raises `TransientFault` or `BackendFault`; never returns a made-up reply."""

    async def aclose(self) -> None:
        """Give back connections and memory."""


@runtime_checkable
class ServedModel(ChatModel, Protocol):
    """A model of a server that tells what it has: the server can be watched, and told to unload the model."""

    async def alive(self) -> bool:
        """Whether the server answers at all."""

    async def digest(self) -> str | None:
        """What the server has under the model's name now, None if nothing. Raises `BackendFault`."""

    async def unload(self) -> None:
        """Take the model out of the server's memory; returns once it is out. Raises `BackendFault`."""
