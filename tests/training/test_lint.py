"""Lint of a whole file: what forbids training on it, what only deserves a look, and what is nothing at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.cases import GoldenTask, load_golden
from evals.errors import DataError
from tests.golden_folder import write_golden
from tests.small_hf_model import TEMPLATE, save_tokenizer
from training.encode import Encoder, open_encoder
from training.lint import Finding, LintReport, lint

ASKING = TEMPLATE.removesuffix("<|im_start|>assistant\n") + (
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PROMPTS = [
    "Grass in May?",
    "Snow at noon?",
    "A raven's wing?",
    "Copper roofs?",
    "An old brick?",
    "Ripe wheat?",
]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> GoldenTask:
    return load_golden(write_golden(tmp_path_factory.mktemp("golden")))[0]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder, ASKING)
    return open_encoder(folder, 128)


def clean() -> list[dict[str, Any]]:
    return [
        {"prompt": one, "completion": f"colour {n}", "expect": {"keywords": [f"colour {n}"]}}
        for n, one in enumerate(PROMPTS)
    ]


def linted(tmp_path: Path, lines: list[dict[str, Any]], **options: Any) -> LintReport:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return lint(path, **{"task": None, "tasks": (), "encoder": None, "held_out": 0.0, **options})


def told(findings: tuple[Finding, ...]) -> list[tuple[str, list[int]]]:
    return [(str(one), [detail.line for detail in one.details]) for one in findings]


def test_clean_data_has_neither_problems_nor_warnings(
    tmp_path: Path, task: GoldenTask, encoder: Encoder
) -> None:
    report = linted(tmp_path, clean(), task=task, tasks=(task,), encoder=encoder)

    assert (report.problems, report.warnings) == ((), ())
    assert (report.trained, report.held_out) == (6, 0)
    assert report.dataset.task == "colours"
    assert report.judgement.judged == {"keywords": 6}
    assert report.tokens is not None and report.tokens.prompt.longest > 0


def test_a_golden_input_forbids_training(tmp_path: Path, task: GoldenTask) -> None:
    report = linted(tmp_path, [*clean(), {"prompt": "the sky above us", "completion": "grey"}], tasks=(task,))

    (problem,) = report.problems
    assert problem.what.startswith("1 example overlaps golden cases: ")
    assert (
        "here with --allow-contamination REASON, in the training's config with allow_contamination"
        in problem.what
    )
    assert [(one.line, one.what) for one in problem.details] == [
        (7, "colours/sky, input, normalised: The sky above us.")
    ]
    assert [one.line for one in report.overlaps] == [7]


def test_with_a_reason_it_is_a_warning_that_gives_the_reason(tmp_path: Path, task: GoldenTask) -> None:
    lines = [*clean(), {"prompt": "The sky above us.", "completion": "grey"}]

    report = linted(tmp_path, lines, tasks=(task,), allow_contamination=" only a demonstration ")

    assert report.problems == ()
    assert told(report.warnings) == [("1 example overlaps golden cases; allowed: only a demonstration", [7])]
    assert (report.allowed, len(report.overlaps)) == ("only a demonstration", 1)


def test_a_blank_reason_is_none(tmp_path: Path, task: GoldenTask) -> None:
    lines = [{"prompt": "The sky above us.", "completion": "grey"}]

    assert len(linted(tmp_path, lines, tasks=(task,), allow_contamination="  ").problems) == 1


def test_completions_that_miss_a_check_of_their_task_forbid_training(
    tmp_path: Path, task: GoldenTask
) -> None:
    lines = [*clean(), {"prompt": "Limes?", "completion": "red", "expect": {"keywords": ["green"]}}]

    report = linted(tmp_path, lines, task=task)

    assert told(report.problems) == [("1 line misses what the task checks: mend each, or take it out", [7])]
    assert report.problems[0].details[0].what.startswith("keywords: ")


@pytest.mark.parametrize(
    ("completion", "said", "problem_without_task"),
    [
        (" ", "is empty", True),
        ("<think>hm</think>", "holds thinking and no answer", True),
        ("<think>hm</think>red", "holds <think> tags", False),
        ("I'm sorry, I can't help with that.", "refuses in prose", False),
    ],
)
def test_a_completion_that_is_no_answer_forbids_training_for_a_task(
    completion: str, said: str, problem_without_task: bool, tmp_path: Path, task: GoldenTask
) -> None:
    lines = [*clean(), {"prompt": "Limes?", "completion": completion}]

    of_task, without = linted(tmp_path, lines, task=task), linted(tmp_path, lines)

    (problem,) = of_task.problems
    assert problem.what.startswith("1 completion is no answer")
    assert ("refuse" in problem.what) == ("refuses" in said)
    assert (problem.details[0].line, of_task.warnings) == (7, ())
    assert said in problem.details[0].what
    expected = (1, 0) if problem_without_task else (0, 1)
    assert (len(without.problems), len(without.warnings)) == expected


def test_duplicates_contradictions_and_near_duplicates_are_warnings(tmp_path: Path) -> None:
    lines = [
        *clean(),
        clean()[0],
        {"prompt": PROMPTS[1], "completion": "black"},
        {"prompt": "Snow at noons?", "completion": "white"},
    ]

    report = linted(tmp_path, lines)

    assert report.problems == ()
    assert told(report.warnings) == [
        ("1 example stands there more than once", [1]),
        ("1 prompt has completions that differ", [2]),
        ("2 pairs of prompts that nearly agree", [2, 8]),
    ]
    assert report.warnings[0].details[0].what == "again in line 7"


def test_near_duplicates_across_the_split_are_told(tmp_path: Path) -> None:
    lines = [{"prompt": f"What colour has object number {n}?", "completion": "x"} for n in range(12)]

    report = linted(tmp_path, lines, held_out=0.5)

    held = report.held_out
    assert 0 < held < 12
    assert str(report.warnings[0]) == (
        f"66 pairs of prompts that nearly agree, {held * (12 - held)} of them across the split, "
        "which flatters the held-out loss"
    )


def test_what_is_skipped_or_shortened_is_a_warning_and_is_not_trained(
    tmp_path: Path, encoder: Encoder
) -> None:
    lines = [
        *clean(),
        {"prompt": "Long?", "completion": "a" * 200},
        {"prompt": "b" * 200, "completion": "short"},
    ]

    report = linted(tmp_path, lines, encoder=encoder)

    assert report.problems == ()
    assert told(report.warnings) == [
        ("1 example will be skipped", [7]),
        ("1 prompt will be shortened in the middle", [8]),
    ]
    assert report.trained == 7


def test_nothing_left_to_train_is_a_problem(tmp_path: Path, encoder: Encoder) -> None:
    skipped = linted(tmp_path, [{"prompt": "Long?", "completion": "a" * 200}], encoder=encoder)
    held = linted(tmp_path, clean(), held_out=1.0)

    assert told(skipped.problems) == [("nothing is left to train: every example is skipped or refused", [])]
    assert str(held.problems[0]).startswith("nothing is left to train: what is not skipped (6) is held out")


def test_nothing_held_out_is_a_warning_where_something_should_be(tmp_path: Path) -> None:
    assert "no example is held out" in str(linted(tmp_path, clean()[:1], held_out=1e-9).warnings[0])


def test_what_the_base_cannot_be_given_is_a_problem(tmp_path: Path, encoder: Encoder) -> None:
    messages = [
        {"role": "system", "content": "s" * 300},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
    ]

    report = linted(tmp_path, [*clean(), {"messages": messages}], encoder=encoder)

    ((what, lines),) = told(report.problems)
    assert what.startswith("1 example cannot be encoded: its prompt has")
    assert (lines, report.trained) == ([7], 6)


def test_a_file_that_cannot_be_read_raises_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"prompt": 1}\n{}\n', encoding="utf-8")

    with pytest.raises(DataError) as caught:
        lint(path, task=None, tasks=(), encoder=None)

    assert {one.line for one in caught.value.problems} == {1, 2}


def test_a_check_that_could_not_judge_is_told(
    tmp_path: Path, task: GoldenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = task.cases[0].checks[0].check
    monkeypatch.setattr(type(check), "can_run", lambda self: False)  # no machine of ours lacks what one needs

    report = linted(tmp_path, clean(), task=task)

    assert told(report.warnings) == [
        (
            "the check keywords could not judge 6 completions: this machine cannot run it",
            [1, 2, 3, 4, 5, 6],
        )
    ]
    assert report.problems == ()
