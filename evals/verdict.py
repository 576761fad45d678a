"""The verdict on a candidate beside its baseline: what was compared, what had to be shown, what follows. Plain data.

`verdict.json` is `Verdict.to_json`; its schema is that of the dataclasses. Rates, differences and margins are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

FORMAT = 1
Decision = Literal["promote", "block", "inconclusive"]
Kind = Literal["superior", "non_inferior", "zero_tolerance", "ratio"]
# shown: the data show it. failed: they show the contrary. open: too few cases to tell.
Status = Literal["shown", "open", "failed"]
Method = Literal["tango", "bca", "percentile"]


@dataclass(frozen=True, slots=True)
class Side:
    """One model of one run. `runs` are the names of the records that it was read from."""

    model: str
    digest: str
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline in one capability of one task, over the same cases, with a 95% interval.

    `lost` and `won` are the sums over the cases of what each fell and rose by: counts of cases where nothing was asked
    twice. `units` is the number of independent units: clusters where the task names some, else cases. `p` is two-sided
    (exact McNemar of pass/fail, sign-flip of means), `p_holm` the same after Holm over all differences of the verdict.
    """

    task: str
    capability: str
    cases: int
    units: int
    baseline: float
    candidate: float
    difference: float
    low: float
    high: float
    method: Method
    lost: float
    won: float
    p: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class Graded:
    """The same for a graded value of a check (an F1, a recall) or a measure of it; it decides nothing."""

    task: str
    check: str
    name: str
    cases: int
    units: int
    baseline: float
    candidate: float
    difference: float
    low: float
    high: float
    method: Method


@dataclass(frozen=True, slots=True)
class Noise:
    """The baseline against itself: of the pairs of repeats, the share of cases whose verdict differs, and the largest
    difference between the rates of two repeats."""

    task: str
    capability: str
    repeats: int
    differing: float
    widest: float


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that the policy asks to be shown, and whether it was.

    `bound` is the margin of a non-inferiority (0.05: at most five points worse), the least ratio of a `ratio`, and 0
    otherwise. `estimate`, `low` and `high` are what is held against it: a difference, or a ratio. `policy` is the task
    whose policy asks it: that of the requirement's own task, or one that guards it. `more_cases` is about how many
    more cases an open one needs, None where no number would do or nothing is open. `upper` is, of a zero tolerance
    without a new miss, the 95% upper bound of the rate of new misses that so many clean cases allow.
    """

    task: str
    capability: str
    kind: Kind
    bound: float
    policy: str
    status: Status
    estimate: float
    low: float
    high: float
    more_cases: int | None
    upper: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reasons` in words, the weightiest first. `spared` counts requests that an early stop saved, None without one.

    promote: the candidate's own gate holds and every requirement is shown. block: its gate does not hold, or something
    is shown to be worse than allowed. inconclusive: neither; `more_cases` as in `Requirement`, over all that is open.
    """

    verdict: Decision
    sentence: str
    reasons: tuple[str, ...]
    candidate: Side
    baseline: Side
    requirements: tuple[Requirement, ...]
    differences: tuple[Difference, ...]
    graded: tuple[Graded, ...] = ()
    noise: tuple[Noise, ...] = ()
    more_cases: int | None = None
    notes: tuple[str, ...] = ()
    spared: int | None = None

    def to_json(self) -> dict[str, Any]:
        """What stands in verdict.json."""
        return {"format": FORMAT, **asdict(self)}


def verdict_from_json(data: Mapping[str, Any]) -> Verdict:
    """The verdict of a verdict.json; raises `ValueError` for what is none."""
    found = dict(data)
    if found.pop("format", None) != FORMAT:
        raise ValueError("it was written by another version of Golden Gate")
    return TypeAdapter(Verdict).validate_python(found)


def verdict_schema() -> dict[str, Any]:
    """JSON Schema of verdict.json."""
    schema = TypeAdapter(Verdict).json_schema(mode="serialization")
    properties = {"format": {"const": FORMAT}, **schema["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Golden Gate: verdict.json",
        "properties": properties,
        "required": list(properties),
    }
