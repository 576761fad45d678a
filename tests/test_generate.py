"""Generation through the real process that asks: order, concurrency and retries, seen from the server's side."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from evals.backends.base import AskSettings, ChatRequest, Model, ModelReply
from evals.backends.models import DEFAULT_CONCURRENCY, in_flight
from evals.replies import CLOSE_LIMIT_S, Replies
from evals.store import ResponseStore
from tests import fault_server as faults
from tests.conftest import MakeReplies, chat_request, tiny_model
from tests.fault_server import FaultServer, answer, error

MODEL = tiny_model()
CLOSING_S = 5.0


def ask_all(replies: Replies, requests: list[ChatRequest], model: Model = MODEL) -> list[ModelReply]:
    replies.order(model, requests)
    return [replies.wait(request.key(model.digest)) for request in requests]


def ask_one(replies: Replies, text: str = "hello") -> ModelReply:
    (reply,) = ask_all(replies, [chat_request(text)])
    return reply


# In which order


def test_the_server_meets_the_requests_in_that_order(fault_server: FaultServer, replies: MakeReplies) -> None:
    asked = [chat_request(f"{n}", system="Be brief." if n % 3 else "Be long.") for n in range(9)]
    ask_all(replies(concurrency=1), asked)
    assert fault_server.questions == ["0", "3", "6", "1", "2", "4", "5", "7", "8"]
    assert fault_server.peak == 1


# How many at once


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_as_many_are_in_flight_as_allowed_and_never_more(
    fault_server: FaultServer, replies: MakeReplies, concurrency: int
) -> None:
    fault_server.delay_s = 0.1
    asked = [chat_request(f"{n}") for n in range(2 * concurrency + 1)]
    got = ask_all(replies(concurrency=concurrency), asked)

    assert [reply.text for reply in got] == ["All right."] * len(asked)
    assert sorted(fault_server.questions, key=int) == [f"{n}" for n in range(len(asked))]
    assert fault_server.peak == concurrency


def test_four_are_in_flight_where_nobody_says_how_many(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.delay_s = 0.1
    ask_all(replies(), [chat_request(f"{n}") for n in range(9)])
    assert fault_server.peak == DEFAULT_CONCURRENCY == 4


@pytest.mark.parametrize(
    ("name", "slots", "concurrency", "at_once"),
    [
        ("tiny", None, None, 4),
        ("tiny", None, 9, 9),
        ("tiny", 2, None, 2),
        ("tiny", 2, 9, 9),
        ("gguf:tiny", 4, None, 4),
        ("gguf:tiny", 4, 9, 4),
        ("gguf:tiny", 4, 2, 2),
    ],
)
def test_slots_decide_where_concurrency_is_not_given_and_bound_the_embedded_model(
    name: str, slots: int | None, concurrency: int | None, at_once: int
) -> None:
    model = replace(tiny_model(name), slots=slots)
    assert in_flight(model, AskSettings(concurrency=concurrency)) == at_once


def test_models_are_asked_one_after_the_other(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.delay_s = 0.05
    asked = [chat_request(f"{n}") for n in range(6)]
    thinker = tiny_model("thinker:4b")
    one = replies(concurrency=4)
    one.order(MODEL, asked)
    one.order(thinker, asked)
    assert [one.wait(request.key(model.digest)).text for model in (thinker, MODEL) for request in asked]

    assert [body["model"] for body in fault_server.bodies] == ["tiny"] * 6 + ["thinker:4b"] * 6


# Asked again


def test_a_fault_that_passes_is_asked_again_and_its_reason_kept(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.play(error(503, "busy"), faults.TRUNCATED, answer("4"))
    reply = ask_one(replies())

    assert (reply.text, reply.fault) == ("4", "")
    assert reply.retries == (
        "the server answered 503: busy",
        "the stream ended before the reply was done",
    )
    assert len(fault_server.chats) == 3
    assert len({one.raw for one in fault_server.chats}) == 1


def test_four_faults_end_as_a_reply_that_names_the_last(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.play(*[error(500, f"boom {n}") for n in range(1, 6)])
    reply = ask_one(replies())

    assert reply.fault == "the server answered 500: boom 4 (asked 4 times)"
    assert (reply.text, reply.stop_reason) == ("", "fault")
    assert reply.retries == tuple(f"the server answered 500: boom {n}" for n in (1, 2, 3))
    assert len(fault_server.chats) == 4


def test_a_final_fault_is_asked_once(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.play(error(400, "invalid option"))
    reply = ask_one(replies())
    assert reply.fault == "the server refused the request (400): invalid option"
    assert reply.retries == ()
    assert len(fault_server.chats) == 1


def test_a_timeout_is_not_asked_again(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.play(faults.HANG)
    reply = ask_one(replies(timeout_s=0.5))
    assert reply.fault == "no whole reply within 0.5 s (--reply-timeout); the request was given up"
    assert len(fault_server.chats) == 1


def test_the_wait_for_a_turn_does_not_count_against_the_time_limit(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.delay_s = 0.4
    got = ask_all(replies(concurrency=1, timeout_s=2.0), [chat_request(f"{n}") for n in range(6)])
    assert [reply.fault for reply in got] == [""] * 6


def test_a_server_that_says_when_to_come_back_is_not_asked_before(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.play(error(429, "slow down", retry_after="2"), answer("4"))
    assert ask_one(replies()).text == "4"
    first, second = fault_server.chats
    assert second.at - first.at >= 1.9  # our own first wait is half a second at most


def test_one_fault_leaves_the_other_replies_alone(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.play_for("5", faults.whole([]))
    got = ask_all(replies(concurrency=4), [chat_request(f"{n}") for n in range(10)])
    assert [bool(reply.fault) for reply in got] == [n == 5 for n in range(10)]


# The process itself


@contextmanager
def process_that_asks(settings: AskSettings) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "evals.generate"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="ascii",
    )
    with process:
        tell(process, asdict(settings))
        try:
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[str], message: dict[str, Any], end: str = "\n") -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + end)
    process.stdin.flush()


def end_input(process: subprocess.Popen[str]) -> float:
    """Close its standard input and wait for its end; the seconds that took."""
    assert process.stdin is not None
    began = time.monotonic()
    process.stdin.close()
    process.wait(timeout=4 * CLOSING_S)
    return time.monotonic() - began


def order_message(asked: list[ChatRequest]) -> dict[str, Any]:
    return {"do": "ask", "model": MODEL.to_json(), "requests": [one.to_json() for one in asked]}


def wait_for_chats(server: FaultServer, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(server.chats) < count:
        assert time.monotonic() < deadline, "the requests never came"
        time.sleep(0.01)


def test_the_end_of_input_ends_the_process_in_the_middle_of_a_reply(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    fault_server.play(faults.HANG, faults.SILENT)
    with process_that_asks(AskSettings((fault_server.url,), 2, store=str(tmp_path))) as process:
        tell(process, order_message([chat_request("a"), chat_request("b")]))
        wait_for_chats(fault_server, 2)
        assert end_input(process) < CLOSING_S
        assert process.returncode == 0
    assert list(tmp_path.rglob("*.tmp")) == []


def test_the_end_of_input_cuts_no_reply_that_is_being_kept(fault_server: FaultServer, tmp_path: Path) -> None:
    asked = [chat_request(f"{n}") for n in range(200)]
    with process_that_asks(AskSettings((fault_server.url,), 16, store=str(tmp_path))) as process:
        tell(process, order_message(asked))
        wait_for_chats(fault_server, 100)
        assert end_input(process) < CLOSING_S

    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} == {".json"}
    store = ResponseStore(tmp_path)
    found = [store.get(one.key(MODEL.digest)) for one in asked]
    assert [one.text for one in found if one] == ["All right."] * len(kept)


@pytest.mark.parametrize("end", ["", '{"do": "ask", "mod'], ids=["between-messages", "within-a-message"])
def test_the_death_of_the_parent_ends_the_process(fault_server: FaultServer, end: str) -> None:
    with process_that_asks(AskSettings((fault_server.url,))) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(end)
        assert end_input(process) < CLOSING_S
        assert (process.returncode, process.stderr.read()) == (0, "")


def test_close_ends_a_process_that_is_busy(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.play(faults.SILENT)
    one = replies()
    one.order(MODEL, [chat_request("hello")])
    wait_for_chats(fault_server, 1)
    began = time.monotonic()
    one.close()
    assert time.monotonic() - began < CLOSE_LIMIT_S
