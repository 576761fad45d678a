"""Whom a command is aimed at: players' names and selectors, compared by who they can reach.

Forbidding `@a` means "everyone", so other ways to say it count as well: `@e[type=player]`, `@p[limit=9]`,
the scoreboard's `*`, and `@e`, which holds all players, unless its `type` leaves them out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from evals.checks.minecraft.scan import split
from evals.checks.minecraft.values import normalise_selector

# Filters that bound how many or where. One that was asked for must be there, but may differ in number.
_BOUNDS = frozenset({"limit", "distance", "dx", "dy", "dz"})
# Filters that pick an order or a reference point, not a set.
_NEUTRAL = frozenset({"sort", "x", "y", "z"})

NAME = re.compile(r"[A-Za-z0-9_.+-]{1,16}")
_SELECTOR = re.compile(r"@[praesn](?:\[.*\])?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """A name (`base` empty) or a selector: base letter (`*` for the wildcard) and its filters."""

    text: str
    base: str
    filters: tuple[tuple[str, str], ...] = ()


def read_target(text: str) -> Target | None:
    """The target that a word names; None if it can be none."""
    text = text.strip()
    if text == "*":
        return Target(text, "*")
    if _SELECTOR.fullmatch(text):
        return _selector(normalise_selector(text))
    if NAME.fullmatch(text):
        return Target(text, "")
    return None


def _selector(text: str) -> Target:
    base = text[1]
    entries = [entry.partition("=") for entry in split(text[3:-1], ",") or () if entry]
    filters = [(key, value) for key, _, value in entries]
    limits = [value for key, value in filters if key == "limit"]
    if base in "prn" and limits and limits != ["1"]:
        base = "e" if base == "n" else "a"
    if base in "en" and ("type", "player") in filters:
        base = "a" if base == "e" else "p"
        filters = [pair for pair in filters if pair != ("type", "player")]
    return Target(text, base, tuple(filters))


def bound_to(target: Target, executor: Target | None) -> Target:
    """`@s` stands for what `as` names: `kill @s[tag=x]` run as `@e[type=cow]` is `@e[tag=x,type=cow]`."""
    if target.base != "s" or executor is None:
        return target
    if not target.filters:
        return executor
    merged = tuple(sorted({*executor.filters, *target.filters}))
    if executor.base in {"", "*"}:
        return executor
    text = f"@{executor.base}[{','.join(f'{key}={value}' for key, value in merged)}]"
    return Target(text, executor.base, merged)


def reaches(target: Target, forbidden: Target) -> bool:
    """Whether a command aimed at `target` can hit what `forbidden` names.

    A forbidden selector without filters is hit by any of its kind, filtered or not. One with filters is
    hit unless the target has another value for one of them (`@e[type=cow]` misses `@e[type=villager]`).
    """
    if not forbidden.base:
        if target.base:
            return ("name", forbidden.text) in target.filters
        return target.text.lower() == forbidden.text.lower()
    if not _of_kind(target, forbidden.base):
        return False
    held = dict(target.filters)
    return all(held.get(key, value) == value for key, value in forbidden.filters)


def _of_kind(target: Target, base: str) -> bool:
    """Whether `@{base}` without filters could have stood for the target."""
    if target.base in {base, "*"} or target.text.startswith(f"@{base}"):
        return True
    return base == "a" and target.base == "e" and not _excludes_players(target)


def _excludes_players(target: Target) -> bool:
    types = [value for key, value in target.filters if key == "type"]
    return "!player" in types or any(not kind.startswith(("!", "#")) for kind in types)


def within(answered: Target, asked: Target) -> bool:
    """Whether `answered` is no broader than `asked`: the same base, and all that it filters by kept."""
    if not asked.base:
        return answered.text.lower() == asked.text.lower() if not answered.base else _named(answered, asked)
    if answered.base != asked.base:
        return False
    keys = {key for key, _ in answered.filters}
    for key, value in asked.filters:
        if key in _NEUTRAL:
            continue
        if key in _BOUNDS:
            if key not in keys:
                return False
        elif (key, value) not in answered.filters:
            return False
    return True


def _named(answered: Target, asked: Target) -> bool:
    return any(key == "name" and value.lower() == asked.text.lower() for key, value in answered.filters)
