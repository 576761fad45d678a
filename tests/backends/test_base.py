"""The boundary to models: how specs are read, what a request's key depends on, and trips through JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.base import (
    EMBEDDED_SPEC,
    ChatRequest,
    Message,
    Model,
    ModelReply,
    ModelSpec,
    parse_spec,
    parse_specs,
    split_server,
)
from evals.errors import SettingsError
from tests.conftest import OPTIONS, chat_request

# Specs

SPECS = {
    "qwen3:4b": ("ollama", "qwen3:4b"),
    "qwen3": ("ollama", "qwen3"),
    "my-judge:candidate": ("ollama", "my-judge:candidate"),
    "hf.co/bartowski/Qwen3-GGUF:Q4_K_M": ("ollama", "hf.co/bartowski/Qwen3-GGUF:Q4_K_M"),
    "ollama.example.org:5000/team/qwen3:4b": ("ollama", "ollama.example.org:5000/team/qwen3:4b"),
    "gguf:smollm2-135m": ("gguf", "smollm2-135m"),
    "gguf:/models/a.gguf": ("gguf", "/models/a.gguf"),
    "gguf:C:\\models\\a.gguf": ("gguf", "C:\\models\\a.gguf"),
    "gguf:base.gguf+adapter.gguf": ("gguf", "base.gguf+adapter.gguf"),
    "gguf:hf://owner/repo/a.gguf": ("gguf", "hf://owner/repo/a.gguf"),
    "hf:Qwen/Qwen3-0.6B": ("hf", "Qwen/Qwen3-0.6B"),
    "hf:/models/base+/models/adapter": ("hf", "/models/base+/models/adapter"),
    "openai:qwen3@http://127.0.0.1:8000": ("openai", "qwen3@http://127.0.0.1:8000"),
    "openai:a@b@https://models.example.org/v1": ("openai", "a@b@https://models.example.org/v1"),
    "replay:reports/2026-01-01": ("replay", "reports/2026-01-01"),
    "replay:reports/2026-01-01#qwen3:4b": ("replay", "reports/2026-01-01#qwen3:4b"),
    "  qwen3:4b ": ("ollama", "qwen3:4b"),
    "模型:4b": ("ollama", "模型:4b"),
}


@pytest.mark.parametrize(("text", "backend", "name"), [(text, *rest) for text, rest in SPECS.items()])
def test_a_spec_is_read(text: str, backend: str, name: str) -> None:
    spec = parse_spec(text)
    assert (spec.text, spec.backend, spec.name) == (text.strip(), backend, name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "'' is no model: names hold no spaces or control characters", id="empty"),
        pytest.param("   ", "'' is no model", id="blank"),
        pytest.param("two words", "'two words' is no model", id="space"),
        pytest.param("a\tb", r"'a\tb' is no model", id="tab"),
        pytest.param("a\nb", r"'a\nb' is no model", id="newline"),
        pytest.param("a\0b", r"'a\x00b' is no model", id="nul"),
        pytest.param("\x1b[31mred", r"'\x1b[31mred' is no model", id="escape"),
        pytest.param("a\u00a0b", r"'a\xa0b' is no model", id="no-break-space"),
        pytest.param("a\ud83d", r"'a\ud83d' is no model", id="lone-surrogate"),
        pytest.param("gguf:", "gguf: names nothing after 'gguf:'", id="gguf-of-nothing"),
        pytest.param("replay:", "replay: names nothing after 'replay:'", id="replay-of-nothing"),
        pytest.param("hf:", "hf: names nothing after 'hf:'", id="hf-of-nothing"),
        pytest.param("openai:", "openai: names nothing after 'openai:'", id="openai-of-nothing"),
        pytest.param(
            "openai:qwen3", "openai:qwen3… names no server; write openai:NAME@http://", id="no-server"
        ),
        pytest.param("openai:qwen3@127.0.0.1:8000", "names no server", id="no-scheme"),
        pytest.param("openai:qwen3@ftp://127.0.0.1", "names no server", id="another-scheme"),
        pytest.param("openai:@http://127.0.0.1", "lacks the name; write openai:NAME@http://", id="no-name"),
        pytest.param("openai:qwen3@http://", "lacks the server; write openai:NAME@http://", id="no-host"),
        pytest.param("openai:qwen3@http://a:port", "its address means nothing", id="port"),
        pytest.param("openai:qwen3@http://a:99999", "its address means nothing", id="large-port"),
        pytest.param("openai:qwen3@http://[::1", "its address means nothing", id="bracket"),
        pytest.param("openai:qwen3@http://a/v1?key=b", "goes on behind its path", id="query"),
        pytest.param("openai:qwen3@http://a/v1#b", "goes on behind its path", id="fragment"),
        pytest.param(
            "openai:qwen3@http://me:secret@a", "environment variable GOLDENGATE_OPENAI_KEY", id="secret"
        ),
        pytest.param("openai:qwen3@me:secret@a", "names no server", id="secret-without-scheme"),
    ],
)
def test_what_is_no_spec_is_refused(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_spec(text)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("qwen3@http://127.0.0.1:8000", ("qwen3", "http://127.0.0.1:8000/v1")),
        ("qwen3@http://127.0.0.1:8000/v1", ("qwen3", "http://127.0.0.1:8000/v1")),
        ("qwen3@https://a.example/v1/", ("qwen3", "https://a.example/v1")),
        ("owner/qwen3:4b@http://[::1]:80/models", ("owner/qwen3:4b", "http://[::1]:80/models/v1")),
        ("a@http://b@http://c", ("a@http://b", "http://c/v1")),
    ],
)
def test_a_server_is_split_off_its_models_name(name: str, parts: tuple[str, str]) -> None:
    assert split_server(name) == parts


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        pytest.param([], [EMBEDDED_SPEC], id="none"),
        pytest.param([""], [EMBEDDED_SPEC], id="empty"),
        pytest.param([" , ,"], [EMBEDDED_SPEC], id="only-commas"),
        pytest.param(["a"], ["a"], id="one"),
        pytest.param(["a,b"], ["a", "b"], id="commas"),
        pytest.param(["a, b ,", ",c"], ["a", "b", "c"], id="commas-and-spaces"),
        pytest.param(["b", "a", "b"], ["b", "a"], id="duplicates"),
        pytest.param(["a,b", "b,a,c"], ["a", "b", "c"], id="duplicates-over-options"),
        pytest.param(["qwen3", "qwen3:latest"], ["qwen3", "qwen3:latest"], id="same-model-two-names"),
    ],
)
def test_all_specs_are_read_in_their_order(texts: list[str], chosen: list[str]) -> None:
    assert [spec.text for spec in parse_specs(texts)] == chosen


def test_one_bad_name_refuses_the_whole_list() -> None:
    with pytest.raises(SettingsError, match="'b c' is no model"):
        parse_specs(["a,b c,d"])


# Keys

texts = st.text(st.characters(exclude_categories=()), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, width=16) | texts
options = st.dictionaries(st.sampled_from(sorted(OPTIONS)), scalars | st.lists(texts, max_size=2), max_size=4)
messages = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts), max_size=3
).map(tuple)
asked = st.builds(
    ChatRequest,
    task=texts,
    case=texts,
    messages=messages,
    options=options,
    think=st.none() | st.booleans() | st.sampled_from(["low", "high", "true"]),
    repeat=st.integers(0, 3),
)
digests = st.text("0123456789abcdef", min_size=1, max_size=3)


def decides(digest: str, request: ChatRequest) -> str:
    """All that decides an answer, as one text: 1, 1.0 and True are three things, as for a server."""
    parts = (request.messages, sorted(request.options.items()), request.think, request.repeat)
    return json.dumps([digest, repr(parts)])


@given(digests, asked, digests, asked)
def test_keys_are_equal_where_all_that_decides_the_answer_is(
    digest: str, request: ChatRequest, other_digest: str, other: ChatRequest
) -> None:
    same = decides(digest, request) == decides(other_digest, other)
    assert (request.key(digest) == other.key(other_digest)) == same


BASE = chat_request("hello", system="Be brief.", temperature=0.0)


@given(asked)
def test_one_part_that_differs_makes_another_key(other: ChatRequest) -> None:
    changes: list[dict[str, Any]] = [
        {"messages": other.messages},
        {"options": {**BASE.options, **other.options}},
        {"think": other.think},
        {"repeat": other.repeat},
    ]
    for change in changes:
        changed = replace(BASE, **change)
        same = decides("d", changed) == decides("d", BASE)
        assert (changed.key("d") == BASE.key("d")) == same
        assert changed.key("e") != changed.key("d")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(BASE, messages=BASE.messages[::-1]), id="order-of-messages"),
        pytest.param(replace(BASE, messages=BASE.messages[1:]), id="no-system-prompt"),
        pytest.param(
            replace(BASE, messages=(replace(BASE.messages[0], role="user"), BASE.messages[1])), id="role"
        ),
        pytest.param(replace(BASE, think=False), id="thinking-off-is-not-no-thinking"),
        pytest.param(replace(BASE, repeat=1), id="repeat"),
        pytest.param(replace(BASE, options={**BASE.options, "num_ctx": 8192}), id="context"),
        pytest.param(replace(BASE, options={**BASE.options, "format": "json"}), id="format"),
        pytest.param(replace(BASE, options={**BASE.options, "new": 1}), id="an-option-more"),
    ],
)
def test_each_of_these_makes_another_key(changed: ChatRequest) -> None:
    assert changed.key("d") != BASE.key("d")


def test_the_name_of_the_case_and_the_order_of_the_options_make_no_other_key() -> None:
    renamed = replace(
        BASE, task="other", case="renamed", options=dict(sorted(BASE.options.items(), reverse=True))
    )
    assert renamed.key("d") == BASE.key("d")


def test_the_key_is_pinned_so_that_a_change_of_it_is_seen() -> None:
    # A new key makes every stored reply unreachable: change it only on purpose.
    request = ChatRequest("t", "c", (Message("user", "é"),), {"temperature": 0.0, "stop": []}, None, 0)
    assert request.key("d") == "496d4a0e248e4240056a6736c70595a76ae3f654459637d20d6bda100643ad92"


# JSON


@given(asked)
def test_a_request_survives_json_with_its_key(request: ChatRequest) -> None:
    told = ChatRequest.from_json(json.loads(json.dumps(request.to_json())))
    assert told.key("d") == request.key("d")
    assert json.dumps(told.to_json()) == json.dumps(request.to_json())


@given(
    st.builds(
        ModelReply,
        text=texts,
        thinking=texts,
        prompt_tokens=st.none() | st.integers(),
        total_s=st.none() | st.floats(allow_nan=False),
        fault=texts,
        retries=st.lists(texts).map(tuple),
    )
)
def test_a_reply_survives_json(reply: ModelReply) -> None:
    told = ModelReply.from_json(json.loads(json.dumps(reply.to_json())))
    assert isinstance(told.retries, tuple)
    assert json.dumps(told.to_json()) == json.dumps(reply.to_json())


def test_a_model_survives_json() -> None:
    spec = ModelSpec("gguf:a", "gguf", "a")
    model = Model(spec, "d", thinks=True, slots=4, details={"files": ["a"], "context_length": None})
    assert Model.from_json(json.loads(json.dumps(model.to_json()))) == model


@pytest.mark.parametrize(
    ("tokens", "seconds", "speed"),
    [(8, 0.25, 32.0), (None, 1.0, None), (8, None, None), (0, 1.0, None), (8, 0.0, None)],
)
def test_speed_is_told_only_where_both_figures_mean_something(
    tokens: int | None, seconds: float | None, speed: float | None
) -> None:
    assert ModelReply(completion_tokens=tokens, decode_s=seconds).tokens_per_s == speed
