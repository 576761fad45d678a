"""Lines on disk that outlive a kill and a full disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evals.journal import Journal

FULL = """
import resource, sys
from pathlib import Path
from evals.journal import Journal

journal = Journal(Path(sys.argv[1]))
journal.add({"first": "x" * 100})
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
journal.add({"second": "y" * 100})
journal.add({"third": "z"})
print(repr(journal.problem), flush=True)
input()
if sys.argv[2] == "room":
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
journal.close()
print(repr(journal.problem))
"""


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("later", "kept", "problem"),
    [("room", ["first", "second", "third"], False), ("no room", ["first"], True)],
)
def test_what_a_full_disk_does_not_take_waits_and_is_written_once_there_is_room(
    later: str, kept: list[str], problem: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    command = [sys.executable, "-c", FULL, str(path), later]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        said = process.stdout.readline()
        while_full = [next(iter(line)) for line in lines(path)]
        process.stdin.write("\n")
        process.stdin.flush()
        at_the_end = process.stdout.readline()

    assert said.strip() != "''"
    assert while_full == ["first"], "no torn line may be seen"
    assert [next(iter(line)) for line in lines(path)] == kept
    assert (at_the_end.strip() != "''") is problem


def test_lines_are_seen_by_others_at_once_and_follow_those_of_before(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"old": "line"}\n')
    journal = Journal(path)
    journal.add({"text": "\udcff\u2028\n"})

    assert lines(path) == [{"old": "line"}, {"text": "\udcff\u2028\n"}]

    journal.close()
    journal.close()
    assert journal.problem == ""


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        Journal(tmp_path / "nowhere" / "a.jsonl")
