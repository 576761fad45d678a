"""Entries of the store that a disk has damaged."""

from __future__ import annotations

from collections.abc import Callable

from tests.fault_server import FaultServer
from tests.faults.played_run import PlayedRun, judged

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "one bit flipped": lambda data: data.replace(b"All right.", b"All sight."),
    "emptied": lambda data: b"",
}


def test_damaged_entries_are_set_aside_and_only_they_are_asked_again(
    played: PlayedRun, fault_server: FaultServer
) -> None:
    assert played.run().status == 0
    entries = sorted((played.cache / "responses").glob("*/*.json"))[: len(DAMAGES)]
    for entry, damage in zip(entries, DAMAGES.values(), strict=True):
        whole = entry.read_bytes()
        assert damage(whole) != whole
        entry.write_bytes(damage(whole))
    fault_server.asked.clear()

    done = played.run()

    assert done.status == 0, done.out
    assert judged(done.folder) == played.whole()
    assert len(fault_server.chats) == len(set(fault_server.questions)) == len(DAMAGES)
    assert f"{len(played.questions) - len(DAMAGES)} replies came from the store" in done.out
    assert sorted(played.cache.rglob("*.damaged")) == sorted(one.with_suffix(".damaged") for one in entries)
    assert "sight" not in (done.folder / "replies.jsonl").read_text()
    assert played.kept() == set(played.questions)
