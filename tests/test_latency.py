"""From timed replies to percentiles, and from the file that keeps them back to a table."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from evals.backends.base import Message, ModelReply
from evals.errors import RunRecordError
from evals.latency import Figure, Latency, figure, latency_of, parts_of, with_nonce, with_one_context
from evals.latency_record import LATENCY_FILE, latencies_in, newest_latency_run, read_latencies
from evals.report.latency import LEGEND, latency_lines, print_latency, short
from evals.resources import Used
from tests.conftest import chat_request, tiny_model

POSITIVE = st.lists(st.floats(0.001, 1e4), min_size=1, max_size=30)


def reply(**told: Any) -> ModelReply:
    """A reply of which everything is told, but for what is named."""
    figures: dict[str, Any] = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "load_s": 0.5,
        "prompt_s": 0.25,
        "decode_s": 0.4,
        "first_token_s": 0.75,
        "total_s": 1.15,
    }
    return ModelReply("text", **{**figures, **told})


def measured(*replies: ModelReply, used: Used | None = None, warm: bool = True) -> Latency:
    """What replies of a model say together."""
    return latency_of(tiny_model(), "warm" if warm else "cold", replies, used or Used())


def printed(latencies: Sequence[Latency], width: int) -> str:
    """The table as a terminal of that width shows it."""
    text = io.StringIO()
    print_latency(Console(file=text, width=width, highlight=False), latencies)
    return text.getvalue()


def test_percentiles_lie_between_neighbours_in_proportion() -> None:
    assert figure([1.0, 2.0, 3.0, 4.0, 5.0]) == Figure(3.0, 4.8, 5)


def test_the_p95_of_a_rate_is_its_slow_end_too() -> None:
    assert figure([10.0, 20.0, 30.0, 40.0, 50.0], fast_is_high=True) == Figure(30.0, 12.0, 5)


def test_one_request_is_its_own_percentiles_and_none_has_none() -> None:
    assert figure([2.5]) == Figure(2.5, 2.5, 1)
    assert figure([]) is None
    assert figure([None, None]) is None


def test_what_was_not_told_is_left_out_of_n() -> None:
    assert figure([1.0, None, 3.0]) == Figure(2.0, 2.9, 2)


@given(POSITIVE)
def test_no_percentile_leaves_the_range_and_the_p95_is_never_the_better_one(values: list[float]) -> None:
    slow, fast = figure(values), figure(values, fast_is_high=True)
    assert slow is not None and fast is not None
    edge = 1e-9 * max(values)
    assert min(values) - edge <= fast.p95 <= fast.p50 + edge
    assert slow.p50 - edge <= slow.p95 <= max(values) + edge


def test_rates_come_from_tokens_and_seconds() -> None:
    parts = parts_of([reply()])
    assert parts["prefill_tokens_per_s"] == Figure(400.0, 400.0, 1)
    assert parts["decode_tokens_per_s"] == Figure(50.0, 50.0, 1)
    assert parts["load_s"] == Figure(0.5, 0.5, 1)


@pytest.mark.parametrize("missing", ["prompt_tokens", "prompt_s"])
def test_a_server_that_does_not_tell_has_no_rate(missing: str) -> None:
    assert parts_of([reply(**{missing: None})])["prefill_tokens_per_s"] is None


def test_energy_is_told_by_a_thousand_answer_tokens() -> None:
    used = Used(energy_j=80.0)
    assert measured(reply(), reply(), used=used).energy_j_per_1000_tokens == 2000.0
    assert measured(reply(completion_tokens=None), used=used).energy_j_per_1000_tokens is None
    assert measured(reply()).energy_j_per_1000_tokens is None


def test_replies_that_came_only_when_asked_again_are_counted() -> None:
    assert measured(reply(), reply(retries=("the server answered 503: busy",))).asked_again == 1


def test_the_nonce_stands_at_the_very_start_and_all_else_is_as_before() -> None:
    request = chat_request("how many?", system="Answer shortly.")
    marked = with_nonce(request, "abc")
    assert marked.messages == (Message("system", "abc Answer shortly."), Message("user", "how many?"))
    assert marked.options == request.options
    assert with_nonce(chat_request("how many?"), "abc").messages == (Message("user", "abc how many?"),)


def test_all_requests_have_the_largest_context_since_a_change_loads_the_model_anew() -> None:
    requests = with_one_context([chat_request("a", num_ctx=512), chat_request("b", num_ctx=2048)])
    assert [one.options["num_ctx"] for one in requests] == [2048, 2048]
    assert requests[0].options["max_tokens"] == 64


def test_latencies_survive_the_file() -> None:
    latencies = (measured(reply(), reply(load_s=None), warm=False), measured(reply(prompt_s=None)))
    data = {"benchmarks": [{"extra_info": one.to_json()} for one in latencies]}
    assert latencies_in(json.loads(json.dumps(data))) == latencies


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"benchmarks": []}', "no measurement at all"),
        ('{"benchmarks": [{"extra_info": {}}]}', "no latencies as Golden Gate writes them"),
        ("[1, 2]", "no latencies as Golden Gate writes them"),
        ("null", "no latencies as Golden Gate writes them"),
        ('{"benchmarks": [', "cannot be read"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_file_without_latencies_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / LATENCY_FILE).write_text(text)
    with pytest.raises(RunRecordError, match=said) as error:
        read_latencies(tmp_path)
    assert str(tmp_path / LATENCY_FILE) in str(error.value)


def test_a_run_that_was_not_timed_says_how_to_time_one(tmp_path: Path) -> None:
    with pytest.raises(RunRecordError, match=r"pytest evals/test_latency\.py"):
        read_latencies(tmp_path)
    with pytest.raises(RunRecordError, match=r"pytest evals/test_latency\.py"):
        newest_latency_run(tmp_path)


def test_the_newest_run_is_the_one_written_last_whatever_its_name(tmp_path: Path) -> None:
    for seconds, name in ((200, "a-late"), (100, "z-early")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / LATENCY_FILE).write_text("{}")
        os.utime(folder / LATENCY_FILE, (seconds, seconds))
    (tmp_path / "untimed").mkdir()
    assert newest_latency_run(tmp_path).name == "a-late"


def test_the_table_fits_eighty_columns_and_tells_what_was_not_told() -> None:
    used = Used(2_500_000_000, "the asking process", 6_100_000_000, 80.0)
    text = printed([measured(reply(), warm=False), measured(reply(prompt_s=None), used=used)], 80)
    assert max(map(len, text.splitlines())) < 80
    cold, warm = (line.split() for line in text.splitlines()[2:4])
    assert cold == ["cold", "0.500/0.500", "0.750/0.750", "400/400", "50.0/50.0", "1.15/1.15"]
    assert warm == ["warm", "0.500/0.500", "0.750/0.750", "-", "50.0/50.0", "1.15/1.15"]
    assert "n: cold 1, warm 1; tokens (median): prompt 100, answer 20" in text
    assert "  memory: 2.50 GB (the asking process)\n" in text
    assert "  GPU, all that runs on it: memory 6.10 GB, 4000 J per 1,000 tokens\n" in text
    assert LEGEND in text


def test_every_figure_is_whole_at_forty_columns() -> None:
    text = printed([measured(reply(total_s=123.4))], 40)
    assert "    total s       123/123" in text.splitlines()
    assert "first token s 0.750/0.750" in text


def test_models_stand_below_each_other_and_cannot_steer_the_terminal() -> None:
    # A file may hold any name, although --model takes no such one.
    latencies = [replace(measured(reply()), model=name) for name in ("one", "two\x1b[31m")]
    lines = list(latency_lines(latencies))
    assert lines.index("one") < lines.index(next(line for line in lines if line.startswith("two")))
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("value", "text"), [(1432.4, "1432"), (48.12, "48.1"), (2.041, "2.04"), (0.0312, "0.031"), (0.0, "0.000")]
)
def test_figures_have_about_three_digits(value: float, text: str) -> None:
    assert short(value) == text
