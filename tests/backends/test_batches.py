"""Requests gathered into batches, on an engine that computes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.base import ChatRequest, ModelReply
from evals.backends.batches import BATCH, BatchedModel, OutOfMemory, Prompt, Row, Sampling, next_batch
from evals.errors import BackendFault
from tests.conftest import chat_request

GREEDY = Sampling(0.0, None, None, None)
WARM = Sampling(0.7, 0.9, 40, 1.1)


def prompt(length: int, sampling: Sampling = GREEDY) -> Prompt:
    return Prompt((0,) * length, 8, (), 0, sampling)


class EchoEngine:
    """Answers each prompt with its length. `holds` is how many rows fit into its memory."""

    def __init__(self, holds: int = BATCH) -> None:
        self.holds = holds
        self.batches: list[list[int]] = []
        self.closed = False

    def encode(self, request: ChatRequest) -> Prompt:
        if request.case == "refuse":
            raise BackendFault("the chat template refuses these messages")
        return Prompt((0,) * len(request.messages[-1].content), 8, (), 0, Sampling.of(request.options))

    def generate(self, prompts: Sequence[Prompt], limit_s: float) -> list[Row]:
        lengths = [len(one.tokens) for one in prompts]
        self.batches.append(lengths)
        if len(prompts) > self.holds:
            raise OutOfMemory("CUDA out of memory")
        if 13 in lengths:
            raise BackendFault("transformers broke off: unlucky")
        now = time.perf_counter()
        return [Row(str(n), "", "stop", n, now, now, late=n == 99) for n in lengths]

    def close(self) -> None:
        self.closed = True


def ask(engine: EchoEngine, texts: Sequence[str]) -> list[ModelReply | BackendFault]:
    """All texts at once; what came of each."""
    answers: dict[int, ModelReply | BackendFault] = {}

    async def main() -> None:
        model = BatchedModel(lambda: engine, 5.0)

        async def one(number: int, text: str) -> None:
            try:
                answers[number] = await model.chat(chat_request(text))
            except BackendFault as fault:
                answers[number] = fault

        async with anyio.create_task_group() as group:
            for number, text in enumerate(texts):
                group.start_soon(one, number, text)
        await model.aclose()

    anyio.run(main)
    return [answers[number] for number in range(len(texts))]


def texts_of(answers: Sequence[ModelReply | BackendFault]) -> list[str]:
    return [one.text if isinstance(one, ModelReply) else f"fault: {one}" for one in answers]


def test_what_waits_is_answered_in_batches_of_like_length() -> None:
    engine = EchoEngine()
    lengths = [5, 50, 6, 51, 7, 52, 8, 53, 9, 54, 10, 55, 11, 56, 12, 57]
    assert texts_of(ask(engine, ["x" * n for n in lengths])) == [str(n) for n in lengths]
    assert sorted(map(sorted, engine.batches)) == [list(range(5, 13)), list(range(50, 58))]
    assert engine.closed


def test_one_request_alone_is_a_batch_of_one() -> None:
    engine = EchoEngine()
    (reply,) = ask(engine, ["xxx"])
    assert isinstance(reply, ModelReply)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("3", 3, 3)
    assert reply.load_s is not None and reply.total_s is not None
    assert 0 < reply.load_s <= reply.total_s


def test_one_request_tells_the_load_and_the_others_none() -> None:
    answers = ask(EchoEngine(), ["x"] * 12)
    loads = [one.load_s for one in answers if isinstance(one, ModelReply)]
    assert len(loads) == 12 and sum(1 for one in loads if one) == 1


@pytest.mark.parametrize("holds", [1, 2, 3, 5])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(holds: int) -> None:
    engine = EchoEngine(holds)
    assert texts_of(ask(engine, ["x" * n for n in range(1, 12)])) == [str(n) for n in range(1, 12)]
    sizes = [len(batch) for batch in engine.batches]
    assert sum(1 for size in sizes if size > holds) <= 3
    assert sizes[0] == BATCH and sizes[-1] <= holds


def test_a_request_that_does_not_fit_alone_is_a_fault_with_advice() -> None:
    answers = ask(EchoEngine(0), ["x", "xx"])
    assert all("smaller options.max_tokens" in one for one in texts_of(answers))


def test_a_request_that_cannot_be_asked_costs_its_own_reply() -> None:
    assert texts_of(ask(EchoEngine(), ["x", "refuse", "xxx"])) == [
        "1",
        "fault: the chat template refuses these messages",
        "3",
    ]


def test_a_batch_that_breaks_costs_its_own_replies() -> None:
    engine = EchoEngine()
    lengths = [*range(10, 18), *range(100, 108)]
    texts = texts_of(ask(engine, ["x" * n for n in lengths]))
    assert texts[8:] == [str(n) for n in range(100, 108)]
    assert set(texts[:8]) == {"fault: transformers broke off: unlucky"}


def test_a_row_that_is_late_is_given_up_and_its_neighbours_are_kept() -> None:
    texts = texts_of(ask(EchoEngine(), ["x" * 98, "x" * 99]))
    assert texts[0] == "98" and "no whole reply within 5 s (--reply-timeout)" in texts[1]
    assert "--concurrency 1 asks one at a time" in texts[1]


def test_a_model_that_cannot_be_loaded_is_tried_once() -> None:
    tried: list[float] = []

    def load() -> EchoEngine:
        tried.append(time.perf_counter())
        raise BackendFault("transformers cannot load it")

    async def main() -> None:
        model = BatchedModel(load, 5.0)
        for _ in range(3):
            with pytest.raises(BackendFault, match="cannot load it"):
                await model.chat(chat_request("x"))
        await model.aclose()

    anyio.run(main)
    assert len(tried) == 1


def test_a_request_that_was_given_up_is_not_answered() -> None:
    engine = EchoEngine()

    async def main() -> None:
        model = BatchedModel(lambda: engine, 5.0)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await model.chat(chat_request("x"))
        assert (await model.chat(chat_request("xx"))).text == "2"

    anyio.run(main)
    assert engine.batches == [[2]]


samplings = st.sampled_from([GREEDY, WARM])
waiting = st.lists(st.builds(prompt, st.integers(1, 60), samplings), min_size=1, max_size=40)


@given(waiting, st.integers(1, 9))
def test_the_next_batch_holds_the_first_and_its_nearest_of_one_sampling(
    prompts: list[Prompt], size: int
) -> None:
    places = next_batch(prompts, size)
    alike = [place for place, one in enumerate(prompts) if one.sampling == prompts[0].sampling]
    assert 0 in places and len(places) == len(set(places)) == min(size, len(alike))
    assert set(places) <= set(alike)
    lengths = [len(prompts[place].tokens) for place in places]
    left_out = [len(prompts[place].tokens) for place in alike if place not in places]
    assert not [one for one in left_out if min(lengths) < one < max(lengths)]


def test_at_temperature_zero_nothing_is_drawn_so_nothing_but_the_penalty_matters() -> None:
    options = chat_request("x", top_p=0.5, top_k=4).options
    assert Sampling.of(options) == GREEDY
    assert Sampling.of({**options, "temperature": 0.7}) == Sampling(0.7, 0.5, 4, None)
    assert Sampling.of({**options, "repeat_penalty": 1.1}).repeat_penalty == 1.1
