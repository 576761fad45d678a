"""Trainings and creations leave a line, and failures say why even where no line can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.errors import TrainingError
from tests.training.manifests import manifest
from training.ledger import Ledger
from training.manifest import Adapter
from training.recorded import created, recorded
from training.registry import Entry

ENTRY = Entry("ops:candidate", "a" * 64, 1000, "llama", "F16", "")


def test_a_creation_names_the_task_that_the_adapter_was_trained_for(tmp_path: Path) -> None:
    def entry_of(task: str) -> dict[str, str]:
        adapter = Adapter(tmp_path, manifest(task=task), {})
        return created("ops", adapter, ENTRY, "http://127.0.0.1:11434", "base:1").tasks

    assert entry_of("small") == {"small": ""}
    assert entry_of("") == {}


def test_what_fails_is_written_down_and_goes_on_up(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(TrainingError, match=r"^no room\nfree some$"), recorded(ledger, "create", "ops"):
        raise TrainingError("no room\nfree some")
    (entry,), _ = ledger.read()
    assert (entry.action, entry.outcome, entry.reasons) == ("create", "failed", ("no room", "free some"))


def test_what_fails_says_why_though_it_cannot_be_written_down(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ledger = Ledger(tmp_path / "file" / "ledger.jsonl")
    with (
        pytest.raises(TrainingError, match=r"^no room\nNor could this be written down: .* cannot be written"),
        recorded(ledger, "create", "ops"),
    ):
        raise TrainingError("no room")
    with (
        pytest.raises(KeyboardInterrupt, match="it was interrupted\nNor could this be written down"),
        recorded(ledger, "create", "ops"),
    ):
        raise KeyboardInterrupt
