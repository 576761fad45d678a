"""Rules of Minecraft that mecha's grammar leaves out: ids that exist, and forms that the game refuses.

Each rule follows the game's own argument reader, named in brackets (Mojang's names):

- ids of items, blocks, entities, effects, enchantments, attributes, biomes and particles exist, block
  states belong to their block, item components exist [`ResourceArgument`, `BlockStateParser`, `ItemParser`];
- items take components, not NBT, and particles take options in braces, both since 1.20.5 [`ItemParser`,
  `ParticleArgument`];
- words stand apart: mecha reads `~~~` and `1 2-3` [`CommandDispatcher`: "Expected whitespace"];
- player names have 1-16 letters, digits or `_.+-` [`EntitySelectorParser.parseNameOrUUID`];
- absolute block positions are whole, `^` is not mixed with others [`WorldCoordinate`, `Vec3Argument`];
- numbers are in ASCII digits, whole ones fit 32 bits, durations are not below their minimum [`StringReader`,
  `IntegerArgumentType`, `TimeArgument`];
- `type=` does not go with `@a`, `@p` and `@r`, limits are at least 1 [`EntitySelectorOptions`].

Not covered: ids inside free NBT, structures, sounds, loot tables, advancements, and what only shows when
the command runs (an amount that the game caps, a player who is not there).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evals.checks.minecraft.ids import Ids, hint
from evals.checks.minecraft.scan import BLANKS
from evals.checks.minecraft.targets import NAME
from evals.checks.minecraft.tree import Step, steps_of

REGISTRIES: Mapping[str, str] = {
    "minecraft:entity_type": "entity",
    "minecraft:mob_effect": "effect",
    "minecraft:enchantment": "enchantment",
    "minecraft:attribute": "attribute",
    "minecraft:worldgen/biome": "biome",
}
_POSITIONS = frozenset({"minecraft:block_pos", "minecraft:vec3"})
_FLAT_POSITIONS = frozenset({"minecraft:vec2", "minecraft:column_pos"})
_TICKS = {"tick": 1, "second": 20, "day": 24_000}
_ENCHANTMENTS = frozenset({"enchantments", "stored_enchantments"})

Fault = tuple[str, str]  # cause, reason


def faults(root: Any, tree: Any, text: str, ids: Ids, used: list[str]) -> Iterator[Fault]:
    """What is wrong with a parsed command, in its order; known ids are added to `used`."""
    steps = steps_of(root, tree)
    for step in steps:
        if step.node is None:
            continue
        if step.name == "subcommand":
            yield from faults(step.node, tree, text, ids, used)
        else:
            yield from _spacing(step.node, text)
            yield from _form(step)
            yield from _ids(step, ids, used)


def _spacing(node: Any, text: str) -> Iterator[Fault]:
    from mecha import ast

    numbers = (ast.AstNumber, ast.AstCoordinate, ast.AstRange, ast.AstTime)
    coordinates = [part for name in "xyz" if (part := getattr(node, name, None)) is not None]
    for part in coordinates or [node]:
        start, end = part.location.pos, part.end_location.pos
        if text[start - 1] not in BLANKS or text[end : end + 1] not in ("", *BLANKS):
            around = text[max(0, start - 8) : end + 8]
            yield "bad spacing", f"a blank is missing around {text[start:end]!r} (in {around!r})"
        if isinstance(part, numbers) and not text[start:end].isascii():
            yield "bad argument", f"{text[start:end]!r} is not written in the digits 0-9"


def _form(step: Step) -> Iterator[Fault]:
    from mecha import ast

    node, properties = step.node, step.properties or {}
    if step.parser == "minecraft:entity" and isinstance(node, ast.AstPlayerName):
        if not NAME.fullmatch(node.value.strip("\"'")):
            yield "bad argument", f"{node.value!r} is no player name or selector"
    elif step.parser in _POSITIONS:
        parts = (node.x, node.y, node.z)
        kinds = {part.type for part in parts}
        if "local" in kinds and kinds != {"local"}:
            yield "bad argument", "`^` coordinates cannot be mixed with others"
        whole = all(isinstance(part.value, int) for part in parts if part.type == "absolute")
        if step.parser == "minecraft:block_pos" and not whole:
            yield "bad argument", "a block's position is in whole numbers"
    elif step.parser in _FLAT_POSITIONS and "local" in {node.x.type, node.y.type}:
        yield "bad argument", "`^` coordinates do not go here"
    elif step.parser == "brigadier:integer" and not -(2**31) <= node.value < 2**31:
        yield "bad argument", f"{node.value} is beyond 32 bits"
    elif step.parser == "minecraft:time" and node.value * _TICKS[node.unit] < properties.get("min", 0):
        yield "bad argument", f"a time of at least {properties.get('min', 0)} ticks is needed"


def _ids(step: Step, ids: Ids, used: list[str]) -> Iterator[Fault]:
    kind = REGISTRIES.get((step.properties or {}).get("registry", ""))
    if kind is not None:
        yield from _known(step.node, kind, ids, used)
        return
    for node in _walk(step.node):
        yield from _ids_of(node, ids, used)


def _walk(node: Any) -> Iterator[Any]:
    from mecha import ast

    yield node
    if not isinstance(node, ast.AstNbt | ast.AstLiteral | ast.AstNumber | ast.AstResourceLocation):
        for child in node:
            yield from _walk(child)


def _ids_of(node: Any, ids: Ids, used: list[str]) -> Iterator[Fault]:
    from mecha import ast

    if isinstance(node, ast.AstItemStack | ast.AstItemPredicate):
        yield from _item(node, ids, used)
    elif isinstance(node, ast.AstBlock):
        yield from _known(node.identifier, "block", ids, used)
        yield from _block_states(node, ids)
    elif isinstance(node, ast.AstItemComponent | ast.AstItemRemovedDefaultComponent):
        yield from _known(node.key, "component", ids, used)
    elif isinstance(node, ast.AstSelector):
        yield from _selector(node, ids, used)
    elif isinstance(node, ast.AstParticle):
        yield from _known(node.name, "particle", ids, used)
        if isinstance(node.parameters, ast.AstParticleParameters):
            yield "outdated syntax", f"since 1.20.5 options stand in braces: `{node.name.path}{{...}}`"
    with_value = isinstance(node, ast.AstItemComponent | ast.AstItemPredicateTestComponent)
    if with_value and node.key.path in _ENCHANTMENTS and isinstance(node.value, ast.AstNbtCompound):
        yield from _enchantments(node.value, ids, used)


def _item(node: Any, ids: Ids, used: list[str]) -> Iterator[Fault]:
    from mecha import ast

    if isinstance(node.identifier, ast.AstResourceLocation):
        yield from _known(node.identifier, "item", ids, used)
    if node.data_tags is not None:
        yield "outdated syntax", "since 1.20.5 items take components in `[...]`, not NBT in `{...}`"


def _block_states(node: Any, ids: Ids) -> Iterator[Fault]:
    name = node.identifier.path
    if node.identifier.is_tag or name not in ids.states:
        return
    known = ids.states[name]
    for state in node.block_states:
        key, value = state.key.value, state.value.value
        if key not in known:
            yield "unknown id", f"{name} has no state {key!r}{hint(key, tuple(known))}"
        elif value not in known[key]:
            yield "unknown id", f"{name}[{key}] is one of {', '.join(known[key][:8])}, not {value!r}"


def _enchantments(compound: Any, ids: Ids, used: list[str]) -> Iterator[Fault]:
    """`{sharpness:5}`; also `{levels:{sharpness:5}}`, which 1.21 up to 1.21.4 wrote."""
    from mecha import ast

    for entry in compound.entries:
        if entry.key.value == "levels" and isinstance(entry.value, ast.AstNbtCompound):
            yield from _enchantments(entry.value, ids, used)
        elif entry.key.value != "show_in_tooltip":
            yield from _known(ast.AstResourceLocation.from_value(entry.key.value), "enchantment", ids, used)


def _selector(node: Any, ids: Ids, used: list[str]) -> Iterator[Fault]:
    for argument in node.arguments:
        key, value = argument.key.value, argument.value
        if key == "type" and value is not None:
            yield from _known(value, "entity", ids, used)
            if node.variable in "apr":
                yield "bad argument", f"`type` does not go with `@{node.variable}`, which selects players"
        elif key == "limit" and value is not None and value.value < 1:
            yield "bad argument", "`limit` is at least 1"


def _known(location: Any, kind: str, ids: Ids, used: list[str]) -> Iterator[Fault]:
    if location.is_tag:
        return
    if location.namespace not in (None, "minecraft") or location.path not in ids.known[kind]:
        article = "an" if kind[0] in "aeiou" else "a"
        near = hint(location.path, ids.known[kind])
        yield "unknown id", f"{location.get_value()!r} is not {article} {kind} of this version{near}"
    else:
        used.append(f"{kind}:{location.path}")
