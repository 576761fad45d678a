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


def test_a_commit_without_tasks_in_the_folder_is_an_error_that_says_what_to_do(golden: Path) -> None:
    git(golden.parent, "mv", "golden", "cases")
    for folder in (golden.parent / "cases", golden.parent / "more"):
        write_task(folder, "first", content_floor=0.1)
        with pytest.raises(
            SettingsError, match="move it in a change of its own; if these are the first"
        ) as told:
            lowered_since("HEAD", folder, (), load_golden(folder))
        assert f"there are no golden tasks in {folder.name}/ of that commit" in str(told.value)


STRICT = (
    "policy: mine\nabout: A test.\ntasks:\n  first: {superior: [content]}\n  '*': {ratio: {content: 0.9}}\n"
)


@pytest.fixture
def policy(golden: Path) -> Path:
    """A policy file, committed beside the golden folder."""
    path = golden.parent / "mine.yaml"
    path.write_text(STRICT)
    git(golden.parent, "add", ".")
    git(golden.parent, "commit", "-qm", "a policy")
    return path


def policy_lowered(golden: Path, policy: Path, *named: str) -> list[str]:
    return lowered_since("HEAD", golden, named, load_golden(golden, named), policy)


def test_a_policy_that_asks_less_than_it_did_is_told(golden: Path, policy: Path) -> None:
    assert policy_lowered(golden, policy) == []
    policy.write_text(STRICT.replace("superior: [content]", "ratio: {content: 0.9}").replace("'*'", "second"))
    assert policy_lowered(golden, policy) == [
        "first content need no longer be superior since HEAD, in mine.yaml"
    ]
    policy.write_text(STRICT.replace("0.9", "0.5"))
    assert policy_lowered(golden, policy) == [
        "the ratio of second content was lowered from 90% to 50% since HEAD, in mine.yaml"
    ]
    assert policy_lowered(golden, policy, "first") == []


def test_an_entry_that_a_policy_has_no_more_is_told(golden: Path, policy: Path) -> None:
    policy.write_text("policy: mine\nabout: A test.\ntasks: {second: {ratio: {content: 0.9}}}\n")
    assert policy_lowered(golden, policy) == [
        "first content need no longer be superior since HEAD, in mine.yaml"
    ]


def test_a_new_policy_may_not_ask_less_than_the_tasks_did(golden: Path) -> None:
    with (golden / "first" / "task.yaml").open("a") as file:
        file.write("  versus_baseline: {superior: [content]}\n")
    git(golden, "commit", "-qam", "a margin")
    new = golden / "policies" / "new.yaml"
    new.parent.mkdir()
    new.write_text(STRICT)
    assert policy_lowered(golden, new) == []
    new.write_text(STRICT.replace("superior", "ratio").replace("[content]", "{content: 0.1}"))
    assert policy_lowered(golden, new) == [
        "first content need no longer be superior since HEAD, where there was no new.yaml"
    ]


def test_a_policy_of_another_place_is_nothing_that_the_change_could_lower(
    golden: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere.yaml"
    other.write_text(STRICT.replace("superior: [content]", "ratio: {content: 0.1}"))
    assert policy_lowered(golden, other) == []


def test_a_policy_that_cannot_be_read_there_is_an_error(golden: Path, policy: Path) -> None:
    policy.write_text("policy: [")
    git(golden.parent, "commit", "-qam", "broken")
    policy.write_text(STRICT)
    with pytest.raises(SettingsError, match=r"1 problem in the policy:\nHEAD:mine\.yaml:2"):
        policy_lowered(golden, policy)


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
