"""Going on with a run that was killed: what it was asked, what is answered, and whether that still fits.

A run writes `started.json` before anything is asked. Its verdicts follow from its replies, so only these are kept:
`results.jsonl` is written anew, from `replies.jsonl` and from what is still asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.backends.base import Model, ModelReply
from evals.cases import GoldenTask
from evals.errors import RunRecordError, SettingsError

STARTED = "started.json"
REPLIES = "replies.jsonl"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Started:
    """What a run was asked: its settings, its models' digests by label and tasks' hashes by name.

    `only` are the names of the selected tests, None for all; `at` is the time in ISO 8601.
    """

    settings: Mapping[str, Any]
    digests: Mapping[str, str]
    hashes: Mapping[str, str]
    only: Sequence[str] | None
    at: str

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **{name: getattr(self, name) for name in self.__slots__}}


def read_started(folder: Path) -> Started:
    """What an unfinished run was asked; raises `RunRecordError` where there is none, or it is complete."""
    path = folder / STARTED
    if (folder / "run.json").exists():
        raise RunRecordError(f"the run in {folder} is complete: there is nothing to go on with")
    if not path.is_file():
        raise RunRecordError(f"there is no unfinished run in {folder}: it has no {STARTED}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise RunRecordError(f"{path} was written by another version of Golden Gate")
        return Started(**data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunRecordError(f"{path} is damaged: {error}") from error


def refuse_changes(
    started: Started, models: Sequence[Model], tasks: Sequence[GoldenTask], folder: Path
) -> None:
    """Raise `SettingsError` naming all that changed since: then old and new replies do not belong together."""
    reasons: list[str] = []
    hashes = {task.name: task.hash for task in tasks}
    for name in sorted(hashes.keys() | started.hashes.keys()):
        old, new = started.hashes.get(name), hashes.get(name)
        if old is None:
            reasons.append(f"the task {name} is new")
        elif new is None:
            reasons.append(f"the task {name} is gone")
        elif old != new:
            reasons.append(f"the task {name} was changed ({old[:12]} then, {new[:12]} now)")
    digests = {model.label: model.digest for model in models}
    for label, digest in started.digests.items():
        if label not in digests:
            reasons.append(f"the model {label} cannot be asked")
        elif digests[label] != digest:
            reasons.append(
                f"the model {label} is another one ({digest[:12]} then, {digests[label][:12]} now)"
            )
    if reasons:
        raise SettingsError(
            f"the run in {folder} cannot go on: {'; '.join(reasons)}. Begin a new run, without --resume"
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """The replies of an unfinished run by response key, and the keys of those that came from the store."""

    replies: Mapping[str, ModelReply]
    stored: frozenset[str]


def read_answered(folder: Path) -> Answered:
    """All whole lines of `replies.jsonl`; a kill may have torn the last one, which is left out."""
    replies: dict[str, ModelReply] = {}
    stored: set[str] = set()
    for data in _whole_lines(folder / REPLIES):
        replies[data["response"]] = ModelReply.from_json(data["reply"])
        if data.get("stored"):
            stored.add(data["response"])
    return Answered(replies, frozenset(stored))


def reply_names(folder: Path) -> set[tuple[str, str, str, str]]:
    """Model, task, case and response key of each reply that is kept."""
    return {
        (data["model"], data["task"], data["case"], data["response"])
        for data in _whole_lines(folder / REPLIES)
    }


def without_torn_line(path: Path) -> None:
    """Cut a line that a kill has torn off the end of a file, so that another can follow."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            file.truncate(whole)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Raises `RunRecordError` for a damaged line that is not the torn last one."""
    if not path.exists():
        return []
    found: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            data = json.loads(line)
            ModelReply.from_json(data["reply"])
            found.append({name: data[name] for name in data})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunRecordError(f"{path}:{number}: damaged line: {error}") from error
    return found
