"""The aliases of one name in Ollama: `candidate`, `prod` and `previous`, moved so that a move can be taken back at any point.

Ollama writes an alias in place: one that is killed meanwhile, or that has no room, leaves the alias without a model. So
whatever a move is about to replace gets another name first, and so does what is to become production. The latter is
there last and goes first: as long as it is there, a move is not over, and both that were there before are kept.

    hold prod and previous ──▶ next ──▶ previous ──▶ prod ──▶ the ledger ──▶ let next go, then what was held
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from filelock import FileLock, Timeout

from evals.cache import cache_folder
from evals.errors import PromotionRefused, RegistryError
from training.ledger import canonical_server
from training.registry import Entry, Registry

# Tags that nobody else would use: what stands there is let go.
NEXT = "golden-gate-next"
HELD_PROD = "golden-gate-prod"
HELD_PREVIOUS = "golden-gate-previous"


@dataclass(frozen=True, slots=True)
class Aliases:
    """What each alias of a name is now; None where there is none."""

    candidate: Entry | None
    prod: Entry | None
    previous: Entry | None


@contextlib.contextmanager
def alone(name: str, server: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Be the only one on this machine who moves the aliases of a name on a server, whatever the ledger.

    Raises `PromotionRefused` if somebody else still is after `wait_s` seconds, `RegistryError` without a place for the lock.
    """
    place = hashlib.sha256(canonical_server(server).encode()).hexdigest()[:8]
    path = cache_folder() / "aliases" / f"{name}-{place}.lock"
    try:
        path.parent.mkdir(exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise PromotionRefused(
            f"another promotion or rollback of {name} is going on; look what it did: python -m training fleet"
        ) from None
    except (OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        raise RegistryError(f"{path} cannot be locked: {why}") from error
    try:
        yield
    finally:
        lock.release()


def is_half_way(registry: Registry, name: str) -> bool:
    """Whether a move of the aliases of `name` goes on, or was killed."""
    return registry.find(f"{name}:{NEXT}") is not None


class AliasMoves:
    """Moves of the aliases of `name`. Be `alone` meanwhile, and put in order what was killed before a move."""

    def __init__(self, registry: Registry, name: str) -> None:
        self.candidate, self.prod, self.previous = f"{name}:candidate", f"{name}:prod", f"{name}:previous"
        self.next, self.held_prod = f"{name}:{NEXT}", f"{name}:{HELD_PROD}"
        self.held_previous = f"{name}:{HELD_PREVIOUS}"
        self._registry = registry

    def now(self) -> Aliases:
        find = self._registry.find
        return Aliases(find(self.candidate), find(self.prod), find(self.previous))

    def put_in_order(self, recorded: str) -> str:
        """Take back a move that was killed before it was written down; a sentence about it, '' if there was none.

        `recorded` is the digest that the ledger's last move made production: a move that got as far stays. Raises
        `RegistryError`; what is held is then held still.
        """
        coming, prod = self._registry.find(self.next), self._registry.find(self.prod)
        told = ""
        if coming is not None and not (prod is not None and prod.digest == coming.digest == recorded):
            self._restore(coming)
            told = f"a promotion or rollback that was killed half way was taken back: {self._standing()}"
        self._let_go()
        return told

    def promote(self, was: Aliases, candidate: Entry) -> None:
        """`candidate` becomes prod, what was prod becomes previous; raises `RegistryError` half way."""
        self._move(was, self.candidate, candidate)

    def swap(self, was: Aliases, previous: Entry) -> None:
        """Prod and previous change places; raises `RegistryError` half way."""
        self._move(was, self.previous, previous)

    def _move(self, was: Aliases, source: str, coming: Entry) -> None:
        if was.prod is not None:
            self._copy(self.prod, self.held_prod, was.prod)
        if was.previous is not None:
            self._copy(self.previous, self.held_previous, was.previous)
        self._copy(source, self.next, coming)
        if was.prod is not None:
            self._copy(self.held_prod, self.previous, was.prod)
        self._copy(self.next, self.prod, coming)

    def done(self) -> None:
        """All is well: what was held is let go."""
        self._let_go()

    def go_back(self) -> str:
        """Take a move back as far as Ollama lets it; a sentence about what stands now."""
        try:
            if (coming := self._registry.find(self.next)) is not None:
                self._restore(coming)
            stands = self._standing()
        except RegistryError as error:
            return f"not all could be taken back ({error}): {self._what_is_left()}"
        with contextlib.suppress(RegistryError):  # the next move lets it go
            self._let_go()
        return f"everything is as it was: {stands}"

    def _restore(self, coming: Entry) -> None:
        """Make prod and previous what they were. The first failure ends it, so that what is held stays held."""
        find = self._registry.find
        held_prod, held_previous = find(self.held_prod), find(self.held_previous)
        prod, previous = find(self.prod), find(self.previous)
        before = {one.digest for one in (held_prod, coming) if one is not None}
        if prod is not None and prod.digest not in before:
            # Somebody moved production since, by hand. Theirs stays, and so does what was there before the move.
            if held_prod is not None and (previous is None or previous.digest != held_prod.digest):
                self._registry.copy(self.held_prod, self.previous)
            return
        self._make(self.prod, prod, self.held_prod, held_prod)
        if previous is None or (held_prod is not None and previous.digest == held_prod.digest):
            self._make(self.previous, previous, self.held_previous, held_previous)

    def _make(self, target: str, now: Entry | None, held: str, before: Entry | None) -> None:
        if before is None:
            if now is not None:
                self._registry.delete(target)
        elif now is None or now.digest != before.digest:
            self._registry.copy(held, target)

    def _let_go(self) -> None:
        for alias in (self.next, self.held_previous, self.held_prod):
            if self._registry.find(alias) is not None:
                self._registry.delete(alias)

    def _copy(self, source: str, target: str, expected: Entry) -> None:
        made = self._registry.copy(source, target)
        if made.digest != expected.digest:
            raise RegistryError(
                f"{source} was changed meanwhile: it was {expected.digest[:12]}, and is {made.digest[:12]} now"
            )

    def _standing(self) -> str:
        prod, previous = self._registry.find(self.prod), self._registry.find(self.previous)
        return f"{self.prod} is {_short(prod)}, {self.previous} is {_short(previous)}"

    def _what_is_left(self) -> str:
        try:
            stands, held = self._standing(), self._registry.find(self.held_prod)
        except RegistryError:
            return (
                f"what stands could not be looked at. {self.prod} is what it was, what it was to become, or not there; "
                f"where it is not what it was, that is {self.held_prod}. Once Ollama answers, the next promotion or "
                "rollback first puts this in order"
            )
        if held is None:
            return stands
        return (
            f"{stands}. What was in production, {_short(held)}, is {self.held_prod} still; the next promotion or "
            f"rollback first puts it back, or by hand: ollama cp {self.held_prod} {self.prod}"
        )


def _short(entry: Entry | None) -> str:
    return entry.digest[:12] if entry else "not there"
