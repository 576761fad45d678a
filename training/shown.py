"""What Ollama shows of a model, read for what it was made of: its system message and its parameters."""

from __future__ import annotations

import json
import re
from typing import Any

import ollama

from evals.checks.answers import shorten
from evals.errors import TrainingError

# A text as Go quotes it. Bytes of 80 and more stand for texts that are not UTF-8, which no request could send back.
_QUOTED = re.compile(
    r'"(?:[^"\\]|\\(?:[abfnrtv\\"]|x[0-7][0-9a-f]|u(?!d[89a-f])[0-9a-f]{4}|U00(?:0[0-9a-f]|10)[0-9a-f]{4}))*"'
)
_ESCAPE = re.compile(r'\\(?:([abfnrtv\\"])|x(..)|u(.{4})|U(.{8}))')
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Shown(ollama.ShowResponse):
    """What `/api/show` answers. Ollama's client leaves `system` out, and its Modelfile has no unambiguous place for it:
    texts of licences and messages stand there as they are, and any of their lines may begin with SYSTEM."""

    system: str | None = None


def read_parameters(listed: str) -> dict[str, Any]:
    """Ollama's listing, a name and a value a line, as it takes them; `stop` is a list of texts.

    Raises `TrainingError` for a quoted text that cannot be read: sent back as it stands, it would never stop a reply.
    """
    found: dict[str, Any] = {}
    for line in listed.split("\n"):
        name, _, rest = line.strip(" \r").partition(" ")
        text = rest.strip(" ")
        if not name or not text:
            continue
        if name == "stop":
            found.setdefault(name, []).append(unquoted(text))
        else:
            try:
                found[name] = json.loads(text)
            except ValueError:
                found[name] = text
    return found


def unquoted(text: str) -> str:
    """A text in Go's quotes without them, `"\\x1b"` for one; what begins with no quote is as it stands."""
    if not text.startswith('"'):
        return text
    if not _QUOTED.fullmatch(text):
        raise TrainingError(
            f"Ollama shows the stop text {shorten(text)}, which cannot be read; create the model anew with another "
            "(PARAMETER stop in its Modelfile)"
        )
    return _ESCAPE.sub(_character, text[1:-1])


def _character(escape: re.Match[str]) -> str:
    letter, *numbers = escape.groups()
    if letter:
        return _LETTERS.get(letter, letter)
    return chr(int(next(filter(None, numbers)), 16))
