"""What a record keeps of where it was made."""

from __future__ import annotations

import subprocess
from pathlib import Path

from evals.surroundings import git_state, host, versions


def test_versions_are_of_what_results_depend_on_and_of_what_else_is_named() -> None:
    assert {"python", "goldengate", "pytest", "regex"} <= versions().keys()
    assert "mypy" not in versions() and "mypy" in versions("mypy", "no-such-package")
    assert "no-such-package" not in versions("no-such-package")


def test_the_machine_has_its_memory_in_bytes() -> None:
    assert host()["memory_bytes"] > 10**8


def test_the_commit_and_whether_files_changed_since(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    assert git_state(tmp_path) == {}
    git("init")
    (tmp_path / "a").write_text("1", encoding="utf-8")
    git("add", "a")
    git("commit", "-m", "first")
    clean = git_state(tmp_path)
    (tmp_path / "a").write_text("2", encoding="utf-8")

    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    assert git_state(tmp_path) == {**clean, "dirty": True}
