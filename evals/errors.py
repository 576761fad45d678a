"""Every error that Golden Gate raises on purpose.

::

    GoldenGateError
    ├── GoldenError        golden/ has problems: all of them, each with file and line
    ├── SettingsError      an option, a model spec or a cache folder that cannot be used
    ├── ModelUnavailable   a model cannot be asked at all: not there, server down, bad file
    ├── BackendFault       one request failed: a broken connection, a 5xx, a reply cut short
    │   └── TransientFault the same, and worth asking again
    │       ├── ConnectionBroke  nothing answers, or the connection broke off: is the server still there?
    │       └── ServerBusy       the server has too much to do: 429, or its queue is full
    ├── ServerLost         a server is of no more use for a model: gone for good, or it has another one now
    ├── RunRecordError     a run record cannot be read
    ├── RunMismatch        two runs cannot be held against each other: other tasks, other cases, asked otherwise
    ├── SnapshotError      a snapshot can be neither read nor written
    ├── DataError          training data has problems: all of them, each with file and line
    ├── TrainingError      training, packaging or an adapter cannot go on
    ├── RegistryError      Ollama or the ledger is not as it should be
    └── PromotionRefused   production stays as it is; the message says why

Errors of other libraries are translated into these where they arise, at the edge, and nowhere else.
The text of each is written for the person at the terminal: what happened, where, what to do next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


class GoldenGateError(Exception):
    """Base of all errors that carry a message for the user."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in `golden/`, and how to mend it."""

    file: Path
    line: int
    field: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        field = f" {self.field}:" if self.field else ""
        mend = f" ({self.mend})" if self.mend else ""
        return f"{self.file}:{self.line}:{field} {self.what}{mend}"


class GoldenError(GoldenGateError):
    """The golden folder cannot be used; `problems` names each reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([f"{head} in the golden cases:", *map(str, self.problems)]))


class DataError(GoldenGateError):
    """Training data cannot be used; `problems` names each reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([f"{head} in the training data:", *map(str, self.problems)]))


class TrainingError(GoldenGateError):
    """Training, packaging or an adapter cannot go on: the message says why and what to do."""


class RegistryError(GoldenGateError):
    """Ollama or the ledger is not as it should be: a fault, another digest, something gone."""


class PromotionRefused(GoldenGateError):
    """A promotion or a rollback is refused; production stays as it is."""


class SettingsError(GoldenGateError):
    """A setting means nothing, or two contradict each other."""


class ModelUnavailable(GoldenGateError):
    """A model cannot be asked: the message says why and what to type."""


class BackendFault(GoldenGateError):
    """One request brought no usable reply."""


class TransientFault(BackendFault):
    """A fault that asking again may mend; `wait_s` is the server's own Retry-After, if it gave one."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class ConnectionBroke(TransientFault):
    """Nothing answers, or the connection broke off in the middle of a reply."""


class ServerBusy(TransientFault):
    """The server has too much to do and says so; asking it less at once helps, asking it again does not."""


class ServerLost(GoldenGateError):
    """A server is of no more use for a model; the message says why, and becomes the fault of its requests."""


class RunRecordError(GoldenGateError):
    """A run folder holds no complete, readable record."""


class RunMismatch(GoldenGateError):
    """Two runs did not ask the same, so that their difference would say nothing of the models."""


class SnapshotError(GoldenGateError):
    """A snapshot can be neither read nor written."""


def first_line(error: object, cleaned: Callable[[str], str] = str) -> str:
    """The first line of what another library's error says, in 200 characters at most.

    `cleaned` is given the whole text: what it takes out could not be found in half of it.
    """
    lines = cleaned(str(error)).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def late(timeout_s: float) -> BackendFault:
    """The fault of a reply that took longer than `--reply-timeout`."""
    return BackendFault(f"no whole reply within {timeout_s:g} s (--reply-timeout); the request was given up")
