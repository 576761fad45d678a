"""Floors, margins and a policy as they stood in an earlier commit: a change may not lower what it is then judged by."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evals.cases import Gate, GoldenTask
from evals.checks.answers import shorten
from evals.documents import parse_document
from evals.errors import SettingsError
from evals.lowered import lowered
from evals.pairing import Facts
from evals.policy import Policy, parse_policy, read_policy
from evals.runs import task_facts

GIT_LIMIT_S = 20.0


def lowered_since(
    ref: str,
    golden: Path,
    named: Sequence[str],
    tasks: Sequence[GoldenTask],
    policy: Path | None = None,
) -> list[str]:
    """What `tasks` ask less of a candidate than they did at `ref`, a sentence each; a task that is gone asks nothing.

    `named` are the tasks to look at, all where there are none. A `policy` file of the same repository may not ask less
    than it did there, nor, where it was not there, than the tasks themselves did. Raises `SettingsError`, as
    `gates_since` does.
    """
    before = gates_since(ref, golden, named)
    now = task_facts(tasks)
    gone = [
        f"the task {shorten(name)} was removed since {shorten(ref)}" for name in before if name not in now
    ]
    found = [*gone, *lowered(before, now, since=f"since {shorten(ref)}")]
    if policy is not None and _root(policy.parent) == _root(golden):
        found += _policy_lowered(ref, policy, before, list(now))
    return list(dict.fromkeys(found))


def _policy_lowered(ref: str, path: Path, before: Facts, tasks: Sequence[str]) -> list[str]:
    """What the policy file asks less of the tasks than at `ref`; where it was not there, than their own gates there."""
    now = _asked_by(read_policy(path), tasks)
    text = _git(path.parent, "show", f"{ref}^{{commit}}:./{path.name}")
    if text is None:
        return lowered(
            _margins(before), now, since=f"since {shorten(ref)}, where there was no {shorten(path.name)}"
        )
    then = _asked_by(parse_policy(Path(f"{ref}:{path.name}"), text), tasks)
    return lowered(then, now, since=f"since {shorten(ref)}, in {shorten(path.name)}")


def _asked_by(policy: Policy, tasks: Sequence[str]) -> Facts:
    """What a policy asks of each task, as if it stood in the task's own gate."""
    asked = {task: policy.of(task) for task in tasks}
    return {
        task: {"gate": {"versus_baseline": one.model_dump(mode="json") if one else {}}}
        for task, one in asked.items()
    }


def _margins(gates: Facts) -> Facts:
    """What the tasks ask of a comparison, without their floors: no policy file stands instead of those."""
    return {
        task: {"gate": {"versus_baseline": facts["gate"]["versus_baseline"]}} for task, facts in gates.items()
    }


def _root(folder: Path) -> str | None:
    """The working tree that a folder is in; None outside of any."""
    return _git(folder, "rev-parse", "--show-toplevel")


def gates_since(ref: str, golden: Path, named: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By task, what a run record would say of its gate had it been written at `ref`; of the named tasks, or of all.

    Raises `SettingsError` where there is no such commit, it has no task in this folder, or a task.yaml of it cannot be
    read.
    """
    commit = (
        None if ref.startswith("-") else _git(golden, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    )
    if not commit:
        raise SettingsError(
            f"--since {ref}: {golden} is in no git repository that has this commit; in CI fetch it first (fetch-depth: 0)"
        )
    files = _git(golden, "ls-tree", "-r", "-z", "--name-only", commit.strip(), ".") or ""
    tasks = [
        name for name, _, file in (path.partition("/") for path in files.split("\0")) if file == "task.yaml"
    ]
    if not tasks:
        raise SettingsError(
            f"--since {ref}: there are no golden tasks in {golden.name}/ of that commit, so nothing tells whether a bar "
            "was lowered. If the folder was moved, move it in a change of its own; if these are the first tasks, leave "
            "--since out of this change"
        )
    return {
        task: {"gate": _gate(_git(golden, "show", f"{commit.strip()}:./{task}/task.yaml"), ref, task)}
        for task in tasks
        if not named or task in named
    }


def _gate(text: str | None, ref: str, task: str) -> dict[str, Any]:
    document, problems = parse_document(Path(f"{ref}:{task}/task.yaml"), text or "")
    if problems or not isinstance(document.value, dict):
        raise SettingsError(f"--since {ref}: the task.yaml of {task} cannot be read there")
    try:
        return Gate.model_validate(document.value.get("gate", {})).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsError(f"--since {ref}: the gate of {task} there: {where}: {first['msg']}") from error


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says of the folder's repository; None where it fails, or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout
