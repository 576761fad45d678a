"""Lengths in tokens: percentiles, what fits in two senses, what is skipped, shortened or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.base import Message
from tests.small_hf_model import TEMPLATE, save_tokenizer
from training.data import Example
from training.encode import Encoder, open_encoder
from training.token_lengths import Fit, Spread, measure, spread

# `TEMPLATE` always asks for an answer at its end; this one writes it where it is asked to.
ASKING = TEMPLATE.removesuffix("<|im_start|>assistant\n") + (
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Tokens are bytes: these are those around a user's text, the answer's header included, and the answer's end token.
AROUND, END = len("_user\n_\n_assistant\n"), 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(made, ASKING)
    return made


def encoder(folder: Path, max_length: int) -> Encoder:
    return open_encoder(folder, max_length)


def example(line: int, prompt: int, completion: int) -> Example:
    """An example of so many tokens, those around them included."""
    messages = (Message("user", "u" * (prompt - AROUND)), Message("assistant", "a" * (completion - END)))
    return Example(line, messages, {})


def test_lengths_are_told_of_prompts_and_completions(folder: Path) -> None:
    found = measure([example(n, 100 + n, 10 * n) for n in range(1, 11)], encoder(folder, 512))

    assert found.prompt == Spread(median=106, p90=109, p95=110, longest=110)
    assert found.completion == Spread(median=55, p90=90, p95=100, longest=100)
    assert (found.skipped, found.shortened, found.refused) == ((), (), ())


def test_a_completion_that_fits_alone_is_told_apart_from_one_that_fits_with_its_prompt(folder: Path) -> None:
    examples = [example(1, 412, 100), example(2, 413, 100), example(3, 100, 512), example(4, 100, 513)]

    found = measure(examples, encoder(folder, 4096), context=2048)

    assert found.fits == (
        Fit(512, completion=0.75, whole=0.25, beyond=False),
        Fit(1024, completion=1, whole=1, beyond=False),
        Fit(2048, completion=1, whole=1, beyond=False),
        Fit(4096, completion=1, whole=1, beyond=True),
    )


def test_no_length_is_beyond_a_context_that_nobody_knows(folder: Path) -> None:
    assert not any(fit.beyond for fit in measure([example(1, 50, 9)], encoder(folder, 64)).fits)


def test_what_is_skipped_and_shortened_is_told_by_line_and_counts_with_its_full_length(folder: Path) -> None:
    examples = [example(1, 50, 14), example(2, 80, 14), example(3, 50, 100)]

    found = measure(examples, encoder(folder, 64))

    assert found.shortened == ((2, 30),)
    assert [one.line for one in found.skipped] == [3]
    assert "completion of 100 tokens" in found.skipped[0].reason
    assert found.prompt.longest == 80
    assert found.completion.longest == 100


def test_what_the_encoder_refuses_is_grouped_by_its_reason_and_does_not_end_the_others(folder: Path) -> None:
    long = Message("system", "s" * 100)
    hopeless = [Example(line, (long, *example(line, 50, 9).messages), {}) for line in (1, 3)]

    found = measure([hopeless[0], example(2, 50, 9), hopeless[1]], encoder(folder, 64))

    (refused,) = found.refused
    assert refused.lines == (1, 3)
    assert refused.reason.startswith("its prompt has")
    assert found.prompt == Spread(50, 50, 50, 50)


def test_figures_of_nothing_are_none(folder: Path) -> None:
    found = measure([], encoder(folder, 64))

    assert (found.prompt, found.fits) == (Spread(0, 0, 0, 0), ())


@given(st.lists(st.integers(0, 5000), min_size=1))
def test_percentiles_are_counts_that_so_many_do_not_exceed(counts: list[int]) -> None:
    found = spread(counts)

    assert {found.p90, found.p95, found.longest} <= set(counts)
    for share, value in ((90, found.p90), (95, found.p95)):
        assert sum(count <= value for count in counts) * 100 >= share * len(counts)
        assert sum(count < value for count in counts) * 100 < share * len(counts)
    assert found.longest == max(counts)
    assert sum(count <= found.median + 0.5 for count in counts) * 2 >= len(counts)
