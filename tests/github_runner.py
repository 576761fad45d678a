"""What GitHub's runner takes for commands in the output of a step, by the rules of its source (actions/runner)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

COMMANDS = {
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
}


@dataclass(frozen=True, slots=True)
class Command:
    """A command as the runner understands it, its texts unescaped."""

    name: str
    data: str
    properties: Mapping[str, str] = field(default_factory=dict)


def taken(output: str) -> list[Command]:
    """The commands that the runner obeys, in their order; those that stop and resume are left out."""
    known, token, found = set(COMMANDS), "", []
    for line in re.split(r"\r\n|\r|\n", output):
        command = _new_form(line, known) or _old_form(line, known)
        if command is None:
            continue
        if token:
            if command.name == token:
                known.discard(token)
                token = ""
        elif command.name == "stop-commands":
            token = command.data
            known.add(token)
        else:
            found.append(command)
    return found


def _new_form(line: str, known: set[str]) -> Command | None:
    """`::name key=value,key=value::data` at the start of a line."""
    line = line.lstrip()
    if not line.startswith("::") or (end := line.find("::", 2)) < 0:
        return None
    name, _, rest = line[2:end].partition(" ")
    if name not in known:
        return None
    pairs = (pair.partition("=") for pair in rest.strip().split(",") if "=" in pair)
    properties = {key: _unescaped(value, {"%3A": ":", "%2C": ","}) for key, _, value in pairs}
    return Command(name, _unescaped(line[end + 2 :], {}), properties)


def _old_form(line: str, known: set[str]) -> Command | None:
    """`##[name key=value;key=value]data` anywhere in a line."""
    start = line.find("##[")
    end = line.find("]", start)
    if start < 0 or end < 0:
        return None
    name, _, rest = line[start + 3 : end].partition(" ")
    if name not in known:
        return None
    pairs = (pair.partition("=") for pair in rest.split(";") if "=" in pair)
    escapes = {"%3B": ";", "%5D": "]"}
    properties = {key: _unescaped(value, escapes) for key, _, value in pairs}
    return Command(name, _unescaped(line[end + 1 :], escapes), properties)


def _unescaped(text: str, more: Mapping[str, str]) -> str:
    for escape, char in {"%0D": "\r", "%0A": "\n", **more, "%25": "%"}.items():
        text = text.replace(escape, char)
    return text
