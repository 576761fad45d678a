"""Every real golden case tells its reference from wrong answers: empty, echoed, cut, fenced, plausible."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.backends.base import ModelReply
from evals.cases import GoldenCase, GoldenTask, load_golden
from evals.outcomes import judge_reply
from evals.prompts import user_prompt

TASKS = {task.name: task for task in load_golden(Path(__file__).parents[1] / "golden")}


def shuffled(text: str) -> str:
    """The lines in reverse order; of one line the words, of one word the letters. '' where none differs."""
    lines, words = text.strip().splitlines(), text.split()
    for parts, glue in ((lines, "\n"), (words, " "), (list(text.strip()), "")):
        if len(set(parts)) > 1:
            return glue.join(reversed(parts))
    return ""


MUTATIONS: dict[str, Callable[[GoldenCase], str]] = {
    "an empty answer": lambda case: "",
    "white space": lambda case: " \n",
    "an empty object": lambda case: "{}",
    "an echo of the input": lambda case: case.input,
    "the reference shuffled": lambda case: shuffled(case.reference),
    "half of the reference": lambda case: case.reference[: len(case.reference) // 2],
    "nine tenths of the reference": lambda case: case.reference[: len(case.reference) * 9 // 10],
    "all but the last character": lambda case: case.reference.rstrip()[:-1],
    "a fence around the reference": lambda case: f"```json\n{case.reference}\n```",
    "a sentence before the reference": lambda case: f"Here you go: {case.reference}",
    "the reference twice": lambda case: case.reference + case.reference,
    "the reference as thinking": lambda case: f"<think>{case.reference}</think>",
    "a refusal that helps with nothing": lambda case: "I'm sorry, but I can't help with that.",
}


def first_miss(task: GoldenTask, case: GoldenCase, text: str) -> str:
    """The first check that the text does not pass as an answer to the case, or ''."""
    asked = user_prompt(task.prompt, case.input)
    judged = judge_reply(case, ModelReply(text=text), asked)
    return next((check.label for check, result in judged if result.outcome != "pass"), "")


def expectation(case: GoldenCase) -> str:
    """What a case wants, as text: equal where any answer to one is right for the other."""
    own = [check.check.model_dump(mode="json", by_alias=True) for check in case.checks]
    return json.dumps([dict(case.expect), own], sort_keys=True)


def is_right_for(other: GoldenCase, case: GoldenCase) -> bool:
    """Whether the other case's reference is right here too: the same is wanted, or no command where none may be."""
    if case.asks_for_refusal:
        return other.expect.get("commands") == []
    return expectation(case) == expectation(other)


@pytest.mark.parametrize("name", TASKS)
def test_every_reference_passes_all_its_checks(name: str) -> None:
    missed = {case.id: first_miss(TASKS[name], case, case.reference) for case in TASKS[name].cases}

    assert {case: check for case, check in missed.items() if check} == {}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=[name.replace(" ", "-") for name in MUTATIONS])
def test_a_wrong_answer_misses_at_least_one_check(name: str, mutation: str) -> None:
    mutate = MUTATIONS[mutation]
    weak = [case.id for case in TASKS[name].cases if not first_miss(TASKS[name], case, mutate(case))]

    assert weak == []


@pytest.mark.parametrize("name", TASKS)
def test_plausible_wrong_answers_stand_beside_a_third_of_the_cases_and_each_misses(name: str) -> None:
    task = TASKS[name]
    given = [case for case in task.cases if case.wrong]

    assert len(given) * 3 >= len(task.cases)
    assert [case.id for case in given for text in case.wrong if not first_miss(task, case, text)] == []


@pytest.mark.parametrize("name", TASKS)
def test_both_splits_hold_every_difficulty(name: str) -> None:
    kinds = {(case.split, case.tags[0]) for case in TASKS[name].cases}

    assert kinds == {(split, level) for split in ("dev", "gate") for level in ("easy", "medium", "hard")}


LEAST = {
    "judge": 30,
    "planner": 24,
    "seeder": 24,
    "spacer": 24,
    "quizzer": 24,
    "reflector": 24,
    "analyst": 24,
    "note_writer": 24,
    "math_reasoning": 40,
    "code_python": 30,
    "text_analysis": 30,
    "intent_label": 40,
    "answer_from_context": 30,
    "general_knowledge": 30,
    "minecraft_ops": 150,
    "entity_extraction": 80,
}


def test_the_library_holds_every_task_with_enough_cases() -> None:
    short = {
        name: len(TASKS[name].cases) if name in TASKS else 0
        for name, least in LEAST.items()
        if name not in TASKS or len(TASKS[name].cases) < least
    }

    assert short == {}
    assert TASKS.keys() == LEAST.keys()


@pytest.mark.parametrize(("name", "of"), {"judge": 5, "planner": 5, "seeder": 8, "reflector": 4}.items())
def test_tasks_that_are_scored_as_k_of_n_have_n_format_checks_in_every_case(name: str, of: int) -> None:
    counts = {sum(check.capability == "format" for check in case.checks) for case in TASKS[name].cases}

    assert counts == {of}


@pytest.mark.parametrize("name", TASKS)
def test_no_case_is_passed_by_the_reference_of_a_case_that_wants_something_else(name: str) -> None:
    task = TASKS[name]
    weak = [
        f"{case.id} is passed by the reference of {other.id}"
        for case in task.cases
        for other in task.cases
        if not is_right_for(other, case) and not first_miss(task, case, other.reference)
    ]

    assert weak == []
