"""The embedded default on the real llama.cpp, behind the real process that asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from evals.backends.base import AskSettings, ChatRequest, Message, Model, ModelReply, parse_spec
from evals.backends.embedded import SLOTS, payload, split_adapter
from evals.backends.weights import embedded_default
from evals.errors import ModelUnavailable
from evals.replies import Replies
from tests.conftest import chat_request

WIDTH = 576  # of SmolLM2-135M's hidden states
RANK = 4


@pytest.fixture(scope="module")
def weights() -> Path:
    """The embedded default's file; skips on a machine that has neither it nor a way to fetch it."""
    try:
        return embedded_default()
    except ModelUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def embedded(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replies]:
    """Replies of the embedded backend, without a store."""
    replies = Replies(AskSettings(), tmp_path_factory.mktemp("embedded") / "generate.log")
    yield replies
    replies.close()


def resolved(replies: Replies, spec: str) -> Model:
    (model,) = replies.resolve([parse_spec(spec)])
    assert isinstance(model, Model), model
    return model


def ask(replies: Replies, model: Model, *requests: ChatRequest) -> list[ModelReply]:
    replies.order(model, requests)
    return [replies.wait(request.key(model.digest)) for request in requests]


def test_a_reply_has_text_counts_and_times(embedded: Replies) -> None:
    model = resolved(embedded, "gguf:smollm2-135m")
    assert model.slots == SLOTS
    (reply,) = ask(embedded, model, chat_request("What is the capital of France?", max_tokens=24))
    assert not reply.fault
    assert reply.text.strip()
    assert reply.stop_reason in ("stop", "length")
    assert reply.prompt_tokens
    assert reply.completion_tokens
    assert reply.first_token_s is not None
    assert reply.total_s is not None
    assert 0 < reply.first_token_s <= reply.total_s
    assert reply.load_s
    assert reply.tokens_per_s


def test_the_token_limit_shows_in_the_stop_reason(embedded: Replies) -> None:
    model = resolved(embedded, "gguf:smollm2-135m")
    (reply,) = ask(embedded, model, chat_request("Count from 1 to 50.", max_tokens=5))
    assert (reply.stop_reason, reply.completion_tokens) == ("length", 5)


def test_a_format_constrains_the_answer(embedded: Replies) -> None:
    model = resolved(embedded, "gguf:smollm2-135m")
    form = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
    }
    (reply,) = ask(embedded, model, chat_request("Name a city.", max_tokens=40, format=form))
    assert isinstance(json.loads(reply.text)["city"], str)


def test_a_prompt_beyond_the_context_is_a_fault_that_says_what_to_do(embedded: Replies) -> None:
    model = resolved(embedded, "gguf:smollm2-135m")
    (reply,) = ask(embedded, model, chat_request("many words " * 500, num_ctx=256))
    assert "raise options.num_ctx in task.yaml" in reply.fault


def test_more_requests_than_slots_are_all_answered(embedded: Replies) -> None:
    model = resolved(embedded, "gguf:smollm2-135m")
    requests = [chat_request(f"Say the number {number}.", max_tokens=8) for number in range(SLOTS + 3)]
    assert all(reply.text and not reply.fault for reply in ask(embedded, model, *requests))


def write_lora(path: Path, scale: float) -> None:
    """A LoRA adapter on the first layer's query projection; with scale 0 it changes nothing."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(RANK))
    a = random.standard_normal((RANK, WIDTH)).astype(np.float32)
    b = (random.standard_normal((WIDTH, RANK)) * scale).astype(np.float32)
    writer.add_tensor("blk.0.attn_q.weight.lora_a", a)
    writer.add_tensor("blk.0.attn_q.weight.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_lora_adapter_changes_answers_and_digest(embedded: Replies, tmp_path: Path) -> None:
    request = chat_request("Tell me about the sea.", max_tokens=24)
    base = resolved(embedded, "gguf:smollm2-135m")
    texts, digests = [ask(embedded, base, request)[0].text], [base.digest]
    for scale in (0.0, 5.0):
        adapter = tmp_path / f"adapter-{scale}.gguf"
        write_lora(adapter, scale)
        model = resolved(embedded, f"gguf:smollm2-135m+{adapter}")
        texts.append(ask(embedded, model, request)[0].text)
        digests.append(model.digest)
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert len(set(digests)) == 3


def test_a_file_that_is_no_model_is_a_fault_not_a_crash(embedded: Replies, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    model = resolved(embedded, f"gguf:{broken}")
    (reply,) = ask(embedded, model, chat_request("Hello?"))
    assert "llama.cpp cannot load" in reply.fault


def test_a_plus_in_an_existing_path_is_no_adapter(tmp_path: Path) -> None:
    odd = tmp_path / "a+b.gguf"
    odd.touch()
    assert split_adapter(str(odd)) == (str(odd), None)
    assert split_adapter("base.gguf+lora.gguf") == ("base.gguf", "lora.gguf")


def test_the_body_names_every_option_that_is_set() -> None:
    request = ChatRequest(
        "task",
        "case",
        (Message("user", "Hello"),),
        {
            "max_tokens": 9, "temperature": 0.5, "seed": 3, "num_ctx": 512, "top_p": 0.9, "top_k": 40,
            "repeat_penalty": 1.1, "stop": ["END"], "format": "json",
        },
        think=True,
    )  # fmt: skip
    assert payload(request) == {
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": 3,
        "stream": True,
        "timings_per_token": False,
        "chat_template_kwargs": {"enable_thinking": True},
        "top_p": 0.9,
        "top_k": 40,
        "repeat_penalty": 1.1,
        "stop": ["END"],
        "response_format": {"type": "json_object"},
    }
