"""The timed requests of one model, cold or warm: one at a time, each unlike any before it, none from the store."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from evals.backends.base import ChatRequest, Model, ModelReply, ModelSpec
from evals.backends.http_faults import LOOPBACK
from evals.backends.models import computed_here
from evals.cases import GoldenTask
from evals.errors import BackendFault
from evals.latency import Kind, Latency, latency_of, with_nonce, with_one_context
from evals.needs import chat_request
from evals.replies import Replies
from evals.resources import Gpus, Meter, Used, listening_on, process_of, resident_bytes
from evals.sampling import sample_cases

CASES = 8
COLD_ROUNDS = 3
NONCE_BYTES = 8
SERVER_LIMIT_S = 5.0
KEEPS_LOADED = "openai"
"""The backend whose models are timed warm only: its protocol has no way to unload one."""


def kinds_of(spec: ModelSpec) -> tuple[Kind, ...]:
    """How a model can be timed."""
    return ("warm",) if spec.backend == KEEPS_LOADED else ("cold", "warm")


def timed_requests(model: Model, tasks: Sequence[GoldenTask]) -> tuple[ChatRequest, ...]:
    """The requests of one case a task, of eight at most, the same for every model; all with one context length."""
    chosen = sample_cases(tasks, min(CASES, len(tasks)))
    return with_one_context([chat_request(model, task, case) for task in chosen for case in task.cases])


class Timing:
    """One model's timed requests. A cold one comes after the model was unloaded, a warm one after another request."""

    def __init__(
        self,
        replies: Replies,
        model: Model,
        kind: Kind,
        requests: Sequence[ChatRequest],
        warm_rounds: int,
        gpus: Gpus,
    ) -> None:
        self._replies = replies
        self._model = model
        self._kind = kind
        self._requests: Iterator[ChatRequest] = itertools.cycle(requests)
        self.rounds = COLD_ROUNDS if kind == "cold" else warm_rounds
        memory, self._memory_of = memory_of(model, replies)
        self._meter = Meter(memory, gpus if computes_here(model) else Gpus())
        self._timed: list[ModelReply] = []
        self._seconds = 0.0

    def warm_up(self) -> None:
        """Load the model and fill its caches, if it is to be warm; not timed. Raises `BackendFault`."""
        if self._kind == "warm":
            self._reply(self._fresh())

    def set_up(self) -> tuple[tuple[ChatRequest], dict[str, Any]]:
        """Get ready for a round: the arguments of `ask`, as `benchmark.pedantic` wants them."""
        if self._kind == "cold":
            self._replies.unload(self._model)
        return (self._fresh(),), {}

    def ask(self, request: ChatRequest) -> None:
        """One timed request; raises `BackendFault` where no reply came."""
        started = time.perf_counter()
        with self._meter:
            reply = self._reply(request)
        self._timed.append(reply)
        self._seconds += reply.total_s if reply.total_s is not None else time.perf_counter() - started

    def reply_seconds(self) -> float:
        """The clock that pytest-benchmark reads: seconds that replies took, as the asking process timed them.

        The way through the pipe, and a wait until the server's digest was looked at again, are not the model's.
        """
        return self._seconds

    def latency(self) -> Latency:
        """What was measured."""
        meter = self._meter
        memory, whose = meter.memory_bytes, self._memory_of
        if memory is None and self._model.spec.backend == "ollama":
            memory, whose = loaded_bytes(self._model), "as Ollama tells it"
        used = Used(memory, whose if memory is not None else "", meter.gpu_memory_bytes, meter.energy_j)
        return latency_of(self._model, self._kind, self._timed, used)

    def _fresh(self) -> ChatRequest:
        # Random, not a clock: a clock may be set back, and two runs may share its tick.
        return with_nonce(next(self._requests), secrets.token_hex(NONCE_BYTES))

    def _reply(self, request: ChatRequest) -> ModelReply:
        key = request.key(self._model.digest)
        self._replies.order(self._model, [request])
        reply = self._replies.wait(key)
        self._replies.forget(key)
        if reply.fault:
            raise BackendFault(reply.fault)
        return reply


def computes_here(model: Model) -> bool:
    """Whether the model is computed on this machine, as far as its address tells."""
    if computed_here(model):
        return True
    return urlsplit(str(model.details.get("server", ""))).hostname in LOOPBACK


def memory_of(model: Model, replies: Replies) -> tuple[Callable[[], int | None], str]:
    """What reads the resident memory of the processes that compute a model, and whose memory that is."""
    if model.spec.backend in ("gguf", "hf"):
        return lambda: resident_bytes(process_of(replies.pid)) if replies.pid else None, "the asking process"
    if not computes_here(model):
        return lambda: None, ""
    parts = urlsplit(str(model.details["server"]))
    processes = listening_on(parts.port or {"http": 80, "https": 443}[parts.scheme])
    return lambda: resident_bytes(processes), "the server's processes"


def loaded_bytes(model: Model) -> int | None:
    """The size of a loaded model as Ollama's `/api/ps` tells it: weights and context, on the GPU or not."""
    url = str(model.details.get("server", ""))
    try:
        local = urlsplit(url).hostname in LOOPBACK
        answer = httpx.get(f"{url}/api/ps", timeout=SERVER_LIMIT_S, trust_env=not local)
        loaded = answer.raise_for_status().json()["models"]
        sizes = [one["size"] for one in loaded if one["digest"] == model.digest]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return None
    return sizes[0] if sizes and isinstance(sizes[0], int) else None
