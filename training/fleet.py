"""The fleet: what is in production under each name, what was before it, how both were judged, and whether Ollama agrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evals.checks.answers import shorten
from evals.errors import RunRecordError
from evals.report.tables import percent, points
from evals.verdict import Difference
from training.aliases import is_half_way
from training.evidence import last_move, moved_by_hand, read_evidence
from training.ledger import Ledger, LedgerEntry, last
from training.registry import Entry, Registry

COLUMNS = ("name", "before", "in production", "scores", "size")
FOLDED = 8
NAME_LIMIT = 40
AGREES = "as the ledger says"


@dataclass(frozen=True, slots=True)
class FleetModel:
    """One model of a name: what it is, or its base and the folder of its adapter; its digest; its size in bytes, 0 where
    Ollama does not have it."""

    label: str
    adapter: str
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FleetScore:
    """A capability of a task: pass rates of the one before (None if unknown) and of the one now, as fractions.

    `low` and `high` are the ends of the difference's 95% interval, None where the gate's run is gone.
    """

    task: str
    capability: str
    before: float | None
    now: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One name. `since` is the date of the promotion, '' without one; `agreement` tells whether Ollama and ledger agree;
    `waiting` what is to be said of its candidate, or ''."""

    name: str
    now: FleetModel | None
    before: FleetModel | None
    scores: tuple[FleetScore, ...]
    since: str
    agreement: str
    waiting: str

    @property
    def agrees(self) -> bool:
        return self.agreement == AGREES


def fleet(registry: Registry, ledger: Ledger) -> list[FleetRow]:
    """A row for each name that the ledger knows to have been created, gated or promoted, in order of name.

    Raises `RegistryError` where Ollama or the ledger cannot be read.
    """
    known, _ = ledger.read()
    names = sorted({one.name for one in known if one.action != "train" and one.outcome == "done"})
    return [_row(name, known, registry, ledger) for name in names]


def _row(name: str, known: Sequence[LedgerEntry], registry: Registry, ledger: Ledger) -> FleetRow:
    prod = registry.find(f"{name}:prod")
    moved = last_move(known, name, registry.url)
    by_hand = moved_by_hand(name, prod, known, registry.url)
    if by_hand and is_half_way(registry, name):
        by_hand = (
            f"a promotion or rollback of {name} goes on or was killed; the next one first puts it in order"
        )
    is_known = moved is not None and prod is not None and not by_hand
    return FleetRow(
        name=name,
        now=_model(name, prod.digest, known, prod) if prod else None,
        before=_before(name, moved, known, registry) if moved is not None and is_known else None,
        scores=_scores(moved, ledger) if moved is not None and is_known else (),
        since=moved.at[:10] if moved is not None and is_known else "",
        agreement=by_hand or (AGREES if prod else "nothing is in production"),
        waiting=_waiting(name, known, registry.find(f"{name}:candidate"), prod),
    )


def _model(name: str, digest: str, known: Sequence[LedgerEntry], entry: Entry | None) -> FleetModel:
    created = last(known, name, "create", candidate=digest)
    label, adapter = (entry.name if entry else ""), ""
    if created is not None:
        label, adapter = created.base or label, Path(created.adapter).name
    return FleetModel(
        shorten(label, NAME_LIMIT), shorten(adapter, NAME_LIMIT), digest, entry.size_bytes if entry else 0
    )


def _before(
    name: str, moved: LedgerEntry, known: Sequence[LedgerEntry], registry: Registry
) -> FleetModel | None:
    """What was in production before; the base where nothing was."""
    if moved.previous:
        kept = registry.find(f"{name}:previous")
        return _model(name, moved.previous, known, kept if kept and kept.digest == moved.previous else None)
    if moved.base:
        base = registry.find(moved.base)
        return FleetModel(
            shorten(moved.base, NAME_LIMIT),
            "",
            base.digest if base else moved.baseline,
            base.size_bytes if base else 0,
        )
    return None


def _scores(moved: LedgerEntry, ledger: Ledger) -> tuple[FleetScore, ...]:
    found = _differences(moved, ledger)
    # A rollback's gate compared the model with what came before it, which is not what it replaced.
    against = moved.baseline_scores if moved.action == "promote" else {}
    scores = []
    for key, now in moved.scores.items():
        task, _, capability = key.partition("/")
        of = found.get(key) if against else None
        scores.append(
            FleetScore(
                shorten(task, NAME_LIMIT),
                shorten(capability, NAME_LIMIT),
                against.get(key),
                now,
                of.low if of else None,
                of.high if of else None,
            )
        )
    return tuple(scores)


