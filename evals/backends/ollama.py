"""Ollama through its own client: native `/api/chat`, streamed, with `think`, `num_ctx`, `format` and seed.

The OpenAI-compatible `/v1` is never used: it drops `num_ctx` and the thinking switch without a word.
"""

from __future__ import annotations

import difflib
import email.utils
import ipaddress
import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import anyio
import httpx
import ollama

from evals.backends.base import ChatRequest, Model, ModelReply, ModelSpec
from evals.errors import BackendFault, ModelUnavailable, SettingsError, TransientFault

DEFAULT_PORT = 11434
_NANO = 1e-9
_BREAKS = {one.encode(): json.dumps(one).strip('"').encode() for one in "\u0085\u2028\u2029"}
# What the client raises on answers that it did not expect; it checks less than it takes for granted.
_ANOTHER_SHAPE = (TypeError, AttributeError, ValueError, RecursionError)
_NOT_OLLAMA = (httpx.HTTPError, ollama.ResponseError, *_ANOTHER_SHAPE)
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def server_url(host: str | None) -> str:
    """The address of `--ollama-host`, else `OLLAMA_HOST`, else the default; raises `SettingsError`.

    Read as Ollama reads it: the port is 11434 without a scheme, 80 with http:// and 443 with https://.
    `OLLAMA_HOST=0.0.0.0` or `:8080` says where a server listens; a client reaches it at 127.0.0.1.
    """
    text = (host or "").strip() or os.environ.get("OLLAMA_HOST", "").strip() or "127.0.0.1"
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


def _client(url: str, timeout_s: float, connections: int = 4) -> ollama.AsyncClient:
    # A proxy of the environment must not see what is meant for this machine.
    local = urlsplit(url).hostname in _LOOPBACK
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


async def resolve(specs: Sequence[ModelSpec], host: str | None) -> list[Model | ModelUnavailable]:
    """Digest and capabilities of each model, or why it cannot be asked; one look at the server for all."""
    url = server_url(host)
    client = _client(url, timeout_s=30.0)
    try:
        try:
            listed = (await client.list()).models
        except (ConnectionError, httpx.TimeoutException) as error:
            return [ModelUnavailable(_not_running(url, error, spec)) for spec in specs]
        except _NOT_OLLAMA as error:
            reason = f"{url} answers, but not as Ollama does ({_words(error)}); is it another service's port?"
            return [ModelUnavailable(f"{spec.text}: {reason}") for spec in specs]
        there = {entry.model: entry for entry in listed if entry.model}
        found: list[Model | ModelUnavailable] = []
        for spec in specs:
            name = spec.name if spec.name in there else f"{spec.name}:latest"
            if name not in there:
                found.append(ModelUnavailable(_not_there(spec, url, sorted(there))))
                continue
            found.append(await _describe(client, url, spec, there[name]))
        return found
    finally:
        await client.close()  # type: ignore[no-untyped-call]


async def _describe(
    client: ollama.AsyncClient, url: str, spec: ModelSpec, entry: Any
) -> Model | ModelUnavailable:
    try:
        shown = await client.show(entry.model)
    except (ConnectionError, *_NOT_OLLAMA) as error:
        return ModelUnavailable(f"{spec.text}: {url} lists it but cannot show it: {_words(error)}")
    if not entry.digest:
        return ModelUnavailable(f"{spec.text}: {url} tells no digest for it; update Ollama")
    capabilities = [str(one) for one in shown.capabilities or []]
    if capabilities and "completion" not in capabilities:
        return ModelUnavailable(f"{spec.text} does not chat; it can: {', '.join(capabilities)}")
    information: Mapping[str, Any] = shown.modelinfo or {}
    details = {
        "server": url,
        "size_bytes": entry.size,
        "capabilities": capabilities,
        "context_length": next((v for k, v in information.items() if k.endswith(".context_length")), None),
        **(entry.details.model_dump(exclude_none=True) if entry.details else {}),
    }
    return Model(spec, entry.digest, thinks="thinking" in capabilities, details=details)


def _not_running(url: str, error: Exception, spec: ModelSpec) -> str:
    reason = "it does not answer in time" if isinstance(error, httpx.TimeoutException) else "nothing answers"
    return (
        f"{spec.text}: no Ollama server at {url} ({reason}). Start it with `ollama serve` (or the Ollama app), "
        f"or name its address with --ollama-host or OLLAMA_HOST"
    )


def _not_there(spec: ModelSpec, url: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(spec.name, names, n=3, cutoff=0.4)
    if close:
        hint = f"closest there: {', '.join(close)}"
    else:
        hint = f"there are: {', '.join(names[:8])}" if names else "it has no models yet"
    return f"{spec.text} is not in Ollama at {url}; {hint}. To fetch it: ollama pull {spec.name}"


class OllamaModel:
    """One model of one server. `timeout_s` bounds a whole reply, from the request to its last token."""

    def __init__(self, model: Model, host: str | None, timeout_s: float, connections: int) -> None:
        self._name = model.spec.name
        self._timeout_s = timeout_s
        self._client = _client(server_url(host), timeout_s, connections)

    async def aclose(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    async def chat(self, request: ChatRequest) -> ModelReply:
        try:
            with anyio.fail_after(self._timeout_s):
                return await self._stream(request)
        except (TimeoutError, httpx.ReadTimeout) as error:
            raise BackendFault(
                f"no whole reply within {self._timeout_s:g} s (--reply-timeout); the request was given up"
            ) from error
        except (ConnectionError, httpx.TransportError) as error:
            raise TransientFault(f"the connection broke: {_words(error)}") from error
        except ollama.ResponseError as error:
            raise _fault_of(error, self._name) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise TransientFault(f"the server sent malformed JSON: {error}") from error
        except UnicodeEncodeError as error:
            raise BackendFault(
                f"the prompt cannot be sent: it is no valid Unicode ({error.reason})"
            ) from error
        except (httpx.RequestError, *_ANOTHER_SHAPE) as error:
            raise BackendFault(f"the server sent a reply of another shape: {_words(error)}") from error

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


def _words(error: object) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _fault_of(error: ollama.ResponseError, name: str) -> BackendFault:
    status = error.status_code
    said = _words(error.error or "no reason given")
    if status == 404:
        return BackendFault(f"the server no longer has {name}: {said}")
    if status == 429 or status >= 500:
        return TransientFault(f"the server answered {status}: {said}", _retry_after_s(error))
    if status < 0:
        # An error line inside a stream carries no status: the model stopped half way.
        return TransientFault(f"the server broke off: {said}")
    return BackendFault(f"the server refused the request ({status}): {said}")


def _retry_after_s(error: ollama.ResponseError) -> float | None:
    """The header Retry-After in seconds, given as such or as a date; None without one."""
    # The client's own error leaves the headers out, but is raised while the one that has them is handled.
    cause = error.__context__
    if not isinstance(cause, httpx.HTTPStatusError):
        return None
    text = str(cause.response.headers.get("Retry-After", ""))
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
