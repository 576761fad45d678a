"""Servers that speak OpenAI's protocol: played ones with faults, and llama.cpp's own."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from benchmarks.llama_server import MODEL, SLOTS, llama_server
from evals.backends.base import (
    OPENAI_KEY,
    AskSettings,
    ChatRequest,
    Message,
    Model,
    ModelReply,
    ServedModel,
    parse_spec,
)
from evals.backends.openai_chat import REPLY_LIMIT, ReplyReader, request_body
from evals.backends.openai_server import OpenAIModel, resolve, without_key
from evals.backends.weights import embedded_default
from evals.errors import BackendFault, ConnectionBroke, ModelUnavailable, SettingsError, TransientFault
from evals.replies import Replies
from tests.conftest import MakeReplies, chat_request
from tests.evals_run import Evals, write_task
from tests.fault_server import Play, closed_port, whole
from tests.openai_server import ANSWER, DONE, OpenAIServer, answer, error, event, listed, piece
from tests.test_watch import Meanwhile, wait_until

SECRET = "a-key-that-nobody-may-see"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A server of the test's own, with one model, `tiny`."""
    with OpenAIServer() as running:
        yield running


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OPENAI_KEY, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-another-server")


def resolved(made: Replies, server: OpenAIServer, name: str = "tiny") -> Model:
    (model,) = made.resolve([parse_spec(f"openai:{name}@{server.url}")])
    assert isinstance(model, Model), model
    return model


def refused(made: Replies, server: OpenAIServer, name: str = "tiny") -> str:
    (model,) = made.resolve([parse_spec(f"openai:{name}@{server.url}")])
    assert isinstance(model, ModelUnavailable), model
    return str(model)


def ask(made: Replies, model: Model, request: ChatRequest) -> ModelReply:
    made.order(model, [request])
    return made.wait(request.key(model.digest))


# Looking at the server


def test_a_model_is_described_by_what_its_server_tells(server: OpenAIServer, replies: MakeReplies) -> None:
    model = resolved(replies(), server)
    assert len(model.digest) == 64
    assert model.details["identity"] == "told by the server, not of the weights"
    assert model.details["server"] == f"{server.url}/v1"
    assert (model.thinks, model.slots) == (True, None)


def test_the_digest_follows_what_is_told_of_the_model_and_not_the_hour(
    server: OpenAIServer, replies: MakeReplies
) -> None:
    made = replies()
    first = resolved(made, server).digest
    server.listing = listed("tiny", created=2, permission=[{"id": "modelperm-2"}])
    assert resolved(made, server).digest == first
    server.listing = listed("tiny", root="/models/other")
    assert resolved(made, server).digest != first


def test_a_name_that_is_not_there_is_told_with_those_that_are_close(
    server: OpenAIServer, replies: MakeReplies
) -> None:
    server.listing = listed("qwen3-4b", "llama-3")
    assert "has no qwen3-4; closest there: qwen3-4b" in refused(replies(), server, "qwen3-4")


def test_llama_server_answers_to_any_name(replies: MakeReplies) -> None:
    props = {"model_path": "/models/a.gguf", "total_slots": 6, "default_generation_settings": {"n_ctx": 512}}
    with OpenAIServer(("a.gguf",), props) as server:
        model = resolved(replies(), server, "judge")
        assert (model.slots, model.details["context_length"]) == (6, 512)
        assert ask(replies(), model, chat_request("Hello?")).text == "All right."
        assert server.chat_bodies[0]["model"] == "a.gguf"


def test_nothing_that_answers_is_a_sentence(replies: MakeReplies) -> None:
    (model,) = replies().resolve([parse_spec(f"openai:tiny@http://127.0.0.1:{closed_port()}")])
    assert "nothing answers at http://127.0.0.1:" in str(model)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(whole(b"<html>"), "not as OpenAI's protocol wants it", id="html"),
        pytest.param(whole([1, 2]), "it lists no models", id="list"),
        pytest.param(whole({"data": [7, {"id": 7}, None]}), "it lists no models", id="entries"),
        pytest.param(whole(b"[" * 100_000), "not as OpenAI's protocol wants it", id="deep"),
        pytest.param(whole(b" " * (REPLY_LIMIT + 1)), "more than 4 MB", id="long"),
        pytest.param(error(307, location="http://127.0.0.1:9/"), "the server refused", id="redirect"),
    ],
)
def test_a_server_of_another_kind_is_a_sentence(
    server: OpenAIServer, replies: MakeReplies, body: Play, says: str
) -> None:
    server.listing = body
    assert says in refused(replies(), server)


