"""The process that asks models: `python -m evals.generate`, started by `evals.replies`.

A process of its own, because a thread would share the interpreter lock with pytest, because
llama.cpp writes its log to the process's standard error, and because a model that takes the process
down (out of memory) must not take the run down with it.

It reads one JSON message a line on standard input and writes one a line on standard output::

    <- {"do": "resolve", "specs": [...], "host": ...}      -> {"resolved": [model or {"unavailable": text}]}
    <- {"do": "ask", "model": {...}, "requests": [...]}    -> {"key": ..., "reply": {...}} each, as they come

Requests go out ahead of the tests, at most N at once, those with the same system prompt after each other
(a server then keeps the prompt's state), one model after the other (so each is loaded once). A reply is in
the store before it is told. The end of standard input ends the process at once, whatever is under way.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import stamina
import stamina.instrumentation
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from evals.backends.base import AskSettings, ChatModel, ChatRequest, Model, ModelReply, ModelSpec
from evals.backends.models import in_flight, open_model, resolve_models
from evals.errors import BackendFault, GoldenGateError, TransientFault
from evals.store import ResponseStore

ATTEMPTS = 4
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 20.0


def ask_order(requests: Iterable[ChatRequest]) -> list[ChatRequest]:
    """Requests with the same system prompt side by side, in the order in which the prompts first come."""
    groups: dict[str, list[ChatRequest]] = {}
    for request in requests:
        system = next((one.content for one in request.messages if one.role == "system"), "")
        groups.setdefault(system, []).append(request)
    return [request for group in groups.values() for request in group]


async def ask(chat: ChatModel, request: ChatRequest) -> ModelReply:
    """One reply, asked again with back-off after transient faults; a fault becomes a reply that says so.

    Waits grow from 0.25 s twofold to 20 s, with jitter; a server's Retry-After is heeded up to that bound.
    """
    retries: list[str] = []

    def again(error: Exception) -> bool | float:
        if not isinstance(error, TransientFault):
            return False
        return True if error.wait_s is None else min(error.wait_s, LONGEST_WAIT_S)

    try:
        async for attempt in stamina.retry_context(
            on=again,
            attempts=ATTEMPTS,
            timeout=None,
            wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
            wait_jitter=FIRST_WAIT_S,
        ):
            with attempt:
                try:
                    reply = await chat.chat(request)
                except BackendFault as fault:
                    retries.append(str(fault))
                    raise
                return replace(reply, retries=tuple(retries)) if retries else reply
    except BackendFault as fault:
        tried = f" (asked {len(retries)} times)" if len(retries) > 1 else ""
        return ModelReply(fault=f"{fault}{tried}", stop_reason="fault", retries=tuple(retries[:-1]))
    raise AssertionError("retry_context neither returned nor raised")


class _Asker:
    """Works through what it is told, one model after the other."""

    def __init__(self, settings: AskSettings, tell: queue.SimpleQueue[dict[str, Any]]) -> None:
        self.settings = settings
        self.tell = tell
        self.store = ResponseStore(Path(settings.store)) if settings.store else None
        # One writer leaves the loop free; more would fight for the disk.
        self.writer = anyio.CapacityLimiter(1)
        self.writing = threading.Lock()

    async def work(self, inbox: MemoryObjectReceiveStream[dict[str, Any]]) -> None:
        async for message in inbox:
            if message["do"] == "resolve":
                specs = [ModelSpec(**spec) for spec in message["specs"]]
                try:
                    found = await resolve_models(
                        specs, self.settings.hosts[0] if self.settings.hosts else None
                    )
                except GoldenGateError as error:
                    self.tell.put({"broken": str(error)})
                    continue
                told = [
                    one.to_json() if isinstance(one, Model) else {"unavailable": str(one)} for one in found
                ]
                self.tell.put({"resolved": told})
            else:
                model = Model.from_json(message["model"])
                await self.ask_all(model, [ChatRequest.from_json(one) for one in message["requests"]])

    async def ask_all(self, model: Model, requests: Sequence[ChatRequest]) -> None:
        chat = open_model(model, requests, self.settings)
        waiting = iter(ask_order(requests))
        try:
            async with anyio.create_task_group() as group:
                for _ in range(min(in_flight(model, self.settings), len(requests))):
                    group.start_soon(self._ask_next, chat, model, waiting)
        finally:
            await chat.aclose()

    async def _ask_next(self, chat: ChatModel, model: Model, waiting: Iterator[ChatRequest]) -> None:
        for request in waiting:
            key = request.key(model.digest)
            try:
                reply = await ask(chat, request)
            except Exception as error:  # a bug of a backend costs its own reply, not the run
                reply = ModelReply(
                    fault=f"the backend broke: {type(error).__name__}: {error}", stop_reason="fault"
                )
            note = ""
            if self.store and not reply.fault and model.spec.backend != "replay":
                try:
                    await anyio.to_thread.run_sync(
                        self._keep, self.store, key, model, request, reply, limiter=self.writer
                    )
                except OSError as error:
                    note = f"replies cannot be kept in {self.store.folder}: {error.strerror or error}"
            self.tell.put({"key": key, "reply": reply.to_json(), "note": note})

    def _keep(
        self, store: ResponseStore, key: str, model: Model, request: ChatRequest, reply: ModelReply
    ) -> None:
        with self.writing:
            store.put(key, model, request, reply)


def _read_inbox(
    source: IO[str], outbox: MemoryObjectSendStream[dict[str, Any]], token: Any, writing: threading.Lock
) -> None:
    for line in source:
        if line.endswith("\n"):  # else the parent died while it wrote
            anyio.from_thread.run_sync(outbox.send_nowait, json.loads(line), token=token)
    # The parent is gone or done. An embedded model cannot be interrupted, so leave without ceremony,
    # but not in the middle of writing down a reply.
    with writing:
        os._exit(0)


def _write_outbox(sink: IO[str], tell: queue.SimpleQueue[dict[str, Any]]) -> None:
    while True:
        message = tell.get()
        try:
            sink.write(json.dumps(message) + "\n")
            if tell.empty():
                sink.flush()
        except (BrokenPipeError, ValueError):
            os._exit(0)


async def _serve(source: IO[str], sink: IO[str]) -> None:
    stamina.instrumentation.set_on_retry_hooks([])  # retries are kept in replies, not logged
    settings = AskSettings.from_json(json.loads(source.readline()))
    tell: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    asker = _Asker(settings, tell)
    send, receive = anyio.create_memory_object_stream[dict[str, Any]](float("inf"))
    threading.Thread(target=_write_outbox, args=(sink, tell), daemon=True).start()
    token = anyio.lowlevel.current_token()
    threading.Thread(target=_read_inbox, args=(source, send, token, asker.writing), daemon=True).start()
    await asker.work(receive)


def main() -> None:
    """Serve until standard input ends."""
    # Ctrl-C reaches the whole process group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Native code prints to file descriptor 1: keep the real one for messages, send the rest to the log.
    sink = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    source = os.fdopen(os.dup(0), encoding="ascii")
    anyio.run(_serve, source, sink)


if __name__ == "__main__":
    main()
