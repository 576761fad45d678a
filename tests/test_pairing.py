"""Two runs are paired case by case where they asked the same, and refused with every reason where they did not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.errors import RunMismatch
from evals.pairing import Pair, Paired, join, pair, pass_rates, refuse_mismatch
from tests.records import check, record
from tests.sides import merged, side


def rates(paired: Paired) -> list[tuple[str, float, float]]:
    return [(one.case, one.baseline, one.candidate) for one in paired.pairs]


# Joining


def test_runs_of_the_same_weights_join_as_further_repeats() -> None:
    joined = join([side(["ppf", "pff"]), replace(side("pfp"), runs=("second",))])

    assert joined.runs == ("run-of-base-1", "second")
    assert sorted({one.repeat for one in joined.records}) == [0, 1, 2]
    assert pass_rates(joined.records)["colours", "content"] == {"c000": 1.0, "c001": 1 / 3, "c002": 1 / 3}
    assert join([joined]) == joined


def test_runs_that_are_no_repeats_of_each_other_do_not_join() -> None:
    first = side("ppf")
    with pytest.raises(RunMismatch, match="has other weights there"):
        join([first, side("ppf", digest="b" * 64)])
    with pytest.raises(RunMismatch, match="task colours was changed"):
        join([first, side("ppf", hash="b" * 64)])
    with pytest.raises(RunMismatch, match="not the same cases were asked: colours/c003"):
        join([first, side("ppfp")])


def test_one_run_that_is_named_twice_is_no_repeat_of_itself() -> None:
    first, second = side("ppf"), replace(side("pfp"), runs=("second",))

    with pytest.raises(RunMismatch, match="run-of-base-1 is named 2 times: it is one repeat"):
        join([first, second, first])


# Refusing


def test_every_difference_of_the_suites_is_named_at_once() -> None:
    baseline = merged(
        side("pp", options={"temperature": 0.0, "seed": 0}),
        side("p", task="sums", hash="1" * 64),
        side("p", task="old"),
    )
    tasks = {
        "colours": {"hash": "b" * 64, "options": {"temperature": 0.7, "seed": 0}},
        "sums": {"hash": "2" * 64, "options": {"temperature": 0.0}},
        "new": {"hash": "c" * 64},
        "old": {"hash": "a" * 64},
    }

    with pytest.raises(RunMismatch) as caught:
        refuse_mismatch(baseline, tasks, [("old", f"c{number:03}") for number in range(9)])

    assert str(caught.value).splitlines() == [
        "the baseline base:1 in run-of-base-1 did not ask what the candidate is asked:",
        "  it has no task new",
        "  task colours was changed: temperature 0.0 there, 0.7 here",
        "  task sums was changed: its prompt, checks or cases are others",
        "  it lacks 8 of the cases: old/c001, old/c002, old/c003, old/c004, old/c005 and 3 more",
        "ask it again: --baseline base:1",
    ]


def test_hostile_names_are_shown_escaped() -> None:
    with pytest.raises(RunMismatch) as caught:
        refuse_mismatch(side("p"), {"\x1b[2J\u202e": {"hash": "b"}}, [("colours", "\x1b]0;x\x07")])

    assert str(caught.value).replace("\n", "").isprintable()


def test_the_same_suite_is_not_refused() -> None:
    baseline = side("pf")

    refuse_mismatch(baseline, baseline.tasks, [("colours", "c000")])
    assert (
        len(pair(side("p", label="new:1"), baseline)) == 1
    )  # a part of its cases is compared with those alone


# Pairing


def test_cases_are_paired_by_task_capability_and_name() -> None:
    baseline = merged(side({"content": "pf", "format": "pp"}), side("f", task="sums"))
    candidate = merged(side({"content": "pp", "format": "pf"}), side("p", task="sums"))

    found = {(one.task, one.capability): rates(one) for one in pair(candidate, baseline)}

    assert found == {
        ("colours", "content"): [("c000", 1.0, 1.0), ("c001", 0.0, 1.0)],
        ("colours", "format"): [("c000", 1.0, 1.0), ("c001", 1.0, 0.0)],
        ("sums", "content"): [("c000", 0.0, 1.0)],
    }


def test_a_case_passes_a_capability_when_all_its_checks_of_it_pass() -> None:
    both = [check(name="a"), check("fail", name="b")]
    baseline = replace(side("p"), records=[record(check(name="a"), check(name="b"))])
    candidate = replace(side("p"), records=[record(*both)])

    assert rates(pair(candidate, baseline)[0]) == [("sky", 1.0, 0.0)]


def test_repeats_count_with_their_mean() -> None:
    found = pair(side(["pp", "pf", "ff"]), side(["pp", "pp"]))

    assert rates(found[0]) == [("c000", 1.0, pytest.approx(2 / 3)), ("c001", 1.0, pytest.approx(1 / 3))]


@pytest.mark.parametrize("letter", ["u", "e", "f"], ids=["no-reply", "a-broken-grader", "a-miss"])
def test_what_brought_no_result_is_no_pass(letter: str) -> None:
    assert rates(pair(side(f"p{letter}"), side("pp"))[0])[1] == ("c001", 1.0, 0.0)


def test_a_repeat_that_is_missing_is_no_pass() -> None:
    candidate = side(["pp", "pp"])

    found = pair(replace(candidate, records=candidate.records[:-1]), side("pp"))

    assert rates(found[0]) == [("c000", 1.0, 1.0), ("c001", 1.0, 0.5)]


def test_a_cluster_is_that_of_the_candidate_and_without_one_the_case_itself() -> None:
    found = pair(side("ppp", clusters=["note", "note", ""]), side("ppp"))

    assert found[0].pairs == (
        Pair("c000", "note", 1.0, 1.0),
        Pair("c001", "note", 1.0, 1.0),
        Pair("c002", "c002", 1.0, 1.0),
    )


def test_nothing_is_not_compared() -> None:
    empty = side("")
    with pytest.raises(RunMismatch, match=r"nothing to compare: no case was asked of base:1"):
        pair(empty, side("p"))
    unjudged = replace(side("p"), records=[replace(record(), checks=())])
    with pytest.raises(RunMismatch, match=r"nothing to compare: no reply of base:1 was judged"):
        pair(unjudged, replace(side("p"), records=[record()]))


def test_a_case_that_the_baseline_lacks_is_refused() -> None:
    with pytest.raises(RunMismatch, match=r"lacks 1 of the cases: colours/c001"):
        pair(side("pp"), side("p"))


def test_a_case_that_was_judged_by_other_checks_is_refused() -> None:
    one, two = check(name="a"), check(name="b")
    part = replace(side("p"), records=[record(one)])
    whole = replace(side("p"), records=[record(one, two)])

    for candidate, baseline in ((whole, part), (part, whole)):
        with pytest.raises(RunMismatch, match="was judged by other checks in 1 of the cases: colours/sky"):
            pair(candidate, baseline)


def test_a_case_that_one_repeat_was_judged_in_by_a_part_of_the_checks_is_refused() -> None:
    whole = [check(name="a"), check("fail", name="b")]
    candidate = replace(side("p", label="new:1"), records=[record(*whole)])
    again = [record(*whole), record(check(name="a"), repeat=1)]

    for records in (again, [replace(one, repeat=1 - one.repeat) for one in again]):
        with pytest.raises(RunMismatch, match="was judged by other checks in 1 of the cases: colours/sky"):
            pair(candidate, replace(side("p"), records=records))


def test_capabilities_that_the_candidate_was_not_judged_in_may_be_judged_in_the_baseline() -> None:
    more = check(name="c", capability="format")
    baseline = replace(side("p"), records=[record(check(), more), record(check("fail"), repeat=1)])

    found = pair(replace(side("p", label="new:1"), records=[record(check())]), baseline)

    assert [(one.capability, rates(one)) for one in found] == [("content", [("sky", 0.5, 1.0)])]


OUTCOMES = st.lists(st.sampled_from("pf"), min_size=1, max_size=12).map("".join)


@given(OUTCOMES, st.randoms(use_true_random=False))
def test_the_order_of_a_record_changes_no_pair(outcomes: str, shuffle: Any) -> None:
    baseline, candidate = side(outcomes), side(outcomes[::-1], label="new:1")
    mixed = list(baseline.records)
    shuffle.shuffle(mixed)

    assert pair(candidate, replace(baseline, records=mixed)) == pair(candidate, baseline)


@given(OUTCOMES)
def test_swapping_the_sides_swaps_the_rates(outcomes: str) -> None:
    one, other = side(outcomes), side(outcomes[::-1], label="new:1")

    there = rates(pair(one, other)[0])

    assert there == [(case, candidate, baseline) for case, baseline, candidate in rates(pair(other, one)[0])]
