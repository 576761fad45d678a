"""A candidate becomes production, or production goes back: only on evidence, verified, and written down in any case.

Evidence is the ledger's newest gate of exactly these two models and today's golden cases, with the verdict promote.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evals.checks.answers import shorten
from evals.errors import GoldenGateError, PromotionRefused, RegistryError
from evals.surroundings import git_state
from training.aliases import Aliases, AliasMoves, alone
from training.candidate_gate import check_name
from training.evidence import lacking, last_move
from training.ledger import REASON_LIMIT, Ledger, LedgerEntry, fit_for_ledger, last
from training.registry import Entry, Registry

Action = Literal["promote", "rollback"]
_NOUN = {"promote": "promotion", "rollback": "rollback"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision: how to move, and what is true of production once that is done."""

    move: Callable[[], None]
    facts: dict[str, Any]


_Decide = Callable[[Sequence[LedgerEntry], Aliases, AliasMoves], Plan]


def promote(
    name: str, *, registry: Registry, ledger: Ledger, golden: Path, override: str = ""
) -> LedgerEntry:
    """Make NAME:candidate production; what was production is kept as NAME:previous.

    With `override`, a reason, also without a verdict that allows it. Raises `PromotionRefused` with all that speaks
    against it, `RegistryError` where Ollama or the ledger fails; production is then what it was, or the message says
    what it is, and under which name what it was is kept.
    """

    def decide(known: Sequence[LedgerEntry], was: Aliases, moves: AliasMoves) -> Plan:
        candidate = was.candidate
        if candidate is None:
            raise PromotionRefused(
                f"there is no {moves.candidate}; make one: python -m training create ADAPTER --name {name}"
            )
        if was.prod is not None and was.prod.digest == candidate.digest:
            raise PromotionRefused(f"{moves.candidate} is {moves.prod} already ({candidate.digest[:12]})")
        reasons = list(
            lacking(name, was, candidate, known=known, registry=registry, ledger=ledger, golden=golden)
        )
        if reasons and not override:
            raise PromotionRefused("\n".join([f"{moves.candidate} is not promoted:", *reasons]))
        kept = was.prod or was.previous
        facts = {
            **_origin(known, name, candidate),
            "reasons": fit_for_ledger(reasons),
            "prod": candidate.digest,
            "previous": kept.digest if kept else "",
            "git": git_state(golden),
        }
        return Plan(lambda: moves.promote(was, candidate), facts)

    return _carried_out("promote", name, registry, ledger, override, decide)


def rollback(name: str, *, registry: Registry, ledger: Ledger, override: str = "") -> LedgerEntry:
    """NAME:previous and NAME:prod change places, so that a rollback can be taken back by another one.

    Raises as `promote` does; refused without `override` where previous is not what the ledger says that it is.
    """

    def decide(known: Sequence[LedgerEntry], was: Aliases, moves: AliasMoves) -> Plan:
        previous = was.previous
        if previous is None:
            raise PromotionRefused(f"there is no {moves.previous} to go back to")
        if was.prod is not None and was.prod.digest == previous.digest:
            raise PromotionRefused(
                f"{moves.previous} and {moves.prod} are one model ({previous.digest[:12]}): there is nothing to go back to"
            )
        reasons = list(_unknown(known, was, previous, moves, name, registry.url))
        if reasons and not override:
            raise PromotionRefused("\n".join([f"{moves.prod} is not rolled back:", *reasons]))
        facts = {
            **_origin(known, name, previous),
            "reasons": fit_for_ledger(reasons),
            "prod": previous.digest,
            "previous": was.prod.digest if was.prod else previous.digest,
        }
        return Plan(lambda: moves.swap(was, previous), facts)

    return _carried_out("rollback", name, registry, ledger, override, decide)


def _carried_out(
    action: Action, name: str, registry: Registry, ledger: Ledger, override: str, decide: _Decide
) -> LedgerEntry:
    """Decide, move, write down. Whatever comes of it is in the ledger before it is told."""
    check_name(name)
    entry = LedgerEntry(
        action=action,
        name=name,
        outcome="failed",
        server=registry.url,
        override=shorten(override, REASON_LIMIT),
    )
    moves = AliasMoves(registry, name)
    try:
        with alone(name, registry.url):
            known, _ = ledger.read()
            if told := moves.put_in_order(_recorded(known, name, registry.url)):
                ledger.append(entry.model_copy(update={**_standing(moves.now()), "reasons": (told,)}))
            was = moves.now()
            entry = entry.model_copy(update=_standing(was))
            plan = decide(known, was, moves)
            done = entry.model_copy(update={"outcome": "done", **plan.facts})
            _move(action, name, moves, plan, ledger, done)
            return done
    except GoldenGateError as error:
        outcome = "refused" if isinstance(error, PromotionRefused) else "failed"
        ledger.append_failure(entry.model_copy(update={"outcome": outcome}), error)
        raise


def _move(
    action: Action, name: str, moves: AliasMoves, plan: Plan, ledger: Ledger, done: LedgerEntry
) -> None:
    """Move and write that down; what cannot be written down is taken back too. Raises `RegistryError`.

    What broke off once the line was written is done: an interruption that comes that late changes nothing.
    """
    try:
        plan.move()
        ledger.append(done)
    except (RegistryError, KeyboardInterrupt) as error:
        if not _is_written(ledger, done):
            why = "it was interrupted" if isinstance(error, KeyboardInterrupt) else error
            raise RegistryError(
                f"the {_NOUN[action]} of {name} broke off: {why}\nNow {moves.go_back()}"
            ) from error
    with contextlib.suppress(RegistryError):  # the next move lets it go
        moves.done()


def _is_written(ledger: Ledger, done: LedgerEntry) -> bool:
    try:
        return ledger.has(done)
    except RegistryError:
        return False


def _recorded(known: Sequence[LedgerEntry], name: str, server: str) -> str:
    moved = last_move(known, name, server)
    return moved.prod if moved else ""


def _standing(was: Aliases) -> dict[str, str]:
    return {
        alias: entry.digest if (entry := getattr(was, alias)) else ""
        for alias in ("candidate", "prod", "previous")
    }


def _origin(known: Sequence[LedgerEntry], name: str, model: Entry) -> dict[str, Any]:
    """What the ledger knows of a model that becomes production."""
    found: dict[str, Any] = {"size_bytes": model.size_bytes}
    if created := last(known, name, "create", candidate=model.digest):
        found |= {"base": created.base, "adapter": created.adapter}
    if gate := last(known, name, "gate", candidate=model.digest):
        kept = ("baseline", "run", "evidence", "verdict", "tasks", "scores", "baseline_scores")
        found |= {field: getattr(gate, field) for field in kept}
    return found


def _unknown(
    known: Sequence[LedgerEntry], was: Aliases, previous: Entry, moves: AliasMoves, name: str, server: str
) -> Iterator[str]:
    """Why the ledger does not vouch for what would become production."""
    moved = last_move(known, name, server)
    if moved is None:
        yield f"the ledger knows of no promotion of {name} on {server}, so nobody vouches for {moves.previous}"
        return
    vouched = {moved.previous}
    if was.prod is None or was.prod.digest != moved.prod:
        vouched.add(
            moved.prod
        )  # production was moved by hand since: the ledger's own is the one to go back to
    if previous.digest not in vouched:
        yield (
            f"{moves.previous} is {previous.digest[:12]}, and by the ledger's last {moved.action} it should be "
            f"{moved.previous[:12] or 'not there'}; --override REASON goes back to it all the same"
        )
