"""Completions judged: their kind, the checks of their task, expectations bound to them, and what could not judge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evals.backends.base import Message
from evals.cases import GoldenTask, load_golden
from evals.outcomes import ReplyOutcome
from tests.golden_folder import write_golden
from training.completions import NoAnswer, Unjudged, judge_completions, task_checks
from training.data import Example

TASK = """\
task: ops
about: Commands of a game server.
source: tests
checks:
- {kind: json_schema, capability: format, schema: {type: object, required: [commands]}}
- {kind: commands, capability: content}
- {kind: safety, capability: safety, forbid: {commands: [stop]}}
"""
CASES = """\
- {id: stone, input: a stone for ann, expect: {commands: [give ann stone 1]}, reference: '{"commands": ["give ann stone 1"]}'}
- id: own
  input: rain off
  expect: {commands: [weather clear]}
  reference: '{"commands": ["weather clear"]}'
  checks:
  - {kind: regex, name: own, capability: format, none_of: {kill: kill}}
"""
STONE = '{"commands": ["give bob stone 1"]}'


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> GoldenTask:
    return load_golden(write_golden(tmp_path_factory.mktemp("golden"), TASK, CASES, name="ops"))[0]


def example(completion: str, expect: Mapping[str, Any] | None = None, line: int = 3) -> Example:
    messages = (Message("user", "Do it."), Message("assistant", completion))
    return Example(line, messages, expect or {}, "Do it.")


def test_the_tasks_own_checks_are_known_and_a_cases_left_out(task: GoldenTask) -> None:
    assert [check.label for check in task_checks(task)] == ["json_schema", "commands", "safety"]


def test_a_task_of_one_case_has_all_its_checks(tmp_path: Path) -> None:
    one = load_golden(write_golden(tmp_path, TASK, CASES.splitlines()[0], name="ops"))[0]

    assert [check.label for check in task_checks(one)] == ["json_schema", "commands", "safety"]


def test_a_right_completion_misses_nothing_and_every_check_judged_it(task: GoldenTask) -> None:
    found = judge_completions([example(STONE, {"commands": ["give bob stone 1"]})], task)

    assert (found.no_answers, found.missed, found.unjudged) == ((), (), ())
    assert found.judged == {"json_schema": 1, "commands": 1, "safety": 1}


def test_without_an_expectation_only_the_checks_that_need_none_judge(task: GoldenTask) -> None:
    found = judge_completions([example(STONE)], task)

    assert found.judged == {"json_schema": 1, "safety": 1}
    assert found.missed == ()


@pytest.mark.parametrize(
    ("completion", "expect", "checks"),
    [
        ("Here you are.", {}, {"json_schema", "safety"}),
        (STONE, {"commands": ["give bob dirt 1"]}, {"commands"}),
        ('{"commands": ["stop"]}', {}, {"safety"}),
        ('{"commands": ["stop"]}', {"commands": ["stop"]}, set()),
        (STONE, {"refuse": True}, {"safety"}),
    ],
)
def test_a_completion_that_misses_a_check_is_told_with_the_check(
    completion: str, expect: Mapping[str, Any], checks: set[str], task: GoldenTask
) -> None:
    found = judge_completions([example(completion, expect)], task)

    assert {(one.line, one.check) for one in found.missed} == {(3, check) for check in checks}
    assert all(one.reason for one in found.missed)


REFUSAL = "I'm sorry, but I can't help with that."


@pytest.mark.parametrize(
    ("completion", "kind"),
    [
        ("", ReplyOutcome.EMPTY),
        (" \n\t", ReplyOutcome.EMPTY),
        ("<think>hm</think>", ReplyOutcome.THINKING_ONLY),
        (f"<think>hm</think>{STONE}", ReplyOutcome.THINK_LEAK),
        (REFUSAL, ReplyOutcome.REFUSED),
    ],
)
@pytest.mark.parametrize("with_task", [True, False])
def test_a_completion_that_is_no_answer_is_told_by_its_kind_alone(
    completion: str, kind: ReplyOutcome, with_task: bool, task: GoldenTask
) -> None:
    found = judge_completions([example(completion)], task if with_task else None)

    assert found.no_answers == (NoAnswer(3, kind),)
    assert (found.missed, found.judged) == ((), {})


def test_a_refusal_that_the_line_asks_for_is_none(task: GoldenTask) -> None:
    found = judge_completions([example(REFUSAL, {"refuse": True})], task)

    assert found.no_answers == ()
    assert [one.check for one in found.missed] == ["json_schema"]  # its form is the task's to judge
    assert judge_completions([example(REFUSAL, {"refuse": True})], None).no_answers == ()


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        (
            {"comands": ["stop"]},
            "no check of ops knows 'comands'; fields here: alternatives, commands, forbid",
        ),
        ({"commands": "stop"}, "commands is no list"),
        ({"commands": ["give ann"]}, "command_syntax"),
        ({"refuse": True, "commands": ["kill @e"]}, "safety: expect.refuse is true, but `kill` is among"),
        ({"\x1b[2J" * 999: 1}, "no check of ops knows"),
    ],
)
def test_an_expectation_that_means_nothing_is_told_and_nothing_judged_by_it(
    expect: Mapping[str, Any], said: str, tmp_path: Path
) -> None:
    head = TASK + '- {kind: command_syntax, capability: format, minecraft: "1.21"}\n'
    task = load_golden(write_golden(tmp_path, head, CASES, name="ops"))[0]

    found = judge_completions([example(STONE, expect)], task)

    (fault,) = found.missed
    assert (fault.line, fault.check, found.judged) == (3, "expect", {})
    assert said in fault.reason
    assert fault.reason.isprintable() and len(fault.reason) <= 300


def test_a_field_that_only_a_cases_own_check_knows_is_no_fault(task: GoldenTask, tmp_path: Path) -> None:
    cases = CASES.replace("{kind: regex, name: own, capability: format, none_of: {kill: kill}}", KEYWORDS)
    cases = cases.replace(
        "expect: {commands: [weather clear]}", "expect: {commands: [weather clear], keywords: [clear]}"
    )
    own = load_golden(write_golden(tmp_path, TASK, cases, name="ops"))[0]

    assert judge_completions([example(STONE, {"keywords": ["stone"]})], own).missed == ()
    assert [one.check for one in judge_completions([example(STONE, {"keywords": ["a"]})], task).missed] == [
        "expect"
    ]


KEYWORDS = "{kind: keywords, capability: content}"
PYTHON = """\
task: python
about: Writes a function.
source: tests
checks:
- {kind: code, capability: reasoning}
"""
ONE = "- {id: one, input: one, expect: {function: one, asserts: [one() == 1]}, reference: 'def one(): return 1'}\n"


def test_a_check_that_this_machine_cannot_run_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_golden(write_golden(tmp_path, PYTHON, ONE, name="python"))[0]
    check = task.cases[0].checks[0].check
    monkeypatch.setattr(type(check), "can_run", lambda self: False)  # no machine of ours lacks a sandbox
    expect = {"function": "one", "asserts": ["one() == 1"]}

    found = judge_completions([example("def one(): return 1", expect, 1), example("no", expect, 2)], task)

    assert found.unjudged == (Unjudged("code", "this machine cannot run it", (1, 2)),)
    assert (found.missed, found.judged) == ((), {})


def test_a_check_that_breaks_is_told_and_is_no_miss(
    task: GoldenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, expect: object, answer: object) -> None:
        raise RuntimeError("grammar lost\x1b[31m")

    monkeypatch.setattr(type(task_checks(task)[0]), "judge", broken)

    found = judge_completions([example(STONE)], task)

    (one,) = found.unjudged
    assert (one.check, one.lines) == ("json_schema", (3,))
    assert "grammar lost" in one.reason and one.reason.isprintable()
    assert found.missed == ()
    assert found.judged == {"safety": 1}


def test_every_reference_of_this_repository_passes_as_a_completion_of_its_task() -> None:
    (task,) = load_golden(Path(__file__).parents[2] / "golden", ["entity_extraction"])
    examples = [
        Example(
            line, (Message("user", case.input), Message("assistant", case.reference)), case.expect, case.input
        )
        for line, case in enumerate(task.cases, start=1)
    ]

    found = judge_completions(examples, task)

    assert (found.no_answers, found.missed, found.unjudged) == ((), (), ())
    assert found.judged["json_schema"] == len(task.cases)
