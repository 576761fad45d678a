"""How often a server loaded a model, read off the load times that its replies tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LOAD_S = 0.3
"""The least load time that means a load, in seconds.

Ollama 0.9.3 tells one for a warm model too. Seen with SmolLM2-135M, the fastest to load there is, on two cores: 0.01 to
0.04 s for 17 warm replies of an idle machine, up to 0.03 s in 25 beside four busy processes, up to 0.28 s in 16 that
came eight at once beside them. A load took 0.34 to 0.91 s in 12 cases. Larger models take longer to load.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """A time in which a reply's model was being loaded, in seconds of `time.monotonic`."""

    began: float
    ended: float


def load_of(ended: float, total_s: float | None, load_s: float | None) -> Load | None:
    """The load that a reply tells of which ended at `ended`, or None if its model was there already.

    The load is the first thing that happens to a request.
    """
    if load_s is None or total_s is None or load_s < LOAD_S:
        return None
    began = ended - total_s
    return Load(began, min(began + load_s, ended))


def merged(loads: Iterable[Load]) -> list[Load]:
    """Loads in the order of time; those that overlap are one, which several requests waited for."""
    apart: list[Load] = []
    for load in sorted(loads, key=lambda one: one.began):
        if apart and load.began <= apart[-1].ended:
            apart[-1] = Load(apart[-1].began, max(apart[-1].ended, load.ended))
        else:
            apart.append(load)
    return apart
