"""One request: in which order, when again, and how fast."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.asking import LONGEST_WAIT_S, Pace, ask_order, bounded
from evals.backends.base import ChatRequest, ModelReply
from evals.errors import BackendFault
from tests import fault_server as faults
from tests.conftest import MakeReplies, chat_request, tiny_model
from tests.fault_server import FaultServer, error
from tests.test_watch import Meanwhile, pause, wait_until

MODEL = tiny_model()

# In which order

prompts = st.sampled_from(["", "Be brief.", "Be long.", "Be a pirate."])
contexts = st.sampled_from([2048, 4096, 8192])
requests = st.lists(
    st.builds(
        lambda system, context, n: chat_request(f"{n}", system=system, num_ctx=context),
        prompts,
        contexts,
        st.integers(0, 99),
    )
)


def system_of(request: ChatRequest) -> str:
    return request.messages[0].content if request.messages[0].role == "system" else ""


def changes(values: list[object]) -> int:
    return sum(one != other for one, other in itertools.pairwise(values))


@given(requests)
def test_the_order_keeps_every_request_once(asked: list[ChatRequest]) -> None:
    assert Counter(map(id, ask_order(asked))) == Counter(map(id, asked))


@given(requests)
def test_a_context_length_never_comes_back_and_within_it_no_system_prompt(asked: list[ChatRequest]) -> None:
    order = ask_order(asked)
    lengths = [one.options["num_ctx"] for one in order]
    assert changes(lengths) == max(0, len(set(lengths)) - 1)
    both = [(one.options["num_ctx"], system_of(one)) for one in order]
    assert changes(both) == max(0, len(set(both)) - 1)


def test_context_lengths_come_in_the_order_of_their_first_request() -> None:
    asked = [chat_request(f"{n}", num_ctx=length) for n, length in enumerate([4096, 8192, 2048, 8192, 4096])]
    order = [one.options["num_ctx"] for one in ask_order(asked)]
    assert order == [4096, 4096, 8192, 8192, 2048]


@given(requests)
def test_requests_of_one_kind_keep_their_order_and_the_first_kind_stays_first(
    asked: list[ChatRequest],
) -> None:
    order = ask_order(asked)
    for length, system in {(one.options["num_ctx"], system_of(one)) for one in asked}:
        alike = [one for one in asked if (one.options["num_ctx"], system_of(one)) == (length, system)]
        assert [one for one in order if any(one is other for other in alike)] == alike
    assert order[:1] == asked[:1]


@given(st.permutations(range(24)))
def test_shuffled_requests_of_four_prompts_are_asked_as_well_as_sorted_ones(numbers: list[int]) -> None:
    shuffled = [chat_request(f"{n}", system=f"System prompt {n % 4}.") for n in numbers]
    assert changes([system_of(one) for one in ask_order(shuffled)]) == 3


# How fast


@pytest.mark.parametrize(
    ("said", "wait_s"), [(-5.0, 0.0), (0.0, 0.0), (3.0, 3.0), (1e9, LONGEST_WAIT_S), (float("inf"), 20.0)]
)
def test_a_wait_that_a_wrong_clock_says_is_bounded(said: float, wait_s: float) -> None:
    assert bounded(said) == wait_s


def test_refusals_that_were_under_way_together_halve_the_pace_once() -> None:
    pace = Pace(8, patience_s=60)
    sent = time.monotonic()
    for _ in range(8):
        assert pace.refused(sent, None)
    assert pace.limit == 4


def test_the_pace_falls_to_one_and_rises_by_one_with_each_round_of_answers() -> None:
    pace = Pace(8, patience_s=60)
    limits = []
    for _ in range(5):
        pace.refused(time.monotonic(), 0.0)
        limits.append(pace.limit)
    for _ in range(1 + 2 + 3 + 4 + 5 + 6 + 7 + 50):
        pace.answered()
        limits.append(pace.limit)
    assert limits[:5] == [4, 2, 1, 1, 1]
    assert [limits.count(limit) for limit in range(2, 8)] == [3, 3, 5, 5, 6, 7]
    assert limits[-1] == 8


def test_a_server_that_refuses_everything_is_not_asked_for_ever() -> None:
    pace = Pace(2, patience_s=0.05)
    assert pace.refused(time.monotonic(), 0.0)
    time.sleep(0.1)
    assert not pace.refused(time.monotonic(), 0.0)
    pace.answered()
    assert pace.refused(time.monotonic(), 0.0)


def test_no_more_than_the_limit_hold_a_slot_and_a_lower_limit_holds_at_once() -> None:
    pace = Pace(4, patience_s=60)
    inside: list[int] = []
    held = 0

    async def one(number: int) -> None:
        nonlocal held
        async with pace.slot():
            held += 1
            inside.append(held)
            await anyio.sleep(0.01)
            if number == 0:
                pace.refused(time.monotonic(), 0.0)
            held -= 1

    async def run() -> None:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(one, number)

    anyio.run(run)
    assert max(inside) == 4
    assert max(inside[8:]) == 2


# Through the process that asks


def ask_all(replies: MakeReplies, count: int, **settings: float) -> list[ModelReply]:
    one = replies(concurrency=8, **settings)  # type: ignore[arg-type]
    asked = [chat_request(f"{n}") for n in range(count)]
    one.order(MODEL, asked)
    return [one.wait(request.key(MODEL.digest)) for request in asked]


def test_a_storm_of_refusals_loses_nothing(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.play(*[error(429, "too many requests")] * 20)
    got = ask_all(replies, 8)
    assert [reply.text for reply in got] == ["All right."] * 8
    assert sum(len(reply.retries) for reply in got) == 20
    assert len(fault_server.chats) == 28
    # The storm is met by fewer and fewer, and at last by one at a time.
    assert [one.in_flight for one in fault_server.chats[15:20]] == [1] * 5


def test_a_full_queue_is_met_as_a_storm(fault_server: FaultServer, replies: MakeReplies) -> None:
    said = "server busy, please try again.  maximum pending requests exceeded"
    fault_server.play(*[error(503, said, retry_after="0")] * 20)
    assert [reply.fault for reply in ask_all(replies, 8)] == [""] * 8


def test_a_server_that_is_always_busy_ends_as_faults_and_each_does_not_wait_anew(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.instead["/api/chat"] = error(429, "too many requests")
    began = time.monotonic()
    got = ask_all(replies, 40, server_wait_s=1.5)
    assert time.monotonic() - began < 30  # 40 waits of 1.5 s would be a minute
    assert all(
        "the server answered 429: too many requests, to everything for too long" in one.fault for one in got
    )


def test_a_request_whose_connection_breaks_each_time_comes_to_an_end(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.play(*[faults.RESET] * 4)
    (reply,) = ask_all(replies, 1)
    assert reply.fault.startswith("the connection broke: ")
    assert reply.fault.endswith("(asked 4 times)")


def test_a_request_that_takes_the_server_down_each_time_does_so_four_times(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.play_for("0", faults.SILENT)

    def asked_for_the(nth: int) -> Callable[[], None]:
        return lambda: wait_until(lambda: len(fault_server.chats) >= nth, "it was not asked again")

    crash = (fault_server.go_away, pause, fault_server.come_back)
    crashes = [step for nth in range(1, 5) for step in (asked_for_the(nth), *crash)]
    with Meanwhile(fault_server, 1, *crashes):
        (reply,) = ask_all(replies, 1)
    assert reply.fault.startswith("the connection broke: ")
    assert reply.fault.endswith("; the server went away 4 times while it was asked this (asked 4 times)")
    assert len(reply.retries) == 3
    assert len(fault_server.chats) == 4


def test_a_wait_of_the_server_is_heeded_by_all_requests(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.play(error(429, "slow down", retry_after="2"))
    one = replies(concurrency=1)
    asked = [chat_request(f"{n}") for n in range(3)]
    one.order(MODEL, asked)
    assert [one.wait(request.key(MODEL.digest)).fault for request in asked] == [""] * 3
    first, second = fault_server.chats[:2]
    assert second.at - first.at >= 1.9


def test_a_final_fault_is_no_reason_to_slow_down() -> None:
    pace = Pace(3, patience_s=60)

    async def run() -> None:
        async with pace.slot():
            raise BackendFault("refused")

    with pytest.raises(BackendFault):
        anyio.run(run)
    assert pace.limit == 3
