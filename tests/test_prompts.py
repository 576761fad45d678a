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
    "choices": (
        "{% if input|length > 99 %}a{% elif not (input == 'x' or 1 > 2) and true %}b{% else %}c{% endif %}",
        "b",
    ),
    "filters in a row": ("{{ input | trim | title | tojson }}", '"A \\u003cB\\u003e \\u0026 {{ C }}"'),
    "what is no template": ("{% raw %}{{ x }}{% endraw %}{# y #}", "{{ x }}"),
}

# prompt -> what the problem names
REFUSED = {
    "a list, which is long": (
        "{% for a in [1] %}{% for b in [1] %}x{% endfor %}{% endfor %}",
        "{% for %} is",
    ),
    "a long blank": ("{{ input|center(200000000) }}", "the filter 'center' is"),
    "an argument": ("{{ input|trim('x') }}", "the filter 'trim' with arguments is"),
    "a keyword": ("{{ input|tojson(indent=9) }}", "the filter 'tojson' with arguments is"),
    "backslashes that double": ("{{ input" + "|tojson" * 40 + " }}", "a row of more than 3 filters is"),
    "an unknown filter": ("a\n{{ input|nope }}", "the filter 'nope' is not allowed (its line 2)"),
    "a method": ("{{ input.zfill(10 ** 9) }}", "a call is"),
    "an attribute": ("{{ input.__class__ }}", "an attribute is"),
    "an index": ("{{ input[0] }}", "an index is"),
    "a product": ("{% if input * 10 ** 10 %}{% endif %}", "arithmetic is"),
    "a minus": ("{{ -1 }}", "arithmetic is"),
    "a join": ("{{ input ~ input }}", "~ is"),
    "a list": ("{{ [input] }}", "a list is"),
    "a test": ("{{ input is defined }}", "a test with 'is' is"),
    "a short if": ("{{ 1 if input else 2 }}", "if inside {{ }} is"),
    "a variable": ("{% set x = input %}", "{% set %} is"),
    "a block variable": ("{% set x %}{{ input }}{% endset %}", "{% set %} is"),
    "a macro": ("{% macro m() %}{% endmacro %}", "{% macro %} is"),
    "a call block": ("{% call m() %}{% endcall %}", "{% call %} is"),
    "a filter block": ("{% filter upper %}a{% endfilter %}", "{% filter %} is"),
    "a file": ("{% include '/etc/hostname' %}", "{% include %} is"),
    "a module": ("{% import 'x' as y %}", "{% import %} is"),
    "a base": ("{% extends 'x' %}", "{% extends %} is"),
    "a block": ("{% block x %}{% endblock %}", "{% block %} is"),
    "a scope": ("{% with %}{% endwith %}", "{% with %} is"),
    "escaping": ("{% autoescape true %}{% endautoescape %}", "{% autoescape %} is"),
    "a name": ("{{ nope }}", "the name 'nope' is"),
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
    "a comparison of two kinds": "{% if input < 3 %}{% endif %}",
    "brackets without end": "{{ " + "(" * 5000,
    "choices without end": "{% if input %}" * 5000 + "{% endif %}" * 5000,
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


@pytest.mark.parametrize(
    ("prompt", "says"), REFUSED.values(), ids=[name.replace(" ", "-").replace(",", "") for name in REFUSED]
)
def test_what_a_prompt_may_not_hold_is_named_with_what_it_may(prompt: str, says: str) -> None:
    with pytest.raises(PromptError) as caught:
        user_prompt(prompt, "blue")

    assert str(caught.value).startswith(says)
    assert "a prompt may hold text, {{ input }}, {% if %} with comparisons, and, without" in str(caught.value)


def test_the_system_message_comes_first_where_the_task_has_one(tmp_path: Path) -> None:
    (plain,) = load_golden(write_golden(tmp_path / "plain"))
    (told,) = load_golden(write_golden(tmp_path / "told", TASK + "system: Be brief.\n"))
    asked = Message("user", "The sky above us.")

    assert chat_messages(plain, plain.cases[0]) == (asked,)
    assert chat_messages(told, told.cases[0]) == (Message("system", "Be brief."), asked)
