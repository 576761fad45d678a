"""The leaderboard on the terminal: a line a model where there is room, and nothing left out where there is not."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Literal

import pytest
from rich.cells import cell_len
from rich.console import Console

from evals.leaderboard import Standing, in_order, standings
from evals.report.page import WHOLE, Cell
from evals.report.standings import print_standings
from evals.report.tables import percent
from evals.scores import ModelFigures
from evals.stats import wilson_interval
from tests.records import check, record

CAPABILITIES = ("format", "content", "recall", "reasoning", "safety", "consistency")
HOSTILE = "\x1b[2J\u202e[bold]b[/bold]\r\n\x9b1m"
MARK = "~ not distinguishable from the first"


def standing(
    model: str,
    whole: int | None,
    *,
    n: int = 100,
    capabilities: Mapping[str, int] | None = None,
    speed: float | None = 48.13,
) -> Standing:
    """A model with so many of n whole cases, and the same of every capability unless told."""
    passes: dict[str, int] = {} if whole is None else {WHOLE: whole}
    passes |= capabilities if capabilities is not None else dict.fromkeys(CAPABILITIES, whole or 0)
    overall = {name: Cell(k / n, k, n, *wilson_interval(k, n)) for name, k in passes.items()}
    figures = ModelFigures(model, n, {}, {}, {}, speed, None, 0, 0)
    return Standing(model, overall, {}, figures)


def printed(*rows: Standing, width: int = 80, colour: Literal["truecolor"] | None = None) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, color_system=colour, force_terminal=colour is not None, legacy_windows=False
    )
    print_standings(console, in_order(rows))
    return stream.getvalue()


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


THREE = (standing("gemma3n:e4b", 61), standing("qwen3:4b", 55), standing("small:1b", 9))


def test_at_80_columns_six_capabilities_stand_in_a_line_with_whole_cases_first() -> None:
    lines = lines_of(printed(*THREE))

    assert lines[:4] == [
        "   model              whole format content recall reason. safety consist. tok/s",
        " 1 gemma3n:e4b  61% (51-70)    61%     61%    61%     61%    61%      61%  48.1",
        " 2~qwen3:4b     55% (45-65)    55%     55%    55%     55%    55%      55%  48.1",
        " 3 small:1b       9% (4-17)     9%      9%     9%      9%     9%       9%  48.1",
    ]


def test_only_models_whose_intervals_overlap_the_first_are_marked_and_the_mark_is_told() -> None:
    assert MARK in printed(*THREE)
    assert "~" not in printed(standing("good:7b", 90), standing("small:1b", 10))


def test_models_of_one_figure_share_a_place() -> None:
    text = printed(standing("a:1b", 50), standing("b:1b", 50), standing("c:1b", 10))

    assert [line[:8] for line in lines_of(text)[1:4]] == [" 1 a:1b ", " 1~b:1b ", " 3 c:1b "]


@pytest.mark.parametrize("rows", [(), (THREE[0],)], ids=["none", "one"])
def test_fewer_than_two_models_are_no_leaderboard(rows: tuple[Standing, ...]) -> None:
    assert printed(*rows) == ""


def test_a_name_without_room_stands_on_a_line_of_its_own_and_moves_no_other() -> None:
    long = "hf:org/Some-Model-With-A-Long-Name-7B-Instruct"

    lines = lines_of(printed(*THREE, standing(long, 70)))

    assert lines[1] == f" 1 {long}"
    assert lines[2].split()[:3] == ["70%", "(60-79)", "70%"]
    assert lines[3].startswith(" 2~gemma3n:e4b  61% (51-70)")
    assert lines[2].index("(") == lines[3].index("(")


def test_at_40_columns_every_figure_is_there_with_its_name() -> None:
    lines = lines_of(printed(*THREE, width=40))

    assert lines[:4] == [
        " 1 gemma3n:e4b",
        "  whole 61% (51-70), format 61%,",
        "  content 61%, recall 61%,",
        "  reasoning 61%, safety 61%,",
    ]
    assert lines[4].strip() == "consistency 61%, tok/s 48.1"


@pytest.mark.parametrize("width", [80, 60, 40, 20])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    rows = (*THREE, standing("名前" * 30, 40), standing("x" * 200, 30), standing("y z " * 40, 20))

    assert max(cell_len(line) for line in printed(*rows, width=width).splitlines()) <= width


def test_where_single_cases_are_unknown_the_mean_stands_first_without_an_interval() -> None:
    rates = {"command": 80, "exact": 20}

    lines = lines_of(
        printed(
            standing("a:1b", None, capabilities=rates, speed=None),
            standing("b:1b", None, capabilities={"command": 40, "exact": 20}, speed=None),
        )
    )

    assert lines[:3] == [
        "   model  mean command exact",
        " 1 a:1b    50%     80%   20%",
        " 2 b:1b    30%     40%   20%",
    ]
    assert lines[3] == "  mean: of the capabilities; single cases are not known, so there is no interval"


def test_a_model_of_which_nothing_was_judged_stands_last_and_says_so() -> None:
    silent = standing("silent:1b", None, capabilities={}, speed=None)

    assert lines_of(printed(silent, *THREE))[4].split() == ["4", "silent:1b", *"-" * 8]
    assert "nothing was judged" in printed(silent, *THREE, width=40)


def test_a_run_is_shown_as_it_was_recorded() -> None:
    records = [
        record(check("pass" if number < passed else "fail"), model=model, case=f"c{number}")
        for model, passed in (("small:1b", 3), ("large:7b", 9))
        for number in range(10)
    ]

    lines = lines_of(printed(*standings(records, {})))

    assert lines[1].split() == ["1", "large:7b", "90%", "(59-99)", "90%", "40.0"]
    assert lines[2].split() == ["2~small:1b", "30%", "(10-61)", "30%", "40.0"]


@pytest.mark.parametrize("width", [80, 30])
def test_hostile_names_steer_no_terminal(width: int) -> None:
    rows = (standing(HOSTILE, 50), standing("b", 40, capabilities={HOSTILE: 1}))

    text = printed(*rows, width=width)

    assert not {"\x1b", "\r", "\x9b", "\u202e"} & set(text)
    assert r"\x1b[2J" in text


def test_without_colour_the_words_are_the_same() -> None:
    plain, coloured = printed(*THREE), printed(*THREE, colour="truecolor")

    assert "\x1b[" in coloured
    assert "".join(part.split("m", 1)[-1] for part in coloured.split("\x1b[")) == plain


@pytest.mark.parametrize(
    ("fraction", "words"), [(0, "0%"), (0.001, "<1%"), (0.015, "2%"), (0.999, ">99%"), (1, "100%")]
)
def test_only_all_is_100_percent_and_only_nothing_is_0(fraction: float, words: str) -> None:
    assert percent(fraction, 0) == words
