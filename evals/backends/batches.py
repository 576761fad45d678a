"""Requests gathered into batches, for a model that this process computes itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import anyio.to_thread

from evals.backends.base import ChatRequest, ModelReply
from evals.errors import BackendFault, late

BATCH = 8
WINDOW = 32
"""Requests that a model is given at once, so that among them there are some of like length."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn, the seed apart; all rows of a batch share it. Temperature 0: the likeliest."""

    temperature: float
    top_p: float | None
    top_k: int | None
    repeat_penalty: float | None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Sampling:
        temperature, penalty = options["temperature"], options["repeat_penalty"]
        if not temperature:
            return cls(0.0, None, None, penalty)
        return cls(temperature, options["top_p"], options["top_k"], penalty)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request in tokens. `thinking` says that its answer begins inside the thinking, or may."""

    tokens: tuple[int, ...]
    max_tokens: int
    stop: tuple[str, ...]
    seed: int
    sampling: Sampling
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What a prompt of a batch brought. Times are those of `time.perf_counter`.

    `first_at` is when the batch had its first token: until then it read all its prompts together. `late` says that
    the row was not done when the time was over.
    """

    text: str
    thinking: str
    stop_reason: str
    completion_tokens: int
    first_at: float
    end_at: float
    late: bool = False


class OutOfMemory(Exception):
    """A batch did not fit into memory. What it took is free again."""


class Engine(Protocol):
    """A loaded model. It is used by one thread at a time."""

    def encode(self, request: ChatRequest) -> Prompt:
        """The request in tokens. Raises `BackendFault`."""

    def generate(self, prompts: Sequence[Prompt], limit_s: float) -> list[Row]:
        """A row for each prompt, all of one `Sampling`. Raises `OutOfMemory` or `BackendFault`."""

    def close(self) -> None:
        """Give the memory back."""


def next_batch(prompts: Sequence[Prompt], size: int) -> list[int]:
    """Which of the waiting prompts go next, by their place: the first, and those that are nearest to it in length.

    They share its sampling. The first one is always among them, so nothing waits for ever.
    """
    same = [place for place, prompt in enumerate(prompts) if prompt.sampling == prompts[0].sampling]
    same.sort(key=lambda place: len(prompts[place].tokens))
    start = min(max(0, same.index(0) - size // 2), max(0, len(same) - size))
    return same[start : start + size]


@dataclass(slots=True, eq=False)
class _Waiting:
    request: ChatRequest
    asked_at: float = field(default_factory=time.perf_counter)
    load_s: float = 0.0
    prompt: Prompt | None = None
    answer: ModelReply | BackendFault | None = None


class BatchedModel:
    """A model that answers what waits in batches of like length. `load` is called at the first request.

    `timeout_s` bounds the time that a batch computes, not that a request waits for its turn. Of a reply's times,
    `prompt_s` is how long the batch read its prompts, `decode_s` lasts from its first token to the reply's last, and
    `load_s` is told by the request that loaded the model. A batch that does not fit into memory is halved, and so are
    those after it.
    """

    def __init__(self, load: Callable[[], Engine], timeout_s: float) -> None:
        self._load = load
        self._timeout_s = timeout_s
        self._engine: Engine | None = None
        self._cannot_load: BackendFault | None = None
        self._size = BATCH
        self._waiting: list[_Waiting] = []
        self._turn = anyio.Lock()

    async def aclose(self) -> None:
        async with self._turn:
            if self._engine is not None:
                await anyio.to_thread.run_sync(self._engine.close)
            self._engine = None

    async def chat(self, request: ChatRequest) -> ModelReply:
        mine = _Waiting(request)
        self._waiting.append(mine)
        try:
            while mine.answer is None:
                async with self._turn:
                    if mine.answer is None:
                        engine = await anyio.to_thread.run_sync(self._loaded, mine)
                        # Others came while it was loaded.
                        waiting = [one for one in self._waiting if one.answer is None]
                        await anyio.to_thread.run_sync(self._answer_some, engine, waiting)
        finally:
            self._waiting.remove(mine)
        if isinstance(mine.answer, BackendFault):
            raise mine.answer
        return mine.answer

    def _loaded(self, first: _Waiting) -> Engine:
        if self._cannot_load is not None:
            raise self._cannot_load
        if self._engine is None:
            began = time.perf_counter()
            try:
                self._engine = self._load()
            except BackendFault as fault:
                self._cannot_load = fault
                raise
            first.load_s = time.perf_counter() - began
        return self._engine

    def _answer_some(self, engine: Engine, waiting: Sequence[_Waiting]) -> None:
        ready: list[_Waiting] = []
        prompts: list[Prompt] = []
        for one in waiting:
            try:
                one.prompt = one.prompt or engine.encode(one.request)
            except BackendFault as fault:
                one.answer = fault
                continue
            ready.append(one)
            prompts.append(one.prompt)
        if not ready:
            return
        places = next_batch(prompts, self._size)
        batch = [ready[place] for place in places]
        began = time.perf_counter()
        try:
            rows = engine.generate([prompts[place] for place in places], self._timeout_s)
        except OutOfMemory as error:
            self._size = max(1, len(batch) // 2)
            if len(batch) == 1:
                batch[0].answer = BackendFault(
                    f"the memory does not hold this request alone ({error}); give it a smaller options.max_tokens in "
                    "task.yaml or a shorter prompt, take a smaller model, or end what else uses the memory"
                )
            return
        except BackendFault as fault:
            for one in batch:
                one.answer = fault
            return
        for one, row in zip(batch, rows, strict=True):
            one.answer = self._reply(one, row, began)

    def _reply(self, one: _Waiting, row: Row, began: float) -> ModelReply | BackendFault:
        if row.late:
            return BackendFault(
                f"{late(self._timeout_s)}; --concurrency 1 asks one at a time, so that none shares its time with a batch"
            )
        return ModelReply(
            text=row.text,
            thinking=row.thinking,
            stop_reason=row.stop_reason,
            prompt_tokens=len(one.prompt.tokens) if one.prompt else None,
            completion_tokens=row.completion_tokens,
            load_s=one.load_s,
            prompt_s=row.first_at - began,
            decode_s=row.end_at - row.first_at,
            first_token_s=row.first_at - one.asked_at,
            total_s=row.end_at - one.asked_at,
        )
