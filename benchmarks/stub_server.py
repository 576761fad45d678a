"""A stand-in for Ollama that costs next to nothing: every chat is answered after a fixed delay.

Run as a process of its own (`python -m benchmarks.stub_server DELAY_S`); it prints its port and serves until
its standard input ends. Only what the harness asks of a server is there; faults are `tests/fault_server.py`'s.
"""

from __future__ import annotations

import asyncio
import json
import sys

ANSWER = "the answer is 42"
MODEL = "stub:1b"
DIGEST = "57" * 32

_DETAILS = {"family": "stub", "parameter_size": "1B", "quantization_level": "Q8_0"}
_PAGES = {
    b"/api/tags": {
        "models": [{"model": MODEL, "name": MODEL, "digest": DIGEST, "size": 1, "details": _DETAILS}]
    },
    b"/api/show": {"capabilities": ["completion"], "details": _DETAILS, "model_info": {}},
    b"/api/version": {"version": "0.0.0"},
}
_CHAT = [
    {
        "model": MODEL,
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": ANSWER},
        "done": False,
    },
    {
        "model": MODEL,
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "total_duration": 20_000_000,
        "load_duration": 0,
        "prompt_eval_count": 260,
        "prompt_eval_duration": 10_000_000,
        "eval_count": 5,
        "eval_duration": 10_000_000,
    },
]


def _response(kind: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


CHAT_RESPONSE = _response(
    b"application/x-ndjson", b"".join(json.dumps(part).encode() + b"\n" for part in _CHAT)
)


class Stub(asyncio.Protocol):
    """One connection; requests come one after the other on it."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        self._buffer = body[length:]
        path = head.split(b" ", 2)[1]
        if path == b"/api/chat":
            asyncio.get_running_loop().call_later(self._delay_s, self._transport.write, CHAT_RESPONSE)
        else:
            page = json.dumps(_PAGES[path]).encode()
            self._transport.write(_response(b"application/json", page))


async def _serve(delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stub(delay_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
