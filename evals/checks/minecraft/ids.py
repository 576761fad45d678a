"""The ids of a Minecraft version: what exists, and what someone probably meant.

Supported versions are the keys of `VERSIONS`, by the name that tasks use and mecha has a grammar for.
mecha 0.101's "1.21" is the command tree of 1.21.11, so the ids are those of 1.21.11 too. This has
consequences a case's author meets: game rules were renamed in 1.21.11, so `gamerule doDaylightCycle`
is refused (`advance_time` is right), attributes lost their `generic.` prefix in 1.21.2, and text
components are SNBT since 1.21.5.

Only ids of the `minecraft` namespace are known: a data pack's items cannot be checked here.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

VERSIONS: Mapping[str, str] = {"1.21": "ids_1_21.json"}

# Below this similarity (rapidfuzz ratio, 0-100) a hint would only mislead.
HINT_SCORE = 60


@dataclass(frozen=True, slots=True)
class Ids:
    """Names without namespace per kind (`item`, `block`, ...), and per block its states' values."""

    known: Mapping[str, frozenset[str]]
    states: Mapping[str, Mapping[str, tuple[str, ...]]]


def unsupported(version: str) -> str:
    """Why this version cannot be checked; '' if it can."""
    if version in VERSIONS:
        return ""
    return f"Minecraft {version!r} is not supported; supported: {', '.join(VERSIONS)}"


@functools.lru_cache(maxsize=4)
def load_ids(version: str) -> Ids:
    """The ids of a supported version; raises `ValueError` for another."""
    if problem := unsupported(version):
        raise ValueError(problem)
    kept = json.loads(files(__package__).joinpath(VERSIONS[version]).read_text("utf-8"))
    known = {kind: frozenset(names.split()) for kind, names in kept["ids"].items()}
    states: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for signature, names in kept["blocks"].items():
        properties = dict(entry.split("=") for entry in signature.split())
        values = {name: tuple(listed.split("|")) for name, listed in properties.items()}
        states.update(dict.fromkeys(names.split(), values))
    known["block"] = frozenset(states)
    return Ids(known, states)


def hint(name: str, among: frozenset[str] | tuple[str, ...]) -> str:
    """`; did you mean 'diamond'?`, or '' if nothing is near."""
    from rapidfuzz import fuzz, process

    found = process.extractOne(name, sorted(among), scorer=fuzz.ratio, score_cutoff=HINT_SCORE)
    return f"; did you mean {found[0]!r}?" if found else ""
