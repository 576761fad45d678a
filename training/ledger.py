"""The ledger: every training, creation, gate, promotion and rollback, refused and failed ones too, a JSON line each.

Lines are only ever appended, whole and fsynced. What cannot be read is told with its line and stays in the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from evals.backends.http_faults import LOOPBACK
from evals.checks.answers import shorten
from evals.checks.base import Strict
from evals.errors import RegistryError

FORMAT: Literal[1] = 1
LOCK_WAIT_S = 60.0
REASON_LIMIT = 2000

Action = Literal["train", "create", "gate", "promote", "rollback"]
Outcome = Literal["done", "refused", "failed"]
Rates = dict[str, Annotated[float, Field(ge=0, le=1)]]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def canonical_server(url: str) -> str:
    """An address in which this machine has one name, 127.0.0.1; raises `ValueError` for what is no address."""
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK:
        return url
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"127.0.0.1{port}").geturl()


class LedgerEntry(Strict):
    """One line. Digests are those that Ollama lists, 64 hex digits, or ''.

    Of a promotion `candidate` is what was to become production, `prod` what is production after it, `previous` what was
    kept beside it. Of a gate `baseline` is the digest that the candidate was held against, and `base` its name.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    format: Literal[1] = FORMAT
    at: str = Field(default_factory=_now, description="UTC, ISO 8601")
    action: Action
    name: str = Field(description="of the model, without a tag")
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    override: str = Field(default="", description="why it was done against the rules")
    server: Annotated[str, AfterValidator(canonical_server)] = Field(
        default="", description="address of the Ollama server; this machine is 127.0.0.1"
    )
    candidate: str = ""
    prod: str = ""
    previous: str = ""
    baseline: str = ""
    base: str = Field(default="", description="the base model's name in Ollama")
    adapter: str = Field(default="", description="the adapter's folder")
    run: str = Field(
        default="", description="a gate's run folder; relative to the ledger's folder if below it"
    )
    evidence: str = Field(default="", description="SHA-256 of the run's verdict.json")
    verdict: Literal["", "promote", "block", "inconclusive"] = ""
    tasks: dict[str, str] = Field(default={}, description="hash by golden task; of a creation ''")
    scores: Rates = Field(default={}, description="the candidate's pass rate by task/capability")
    baseline_scores: Rates = Field(default={}, description="the baseline's")
    size_bytes: int = Field(default=0, ge=0)
    git: dict[str, Any] = {}


def fit_for_ledger(texts: Sequence[str]) -> tuple[str, ...]:
    """Texts of files, servers and command lines, a line each, with nothing in them that steers a terminal."""
    return tuple(shorten(text, REASON_LIMIT) for text in texts)


class Ledger:
    """The file at `path`, made with its folder by the first entry."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: LedgerEntry) -> None:
        """Write one line, on the disk itself when this returns; raises `RegistryError`, and the file is as before.

        Bytes of a path that are not UTF-8 are written as `\\udcff`, so that the line can be read.
        """
        line = _line(entry)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=LOCK_WAIT_S):
                _append(self.path, line)
        except Timeout:
            raise RegistryError(
                f"the ledger {self.path} is held by another process for {LOCK_WAIT_S:g} s; end it, then try again"
            ) from None
        except (OSError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or error
            raise RegistryError(
                f"the ledger {self.path} cannot be written: {why}; free some room, or name another file "
                "in GOLDENGATE_LEDGER"
            ) from error

    def append_failure(self, entry: LedgerEntry, error: BaseException) -> None:
        """Write down what `error` broke off, with its message as reasons. If that fails, `error` says so too."""
        said = str(error) or "it was interrupted"
        try:
            self.append(entry.model_copy(update={"reasons": fit_for_ledger(said.splitlines())}))
        except RegistryError as unwritten:
            error.args = (f"{said}\nNor could this be written down: {unwritten}",)

    def has(self, entry: LedgerEntry) -> bool:
        """Whether the line of an entry is in the file; raises `RegistryError` where it cannot be read."""
        return _line(entry).rstrip() in self._lines()

    def read(self) -> tuple[tuple[LedgerEntry, ...], tuple[str, ...]]:
        """All entries in order, and a sentence for each line that is none; nothing where there is no file.

        Raises `RegistryError` for a file that cannot be read, and for one that a later version wrote.
        """
        entries: list[LedgerEntry] = []
        problems: list[str] = []
        for number, line in enumerate(self._lines(), start=1):
            if not line.strip():
                continue
            try:
                entries.append(LedgerEntry.model_validate_json(line))
            except ValidationError as error:
                self._refuse_later_version(line, number)
                problems.append(
                    f"{self.path}:{number}: {_what_is_wrong(line, error)}; the line is left as it is"
                )
        return tuple(entries), tuple(problems)

    def _lines(self) -> list[bytes]:
        try:
            return self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RegistryError(
                f"the ledger {self.path} cannot be read: {error.strerror or error}"
            ) from error

    def _refuse_later_version(self, line: bytes, number: int) -> None:
        try:
            written = json.loads(line)["format"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if isinstance(written, int) and written > FORMAT:
            raise RegistryError(
                f"{self.path}:{number} was written by a later version of Golden Gate (format {written}, this one knows "
                f"{FORMAT}); install that version"
            )


def _line(entry: LedgerEntry) -> bytes:
    return json.dumps(_readable(entry.model_dump(mode="json"))).encode("ascii") + b"\n"


def _readable(value: Any) -> Any:
    """JSON without lone surrogates, in which paths keep bytes that are not UTF-8, and which readers of JSON refuse."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _readable(one) for key, one in value.items()}
    return [_readable(one) for one in value] if isinstance(value, list) else value


def _append(path: Path, line: bytes) -> None:
    """Write a line to the end of a file, after a whole one; raises `OSError` with the file as it was."""
    made = not path.exists()
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
    try:
        end = os.fstat(file).st_size
        if end and not _ends_whole(file, end):
            line = b"\n" + line
        try:
            if os.write(file, line) < len(line):
                raise OSError("the disk took only a part of a line")
            os.fsync(file)
        except OSError:
            os.ftruncate(file, end)
            raise
    finally:
        os.close(file)
    if made and os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _ends_whole(file: int, end: int) -> bool:
    os.lseek(file, end - 1, os.SEEK_SET)
    return os.read(file, 1) == b"\n"


def _what_is_wrong(line: bytes, error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return "is cut short or damaged" if line.lstrip().startswith(b"{") else "is no entry"
    where = ".".join(map(str, first["loc"]))
    return f"is no entry: {shorten(where)}: {shorten(first['msg'])}"


def last(
    entries: Sequence[LedgerEntry], name: str, *actions: Action, candidate: str | None = None
) -> LedgerEntry | None:
    """The newest entry of a name that was done, of these actions and maybe of this candidate."""
    for entry in reversed(entries):
        fits = entry.name == name and entry.action in actions and entry.outcome == "done"
        if fits and candidate in (None, entry.candidate):
            return entry
    return None
