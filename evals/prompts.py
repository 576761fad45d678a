"""From a case to chat messages. Pure: templates see the case's input and nothing else."""

from __future__ import annotations

import functools
from typing import Any, NoReturn

import jinja2
import jinja2.sandbox
from jinja2.runtime import Context

from evals.backends.base import Message
from evals.cases import GoldenCase, GoldenTask


class PromptError(Exception):
    """A task's prompt template cannot be filled in."""


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Refuses `*` and `**`, with which a few characters make a text that fills the memory."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> NoReturn:
        raise jinja2.exceptions.SecurityError(f"{operator!r} is not allowed in a prompt")


_ENVIRONMENT = _Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True)
# `range` and friends would let a template of a few characters run for hours.
_ENVIRONMENT.globals.clear()


@functools.lru_cache(maxsize=64)
def _template(prompt: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(prompt)


def user_prompt(prompt: str, given: str) -> str:
    """The user's message for a case's input; raises `PromptError` for a template that cannot be filled in."""
    try:
        return _template(prompt).render(input=given)
    except (Exception, MemoryError) as error:  # a template is code: it may raise whatever code may
        raise PromptError(f"{error}" or type(error).__name__) from error


def chat_messages(task: GoldenTask, case: GoldenCase) -> tuple[Message, ...]:
    """The system message, where the task has one, and the user's."""
    asked = Message("user", user_prompt(task.prompt, case.input))
    return (Message("system", task.system), asked) if task.system else (asked,)
