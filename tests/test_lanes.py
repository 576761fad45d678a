"""One model's requests on several servers, and the model that stays open between orders."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from evals.backends.base import EMBEDDED_SPEC, AskSettings, ChatRequest, Model, ModelReply, parse_spec
from evals.backends.models import computed_here, places
from evals.replies import Replies
from evals.turns import THIS_MACHINE
from tests import fault_server as faults
from tests.conftest import MakeReplies, chat_request, tiny_model
from tests.fault_server import FaultServer
from tests.test_turns import held_elsewhere
from tests.test_watch import Meanwhile, wait_until

COUNT = 30
ASKED = [chat_request(f"{n}") for n in range(COUNT)]


@pytest.fixture
def servers(fault_server: FaultServer) -> Iterator[list[FaultServer]]:
    """Two servers, each with 50 ms for a reply."""
    with ExitStack() as stack:
        both = [fault_server, stack.enter_context(FaultServer())]
        for one in both:
            one.delay_s = 0.05
        yield both


def ask_all(
    replies: Replies, requests: list[ChatRequest] | None = None, name: str = "tiny"
) -> list[ModelReply]:
    """Replies in the order of their requests; the model is resolved first."""
    (model,) = replies.resolve([parse_spec(name)])
    assert isinstance(model, Model)
    return ask_of(replies, model, ASKED if requests is None else requests)


def ask_of(replies: Replies, model: Model, requests: list[ChatRequest]) -> list[ModelReply]:
    replies.order(model, requests)
    return [replies.wait(request.key(model.digest)) for request in requests]


def texts(replies: list[ModelReply]) -> set[str]:
    return {reply.fault or reply.text for reply in replies}


# Several servers


def test_two_servers_share_the_requests_and_each_is_asked_once(
    servers: list[FaultServer], replies: MakeReplies
) -> None:
    one = replies(hosts=[server.url for server in servers], concurrency=2)
    assert texts(ask_all(one)) == {"All right."}
    first, second = (server.questions for server in servers)
    assert sorted([*first, *second], key=int) == [f"{n}" for n in range(COUNT)]
    assert min(len(first), len(second)) >= COUNT // 4
    assert [server.peak for server in servers] == [2, 2]
    assert one.loads == {"tiny": 2}
    assert one.notes == []


def test_a_quick_server_does_more_than_a_slow_one(servers: list[FaultServer], replies: MakeReplies) -> None:
    servers[1].delay_s = 0.5
    assert texts(ask_all(replies(hosts=[one.url for one in servers], concurrency=2))) == {"All right."}
    assert len(servers[0].chats) > 2 * len(servers[1].chats)


@pytest.mark.parametrize("dead", [0, 1])
def test_a_server_that_is_dead_from_the_start_costs_no_reply_and_is_told(
    servers: list[FaultServer], replies: MakeReplies, dead: int
) -> None:
    servers[dead].go_away()
    one = replies(hosts=[server.url for server in servers])
    assert texts(ask_all(one)) == {"All right."}
    (note,) = one.notes
    assert note.startswith(f"{servers[dead].url} is left out: ")


def test_a_server_that_dies_in_the_middle_costs_no_reply_and_is_told(
    servers: list[FaultServer], replies: MakeReplies
) -> None:
    one = replies(hosts=[server.url for server in servers], concurrency=2, server_wait_s=0.6)
    with Meanwhile(servers[1], 5, servers[1].go_away):
        assert texts(ask_all(one)) == {"All right."}
    # What it had in hand comes at once, or once it is given up; all else is the other's meanwhile.
    assert {*servers[0].questions, *servers[1].questions} == {f"{n}" for n in range(COUNT)}
    assert any(note.startswith(f"{servers[1].url} went away and did not come back") for note in one.notes)


def test_when_all_servers_die_the_rest_are_faults(servers: list[FaultServer], replies: MakeReplies) -> None:
    one = replies(hosts=[server.url for server in servers], concurrency=2, server_wait_s=0.6)
    leave = [server.go_away for server in servers]
    began = time.monotonic()
    with Meanwhile(servers[1], 5, *leave):
        got = ask_all(one)
    assert time.monotonic() - began < 20
    assert 4 <= sum(not reply.fault for reply in got) < COUNT
    assert all("went away and did not come back" in reply.fault for reply in got if reply.fault)


def test_a_server_that_has_another_model_all_at_once_hands_its_requests_to_the_other(
    servers: list[FaultServer], replies: MakeReplies, tmp_path: Path
) -> None:
    one = replies(hosts=[server.url for server in servers], concurrency=2, store=tmp_path / "store")
    servers[1].play_for("nothing", faults.ANSWER)
    with Meanwhile(servers[1], 5, lambda: servers[1].recreate("tiny:latest")):
        assert texts(ask_all(one)) == {"All right."}
    assert any("answers with another model under the name tiny" in note for note in one.notes)


def test_a_server_whose_turn_has_not_come_keeps_no_other_from_being_asked(
    servers: list[FaultServer], replies: MakeReplies
) -> None:
    one = replies(hosts=[server.url for server in servers], concurrency=2)
    with held_elsewhere(servers[0].url):
        assert texts(ask_all(one)) == {"All right."}
    assert servers[0].chats == []
    assert one.notes == [f"waiting for another run or worker that asks a model on {servers[0].url}"]


def test_a_lane_whose_server_is_lost_gives_its_turn_to_another_lane(
    fault_server: FaultServer, replies: MakeReplies
) -> None:
    fault_server.delay_s = 0.05
    urls = [fault_server.url, fault_server.url.replace("127.0.0.1", "localhost")]
    two_names = Model(tiny_model().spec, tiny_model().digest, details={"server": urls[0], "servers": urls})
    one = replies(concurrency=2, server_wait_s=0.6)
    began = time.monotonic()
    with Meanwhile(fault_server, 5, fault_server.go_away):
        got = ask_of(one, two_names, ASKED)
    assert time.monotonic() - began < 20
    assert 3 <= sum(not reply.fault for reply in got) < COUNT
    assert all("went away and did not come back" in reply.fault for reply in got if reply.fault)
    gone = [note.split(" ")[0] for note in one.notes if "went away and did not come back" in note]
    assert sorted(gone) == sorted(urls)


def test_two_processes_that_each_lose_a_server_leave_each_other_their_turns(
    servers: list[FaultServer], replies: MakeReplies
) -> None:
    first, second = (replies(concurrency=2, server_wait_s=0.6) for _ in servers)
    urls = [one.url for one in servers]
    model = Model(tiny_model().spec, tiny_model().digest, details={"server": urls[0], "servers": urls})
    for server in servers:
        server.delay_s = 0.2
    with held_elsewhere(urls[1]):
        first.order(model, ASKED)
        wait_until(lambda: bool(servers[0].chats), "the first was never asked")
        assert first.pid is not None
        os.kill(first.pid, signal.SIGSTOP)  # so that the second turn goes to the second process
    second.order(model, ASKED)
    wait_until(lambda: bool(servers[1].chats), "the second was never asked")
    for server in servers:
        server.go_away()
    os.kill(first.pid, signal.SIGCONT)

    for one, waited_for in ((first, urls[1]), (second, urls[0])):
        got = [one.wait(request.key(model.digest)) for request in ASKED]
        assert "went away and did not come back" in got[-1].fault
        assert f"waiting for another run or worker that asks a model on {waited_for}" in one.notes
        gone = [note.split(" ")[0] for note in one.notes if "went away and did not come back" in note]
        assert sorted(gone) == sorted(urls)


# Between orders


@pytest.mark.slow
def test_an_embedded_model_stays_in_memory_between_orders_of_one_context_length(
    replies: MakeReplies, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replies()
    monkeypatch.delenv("GOLDENGATE_CACHE")  # its weights are in the usual cache folder
    (model,) = one.resolve([parse_spec(EMBEDDED_SPEC)])
    assert isinstance(model, Model)

    def loaded(text: str, num_ctx: int) -> bool:
        (reply,) = ask_of(one, model, [chat_request(text, num_ctx=num_ctx, max_tokens=2)])
        assert not reply.fault
        return bool(reply.load_s)

    assert [loaded("a", 512), loaded("b", 512), loaded("c", 256), loaded("d", 256)] == [
        True,
        False,
        True,
        False,
    ]
    one.unload(model)
    assert loaded("e", 512)
    assert one.notes == []


def test_a_bug_of_a_backend_costs_its_own_reply(fault_server: FaultServer, replies: MakeReplies) -> None:
    broken = chat_request("b")
    without_seed = ChatRequest(
        "task", "b", broken.messages, {name: v for name, v in broken.options.items() if name != "seed"}
    )
    got = ask_all(replies(), [chat_request("a"), without_seed, chat_request("c")])
    assert [reply.fault for reply in got] == ["", "the backend broke: KeyError: 'seed'", ""]


# Where a model is asked


def test_a_model_of_ollama_is_asked_where_it_was_found_and_any_other_on_this_machine() -> None:
    found = Model(
        parse_spec("tiny"), "d", details={"server": "http://a:1", "servers": ["http://a:1", "http://b:1"]}
    )
    settings = AskSettings(("c:1", "d:2"))
    assert places(found, settings) == ("http://a:1", "http://b:1")
    assert places(tiny_model(), settings) == ("http://c:1", "http://d:2")
    assert places(tiny_model("gguf:tiny"), settings) == (THIS_MACHINE,)


def test_a_recorded_run_is_asked_nowhere_although_its_record_names_servers() -> None:
    recorded = Model(
        parse_spec("replay:run"), "d", details={"server": "http://a:1", "servers": ["http://a:1"]}
    )
    assert places(recorded, AskSettings()) == ("",)
    assert not computed_here(recorded)