def test_a_server_that_is_loading_still_is_waited_for(server: OpenAIServer, replies: MakeReplies) -> None:
    server.loading = error(503, "Loading model")
    server.props = {"model_path": "/models/tiny.gguf"}

    def loaded() -> None:
        wait_until(lambda: len(server.asked) > 1, "nobody looked twice")
        server.loading = None

    thread = threading.Thread(target=loaded)
    thread.start()
    model = resolved(replies(), server)
    thread.join()
    assert model.digest == resolved(replies(), server).digest


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_that_goes_on_loading_is_a_sentence(server: OpenAIServer, status: int) -> None:
    server.loading = error(status, "Loading model")
    found = anyio.run(resolve, parse_spec(f"openai:tiny@{server.url}"), 0.1)
    assert f"is still loading, or out of order, after 0.1 s (the server answered {status}: Load" in str(found)
    server.loading, server.listing = None, error(status, "no luck")
    found = anyio.run(resolve, parse_spec(f"openai:tiny@{server.url}"), 0.1)
    assert f"the server answered {status}: no luck" in str(found)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
def test_a_server_that_tells_nothing_of_itself_has_a_model_all_the_same(
    server: OpenAIServer, replies: MakeReplies, status: int
) -> None:
    digest = resolved(replies(), server).digest
    server.loading = error(status)
    assert resolved(replies(), server).digest == digest


# Replies


def test_a_reply_has_text_counts_and_times(server: OpenAIServer, replies: MakeReplies) -> None:
    made = replies()
    reply = ask(made, resolved(made, server), chat_request("Hello?"))
    assert (reply.text, reply.stop_reason, reply.fault) == ("All right.", "stop", "")
    assert (reply.prompt_tokens, reply.completion_tokens) == (26, 8)
    assert reply.first_token_s is not None and reply.total_s is not None
    assert 0 < reply.first_token_s <= reply.total_s
    assert (reply.load_s, reply.prompt_s) == (None, None)


def read_at(times: Sequence[float], tokens: int | None) -> ModelReply:
    """A reply whose pieces came at these times, in seconds from the request."""
    moments = iter([0.0, *times, times[-1]])
    reader = ReplyReader(clock=lambda: next(moments))
    for _ in times:
        reader.take({"choices": [{"delta": {"content": "a"}}]})
    reader.take({"choices": [{"finish_reason": "stop"}], "usage": {"completion_tokens": tokens}})
    return reader.reply()


def test_the_speed_is_that_of_the_tokens_between_the_first_chunk_and_the_last() -> None:
    reply = read_at([1.0, 1.5, 2.0], 5)
    assert reply.first_token_s == 1.0
    assert reply.tokens_per_s == pytest.approx(4.0)  # four tokens came in the second after the first one
    assert reply.decode_s == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("times", "tokens"),
    [
        pytest.param([1.0, 1.0004, 1.0009], 9, id="at-once"),
        pytest.param([1.0, 2.0], 9, id="two-chunks"),
        pytest.param([1.0, 2.0, 3.0], 1, id="one-token"),
        pytest.param([1.0, 2.0, 3.0], None, id="no-count"),
    ],
)
def test_chunks_that_show_no_speed_tell_none(times: list[float], tokens: int | None) -> None:
    reply = read_at(times, tokens)
    assert (reply.text, reply.decode_s, reply.tokens_per_s) == ("a" * len(times), None, None)


