"""transformers in the process, on small models made here, behind the real process that asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.backends.base import ChatRequest
from evals.backends.batches import WINDOW
from evals.backends.hugging_face import split_thinking
from evals.errors import ModelUnavailable
from evals.replies import Replies
from tests.backends.conftest import ask, found
from tests.conftest import chat_request
from tests.evals_run import Evals, write_task
from tests.small_hf_model import (
    TEMPLATE,
    THINKING_TEMPLATE,
    change_json,
    save_adapter,
    save_model,
    save_smollm2,
    save_tokenizer,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


QUESTIONS = [f"{'tell me ' * number}about {number}" for number in (0, 9, 1, 8, 2, 7, 3, 6, 4, 5, 10, 20)]


def test_a_reply_has_text_counts_and_times(asked: Replies, small: Path) -> None:
    model = found(asked, small)
    assert (model.slots, model.thinks) == (WINDOW, False)
    assert model.details["architecture"] == "LlamaForCausalLM"
    (reply,) = ask(asked, model, chat_request("Hello?", max_tokens=12))
    assert not reply.fault
    assert (reply.stop_reason, reply.completion_tokens) == ("length", 12)
    assert reply.prompt_tokens == len("user\nHello?\nassistant") + 3  # bytes, and three marks of ChatML
    times = (reply.load_s, reply.prompt_s, reply.decode_s, reply.first_token_s, reply.total_s)
    assert all(one is not None and one > 0 for one in times)


def test_a_greedy_answer_is_the_same_alone_and_in_a_batch(asked: Replies, small: Path) -> None:
    model = found(asked, small)
    together = ask(asked, model, *[chat_request(one, max_tokens=16) for one in QUESTIONS])
    alone = [ask(asked, model, chat_request(one, max_tokens=16))[0] for one in QUESTIONS]
    assert [one.text for one in together] == [one.text for one in alone]
    assert [one.prompt_tokens for one in together] == [one.prompt_tokens for one in alone]
    assert len({one.text for one in alone}) > 6


def test_a_drawn_answer_depends_on_its_seed_and_not_on_its_neighbours(asked: Replies, small: Path) -> None:
    model = found(asked, small)

    def drawn(text: str, seed: int) -> ChatRequest:
        return chat_request(text, max_tokens=16, temperature=0.8, top_p=0.95, top_k=50, seed=seed)

    together = ask(asked, model, *[drawn(one, seed) for one in QUESTIONS for seed in (0, 1)])
    alone = [ask(asked, model, drawn(one, seed))[0] for one in QUESTIONS[:3] for seed in (0, 1)]
    assert [one.text for one in together[:6]] == [one.text for one in alone]
    assert together[0].text != together[1].text


def test_rows_of_one_batch_keep_their_own_limits(asked: Replies, small: Path) -> None:
    model = found(asked, small)
    long = ask(asked, model, *[chat_request(one, max_tokens=16) for one in QUESTIONS[:4]])
    mixed = ask(
        asked, model, *[chat_request(one, max_tokens=4 * n) for n, one in enumerate(QUESTIONS[:4], 1)]
    )
    assert [one.completion_tokens for one in mixed] == [4, 8, 12, 16]
    assert mixed[3].text == long[3].text


def test_a_stop_text_ends_an_answer_and_is_cut_off(asked: Replies, small: Path) -> None:
    model = found(asked, small)
    (whole,) = ask(asked, model, chat_request("Hello?", max_tokens=16))
    letters = [one for one in whole.text if one.isascii()]
    (cut,) = ask(asked, model, chat_request("Hello?", max_tokens=16, stop=[letters[1]]))
    assert cut.text == whole.text[: whole.text.index(letters[1])]
    assert cut.stop_reason == "stop"
    assert cut.completion_tokens is not None and cut.completion_tokens < 16


def test_the_end_token_ends_an_answer_and_is_no_text(asked: Replies, own: Path) -> None:
    model = found(asked, own)
    (whole,) = ask(asked, model, chat_request("Hello?", max_tokens=16))
    # Any byte that the model says may be made its end.
    letter = next(one for one in whole.text if one.isascii() and one.isprintable())
    vocabulary = json.loads((own / "tokenizer.json").read_text())["model"]["vocab"]
    change_json(own / "generation_config.json", eos_token_id=[257, vocabulary[letter]])
    changed = found(asked, own)
    assert changed.digest != model.digest
    (ended,) = ask(asked, changed, chat_request("Hello?", max_tokens=16))
    assert (ended.text, ended.stop_reason) == (whole.text[: whole.text.index(letter)], "stop")


def test_an_adapter_changes_answers_and_digest(
    asked: Replies, small: Path, adapter: Path, tmp_path: Path
) -> None:
    without = save_adapter(tmp_path / "zero", small, scale=0.0)
    models = [found(asked, name) for name in (small, f"{small}+{without}", f"{small}+{adapter}")]
    texts = [ask(asked, model, chat_request("Hello?", max_tokens=16))[0].text for model in models]
    assert texts[0] == texts[1] != texts[2]
    assert len({model.digest for model in models}) == 3
    assert models[2].digest.startswith(models[0].digest + "+")
    assert models[2].details["adapter_base"] == str(small)


def test_an_adapter_of_another_base_is_a_sentence(asked: Replies, adapter: Path, tmp_path: Path) -> None:
    larger = save_model(tmp_path / "larger", layers=3)
    (reply,) = ask(asked, found(asked, f"{larger}+{adapter}"), chat_request("Hello?"))
    assert f"the adapter {adapter} does not fit {larger} (it was trained on " in reply.fault


def test_an_adapters_own_template_is_taken(asked: Replies, small: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", small, template=THINKING_TEMPLATE)
    model = found(asked, f"{small}+{adapter}")
    assert model.thinks and model.details["tokenizer"] == str(adapter)


def test_a_template_that_can_think_is_told_whether_to(asked: Replies, own: Path) -> None:
    save_tokenizer(own, THINKING_TEMPLATE)
    model = found(asked, own)
    assert model.thinks
    on, off = ask(
        asked,
        model,
        chat_request("Hello?", max_tokens=8, think=True),
        chat_request("Hello?", max_tokens=8, think=False),
    )
    assert on.thinking and not on.text
    assert off.text and not off.thinking
    assert on.prompt_tokens is not None and off.prompt_tokens is not None
    assert on.prompt_tokens - off.prompt_tokens == len("<think>\n")


@pytest.mark.parametrize(
    ("text", "opened", "parts"),
    [
        ("<think>\nOne.\n</think>\n\nTwo.", False, ("One.", "Two.")),
        ("One.\n</think>\n\nTwo.", True, ("One.", "Two.")),
        ("One.", True, ("One.", "")),
        ("<think>One.", False, ("One.", "")),
        ("Two.", False, ("", "Two.")),
        ("Two. <think>", False, ("", "Two. <think>")),
        ("", False, ("", "")),
    ],
)
def test_thinking_is_split_off_where_an_answer_begins_with_it(
    text: str, opened: bool, parts: tuple[str, str]
) -> None:
    assert split_thinking(text, opened) == parts


# What cannot be asked


def test_a_prompt_beyond_the_context_is_a_fault_that_says_what_to_do(asked: Replies, own: Path) -> None:
    change_json(own / "config.json", max_position_embeddings=128)
    model = found(asked, own)
    small_context, long, fits = ask(
        asked,
        model,
        chat_request("x" * 70, num_ctx=64),
        chat_request("x" * 200),
        chat_request("x" * 90, max_tokens=64),
    )
    assert small_context.fault == (
        "the prompt has 88 tokens and the context 64; raise options.num_ctx in task.yaml"
    )
    assert long.fault == "the prompt has 218 tokens and the context 128; the model has positions for no more"
    assert (fits.fault, fits.completion_tokens, fits.stop_reason) == ("", 128 - 108, "length")


def test_a_format_is_refused_and_not_ignored(asked: Replies, small: Path) -> None:
    (reply,) = ask(asked, found(asked, small), chat_request("Hello?", format="json"))
    assert "cannot constrain an answer to a format" in reply.fault


def test_a_template_that_refuses_the_messages_costs_its_own_reply(asked: Replies, own: Path) -> None:
    guard = "{% if messages[0].role == 'system' %}{{ raise_exception('no system prompts') }}{% endif %}"
    save_tokenizer(own, guard + TEMPLATE)
    model = found(asked, own)
    bad, good = ask(
        asked,
        model,
        chat_request("Hello?", system="Be brief.", max_tokens=4),
        chat_request("Hello?", max_tokens=4),
    )
    assert bad.fault == "the chat template refuses these messages: no system prompts"
    assert good.text


def test_a_tokenizer_of_another_model_is_a_sentence(asked: Replies, own: Path) -> None:
    tokens = json.loads((own / "tokenizer.json").read_text())
    tokens["model"]["vocab"]["H"] = 5000
    (own / "tokenizer.json").write_text(json.dumps(tokens))
    (reply,) = ask(asked, found(asked, own), chat_request("Hello?"))
    assert "tokens beyond the 259 that the weights know" in reply.fault


def test_weights_that_are_not_whole_are_not_asked(asked: Replies, own: Path) -> None:
    change_json(own / "config.json", num_hidden_layers=3)
    (reply,) = ask(asked, found(asked, own), chat_request("Hello?"))
    assert "lacks 9 weights of its architecture" in reply.fault


def test_weights_that_are_damaged_are_a_sentence(asked: Replies, own: Path) -> None:
    raw = (own / "model.safetensors").read_bytes()
    (own / "model.safetensors").write_bytes(raw[:1000])
    (reply,) = ask(asked, found(asked, own), chat_request("Hello?"))
    assert reply.fault.startswith(f"transformers cannot load {own}: ")


# Whole runs


def test_a_whole_run_asks_it(small: Path, tmp_path: Path) -> None:
    write_task(tmp_path / "golden")
    run = Evals(tmp_path, "http://127.0.0.1:1")
    run.tests = "evals.test_golden"
    done = run.run("--no-gate", models=[f"hf:{small}"])
    assert done.status == 0, done.out
    assert len(done.results) == 3
    assert "infrastructure" not in {one["outcome"] for one in done.results}


@pytest.mark.slow
def test_a_real_model_answers_the_same_alone_and_in_a_batch(asked: Replies, tmp_path: Path) -> None:
    try:
        folder = save_smollm2(tmp_path / "smollm2")
    except ModelUnavailable as reason:
        pytest.skip(str(reason))
    model = found(asked, folder)
    questions = [f"{'Please. ' * number}What is the capital of France?" for number in range(4)]
    together = ask(asked, model, *[chat_request(one, max_tokens=12) for one in questions])
    alone = [ask(asked, model, chat_request(one, max_tokens=12))[0] for one in questions]
    assert [one.text for one in together] == [one.text for one in alone]
    assert "Paris" in together[0].text
