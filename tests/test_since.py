"""Floors and margins of an earlier commit, read from a real repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from evals.cases import load_golden
from evals.errors import SettingsError
from evals.since import gates_since, lowered_since
from tests.evals_run import write_task


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """Two tasks, committed, in a folder below the repository's root."""
    folder = tmp_path / "repository" / "golden"
    write_task(folder, "first", content_floor=0.6)
    write_task(folder, "second")
    git(tmp_path, "init", "-q", "repository")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "two tasks")
    return folder


def lowered(golden: Path, *named: str) -> list[str]:
    return lowered_since("HEAD", golden, named, load_golden(golden, named))


def test_nothing_is_lowered_where_nothing_changed(golden: Path) -> None:
    assert lowered(golden) == []
    assert gates_since("HEAD", golden, ())["first"]["gate"]["floors"] == {"format": 0.5, "content": 0.6}


def test_a_raised_floor_and_a_new_task_lower_nothing(golden: Path) -> None:
    write_task(golden, "first", content_floor=0.7)
    write_task(golden, "third")
    assert lowered(golden) == []


def test_a_lowered_floor_is_told_also_where_it_is_committed(golden: Path) -> None:
    write_task(golden, "first", content_floor=0.3)
    assert lowered(golden) == ["the floor of first content was lowered from 60% to 30% since HEAD"]
    git(golden, "commit", "-qam", "easier")
    assert lowered(golden) == []
    before = lowered_since("HEAD~1", golden, (), load_golden(golden))
    assert before == ["the floor of first content was lowered from 60% to 30% since HEAD~1"]


def test_a_task_that_was_removed_is_told_unless_others_are_named(golden: Path) -> None:
    for path in sorted((golden / "second").iterdir()):
        path.unlink()
    (golden / "second").rmdir()
    assert lowered(golden) == ["the task second was removed since HEAD"]
    assert lowered(golden, "first") == []


@pytest.mark.parametrize("ref", ["nowhere", "--help", "HEAD:golden", ""])
def test_what_is_no_commit_is_an_error_that_says_how_to_get_it(golden: Path, ref: str) -> None:
    with pytest.raises(SettingsError, match=r"in CI fetch it first \(fetch-depth: 0\)"):
        gates_since(ref, golden, ())


def test_a_folder_outside_of_any_repository_is_an_error(tmp_path: Path) -> None:
    write_task(tmp_path / "golden")
    with pytest.raises(SettingsError, match="is in no git repository"):
        gates_since("HEAD", tmp_path / "golden", ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("task: [", "the task.yaml of first cannot be read there"),
        ("- a list", "the task.yaml of first cannot be read there"),
        ("gate: {floors: {content: high}}", r"the gate of first there: floors\.content"),
    ],
)
def test_a_gate_that_cannot_be_read_there_is_an_error(golden: Path, text: str, says: str) -> None:
    (golden / "first" / "task.yaml").write_text(text)
    git(golden, "commit", "-qam", "broken")
    write_task(golden, "first")
    with pytest.raises(SettingsError, match=says):
        gates_since("HEAD", golden, ())
