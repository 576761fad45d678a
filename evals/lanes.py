"""One model's requests, shared by the places where it is asked: its Ollama servers, or this process.

Each place has a lane, with its own workers, its own turn and a watch on its server. All lanes draw from one queue. What
a lane cannot finish, since its server was lost, goes back to the front of the queue while another lane is open, and
else becomes a fault. A lane whose server was lost ends, and gives its turn back: others may wait for it, even another
lane, to which this lane's requests went.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import anyio

from evals.asking import Pace, ask, ask_order
from evals.backends.base import AskSettings, ChatModel, ChatRequest, Model, ModelReply, ServedModel
from evals.backends.models import computed_here, in_flight, open_model, places
from evals.errors import BackendFault, ServerLost
from evals.loads import Load, load_of, merged
from evals.turns import turn
from evals.watch import ServerWatch


class Answered(NamedTuple):
    """A request and what came of it."""

    key: str
    request: ChatRequest
    reply: ModelReply


Deliver = Callable[[Model, list[Answered], int], Awaitable[None]]
"""Hands replies on, with the number of loads that were counted since the last time."""


class Work:
    """The requests of one order. `deliver` is given every reply once; `last` is called before the last ones are."""

    def __init__(
        self,
        model: Model,
        requests: Sequence[ChatRequest],
        lanes: Iterable[Lane],
        deliver: Callable[[list[Answered]], Awaitable[None]],
        last: Callable[[], None],
    ) -> None:
        self.waiting = deque(ask_order(requests))
        self.done = anyio.Event()
        self._model = model
        self._open = set(lanes)
        self._deliver = deliver
        self._last = last
        self._owed = self._untold = len(requests)
        self._changed = anyio.Event()  # set when there is more to ask, or a lane less

    async def next(self, lane: Lane) -> ChatRequest | None:
        """The next request for `lane`, None once that has given some back; waits while there is none, since another lane
        may give some back.
        """
        while lane in self._open:
            if self.waiting:
                return self.waiting.popleft()
            await self._changed.wait()
        return None

    async def tell(self, replies: list[tuple[ChatRequest, ModelReply]]) -> None:
        """Hand replies on."""
        self._owed -= len(replies)
        if not self._owed:
            self._last()
        await self._deliver([
            Answered(self._model.key(request), request, reply) for request, reply in replies
        ])
        self._untold -= len(replies)
        if not self._untold:
            self.done.set()

    async def give_back(self, lane: Lane, requests: list[ChatRequest], reason: str) -> None:
        """`lane` is open no more, and what it cannot finish goes to the others; where none is left, it and all that waits
        becomes a fault.
        """
        self._open.discard(lane)
        self.waiting.extendleft(reversed(requests))
        self._changed.set()
        self._changed = anyio.Event()
        if self.waiting and not self._open:
            lost = [(request, ModelReply(fault=reason, stop_reason="fault")) for request in self.waiting]
            self.waiting.clear()
            await self.tell(lost)


class Lane:
    """One model at one place. `wait_s` is how long its server is waited for, should it go away; loads that replies tell
    of are added to `loads`.
    """

    def __init__(
        self,
        model: Model,
        place: str,
        chat: ChatModel,
        settings: AskSettings,
        wait_s: float,
        loads: list[Load],
        tell: Callable[[str], None],
    ) -> None:
        self.place = place
        self.chat = chat
        self._loads = loads
        self._model = model
        self._settings = settings
        self._tell = tell
        self._at_once = in_flight(model, settings)
        self._busy = 0
        self._work: Work
        self.watch: ServerWatch[tuple[ChatRequest, ModelReply]] | None = None
        if isinstance(chat, ServedModel):
            self.watch = ServerWatch(chat, model, place, wait_s, tell, self._release, self._refuse)

    async def run(self, work: Work) -> None:
        """Take part in the work, once the place's turn has come; runs until its server is lost, or until cancelled."""
        self._work = work
        self._pace = Pace(self._at_once, self._settings.server_wait_s)
        free = self._settings.share_server or not self.place
        async with (
            nullcontext() if free else turn(self.place, self._tell),
            anyio.create_task_group() as group,
        ):
            if self.watch:
                group.start_soon(self.watch.watch)
            async with anyio.create_task_group() as workers:
                for _ in range(self._at_once):
                    workers.start_soon(self._ask_next)
            if self.watch:
                self.watch.end()

    async def unload(self) -> None:
        """Take the model out of memory there."""
        if not isinstance(self.chat, ServedModel):
            return  # what is computed here is freed when it is closed
        async with nullcontext() if self._settings.share_server else turn(self.place, self._tell):
            try:
                await self.chat.unload()
            except BackendFault as fault:
                self._tell(f"{self._model.label} could not be unloaded at {self.place}: {fault}")

    async def _ask_next(self) -> None:
        work, watch = self._work, self.watch
        while request := await work.next(self):
            self._busy += 1
            try:
                if watch and watch.lost:
                    raise ServerLost(watch.lost)
                reply = await ask(self.chat, request, self._pace, watch.came_back if watch else None)
            except ServerLost as lost:
                await work.give_back(self, [request], str(lost))
                return
            except Exception as error:  # a bug of a backend costs its own reply, not the run
                reply = ModelReply(
                    fault=f"the backend broke: {type(error).__name__}: {error}", stop_reason="fault"
                )
            finally:
                self._busy -= 1
            load = load_of(time.monotonic(), reply.total_s, reply.load_s)
            if load and self.place:  # a replay tells of loads that were
                self._loads.append(load)
            if watch is None or reply.fault:
                await work.tell([(request, reply)])
            else:
                watch.hold((request, reply), hurry=not work.waiting and not self._busy)

    async def _release(self, held: list[tuple[ChatRequest, ModelReply]]) -> None:
        await self._work.tell(held)
        if self.watch and self.watch.lost:  # nobody is there: the workers that wait for more to ask end
            await self._work.give_back(self, [], self.watch.lost)

    async def _refuse(self, held: list[tuple[ChatRequest, ModelReply]], reason: str) -> None:
        await self._work.give_back(self, [request for request, _ in held], reason)


