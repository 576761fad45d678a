"""What speaks for or against a promotion: the ledger's gates, held against what is in Ollama, golden/ and the run's folder now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from evals.backends.base import parse_spec
from evals.cases import load_golden
from evals.checks.answers import shorten
from evals.errors import GoldenGateError, RunRecordError, TrainingError
from evals.verdict import Verdict, verdict_from_json
from training.aliases import Aliases
from training.ledger import Ledger, LedgerEntry, canonical_server, last
from training.manifest import read_manifest
from training.registry import Entry, Registry, full_name

VERDICT_FILE = "verdict.json"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run's verdict.json as it stands; `sha256` is of its bytes."""

    verdict: Verdict
    sha256: str


def read_evidence(folder: Path) -> Evidence:
    """A run's verdict; raises `RunRecordError` where there is none, or it is damaged."""
    path = folder / VERDICT_FILE
    try:
        raw = path.read_bytes()
        return Evidence(verdict_from_json(json.loads(raw)), hashlib.sha256(raw).hexdigest())
    except FileNotFoundError:
        raise RunRecordError(f"{path} is gone") from None
    except OSError as error:
        raise RunRecordError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RunRecordError(f"{path} is damaged: {shorten(str(error))}") from error


def own_task(created: LedgerEntry | None) -> str:
    """The golden task that a model was trained for, by the entry of its creation or its adapter's manifest; '' if none.

    Raises `TrainingError` where neither tells.
    """
    if created is None:
        return ""
    if created.tasks:
        return next(iter(created.tasks))
    return read_manifest(Path(created.adapter)).task if created.adapter else ""


def lacking(
    name: str,
    was: Aliases,
    candidate: Entry,
    *,
    known: Sequence[LedgerEntry],
    registry: Registry,
    ledger: Ledger,
    golden: Path,
) -> Iterator[str]:
    """Each reason why no verdict allows to promote the candidate, a sentence each; none if one does.

    Raises `RegistryError` where Ollama cannot be asked.
    """
    again = f"run: python -m training gate {name}"
    judged = [one for one in known if one.name == name and one.action == "gate" and one.outcome == "done"]
    if not judged:
        yield f"no gate has judged it; {again}"
        return
    moved = last_move(known, name, registry.url)
    # Newest first. What led to a rollback was not known to a verdict of before it.
    gates = [one for one in takewhile(lambda one: one is not moved, reversed(known)) if one in judged]
    if moved is not None and not gates and any(one.candidate == candidate.digest for one in judged):
        yield (
            f"no gate has judged it since the last {moved.action} of {name} ({moved.at[:10]}), and a verdict of before "
            f"that does not count; {again}"
        )
        yield from filter(None, [moved_by_hand(name, was.prod, known, registry.url)])
        return
    created = last(known, name, "create", candidate=candidate.digest)
    gate = next(
        (one for one in gates if one.candidate == candidate.digest and _is_fresh(one, was)),
        gates[0] if gates else judged[-1],
    )
    if gate.candidate != candidate.digest:
        yield (
            f"{name}:candidate was made anew since its last gate: that judged {gate.candidate[:12]}, and it is "
            f"{candidate.digest[:12]} now; {again}"
        )
    if was.prod is not None:
        yield from _another_prod(name, gate, was.prod, known, registry.url, again)
    else:
        yield from _another_base(gate, created, registry, again)
    if gate.verdict != "promote":
        yield f"the verdict of its gate was {gate.verdict}:"
        yield from (f"  {reason}" for reason in gate.reasons)
    yield from _other_cases(gate, golden, again)
    yield from _other_task(gate, created)
    yield from _altered(gate, ledger, again)


def _is_fresh(gate: LedgerEntry, was: Aliases) -> bool:
    return was.prod is None or gate.baseline == was.prod.digest


def _another_prod(
    name: str, gate: LedgerEntry, prod: Entry, known: Sequence[LedgerEntry], server: str, again: str
) -> Iterator[str]:
    if gate.baseline == prod.digest:
        return
    yield (
        f"its gate compared it with {gate.base} ({gate.baseline[:12]}), and {name}:prod is {prod.digest[:12]} now; {again}"
    )
    if by_hand := moved_by_hand(name, prod, known, server):
        yield by_hand


def moved_by_hand(name: str, prod: Entry | None, known: Sequence[LedgerEntry], server: str) -> str:
    """A sentence where production is not what the ledger's last promotion or rollback there put in its place; else ''."""
    moved = last_move(known, name, server)
    if moved is None:
        return f"{name}:prod was put there by hand: the ledger knows of no promotion" if prod else ""
    if prod is None:
        return f"{name}:prod was taken away by hand: the last {moved.action} put {moved.prod[:12]} there"
    if prod.digest != moved.prod:
        return (
            f"{name}:prod was moved by hand: the last {moved.action} ({moved.at[:10]}) put {moved.prod[:12]} there, "
            f"and it is {prod.digest[:12]} now"
        )
    return ""


def last_move(known: Sequence[LedgerEntry], name: str, server: str) -> LedgerEntry | None:
    """The newest promotion or rollback of a name on a server that was done."""
    here = canonical_server(server)
    return last([one for one in known if one.server == here], name, "promote", "rollback")


def _another_base(
    gate: LedgerEntry, created: LedgerEntry | None, registry: Registry, again: str
) -> Iterator[str]:
    """Where nothing is in production, the base is what has to be beaten."""
    base = created.base if created and created.base else gate.base
    found = registry.find(base) if base and parse_spec(base).backend == "ollama" else None
    if found is not None and found.digest != gate.baseline:
        yield (
            f"its gate compared it with {gate.base} ({gate.baseline[:12]}), and its base {base} is {found.digest[:12]} "
            f"now; {again}"
        )
    elif found is None and full_name(base) != full_name(gate.base):
        yield f"its gate compared it with {gate.base}, and it was made of {base}; {again}"


def _other_cases(gate: LedgerEntry, golden: Path, again: str) -> Iterator[str]:
    if not gate.tasks:
        yield f"its gate asked no golden task; {again}"
        return
    for task, asked in gate.tasks.items():
        try:
            now = load_golden(golden, [task])[0].hash
        except GoldenGateError as error:
            yield f"the golden task {task} of its gate cannot be read now: {error}"
            continue
        if now != asked:
            yield (
                f"the cases or checks of {task} were changed since its gate (hash {asked[:12]} then, {now[:12]} now); "
                f"{again}"
            )


def _other_task(gate: LedgerEntry, created: LedgerEntry | None) -> Iterator[str]:
    try:
        own = own_task(created)
    except TrainingError as error:
        yield f"what it was trained for is not known: {error}"
        return
    if own and own not in gate.tasks:
        yield f"it was trained for {own}, and its gate asked only {', '.join(gate.tasks)}"


def _altered(gate: LedgerEntry, ledger: Ledger, again: str) -> Iterator[str]:
    """What is in the run's folder has to be what the ledger says that it was."""
    folder = ledger.path.parent / gate.run
    try:
        found = read_evidence(folder)
    except RunRecordError as error:
        yield f"the record of its gate is not whole: {error}; {again}"
        return
    sides = (found.verdict.candidate.digest, found.verdict.baseline.digest)
    if sides != (gate.candidate, gate.baseline) or found.verdict.verdict != gate.verdict:
        yield f"{folder / VERDICT_FILE} is of other models or another verdict than the ledger says; {again}"
    elif found.sha256 != gate.evidence:
        yield f"{folder / VERDICT_FILE} was altered since the ledger took it down; {again}"
