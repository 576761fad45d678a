"""Read mecha's tree of a command: each word of its path with the grammar's entry, and the actions in it.

mecha names a command by its path in the command tree (`give:targets:item`) and lists the arguments in
order. `execute` nests: each subcommand is an `AstCommand` of its own whose path starts with `execute`
again, and what follows `run` is one with a path of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evals.checks.minecraft.actions import WRAPPERS, Action, Context, with_hidden
from evals.checks.minecraft.targets import Target, read_target

TARGET_PARSERS = frozenset({"minecraft:entity", "minecraft:game_profile", "minecraft:score_holder"})

# Whom `execute on vehicle`, `on owner` ... reaches is not to be seen from the text: it may be any entity.
_RELATED = Target("@e", "e")


@dataclass(frozen=True, slots=True)
class Step:
    """One word of a command's path: literals have no `node`, a nested command no `parser`."""

    name: str
    node: Any = None
    parser: str = ""
    properties: Mapping[str, Any] | None = None


def steps_of(node: Any, tree: Any) -> list[Step]:
    """The path of mecha's `AstCommand` `node` in the command tree `tree`, with the arguments."""
    arguments = iter(node.arguments)
    found: list[Step] = []
    for name in node.identifier.split(":"):
        entry = (tree.children or {}).get(name) if tree is not None else None
        if name == "subcommand" and (entry is None or entry.type != "literal"):
            found.append(Step(name, next(arguments)))
        elif entry is None or entry.type == "literal":
            found.append(Step(name))
        else:
            found.append(Step(name, next(arguments), entry.parser or "", entry.properties or {}))
        tree = entry
    return found


def nested_command(steps: list[Step]) -> Any:
    """The `AstCommand` that ends the path, or None."""
    last = steps[-1]
    return last.node if last.name == "subcommand" else None


def actions_of_tree(root: Any, tree: Any, text: str) -> tuple[Action, ...]:
    """The actions of mecha's `AstCommand` `root`, which was parsed from `text`."""
    return with_hidden(tuple(_read(root, tree, text, Context(), fresh=True)), text)


def _read(node: Any, tree: Any, text: str, context: Context, *, fresh: bool) -> Iterator[Action]:
    steps = steps_of(node, tree)
    verb = steps[0].name
    if verb not in WRAPPERS:
        named = (_target(step, text) for step in steps if step.parser in TARGET_PARSERS)
        yield Action(verb, context.aim(target for target in named if target))
        return
    if fresh:
        yield Action(verb)
    names = ["", "", *(step.name for step in steps)]
    for before, keyword, step in zip(names, names[1:], steps, strict=False):
        if step.name == "subcommand" and step.node is not None:
            yield from _read(step.node, tree, text, context, fresh=keyword == "run")
        elif keyword in {"as", "at"} and (target := _target(step, text)):
            context = context.enter(before, keyword, target)
        elif keyword == "on":
            context = Context(_RELATED, (*context.places, _RELATED))
        elif keyword == "summon":
            yield Action("summon")
            context = Context(None, context.places)
        elif keyword == "function" and step.node is not None:
            yield Action("function")


def _target(step: Step, text: str) -> Target | None:
    if step.node is None:
        return None
    return read_target(text[step.node.location.pos : step.node.end_location.pos])