def _differences(moved: LedgerEntry, ledger: Ledger) -> Mapping[str, Difference]:
    if not moved.run:
        return {}
    try:
        evidence = read_evidence(ledger.path.parent / moved.run)
    except RunRecordError:
        return {}
    if evidence.sha256 != moved.evidence:
        return {}
    return {f"{one.task}/{one.capability}": one for one in evidence.verdict.differences}


def _waiting(name: str, known: Sequence[LedgerEntry], candidate: Entry | None, prod: Entry | None) -> str:
    if candidate is None or (prod is not None and candidate.digest == prod.digest):
        return ""
    gate = last(known, name, "gate", candidate=candidate.digest)
    return f"candidate {candidate.digest[:12]}: {f'gate says {gate.verdict}' if gate else 'not gated yet'}"


def print_fleet(console: Console, rows: Sequence[FleetRow]) -> None:
    """Print a table, or where the terminal is too narrow for it, a block for each name."""
    if not rows:
        console.print("Nothing was created, gated or promoted yet: the ledger knows of no model.")
        return
    cells = [_cells(row) for row in rows]
    if _table_width(cells) <= console.width:
        console.print(_table(cells))
    else:
        for row in rows:
            _print_block(console, row)
    for row in rows:
        if not row.agrees:
            console.print(Text(f"{row.name}: {row.agreement}", style="yellow"))
        if row.waiting:
            console.print(Text(f"{row.name}: {row.waiting}"))
    if any(score.low is not None for row in rows for score in row.scores):
        console.print(
            Text("Scores are pass rates, with the difference in points and its 95% interval.", style="dim")
        )


def _cells(row: FleetRow) -> list[list[str]]:
    """The lines of a row's cells, in the order of `COLUMNS`."""
    scores = list(_score_lines(row.scores)) or ["-"]
    return [[row.name], _named(row.before), [*_named(row.now), *_since(row)], scores, _sizes(row)]


def _table_width(cells: Sequence[Sequence[Sequence[str]]]) -> int:
    """The least width of a table of these rows: the first two columns may be folded, the others not."""
    widths = [
        max(cell_len(line) for row in cells for line in [COLUMNS[number], *row[number]])
        for number in range(len(COLUMNS))
    ]
    return sum(min(width, FOLDED) for width in widths[:2]) + sum(widths[2:]) + 2 * len(COLUMNS)


def _table(cells: Sequence[Sequence[Sequence[str]]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, name in enumerate(COLUMNS):
        table.add_column(name, overflow="fold", no_wrap=number >= 2)
    for row in cells:
        table.add_row(*(Text("\n".join(lines)) for lines in row))
    return table


def _print_block(console: Console, row: FleetRow) -> None:
    console.print(Text(row.name, style="bold"))
    told = [
        ("now", _named(row.now)),
        ("before", _named(row.before)),
        ("since", [row.since or "-"]),
        ("size", _sizes(row)),
    ]
    for label, parts in told:
        line = f"{label:<7}{' '.join(parts)}"
        fits = cell_len(line) <= console.width - 2
        for text in [line] if fits else [label, *(f"  {part}" for part in parts)]:
            _indented(console, text)
    for line in _score_lines(row.scores):
        _indented(console, line)


def _indented(console: Console, line: str) -> None:
    console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))


def _named(model: FleetModel | None) -> list[str]:
    if model is None:
        return ["-"]
    return [*filter(None, [model.label, f"+ {model.adapter}" if model.adapter else ""]), model.digest[:12]]


def _since(row: FleetRow) -> list[str]:
    return [f"since {row.since}"] if row.since else []


def _score_lines(scores: Sequence[FleetScore]) -> Iterator[str]:
    task = ""
    for one in scores:
        if one.task != task:
            task = one.task
            yield task
        rates = percent(one.now) if one.before is None else f"{percent(one.before)} -> {percent(one.now)}"
        yield f" {one.capability} {rates}"
        if one.before is not None and one.low is not None and one.high is not None:
            yield f"   {points(one.now - one.before)} ({points(one.low)} to {points(one.high)})"


def _sizes(row: FleetRow) -> list[str]:
    now = row.now.size_bytes if row.now else 0
    before = row.before.size_bytes if row.before else 0
    if not now:
        return ["-"]
    if not before:
        return [_size(now)]
    change = (now - before) / before * 100
    return [_size(now), "(same)" if abs(change) < 0.5 else f"({change:+.0f}%)"]


def _size(size_bytes: int) -> str:
    """Decimal units, as `ollama list` gives them."""
    if size_bytes >= 1_000_000_000:
        return f"{size_bytes / 1e9:.1f} GB"
    return f"{size_bytes / 1e6:.0f} MB"
