"""Servers that speak OpenAI's protocol: vLLM, llama-server, LM Studio; `openai:NAME@URL`.

The key, where a server wants one, comes from the environment variable GOLDENGATE_OPENAI_KEY, and goes to the servers
that are named and nowhere else. OPENAI_API_KEY is not read: it was not given for these servers.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx

from evals.backends.base import OPENAI_KEY, ChatRequest, Model, ModelReply, ModelSpec, split_server
from evals.backends.http_faults import LOOPBACK, retry_after_s
from evals.backends.openai_chat import REPLY_LIMIT, ReplyReader, events, request_body, said
from evals.errors import (
    BackendFault,
    ConnectionBroke,
    ModelUnavailable,
    ServerBusy,
    SettingsError,
    TransientFault,
    first_line,
    late,
)

LOOK_TIMEOUT_S = 30.0
WATCH_TIMEOUT_S = 10.0
LOADING_S = 10.0
LOOK_EVERY_S = 0.5
STOP_REASON_LIMIT = 40
SHORTEST_SECRET = 8
"""Shorter keys are placeholders ("none", "EMPTY"), and would be found in every other word."""

# What stays the same from one look to the next, as long as the server runs with the same model.
_STABLE_OF_MODEL = ("id", "owned_by", "root", "parent", "max_model_len", "meta")
_STABLE_OF_PROPS = ("model_path", "chat_template", "build_info")
_NOT_IMPLEMENTED = 501


def api_key(url: str) -> str:
    """The key for a server, empty if none is set. Raises `SettingsError` for one that cannot or must not be sent."""
    key = os.environ.get(OPENAI_KEY, "").strip()
    if any(not "!" <= letter <= "~" for letter in key):
        raise SettingsError(f"{OPENAI_KEY} is no key: it holds spaces, or letters outside of ASCII")
    parts = urlsplit(url)
    if key and parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingsError(
            f"{OPENAI_KEY} would go to {parts.hostname} unencrypted; write https:// in --model, or unset {OPENAI_KEY} if "
            "the server wants no key"
        )
    return key


def _client(url: str, key: str, timeout_s: float, connections: int) -> httpx.AsyncClient:
    local = urlsplit(url).hostname in LOOPBACK
    # llama.cpp's server closes kept connections as it likes, and the next request on one breaks. On this machine a new
    # one costs next to nothing; elsewhere it may cost a handshake.
    kept = 0 if local else connections
    return httpx.AsyncClient(
        # Uncompressed, since a short answer could unpack to any length.
        headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
        timeout=httpx.Timeout(timeout_s, connect=10.0),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=kept),
        # A proxy of the environment must not see what is meant for this machine.
        trust_env=not local,
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server tells of one model. `served` is its name there, empty if it has no such model; then `names` are
    those that it has. `digest` is a SHA-256 over the name, the address and what is told of the model.
    """

    served: str
    names: tuple[str, ...]
    entry: Mapping[str, Any]
    props: Mapping[str, Any]
    digest: str


async def _look(client: httpx.AsyncClient, name: str, url: str, hidden: Callable[[str], str]) -> Seen:
    """Ask a server which model it has under a name; raises `BackendFault` or an error of httpx."""
    # In this order: while llama-server loads, it lists its model half and refuses to tell of itself.
    props = await _json(client, f"{url.removesuffix('/v1')}/props", hidden, optional=True)
    listed = await _json(client, f"{url}/models", hidden)
    found = listed.get("data") if isinstance(listed, dict) else None
    entries = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    there = {one["id"]: one for one in entries if isinstance(one.get("id"), str)}
    props = props if isinstance(props, dict) else {}
    # llama-server has one model, whatever it is called.
    served = next(iter(there)) if len(there) == 1 and props.get("model_path") else name
    entry = there.get(served, {})
    told = {field: entry.get(field) for field in _STABLE_OF_MODEL}
    told |= {field: props.get(field) for field in _STABLE_OF_PROPS}
    identity = json.dumps([name, url, told], sort_keys=True)
    digest = hashlib.sha256(identity.encode("ascii")).hexdigest()
    return Seen(served if served in there else "", tuple(sorted(there)), entry, props, digest)


