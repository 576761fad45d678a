"""Find the commands in an answer: a list of texts at a path of its JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evals.checks.answers import at_path, read_json


@dataclass(frozen=True, slots=True)
class CommandList:
    """The commands of an answer; `problem` is empty if they could be read."""

    commands: tuple[str, ...]
    problem: str
    cause: str


def read_commands(text: str, at: str) -> CommandList:
    """The list at `at`, by the strict reading only: a client that trusts the contract reads no other."""
    reading = read_json(text)
    if reading.problem:
        return CommandList((), f"the answer is not JSON: {reading.problem}", reading.cause)
    found = _list_at(reading.value, at)
    if isinstance(found, str):
        return CommandList((), found, "no command list")
    for number, item in enumerate(found, 1):
        if not isinstance(item, str):
            return CommandList((), f"item {number} of {at!r} is not a text: {item!r:.60}", "not a text")
    return CommandList(tuple(found), "", "")


def _list_at(value: Any, at: str) -> list[Any] | str:
    try:
        found = at_path(value, at)
    except KeyError:
        return f"the answer has no {at!r}"
    return found if isinstance(found, list) else f"{at!r} is not a list: {found!r:.60}"


def read_loosely(text: str, at: str) -> tuple[str, ...] | None:
    """All lines that some client might run, also from JSON in a fence or in prose; None without a list."""
    reading = read_json(text)
    found = _list_at(reading.lenient if reading.problem else reading.value, at)
    if isinstance(found, str):
        return None
    return tuple(
        line for item in found for text in _texts(item) for line in text.splitlines() if line.strip()
    )


def _texts(item: Any, depth: int = 0) -> list[str]:
    if isinstance(item, str):
        return [item]
    if depth < 4 and isinstance(item, dict | list):
        parts = item.values() if isinstance(item, dict) else item
        return [text for part in parts for text in _texts(part, depth + 1)]
    return []
