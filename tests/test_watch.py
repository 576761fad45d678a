"""Servers that go away, come back, or have another model on their return: what is noticed, told and kept."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.backends.base import ChatRequest, Model, ModelReply
from evals.replies import Replies
from evals.store import ResponseStore
from tests import fault_server as faults
from tests.conftest import MakeReplies, chat_request, tiny_model
from tests.fault_server import FaultServer, answer, error

MODEL = tiny_model()
THINKER = tiny_model("thinker:4b")
COUNT = 20


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def ask_all(replies: Replies, requests: list[ChatRequest], model: Model = MODEL) -> list[ModelReply]:
    replies.order(model, requests)
    return [replies.wait(request.key(model.digest)) for request in requests]


class Meanwhile:
    """Does something once the server has been asked `chats` times, while the test waits for replies."""

    def __init__(self, server: FaultServer, chats: int, *then: Callable[[], None]) -> None:
        self._server = server
        self._chats = chats
        self._then = then
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        wait_until(lambda: len(self._server.chats) >= self._chats, "the requests never came")
        for one in self._then:
            one()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *raised: object) -> None:
        self._thread.join()


def pause() -> None:
    """Long enough that the absence is noticed: it is looked for twice a second."""
    time.sleep(0.7)


# Away


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_server_that_is_killed_and_started_again_costs_no_reply(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path, share: float
) -> None:
    fault_server.delay_s = 0.05
    one = replies(concurrency=4, store=tmp_path / "store")
    asked = [chat_request(f"{n}") for n in range(COUNT)]
    with Meanwhile(fault_server, int(share * COUNT), fault_server.go_away, pause, fault_server.come_back):
        got = ask_all(one, asked)

    assert [reply.fault for reply in got] == [""] * COUNT
    assert {reply.text for reply in got} == {"All right."}
    store = ResponseStore(tmp_path / "store")
    assert [store.get(request.key(MODEL.digest)) for request in asked] == got
    away = [note for note in one.notes if " was away from " in note]
    assert len(away) == 1
    assert re.fullmatch(
        rf"{fault_server.url} was away from \d\d:\d\d:\d\d for \d\.\d s and was waited for", away[0]
    )
    told = [reason for reply in got for reason in reply.retries]
    assert told
    assert all(
        re.search(r"^the connection broke: .*; the server was away for \d\.\d s$", why) for why in told
    )


def test_several_absences_are_each_waited_for(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.delay_s = 0.05
    one = replies(concurrency=2)
    leave = (fault_server.go_away, pause, fault_server.come_back)
    again = (lambda: wait_until(lambda: len(fault_server.chats) > 14, "nothing more was asked"), *leave)
    with Meanwhile(fault_server, 4, *leave, *again):
        got = ask_all(one, [chat_request(f"{n}") for n in range(COUNT)])
    assert [reply.fault for reply in got] == [""] * COUNT
    assert len([note for note in one.notes if " was away from " in note]) == 2


def test_a_server_that_is_gone_for_good_is_waited_for_once_and_loses_no_answer(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path
) -> None:
    fault_server.delay_s = 0.05
    one = replies(concurrency=4, store=tmp_path / "store", server_wait_s=1.0)
    asked = [chat_request(f"{n}") for n in range(COUNT)]
    began = time.monotonic()
    with Meanwhile(fault_server, 10, fault_server.go_away):
        got = ask_all(one, asked)
        then = ask_all(one, asked, THINKER)
    assert time.monotonic() - began < 20  # one wait of a second; a wait for each reply would be half a minute

    gone = f"{fault_server.url} went away and did not come back within 1 s (--server-wait)"
    answered = [reply for reply in got if not reply.fault]
    assert 6 <= len(answered) <= 10
    assert {reply.text for reply in answered} == {"All right."}
    assert all(reply.fault.startswith(gone) for reply in got if reply.fault)
    assert all(fault_server.url in reply.fault for reply in then)
    assert one.notes[0].startswith(gone)
    store = ResponseStore(tmp_path / "store")
    kept = [store.get(request.key(MODEL.digest)) for request in asked]
    assert [reply for reply in kept if reply] == answered


def test_a_server_that_is_not_there_at_all_is_a_fault_that_says_so(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.go_away()
    (reply,) = ask_all(replies(server_wait_s=0.6), [chat_request("hello")])
    assert reply.fault == (
        f"{fault_server.url} went away and did not come back within 0.6 s (--server-wait); "
        "start it and run again: what was answered is kept"
    )


def test_a_server_that_was_given_up_may_serve_the_next_order(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    one = replies(server_wait_s=0.5)
    fault_server.go_away()
    assert ask_all(one, [chat_request("a")])[0].fault
    fault_server.come_back()
    assert ask_all(one, [chat_request("b")])[0].text == "All right."
    assert ask_all(one, [chat_request("b")], THINKER)[0].text == "All right."


def test_a_connection_that_breaks_while_the_server_stays_is_asked_again_as_ever(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.play(faults.RESET, answer("4"))
    one = replies()
    (reply,) = ask_all(one, [chat_request("hello")])
    assert reply.text == "4"
    assert len(reply.retries) == 1 and "was away" not in reply.retries[0]
    assert one.notes == []


# Another model under the same name


@pytest.mark.parametrize("restarts", [False, True], ids=["in-place", "restarted"])
def test_another_model_under_the_name_is_found_out_and_none_of_its_answers_kept(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path, restarts: bool
) -> None:
    fault_server.delay_s = 0.1
    one = replies(concurrency=1, store=tmp_path / "store")
    asked = [chat_request(f"{n}") for n in range(COUNT)]
    was = fault_server.digest("tiny:latest")
    recreate = lambda: fault_server.recreate("tiny:latest")  # noqa: E731 - read beside its two companions
    steps = [fault_server.go_away, recreate, fault_server.come_back] if restarts else [recreate]
    with Meanwhile(fault_server, 8, *steps):
        got = ask_all(one, asked)

    good = [reply for reply in got if not reply.fault]
    assert 1 <= len(good) < 9
    assert got[: len(good)] == good
    now = fault_server.digest("tiny:latest")
    for reply in got[len(good) :]:
        assert re.fullmatch(
            rf"{fault_server.url} answers with another model under the name tiny since \d\d:\d\d:\d\d or later: "
            rf"digest {now[:12]} instead of {was[:12]}; run again",
            reply.fault,
        )
    assert got[-1].fault in one.notes
    store = ResponseStore(tmp_path / "store")
    assert [store.get(request.key(MODEL.digest)) for request in asked[len(good) :]] == [None] * (
        COUNT - len(good)
    )
    assert len(fault_server.chats) < COUNT


def test_a_model_that_is_deleted_in_the_middle_is_told_as_such(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.delay_s = 0.1
    with Meanwhile(fault_server, 8, lambda: fault_server.models.pop("tiny:latest") and None):
        got = ask_all(replies(concurrency=1), [chat_request(f"{n}") for n in range(COUNT)])
    assert not got[0].fault
    assert "no longer has tiny" in got[-1].fault


def test_the_next_order_asks_such_a_server_anew(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.recreate("tiny:latest")
    one = replies()
    assert "another model" in ask_all(one, [chat_request("a")])[0].fault
    now = tiny_model(digest=fault_server.digest("tiny:latest"))
    assert ask_all(one, [chat_request("a")], now)[0].text == "All right."


def test_a_reply_is_handed_on_only_after_a_look_that_began_when_it_was_there(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    one = replies()
    for text in "abc":
        ask_all(one, [chat_request(text)])
        assert fault_server.asked[-1].path == "/api/tags"


def test_many_fast_replies_cost_a_handful_of_looks(fault_server: FaultServer, replies: MakeReplies) -> None:
    began = time.monotonic()
    got = ask_all(replies(concurrency=16), [chat_request(f"{n}") for n in range(400)])
    took_s = time.monotonic() - began
    assert [reply.fault for reply in got] == [""] * 400
    looks = [one.path for one in fault_server.asked].count("/api/tags")
    assert 1 <= looks <= 2 + took_s / 0.2


def test_a_server_that_does_not_tell_its_models_is_taken_at_its_word_and_the_user_told(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.instead["/api/tags"] = error(500, "disk full")
    one = replies()
    assert ask_all(one, [chat_request("hello")])[0].text == "All right."
    assert one.notes == [
        f"{fault_server.url} does not tell which model tiny is there now: the server answered 500: disk full"
    ]
