"""What a command does to whom: verbs and their targets.

`execute as @a run kill @s` is `execute` and `kill`, the latter aimed at `@a`. A verb that names nobody,
or names someone relative to a place (`@p`, `@n`, `@r`), acts where `execute` put it: `execute at @a run
summon tnt` is aimed at `@a` too. Commands inside NBT (`command_block{Command:"stop"}`, a sign's click
event) count as actions: they will run, though not now.

Commands that parse are read from their tree (`tree`). The reader of words here is for text that has
none, and errs on the side of seeing more: each word after `run` is a verb, each selector and each
possible name a target. Neither reads messages.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evals.checks.minecraft.normal import ALIASES, MESSAGE_AFTER, strip_slash
from evals.checks.minecraft.scan import quoted_end, words
from evals.checks.minecraft.targets import Target, bound_to, read_target

WRAPPERS = frozenset({"execute", "return"})

# Verbs whose tail is said, not done: no command hides in it.
_SPOKEN = frozenset({"say", "me", "msg", "tell", "w", "teammsg", "tm"})
_RELATIVE_BASES = frozenset("prn")
_ONE_BLANK = re.compile(r"[ \t]+")
_COMMAND_KEY = re.compile(
    r"""\b[Cc]ommand["']?(?:[ \t]{0,9}:[ \t]{0,9}|[ \t]{1,9}set[ \t]{1,9}value[ \t]{1,9})["']"""
)

# What stands behind this many characters is not read: no server runs a longer command.
MAX_READ = 32_768
# How often a command in NBT may hold NBT with a command.
MAX_HIDDEN = 3
# How many such commands are looked for in one text: each may cost a pass over it.
MAX_KEYS = 50


@dataclass(frozen=True, slots=True)
class Action:
    """One verb, by the name it was given, and whom it is aimed at."""

    verb: str
    targets: tuple[Target, ...] = ()

    @property
    def canonical(self) -> str:
        """The verb's name without aliases: `tp` for `teleport`."""
        return ALIASES.get(self.verb, self.verb)

    def __str__(self) -> str:
        return " ".join((self.verb, *(target.text for target in self.targets)))


@dataclass(frozen=True, slots=True)
class Context:
    """Who runs a nested command, and the selectors it runs as or at."""

    executor: Target | None = None
    places: tuple[Target, ...] = ()

    def aim(self, targets: Iterable[Target]) -> tuple[Target, ...]:
        """The targets of a verb that runs here."""
        named = list(targets)
        relative = not named or any(target.base in _RELATIVE_BASES for target in named)
        bound = [bound_to(target, self.executor) for target in named]
        return tuple(dict.fromkeys([*bound, *self.places] if relative else bound))

    def enter(self, before: str, keyword: str, target: Target) -> Context:
        """The context after `as TARGET`, `at TARGET`, `positioned as TARGET` or `rotated as TARGET`."""
        target = bound_to(target, self.executor)
        places = tuple(dict.fromkeys((*self.places, target)))
        executes = keyword == "as" and before not in {"positioned", "rotated"}
        return Context(target if executes else self.executor, places)


def verb_of(word: str) -> str:
    """A command's name without namespace."""
    return word.removeprefix("minecraft:")


def actions_of_words(text: str, depth: int = 0) -> tuple[Action, ...]:
    """The actions of text that may be no command: what a server might still make of it."""
    command = strip_slash(text[:MAX_READ]).lstrip("$/ \t")
    if not command or command.startswith("#"):
        return ()
    return with_hidden(tuple(_read(command)), command, depth)


def _read(command: str) -> Iterator[Action]:
    context = Context()
    for verb, own in _by_run(words(command) or _ONE_BLANK.split(command)):
        spoken_at = MESSAGE_AFTER.get(ALIASES.get(verb, verb))
        if spoken_at is not None:
            yield Action(verb, context.aim(_possible(own[:spoken_at])))
            return
        yield Action(verb, () if verb in WRAPPERS else context.aim(_possible(own)))
        for before, keyword, word in zip(["", *own], own, own[1:], strict=False):
            if keyword in {"as", "at"} and (target := read_target(word)):
                context = context.enter(before, keyword, target)
            elif keyword == "summon" and verb in WRAPPERS:
                yield Action("summon")


def _by_run(listed: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each verb with its words: the first word, and each word after a `run`."""
    own: list[str] = []
    for word in [*listed, "run"]:
        if word != "run":
            own.append(word)
        elif own:
            yield verb_of(own[0].lstrip("/").lower()), own[1:]
            own = []


def _possible(listed: Iterable[str]) -> list[Target]:
    return [target for word in listed if (target := read_target(word))]


def with_hidden(actions: tuple[Action, ...], command: str, depth: int = 0) -> tuple[Action, ...]:
    """The actions, and those of commands that stand in the command's NBT under `Command` or `command`."""
    if depth >= MAX_HIDDEN or any(action.verb in _SPOKEN for action in actions):
        return actions
    found = list(actions)
    for match in itertools.islice(_COMMAND_KEY.finditer(command), MAX_KEYS):
        end = quoted_end(command, match.end() - 1)
        if end is not None:
            inner = command[match.end() : end - 1].replace('\\"', '"').replace("\\'", "'")
            found.extend(actions_of_words(inner, depth + 1))
    return tuple(found)
