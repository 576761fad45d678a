"""The process that asks models: `python -m evals.generate`, started by `evals.replies`.

A process of its own, because a thread would share the interpreter lock with pytest, because
llama.cpp writes its log to the process's standard error, and because a model that takes the process
down (out of memory) must not take the run down with it.

It reads one JSON message a line on standard input and writes one a line on standard output::

    <- {"do": "resolve", "specs": [...]}                   -> {"resolved": [model or {"unavailable": text}]}
    <- {"do": "ask", "model": {...}, "requests": [...]}    -> {"key": ..., "reply": {...}, "model": label, "loads": n}
                                                              each, as they come; n loads of the model were noticed
    <- {"do": "unload", "model": {...}}                    -> {"unloaded": label}
                                                           -> {"note": text} at any time, for the user

Requests go out ahead of the tests, at most N at once, one model after the other (so each is loaded once), each on all
its servers together (`lanes`). A reply is in the store before it is told. The end of standard input ends the process at
once, whatever is under way.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import stamina.instrumentation
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from evals.backends.base import AskSettings, ChatRequest, Model, ModelSpec
from evals.backends.models import resolve_models
from evals.errors import GoldenGateError
from evals.lanes import Answered, OpenModel
from evals.store import ResponseStore


class _Asker:
    """Works through what it is told, one model after the other."""

    def __init__(self, settings: AskSettings, outbox: queue.SimpleQueue[dict[str, Any]]) -> None:
        self.settings = settings
        self.outbox = outbox
        self.store = ResponseStore(Path(settings.store)) if settings.store else None
        # One writer leaves the loop free; more would fight for the disk.
        self.writer = anyio.CapacityLimiter(1)
        self.writing = threading.Lock()
        self.opened: OpenModel | None = None
        self.gone: set[str] = set()

    async def work(self, inbox: MemoryObjectReceiveStream[dict[str, Any]]) -> None:
        async for message in inbox:
            if message["do"] == "resolve":
                await self.resolve([ModelSpec(**spec) for spec in message["specs"]])
                continue
            opened = await self.open(Model.from_json(message["model"]))
            if message["do"] == "ask":
                await opened.ask_all([ChatRequest.from_json(one) for one in message["requests"]])
            else:
                await opened.unload()
                self.outbox.put({"unloaded": opened.model.label})

    async def resolve(self, specs: Sequence[ModelSpec]) -> None:
        try:
            found, notes = await resolve_models(specs, self.settings.hosts)
        except GoldenGateError as error:
            self.outbox.put({"broken": str(error)})
            return
        for note in notes:
            self.tell(note)
        told = [one.to_json() if isinstance(one, Model) else {"unavailable": str(one)} for one in found]
        self.outbox.put({"resolved": told})

    async def open(self, model: Model) -> OpenModel:
        """The model, which stays open until another one is asked."""
        if self.opened is None or self.opened.model != model:
            if self.opened is not None:
                await self.opened.aclose()
            self.opened = OpenModel(model, self.settings, self.gone, self.deliver, self.tell)
        return self.opened

    def tell(self, note: str) -> None:
        self.outbox.put({"note": note})

    async def deliver(self, model: Model, replies: list[Answered], loads: int) -> None:
        kept = [one for one in replies if not one.reply.fault]
        if self.store and kept and model.spec.backend != "replay":
            failed = await anyio.to_thread.run_sync(self.keep, self.store, model, kept, limiter=self.writer)
            if failed:
                self.tell(f"replies cannot be kept in {self.store.folder}: {failed.strerror or failed}")
        for one in replies:
            told = {"key": one.key, "reply": one.reply.to_json(), "model": model.label, "loads": loads}
            self.outbox.put(told)
            loads = 0

    def keep(self, store: ResponseStore, model: Model, replies: list[Answered]) -> OSError | None:
        failed = None
        with self.writing:
            for one in replies:
                try:
                    store.put(one.key, model, one.request, one.reply)
                except OSError as error:
                    failed = error
        return failed


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


def _write_outbox(sink: IO[str], outbox: queue.SimpleQueue[dict[str, Any]]) -> None:
    while True:
        message = outbox.get()
        try:
            sink.write(json.dumps(message) + "\n")
            if outbox.empty():
                sink.flush()
        except (BrokenPipeError, ValueError):
            os._exit(0)


async def _serve(source: IO[str], sink: IO[str]) -> None:
    stamina.instrumentation.set_on_retry_hooks([])  # retries are kept in replies, not logged
    settings = AskSettings.from_json(json.loads(source.readline()))
    outbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    asker = _Asker(settings, outbox)
    send, receive = anyio.create_memory_object_stream[dict[str, Any]](float("inf"))
    threading.Thread(target=_write_outbox, args=(sink, outbox), daemon=True).start()
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
