"""Fidelity on the terminal: at 80 and at 40 columns, without colour, and harmless whatever names hold."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from tests.training.fidelity_steps import CASES, F16, Q4, Q8, STEPS, found, given, measured
from training.fidelity import Fidelity
from training.fidelity_measure import Given, Step
from training.fidelity_report import print_fidelity


def printed(
    changed: Mapping[Step, Mapping[str, Given]], width: int = 80, skipped: tuple[str, ...] = ()
) -> list[str]:
    result = Fidelity(
        name="ops",
        adapter="reports/adapters/ops/1",
        digest="a" * 64,
        base="gguf:smollm2-135m",
        task="minecraft_ops",
        split="dev",
        cases=len(CASES),
        run=Path("reports/20260101-120000-ops"),
        measured=measured(changed),
        findings=found(changed),
        skipped=skipped,
    )
    stream = io.StringIO()
    print_fidelity(Console(file=stream, width=width, highlight=False), result)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    return lines


LOSS = {Q4: given(misses=CASES[:9])}


def test_each_step_has_a_row_with_what_it_is_held_against() -> None:
    lines = printed(LOSS)
    rows = [line.split() for line in lines]

    assert lines[0] == "fidelity of ops on minecraft_ops: 20 cases of the split dev"
    assert ["1", "transformers,", "adapter", "40/40"] in rows
    assert ["4", "Ollama,", "f16", "40/40", "3:", "-0", "+0", "-0", "+0", "100%", "100%", "same"] in rows
    assert ["6", "Ollama,", "q4_K_M", "31/40", "4:", "-9", "+0", "-9", "+0", "100%", "100%", "same"] in rows


def test_a_share_is_never_rounded_up_to_all_nor_down_to_none() -> None:
    many = [f"c{number}" for number in range(300)]
    answers = {step: given(many) for step in STEPS}
    answers[F16] = given(many, texts={"c0": "Otherwise."})
    answers[Q8] = given(many, texts=dict.fromkeys(many[1:], "Otherwise again."))
    rows = [line.split() for line in printed(answers)]

    assert next(row[-3:] for row in rows if row[:1] == ["4"]) == ["99%", "99%", "same"]
    assert next(row[-3:] for row in rows if row[:1] == ["5"])[:2] == ["0%", "0%"]
    answers[Q8] = given(many, texts=dict.fromkeys(many[2:], "Otherwise again."))
    rows = [line.split() for line in printed(answers)]
    assert next(row[-3:] for row in rows if row[:1] == ["5"])[:2] == ["1%", "1%"]


def test_flipped_cases_are_named_and_of_many_the_rest_is_counted() -> None:
    text = "\n".join(printed(LOSS))

    assert "6 Ollama, q4_K_M, content: lost 9, won 0 of 20 against 4 (p = 0.004)" in text
    assert "lost: c00, c01, c02, c03, c04, c05, c06, c07 and 1 more" in text


def test_findings_are_told_in_words() -> None:
    lines = printed({**LOSS, Q8: given(misses=["c19"])})

    assert any(line.startswith("loss  6 Ollama, q4_K_M: quantisation loss") for line in lines)
    assert any(line.startswith("note  5 Ollama, q8_0: against") for line in lines)
    assert any("mend: take a finer quantisation" in line for line in lines)


def test_without_faults_it_says_so() -> None:
    assert "ok  no fault found in 5 steps after the first" in printed({})


def test_prompts_of_other_tokens_are_shown_by_how_many() -> None:
    more = given(more_tokens={"c01": 12, "c02": -3})
    rows = [line.split() for line in printed({F16: more, Q8: given(more_tokens=dict.fromkeys(CASES, 1))})]

    assert any(row[:3] == ["4", "Ollama,", "f16"] and row[-1] == "-3..+12" for row in rows)
    assert any(row[:3] == ["5", "Ollama,", "q8_0"] and row[-1] == "+1" for row in rows)


def test_at_40_columns_each_step_is_a_block_with_all_figures() -> None:
    lines = printed(LOSS, width=40)

    at = lines.index("6 Ollama, q4_K_M")
    assert [line.split() for line in lines[at + 1 : at + 7]] == [
        ["passed", "31/40"],
        ["flips", "4:", "-9", "+0"],
        ["vs", "1", "-9", "+0"],
        ["text", "100%"],
        ["start", "100%"],
        ["prompt", "same"],
    ]


def test_what_was_skipped_is_told() -> None:
    assert "skipped: Ollama: nobody answers at 127.0.0.1" in printed(
        {}, skipped=("Ollama: nobody answers at 127.0.0.1",)
    )


@pytest.mark.parametrize("width", [80, 40])
def test_names_that_steer_a_terminal_are_made_harmless(width: int) -> None:
    cases = ["c\x1b[2Jx", "[red]y[/red]"]
    answers = {step: given(cases) for step in STEPS} | {Q4: given(cases, misses=cases)}
    text = "".join(printed(answers, width, skipped=("Ollama: \x1b[31m[bold]no",)))

    assert "\x1b" not in text
    assert "[bold]no" in text and "[red]y[/red]" in text
