"""The normaliser gives one command one spelling, and never two commands the same."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evals.checks.minecraft.normal import normalise

ROWS = yaml.safe_load((Path(__file__).parent / "data" / "spellings.yaml").read_text("utf-8"))
IDS = [row["id"].replace(" ", "-") for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_spellings_of_one_command_become_the_first(row: dict[str, Any]) -> None:
    assert {normalise(command) for command in row["same"]} == {row["same"][0]}


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_other_commands_stay_apart(row: dict[str, Any]) -> None:
    for other in row["others"]:
        assert normalise(other) != row["same"][0]


# Text that looks like commands, so that the search meets brackets, quotes and numbers in all orders.
PIECES = [
    "execute", "run", "say", "give", "tp", "teleport", "w", "tag", "item", " ", "  ", "\t", "/", "@e", "@a[",
    "[", "]", "{", "}", "=", ":", ",", "!", "#", "'", '"', "\\", "minecraft:", "minecraft:x", "a", "B", "1.0",
    ".5", "05", "~", "^", "-", "..", "type", "name", "nbt", "scores", "levels", "enchantments", "I;", "\n",
]  # fmt: skip
LIKE_COMMANDS = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


@settings(max_examples=2000, deadline=None)
@given(LIKE_COMMANDS | st.text())
@example("minecraft:/give a")
@example("give a .5[]")
@example("give a stone[]x[]")
def test_any_text_has_a_spelling_and_spelling_twice_changes_nothing(text: str) -> None:
    once = normalise(text)

    assert normalise(once) == once


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_each_spelling_in_the_table_is_stable(row: dict[str, Any]) -> None:
    for command in row["same"] + row["others"]:
        assert normalise(normalise(command)) == normalise(command)


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{2,10}", fullmatch=True)
PATHS = st.from_regex(r"[a-z][a-z_]{1,8}", fullmatch=True)
NUMBERS = st.integers(-1000, 1000) | st.decimals(-100, 100, places=2)
FILTERS = st.dictionaries(
    st.sampled_from(["type", "tag", "team", "name", "gamemode", "limit", "sort"]), PATHS, max_size=4
)


def spelt(rng: random.Random, name: str, path: str, numbers: list[Any], filters: dict[str, str]) -> str:
    """One of the many ways to write a command with these parts."""
    blank = lambda: rng.choice([" ", "  ", "\t"])  # noqa: E731
    pairs = list(filters.items())
    rng.shuffle(pairs)
    inner = ",".join(
        f"{rng.choice(['', ' '])}{key}{rng.choice(['=', ' = '])}"
        f"{rng.choice(['', 'minecraft:']) if key == 'type' else ''}{value}"
        for key, value in pairs
    )
    position = blank().join(_number(rng, number) for number in numbers)
    verb = rng.choice(["tp", "teleport", "minecraft:tp", "minecraft:teleport"])
    block = rng.choice(["", "minecraft:"]) + path
    name = "".join(rng.choice([letter.upper(), letter.lower()]) for letter in name)
    start = rng.choice(["", "/", " "])
    return (
        f"{start}execute{blank()}as{blank()}@e[{inner}]{blank()}at{blank()}{name}{blank()}if{blank()}block"
        f"{blank()}{position}{blank()}{block}{blank()}run{blank()}{verb}{blank()}@s{blank()}{position}"
    )


def _number(rng: random.Random, number: Any) -> str:
    text = str(number)
    if "." not in text:
        return text + rng.choice(["", ".", ".0", ".00"]) if number else text
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    return sign + rng.choice(["", "0"]) + digits + rng.choice(["", "0"])


PARTS = st.tuples(NAMES, PATHS, st.lists(NUMBERS, min_size=3, max_size=3), FILTERS)


@settings(max_examples=300, deadline=None)
@given(PARTS, st.randoms(use_true_random=False), st.randoms(use_true_random=False))
def test_all_ways_to_write_one_command_meet(parts: Any, one: random.Random, other: random.Random) -> None:
    assert normalise(spelt(one, *parts)) == normalise(spelt(other, *parts))


@settings(max_examples=300, deadline=None)
@given(PARTS, PARTS, st.randoms(use_true_random=False))
def test_commands_of_other_parts_never_meet(parts: Any, others: Any, rng: random.Random) -> None:
    same = _meaning(parts) == _meaning(others)

    assert (normalise(spelt(rng, *parts)) == normalise(spelt(rng, *others))) == same


@settings(max_examples=200, deadline=None)
@given(PARTS, st.integers(0, 3), st.randoms(use_true_random=False), st.data())
def test_one_changed_part_keeps_commands_apart(
    parts: Any, place: int, rng: random.Random, data: st.DataObject
) -> None:
    changed = list(parts)
    changed[place] = data.draw((NAMES, PATHS, st.lists(NUMBERS, min_size=3, max_size=3), FILTERS)[place])
    same = _meaning(parts) == _meaning(tuple(changed))

    assert (normalise(spelt(rng, *parts)) == normalise(spelt(rng, *changed))) == same


def _meaning(parts: Any) -> Any:
    name, path, numbers, filters = parts
    return name.lower(), path, [float(number) for number in numbers], filters