def test_llama_servers_own_times_are_taken(server: OpenAIServer, replies: MakeReplies) -> None:
    server.answers(answer("4", timings={"prompt_ms": 250.0, "predicted_ms": 1500}))
    made = replies()
    reply = ask(made, resolved(made, server), chat_request("Hello?"))
    assert (reply.prompt_s, reply.decode_s) == (0.25, 1.5)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_is_kept_apart(server: OpenAIServer, replies: MakeReplies, field: str) -> None:
    thought = piece(**{field: "Two and two."})
    server.answers(Play((thought + piece("4") + piece(reason="stop") + DONE,)))
    made = replies()
    reply = ask(made, resolved(made, server), chat_request("2+2?", think=True))
    assert (reply.thinking, reply.text) == ("Two and two.", "4")
    assert server.chat_bodies[0]["chat_template_kwargs"] == {"enable_thinking": True}


def test_line_separators_inside_of_an_answer_end_no_line(server: OpenAIServer, replies: MakeReplies) -> None:
    text = "a\u2028b\u0085c\u2029d é"
    server.answers(answer(text))
    made = replies()
    assert ask(made, resolved(made, server), chat_request("Hello?")).text == text


def test_an_answer_cut_into_single_bytes_is_whole_again(server: OpenAIServer, replies: MakeReplies) -> None:
    (sent,) = answer("Zoë ", "☃").chunks
    server.answers(Play(tuple(bytes([one]) for one in sent.replace(b"\n", b"\r\n"))))
    made = replies()
    assert ask(made, resolved(made, server), chat_request("Hello?")).text == "Zoë ☃"


def test_the_token_limit_shows_in_the_stop_reason(server: OpenAIServer, replies: MakeReplies) -> None:
    server.answers(answer("All", reason="length"))
    made = replies()
    assert ask(made, resolved(made, server), chat_request("Hello?")).stop_reason == "length"


# Faults

AGAIN = {
    "cut-short": (Play((piece("All"), piece(" ri"))), "the stream ended before the reply was done"),
    "done-too-early": (Play((piece("All") + DONE,)), "the stream ended before the reply was done"),
    "reset": (Play((piece("All"),), end="reset"), "the connection broke"),
    "malformed": (Play((piece("All") + b'data: {"choices": [\n\n',)), "the server sent malformed JSON"),
    "500": (error(500, "no luck"), "the server answered 500: no luck"),
    "429": (error(429, "slow down"), "the server answered 429: slow down"),
    "busy": (error(503, "loading", retry_after="0"), "the server answered 503: loading"),
    "in-the-stream": (
        Play((piece("All") + event({"error": {"message": "engine died", "code": 500}}),)),
        "the server broke off: engine died",
    ),
    "llama-servers-error": (
        Play((piece("All") + b'error: {"code":500,"message":"slot lost"}\n\n',)),
        "the server broke off: slot lost",
    ),
}


@pytest.mark.parametrize("kind", AGAIN)
def test_a_fault_that_may_pass_is_asked_again(server: OpenAIServer, replies: MakeReplies, kind: str) -> None:
    play, says = AGAIN[kind]
    server.answers(play)
    made = replies()
    reply = ask(made, resolved(made, server), chat_request("Hello?"))
    assert (reply.text, reply.fault) == ("All right.", "")
    assert len(reply.retries) == 1 and says in reply.retries[0]


FINAL = {
    "400": (error(400, "bad field"), "the server refused the request (400): bad field"),
    "403": (error(403), "the server refused the request (403)"),
    "404": (error(404, "no such model"), "the server refused the request (404): no such model"),
    "context": (error(400, "maximum context length is 512"), "start the server with a larger context"),
    "no-switch": (
        error(400, "Unrecognized argument: chat_template_kwargs"),
        "argument: chat_template_kwargs",
    ),
    "plain-words": (Play((b"go away",), 405), "the server refused the request (405): go away"),
    "choices": (Play((event({"choices": "x"}),)), "another shape: its choices are no objects"),
    "a-choice": (Play((event({"choices": [3]}),)), "another shape: its choices are no objects"),
    "delta": (Play((event({"choices": [{"delta": [1]}]}),)), "another shape: its delta is no object"),
    "content": (Play((event({"choices": [{"delta": {"content": 5}}]}),)), "its content is no text"),
    "usage": (Play((event({"choices": [], "usage": [1]}),)), "its usage is no object"),
    "list": (Play((event([1, 2]),)), "an event that is no object"),
    "refused-in-the-stream": (
        Play((event({"error": {"message": "too long", "code": 400}}),)),
        "the server broke off: too long",
    ),
    "long-line": (Play((b"data: " + b"x" * (REPLY_LIMIT + 1),)), "a line of more than 4 MB"),
    "long-reply": (Play((piece("x" * 1_000_000) * 5,)), "longer than 4 million characters"),
    "compressed": (
        Play((gzip.compress(ANSWER.chunks[0]),), headers={"Content-Encoding": "gzip"}),
        "the stream ended before the reply was done (asked 4 times)",
    ),
}


