"""What trainings and creations leave in the ledger; those that failed too, with the reason."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from evals.backends.base import parse_spec
from evals.errors import GoldenGateError
from evals.surroundings import git_state
from training.ledger import Action, Ledger, LedgerEntry
from training.manifest import MANIFEST, Adapter, open_adapter
from training.registry import Entry


@contextlib.contextmanager
def recorded(ledger: Ledger, action: Action, name: str) -> Iterator[None]:
    """Write down what fails in here, and let it go on up; it says so too where that cannot be written."""
    try:
        yield
    except (GoldenGateError, KeyboardInterrupt) as error:
        ledger.append_failure(LedgerEntry(action=action, name=name, outcome="failed"), error)
        raise


def trained(folder: Path) -> LedgerEntry | None:
    """The entry of a complete adapter; None where this process is not the one that wrote it."""
    from accelerate import PartialState  # type: ignore[import-untyped]

    if not PartialState().is_main_process or not (folder / MANIFEST).exists():
        return None
    manifest = open_adapter(folder).manifest
    return LedgerEntry(
        action="train",
        name=manifest.name,
        outcome="done",
        base=manifest.base.ollama or base_spec(manifest.base.name),
        adapter=str(folder.resolve()),
        git=manifest.git,
    )


def created(name: str, adapter: Adapter, entry: Entry, server: str, base_ollama: str) -> LedgerEntry:
    """The entry of a candidate. Its `base` is what the gate compares it with as long as nothing is in production: the
    one in Ollama, or where `base_ollama` is '' the model that was trained on.

    `tasks` names the golden task that it was trained for, with an empty hash: nothing was asked yet. So it is known
    wherever the adapter's folder is moved.
    """
    manifest = adapter.manifest
    return LedgerEntry(
        action="create",
        name=name,
        outcome="done",
        server=server,
        candidate=entry.digest,
        base=base_ollama or base_spec(manifest.base.name),
        adapter=str(adapter.folder.resolve()),
        tasks={manifest.task: ""} if manifest.task else {},
        size_bytes=entry.size_bytes,
        git=git_state(Path.cwd()),
    )


def base_spec(name: str) -> str:
    """The base as `--model` takes it: `gguf:` as it is, a folder or an ID on the hub as `hf:`."""
    return name if parse_spec(name.replace(" ", "_")).backend == "gguf" else f"hf:{name}"
