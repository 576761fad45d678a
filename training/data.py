"""Training data: a JSONL file of examples, read with every problem told by its line, and split in a stable way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.backends.base import Message


@dataclass(frozen=True, slots=True)
class Example:
    """One line. The last message is the assistant's: the completion that is trained.

    `prompt` is the line's own, '' where it gives messages; `expect` is what a golden case would expect of the answer.
    """

    line: int
    messages: tuple[Message, ...]
    expect: Mapping[str, Any]
    prompt: str = ""
    tags: tuple[str, ...] = ()

    @property
    def completion(self) -> str:
        return self.messages[-1].content

    @property
    def user(self) -> str:
        """The last text of the user."""
        return self.messages[-2].content


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file's examples. `sha256` is of its bytes; `task` is '' where it belongs to none."""

    path: Path
    sha256: str
    examples: tuple[Example, ...]
    task: str = ""
