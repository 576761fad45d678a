"""Training data: a JSONL file of examples, read with every problem told by its line, and split in a stable way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from evals.backends.base import Message
from evals.cases import GoldenCase, GoldenTask
from evals.checks.answers import read_json, shorten
from evals.checks.base import Strict
from evals.documents import Document, Location, dotted
from evals.errors import DataError, Problem
from evals.prompts import PromptError, chat_messages
from evals.wording import problems_of

Model = TypeVar("Model", bound=Strict)

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_FORMS = "a line has either messages, or prompt and completion"
_ORDER = "at first system, if at all; then user and assistant by turns; an assistant's last"
_WHAT_LIMIT, _FIELD_LIMIT = 300, 80


class MessageLine(Strict):
    """One entry under `messages`."""

    role: Literal["system", "user", "assistant"]
    content: str


class DataLine(Strict):
    """One line of a file: `prompt` and `completion`, or `messages`, each entry of which is a `MessageLine`."""

    prompt: str | None = None
    completion: str | None = None
    messages: list[Any] | None = None
    expect: dict[str, Any] = {}
    tags: list[str] = []


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

    @property
    def asked(self) -> tuple[str, ...]:
        """What the line itself asks: its prompt, or its messages between the system's and the completion."""
        if self.prompt:
            return (self.prompt,)
        return tuple(one.content for one in self.messages[:-1] if one.role != "system")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file's examples. `sha256` is of its bytes; `task` is '' where it belongs to none."""

    path: Path
    sha256: str
    examples: tuple[Example, ...]
    task: str = ""


