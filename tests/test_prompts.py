"""Prompts are filled with the case's input and see nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.backends.base import Message
from evals.cases import load_golden
from evals.prompts import PromptError, chat_messages, user_prompt
from tests.golden_folder import TASK, write_golden

FILLED = {
    "the input alone": ("{{ input }}", "a <b> & {{ c }}"),
    "words around it": ("Note:\n\n{{ input }}\n", "Note:\n\na <b> & {{ c }}\n"),
    "a filter": ("{{ input | upper }}", "A <B> & {{ C }}"),
    "a choice": ("{% if 'b' in input %}yes{% endif %}", "yes"),
}

BROKEN = {
    "a way into Python": "{{ input.__class__.__mro__ }}",
    "a name that is not there": "{{ nope }}",
    "a cut": "{% for",
    "a memory full of text": "{{ input * 10 ** 10 }}",
    "hours of counting": "{% for i in range(10 ** 9) %}{% endfor %}",
    "a template without end": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a file": "{% include '/etc/hostname' %}",
    "a call that raises": "{{ '{9}'.format(input) }}",
    "a division by nothing": "{{ 1 / 0 }}",
}


@pytest.mark.parametrize(
    ("prompt", "asked"), FILLED.values(), ids=[name.replace(" ", "-") for name in FILLED]
)
def test_the_input_stands_in_the_prompt_as_it_is(prompt: str, asked: str) -> None:
    assert user_prompt(prompt, "a <b> & {{ c }}") == asked


@pytest.mark.parametrize("prompt", BROKEN.values(), ids=[name.replace(" ", "-") for name in BROKEN])
def test_a_prompt_that_cannot_be_filled_in_is_a_prompt_error(prompt: str) -> None:
    with pytest.raises(PromptError, match=r"\w"):
        user_prompt(prompt, "blue")


def test_the_system_message_comes_first_where_the_task_has_one(tmp_path: Path) -> None:
    (plain,) = load_golden(write_golden(tmp_path / "plain"))
    (told,) = load_golden(write_golden(tmp_path / "told", TASK + "system: Be brief.\n"))
    asked = Message("user", "The sky above us.")

    assert chat_messages(plain, plain.cases[0]) == (asked,)
    assert chat_messages(told, told.cases[0]) == (Message("system", "Be brief."), asked)
