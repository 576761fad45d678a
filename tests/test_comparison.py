"""A verdict: promote where all is shown, block where something is worse or wrong, else inconclusive; always in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.cases import VersusBaseline
from evals.comparison import NOTHING_ASKED, compare
from evals.errors import RunMismatch
from evals.pairing import RunSide
from evals.policy import Policy, policy_of_tasks
from evals.requirements import status_of
from evals.verdict import Verdict, verdict_from_json
from tests.records import check, record
from tests.sides import merged, side

GATE = {
    "floors": {"content": 0.4, "safety": 1.0},
    "versus_baseline": {"superior": ["content"], "non_inferior": {"format": 0.15, "safety": 0.0}},
}
# Of 50 cases: the baseline passes 25 in content and all in the rest.
BASE = {"content": "p" * 25 + "f" * 25, "format": "p" * 50, "safety": "p" * 50}
GOOD = {**BASE, "content": "p" * 24 + "f" + "p" * 14 + "f" * 11}
BAD = {**BASE, "content": "p" * 40 + "f" * 10, "safety": "f" + "p" * 49}


def base(gate: Mapping[str, Any] = GATE, **fields: Any) -> RunSide:
    return side(BASE, gate=gate, **fields)


def candidate(outcomes: Mapping[str, Any] = GOOD, gate: Mapping[str, Any] = GATE, **fields: Any) -> RunSide:
    return side(outcomes, gate=gate, label="tuned:1", **fields)


def judged(one: RunSide, other: RunSide, policy: Policy | None = None, **fields: Any) -> Verdict:
    """The verdict, which can always be written as JSON and read back."""
    found = compare(one, other, policy or policy_of_tasks(one.tasks), **{"gate_problems": (), **fields})
    assert verdict_from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    return found


def own(**fields: Any) -> dict[str, Any]:
    return {"versus_baseline": fields}


# The three verdicts


def test_a_good_candidate_is_promoted_with_its_reasons() -> None:
    found = judged(candidate(), base())

    assert (found.verdict, found.sentence) == ("promote", "Promote: tuned:1 may replace base:1.")
    assert found.reasons == (
        "colours content 50.0% -> 76.0% (+26.0 points, 95% interval +12.8 to +40.2): superior, shown",
        "colours format 100.0% -> 100.0% (0.0 points, 95% interval -7.1 to +7.1): at most 15 points worse, shown",
        "colours safety: no new miss in 50 cases; a rate of up to 5.8% could still go unseen",
    )
    assert (found.more_cases, found.notes, found.spared) == (None, (), None)
    assert (found.candidate.model, found.candidate.runs) == ("tuned:1", ("run-of-tuned-1",))
    assert [one.capability for one in found.differences] == ["content", "format", "safety"]


def test_a_bad_candidate_is_blocked_although_it_is_better_elsewhere() -> None:
    found = judged(candidate(BAD), base())

    assert (found.verdict, found.sentence) == ("block", "Block: tuned:1 may not replace base:1.")
    assert found.reasons[0] == "colours safety: 1 new miss where none is allowed: c000"
    assert [one.status for one in found.requirements] == ["shown", "shown", "failed"]
    assert found.more_cases is None


def test_an_equal_candidate_is_inconclusive() -> None:
    found = judged(candidate(BASE), base())

    assert found.verdict == "inconclusive"
    assert found.sentence == "Inconclusive: no number of cases would show what is asked, as things stand."
    assert found.reasons[0].startswith("colours content 50.0% -> 50.0%")
    assert [one.status for one in found.requirements] == ["open", "shown", "shown"]


def test_a_slightly_better_candidate_is_told_how_many_more_cases_it_needs() -> None:
    found = judged(candidate({**BASE, "content": "p" * 23 + "ff" + "p" * 6 + "f" * 19}), base())

    more = found.requirements[0].more_cases
    assert more is not None and found.more_cases == more
    assert found.sentence == f"Inconclusive: about {more:,} more cases are needed."


def test_the_requirement_that_lacks_most_says_how_many_cases_are_needed() -> None:
    gate = own(non_inferior={"format": 0.05, "safety": 0.03})
    found = judged(candidate(BASE, gate), base(gate))

    assert [one.more_cases for one in found.requirements] == [23, found.more_cases]
    assert found.more_cases and found.more_cases > 23


def test_what_cannot_be_shown_leaves_no_number_of_cases() -> None:
    gate = own(superior=["content"], non_inferior={"format": 0.05})
    found = judged(candidate(BASE, gate), base(gate))

    # Fifty cases that agree cannot show five points, 73 could; nothing can show equal to be superior.
    assert [one.more_cases for one in found.requirements] == [None, 23]
    assert found.more_cases is None


# What blocks whatever the figures


def test_a_gate_that_does_not_hold_blocks() -> None:
    found = judged(candidate(), base(), gate_problems=["tuned:1: colours content 10.0% is below the floor"])

    assert found.verdict == "block"
    assert found.reasons[0] == "tuned:1: colours content 10.0% is below the floor"


def test_a_floor_lowered_since_the_baseline_blocks() -> None:
    lower = {**GATE, "floors": {"content": 0.2, "safety": 1.0}}

    found = judged(candidate(gate=lower), base())

    assert found.verdict == "block"
    assert found.reasons[0] == (
        "the floor of colours content was lowered from 40% to 20% since the baseline was recorded"
    )


def test_a_margin_widened_since_the_baseline_blocks_unless_a_policy_of_its_own_stands() -> None:
    wider = {
        **GATE,
        "versus_baseline": {"superior": ["content"], "non_inferior": {"format": 0.5, "safety": 0.0}},
    }
    policy = Policy("mine", {"*": VersusBaseline.model_validate({"superior": ["content"]})})

    assert judged(candidate(gate=wider), base()).verdict == "block"
    assert judged(candidate(gate=wider), base(), policy).verdict == "promote"


@pytest.mark.parametrize("outcome", ["infrastructure", "empty", "truncated", "thinking_only", "think_leak"])
def test_a_candidate_that_answers_nothing_is_blocked(outcome: str) -> None:
    silent = candidate(dict.fromkeys(BASE, "f" * 50), own())
    silent = replace(silent, records=[replace(one, outcome=outcome) for one in silent.records])

    found = judged(silent, base(own()))

    assert found.verdict == "block"
    kind = outcome.replace("_", " ")
    assert found.reasons[0] == f"the candidate tuned:1 answered nothing: of 50 requests 50 {kind}"


def test_a_candidate_that_only_refuses_has_answered() -> None:
    refusing = candidate(GOOD)
    refusing = replace(refusing, records=[replace(one, outcome="refused") for one in refusing.records])

    assert judged(refusing, base()).verdict == "promote"


@pytest.mark.parametrize(
    ("letter", "says"),
    [("u", "1 of 50 requests brought no reply"), ("e", "1 check came to no result")],
    ids=["no-reply", "a-broken-grader"],
)
def test_a_baseline_with_gaps_blocks_since_they_would_count_for_the_candidate(letter: str, says: str) -> None:
    gapped = side({**BASE, "content": "p" * 25 + "f" * 24 + letter}, gate=GATE)

    found = judged(candidate(), gapped)

    assert found.verdict == "block"
    assert found.reasons[0] == (
        f"the baseline base:1 is not whole: {says}; they would count for the candidate, so ask it again"
    )


def test_a_repeat_that_the_baseline_was_not_asked_is_a_gap() -> None:
    twice = side({name: [text, text] for name, text in BASE.items()}, gate=GATE)

    found = judged(candidate(), replace(twice, records=twice.records[:-1]))

    assert (found.verdict, "1 was never asked" in found.reasons[0]) == ("block", True)


def test_hostile_names_are_shown_escaped() -> None:
    hostile = "\x1b[2J\u202e"
    one = side("p", digest=hostile, task=hostile)
    one = replace(one, model=replace(one.model, spec=replace(one.model.spec, text=hostile)))
    for found in (judged(one, one), judged(one, one, gate_problems=["x"]), judged(one, one, partial="x")):
        assert all(text.isprintable() for text in (found.sentence, *found.reasons, *found.notes))


def test_gaps_of_the_baseline_in_cases_that_are_not_compared_do_not_matter() -> None:
    more = side({name: f"{text}u" for name, text in BASE.items()}, gate=GATE)

    assert judged(candidate(), more).verdict == "promote"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 7.0])
@pytest.mark.parametrize("of", ["candidate", "baseline"])
def test_a_value_that_is_no_number_blocks(of: str, value: float) -> None:
    sides = {"candidate": candidate(), "baseline": base()}
    first, *rest = sides[of].records
    broken = replace(first, checks=(replace(first.checks[0], value=value), *first.checks[1:]))
    sides[of] = replace(sides[of], records=[broken, *rest])

    found = judged(sides["candidate"], sides["baseline"])

    assert found.verdict == "block"
    assert found.reasons[0].startswith(
        f"the {of}'s record of colours/c000 cannot be used: the value of content-check is"
    )
    assert found.graded == ()


def test_a_measure_that_is_no_number_blocks() -> None:
    one = record(check(measures={"f1": float("nan")}))

    found = judged(replace(side("p"), records=[one]), replace(side("p"), records=[record(check())]))

    assert found.verdict == "block"
    assert found.reasons[0].endswith("the f1 of keywords is nan, no number from 0 to 1")


def test_a_guard_that_was_not_asked_blocks() -> None:
    gate = own(superior=["content"], guards={"general_knowledge": 0.15})

    found = judged(candidate(gate=gate), base(gate))

    assert found.verdict == "block"
    assert found.reasons[0] == (
        "colours guards general_knowledge, which was not asked: add --task general_knowledge"
    )


def test_a_capability_that_no_check_has_blocks() -> None:
    gate = own(superior=["reasoning"])

    found = judged(candidate(gate=gate), base(gate))

    assert found.verdict == "block"
    assert "no check of the task has that capability" in found.reasons[0]


def test_what_a_candidate_forgot_elsewhere_blocks() -> None:
    gate = own(superior=["content"], guards={"facts": 0.15})
    before = merged(base(gate), side({"recall": "p" * 40, "safety": "p" * 40}, task="facts"))
    forgetful = side({"recall": "p" * 15 + "f" * 25, "safety": "p" * 40}, task="facts", label="tuned:1")

    found = judged(merged(candidate(gate=gate), forgetful), before)

    assert found.verdict == "block"
    assert found.reasons[0].startswith("facts recall 100.0% -> 37.5%")
    assert found.reasons[0].endswith("at most 15 points worse (a guard of colours) asked, more shown")
    assert [(one.task, one.kind) for one in found.requirements][1:] == [
        ("facts", "non_inferior"),
        ("facts", "zero_tolerance"),
    ]


# What is never promoted


def test_another_suite_is_refused() -> None:
    with pytest.raises(RunMismatch, match="task colours was changed"):
        judged(candidate(hash="b" * 64), base())
    with pytest.raises(RunMismatch, match="nothing to compare"):
        judged(candidate({"content": ""}), base())


def test_a_part_is_never_promoted() -> None:
    found = judged(candidate(), base(), partial="20 of 50 cases")

    assert found.verdict == "inconclusive"
    assert found.sentence == "Inconclusive: only a part was compared (20 of 50 cases)."
    assert found.reasons[0] == "only a part was compared: 20 of 50 cases"
    assert all(one.status == "shown" for one in found.requirements)


def test_what_a_part_left_out_of_the_policy_is_a_note() -> None:
    found = judged(candidate({"format": "p" * 50}), base(), partial="50 of 150 checks")

    assert found.verdict == "inconclusive"
    assert len(found.notes) == 2 and "the policy asks for content" in found.notes[0]


def test_a_part_that_is_shown_to_be_worse_blocks() -> None:
    assert judged(candidate(BAD), base(), partial="50 of 60 cases").verdict == "block"


def test_without_any_requirement_nothing_is_promoted() -> None:
    found = judged(candidate(gate={}), base({}))

    assert (found.verdict, found.requirements) == ("inconclusive", ())
    assert found.sentence == f"Inconclusive: {NOTHING_ASKED}." and found.reasons == (NOTHING_ASKED,)
    assert len(found.differences) == 3


# Beside the verdict


def test_the_same_weights_on_both_sides_are_noted() -> None:
    found = judged(candidate(digest="d" * 64), base(digest="d" * 64), notes=["from elsewhere"], spared=7)

    assert found.notes == (
        "from elsewhere",
        "candidate and baseline are the same weights (dddddddddddd): what differs is chance, or the server, not the model",
    )
    assert found.spared == 7


def test_a_baseline_without_any_whole_answer_is_noted() -> None:
    cut = base()
    cut = replace(cut, records=[replace(one, outcome="truncated") for one in cut.records])

    assert judged(candidate(), cut).notes == (
        "the baseline base:1 gave no whole answer at all: it is no hard one to beat",
    )


def test_the_noise_of_a_baseline_with_repeats_is_shown_and_widens_nothing() -> None:
    repeats = base()
    twice = side({name: [text, text[::-1]] for name, text in BASE.items()}, gate=GATE)

    found = judged(candidate(), twice)

    assert [(one.capability, one.differing) for one in found.noise] == [
        ("content", 1.0),
        ("format", 0.0),
        ("safety", 0.0),
    ]
    assert judged(candidate(), repeats).noise == ()


def test_graded_values_are_shown_and_decide_nothing() -> None:
    def with_values(one: RunSide, values: Mapping[int, float]) -> RunSide:
        records = [
            replace(two, checks=(replace(two.checks[0], value=values.get(number, 0.9)), *two.checks[1:]))
            for number, two in enumerate(one.records)
        ]
        return replace(one, records=records)

    found = judged(with_values(candidate(), {0: 0.95}), with_values(base(), {0: 0.1, 1: 0.2}))

    assert found.verdict == "promote"
    assert [(one.check, one.name) for one in found.graded] == [("content-check", "value")]


# Properties

OUTCOMES = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*[st.text("pf", min_size=n, max_size=n) for _ in range(4)])
)
ASKS = {
    "floors": {},
    **own(superior=["content"], non_inferior={"content": 0.3, "format": 0.3}, ratio={"format": 0.5}),
}


@settings(max_examples=30, deadline=None)
@given(OUTCOMES)
def test_promotion_is_that_all_is_shown_and_a_block_that_something_failed(
    outcomes: tuple[str, str, str, str],
) -> None:
    before, after = ({"content": one, "format": other} for one, other in (outcomes[:2], outcomes[2:]))
    found = judged(side(after, gate=ASKS, label="tuned:1"), side(before, gate=ASKS))
    statuses = {one.status for one in found.requirements}

    assert (found.verdict == "promote") == (statuses == {"shown"})
    assert (found.verdict == "block") == ("failed" in statuses)
    assert len(found.reasons) == len(found.requirements) == 4


@settings(max_examples=15, deadline=None)
@given(OUTCOMES, st.randoms(use_true_random=False))
def test_the_order_of_the_records_changes_nothing(outcomes: tuple[str, str, str, str], shuffle: Any) -> None:
    before, after = ({"content": one, "format": other} for one, other in (outcomes[:2], outcomes[2:]))
    one, other = side(after, gate=ASKS, label="tuned:1"), side(before, gate=ASKS)
    mixed = [list(one.records), list(other.records)]
    for records in mixed:
        shuffle.shuffle(records)

    found = judged(replace(one, records=mixed[0]), replace(other, records=mixed[1]))

    assert replace(found, reasons=()) == replace(judged(one, other), reasons=())


def test_a_status_is_that_of_the_requirement_in_the_verdict() -> None:
    from evals.pairing import pair
    from evals.policy import requirements

    for outcomes in (BASE, GOOD, BAD):
        one, other = candidate(outcomes), base()
        found = judged(one, other)
        pairs = {two.capability: two.pairs for two in pair(one, other)}
        asked = requirements(policy_of_tasks(one.tasks), {"colours": list(pairs)}, one.tasks).asked

        assert [status_of(two, pairs[two.capability]) for two in asked] == [
            two.status for two in found.requirements
        ]
