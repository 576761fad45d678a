"""What is noticed about one server while one model is asked there: that it went away, or has another model now.

A reply of a watched server is held back until the server has said, after the reply's end, that the model is still the
one that was resolved; only then is it handed on. One such look vouches for every reply that was there before it began,
so a fast server is looked at some five times a second, not once a reply.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Generic, NoReturn, TypeVar

import anyio

from evals.backends.base import Model, ServedModel
from evals.errors import BackendFault, ConnectionBroke, ServerLost

LOOK_EVERY_S = 0.2
RETURN_EVERY_S = 0.5
LOOKS = 3

Held = TypeVar("Held")


class ServerWatch(Generic[Held]):
    """Watches the server at `place` while `model` is asked there.

    `release` takes the replies that a look has vouched for, `refuse` those that are another model's, with the reason.
    `wait_s` is how long a server that went away is waited for. `tell` hears what the user should know.
    """

    def __init__(
        self,
        chat: ServedModel,
        model: Model,
        place: str,
        wait_s: float,
        tell: Callable[[str], None],
        release: Callable[[list[Held]], Awaitable[None]],
        refuse: Callable[[list[Held], str], Awaitable[None]],
    ) -> None:
        self._chat = chat
        self._model = model
        self._place = place
        self._wait_s = wait_s
        self._tell = tell
        self._release = release
        self._refuse = refuse
        self._held: list[Held] = []
        self._any = anyio.Event()
        self._hurried = anyio.Event()
        self._ending = False
        self._asking_after = anyio.Lock()
        self._seen_at = (
            0.0  # when the server was last found answering after a connection broke (`time.monotonic`)
        )
        self._away_s: float | None = None  # how long it had then been away
        self._good_at = time.time()
        self.lost = ""  # why the server is of no more use
        self.gone = False  # and whether that is because nobody is there

    def hold(self, reply: Held, *, hurry: bool) -> None:
        """Keep a reply until a look vouches for it; `hurry` if no other reply is on its way."""
        self._held.append(reply)
        self._any.set()
        if hurry:
            self._hurried.set()

    def end(self) -> None:
        """Nothing more will be held: `watch` returns once nothing is."""
        self._ending = True
        self._any.set()
        self._hurried.set()

    async def watch(self) -> None:
        """Look again and again, while there are replies to vouch for; runs until `end`, or until cancelled."""
        while self._held or not self._ending:
            await self._any.wait()
            began = time.monotonic()
            held, self._held = self._held, []
            self._any, self._hurried = anyio.Event(), anyio.Event()
            if held:
                await self._look(held)
            with anyio.move_on_after(LOOK_EVERY_S - (time.monotonic() - began)):
                await self._hurried.wait()

    async def _look(self, held: list[Held]) -> None:
        try:
            await self._vouch()
        except ServerLost as lost:
            if not self.gone:
                await self._refuse(held, str(lost))
                return
            # Nobody is left to vouch for them; what was resolved is the best that is known.
        await self._release(held)

    async def _vouch(self) -> None:
        """See that the server still has the model; raises `ServerLost` otherwise.

        A server that answers, but never to this question, is taken at its word, and the user told.
        """
        for _ in range(LOOKS):
            if self.lost:
                raise ServerLost(self.lost)
            began = time.monotonic()
            try:
                self._compare(await self._chat.digest())
                return
            except BackendFault as fault:
                said = str(fault)
                if isinstance(fault, ConnectionBroke) and await self.came_back(began) is not None:
                    return
        self._tell(f"{self._place} does not tell which model {self._model.label} is there now: {said}")

    async def came_back(self, broke_at: float) -> float | None:
        """After a connection broke at `broke_at` (`time.monotonic`): seconds that the server was away, waited for here;
        None if it was there all along. Raises `ServerLost` if it stays away, or comes back with another model.
        """
        async with self._asking_after:  # one asks, the others hear what it was told
            if self.lost:
                raise ServerLost(self.lost)
            if self._seen_at < broke_at:
                self._away_s = None
                if not await self._chat.alive():
                    await self._wait(broke_at)
                    self._away_s = time.monotonic() - broke_at
                    left = time.strftime("%H:%M:%S", time.localtime(time.time() - self._away_s))
                    self._tell(
                        f"{self._place} was away from {left} for {self._away_s:.1f} s and was waited for"
                    )
                self._seen_at = time.monotonic()
            return self._away_s

    async def _wait(self, since: float) -> None:
        """Until the server answers and still has the model."""
        while True:
            if await self._chat.alive():
                with contextlib.suppress(BackendFault):  # it does not tell: the next look will see
                    self._compare(await self._chat.digest())
                    return
            if time.monotonic() - since > self._wait_s:
                self.gone = True
                self._lose(
                    f"{self._place} went away and did not come back within {self._wait_s:g} s (--server-wait); "
                    "start it and run again: what was answered is kept"
                )
            await anyio.sleep(RETURN_EVERY_S)

    def _compare(self, digest: str | None) -> None:
        if digest != self._model.digest:
            self._lose(self._another(digest))
        self._good_at = time.time()

    def _another(self, digest: str | None) -> str:
        since = time.strftime("%H:%M:%S", time.localtime(self._good_at))
        if digest is None:
            return f"{self._place} no longer has {self._model.label}, since {since} or later; create it and run again"
        return (
            f"{self._place} answers with another model under the name {self._model.label} since {since} or later: "
            f"digest {digest[:12]} instead of {self._model.digest[:12]}; run again"
        )

    def _lose(self, reason: str) -> NoReturn:
        self.lost = reason
        self._tell(reason)
        raise ServerLost(reason)
