"""What a run makes of its comparison: notes on versions, and the verdict of an early stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evals.against import as_settled, other_versions
from evals.cases import VersusBaseline
from evals.comparison import compare
from evals.curtailment import Settled
from evals.policy import Asked, Policy
from evals.verdict import Decision, Verdict
from tests.sides import side

CONTENT = Asked("colours", "content", "superior", 0.0, "colours")


@pytest.fixture
def found() -> Verdict:
    """Four cases, of which the candidate wins one: too few to tell."""
    policy = Policy("", {"colours": VersusBaseline.model_validate({"superior": ["content"]})})
    return compare(side("pppp", label="new:1"), side("pppf"), policy, gate_problems=())


@pytest.mark.parametrize(
    ("decision", "status", "sentence"),
    [
        ("promote", "shown", "Promote: new:1 may replace base:1."),
        ("block", "failed", "Block: new:1 may not replace base:1."),
        ("inconclusive", "open", "Inconclusive: the cases that there are cannot tell."),
    ],
)
def test_an_early_stop_stands_above_the_figures_of_what_was_judged_until_then(
    found: Verdict, decision: Decision, status: str, sentence: str
) -> None:
    assert (found.verdict, found.requirements[0].status) == ("inconclusive", "open")
    settled = Settled(decision, ("for this reason",), {CONTENT: status})  # type: ignore[dict-item]
    made = as_settled(found, settled)
    assert (made.verdict, made.sentence, made.reasons) == (decision, sentence, ("for this reason",))
    assert [one.status for one in made.requirements] == [status]
    assert made.differences == found.differences
    assert any("stopped early" in note for note in made.notes)


@pytest.mark.parametrize("decision", ["promote", "inconclusive"])
def test_what_stands_against_a_candidate_blocks_it_whatever_the_stop_was_for(
    found: Verdict, decision: Decision
) -> None:
    settled = Settled(decision, ("nothing that is still to come could change that",), {CONTENT: "shown"})
    made = as_settled(found, settled, ["the floor of colours content was lowered"])
    assert (made.verdict, made.sentence) == ("block", "Block: new:1 may not replace base:1.")
    assert made.reasons == ("the floor of colours content was lowered",)


def test_what_stands_against_a_candidate_is_told_before_the_reasons_of_a_block_and_nothing_twice(
    found: Verdict,
) -> None:
    made = as_settled(found, Settled("block", ("too bad", "worse"), {}), ["a crash", "worse"])
    assert (made.verdict, made.reasons) == ("block", ("a crash", "worse", "too bad"))


def test_requirements_that_are_not_certain_stay_open(found: Verdict) -> None:
    shown = replace(found, requirements=tuple(replace(one, status="shown") for one in found.requirements))
    made = as_settled(shown, Settled("block", ("a floor cannot be reached",), {}))
    assert [one.status for one in made.requirements] == ["open"]


def test_other_versions_are_told_and_equal_ones_are_not() -> None:
    assert other_versions({"mecha": "0.101", "python": "3.11"}, {"mecha": "0.101", "rich": "14"}) == []
    assert other_versions({"mecha": "0.100"}, {"mecha": "0.101"}) == [
        "the baseline was judged by other versions: mecha 0.100 there, 0.101 here"
    ]
