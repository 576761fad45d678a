"""The end of a run on the terminal: whole figures at 80 and at 40 columns, and nothing that steers it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from rich.cells import cell_len
from rich.console import Console

from evals.gate import GateVerdict
from evals.report.terminal import print_summary
from evals.runs import CaseRecord
from evals.scores import summarise
from tests.records import check, record
from tests.verdicts import verdict

FLOORS = {"minecraft_ops": {"format": 0.95, "content": 0.6}, "entity_extraction": {"content": 0.995}}
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e|<img onerror=x>[bold]b[/bold]\r\n\x9b1m"
STEERING = {"\x1b", "\x07", "\r", "\x9b", "\u202e"}


def results(n: int = 20) -> list[CaseRecord]:
    return [
        record(
            check("pass" if number % 3 else "fail", cause=f"cause {number}: {HOSTILE}"),
            check(name="json-schema", capability="format"),
            model="registry.example.com/team/some-model-with-a-long-name:7b-instruct-q4_K_M",
            task=task,
            case=f"case-{number}",
        )
        for task in ("minecraft_ops", "entity_extraction")
        for number in range(n)
    ]


LOST = record(
    check("unscored"), task="minecraft_ops", outcome="infrastructure", fault=HOSTILE, retries=("x",)
)


HOLDS = GateVerdict("holds", "The gate holds.")
FAILS = GateVerdict("fails", "The gate does not hold.", ("too low",))


def printed(
    records: Sequence[CaseRecord],
    width: int = 80,
    *,
    colour: Literal["truecolor"] | None = None,
    verdict: GateVerdict = HOLDS,
    unavailable: dict[str, str] | None = None,
    **flags: Any,
) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, color_system=colour, force_terminal=colour is not None, legacy_windows=False
    )
    defaults: dict[str, Any] = {"folder": Path("reports/r1"), "complete": True, "stored": 0}
    print_summary(console, summarise(records, FLOORS), verdict, unavailable or {}, **{**defaults, **flags})
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 40, 20])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    text = printed(
        [*results(), LOST],
        width,
        verdict=GateVerdict("fails", "No.", ("a problem of many words " * 9, "x" * 300)),
        unavailable={"big": "it is not there: " + "y" * 200},
        notes=["a note " * 30],
        stored=7,
    )

    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_at_80_columns_each_figure_stands_whole() -> None:
    rows = [" ".join(line.split()) for line in printed(results()).splitlines()]

    assert "minecraft_ops content 65.0% 43.3% - 81.9% 20 60% ok" in rows
    assert "entity_extraction content 65.0% 43.3% - 81.9% 20 99.5% below" in rows
    assert "format 100.0% 83.9% - 100.0% 20 95% ok" in rows


def test_at_40_columns_the_figures_that_decide_stand_whole() -> None:
    rows = [line.split() for line in printed(results(), 40).splitlines()]

    assert ["minecraft_ops"] in rows
    assert ["content", "65.0%", "60%", "ok"] in rows
    assert ["content", "65.0%", "99.5%", "below"] in rows


def test_a_model_whose_answers_all_failed_to_come_is_told_with_the_reason() -> None:
    text = printed([LOST])

    assert "replies: infrastructure 1" in text
    assert r"no reply (1): \x1b[2J" in text
    assert "1 replies came only after asking again" in text


@pytest.mark.parametrize("colour", [None, "truecolor"], ids=["plain", "colour"])
def test_nothing_that_steers_a_terminal_reaches_it(colour: Literal["truecolor"] | None) -> None:
    text = printed(
        [*results(3), LOST],
        colour=colour,
        verdict=GateVerdict("fails", "No.", (HOSTILE,)),
        unavailable={"big": HOSTILE},
        notes=[HOSTILE],
    )

    outside = text if colour is None else "".join(part.split("m", 1)[-1] for part in text.split("\x1b["))
    assert not STEERING & set(outside)
    assert text.count("[bold]b[/bold]") >= 4
    assert r"\x1b]0;owned\x07\u202e|<img onerror=x>" in text


def test_a_message_of_several_lines_keeps_them() -> None:
    text = printed([], unavailable={"big": "there is no model big:70b\n  ollama pull big:70b"})

    assert "there is no model big:70b\n  ollama pull big:70b\n" in text


def test_without_colour_there_is_no_escape_sequence_and_with_it_the_words_are_the_same() -> None:
    plain = printed(
        results(),
        verdict=GateVerdict("fails", "No.", ("below",)),
        unavailable={"big": "gone"},
        notes=["note"],
    )
    coloured = printed(
        results(),
        colour="truecolor",
        verdict=GateVerdict("fails", "No.", ("below",)),
        unavailable={"big": "gone"},
        notes=["note"],
    )

    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    assert "".join(part.split("m", 1)[-1] for part in coloured.split("\x1b[")) == plain


VERDICTS: dict[str, tuple[dict[str, Any], str]] = {
    "holds": ({}, "The gate holds."),
    "does not hold": ({"verdict": FAILS}, "The gate does not hold.\n  too low"),
    "partial": ({"verdict": GateVerdict("partial", "No verdict, a part.")}, "No verdict, a part."),
    "interrupted": (
        {"complete": False, "verdict": FAILS},
        "Interrupted: the figures are of what was judged",
    ),
}


@pytest.mark.parametrize(
    ("given", "says"), VERDICTS.values(), ids=[name.replace(" ", "-") for name in VERDICTS]
)
def test_the_verdict_stands_in_words(given: dict[str, Any], says: str) -> None:
    text = "\n".join(line.rstrip() for line in printed(results(), **given).splitlines())

    assert says in text
    assert sum(text.count(other) for _, other in VERDICTS.values()) == 1


def test_the_folder_of_the_record_is_one_line_to_copy() -> None:
    folder = Path("/a/folder/with/a/very/long/name/that/does/not/fit/reports/20260101-120000-small-1b")

    assert f"run: {folder}\n" in printed([], 40, folder=folder)
    assert f"unfinished run: {folder}\n" in printed([], 40, folder=folder, complete=False)


def test_rare_causes_are_counted_and_the_store_is_named() -> None:
    text = printed(results(30), stored=3)

    assert "and 2 rarer causes, in report.md" in text
    assert "3 replies came from the store; --refresh asks the models again." in text


def test_what_an_early_stop_spared_is_told_once_in_one_word() -> None:
    compared = replace(verdict("promote"), spared=12)

    alone, beside = printed([], spared=12), printed([], spared=12, comparison=compared)

    assert "Stopped early: 12 requests were spared, since nothing could change the verdict." in alone
    assert "1 request was spared" in printed([], spared=1)
    assert beside.lower().count("stopped early") == 1
    assert "stopped early: 12 requests were spared" in beside