@pytest.mark.parametrize("kind", FINAL)
def test_a_fault_that_will_not_pass_costs_its_own_reply(
    server: OpenAIServer, replies: MakeReplies, kind: str
) -> None:
    play, says = FINAL[kind]
    server.answers(*[play] * (4 if "asked 4 times" in says else 1))
    made = replies()
    model = resolved(made, server)
    assert says in ask(made, model, chat_request("Hello?")).fault
    assert ask(made, model, chat_request("And now?")).text == "All right."


def test_figures_that_are_none_are_left_out(server: OpenAIServer, replies: MakeReplies) -> None:
    odd: dict[str, Any] = {"prompt_tokens": -1, "completion_tokens": True}
    server.answers(answer("4", usage=odd, timings={"prompt_ms": "x", "predicted_ms": float("inf")}))
    made = replies()
    reply = ask(made, resolved(made, server), chat_request("Hello?"))
    assert (reply.prompt_tokens, reply.completion_tokens) == (None, None)
    assert (reply.prompt_s, reply.decode_s) == (None, None)


def test_a_reply_that_never_ends_is_given_up(server: OpenAIServer, replies: MakeReplies) -> None:
    server.answers(Play((piece("All"),), end="hang"))
    made = replies(timeout_s=0.5)
    assert "no whole reply within 0.5 s" in ask(made, resolved(made, server), chat_request("Hello?")).fault


def test_a_lone_surrogate_in_a_prompt_is_a_sentence(server: OpenAIServer, replies: MakeReplies) -> None:
    made = replies()
    assert "no valid Unicode" in ask(made, resolved(made, server), chat_request("a\ud800b")).fault


# A server that is watched


def test_a_model_of_such_a_server_is_a_served_one() -> None:
    model = OpenAIModel(Model(parse_spec("openai:tiny@http://127.0.0.1:1"), "d"), 1.0, 1)
    assert isinstance(model, ServedModel)

    async def main() -> str:
        with pytest.raises(BackendFault) as caught:
            await model.unload()
        assert not await model.alive()
        await model.aclose()
        return str(caught.value)

    assert "has no way to unload" in anyio.run(main)


def test_what_is_told_of_a_model_now_is_what_was_resolved_until_it_changes(
    server: OpenAIServer, replies: MakeReplies
) -> None:
    found = resolved(replies(), server)
    model = OpenAIModel(found, 5.0, 1)

    async def main() -> None:
        assert await model.digest() == found.digest
        server.listing = listed("tiny", root="/models/other")
        assert await model.digest() not in (None, found.digest)
        server.listing = listed("other")
        assert await model.digest() is None
        server.listing = error(500, "no luck")
        with pytest.raises(TransientFault, match="no luck"):
            await model.digest()
        assert await model.alive()
        server.go_away()
        with pytest.raises(ConnectionBroke):
            await model.digest()
        assert not await model.alive()
        await model.aclose()

    anyio.run(main)


def test_a_server_that_is_away_for_a_while_in_the_middle_loses_no_case(
    server: OpenAIServer, replies: MakeReplies, tmp_path: Path
) -> None:
    server.delay_s = 0.05
    one = replies(concurrency=4, store=tmp_path / "store")
    model = resolved(one, server)
    asked = [chat_request(f"{n}") for n in range(20)]

    def away() -> None:
        time.sleep(3)  # longer than four tries with their waits

    with Meanwhile(server, 10, server.go_away, away, server.come_back):
        one.order(model, asked)
        got = [one.wait(request.key(model.digest)) for request in asked]
    assert [(reply.text, reply.fault) for reply in got] == [("All right.", "")] * 20
    assert sum(" was away from " in note for note in one.notes) == 1


