"""A local server that speaks Ollama's API, answers as it is told and plays the faults that real ones have.

It listens on a free port of 127.0.0.1, from a thread of its own, and remembers every chat request::

    with FaultServer() as server:
        server.play(error(503, "busy"), answer("4"))    # the next two chat requests; all others get ANSWER
        server.play_for("hello", RESET)                 # whenever the last message is "hello"
        ...
        assert server.bodies[0]["model"] == "tiny"
        assert server.peak <= 4
        server.go_away()                                # as if killed: connections are reset, then refused
        server.come_back()                              # on the same port, with all that it remembers
        server.recreate("tiny:latest")                  # the same name, another digest

It says of a model which one it has in memory, and tells a load with the first answer of its own after that.
What it does not do: look at options, cut prompts, or check what it is sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

HANG_LIMIT_S = 60.0

FIGURES: Mapping[str, int] = {
    "total_duration": 5_000_000_000,
    "load_duration": 20_000_000,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 500_000_000,
    "eval_count": 8,
    "eval_duration": 250_000_000,
}
LOADING: Mapping[str, int] = {**FIGURES, "load_duration": 2_000_000_000}


@dataclass(frozen=True, slots=True)
class Play:
    """One answer. The chunks are sent as they are, one write each, `pause_s` apart.

    `end` is how it stops: `whole` as HTTP wants it, `reset` by a TCP reset, `hang` with nothing more to come.
    """

    chunks: tuple[bytes, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    pause_s: float = 0.0
    end: Literal["whole", "reset", "hang"] = "whole"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in: when (`time.monotonic`), its raw body, how many were then in flight, its headers."""

    path: str
    raw: bytes
    at: float
    in_flight: int
    headers: Mapping[str, str]


def line(data: Any) -> bytes:
    """One line of newline-delimited JSON, in UTF-8 as Go writes it."""
    return (
        json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
    )


def piece(text: str = "", thinking: str = "") -> bytes:
    """A line of a streamed answer that is not the last one."""
    message = {"role": "assistant", "content": text} | ({"thinking": thinking} if thinking else {})
    return line({"model": "tiny", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False})


def last_piece(reason: str = "stop", figures: Mapping[str, int] = FIGURES) -> bytes:
    """The line that ends a streamed answer."""
    message = {"role": "assistant", "content": ""}
    head = {"model": "tiny", "created_at": "2026-01-01T00:00:00Z", "message": message}
    return line({**head, "done_reason": reason, "done": True, **figures})


def answer(
    *texts: str,
    thinking: str = "",
    reason: str = "stop",
    figures: Mapping[str, int] = FIGURES,
    delay_s: float = 0.0,
) -> Play:
    """A good answer, a line each of `texts`, after the thinking."""
    thought = (piece(thinking=thinking),) if thinking else ()
    pieces = (*thought, *map(piece, texts), last_piece(reason, figures))
    return Play((b"".join(pieces),), delay_s=delay_s)


