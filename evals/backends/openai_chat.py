"""The chat protocol of OpenAI, as vLLM, llama-server and LM Studio speak it: what is sent, and how a stream is read.

Pure but for the clock. What a server sends may have any shape: it is looked at before it is believed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from evals.backends.base import ChatRequest, ModelReply
from evals.errors import BackendFault, TransientFault, first_line

REPLY_LIMIT = 4_000_000
"""The most that is read of one reply's text, thinking included, in characters; and of one line, in bytes."""
SHORTEST_SPAN_S = 0.001
CHUNKS = 3
"""Fewer chunks, or all of them in a shorter span, tell of the network and not of a speed."""


def request_body(request: ChatRequest, name: str, *, switch: bool = True) -> dict[str, Any]:
    """The request as such servers take it. `num_ctx` is not among it: a server's context is fixed when it starts.

    Without `switch` the template is not told whether to think: some servers refuse the field.

    The penalty on repetition has two names: vLLM and LM Studio know one, llama-server the other, and each passes over
    fields that it does not know.
    """
    options = request.options
    body: dict[str, Any] = {
        "model": name,
        "messages": [{"role": one.role, "content": one.content} for one in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    for field in ("max_tokens", "temperature", "seed", "top_p", "top_k", "repeat_penalty"):
        if options[field] is not None:
            body[field] = options[field]
    if options["repeat_penalty"] is not None:
        body["repetition_penalty"] = options["repeat_penalty"]
    if options["stop"]:
        body["stop"] = options["stop"]
    if options["format"] == "json":
        body["response_format"] = {"type": "json_object"}
    elif options["format"]:
        schema = {"name": "answer", "schema": options["format"]}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.think is not None and switch:
        body["chat_template_kwargs"] = {"enable_thinking": bool(request.think)}
    if isinstance(request.think, str):
        body["reasoning_effort"] = request.think
    return body


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream (server-sent events), up to `[DONE]` or its end; raises `BackendFault`.

    Read by bytes: httpx takes U+0085, U+2028 and U+2029 for the ends of lines, which stand inside of answers.
    """
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        *lines, rest = held.split(b"\n")
        if len(rest) > REPLY_LIMIT:
            raise BackendFault(f"the server sent a line of more than {REPLY_LIMIT // 1_000_000} MB")
        held = bytearray(rest)
        for line in lines:
            kind, colon, data = line.strip().partition(b":")
            data = data.strip()
            if not colon or bytes(kind) not in (b"data", b"error"):
                continue
            if data == b"[DONE]":
                return
            try:
                event = json.loads(data)
            except (ValueError, RecursionError) as error:
                raise TransientFault(f"the server sent malformed JSON: {first_line(error)}") from error
            if not isinstance(event, dict):
                raise BackendFault("the server sent a reply of another shape: an event that is no object")
            yield {"error": event} if kind == b"error" else event


class ReplyReader:
    """Puts one reply together from its events. Times are counted from when it was made, by `clock` in seconds.

    `hidden` takes a secret out of a text: from what an error says, before it is cut.
    """

    def __init__(
        self, hidden: Callable[[str], str] = str, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._hidden = hidden
        self._clock = clock
        self._began = clock()
        self._first_s: float | None = None
        self._last_s: float | None = None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._size = 0
        self._stop = ""
        self._usage: Mapping[str, Any] = {}
        self._timings: Mapping[str, Any] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """One more event. Raises `BackendFault` for an error, for another shape, and where the reply grows too long."""
        if event.get("error"):
            raise _broken_off(event["error"], self._hidden)
        self._usage = _object(event, "usage") or self._usage
        self._timings = _object(event, "timings") or self._timings
        choices = event.get("choices") or []
        if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
            raise BackendFault("the server sent a reply of another shape: its choices are no objects")
        for choice in choices:
            delta = _object(choice, "delta")
            # vLLM renamed the one to the other.
            thought = _text(delta, "reasoning_content") or _text(delta, "reasoning")
            self._add(_text(delta, "content"), thought)
            self._stop = _text(choice, "finish_reason") or self._stop

    def _add(self, text: str, thought: str) -> None:
        if not text and not thought:
            return
        self._last_s = self._clock() - self._began
        self._first_s = self._first_s or self._last_s
        self._text.append(text)
        self._thinking.append(thought)
        self._size += len(text) + len(thought)
        if self._size > REPLY_LIMIT:
            raise BackendFault(
                f"the reply is longer than {REPLY_LIMIT // 1_000_000} million characters and was given up; "
                "does the server heed max_tokens?"
            )

    def reply(self) -> ModelReply:
        """The whole reply, its stop reason uncut; raises `TransientFault` if the stream ended before it was done.

        `prompt_s` and `decode_s` are llama-server's own where it tells them. Others tell none: then there is no
        `prompt_s`, and `decode_s` is seen from when the chunks came.
        """
        if not self._stop:
            raise TransientFault("the stream ended before the reply was done")
        told_s = _milli(self._timings, "predicted_ms")
        tokens = _count(self._usage, "completion_tokens")
        return ModelReply(
            text="".join(self._text),
            thinking="".join(self._thinking),
            stop_reason=self._stop,
            prompt_tokens=_count(self._usage, "prompt_tokens"),
            completion_tokens=tokens,
            prompt_s=_milli(self._timings, "prompt_ms"),
            decode_s=self._seen_s(tokens) if told_s is None else told_s,
            first_token_s=self._first_s,
            total_s=self._clock() - self._began,
        )

    def _seen_s(self, tokens: int | None) -> float | None:
        """Seconds that all `tokens` take at the speed of those after the first; None where the chunks do not show it.

        From the first chunk to the last one it takes n - 1 tokens: the first was computed before it came.
        """
        if self._first_s is None or self._last_s is None or tokens is None or tokens < 2:
            return None
        span_s = self._last_s - self._first_s
        if len(self._text) < CHUNKS or span_s < SHORTEST_SPAN_S:
            return None
        return span_s * tokens / (tokens - 1)


def said(body: Any, hidden: Callable[[str], str] = str) -> str:
    """What an error's body says, wherever this server puts it, `hidden` and then cut to 200 characters."""
    for field in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(field):
            return said(body[field], hidden)
    return first_line(body if isinstance(body, str) and body.strip() else json.dumps(body), hidden)


def _broken_off(error: Any, hidden: Callable[[str], str]) -> BackendFault:
    code = error.get("code") if isinstance(error, dict) else None
    words = f"the server broke off: {said(error, hidden)}"
    refused = isinstance(code, int) and 400 <= code < 500 and code != 429
    return BackendFault(words) if refused else TransientFault(words)


def _object(data: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = data.get(field) or {}
    if not isinstance(value, dict):
        raise BackendFault(f"the server sent a reply of another shape: its {field} is no object")
    return value


def _text(data: Mapping[str, Any], field: str) -> str:
    value = data.get(field) or ""
    if not isinstance(value, str):
        raise BackendFault(f"the server sent a reply of another shape: its {field} is no text")
    return value


def _count(data: Mapping[str, Any], field: str) -> int | None:
    value = data.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _milli(data: Mapping[str, Any], field: str) -> float | None:
    value = data.get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        return None
    return value / 1000
