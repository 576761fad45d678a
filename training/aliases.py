"""The aliases of one name in Ollama: `candidate`, `prod` and `previous`, moved in steps that can all be taken back.

Ollama replaces an alias at once, so that `prod` names a whole model at every moment. What a step is about to overwrite
has another name until all steps are done: a fourth alias, which is there only meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evals.errors import RegistryError
from training.registry import Entry, Registry

# A tag that nobody else would use: what stands there is let go.
HELD = "golden-gate-held"


@dataclass(frozen=True, slots=True)
class Aliases:
    """What each alias of a name is now; None where there is none."""

    candidate: Entry | None
    prod: Entry | None
    previous: Entry | None


class AliasMoves:
    """Moves of the aliases of `name`. Hold the ledger's lock of the name meanwhile."""

    def __init__(self, registry: Registry, name: str) -> None:
        self.candidate, self.prod = f"{name}:candidate", f"{name}:prod"
        self.previous, self.held = f"{name}:previous", f"{name}:{HELD}"
        self._registry = registry
        self._undo: list[Callable[[], object]] = []

    def now(self) -> Aliases:
        """Look; first a move that was killed half way is put in order."""
        self._finish_killed_move()
        find = self._registry.find
        return Aliases(find(self.candidate), find(self.prod), find(self.previous))

    def _finish_killed_move(self) -> None:
        held = self._registry.find(self.held)
        if held is None:
            return
        prod, previous = self._registry.find(self.prod), self._registry.find(self.previous)
        # Both the same: the next step would have overwritten one of them, and what is held has no other name.
        if prod is not None and (previous is None or previous.digest == prod.digest != held.digest):
            self._registry.copy(self.held, self.previous)
        self._registry.delete(self.held)

    def promote(self, was: Aliases, candidate: Entry) -> None:
        """`candidate` becomes prod, what was prod becomes previous; raises `RegistryError` half way."""
        if was.prod is not None:
            if was.previous is not None:
                self._step(self.previous, self.held, was.previous, self._drop_held)
            self._step(self.prod, self.previous, was.prod, self._back(self.held, self.previous, was.previous))
        self._step(self.candidate, self.prod, candidate, self._back(self.previous, self.prod, was.prod))

    def swap(self, prod: Entry | None, previous: Entry) -> None:
        """Prod and previous change places; raises `RegistryError` half way."""
        if prod is not None:
            self._step(self.prod, self.held, prod, self._drop_held)
        self._step(self.previous, self.prod, previous, self._back(self.held, self.prod, prod))
        if prod is not None:
            self._step(self.held, self.previous, prod, self._back(self.prod, self.previous, previous))

    def done(self) -> None:
        """All is well: what was held is let go."""
        self._undo.clear()
        self._drop_held()

    def go_back(self) -> str:
        """Take every step back, the last first; a sentence about what stands now."""
        problems: list[str] = []
        while self._undo:
            try:
                self._undo.pop()()
            except RegistryError as error:
                problems.append(str(error))
        try:
            prod, previous = self._registry.find(self.prod), self._registry.find(self.previous)
        except RegistryError:
            return (
                f"what stands could not be looked at: {self.prod} is what it was or what it was to become, and whole in "
                "either case; `python -m training fleet` tells once Ollama answers"
            )
        stands = f"{self.prod} is {_short(prod)}, {self.previous} is {_short(previous)}"
        if problems:
            return f"not all could be taken back ({'; '.join(problems)}): {stands}"
        return f"everything is as it was: {stands}"

    def _step(self, source: str, target: str, expected: Entry, undo: Callable[[], object]) -> None:
        self._undo.append(undo)
        made = self._registry.copy(source, target)
        if made.digest != expected.digest:
            raise RegistryError(
                f"{source} was changed meanwhile: it was {expected.digest[:12]}, and is {made.digest[:12]} now"
            )

    def _back(self, kept: str, target: str, before: Entry | None) -> Callable[[], object]:
        """Make `target` again what it was, of the alias that kept it; nothing where it was nothing."""

        def undo() -> None:
            found = self._registry.find(target)
            if before is None:
                if found is not None:
                    self._registry.delete(target)
            elif found is None or found.digest != before.digest:
                self._registry.copy(kept, target)

        return undo

    def _drop_held(self) -> None:
        if self._registry.find(self.held) is not None:
            self._registry.delete(self.held)


def _short(entry: Entry | None) -> str:
    return entry.digest[:12] if entry else "not there"