def test_a_server_that_tells_of_another_model_in_the_middle_is_found_out(
    server: OpenAIServer, replies: MakeReplies
) -> None:
    server.delay_s = 0.1
    one = replies(concurrency=1)
    model = resolved(one, server)
    asked = [chat_request(f"{n}") for n in range(20)]

    def change() -> None:
        server.listing = listed("tiny", root="/models/other")

    with Meanwhile(server, 8, change):
        one.order(model, asked)
        got = [one.wait(request.key(model.digest)) for request in asked]
    faults = [reply.fault for reply in got if reply.fault]
    assert 11 <= len(faults) < 20
    assert all("answers with another model under the name openai:tiny@" in fault for fault in faults)


def test_a_server_that_is_too_busy_is_asked_until_it_is_not(
    server: OpenAIServer, replies: MakeReplies
) -> None:
    server.answers(*[error(503, "busy", retry_after="0")] * 6)
    made = replies()
    reply = ask(made, resolved(made, server), chat_request("Hello?"))
    assert (reply.text, len(reply.retries)) == ("All right.", 6)


# What is sent


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_the_thinking_switch_is_asked_without_it_from_then_on(
    server: OpenAIServer, replies: MakeReplies, status: int
) -> None:
    server.answers(error(status, "Unrecognized argument: chat_template_kwargs"))
    made = replies(concurrency=1)
    model = resolved(made, server)
    for text in ("Hello?", "And now?"):
        reply = ask(made, model, chat_request(text, think=False))
        assert (reply.text, reply.fault, reply.retries) == ("All right.", "", ())
    assert ["chat_template_kwargs" in body for body in server.chat_bodies] == [True, False, False]


def test_the_body_names_every_option_that_is_set() -> None:
    form = {"type": "object"}
    options = {
        "max_tokens": 9, "temperature": 0.5, "seed": 3, "num_ctx": 512, "top_p": 0.9, "top_k": 40,
        "repeat_penalty": 1.1, "stop": ["END"], "format": form,
    }  # fmt: skip
    request = ChatRequest("task", "case", (Message("user", "Hello"),), options, think="low")
    assert request_body(request, "tiny") == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": 3,
        "top_p": 0.9,
        "top_k": 40,
        "repeat_penalty": 1.1,
        "repetition_penalty": 1.1,
        "stop": ["END"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": form}},
        "chat_template_kwargs": {"enable_thinking": True},
        "reasoning_effort": "low",
    }


def test_the_body_of_a_plain_request_names_nothing_that_is_not_set() -> None:
    assert set(request_body(chat_request("Hello?"), "tiny")) == {
        "model", "messages", "stream", "stream_options", "max_tokens", "temperature", "seed",
    }  # fmt: skip


# The key


def test_the_key_goes_to_the_server_and_no_other_key_does(
    server: OpenAIServer, replies: MakeReplies, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replies()
    ask(made, resolved(made, server), chat_request("Hello?"))
    assert set(server.keys) == {""}
    server.key = SECRET
    assert f"put its key into the environment variable {OPENAI_KEY}" in refused(replies(), server)
    monkeypatch.setenv(OPENAI_KEY, "another-wrong-key")
    assert "right key?" in refused(replies(), server) and "another-wrong-key" not in refused(
        replies(), server
    )
    monkeypatch.setenv(OPENAI_KEY, SECRET)
    made = replies()
    assert ask(made, resolved(made, server), chat_request("Hello?")).text == "All right."
    assert server.keys[-1] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(answer(f"It is {SECRET}."), id="text"),
        pytest.param(answer("4", thinking=f"It is {SECRET}."), id="thinking"),
        pytest.param(answer("4", reason=SECRET), id="stop-reason"),
        pytest.param(answer("4", reason="x" * 30 + SECRET), id="end-of-a-stop-reason"),
        pytest.param(error(400, f"Bearer {SECRET}"), id="error"),
        pytest.param(error(400, f"{'x' * 190}{SECRET}"), id="end-of-an-error"),
        pytest.param(Play((b" " * 1990 + SECRET.encode(),), 400), id="end-of-plain-words"),
        pytest.param(
            Play((event({"error": {"message": f"{'x' * 190}{SECRET}", "code": 400}}),)), id="in-the-stream"
        ),
    ],
)
def test_a_server_that_repeats_the_key_is_not_believed(
    server: OpenAIServer, replies: MakeReplies, monkeypatch: pytest.MonkeyPatch, play: Play
) -> None:
    monkeypatch.setenv(OPENAI_KEY, SECRET)
    server.answers(play)
    made = replies()
    reply = ask(made, resolved(made, server), chat_request("Hello?"))
    assert reply.fault
    assert SECRET[:8] not in json.dumps(reply.to_json())


