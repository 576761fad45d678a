"""The HTTP edge to Ollama: what is sent, byte for byte, and how each fault of a server ends."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import anyio
import pytest

from evals.backends.base import ChatRequest, Model, ModelReply, ServedModel, parse_spec
from evals.backends.ollama import MEMORY_ADVICE, OllamaModel, server_url
from evals.backends.ollama_hosts import resolve
from evals.errors import (
    BackendFault,
    ConnectionBroke,
    ModelUnavailable,
    ServerBusy,
    SettingsError,
    TransientFault,
)
from tests import fault_server as faults
from tests.conftest import MakeReplies, chat_request, tiny_model
from tests.fault_server import FaultServer, Play
from tests.real_ollama import MODEL, OllamaServer

TIMEOUT_S = 20.0
Result = TypeVar("Result")


def ask(url: str, request: ChatRequest, *, name: str = "tiny", timeout_s: float = TIMEOUT_S) -> ModelReply:
    async def run() -> ModelReply:
        chat = OllamaModel(tiny_model(name), url, timeout_s, 2)
        try:
            return await chat.chat(request)
        finally:
            await chat.aclose()

    return anyio.run(run)


def fault_of(server: FaultServer, play: Play, **kwargs: Any) -> BackendFault:
    server.play(play)
    with pytest.raises(BackendFault) as caught:
        ask(server.url, chat_request("hello"), **kwargs)
    return caught.value


def look_up(url: str, *names: str) -> list[Model | ModelUnavailable]:
    found, notes = anyio.run(resolve, [parse_spec(name) for name in names], [url])
    assert notes == []
    return found


def unavailable(url: str, name: str = "tiny") -> str:
    (found,) = look_up(url, name)
    assert isinstance(found, ModelUnavailable)
    return str(found)


# What is sent


def test_the_request_is_exactly_this(fault_server: FaultServer) -> None:
    request = chat_request("Zähle bis 3 😀", system="Be brief.")
    ask(fault_server.url, request)

    assert fault_server.bodies == [
        {
            "model": "tiny",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Zähle bis 3 😀"},
            ],
            "stream": True,
            "tools": [],
            "options": {"num_predict": 64, "temperature": 0.0, "seed": 0, "num_ctx": 4096},
        }
    ]
    assert [one.path for one in fault_server.asked] == ["/api/chat"]


def test_every_option_that_is_set_is_sent_under_the_name_of_ollama(fault_server: FaultServer) -> None:
    chosen: dict[str, Any] = {
        "temperature": 0.7,
        "seed": 41,
        "max_tokens": 5,
        "num_ctx": 512,
        "top_p": 0.9,
        "top_k": 40,
    }
    ask(fault_server.url, chat_request("hello", **chosen, repeat_penalty=1.1, stop=["\n", "END"]))

    assert fault_server.bodies[0]["options"] == {
        "num_predict": 5,
        "temperature": 0.7,
        "seed": 41,
        "num_ctx": 512,
        "top_p": 0.9,
        "top_k": 40,
        "repeat_penalty": 1.1,
        "stop": ["\n", "END"],
    }


@pytest.mark.parametrize("think", [False, True, "low"], ids=str)
def test_the_thinking_switch_is_sent_where_the_model_thinks(
    fault_server: FaultServer, think: bool | str
) -> None:
    ask(fault_server.url, chat_request("hello", think=think))
    assert fault_server.bodies[0]["think"] == think


def test_the_thinking_switch_is_left_out_where_the_model_has_none(fault_server: FaultServer) -> None:
    ask(fault_server.url, chat_request("hello", think=None))
    assert "think" not in fault_server.bodies[0]


@pytest.mark.parametrize("wanted", ["json", {"type": "object", "properties": {"a": {"type": "string"}}}])
def test_a_format_is_sent_as_it_is(fault_server: FaultServer, wanted: Any) -> None:
    ask(fault_server.url, chat_request("hello", format=wanted))
    assert fault_server.bodies[0]["format"] == wanted


def test_a_proxy_of_the_environment_never_sees_a_local_server(
    fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{faults.closed_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{faults.closed_port()}")
    assert ask(fault_server.url, chat_request("hello")).text == "All right."


def test_a_prompt_that_is_no_unicode_is_a_fault_of_the_prompt(fault_server: FaultServer) -> None:
    with pytest.raises(BackendFault, match="prompt cannot be sent: it is no valid Unicode") as caught:
        ask(fault_server.url, chat_request("half a character: \ud83d"))
    assert not isinstance(caught.value, TransientFault)
    assert fault_server.asked == []


# What comes back


def test_a_reply_keeps_text_figures_and_times(fault_server: FaultServer) -> None:
    fault_server.play(faults.answer("All", " right.", thinking="Hm."))
    reply = ask(fault_server.url, chat_request("hello"))

    assert reply.first_token_s is not None and reply.total_s is not None
    assert 0 < reply.first_token_s <= reply.total_s < TIMEOUT_S
    assert replace(reply, first_token_s=None, total_s=None) == ModelReply(
        text="All right.",
        thinking="Hm.",
        stop_reason="stop",
        prompt_tokens=26,
        completion_tokens=8,
        load_s=0.02,
        prompt_s=0.5,
        decode_s=0.25,
    )
    assert reply.tokens_per_s == 32.0


def test_figures_that_the_server_leaves_out_are_unknown(fault_server: FaultServer) -> None:
    fault_server.play(faults.NO_COUNTS)
    reply = ask(fault_server.url, chat_request("hello"))

    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("All right.", None, None)
    assert (reply.load_s, reply.prompt_s, reply.decode_s, reply.tokens_per_s) == (None, None, None, None)


def test_a_reply_of_thinking_alone_has_no_text(fault_server: FaultServer) -> None:
    fault_server.play(faults.THINKING_ONLY)
    reply = ask(fault_server.url, chat_request("hello"))
    assert (reply.text, reply.thinking, reply.stop_reason) == ("", "What is being asked?", "length")


LINE_BREAKS = "".join(chr(one) for one in (*range(32), 0x7F, 0x85, 0xA0, 0x2028, 0x2029, 0xFEFF))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 10_000_000, id="10-MB"),
        pytest.param("a\0b", id="nul"),
        pytest.param("\x1b[31mred\x1b[0m \x1b]0;title\x07", id="ansi"),
        pytest.param(f"a{LINE_BREAKS}b", id="line-breaks-and-controls"),
        pytest.param("naïve 日本語 😀 e\u0301", id="beyond-ascii"),
    ],
)
def test_text_comes_back_whole(fault_server: FaultServer, text: str) -> None:
    fault_server.play(faults.answer(text))
    assert ask(fault_server.url, chat_request("hello")).text == text


def test_an_escaped_half_of_a_character_comes_back_as_it_is(fault_server: FaultServer) -> None:
    sent = faults.piece("@").replace(b"@", rb"\ud83d alone") + faults.last_piece()
    fault_server.play(faults.whole(sent))
    assert ask(fault_server.url, chat_request("hello")).text == "\ud83d alone"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_text_comes_back_whole_in_pieces_of_any_size(fault_server: FaultServer, size: int) -> None:
    text = "a\u0085\u0085b\u2028c\u2029é€😀Â"
    sent = faults.piece(text) + faults.last_piece()
    chunks = tuple(sent[at : at + size] for at in range(0, len(sent), size))
    fault_server.play(Play(chunks, pause_s=0.0005))
    assert ask(fault_server.url, chat_request("hello")).text == text


def test_a_compressed_reply_is_left_alone(fault_server: FaultServer) -> None:
    # Compressed bytes that happen to look like a line break in UTF-8.
    sent = (gzip.compress(faults.piece(f"{n}") + faults.last_piece(), mtime=0) for n in range(100_000))
    looks_like_one = next(data for data in sent if "\u0085".encode() in data)
    fault_server.play(Play((looks_like_one,), headers={"Content-Encoding": "gzip"}))
    assert ask(fault_server.url, chat_request("hello")).text.isdecimal()


def test_bytes_that_are_no_utf8_become_replacement_characters(fault_server: FaultServer) -> None:
    fault_server.play(faults.INVALID_UTF8)
    assert ask(fault_server.url, chat_request("hello")).text == "caf\ufffd"


# How faults end

TRANSIENT = [
    pytest.param(faults.RESET, "the connection broke: ", id="reset-mid-body"),
    pytest.param(faults.error(429, "slow down"), "the server answered 429: slow down", id="429"),
    pytest.param(faults.error(500, "boom"), "the server answered 500: boom", id="500"),
    pytest.param(faults.error(503, "busy"), "the server answered 503: busy", id="503"),
    pytest.param(
        faults.whole(b"", 502), "the server answered 502: no reason given", id="502-without-a-reason"
    ),
    pytest.param(
        faults.whole(b"<html>\n<h1>Bad gateway</h1>", 502), "the server answered 502: <html>", id="502-html"
    ),
    pytest.param(faults.MALFORMED, "the server sent malformed JSON: ", id="malformed-line"),
    pytest.param(faults.TRUNCATED, "the stream ended before the reply was done", id="truncated-stream"),
    pytest.param(faults.whole(b""), "the stream ended before the reply was done", id="empty-body"),
    pytest.param(
        faults.ERROR_LINE,
        "the server broke off: an error was encountered while running the model",
        id="error-line",
    ),
]
FINAL = [
    pytest.param(
        faults.error(404, "model not found"), "the server no longer has tiny: model not found", id="404"
    ),
    pytest.param(
        faults.error(400, "invalid option"), "the server refused the request (400): invalid option", id="400"
    ),
    pytest.param(
        faults.OTHER_SHAPE, "the server sent a reply of another shape: 1 validation error", id="other-shape"
    ),
    pytest.param(faults.whole([1, 2]), "the server sent a reply of another shape: ", id="a-list"),
    pytest.param(faults.whole(b"null"), "the server sent a reply of another shape: ", id="null"),
    pytest.param(
        faults.whole(["boom"], 500), "the server sent a reply of another shape: ", id="500-with-a-list"
    ),
    pytest.param(
        faults.whole(b"[" * 100_000), "the server sent a reply of another shape: ", id="deep-nesting"
    ),
    pytest.param(
        Play((), 302, {"Location": "/api/chat"}), "the server sent a reply of another shape: ", id="redirects"
    ),
]


def assert_one_line_for_people(message: str) -> None:
    assert "\n" not in message
    assert "Traceback" not in message
    assert "<class" not in message
    assert len(message) < 400


@pytest.mark.parametrize(("play", "says"), TRANSIENT)
def test_a_fault_that_may_pass_is_worth_asking_again(
    fault_server: FaultServer, play: Play, says: str
) -> None:
    fault = fault_of(fault_server, play)
    assert isinstance(fault, TransientFault)
    assert str(fault).startswith(says)
    assert_one_line_for_people(str(fault))


@pytest.mark.parametrize(("play", "says"), FINAL)
def test_a_fault_that_will_not_pass_is_final(fault_server: FaultServer, play: Play, says: str) -> None:
    if play.status == 302:
        fault_server.instead["/api/chat"] = play
    fault = fault_of(fault_server, play)
    assert not isinstance(fault, TransientFault)
    assert str(fault).startswith(says)
    assert_one_line_for_people(str(fault))


def test_a_refused_connection_is_worth_asking_again() -> None:
    with pytest.raises(TransientFault, match=r"^the connection broke: "):
        ask(f"http://127.0.0.1:{faults.closed_port()}", chat_request("hello"))


@pytest.mark.parametrize("play", [faults.HANG, faults.SILENT], ids=["stops-half-way", "never-begins"])
def test_a_reply_that_takes_too_long_is_given_up(fault_server: FaultServer, play: Play) -> None:
    fault = fault_of(fault_server, play, timeout_s=0.3)
    assert not isinstance(fault, TransientFault)
    assert str(fault) == "no whole reply within 0.3 s (--reply-timeout); the request was given up"


def test_the_time_limit_is_for_the_whole_reply_and_not_for_each_piece(fault_server: FaultServer) -> None:
    drip = Play(tuple(faults.piece("x") for _ in range(200)), pause_s=0.1)
    assert "no whole reply within 0.5 s" in str(fault_of(fault_server, drip, timeout_s=0.5))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after_is_read(
    fault_server: FaultServer, status: int, header: str, wait_s: float | None
) -> None:
    fault = fault_of(fault_server, faults.error(status, "busy", retry_after=header))
    assert isinstance(fault, TransientFault)
    assert fault.wait_s == wait_s


def test_retry_after_may_be_a_date_to_come(fault_server: FaultServer) -> None:
    fault = fault_of(fault_server, faults.error(503, "busy", retry_after="Fri, 01 Jan 2100 00:00:00 GMT"))
    assert isinstance(fault, TransientFault)
    assert fault.wait_s is not None and fault.wait_s > 1e6


def test_without_retry_after_the_wait_is_left_open(fault_server: FaultServer) -> None:
    fault = fault_of(fault_server, faults.error(429, "slow down"))
    assert isinstance(fault, TransientFault)
    assert fault.wait_s is None


@pytest.mark.parametrize(("tokens", "cut"), [(511, False), (512, True), (600, True)])
def test_a_prompt_that_fills_the_context_was_cut(fault_server: FaultServer, tokens: int, cut: bool) -> None:
    play = faults.answer("Yes.", figures={**faults.FIGURES, "prompt_eval_count": tokens})
    fault_server.play(play)
    request = chat_request("hello", num_ctx=512)
    if not cut:
        assert ask(fault_server.url, request).prompt_tokens == tokens
        return
    with pytest.raises(BackendFault, match=r"raise options\.num_ctx in task\.yaml") as caught:
        ask(fault_server.url, request)
    assert f"{tokens} tokens of 512" in str(caught.value)
    assert not isinstance(caught.value, TransientFault)


def test_a_date_is_read_by_the_clock_of_the_server_that_says_it(fault_server: FaultServer) -> None:
    headers = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:07 GMT"}
    fault = fault_of(fault_server, replace(faults.error(503, "busy"), headers=headers))
    assert isinstance(fault, TransientFault)
    assert fault.wait_s == 7.0


@pytest.mark.parametrize(
    ("status", "said", "busy"),
    [
        (429, "too many requests", True),
        (503, "server busy, please try again.  maximum pending requests exceeded", True),
        (503, "Server overloaded, please retry shortly (ref: 06d81c91)", True),
        (500, "unexpected server status: llm busy - no slots available", False),
        (503, "no healthy upstream", False),
    ],
)
def test_a_server_with_too_much_to_do_is_told_apart(
    fault_server: FaultServer, status: int, said: str, busy: bool
) -> None:
    fault = fault_of(fault_server, faults.error(status, said))
    assert isinstance(fault, ServerBusy) is busy
    assert isinstance(fault, TransientFault)


def test_a_model_that_is_too_large_is_a_final_fault_with_advice(fault_server: FaultServer) -> None:
    said = "model requires more system memory (5.3 GiB) than is available (3.3 GiB)"
    fault = fault_of(fault_server, faults.error(500, said))
    assert not isinstance(fault, TransientFault)
    assert str(fault) == f"{said}; {MEMORY_ADVICE}"
    assert_one_line_for_people(str(fault))


@pytest.mark.parametrize(
    "said",
    [
        "llama runner process has terminated: signal: killed",
        "llama runner process has terminated: CUDA error: out of memory",
        "llama runner process has terminated: cudaMalloc failed: out of memory",
        "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check "
        "ollama server logs for details",
    ],
)
def test_a_runner_that_ran_out_of_memory_is_worth_asking_again_and_comes_with_advice(
    fault_server: FaultServer, said: str
) -> None:
    fault = fault_of(fault_server, faults.error(500, said))
    assert isinstance(fault, TransientFault)
    assert str(fault) == f"the server answered 500: {said}; {MEMORY_ADVICE}"


def test_a_runner_that_ended_otherwise_comes_without_advice(fault_server: FaultServer) -> None:
    fault = fault_of(fault_server, faults.error(500, "llama runner process has terminated: exit status 2"))
    assert isinstance(fault, TransientFault)
    assert MEMORY_ADVICE not in str(fault)


# What else is asked of a server


def use(url: str, what: Callable[[OllamaModel], Awaitable[Result]], name: str = "tiny") -> Result:
    async def run() -> Result:
        chat = OllamaModel(tiny_model(name), url, TIMEOUT_S, 1)
        try:
            return await what(chat)
        finally:
            await chat.aclose()

    return anyio.run(run)


def test_a_server_is_alive_while_anything_answers(fault_server: FaultServer) -> None:
    assert use(fault_server.url, OllamaModel.alive)
    fault_server.instead["/api/version"] = Play((b"Bad gateway",), 502)
    assert use(fault_server.url, OllamaModel.alive)
    fault_server.go_away()
    assert not use(fault_server.url, OllamaModel.alive)
    fault_server.come_back()
    assert use(fault_server.url, OllamaModel.alive)


@pytest.mark.parametrize("name", ["tiny", "tiny:latest", "thinker:4b"])
def test_the_digest_is_the_one_that_is_listed_now(fault_server: FaultServer, name: str) -> None:
    listed = name if ":" in name else f"{name}:latest"
    before = use(fault_server.url, OllamaModel.digest, name)
    assert before == fault_server.digest(listed)
    fault_server.recreate(listed)
    assert use(fault_server.url, OllamaModel.digest, name) == fault_server.digest(listed) != before
    del fault_server.models[listed]
    assert use(fault_server.url, OllamaModel.digest, name) is None


def test_a_server_that_cannot_tell_the_digest_is_a_fault(fault_server: FaultServer) -> None:
    fault_server.instead["/api/tags"] = faults.whole([])
    with pytest.raises(BackendFault, match="another shape"):
        use(fault_server.url, OllamaModel.digest)
    fault_server.go_away()
    with pytest.raises(ConnectionBroke):
        use(fault_server.url, OllamaModel.digest)


def test_a_served_model_is_one_that_can_be_watched() -> None:
    assert isinstance(OllamaModel(tiny_model(), None, TIMEOUT_S, 1), ServedModel)


def test_a_model_is_unloaded_by_a_request_that_keeps_it_for_no_time(fault_server: FaultServer) -> None:
    ask(fault_server.url, chat_request("hello"))
    assert fault_server.loaded == {"tiny:latest"}
    use(fault_server.url, OllamaModel.unload)
    assert fault_server.loaded == set()
    sent = [json.loads(one.raw) for one in fault_server.asked if one.path == "/api/generate"]
    assert [(one["model"], one["keep_alive"], one.get("prompt", "")) for one in sent] == [("tiny", 0, "")]
    assert fault_server.asked[-1].path == "/api/ps"


# Which models there are


def test_a_model_is_found_with_its_digest_and_details(fault_server: FaultServer) -> None:
    (model,) = look_up(fault_server.url, "tiny:latest")

    assert model == Model(
        parse_spec("tiny:latest"),
        fault_server.digest("tiny:latest"),
        thinks=False,
        details={
            "server": fault_server.url,
            "servers": [fault_server.url],
            "size_bytes": 270898672,
            "capabilities": ["completion"],
            "context_length": 8192,
            "format": "gguf",
            "family": "llama",
            "parameter_size": "134.52M",
            "quantization_level": "F16",
        },
    )
    assert [one.path for one in fault_server.asked] == ["/api/tags", "/api/show"]


def test_latest_is_what_a_name_without_a_tag_means(fault_server: FaultServer) -> None:
    (model,) = look_up(fault_server.url, "tiny")
    assert isinstance(model, Model)
    assert (model.label, model.digest) == ("tiny", fault_server.digest("tiny:latest"))


def test_a_model_that_thinks_is_known_by_its_capabilities(fault_server: FaultServer) -> None:
    thinks = [one.thinks for one in look_up(fault_server.url, "thinker:4b", "tiny") if isinstance(one, Model)]
    assert thinks == [True, False]


def test_a_model_that_does_not_chat_is_refused(fault_server: FaultServer) -> None:
    assert unavailable(fault_server.url, "embedder") == "embedder does not chat; it can: embedding"


def test_an_unknown_model_comes_with_the_closest_names_and_how_to_fetch_it(fault_server: FaultServer) -> None:
    del fault_server.models["tiny:latest"]
    assert unavailable(fault_server.url, "thinkr:4b") == (
        f"thinkr:4b is not in Ollama at {fault_server.url}; closest there: thinker:4b. "
        "To fetch it: ollama pull thinkr:4b"
    )


def test_an_unknown_model_like_no_other_comes_with_what_is_there(fault_server: FaultServer) -> None:
    assert "there are: embedder:latest, thinker:4b, tiny:latest" in unavailable(fault_server.url, "zzz")


def test_a_server_without_models_says_so() -> None:
    with FaultServer(models={}) as server:
        assert "it has no models yet. To fetch it: ollama pull tiny" in unavailable(server.url)


def test_one_unknown_model_does_not_hide_the_others(fault_server: FaultServer) -> None:
    found = look_up(fault_server.url, "nothing", "tiny", "thinker:4b")
    assert [isinstance(one, Model) for one in found] == [False, True, True]


def test_no_server_is_told_with_its_address_and_how_to_start_it() -> None:
    url = f"http://127.0.0.1:{faults.closed_port()}"
    assert unavailable(url) == (
        f"tiny: no Ollama server at {url} (nothing answers). Start it with `ollama serve` (or the Ollama app), "
        "or name its address with --ollama-host or OLLAMA_HOST"
    )


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(Play((b"404 page not found",), 404), id="404"),
        pytest.param(faults.whole(b"<html>\n<body>Grafana</body></html>"), id="html"),
        pytest.param(faults.whole({"object": "list", "data": []}), id="openai"),
        pytest.param(faults.whole([]), id="a-list"),
        pytest.param(faults.whole(["no"], 500), id="500-with-a-list"),
        pytest.param(Play((b'{"models": [',), end="reset"), id="reset"),
        pytest.param(Play((), 302, {"Location": "/api/tags"}), id="redirects"),
        pytest.param(Play((b"no gzip",), 200, {"Content-Encoding": "gzip"}), id="wrong-encoding"),
    ],
)
def test_another_service_on_the_port_is_told_apart(fault_server: FaultServer, play: Play) -> None:
    fault_server.instead["/api/tags"] = play
    message = unavailable(fault_server.url)
    assert message.startswith(f"tiny: {fault_server.url} answers, but not as Ollama does (")
    assert message.endswith("); is it another service's port?")
    assert_one_line_for_people(message)


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(faults.error(500, "broken manifest"), id="500"),
        pytest.param(faults.whole([]), id="a-list"),
        pytest.param(Play((), end="reset"), id="reset"),
    ],
)
def test_a_model_that_is_listed_but_not_shown_is_unavailable(fault_server: FaultServer, play: Play) -> None:
    fault_server.instead["/api/show"] = play
    message = unavailable(fault_server.url)
    assert message.startswith(f"tiny: {fault_server.url} lists it but cannot show it: ")
    assert_one_line_for_people(message)


def test_a_model_without_a_digest_is_unavailable(fault_server: FaultServer) -> None:
    fault_server.instead["/api/tags"] = faults.whole({"models": [faults.model_entry("tiny:latest", "")]})
    assert "tells no digest for it; update Ollama" in unavailable(fault_server.url)


# Where the server is

HOSTS = {
    "localhost": "http://localhost:11434",
    "example.org": "http://example.org:11434",
    "example.org:8080": "http://example.org:8080",
    "  10.0.0.7:8080 ": "http://10.0.0.7:8080",
    ":8080": "http://127.0.0.1:8080",
    "0.0.0.0": "http://127.0.0.1:11434",
    "0.0.0.0:8080": "http://127.0.0.1:8080",
    "http://example.org": "http://example.org:80",
    "http://example.org:11434": "http://example.org:11434",
    "https://example.org": "https://example.org:443",
    "https://example.org/ollama/": "https://example.org:443/ollama",
    "example.org:8080/ollama": "http://example.org:8080/ollama",
    "http://example.org:8080/?key=1#top": "http://example.org:8080",
    "::1": "http://[::1]:11434",
    "[::1]": "http://[::1]:11434",
    "[::1]:8080": "http://[::1]:8080",
    "[::]:8080": "http://127.0.0.1:8080",
    "::": "http://127.0.0.1:11434",
}


@pytest.mark.parametrize(("host", "url"), HOSTS.items())
def test_a_host_is_read_as_ollama_reads_it(host: str, url: str) -> None:
    assert server_url(host) == url


@pytest.mark.parametrize(
    "host",
    ["http://", "ftp://example.org", "example.org:port", "example.org:99999", "[::1", "/path", ":", "//"],
)
def test_what_is_no_host_is_refused_with_its_text(host: str) -> None:
    with pytest.raises(SettingsError, match="is no address") as caught:
        server_url(host)
    assert repr(host) in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "http://user:secret@example.org",
        "user:secret@example.org:11434",
        "https://user:sec/ret@example.org",
        "http://secret@example.org",
    ],
)
@pytest.mark.parametrize("option", [True, False], ids=["option", "variable"])
def test_a_host_with_a_name_or_a_password_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, host: str, option: bool
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "" if option else host)
    with pytest.raises(SettingsError, match="holds a name or a password") as caught:
        server_url(host if option else None)
    assert str(caught.value).startswith("--ollama-host" if option else "OLLAMA_HOST")
    assert "sec" not in str(caught.value) and "user" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "variable", "url"),
    [
        (None, None, "http://127.0.0.1:11434"),
        (None, "", "http://127.0.0.1:11434"),
        (None, "  ", "http://127.0.0.1:11434"),
        (None, "example.org", "http://example.org:11434"),
        ("", "example.org", "http://example.org:11434"),
        ("localhost:1", "example.org", "http://localhost:1"),
    ],
)
def test_the_option_comes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, option: str | None, variable: str | None, url: str
) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    if variable is not None:
        monkeypatch.setenv("OLLAMA_HOST", variable)
    assert server_url(option) == url


# The real one


@pytest.mark.ollama
@pytest.mark.slow
def test_a_real_server_is_resolved_and_answers(ollama_server: OllamaServer) -> None:
    (model,) = look_up(ollama_server.url, MODEL)
    assert isinstance(model, Model)
    assert len(model.digest) == 64

    reply = ask(ollama_server.url, chat_request("Say hi.", max_tokens=8), name=MODEL, timeout_s=300)
    assert reply.text
    assert reply.completion_tokens is not None and 0 < reply.completion_tokens <= 8


@pytest.mark.ollama
@pytest.mark.slow
def test_a_real_server_that_cuts_the_prompt_is_found_out(ollama_server: OllamaServer) -> None:
    long = chat_request("one two three four five six seven eight nine ten " * 100, num_ctx=256, max_tokens=4)
    with pytest.raises(BackendFault, match=r"raise options\.num_ctx in task\.yaml"):
        ask(ollama_server.url, long, name=MODEL, timeout_s=300)


@pytest.mark.ollama
@pytest.mark.slow
def test_a_real_server_loads_a_model_once_and_again_after_it_was_unloaded(
    ollama_server: OllamaServer, replies: MakeReplies
) -> None:
    (model,) = look_up(ollama_server.url, MODEL)
    assert isinstance(model, Model)
    one = replies(hosts=[ollama_server.url], timeout_s=300)
    for times in (1, 2):
        one.unload(model)
        asked = [chat_request(f"{times} {n}", max_tokens=2, num_ctx=512) for n in range(4)]
        one.order(model, asked)
        assert [one.wait(request.key(model.digest)).fault for request in asked] == [""] * 4
        assert one.loads == {MODEL: times}
    assert one.notes == []