def error(status: int, said: str = "", **headers: str) -> Play:
    """An error as Ollama tells it; `retry_after="1"` becomes the header `Retry-After: 1`."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Play((line({"error": said}),), status, named)


def whole(body: Any, status: int = 200) -> Play:
    """Any body: bytes as they are, all else as JSON."""
    return Play((body if isinstance(body, bytes) else line(body),), status)


ANSWER = answer("All", " right.")
FIRST_ANSWER = answer("All", " right.", figures=LOADING)
TRUNCATED = Play((piece("All"), piece(" ri")))
RESET = Play((piece("All"),), end="reset")
HANG = Play((piece("All"),), end="hang")
SILENT = Play((), end="hang")
MALFORMED = Play((piece("All"), b'{"model":"tiny","message":{"role":"assi\n'))
ERROR_LINE = Play((piece("All"), line({"error": "an error was encountered while running the model"})))
NO_COUNTS = answer("All", " right.", figures={})
THINKING_ONLY = answer("", thinking="What is being asked?", reason="length")
NUL = answer("a\0b")
ANSI = answer("\x1b[31mred\x1b[0m \x1b]0;title\x07")
INVALID_UTF8 = Play((piece("caf?").replace(b"?", b"\xe9") + last_piece(),))
OTHER_SHAPE = whole({"choices": [{"message": {"content": "All right."}}]})


def listed_digest(name: str) -> str:
    """The digest with which a model is listed that nobody has recreated."""
    return hashlib.sha256(name.encode()).hexdigest()


def model_entry(name: str, digest: str) -> dict[str, Any]:
    """A model as `/api/tags` lists it."""
    details = {"format": "gguf", "family": "llama", "parameter_size": "134.52M", "quantization_level": "F16"}
    return {"name": name, "model": name, "size": 270898672, "digest": digest, "details": details}


MODELS: Mapping[str, tuple[str, ...]] = {
    "tiny:latest": ("completion",),
    "thinker:4b": ("completion", "thinking"),
    "embedder:latest": ("embedding",),
}


class FaultServer:
    """The server. Use as a context manager; `url` is where it listens.

    `delay_s` holds every chat answer back for so long, as a model that computes would.
    """

    chat_path = "/api/chat"

    def __init__(self, *, delay_s: float = 0.0, models: Mapping[str, tuple[str, ...]] = MODELS) -> None:
        self.delay_s = delay_s
        self.models = dict(models)
        self.instead: dict[str, Play] = {}  # by path: what is answered there in place of Ollama's own
        self.loaded: set[str] = set()  # the models in memory
        self.asked: list[Asked] = []
        self.in_flight = 0
        self.url = ""
        self._digests: dict[str, str] = {}
        self._listening: asyncio.Server
        self._plays: deque[Play] = deque()
        self._plays_for: dict[str, deque[Play]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="fault-server", daemon=True)
        self._ready = threading.Event()
        self._connections: set[_Connection] = set()

    def play(self, *plays: Play) -> None:
        """What the next chat requests get, in their order, whatever they ask."""
        self._plays.extend(plays)

    def play_for(self, text: str, *plays: Play) -> None:
        """What requests get whose last message is `text`, in their order; the last play stays on."""
        self._plays_for.setdefault(text, deque()).extend(plays)

    def play_only_for(self, text: str, play: Play) -> None:
        """What requests get from now on whose last message is `text`, whatever they were to get before."""
        self._plays_for[text] = deque([play])

    @property
    def chats(self) -> list[Asked]:
        """The chat requests so far, in their order."""
        return [one for one in self.asked if one.path == self.chat_path]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What the chat requests asked."""
        return [json.loads(one.raw) for one in self.chats]

    @property
    def questions(self) -> list[str]:
        """The last message of each chat request."""
        return [body["messages"][-1]["content"] for body in self.bodies]

    @property
    def peak(self) -> int:
        """The most chat requests that were ever in flight at once."""
        return max((one.in_flight for one in self.chats), default=0)

    def digest(self, name: str) -> str:
        """The digest that a model is listed with."""
        return self._digests.get(name, listed_digest(name))

    def recreate(self, name: str) -> None:
        """Another model under the same name: from now on it is listed with another digest."""
        self._digests[name] = listed_digest(self.digest(name))

    def go_away(self) -> None:
        """Reset all connections and refuse new ones; what is under way is lost, and no model is in memory."""
        asyncio.run_coroutine_threadsafe(self._go_away(), self._loop).result()
        self.loaded.clear()

    def come_back(self) -> None:
        """Listen again, on the same port."""
        asyncio.run_coroutine_threadsafe(self._listen(int(self.url.rpartition(":")[2])), self._loop).result()

    def answer_to(self, path: str, raw: bytes) -> Play:
        """The play for a request."""
        if path in self.instead:
            return self.instead[path]
        if path == "/api/version":
            return whole({"version": "0.13.0"})
        if path == "/api/tags":
            return whole({"models": [model_entry(name, self.digest(name)) for name in self.models]})
        if path == "/api/ps":
            listed = [{"name": name, "model": name} for name in sorted(self.loaded)]
            return whole({"models": listed})
        if path not in ("/api/show", "/api/chat", "/api/generate"):
            return Play((b"404 page not found",), 404)
        body = json.loads(raw)
        name = body["model"] if ":" in body["model"] else f"{body['model']}:latest"
        if name not in self.models:
            return error(404, f"model '{body['model']}' not found")
        if path == "/api/show":
            information = {"general.architecture": "llama", "llama.context_length": 8192}
            return whole({"model_info": information, "capabilities": list(self.models[name])})
        if path == "/api/generate":
            self.loaded.discard(name)
            return whole({"model": name, "response": "", "done": True, "done_reason": "unload"})
        was_loaded = name in self.loaded
        self.loaded.add(name)
        fitting = self._plays_for.get(body["messages"][-1]["content"])
        if fitting:
            return fitting.popleft() if len(fitting) > 1 else fitting[0]
        if self._plays:
            return self._plays.popleft()
        return ANSWER if was_loaded else FIRST_ANSWER

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def connected(self, connection: _Connection) -> None:
        """Keep a connection in mind, to be closed at the end."""
        self._connections.add(connection)

    def disconnected(self, connection: _Connection) -> None:
        """Forget a connection that the client closed."""
        self._connections.discard(connection)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen(0))
        self.url = f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._go_away())
        self._loop.close()

    async def _listen(self, port: int) -> None:
        self._listening = await self._loop.create_server(
            lambda: _Connection(self), "127.0.0.1", port, backlog=256
        )

    async def _go_away(self) -> None:
        # A connection that asyncio is about to take in would be left open, with nobody at its end: let it come in first.
        for listener in self._listening.sockets:
            self._loop.remove_reader(listener.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        self._listening.close()
        for connection in list(self._connections):
            connection.drop()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other, each with a Content-Length or without a body."""

    def __init__(self, server: FaultServer) -> None:
        self._server = server
        self._transport: asyncio.Transport
        self._received = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        self._server.disconnected(self)

    def drop(self) -> None:
        """Close at once, without a word."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, gap, rest = self._received.partition(b"\r\n\r\n")
        if not gap:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._received = rest[length:]
        reply = self._reply(first.split(" ")[1], rest[:length], headers)
        self._task = asyncio.get_running_loop().create_task(reply)

    async def _reply(self, path: str, raw: bytes, headers: Mapping[str, str]) -> None:
        server = self._server
        chat = path == server.chat_path
        server.in_flight += chat
        server.asked.append(Asked(path, raw, time.monotonic(), server.in_flight, headers))
        try:
            play = server.answer_to(path, raw)
            delay_s = play.delay_s or (server.delay_s if chat else 0.0)
            if delay_s:
                await asyncio.sleep(delay_s)
            await self._send(play)
        finally:
            server.in_flight -= chat

    async def _send(self, play: Play) -> None:
        kind = "application/x-ndjson" if play.status == 200 else "application/json; charset=utf-8"
        head = [f"HTTP/1.1 {play.status} Status", f"Content-Type: {kind}", "Transfer-Encoding: chunked"]
        head += [f"{name}: {value}" for name, value in play.headers.items()]
        pending = "\r\n".join([*head, "", ""]).encode("latin-1")
        for chunk in play.chunks:
            self._transport.write(pending + b"%x\r\n%b\r\n" % (len(chunk), chunk))
            pending = b""
            if play.pause_s:
                await asyncio.sleep(play.pause_s)
        if play.end == "whole":
            self._transport.write(pending + b"0\r\n\r\n")
            return
        if play.end == "hang":
            await asyncio.sleep(HANG_LIMIT_S)
        else:
            await asyncio.sleep(0.05)  # until the client has read what was sent: a reset throws it away
        # Lingering for no time turns the close into a reset.
        tcp = self._transport.get_extra_info("socket")
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def closed_port() -> int:
    """A port of 127.0.0.1 where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
