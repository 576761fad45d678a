"""The tests' side of generation: what is in the store is not asked again, and a dead process is told as such."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from evals.backends.base import AskSettings, ChatRequest, Model, ModelReply, parse_spec
from evals.errors import GoldenGateError, ModelUnavailable, SettingsError
from evals.replies import Replies
from evals.store import ResponseStore
from tests import fault_server as faults
from tests.conftest import MakeReplies, chat_request, tiny_model
from tests.fault_server import FaultServer, answer

MODEL = tiny_model()


def key_of(request: ChatRequest) -> str:
    return request.key(MODEL.digest)


def ask_all(replies: Replies, requests: list[ChatRequest]) -> list[ModelReply]:
    replies.order(MODEL, requests)
    return [replies.wait(key_of(request)) for request in requests]


def wait_for_chats(server: FaultServer, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(server.chats) < count:
        assert time.monotonic() < deadline, "the requests never came"
        time.sleep(0.01)


def kill_at_chats(server: FaultServer, *counts: int) -> None:
    """Kill the process that asks each time that the server has been asked so often."""
    for count in counts:
        wait_for_chats(server, count)
        the_process().send_signal(signal.SIGKILL)


def the_process() -> psutil.Process:
    """The process that asks: the only child of this one that runs `evals.generate`."""
    (found,) = (one for one in psutil.Process().children() if "evals.generate" in one.cmdline())
    return found


# Arriving


def test_every_reply_arrives_under_its_own_key(fault_server: FaultServer, replies: MakeReplies) -> None:
    asked = [chat_request(f"{n}") for n in range(50)]
    for n in range(50):
        fault_server.play_for(f"{n}", answer(f"answer {n}"))
    got = ask_all(replies(concurrency=8), asked[::-1])
    assert [reply.text for reply in got] == [f"answer {n}" for n in range(50)][::-1]


def test_a_reply_is_waited_for_without_the_others(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.play_for("slow", faults.SILENT)
    one = replies(concurrency=2)
    slow, quick = chat_request("slow"), chat_request("quick")
    one.order(MODEL, [slow, quick])
    assert one.wait(key_of(quick)).text == "All right."


def test_each_reply_of_a_model_is_told_once_as_it_arrives(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    seen: list[ModelReply] = []
    one = replies()
    one.on_reply = seen.append
    got = ask_all(one, [chat_request(f"{n}") for n in range(5)])
    assert sorted(map(repr, seen)) == sorted(map(repr, got))


def test_models_are_resolved_by_the_process(fault_server: FaultServer, replies: MakeReplies) -> None:
    tiny, unknown = replies().resolve([parse_spec("tiny"), parse_spec("unknown")])
    assert isinstance(tiny, Model)
    assert (tiny.label, tiny.digest) == ("tiny", fault_server.digest("tiny:latest"))
    assert isinstance(unknown, ModelUnavailable)
    assert str(unknown).startswith(f"unknown is not in Ollama at {fault_server.url}")


def test_a_host_that_is_none_is_a_wrong_setting(tmp_path: Path) -> None:
    replies = Replies(AskSettings(("ftp://example.org",)), tmp_path / "log")
    try:
        with pytest.raises(SettingsError, match=r"'ftp://example\.org' is no address"):
            replies.resolve([parse_spec("tiny")])
    finally:
        replies.close()
    assert not (tmp_path / "log").exists()


def test_a_reply_that_was_not_ordered_is_an_error_and_no_endless_wait(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    one = replies()
    one.order(MODEL, [chat_request("hello")])
    with pytest.raises(GoldenGateError, match="nobody asked for"):
        one.wait(key_of(chat_request("another")))


def test_a_forgotten_reply_can_be_ordered_anew(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.play_for("hello", answer("first"), answer("second"))
    one = replies()
    request = chat_request("hello")
    assert ask_all(one, [request])[0].text == "first"
    one.forget(key_of(request))
    one.order(MODEL, [request])
    ask_all(one, [chat_request("last")])
    assert sorted(fault_server.questions) == ["hello", "hello", "last"]
    assert one.wait(key_of(request)).text == "second"


# The store


def test_the_same_order_again_asks_the_server_nothing(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path
) -> None:
    asked = [chat_request(f"{n}") for n in range(5)]
    first = replies(store=tmp_path / "store")
    before = ask_all(first, asked)
    assert (len(first.stored), len(fault_server.chats)) == (0, 5)

    second = replies(store=tmp_path / "store")
    assert ask_all(second, asked) == before
    assert (len(second.stored), len(fault_server.chats)) == (5, 5)


def test_what_one_run_orders_twice_is_asked_once(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.delay_s = 0.1
    one = replies()
    request = chat_request("hello")
    one.order(MODEL, [request, request])
    one.order(MODEL, [request])
    assert one.wait(key_of(request)).text == "All right."
    assert ask_all(one, [chat_request("last")])[0].text == "All right."
    assert fault_server.questions == ["hello", "last"]


def test_only_what_is_missing_is_asked(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path
) -> None:
    ask_all(replies(store=tmp_path / "store"), [chat_request("a"), chat_request("b")])
    ask_all(replies(store=tmp_path / "store", concurrency=1), [chat_request(text) for text in "abcd"])
    assert fault_server.questions[2:] == ["c", "d"]


def test_refresh_asks_again_and_keeps_the_new_reply(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path
) -> None:
    fault_server.play(answer("old"), answer("new"))
    request = chat_request("hello")
    ask_all(replies(store=tmp_path / "store"), [request])
    refreshed = replies(store=tmp_path / "store", refresh=True)
    assert ask_all(refreshed, [request])[0].text == "new"
    assert not refreshed.stored
    assert ask_all(replies(store=tmp_path / "store"), [request])[0].text == "new"


def test_without_a_store_nothing_is_kept(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path
) -> None:
    for _ in range(2):
        one = replies(store=None)
        assert ask_all(one, [chat_request("hello")])[0].text == "All right."
        one.close()
    assert len(fault_server.chats) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_fault_is_not_kept(fault_server: FaultServer, replies: MakeReplies, tmp_path: Path) -> None:
    fault_server.play(faults.whole([]), answer("4"))
    request = chat_request("hello")
    assert ask_all(replies(store=tmp_path / "store"), [request])[0].fault
    assert ask_all(replies(store=tmp_path / "store"), [request])[0].text == "4"


def test_a_damaged_entry_is_asked_again(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path
) -> None:
    request = chat_request("hello")
    store = ResponseStore(tmp_path / "store")
    ask_all(replies(store=store.folder), [request])
    path = store.path(key_of(request))
    path.write_bytes(path.read_bytes().replace(b"All right.", b"All wrong."))

    assert ask_all(replies(store=store.folder), [request])[0].text == "All right."
    assert len(fault_server.chats) == 2
    assert store.get(key_of(request)) is not None
    assert b"All wrong." in path.with_suffix(".damaged").read_bytes()


def test_a_store_that_cannot_be_written_costs_no_reply(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    one = replies(store=tmp_path / "file" / "store")
    got = ask_all(one, [chat_request(f"{n}") for n in range(3)])
    assert [reply.text for reply in got] == ["All right."] * 3
    assert one.notes == [f"replies cannot be kept in {tmp_path / 'file' / 'store'}: Not a directory"]


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        pytest.param(b"x" * 10_000_000, "x" * 10_000_000, id="10-MB"),
        pytest.param(rb"a\u0000b", "a\0b", id="nul"),
        pytest.param(rb"a\ud83d", "a\ud83d", id="lone-surrogate"),
        pytest.param(rb"\u001b[31mred\u001b[0m", "\x1b[31mred\x1b[0m", id="ansi"),
        pytest.param("a\u0085b\u2028c".encode(), "a\u0085b\u2028c", id="line-breaks"),
        pytest.param(b"caf\xe9", "caf\ufffd", id="invalid-utf8"),
    ],
)
def test_text_of_any_kind_comes_whole_from_the_server_and_from_the_store(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path, sent: bytes, text: str
) -> None:
    fault_server.play(faults.whole(faults.piece("@").replace(b"@", sent) + faults.last_piece()))
    request = chat_request("hello")
    (told,) = ask_all(replies(store=tmp_path / "store"), [request])
    (kept,) = ask_all(replies(store=tmp_path / "store"), [request])
    assert told.text == text
    assert kept == told
    assert len(fault_server.chats) == 1


# A process that dies


SAID = "the process that asks the model was killed by signal 9 (out of memory?)."


def test_what_a_killed_process_owed_is_asked_once_more_and_told(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path
) -> None:
    fault_server.play_for("b", faults.SILENT, answer("b, at last"))
    store = ResponseStore(tmp_path / "store")
    one = replies(store=store.folder, concurrency=1)
    answered, silent, waiting = (chat_request(text) for text in "abc")
    one.order(MODEL, [answered, silent, waiting])
    reply = one.wait(key_of(answered))
    wait_for_chats(fault_server, 2)
    the_process().send_signal(signal.SIGKILL)

    assert one.wait(key_of(silent)).text == "b, at last"
    assert one.wait(key_of(waiting)).text == "All right."
    assert one.wait(key_of(answered)) == reply == store.get(key_of(answered))
    assert fault_server.questions == ["a", "b", "b", "c"]
    assert one.notes == [f"{SAID} What it still owed of tiny, 2 replies, was asked once more."]


def test_a_second_death_under_one_model_gives_faults_that_say_so_and_loses_nothing_that_was_answered(
    fault_server: FaultServer, replies: MakeReplies, tmp_path: Path
) -> None:
    fault_server.play_for("b", faults.SILENT)
    store = ResponseStore(tmp_path / "store")
    one = replies(store=store.folder, concurrency=1)
    answered, silent, waiting = (chat_request(text) for text in "abc")
    one.order(MODEL, [answered, silent, waiting])
    thinker = tiny_model("thinker:4b")
    one.order(thinker, [waiting])
    reply = one.wait(key_of(answered))
    killer = threading.Thread(target=kill_at_chats, args=(fault_server, 2, 3))
    killer.start()
    for request in (silent, waiting):
        assert one.wait(key_of(request)) == ModelReply(fault=SAID, stop_reason="fault")
    killer.join()
    assert one.wait(key_of(answered)) == reply == store.get(key_of(answered))
    assert [store.get(key_of(request)) for request in (silent, waiting)] == [None, None]
    assert one.wait(waiting.key(thinker.digest)).text == "All right."


def test_orders_to_a_dead_process_are_asked_by_another(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    one = replies()
    ask_all(one, [chat_request("a")])
    the_process().send_signal(signal.SIGKILL)
    got = ask_all(one, [chat_request("b"), chat_request("c")])
    assert [reply.text for reply in got] == ["All right."] * 2


def test_a_process_that_breaks_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    replies = Replies(AskSettings(), log)
    try:
        replies.start()
        log.write_text("".join(f"line {n}\n" for n in range(20)))
        the_process().send_signal(signal.SIGTERM)
        with pytest.raises(SettingsError) as caught:
            replies.resolve([parse_spec("tiny")])
    finally:
        replies.close()
    lines = " | ".join(f"line {n}" for n in range(15, 20))
    assert str(caught.value) == (
        f"the process that asks the model was killed by signal 15. Last lines of {log}: {lines}"
    )


# What else the process tells


def test_a_model_can_be_unloaded_and_is_then_loaded_anew(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    one = replies()
    one.unload(MODEL)
    for text in "ab":
        ask_all(one, [chat_request(text)])
        assert fault_server.loaded == {"tiny:latest"}
        one.unload(MODEL)
        assert fault_server.loaded == set()
    assert one.loads == {"tiny": 2}
    assert one.notes == []


def test_unloading_comes_after_what_was_asked_before(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.delay_s = 0.2
    one = replies(concurrency=1)
    asked = [chat_request(text) for text in "abc"]
    one.order(MODEL, asked)
    one.unload(MODEL)
    assert fault_server.questions == ["a", "b", "c"]
    assert [one.wait(key_of(request)).text for request in asked] == ["All right."] * 3


def test_a_model_that_cannot_be_unloaded_is_told_and_no_error(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.instead["/api/generate"] = faults.error(500, "busy")
    one = replies()
    one.unload(MODEL)
    assert one.notes == [f"tiny could not be unloaded at {fault_server.url}: the server answered 500: busy"]


def test_a_process_that_dies_while_it_unloads_is_replaced_once(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.instead["/api/generate"] = faults.SILENT
    one = replies()
    ask_all(one, [chat_request("a")])
    killer = threading.Thread(target=kill_at_unloads, args=(fault_server, 1, 2))
    killer.start()
    with pytest.raises(GoldenGateError, match=r"tiny cannot be unloaded: .* killed by signal 9"):
        one.unload(MODEL)
    killer.join()


def kill_at_unloads(server: FaultServer, *counts: int) -> None:
    for count in counts:
        deadline = time.monotonic() + 30
        while [one.path for one in server.asked].count("/api/generate") < count:
            assert time.monotonic() < deadline, "nothing was unloaded"
            time.sleep(0.01)
        the_process().send_signal(signal.SIGKILL)


def test_each_load_is_counted_and_one_too_many_told(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.play(*[answer("yes", figures=faults.LOADING, delay_s=0.4)] * 3)
    one = replies(concurrency=1)
    told: list[str] = []
    one.on_note = told.append
    ask_all(one, [chat_request(f"{n}") for n in range(5)])
    assert one.loads == {"tiny": 3}
    assert one.notes == told
    (note,) = told
    assert re.fullmatch(
        rf"tiny was loaded 3 times on {fault_server.url} during the run \(1\.\d s in all\): something else used "
        "the server, it was started anew, or its memory ran out",
        note,
    )


def test_another_context_length_is_a_load_that_is_expected(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    loading = answer("yes", figures=faults.LOADING, delay_s=0.4)
    fault_server.play(loading, faults.ANSWER, loading, faults.ANSWER)
    one = replies(concurrency=1)
    ask_all(one, [chat_request(f"{n}", num_ctx=4096 if n % 2 else 2048) for n in range(4)])
    assert fault_server.questions == ["0", "2", "1", "3"]
    assert (one.loads, one.notes) == ({"tiny": 2}, [])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a single process")
def test_an_interrupt_is_left_to_the_tests_to_answer(fault_server: FaultServer, replies: MakeReplies) -> None:
    fault_server.delay_s = 0.5
    one = replies()
    one.order(MODEL, [chat_request("hello")])
    wait_for_chats(fault_server, 1)
    the_process().send_signal(signal.SIGINT)
    assert one.wait(key_of(chat_request("hello"))).text == "All right."