async def resolve(spec: ModelSpec, patience_s: float = LOADING_S) -> Model | ModelUnavailable:
    """The model as its server describes it, or why it cannot be asked; raises `SettingsError` for the key.

    These servers tell no digest of their weights. In its place stands a SHA-256 over the name, the address and what
    the server tells of the model. Other weights behind the same name need not change it: use `--refresh` then.
    A server that is loading still is waited for, `patience_s` at most.
    """
    name, url = split_server(spec.name)
    key = api_key(url)
    hidden = partial(without_key, key=key)
    async with _client(url, key, LOOK_TIMEOUT_S, 1) as client:
        try:
            with anyio.fail_after(LOOK_TIMEOUT_S + patience_s):
                seen = await _look_patiently(client, name, url, hidden, patience_s)
        except TimeoutError:
            return ModelUnavailable(f"{spec.text}: {url} does not answer within {LOOK_TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return ModelUnavailable(
                f"{spec.text}: nothing answers at {url} ({first_line(error, hidden)}); start the server, or "
                "mend the address in --model openai:NAME@URL"
            )
        except TransientFault as fault:
            return ModelUnavailable(
                f"{spec.text}: {url} is still loading, or out of order, after {patience_s:g} s ({fault}); run again "
                "once it answers"
            )
        except BackendFault as fault:
            return ModelUnavailable(f"{spec.text}: {url}: {fault}{_key_advice(fault, key)}")
    if not seen.served:
        return ModelUnavailable(hidden(_not_there(spec, name, url, seen.names)))
    details = {
        "server": url,
        "served": hidden(seen.served),
        "identity": "told by the server, not of the weights",
        "context_length": _context_length(seen.entry, seen.props),
    }
    slots = seen.props.get("total_slots")
    return Model(
        spec,
        seen.digest,
        thinks=True,  # the switch goes to the template, which passes over it where it has none
        slots=slots if isinstance(slots, int) and 0 < slots <= 1024 else None,
        details=details,
    )


async def _look_patiently(
    client: httpx.AsyncClient, name: str, url: str, hidden: Callable[[str], str], patience_s: float
) -> Seen:
    """Look again as long as the server answers that it cannot yet."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return await _look(client, name, url, hidden)
        except TransientFault:
            if time.monotonic() > deadline:
                raise
        await anyio.sleep(LOOK_EVERY_S)


def _context_length(entry: Mapping[str, Any], props: Mapping[str, Any]) -> int | None:
    settings = props.get("default_generation_settings")
    told = entry.get("max_model_len") or (settings.get("n_ctx") if isinstance(settings, dict) else None)
    return told if isinstance(told, int) else None


def _not_there(spec: ModelSpec, name: str, url: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    if close:
        hint = f"closest there: {', '.join(close)}"
    else:
        hint = f"there are: {', '.join(names[:8])}" if names else "it lists no models"
    return f"{spec.text}: {url} has no {name}; {hint}"


def _key_advice(fault: BackendFault, key: str) -> str:
    if not any(f"({status})" in str(fault) for status in (401, 403)):
        return ""
    return (
        f"; is {OPENAI_KEY} the right key?"
        if key
        else f"; put its key into the environment variable {OPENAI_KEY}"
    )


async def _json(
    client: httpx.AsyncClient, url: str, hidden: Callable[[str], str], *, optional: bool = False
) -> Any:
    """A short answer; None where it is optional and the server has nothing of the kind."""
    async with client.stream("GET", url) as response:
        if optional and response.status_code != 200 and not _may_pass(response.status_code):
            return None
        await refuse_error(response, hidden)
        raw = await read_bounded(response)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        if optional:
            return None
        raise BackendFault(
            f"it answers, but not as OpenAI's protocol wants it: {first_line(error)}"
        ) from error


def _may_pass(status: int) -> bool:
    return status == 429 or (status >= 500 and status != _NOT_IMPLEMENTED)


async def read_bounded(response: httpx.Response) -> bytes:
    """A body, as it came over the network; raises `BackendFault` beyond 4 MB."""
    raw = bytearray()
    async for chunk in response.aiter_raw():
        raw += chunk
        if len(raw) > REPLY_LIMIT:
            raise BackendFault(
                f"the server sent more than {REPLY_LIMIT // 1_000_000} MB where a few lines were due"
            )
    return bytes(raw)


class SwitchRefused(BackendFault):
    """A server does not take the field that tells the template whether to think."""


async def refuse_error(response: httpx.Response, hidden: Callable[[str], str] = str) -> None:
    """Raise what a status other than 200 means; `hidden` takes the key out of what the server says."""
    status = response.status_code
    if status == 200:
        return
    raw = await read_bounded(response)
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = raw.decode("utf-8", "replace")
    words = said(body, hidden) if body else "no reason given"
    # 503 is for an overload or a start that will pass (RFC 9110, 15.6.4).
    if status in (429, 503):
        raise ServerBusy(f"the server answered {status}: {words}", retry_after_s(response.headers))
    if status >= 500:
        raise TransientFault(f"the server answered {status}: {words}", retry_after_s(response.headers))
    if b"chat_template_kwargs" in raw:
        raise SwitchRefused(f"the server refused the request ({status}): {words}")
    if "context" in words:
        words += "; start the server with a larger context, or shorten the prompt"
    raise BackendFault(f"the server refused the request ({status}): {words}")


def without_key(text: str, key: str) -> str:
    """A server's words without the key, which some repeat, as it is or with the escapes of JSON."""
    if len(key) < SHORTEST_SECRET:
        return text
    for form in (key, json.dumps(key)[1:-1]):
        text = text.replace(form, f"[{OPENAI_KEY}]")
    return text


