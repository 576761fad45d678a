"""Ollama through its own client: native `/api/chat`, streamed, with `think`, `num_ctx`, `format` and seed.

The OpenAI-compatible `/v1` is never used: it drops `num_ctx` and the thinking switch without a word.
"""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import anyio
import httpx
import ollama

from evals.backends.base import ChatRequest, Model, ModelReply
from evals.backends.http_faults import LOOPBACK, retry_after_s
from evals.errors import (
    BackendFault,
    ConnectionBroke,
    ServerBusy,
    SettingsError,
    TransientFault,
    first_line,
    late,
)

Answer = TypeVar("Answer")

DEFAULT_PORT = 11434
LOOK_TIMEOUT_S = 5.0
UNLOAD_LIMIT_S = 60.0
MEMORY_ADVICE = (
    "give it less to hold (a smaller options.num_ctx in task.yaml, a smaller quantisation or model, --concurrency 1) "
    "or end what else uses the memory"
)
# Ollama's words. The first is known before a model is loaded and will not change; the others come of a runner that
# ended, on a full device or by the kernel's hand, and is started anew.
_TOO_LARGE = "requires more system memory"
_RAN_OUT = ("out of memory", "cudaMalloc failed", "signal: killed", "due to resource limitations")
_BUSY = ("server busy", "overloaded", "no slots available")
_NANO = 1e-9
_BREAKS = {one.encode(): json.dumps(one).strip('"').encode() for one in "\u0085\u2028\u2029"}
# What the client raises on answers that it did not expect; it checks less than it takes for granted.
_ANOTHER_SHAPE = (TypeError, AttributeError, ValueError, RecursionError)
NOT_OLLAMA = (httpx.HTTPError, ollama.ResponseError, *_ANOTHER_SHAPE)


def server_url(host: str | None) -> str:
    """The address of `--ollama-host`, else `OLLAMA_HOST`, else the default; raises `SettingsError`.

    Read as Ollama reads it: the port is 11434 without a scheme, 80 with http:// and 443 with https://.
    `OLLAMA_HOST=0.0.0.0` or `:8080` says where a server listens; a client reaches it at 127.0.0.1. An address that
    holds a name or a password is refused, and not repeated: addresses stand in run records.
    """
    given = (host or "").strip()
    text = given or os.environ.get("OLLAMA_HOST", "").strip() or "127.0.0.1"
    if "@" in text:
        raise SettingsError(
            f"{'--ollama-host' if given else 'OLLAMA_HOST'} holds a name or a password in its address, which a run's record "
            "would keep; leave it out, and reach a server that wants one through a tunnel, such as ssh -L"
        )
    bare = f"[{text}]" if _is_ipv6(text) else text
    try:
        parts = urlsplit(bare if "://" in bare else f"http://{bare}")
        name, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"the Ollama host {text!r} is no address: {error}") from error
    if not (name or port) or parts.scheme not in ("http", "https"):
        raise SettingsError(f"the Ollama host {text!r} is no address; write HOST:PORT or http://HOST:PORT")
    name = "127.0.0.1" if name is None or name in ("0.0.0.0", "::") else name  # noqa: S104 - read, not bound
    if port is None:
        port = {"http": 80, "https": 443}[parts.scheme] if "://" in text else DEFAULT_PORT
    address = f"[{name}]" if ":" in name else name
    return urlunsplit((parts.scheme, f"{address}:{port}", parts.path.rstrip("/"), "", ""))


def _is_ipv6(text: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(text), ipaddress.IPv6Address)
    except ValueError:
        return False


def client(url: str, timeout_s: float, connections: int = 4) -> ollama.AsyncClient:
    """A client of the server at `url`; `timeout_s` is its longest silence. Close it after use."""
    # A proxy of the environment must not see what is meant for this machine.
    local = urlsplit(url).hostname in LOOPBACK
    return ollama.AsyncClient(
        host=url,
        timeout=httpx.Timeout(timeout_s, connect=10.0),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        trust_env=not local,
        event_hooks={"response": [_keep_lines_whole]},
    )