def test_a_key_that_json_escapes_is_found_in_what_was_written_as_json() -> None:
    key = 'quo"ted-\\key'
    assert key in (told := f"it was {key}")
    assert without_key(told, key) == without_key(json.dumps(told)[1:-1], key) == f"it was [{OPENAI_KEY}]"


def test_a_short_key_is_a_placeholder_and_changes_no_text() -> None:
    assert without_key("none of it", "none") == "none of it"


def test_a_key_is_never_sent_unencrypted_to_another_machine(
    replies: MakeReplies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPENAI_KEY, SECRET)
    with pytest.raises(SettingsError, match="write https:// in --model") as caught:
        replies().resolve([parse_spec("openai:tiny@http://models.invalid:8000")])
    assert SECRET not in str(caught.value)


def test_a_key_with_a_line_break_is_refused_without_repeating_it(
    server: OpenAIServer, replies: MakeReplies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPENAI_KEY, f"{SECRET}\nX-Other: 1")
    with pytest.raises(SettingsError, match="is no key") as caught:
        resolved(replies(), server)
    assert SECRET not in str(caught.value)


def test_a_proxy_never_sees_what_is_meant_for_this_machine(
    server: OpenAIServer, replies: MakeReplies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{closed_port()}")
    made = replies()
    assert ask(made, resolved(made, server), chat_request("Hello?")).text == "All right."


def test_a_whole_run_leaves_the_key_nowhere(server: OpenAIServer, tmp_path: Path) -> None:
    server.key = SECRET
    server.answers(error(503, f"not yet, Bearer {SECRET}"))
    write_task(tmp_path / "golden")
    run = Evals(tmp_path, "http://127.0.0.1:1")
    run.tests = "evals.test_golden"
    done = run.run(models=[f"openai:tiny@{server.url}"], **{OPENAI_KEY: SECRET})
    assert done.status == 0, done.out
    assert {one["outcome"] for one in done.results} == {"answered"}
    assert any(run.cache.rglob("*.json"))
    kept = [file for folder in (run.reports, run.cache) for file in folder.rglob("*") if file.is_file()]
    assert not [file for file in kept if SECRET.encode() in file.read_bytes()]
    assert SECRET not in done.out


# llama.cpp's own server


@pytest.mark.slow
def test_llama_servers_greedy_text_is_that_of_llama_cpp_in_the_process(
    replies: MakeReplies, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOLDENGATE_CACHE")  # where the weights are
    try:
        embedded_default()
    except ModelUnavailable as reason:
        pytest.skip(str(reason))
    questions = ["What is the capital of France?", "Name a colour.", "Say hello to Steve."]
    made = Replies(AskSettings(), tmp_path_factory.mktemp("llama") / "generate.log")
    try:
        with llama_server() as url:
            found = made.resolve([parse_spec(f"openai:{MODEL}@{url}"), parse_spec("gguf:smollm2-135m")])
            texts: list[list[str]] = []
            for model in found:
                assert isinstance(model, Model), model
                answers = [ask(made, model, chat_request(one, max_tokens=24)) for one in questions]
                assert not any(reply.fault for reply in answers)
                assert all(reply.prompt_tokens and reply.prompt_s and reply.decode_s for reply in answers)
                texts.append([reply.text for reply in answers])
    finally:
        made.close()
    assert texts[0] == texts[1]
    assert isinstance(found[0], Model)
    assert (found[0].slots, found[0].details["served"]) == (SLOTS, MODEL)
