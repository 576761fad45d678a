"""One spelling for commands that Minecraft runs alike: a pure function on text, for comparing.

What is merged, and why it is the same command:

- a leading slash, and blanks: chat trims them, and `StringUtils.normalizeSpace` does the rest;
- the namespace `minecraft:`, which is the default of every id (not inside strings or messages);
- the aliases that Minecraft redirects: `teleport`, `experience`, `tell`, `w`, `tm`;
- order and spacing inside selectors, block states, item components and NBT compounds, and quotes
  around NBT keys and selector names that need none (NBT lists keep their order);
- decimals: `1.0` is `1`, `.5` is `0.5`, `~0` is `~`. Whole numbers stay as they are, since `007` may
  be a name, and so do NBT numbers, whose type is in their form (`1b`, `1.0`). One difference is lost:
  for a block's middle `tp` adds half a block to `1` and not to `1.0`;
- the case of player names where a command selects a player: `PlayerList.getPlayerByName` ignores it.
  Names in selectors (`name=`) and score holders are compared exactly, so their case stays.

Default values are not filled in: `give Kim dirt` and `give Kim dirt 1` stay two commands; a case that
takes both lists both. Messages are kept letter by letter. Text whose brackets or quotes do not match
is only freed of slash and repeated blanks.
"""

from __future__ import annotations

import re

from evals.checks.minecraft.scan import BLANKS, QUOTES, skip_blanks, word_end
from evals.checks.minecraft.values import (
    normalise_nbt,
    normalise_selector,
    shortest_number,
    with_brackets,
    without_namespace,
)

ALIASES = {"teleport": "tp", "experience": "xp", "tell": "msg", "w": "msg", "tm": "teammsg"}

# Verbs whose tail is a message, and how many words stand before it.
MESSAGE_AFTER = {"say": 0, "me": 0, "teammsg": 0, "msg": 1, "kick": 1, "ban": 1, "ban-ip": 1}

# Which argument selects players, counted from 0 after the verb; in `execute`, see _EXECUTE_NAMES.
_FIRST = ("give", "kill", "clear", "enchant", "kick", "ban", "pardon", "op", "deop", "msg", "tellraw")
_NAMES_AT: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(
        (*_FIRST, "title", "spawnpoint", "tag", "attribute", "damage", "rotate", "stopsound"), (0,)
    ),
    **dict.fromkeys(("xp", "effect", "gamemode", "recipe", "advancement", "whitelist"), (1,)),
    **dict.fromkeys(("playsound", "item", "data"), (2,)),
    **dict.fromkeys(("tp", "spectate"), (0, 1)),
    **dict.fromkeys(("loot", "transfer"), (1, 2)),
    "ride": (0, 2),
}
_EXECUTE_NAMES = frozenset({"as", "at", "entity"})

# Verbs whose words may be names that look like decimals (tags, objectives, teams).
_NAMING_VERBS = frozenset({"tag", "team", "scoreboard", "trigger", "bossbar", "function", "schedule"})

_SLASHES = re.compile(r"(?:/(?!/)[ \t]*)+")
_PLAYER = re.compile(r"[A-Za-z0-9_]{1,16}")


def normalise(command: str) -> str:
    """The command in its one spelling. Total, and normalising twice changes nothing."""
    rest = strip_slash(command)
    done: list[str] = []
    while True:
        end = skip_to_blank(rest)
        verb = canonical_verb(rest[:end])
        done.append(verb)
        rest = _arguments(verb, rest[end:].strip(BLANKS), done)
        if not rest:
            return " ".join(done)


def strip_slash(command: str) -> str:
    """The command without the slash that chat wants (`//` is another command and stays)."""
    stripped = command.strip(BLANKS)
    slashes = _SLASHES.match(stripped)
    return stripped[slashes.end() :] if slashes else stripped


def skip_to_blank(text: str) -> int:
    """The position of the first blank, or the text's length."""
    return next((place for place, char in enumerate(text) if char in BLANKS), len(text))


def canonical_verb(word: str) -> str:
    """A command's name without namespace and aliases."""
    name = without_namespace(word)
    return ALIASES.get(name, name)


def _arguments(verb: str, text: str, done: list[str]) -> str:
    """Append the normalised arguments to `done`; return the command that follows a `run`, if any."""
    message_at = MESSAGE_AFTER.get(verb, -1)
    position, index, previous = 0, 0, verb
    while position < len(text):
        if index == message_at:
            done.append(text[position:])
            return ""
        end = word_end(text, position)
        if end is None:
            done.append(re.sub("[ \t]+", " ", text[position:]))
            return ""
        word = text[position:end]
        position = skip_blanks(text, end)
        if word == "run" and verb in {"execute", "return"} and previous not in _EXECUTE_NAMES:
            done.append(word)
            return text[position:]
        done.append(_word(verb, index, previous, word))
        index, previous = index + 1, word
    return ""


def _word(verb: str, index: int, previous: str, word: str) -> str:
    if word[0] in QUOTES:
        return word
    if word[0] == "@":
        return normalise_selector(word)
    if word[0] in "{[":
        return normalise_nbt(word)
    if "[" in word or "{" in word:
        word = with_brackets(word)
        if "[" in word or "{" in word:
            return word
    name = without_namespace(word)
    names_player = index in _NAMES_AT.get(verb, ()) or (verb == "execute" and previous in _EXECUTE_NAMES)
    if names_player and _PLAYER.fullmatch(name):
        return name.lower()
    return name if verb in _NAMING_VERBS else shortest_number(name)