class _EscapedBreaks(httpx.AsyncByteStream):
    """A stream of JSON lines in which U+0085, U+2028 and U+2029 are escaped."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        held = b""
        async for chunk in self._stream:
            data = held + chunk
            # A character may be cut in two between chunks: hold its first bytes back.
            held = next((head for head in (b"\xe2\x80", b"\xc2", b"\xe2") if data.endswith(head)), b"")
            data = data[: len(data) - len(held)]
            for character, escape in _BREAKS.items():
                data = data.replace(character, escape)
            yield data
        if held:
            yield held

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _keep_lines_whole(response: httpx.Response) -> None:
    # httpx takes these three for the ends of lines, and Ollama writes U+0085 unescaped inside of answers.
    if isinstance(response.stream, httpx.AsyncByteStream) and "Content-Encoding" not in response.headers:
        response.stream = _EscapedBreaks(response.stream)


class OllamaModel:
    """One model of one server. `timeout_s` bounds a whole reply, from the request to its last token."""

    def __init__(self, model: Model, host: str | None, timeout_s: float, connections: int) -> None:
        self._name = model.spec.name
        self._timeout_s = timeout_s
        # One connection more than there are requests, so that a look at the server never waits for a reply.
        self._client = client(server_url(host), timeout_s, connections + 1)

    async def aclose(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    async def chat(self, request: ChatRequest) -> ModelReply:
        try:
            with anyio.fail_after(self._timeout_s):
                return await self._stream(request)
        except (TimeoutError, httpx.ReadTimeout) as error:
            raise late(self._timeout_s) from error
        except UnicodeEncodeError as error:
            raise BackendFault(
                f"the prompt cannot be sent: it is no valid Unicode ({error.reason})"
            ) from error
        except (ConnectionError, *NOT_OLLAMA) as error:
            raise fault_of(error, self._name) from error

    async def alive(self) -> bool:
        try:
            with anyio.fail_after(LOOK_TIMEOUT_S):
                await self._client._client.get("/api/version")  # of which ollama's client knows nothing
        except (TimeoutError, httpx.TransportError):
            return False
        return True

    async def digest(self) -> str | None:
        listed = await self._ask(self._client.list())
        return next((one.digest for one in listed.models if self._is_named(one.model)), None)

    async def unload(self) -> None:
        await self._ask(self._client.generate(self._name, keep_alive=0))
        deadline = time.monotonic() + UNLOAD_LIMIT_S
        while any(self._is_named(one.model) for one in (await self._ask(self._client.ps())).models):
            if time.monotonic() > deadline:
                raise BackendFault(
                    f"the server has it in memory still, {UNLOAD_LIMIT_S:g} s after it was told"
                )
            await anyio.sleep(0.05)

    def _is_named(self, name: str | None) -> bool:
        return name in (self._name, f"{self._name}:latest")

    async def _ask(self, question: Coroutine[Any, Any, Answer]) -> Answer:
        """The answer to a short question about the server; raises `BackendFault`."""
        try:
            with anyio.fail_after(LOOK_TIMEOUT_S):
                return await question
        except TimeoutError as error:
            raise ConnectionBroke(f"the server did not answer within {LOOK_TIMEOUT_S:g} s") from error
        except (ConnectionError, *NOT_OLLAMA) as error:
            raise fault_of(error, self._name) from error

    async def _stream(self, request: ChatRequest) -> ModelReply:
        started = time.perf_counter()
        first_s: float | None = None
        text: list[str] = []
        thinking: list[str] = []
        stream = await self._client.chat(
            model=self._name,
            messages=[{"role": one.role, "content": one.content} for one in request.messages],
            stream=True,
            think=request.think,
            format=request.options["format"],
            options=server_options(request.options),
        )
        async for part in stream:
            if part.message.thinking:
                thinking.append(part.message.thinking)
            if part.message.content:
                text.append(part.message.content)
            if first_s is None and (text or thinking):
                first_s = time.perf_counter() - started
            if part.done:
                _refuse_cut_prompt(part.prompt_eval_count, request.options["num_ctx"])
                return ModelReply(
                    text="".join(text),
                    thinking="".join(thinking),
                    stop_reason=part.done_reason or "stop",
                    prompt_tokens=part.prompt_eval_count,
                    completion_tokens=part.eval_count,
                    load_s=_seconds(part.load_duration),
                    prompt_s=_seconds(part.prompt_eval_duration),
                    decode_s=_seconds(part.eval_duration),
                    first_token_s=first_s,
                    total_s=time.perf_counter() - started,
                )
        raise TransientFault("the stream ended before the reply was done")


def server_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Our sampling options under Ollama's names."""
    renamed = {"num_predict": options["max_tokens"]}
    for name in ("temperature", "seed", "num_ctx", "top_p", "top_k", "repeat_penalty"):
        if options[name] is not None:
            renamed[name] = options[name]
    if options["stop"]:
        renamed["stop"] = options["stop"]
    return renamed


def _refuse_cut_prompt(prompt_tokens: int | None, num_ctx: int | None) -> None:
    # Ollama cuts a prompt that is too long, answers the rest with status 200 and says nothing.
    if prompt_tokens and num_ctx and prompt_tokens >= num_ctx:
        raise BackendFault(
            f"the prompt fills the whole context ({prompt_tokens} tokens of {num_ctx}) and Ollama will have cut it; "
            "raise options.num_ctx in task.yaml"
        )


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds * _NANO


def fault_of(error: Exception, name: str) -> BackendFault:
    """What the client raised about the model `name`, in our words: whether asking again may help, and what else might."""
    if isinstance(error, ollama.ResponseError):
        return _said_fault(error, name)
    if isinstance(error, (ConnectionError, httpx.TransportError)):
        return ConnectionBroke(f"the connection broke: {first_line(error)}")
    if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
        return TransientFault(f"the server sent malformed JSON: {error}")
    return BackendFault(f"the server sent a reply of another shape: {first_line(error)}")


def _said_fault(error: ollama.ResponseError, name: str) -> BackendFault:
    status = error.status_code
    said = first_line(error.error or "no reason given")
    if _TOO_LARGE in said:
        return BackendFault(f"{said}; {MEMORY_ADVICE}")
    if any(one in error.error for one in _RAN_OUT):
        said = f"{said}; {MEMORY_ADVICE}"
    if status == 404:
        return BackendFault(f"the server no longer has {name}: {said}")
    if status == 429 or (status == 503 and any(one in said for one in _BUSY)):
        return ServerBusy(f"the server answered {status}: {said}", _retry_after_s(error))
    if status >= 500:
        return TransientFault(f"the server answered {status}: {said}", _retry_after_s(error))
    if status < 0:
        # An error line inside a stream carries no status: the model stopped half way.
        return TransientFault(f"the server broke off: {said}")
    return BackendFault(f"the server refused the request ({status}): {said}")


def _retry_after_s(error: ollama.ResponseError) -> float | None:
    # The client's own error leaves the headers out, but is raised while the one that has them is handled.
    cause = error.__context__
    if not isinstance(cause, httpx.HTTPStatusError):
        return None
    return retry_after_s(cause.response.headers)