class OpenModel:
    """A model that stays open from one order to the next.

    `gone` holds the places where nobody answered when others were asked there: they are not waited for again.
    """

    def __init__(
        self,
        model: Model,
        settings: AskSettings,
        gone: set[str],
        deliver: Deliver,
        tell: Callable[[str], None],
    ) -> None:
        self.model = model
        self._settings = settings
        self._gone = gone
        self._deliver = deliver
        self._tell = tell
        self._lanes: list[Lane] = []
        self._contexts: list[int | None] = []  # the context lengths that were asked for, one after the other
        self._loads: dict[str, list[Load]] = {}
        self._loads_told = 0
        self._context = 0

    async def ask_all(self, requests: Sequence[ChatRequest]) -> None:
        """Ask everything, and hand each reply on; returns when all are."""
        await self._open(requests)
        work = Work(self.model, requests, self._lanes, self._hand_on, self._tell_loads)
        for request in work.waiting:
            context = request.options.get("num_ctx")
            if self._contexts[-1:] != [context]:
                self._contexts.append(context)
        async with anyio.create_task_group() as group:
            for lane in self._lanes:
                group.start_soon(lane.run, work)
            await work.done.wait()
            group.cancel_scope.cancel()
        for lane in self._lanes:
            (self._gone.add if lane.watch and lane.watch.gone else self._gone.discard)(lane.place)

    async def unload(self) -> None:
        """Take the model out of memory, everywhere, and close it."""
        await self._open(())
        for lane in self._lanes:
            await lane.unload()
        await self.aclose()

    async def aclose(self) -> None:
        """Give back connections and memory; the model is opened anew when it is asked again."""
        await self._close(self._lanes)
        self._contexts.clear()
        self._loads.clear()
        self._loads_told = self._context = 0

    async def _open(self, requests: Sequence[ChatRequest]) -> None:
        """A lane for each place; those whose server was lost are made anew, and it is given another chance."""
        context = max((request.options.get("num_ctx") or 0 for request in requests), default=0)
        if self.model.spec.backend == "gguf" and requests and context != self._context:
            await self._close(self._lanes)  # llama.cpp sets its context length when it loads
            self._context = context
        await self._close([lane for lane in self._lanes if lane.watch and lane.watch.lost])
        there = {lane.place for lane in self._lanes}
        for place in places(self.model, self._settings):
            if place not in there:
                chat = open_model(self.model, requests, self._settings, place)
                wait_s = 0.0 if place in self._gone else self._settings.server_wait_s
                loads = self._loads.setdefault(place, [])
                self._lanes.append(Lane(self.model, place, chat, self._settings, wait_s, loads, self._tell))

    async def _close(self, lanes: Sequence[Lane]) -> None:
        for lane in list(lanes):
            self._lanes.remove(lane)
            await lane.chat.aclose()

    async def _hand_on(self, replies: list[Answered]) -> None:
        loads = sum(len(merged(one)) for one in self._loads.values())
        new, self._loads_told = loads - self._loads_told, loads
        await self._deliver(self.model, replies, new)

    def _tell_loads(self) -> None:
        if computed_here(self.model):
            return
        for place, loads in self._loads.items():
            apart = merged(loads)
            if len(apart) > len(self._contexts):
                seconds = sum(load.ended - load.began for load in apart)
                self._tell(
                    f"{self.model.label} was loaded {len(apart)} times on {place} during the run ({seconds:.1f} s in "
                    "all): something else used the server, it was started anew, or its memory ran out"
                )
