"""Every real golden case tells its reference from wrong answers: empty, echoed, cut, fenced, or another case's."""

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

MUTATIONS: dict[str, Callable[[GoldenCase], str]] = {
    "an empty answer": lambda case: "",
    "white space": lambda case: " \n",
    "an empty object": lambda case: "{}",
    "an echo of the input": lambda case: case.input,
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
@pytest.mark.parametrize("mutate", MUTATIONS.values(), ids=[name.replace(" ", "-") for name in MUTATIONS])
def test_a_wrong_answer_misses_at_least_one_check(mutate: Callable[[GoldenCase], str], name: str) -> None:
    weak = [case.id for case in TASKS[name].cases if not first_miss(TASKS[name], case, mutate(case))]

    assert weak == []


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
