"""A bar that is lower than it was is told, each in a sentence; one that is as high or higher is not."""

from __future__ import annotations

from typing import Any

import pytest

from evals.lowered import lowered


def facts(**gate: Any) -> dict[str, dict[str, Any]]:
    return {"colours": {"gate": gate}}


def versus(**fields: Any) -> dict[str, dict[str, Any]]:
    return facts(versus_baseline=fields)


# before, now -> what is said, without "since the baseline was recorded"
LOWERED = {
    "a floor": (
        facts(floors={"content": 0.6}),
        facts(floors={"content": 0.4}),
        "the floor of colours content was lowered from 60% to 40%",
    ),
    "a floor that is gone": (
        facts(floors={"content": 0.6}),
        facts(),
        "the floor of colours content (60%) was removed",
    ),
    "a least agreement": (
        facts(agreement={"verdict": 0.9}),
        facts(agreement={"verdict": 0.5}),
        "the least agreement of colours verdict was lowered from 90% to 50%",
    ),
    "a margin": (
        versus(non_inferior={"format": 0.05}),
        versus(non_inferior={"format": 0.15}),
        "the margin of colours format was widened from 5% to 15%",
    ),
    "a margin that is gone": (
        versus(non_inferior={"format": 0.05}),
        versus(),
        "the margin of colours format (5%) was removed",
    ),
    "superiority": (
        versus(superior=["content"]),
        versus(non_inferior={"content": 0.05}),
        "colours content need no longer be superior",
    ),
    "no new miss": (
        versus(non_inferior={"safety": 0.0}),
        versus(superior=["safety"]),
        "the margin of colours safety (0%) was removed",
    ),
    "a ratio": (
        versus(ratio={"content": 0.9}),
        versus(ratio={"content": 0.8}),
        "the ratio of colours content was lowered from 90% to 80%",
    ),
    "a guard": (
        versus(guards={"sums": 0.1}),
        versus(guards={"sums": 0.2}),
        "the guard by colours of sums was widened from 10% to 20%",
    ),
    "a guard that is gone": (
        versus(guards={"sums": 0.1}),
        facts(),
        "the guard by colours of sums (10%) was removed",
    ),
}


@pytest.mark.parametrize(
    ("before", "now", "says"), LOWERED.values(), ids=[name.replace(" ", "-") for name in LOWERED]
)
def test_a_bar_that_was_lowered_is_told(before: dict[str, Any], now: dict[str, Any], says: str) -> None:
    assert lowered(before, now) == [f"{says} since the baseline was recorded"]
    assert lowered(before, now, "since v1") == [f"{says} since v1"]
    assert lowered(before, before) == lowered(now, now) == []


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (facts(floors={"content": 0.6}), facts(floors={"content": 0.7, "format": 0.9})),
        (versus(non_inferior={"format": 0.15}), versus(non_inferior={"format": 0.0})),
        (versus(non_inferior={"content": 0.05}), versus(superior=["content"])),
        (facts(), versus(superior=["content"], guards={"sums": 0.1})),
        ({"colours": {}}, facts(floors={"content": 0.6})),
        ({"gone": {"gate": {"floors": {"content": 1.0}}}}, facts()),
    ],
    ids=["higher", "narrower", "superior-instead", "more", "no-gate-then", "another-task"],
)
def test_a_bar_that_is_no_lower_is_not_told(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert lowered(before, now) == []


def test_with_a_policy_of_its_own_only_floors_count() -> None:
    before = facts(floors={"content": 0.6}, versus_baseline={"superior": ["content"]})

    found = lowered(before, facts(), floors_only=True)

    assert found == ["the floor of colours content (60%) was removed since the baseline was recorded"]
    assert len(lowered(before, facts())) == 2
