"""What a promotion needs, small: a server with models, a golden folder, a ledger, and gates that were recorded in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from evals.cases import load_golden
from evals.verdict import Decision, Side
from tests.evals_run import write_task
from tests.verdicts import verdict
from training.aliases import HELD_PREVIOUS, HELD_PROD, NEXT
from training.evidence import read_evidence
from training.ledger import Ledger, LedgerEntry
from training.promote import promote, rollback
from training.registry import Registry


@dataclass(frozen=True)
class Stage:
    """The surroundings of one name, `ops` unless told, below `root`."""

    root: Path
    registry: Registry
    name: str = "ops"
    base: str = "base:1"

    def __post_init__(self) -> None:
        write_task(self.golden)

    @property
    def golden(self) -> Path:
        return self.root / "golden"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.root / "reports" / "ledger.jsonl")

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        entries, problems = self.ledger.read()
        assert problems == ()
        return entries

    def digest(self, alias: str) -> str:
        """The digest of an alias now, '' where there is none."""
        found = self.registry.find(alias if ":" in alias else f"{self.name}:{alias}")
        return found.digest if found else ""

    def standing(self) -> dict[str, str]:
        """All aliases that there are of those that a promotion may touch."""
        tags = ("candidate", "prod", "previous", NEXT, HELD_PROD, HELD_PREVIOUS)
        return {tag: digest for tag in tags if (digest := self.digest(tag))}

    def created(self, *, task: str = "small", adapter: str = "") -> LedgerEntry:
        """Write down that the candidate of now was created."""
        entry = LedgerEntry(
            action="create",
            name=self.name,
            outcome="done",
            candidate=self.digest("candidate"),
            base=self.base,
            adapter=adapter,
            tasks={task: ""} if task else {},
        )
        self.ledger.append(entry)
        return entry

    def gated(
        self, decision: Decision = "promote", *, against: str = "", reasons: tuple[str, ...] = ("better",)
    ) -> LedgerEntry:
        """Write down a gate of the candidate of now, against production or else the base, with its run's folder."""
        baseline = against or (f"{self.name}:prod" if self.digest("prod") else self.base)
        run = f"20260101-120000-{len(self.entries)}"
        candidate = Side(f"{self.name}:candidate", self.digest("candidate"), (run,))
        made = verdict(
            decision,
            candidate=candidate,
            baseline=Side(baseline, self.digest(baseline), (run,)),
            reasons=reasons,
        )
        folder = self.root / "reports" / run
        folder.mkdir(parents=True)
        (folder / "verdict.json").write_text(json.dumps(made.to_json()))
        entry = LedgerEntry(
            action="gate",
            name=self.name,
            outcome="done",
            reasons=reasons,
            candidate=made.candidate.digest,
            baseline=made.baseline.digest,
            base=baseline,
            run=run,
            evidence=read_evidence(folder).sha256,
            verdict=decision,
            tasks={task.name: task.hash for task in load_golden(self.golden)},
            scores={"ops/content": 0.59},
            baseline_scores={"ops/content": 0.61},
        )
        self.ledger.append(entry)
        return entry

    def promote(self, override: str = "") -> LedgerEntry:
        return promote(
            self.name, registry=self.registry, ledger=self.ledger, golden=self.golden, override=override
        )

    def rollback(self, override: str = "") -> LedgerEntry:
        return rollback(self.name, registry=self.registry, ledger=self.ledger, override=override)
