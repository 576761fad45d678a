"""How measured figures are told: the median, between what, of how many."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def told(values: Sequence[float], unit: str = "") -> str:
    """`1.31 (1.21 - 1.44, 5 rounds)`; the unit stands behind the median."""
    middle = statistics.median(values)
    rounds = "1 round" if len(values) == 1 else f"{len(values)} rounds"
    return f"{middle:.2f}{unit} ({min(values):.2f} - {max(values):.2f}, {rounds})"
