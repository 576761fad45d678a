"""One request to one place: asked again where that may help, and more slowly where the server has too much to do."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import stamina

from evals.backends.base import ChatModel, ChatRequest, ModelReply
from evals.errors import BackendFault, ConnectionBroke, ServerBusy, TransientFault

ATTEMPTS = 4
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 20.0
LONGEST_BUSY_WAIT_S = 1.0


def ask_order(requests: Iterable[ChatRequest]) -> list[ChatRequest]:
    """Requests of one context length side by side, since another one makes Ollama load the model anew; among them those
    with one system prompt, whose state a server keeps. Context lengths come in the order of their first request, so do
    the prompts of each, and requests of one prompt stay in their order.
    """
    groups: dict[int | None, dict[str, list[ChatRequest]]] = {}
    for request in requests:
        system = next((one.content for one in request.messages if one.role == "system"), "")
        same_context = groups.setdefault(request.options.get("num_ctx"), {})
        same_context.setdefault(system, []).append(request)
    return [request for context in groups.values() for group in context.values() for request in group]


class Pace:
    """How many requests a place gets at once: `limit`, less while its server says that it has too much to do.

    A refusal halves it, once for all requests that were under way together, down to one; each round of answers raises
    it by one again. Nobody asks before the wait that the server named is over, or else 0.25 s, doubled up to 1 s.
    A server that has refused everything for `patience_s` is not waited for any longer.
    """

    def __init__(self, limit: int, patience_s: float) -> None:
        self.limit = limit
        self._full = limit
        self._patience_s = patience_s
        self._in_flight = 0
        self._room: anyio.Event | None = None  # made by who waits for it
        self._answers = 0
        self._refused_since: float | None = None
        self._slowed_at = 0.0
        self._wait_s = FIRST_WAIT_S
        self._not_before = 0.0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Room for one request; waits until there is some."""
        while True:
            if (wait_s := self._not_before - time.monotonic()) > 0:
                await anyio.sleep(wait_s)
            elif self._in_flight < self.limit:
                break
            else:
                self._room = self._room or anyio.Event()
                await self._room.wait()
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._make_room()

    def answered(self) -> None:
        """Count an answer: the server is not too busy."""
        self._refused_since = None
        self._wait_s = FIRST_WAIT_S
        self._answers += 1
        if self.limit < self._full and self._answers >= self.limit:
            self.limit += 1
            self._answers = 0
            self._make_room()

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def refused(self, asked_at: float, wait_s: float | None) -> bool:
        """Slow down after a refusal of a request sent at `asked_at`; False if patience is at its end."""
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        if now - self._refused_since > self._patience_s:
            return False
        if asked_at >= self._slowed_at:
            self.limit = max(1, self.limit // 2)
            self._answers = 0
            self._slowed_at = now
            if wait_s is None:
                wait_s = self._wait_s * random.uniform(1, 1.25)  # noqa: S311 - spreads runs, no secret
            self._wait_s = min(2 * self._wait_s, LONGEST_BUSY_WAIT_S)
        self._not_before = max(self._not_before, now + bounded(wait_s or 0.0))
        return True


def bounded(wait_s: float) -> float:
    """A wait that a server asked for, in seconds: what it says may come from a wrong clock."""
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)


@dataclass(slots=True)
class _Tried:
    """What a request has been through: each reason for asking anew, and how often its server went away meanwhile."""

    reasons: list[str] = field(default_factory=list)
    outages: int = 0


def _again(error: Exception) -> bool | float:
    if not isinstance(error, TransientFault):
        return False
    return True if error.wait_s is None else bounded(error.wait_s)


async def ask(
    chat: ChatModel,
    request: ChatRequest,
    pace: Pace,
    came_back: Callable[[float], Awaitable[float | None]] | None = None,
) -> ModelReply:
    """One reply; a fault becomes a reply that says so.

    Asked up to four times after transient faults, with waits that grow from 0.25 s twofold to 20 s, with jitter; a
    server's Retry-After is heeded up to that bound. Refusals for being busy, and a server that went away and
    `came_back`, are not counted among the four; the fourth time that the server went away is a fault, since the request
    may be what takes it down. `ServerLost` goes through.
    """
    tried = _Tried()
    try:
        async for attempt in stamina.retry_context(
            on=_again,
            attempts=ATTEMPTS,
            timeout=None,
            wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
            wait_jitter=FIRST_WAIT_S,
        ):
            with attempt:
                reply = await _ask_once(chat, request, pace, came_back, tried)
                return replace(reply, retries=tuple(tried.reasons)) if tried.reasons else reply
    except BackendFault as fault:
        asked = f" (asked {len(tried.reasons)} times)" if len(tried.reasons) > 1 else ""
        return ModelReply(fault=f"{fault}{asked}", stop_reason="fault", retries=tuple(tried.reasons[:-1]))
    raise AssertionError("retry_context neither returned nor raised")


async def _ask_once(
    chat: ChatModel,
    request: ChatRequest,
    pace: Pace,
    came_back: Callable[[float], Awaitable[float | None]] | None,
    tried: _Tried,
) -> ModelReply:
    """Until the server has taken the request on; each reason for asking anew is added to `tried`."""
    while True:
        async with pace.slot():
            asked_at = time.monotonic()
            try:
                reply = await chat.chat(request)
                pace.answered()
                return reply
            except ServerBusy as fault:
                tried.reasons.append(str(fault))
                if not pace.refused(asked_at, fault.wait_s):
                    raise BackendFault(f"{fault}, to everything for too long (--server-wait)") from fault
                continue
            except ConnectionBroke as fault:
                broke, broke_at = fault, time.monotonic()
                tried.reasons.append(str(fault))
            except BackendFault as fault:
                tried.reasons.append(str(fault))
                raise
        away_s = await came_back(broke_at) if came_back else None  # waited for outside of the slot
        if away_s is None:
            raise broke
        tried.outages += 1
        tried.reasons[-1] += f"; the server was away for {away_s:.1f} s"
        if tried.outages == ATTEMPTS:
            raise BackendFault(
                f"{broke}; the server went away {ATTEMPTS} times while it was asked this"
            ) from broke