def read_dataset(path: Path, task: GoldenTask | None = None) -> Dataset:
    """Read a file. With a task, prompts become what a golden case's input becomes: its system message and template.

    Lines end in LF or CRLF, the last one with or without. Raises `DataError` naming every line that cannot be used.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise DataError([Problem(path, 1, "", what)]) from error
    if raw.startswith(_UTF16):
        raise DataError([Problem(path, 1, "", "is UTF-16", "save it as UTF-8")])
    reader = _Reader(path, task)
    if raw.startswith(_BOM):
        reader.say(1, (), "starts with a byte order mark", "save it as UTF-8 without one")
    lines = raw.removeprefix(_BOM).split(b"\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        reader.say(1, (), "is empty", "each line is one example")
    examples = [reader.example(number, line) for number, line in enumerate(lines, start=1)]
    if reader.problems:
        raise DataError(reader.problems)
    found = tuple(one for one in examples if one is not None)
    return Dataset(path, hashlib.sha256(raw).hexdigest(), found, task.name if task else "")


def split(dataset: Dataset, held_out: float) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """What is trained, and what is held out: about the fraction `held_out` of the examples.

    The side follows from a hash of what the line asks, nothing else: whatever lines are added, taken out or moved, the
    others stay on their side, and lines that ask the same are never on both. Of few lines either side may be empty.
    """
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in dataset.examples:
        sides[_place(example) < held_out].append(example)
    return tuple(sides[0]), tuple(sides[1])


def _place(example: Example) -> float:
    """Where an example stands between 0 and 1 (exclusive)."""
    text = json.dumps(example.asked)  # ASCII, and unlike joined texts it tells where one of them ends
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:6]) / 2**48


class _Reader:
    """Makes examples of lines, collecting problems."""

    def __init__(self, path: Path, task: GoldenTask | None) -> None:
        self.path = path
        self.task = task
        self.problems: list[Problem] = []

    def say(self, line: int, location: Location, what: str, mend: str = "") -> None:
        self._add(Problem(self.path, line, dotted(location), what, mend))

    def _add(self, problem: Problem) -> None:
        # Both may quote the file, which may hold anything, at any length.
        field, what = shorten(problem.field, _FIELD_LIMIT), shorten(problem.what, _WHAT_LIMIT)
        self.problems.append(replace(problem, field=field, what=what))

    def example(self, number: int, raw: bytes) -> Example | None:
        """The line's example; None if its problems leave none."""
        value = self._json(number, raw)
        if value is None or not self._is_clean(number, value):
            return None
        doc = Document(self.path, value, {place: number for place, _ in _places(value, ())})
        line = self._model(DataLine, doc, (), value)
        if line is None:
            return None
        messages = self._messages(number, doc, line)
        if not messages:
            return None
        return Example(number, messages, line.expect, line.prompt or "", tuple(line.tags))

    def _json(self, number: int, raw: bytes) -> dict[str, Any] | None:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.say(number, (), f"is not UTF-8 at byte {error.start + 1}", "save the file as UTF-8")
            return None
        if not text.strip():
            self.say(number, (), "is empty", "remove it; each line is one example")
            return None
        if "\0" in text:
            self.say(number, (), "holds a NUL byte", "remove it")
            return None
        reading = read_json(text)
        if reading.problem:
            # Of one line, its own number within itself would only mislead.
            what = reading.problem.replace(" at line 1, column ", " at column ")
            self.say(number, (), f"is not JSON: {what}", "each line is one whole object")
            return None
        if not isinstance(reading.value, dict):
            self.say(number, (), "is no JSON object", _FORMS)
            return None
        return reading.value

    def _is_clean(self, number: int, value: dict[str, Any]) -> bool:
        """Whether all its texts can be written and tokenised."""
        before = len(self.problems)
        for place, part in _places(value, ()):
            for text in (part, *place[-1:]):  # a key is a text, too
                if isinstance(text, str) and "\0" in text:
                    self.say(number, place, "holds the character NUL", "remove it")
                elif isinstance(text, str) and not _is_unicode(text):
                    what = "holds half of a surrogate pair, which is no character"
                    self.say(number, place, what, "write the character itself, or both halves")
        return len(self.problems) == before

    def _model(self, model: type[Model], doc: Document, at: Location, value: Any) -> Model | None:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for problem in problems_of(error, doc, at, model):
                self._add(problem)
            return None

    def _messages(self, number: int, doc: Document, line: DataLine) -> tuple[Message, ...]:
        """The line's messages; none if it has problems."""
        pair = (line.prompt, line.completion)
        if line.messages is not None:
            if pair != (None, None):
                self.say(number, (), "has messages, and prompt or completion beside them", _FORMS)
                return ()
            return self._given(number, doc, line.messages)
        if line.prompt is None or line.completion is None:
            lacking = [
                name for name, text in zip(("prompt", "completion"), pair, strict=True) if text is None
            ]
            self.say(number, (), f"has no {' and no '.join(lacking)}", _FORMS)
            return ()
        if not line.prompt.strip():
            self.say(number, ("prompt",), "is empty")
            return ()
        asked = self._rendered(number, line.prompt)
        return (*asked, Message("assistant", line.completion)) if asked else ()

    def _given(self, number: int, doc: Document, entries: list[Any]) -> tuple[Message, ...]:
        found = [self._model(MessageLine, doc, ("messages", k), one) for k, one in enumerate(entries)]
        messages = tuple(Message(one.role, one.content) for one in found if one is not None)
        if len(messages) < len(entries):
            return ()
        roles = [one.role for one in messages]
        turns = roles[1:] if roles[:1] == ["system"] else roles
        if not turns or len(turns) % 2 or turns != ["user", "assistant"] * (len(turns) // 2):
            self.say(number, ("messages",), f"have the roles {', '.join(roles) or 'of nobody'}", _ORDER)
            return ()
        empty = [k for k, one in enumerate(messages) if one.role == "user" and not one.content.strip()]
        for place in empty:
            self.say(number, ("messages", place, "content"), "is empty")
        return () if empty else messages

    def _rendered(self, number: int, prompt: str) -> tuple[Message, ...]:
        if self.task is None:
            return (Message("user", prompt),)
        case = GoldenCase(self.task.name, f"line-{number}", prompt, {}, "", (), ())
        try:
            return chat_messages(self.task, case)
        except PromptError as error:
            what = f"the prompt of the task {self.task.name} cannot be filled in: {error}"
            self.say(number, ("prompt",), what)
            return ()


def _places(value: Any, at: Location) -> Iterator[tuple[Location, Any]]:
    """Every part of a JSON value with where it stands, the whole first."""
    yield at, value
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _places(part, (*at, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _places(part, (*at, index))


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
