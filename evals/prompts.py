"""From a case to chat messages. Pure: templates see the case's input and nothing else."""

from __future__ import annotations

import functools

import jinja2
import jinja2.sandbox

from evals.backends.base import Message
from evals.cases import GoldenCase, GoldenTask


class PromptError(Exception):
    """A task's prompt template cannot be filled in."""


_ENVIRONMENT = jinja2.sandbox.ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True
)
# `range` and friends would let a template of a few characters run for hours.
_ENVIRONMENT.globals.clear()


@functools.lru_cache(maxsize=64)
def _template(prompt: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(prompt)


def user_prompt(prompt: str, case: GoldenCase) -> str:
    """The user's message for a case; raises `PromptError` for a template that cannot be filled in."""
    try:
        return _template(prompt).render(input=case.input)
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise PromptError(str(error)) from error


def chat_messages(task: GoldenTask, case: GoldenCase) -> tuple[Message, ...]:
    """The system message, where the task has one, and the user's."""
    asked = Message("user", user_prompt(task.prompt, case))
    return (Message("system", task.system), asked) if task.system else (asked,)