class OpenAIModel:
    """One model of one server, a `ServedModel`. `timeout_s` bounds a whole reply, from the request to its last token."""

    def __init__(self, model: Model, timeout_s: float, connections: int) -> None:
        self._name, self._url = split_server(model.spec.name)
        self._served = model.details.get("served", self._name)
        self._timeout_s = timeout_s
        key = api_key(self._url)
        self._hidden = partial(without_key, key=key)
        # One connection more than there are requests, so that a look at the server never waits for a reply.
        self._client = _client(self._url, key, timeout_s, connections + 1)
        self._switch = True  # until the server refuses to be told whether to think

    async def aclose(self) -> None:
        await self._client.aclose()

    async def chat(self, request: ChatRequest) -> ModelReply:
        try:
            with anyio.fail_after(self._timeout_s):
                reply = await self._stream(request)
        except (TimeoutError, httpx.ReadTimeout) as error:
            raise late(self._timeout_s) from error
        except UnicodeEncodeError as error:
            raise BackendFault(
                f"the prompt cannot be sent: it is no valid Unicode ({error.reason})"
            ) from error
        except httpx.TransportError as error:
            raise self._broke(error) from error
        told = f"{reply.text}\n{reply.thinking}\n{reply.stop_reason}"
        if self._hidden(told) != told:
            raise BackendFault(f"the reply repeats the key of {OPENAI_KEY}, so it is not kept")
        return replace(reply, stop_reason=reply.stop_reason[:STOP_REASON_LIMIT])

    async def alive(self) -> bool:
        try:
            with anyio.fail_after(WATCH_TIMEOUT_S):
                async with self._client.stream("GET", f"{self._url}/models"):
                    return True
        except (TimeoutError, httpx.TransportError):
            return False

    async def digest(self) -> str | None:
        try:
            with anyio.fail_after(WATCH_TIMEOUT_S):
                seen = await _look(self._client, self._name, self._url, self._hidden)
        except TimeoutError as error:
            raise ConnectionBroke(f"the server did not answer within {WATCH_TIMEOUT_S:g} s") from error
        except httpx.TransportError as error:
            raise self._broke(error) from error
        return seen.digest if seen.served else None

    async def unload(self) -> None:
        raise BackendFault("OpenAI's protocol has no way to unload a model")

    def _broke(self, error: httpx.TransportError) -> ConnectionBroke:
        return ConnectionBroke(f"the connection broke: {first_line(error, self._hidden)}")

    async def _stream(self, request: ChatRequest) -> ModelReply:
        sent = self._switch and request.think is not None
        try:
            return await self._stream_once(request, switch=sent)
        except SwitchRefused:
            if not sent:
                raise
        self._switch = False
        return await self._stream_once(request, switch=False)

    async def _stream_once(self, request: ChatRequest, *, switch: bool) -> ModelReply:
        reader = ReplyReader(self._hidden)
        told = request_body(request, self._served, switch=switch)
        body = json.dumps(told, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        async with self._client.stream(
            "POST", f"{self._url}/chat/completions", content=body, headers=headers
        ) as response:
            await refuse_error(response, self._hidden)
            async for event in events(response.aiter_raw()):
                reader.take(event)
        return reader.reply()
