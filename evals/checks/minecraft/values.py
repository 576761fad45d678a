"""One spelling for the values in a command: ids, numbers, selectors, block states, components, NBT.

What is merged and why stands in `normal`. Each function is pure and total: what it cannot read, it
gives back as it came.
"""

from __future__ import annotations

import re

from evals.checks.minecraft.scan import BLANKS, QUOTES, bracket_end, split

_NAMESPACE = re.compile(r"([!#]*)minecraft:([a-z0-9_][a-z0-9_./-]*)")
_DECIMAL = re.compile(r"(-?)([0-9]*)\.([0-9]*)")
_WHOLE = re.compile(r"(-?)([0-9]+)")
_SIMPLE = re.compile(r"[A-Za-z0-9_.+-]+")

_NUMBER_FILTERS = frozenset((
    "x",
    "y",
    "z",
    "dx",
    "dy",
    "dz",
    "distance",
    "level",
    "x_rotation",
    "y_rotation",
    "limit",
))
_ENCHANTMENTS = frozenset({"enchantments", "stored_enchantments"})


def without_namespace(word: str) -> str:
    """`minecraft:stone` -> `stone`, also behind `!` and `#`; another word as it is."""
    named = _NAMESPACE.fullmatch(word)
    return named[1] + named[2] if named else word


def shortest_number(word: str) -> str:
    """A decimal or coordinate in its shortest form; anything else as it is."""
    if word[:1] in {"~", "^"}:
        offset = shortest_number(word[1:]) if word[1:2] not in {"~", "^"} else word[1:]
        if whole := _WHOLE.fullmatch(offset):
            digits = whole[2].lstrip("0")
            offset = whole[1] + digits if digits else ""
        return word[0] + offset
    decimal = _DECIMAL.fullmatch(word)
    if not decimal or not (decimal[2] or decimal[3]):
        return word
    whole_part, fraction = decimal[2].lstrip("0") or "0", decimal[3].rstrip("0")
    sign = decimal[1] if fraction or whole_part != "0" else ""
    return f"{sign}{whole_part}.{fraction}" if fraction else sign + whole_part


def normalise_selector(word: str) -> str:
    """`@e[ limit=1, type = minecraft:cow ]` -> `@e[limit=1,type=cow]`; another word as it is."""
    if len(word) < 3 or word[2] != "[" or word[-1] != "]":
        return word
    entries = split(word[3:-1], ",")
    if entries is None:
        return word
    pairs = [entry.partition("=") for entry in entries if entry.strip(BLANKS)]
    if not pairs:
        return word[:2]
    if len(pairs) < len(entries) - 1 or not all(equals for _, equals, _ in pairs):
        return word
    kept = sorted(f"{key.strip(BLANKS)}={_filter(key.strip(BLANKS), value)}" for key, _, value in pairs)
    return f"{word[:2]}[{','.join(kept)}]"


def _filter(key: str, value: str) -> str:
    value = value.strip(BLANKS)
    inverted = "!" if value.startswith("!") else ""
    value = value.removeprefix("!").strip(BLANKS)
    if key in _NUMBER_FILTERS:
        low, dots, high = value.partition("..")
        value = shortest_number(low) + dots + shortest_number(high)
    elif key in {"type", "predicate"}:
        value = without_namespace(value)
    elif key == "name":
        value = _unquoted(value)
    elif key == "nbt":
        value = normalise_nbt(value)
    elif key in {"scores", "advancements"}:
        value = _entries(value, "=")
    return inverted + value


def with_brackets(word: str) -> str:
    """An id with block states, components or NBT behind it: `stone[a=1]{b:2}`; another word as it is."""
    position = min(place for place in (word.find("["), word.find("{")) if place >= 0)
    done = without_namespace(word[:position])
    while position < len(word):
        end = bracket_end(word, position) if word[position] in "[{" else None
        if end is None:
            return word
        group = word[position:end]
        done += normalise_nbt(group) if group[0] == "{" else _properties(group)
        position = end
    return done


def _properties(group: str) -> str:
    """Block states or item components: `[ b=2, minecraft:a=1 ]` -> `[a=1,b=2]`; `[]` -> ``."""
    entries = split(group[1:-1], ",")
    if entries is None:
        return group
    if len(entries) == 1 and not entries[0].strip(BLANKS):
        return ""
    if any("=" not in entry and not entry.strip(BLANKS).startswith("!") for entry in entries):
        return group
    made: list[tuple[str, str]] = []
    for entry in entries:
        key, equals, value = entry.partition("=")
        key = without_namespace(key.strip(BLANKS))
        made.append((key, key + equals + normalise_nbt(value.strip(BLANKS), ids=key in _ENCHANTMENTS)))
    return f"[{','.join(text for _, text in sorted(made, key=lambda pair: pair[0]))}]"


def normalise_nbt(text: str, *, ids: bool = False) -> str:
    """A tag in one spelling, numbers as they are. `ids`: the keys are ids, so their namespace goes too."""
    text = text.strip(BLANKS)
    if text.startswith("{"):
        return _entries(text, ":", ids=ids)
    if text.startswith("[") and text.endswith("]") and len(text) > 1:
        prefix = text[1:3] if text[1:3] in {"B;", "I;", "L;"} else ""
        items = split(text[1 + len(prefix) : -1], ",")
        if items is None or (len(items) > 1 and not all(item.strip(BLANKS) for item in items)):
            return text
        return f"[{prefix}{','.join(normalise_nbt(item) for item in items)}]"
    if text.startswith("'") and text.endswith("'") and len(text) > 1 and not set(text) & {'"', "\\"}:
        return f'"{text[1:-1]}"'
    return text


def _entries(text: str, separator: str, *, ids: bool = False) -> str:
    """`{ "b": 2, a: 1 }` -> `{a:1,b:2}`; entries of one key keep their order, since the last counts."""
    if not (text.startswith("{") and text.endswith("}") and len(text) > 1):
        return text
    entries = split(text[1:-1], ",")
    if entries is None:
        return text
    if not "".join(entries).strip(BLANKS) and len(entries) == 1:
        return "{}"
    made: list[tuple[str, str]] = []
    for entry in entries:
        parts = split(entry, separator)
        if parts is None or len(parts) < 2 or not parts[0].strip(BLANKS):
            return text
        key = _unquoted(parts[0].strip(BLANKS), ids=ids)
        value = normalise_nbt(separator.join(parts[1:]), ids=ids and key == "levels")
        made.append((key, f"{key}{separator}{value}"))
    return f"{{{','.join(text for _, text in sorted(made, key=lambda pair: pair[0]))}}}"


def _unquoted(text: str, *, ids: bool = False) -> str:
    """The text without quotes it does not need."""
    if len(text) > 2 and text[0] in QUOTES and text[-1] == text[0]:
        inner = without_namespace(text[1:-1]) if ids else text[1:-1]
        return inner if _SIMPLE.fullmatch(inner) else text
    return without_namespace(text) if ids else text
