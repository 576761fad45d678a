"""Servers that speak OpenAI's protocol: vLLM, llama-server, LM Studio; `openai:NAME@URL`.

The key, where a server wants one, comes from the environment variable GOLDENGATE_OPENAI_KEY, and goes to the servers
that are named and nowhere else. OPENAI_API_KEY is not read: it was not given for these servers.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
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
)

LOOK_TIMEOUT_S = 30.0
SHORTEST_SECRET = 8
"""Shorter keys are placeholders ("none", "EMPTY"), and would be found in every other word."""

# What stays the same from one look to the next, as long as the server runs with the same model.
_STABLE_OF_MODEL = ("id", "owned_by", "root", "parent", "max_model_len", "meta")
_STABLE_OF_PROPS = ("model_path", "chat_template", "build_info")


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


async def resolve(spec: ModelSpec) -> Model | ModelUnavailable:
    """The model as its server describes it, or why it cannot be asked; raises `SettingsError` for the key.

    These servers tell no digest of their weights. In its place stands a SHA-256 over the name, the address and what
    the server tells of the model. Other weights behind the same name need not change it: use `--refresh` then.
    """
    name, url = split_server(spec.name)
    key = api_key(url)
    async with _client(url, key, LOOK_TIMEOUT_S, 1) as client:
        try:
            with anyio.fail_after(LOOK_TIMEOUT_S):
                listed = await _json(client, f"{url}/models")
                props = await _json(client, f"{url.removesuffix('/v1')}/props", optional=True)
        except TimeoutError:
            return ModelUnavailable(f"{spec.text}: {url} does not answer within {LOOK_TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return ModelUnavailable(
                f"{spec.text}: nothing answers at {url} ({without_key(first_line(error), key)}); start the server, or "
                "mend the address in --model openai:NAME@URL"
            )
        except BackendFault as fault:
            return ModelUnavailable(
                f"{spec.text}: {url}: {without_key(str(fault), key)}{_key_advice(fault, key)}"
            )
    found = listed.get("data") if isinstance(listed, dict) else None
    entries = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    there = {one["id"]: one for one in entries if isinstance(one.get("id"), str)}
    props = props if isinstance(props, dict) else {}
    # llama-server has one model, whatever it is called.
    served = next(iter(there)) if len(there) == 1 and props.get("model_path") else name
    if served not in there:
        return ModelUnavailable(without_key(_not_there(spec, name, url, sorted(there)), key))
    told = {field: there[served].get(field) for field in _STABLE_OF_MODEL}
    told |= {field: props.get(field) for field in _STABLE_OF_PROPS}
    identity = json.dumps([name, url, told], sort_keys=True)
    details = {
        "server": url,
        "served": without_key(served, key),
        "identity": "told by the server, not of the weights",
        "context_length": _context_length(there[served], props),
    }
    slots = props.get("total_slots")
    return Model(
        spec,
        hashlib.sha256(identity.encode("ascii")).hexdigest(),
        thinks=True,  # the switch goes to the template, which passes over it where it has none
        slots=slots if isinstance(slots, int) and 0 < slots <= 1024 else None,
        details=details,
    )


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


async def _json(client: httpx.AsyncClient, url: str, *, optional: bool = False) -> Any:
    """A short answer; None where it is optional and not there."""
    async with client.stream("GET", url) as response:
        if optional and response.status_code != 200:
            return None
        await refuse_error(response)
        raw = await read_bounded(response)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        if optional:
            return None
        raise BackendFault(
            f"it answers, but not as OpenAI's protocol wants it: {first_line(error)}"
        ) from error


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


async def refuse_error(response: httpx.Response) -> None:
    """Raise what a status other than 200 means."""
    status = response.status_code
    if status == 200:
        return
    raw = await read_bounded(response)
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = raw[:2000].decode("utf-8", "replace")
    words = said(body) if body else "no reason given"
    if status == 429:
        raise ServerBusy(f"the server answered 429: {words}", retry_after_s(response.headers))
    if status >= 500:
        raise TransientFault(f"the server answered {status}: {words}", retry_after_s(response.headers))
    if "context" in words:
        words += "; start the server with a larger context, or shorten the prompt"
    elif "chat_template_kwargs" in words:
        words += "; this server knows no thinking switch and refuses to be told of one"
    raise BackendFault(f"the server refused the request ({status}): {words}")


def without_key(text: str, key: str) -> str:
    """A server's words without the key, which some repeat."""
    return text.replace(key, f"[{OPENAI_KEY}]") if len(key) >= SHORTEST_SECRET else text


class OpenAIModel:
    """One model of one server. `timeout_s` bounds a whole reply, from the request to its last token."""

    def __init__(self, model: Model, timeout_s: float, connections: int) -> None:
        self._name, self._url = split_server(model.spec.name)
        self._name = model.details.get("served", self._name)
        self._timeout_s = timeout_s
        self._key = api_key(self._url)
        self._client = _client(self._url, self._key, timeout_s, connections)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def chat(self, request: ChatRequest) -> ModelReply:
        try:
            with anyio.fail_after(self._timeout_s):
                reply = await self._stream(request)
        except (TimeoutError, httpx.ReadTimeout) as error:
            raise BackendFault(
                f"no whole reply within {self._timeout_s:g} s (--reply-timeout); the request was given up"
            ) from error
        except UnicodeEncodeError as error:
            raise BackendFault(
                f"the prompt cannot be sent: it is no valid Unicode ({error.reason})"
            ) from error
        except httpx.TransportError as error:
            raise ConnectionBroke(
                f"the connection broke: {without_key(first_line(error), self._key)}"
            ) from error
        except TransientFault as fault:
            raise type(fault)(without_key(str(fault), self._key), fault.wait_s) from None
        except BackendFault as fault:
            raise BackendFault(without_key(str(fault), self._key)) from None
        if len(self._key) >= SHORTEST_SECRET and self._key in reply.text + reply.thinking:
            raise BackendFault(f"the reply repeats the key of {OPENAI_KEY}, so it is not kept")
        return reply

    async def _stream(self, request: ChatRequest) -> ModelReply:
        reader = ReplyReader()
        body = json.dumps(request_body(request, self._name), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        async with self._client.stream(
            "POST", f"{self._url}/chat/completions", content=body, headers=headers
        ) as response:
            await refuse_error(response)
            async for event in events(response.aiter_raw()):
                reader.take(event)
        return reader.reply()
