"""The ledger: lines are appended whole and never lost, and what is no line is told."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.errors import GoldenError, GoldenGateError, Problem, RegistryError, TrainingError
from training import ledger as module
from training.ledger import Ledger, LedgerEntry, fit_for_ledger, last

ENTRY = LedgerEntry(
    action="gate",
    name="ops",
    outcome="done",
    reasons=("better", "no new miss"),
    candidate="c" * 64,
    baseline="b" * 64,
    verdict="promote",
    tasks={"small": "h" * 64},
    scores={"small/content": 1.0},
    baseline_scores={"small/content": 0},
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "reports" / "ledger.jsonl")


def test_entries_come_back_as_they_were_in_their_order(ledger: Ledger) -> None:
    second = LedgerEntry(action="promote", name="ops", outcome="refused", reasons=("no gate",))
    ledger.append(ENTRY)
    ledger.append(second)
    assert ledger.read() == ((ENTRY, second), ())


def test_a_ledger_that_is_not_there_yet_is_empty(ledger: Ledger) -> None:
    assert ledger.read() == ((), ())


def test_an_entry_tells_when_it_was_made_in_utc() -> None:
    assert LedgerEntry(action="train", name="ops", outcome="failed").at.endswith("+00:00")


@given(cut=st.integers(min_value=1))
@settings(max_examples=30)
def test_a_line_cut_anywhere_is_told_and_kept_and_the_next_entry_stands_alone(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    ledger.append(ENTRY)
    whole = ledger.path.read_bytes()
    half = whole[: 1 + cut % (len(whole) - 2)]
    ledger.path.write_bytes(whole + half)
    entries, problems = ledger.read()
    assert entries == (ENTRY,)
    assert len(problems) == 1 and f"{ledger.path}:2: is cut short" in problems[0]
    ledger.append(ENTRY)
    assert ledger.path.read_bytes() == whole + half + b"\n" + whole
    assert ledger.read() == ((ENTRY, ENTRY), problems)


def test_an_entry_that_lacks_only_its_line_end_counts(ledger: Ledger) -> None:
    ledger.append(ENTRY)
    ledger.path.write_bytes(ledger.path.read_bytes().rstrip(b"\n"))
    ledger.append(ENTRY)
    assert ledger.read() == ((ENTRY, ENTRY), ())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param(b'"text"', "is no entry", id="no-object"),
        pytest.param(b"\0\0\0", "is no entry", id="nul"),
        pytest.param(b'{"name": "\xff"}', "is cut short or damaged", id="no-utf-8"),
        pytest.param(b"[" * 100_000, "is no entry", id="nested"),
        pytest.param(b'{"action": "dance"}', "action: Input should be", id="unknown-action"),
        pytest.param(
            json.dumps({**ENTRY.model_dump(mode="json"), "more\x1b": 1}).encode(),
            r"more\x1b: Extra inputs",
            id="unknown-field",
        ),
    ],
)
def test_a_line_that_is_no_entry_is_told_with_its_number(ledger: Ledger, line: bytes, said: str) -> None:
    ledger.append(ENTRY)
    ledger.path.write_bytes(ledger.path.read_bytes() + line + b"\n")
    entries, (problem,) = ledger.read()
    assert entries == (ENTRY,)
    assert problem.startswith(f"{ledger.path}:2: ") and said in problem


def test_a_ledger_of_a_later_version_is_refused(ledger: Ledger) -> None:
    ledger.append(ENTRY)
    later = {**ENTRY.model_dump(mode="json"), "format": 2, "new": True}
    ledger.path.write_bytes(ledger.path.read_bytes() + json.dumps(later).encode() + b"\n")
    with pytest.raises(
        RegistryError, match=r":2 was written by a later version .*format 2, this one knows 1"
    ):
        ledger.read()


def test_a_ledger_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read: Is a directory"):
        Ledger(tmp_path).read()


def test_a_ledger_in_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match=r"cannot be written: .*GOLDENGATE_LEDGER"):
        Ledger(tmp_path / "file" / "ledger.jsonl").append(ENTRY)


def _append_with_room(path: Path, room: int, said: multiprocessing.Queue[str]) -> None:
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        Ledger(path).append(ENTRY)
    except RegistryError as error:
        said.put(str(error))
    else:
        said.put("")


def test_a_disk_that_takes_half_a_line_gets_none(ledger: Ledger) -> None:
    ledger.append(ENTRY)
    before = ledger.path.read_bytes()
    context = multiprocessing.get_context("spawn")
    said: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_append_with_room, args=(ledger.path, len(before) + 40, said))
    process.start()
    message = said.get(timeout=60)
    process.join()
    assert "cannot be written: the disk took only a part of a line" in message
    assert ledger.path.read_bytes() == before


def test_a_held_ledger_is_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.05)
    ledger.path.parent.mkdir()
    with (
        FileLock(f"{ledger.path}.lock"),
        pytest.raises(RegistryError, match=r"is held by another process for 0\.05 s"),
    ):
        ledger.append(ENTRY)


def _append_many(path: Path, count: int) -> None:
    for _ in range(count):
        Ledger(path).append(ENTRY)


def test_processes_that_write_at_once_lose_nothing(ledger: Ledger) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(ledger.path, 10)) for _ in range(2)]
    for writer in writers:
        writer.start()
    _append_many(ledger.path, 10)
    for writer in writers:
        writer.join()
    entries, problems = ledger.read()
    assert (len(entries), problems) == (30, ())


def test_bytes_of_a_path_that_are_no_utf_8_are_written_so_that_the_line_is_read(ledger: Ledger) -> None:
    odd = os.fsdecode(b"/tmp/\xff/ops")
    ledger.append(ENTRY.model_copy(update={"adapter": odd, "git": {"files": [odd, {"dirty": True}]}}))
    (entry,), problems = ledger.read()
    assert problems == ()
    shown = r"/tmp/\udcff/ops"
    assert (entry.adapter, entry.git) == (shown, {"files": [shown, {"dirty": True}]})


def test_it_is_told_whether_an_entry_is_in_the_file(ledger: Ledger) -> None:
    assert not ledger.has(ENTRY)
    ledger.append(ENTRY)
    assert ledger.has(ENTRY)
    assert not ledger.has(ENTRY.model_copy(update={"outcome": "failed"}))


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://localhost:11434", "http://127.0.0.1:11434"),
        ("http://[::1]:11434", "http://127.0.0.1:11434"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("http://localhost/ollama", "http://127.0.0.1/ollama"),
        ("https://models.example:443", "https://models.example:443"),
        ("", ""),
    ],
)
def test_this_machine_has_one_name_in_an_entry(url: str, same: str) -> None:
    assert LedgerEntry(action="train", name="ops", outcome="done", server=url).server == same


def test_what_an_address_may_not_be_is_told_with_its_line(ledger: Ledger) -> None:
    ledger.append(ENTRY)
    broken = {**ENTRY.model_dump(mode="json"), "server": "http://[localhost"}
    ledger.path.write_bytes(ledger.path.read_bytes() + json.dumps(broken).encode() + b"\n")
    entries, (problem,) = ledger.read()
    assert entries == (ENTRY,) and f"{ledger.path}:2: is no entry: server: " in problem


def test_a_failure_is_written_down_with_all_that_it_says(ledger: Ledger) -> None:
    entry = LedgerEntry(action="create", name="ops", outcome="failed")
    ledger.append_failure(entry, TrainingError("no room\nfree some"))
    ledger.append_failure(entry, KeyboardInterrupt())
    assert [one.reasons for one in ledger.read()[0]] == [("no room", "free some"), ("it was interrupted",)]


@pytest.mark.parametrize(
    "error",
    [TrainingError("no room"), GoldenError([Problem(Path("task.yaml"), 3, "task", "no room")])],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_that_cannot_be_written_down_says_both(tmp_path: Path, error: GoldenGateError) -> None:
    (tmp_path / "file").write_text("")
    before = str(error)
    Ledger(tmp_path / "file" / "ledger.jsonl").append_failure(
        LedgerEntry(action="create", name="ops", outcome="failed"), error
    )
    assert str(error).startswith(f"{before}\nNor could this be written down: the ledger ")


def test_the_last_entry_is_the_newest_that_was_done() -> None:
    older = ENTRY.model_copy(update={"candidate": "a" * 64})
    failed = ENTRY.model_copy(update={"outcome": "failed"})
    other = ENTRY.model_copy(update={"name": "judge"})
    entries = (older, ENTRY, failed, other)
    assert last(entries, "ops", "gate") is ENTRY
    assert last(entries, "ops", "gate", candidate="a" * 64) is older
    assert last(entries, "ops", "promote", "rollback") is None


def test_texts_are_a_line_each_and_steer_no_terminal() -> None:
    (text,) = fit_for_ledger(["a\nb\x1b[2J\udcff" + "x" * 3000])
    assert text.startswith(r"a\nb\x1b[2J\udcff") and len(text) == 2000
    assert LedgerEntry(action="train", name="ops", outcome="failed", reasons=(text,)).reasons == (text,)


@pytest.mark.skipif(os.name != "posix", reason="a folder is fsynced on POSIX")
def test_an_entry_is_synced_with_its_folder(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    real = os.fsync

    def fsync(file: int) -> None:
        synced.append(os.path.isdir(f"/dev/fd/{file}"))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    ledger.append(ENTRY)
    assert synced == [False, True]
    ledger.append(ENTRY)
    assert synced == [False, True, False]
