"""From a case to chat messages. Pure: templates see the case's input and nothing else.

A template is text with `{{ input }}`, through filters or under conditions if need be. Nothing that repeats,
calls or reaches into a value is taken, since a few characters of it could run for hours or fill the memory.
"""

from __future__ import annotations

import functools

import jinja2
import jinja2.sandbox
from jinja2 import nodes

from evals.backends.base import Message
from evals.cases import GoldenCase, GoldenTask

FILTERS = ("trim", "lower", "upper", "capitalize", "title", "tojson", "length")
# Each `tojson` doubles the backslashes of the one before.
MAX_FILTERS = 3
ALLOWED = (
    "a prompt may hold text, {{ input }}, {% if %} with comparisons, and, without arguments, the filters "
    + ", ".join(FILTERS)
)

_PLAIN = (
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.Const,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
)
# What people call the rest, where jinja2's own name for it says little.
_CALLED: dict[type[nodes.Node], str] = {
    nodes.For: "{% for %}",
    nodes.Assign: "{% set %}",
    nodes.AssignBlock: "{% set %}",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.Call: "a call",
    nodes.Getattr: "an attribute",
    nodes.Getitem: "an index",
    nodes.BinExpr: "arithmetic",
    nodes.UnaryExpr: "arithmetic",
    nodes.CondExpr: "if inside {{ }}",
    nodes.Concat: "~",
    nodes.Test: "a test with 'is'",
    nodes.Scope: "{% autoescape %}",
}


class PromptError(Exception):
    """A task's prompt template cannot be filled in."""


# The sandbox is a second fence: what it keeps out is not allowed in the first place.
_ENVIRONMENT = jinja2.sandbox.ImmutableSandboxedEnvironment(autoescape=False, keep_trailing_newline=True)


def _fault(node: nodes.Node) -> str:
    """What is not allowed about one part of a template, or ''."""
    if isinstance(node, nodes.Name):
        return "" if node.name == "input" else f"the name {node.name!r}"
    if isinstance(node, nodes.Filter):
        return _filter_fault(node)
    if isinstance(node, _PLAIN):
        return ""
    name = type(node).__name__.lower()
    plain = f"a {name}" if isinstance(node, nodes.Expr) else f"{{% {name} %}}"
    return next((said for kind, said in _CALLED.items() if isinstance(node, kind)), plain)


def _filter_fault(node: nodes.Filter) -> str:
    if node.name not in FILTERS:
        return f"the filter {node.name!r}"
    if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
        return f"the filter {node.name!r} with arguments"
    row = 0
    inner: nodes.Expr | None = node
    while isinstance(inner, nodes.Filter):
        inner, row = inner.node, row + 1
    return f"a row of more than {MAX_FILTERS} filters" if row > MAX_FILTERS else ""


@functools.lru_cache(maxsize=64)
def _template(prompt: str) -> jinja2.Template:
    tree = _ENVIRONMENT.parse(prompt)
    for node in tree.find_all(nodes.Node):
        if what := _fault(node):
            raise PromptError(f"{what} is not allowed (its line {node.lineno or 1})")
    return _ENVIRONMENT.from_string(prompt)


def user_prompt(prompt: str, given: str) -> str:
    """The user's message for a case's input; raises `PromptError` for a template that cannot be filled in."""
    try:
        return _template(prompt).render(input=given)
    except (Exception, MemoryError) as error:  # a template is code: it may raise whatever code may
        raise PromptError(f"{str(error) or type(error).__name__}; {ALLOWED}") from error


def chat_messages(task: GoldenTask, case: GoldenCase) -> tuple[Message, ...]:
    """The system message, where the task has one, and the user's."""
    asked = Message("user", user_prompt(task.prompt, case.input))
    return (Message("system", task.system), asked) if task.system else (asked,)
