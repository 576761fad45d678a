"""An early stop never finds another verdict than the whole run would have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.cases import GoldenTask, load_golden
from evals.curtailment import Curtailment, Settled
from evals.needs import CheckItem, check_items
from evals.pairing import Pair
from evals.policy import Asked
from evals.requirements import status_of
from evals.runs import CaseRecord
from evals.verdict import Decision
from tests.conftest import tiny_model
from tests.evals_run import write_task
from tests.records import check, record

CASES = 24
ALL: set[Decision] = {"promote", "block", "inconclusive"}
KINDS: list[Asked] = [
    Asked("small", "content", "superior", 0.0, "small"),
    Asked("small", "content", "non_inferior", 0.2, "small"),
    Asked("small", "content", "zero_tolerance", 0.0, "small"),
    Asked("small", "content", "ratio", 0.8, "small"),
]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> GoldenTask:
    golden: Path = tmp_path_factory.mktemp("golden")
    write_task(golden, questions={f"question {number}?": "right" for number in range(CASES)})
    (found,) = load_golden(golden)
    return found


def expected(task: GoldenTask, repeats: int = 1) -> list[CheckItem]:
    return list(check_items([tiny_model()], [task], repeats))


def judged(task: GoldenTask, number: int, passed: bool, repeat: int = 0, **fields: object) -> CaseRecord:
    """A case's record: its format is right, its content right or wrong."""
    return record(
        check(name="regex", capability="format"),
        check("pass" if passed else "fail"),
        model="tiny",
        task=task.name,
        case=task.cases[number].id,
        repeat=repeat,
        **fields,
    )


def follow(
    task: GoldenTask,
    baseline: Sequence[bool],
    candidate: Sequence[bool],
    asked: Sequence[Asked],
    floor: float | None,
    *,
    ends: Collection[Decision] = ALL,
) -> tuple[Settled | None, int]:
    """What is settled, and after how many cases; all of them without a stop."""
    rates = {case.id: float(right) for case, right in zip(task.cases, baseline, strict=True)}
    follower = Curtailment(
        expected(task),
        {task.name: {} if floor is None else {"content": floor}},
        asked,
        repeats=1,
        recorded={(task.name, "content"): rates, (task.name, "format"): dict.fromkeys(rates, 1.0)},
        ends=ends,
    )
    for number, right in enumerate(candidate):
        settled = follower.take(judged(task, number, right), of_baseline=False)
        if settled is not None:
            return settled, number + 1
    return None, len(candidate)


def decision(
    task: GoldenTask, baseline: Sequence[bool], candidate: Sequence[bool], asked: Asked, floor: float | None
) -> Decision:
    """The verdict on all cases, from the statuses and floors themselves."""
    pairs = [
        Pair(case.id, case.id, float(before), float(after))
        for case, before, after in zip(task.cases, baseline, candidate, strict=True)
    ]
    status = status_of(asked, pairs)
    if status == "failed" or (floor is not None and sum(candidate) / CASES < floor):
        return "block"
    return "promote" if status == "shown" else "inconclusive"


@given(
    baseline=st.lists(st.booleans(), min_size=CASES, max_size=CASES),
    candidate=st.lists(st.booleans(), min_size=CASES, max_size=CASES),
    asked=st.sampled_from(KINDS),
    floor=st.sampled_from([None, 0.25, 0.5, 0.9]),
)
@settings(max_examples=150, deadline=None)
def test_what_is_settled_is_the_verdict_on_all_cases(
    task: GoldenTask, baseline: list[bool], candidate: list[bool], asked: Asked, floor: float | None
) -> None:
    settled, after = follow(task, baseline, candidate, [asked], floor)
    assert settled is not None, "with every case judged the verdict is certain"
    assert settled.decision == decision(task, baseline, candidate, asked, floor)
    assert 1 <= after <= CASES


def test_a_new_miss_where_none_is_allowed_ends_it_at_once(task: GoldenTask) -> None:
    baseline = [True] * CASES
    settled, after = follow(task, baseline, [True, True, False] + [True] * 21, [KINDS[2]], None)
    assert settled is not None
    assert (settled.decision, after) == ("block", 3)


def test_superiority_out_of_reach_is_inconclusive_before_the_end(task: GoldenTask) -> None:
    """The baseline misses five; six have to be won for an exact p below 0.05, so it is hopeless from the first case."""
    baseline = [False] * 5 + [True] * 19
    settled, after = follow(task, baseline, [True] * CASES, [KINDS[0]], None)
    assert settled is not None
    assert settled.decision == "inconclusive"
    # Nineteen may still be lost, which would be a block: it is certain once too few of them are left for that.
    assert 1 < after < CASES
    assert settled.reasons == ("small content cannot be shown any more, whatever the remaining cases bring",)


def test_only_the_verdicts_that_are_wanted_end_a_run(task: GoldenTask) -> None:
    right = [True] * CASES
    assert follow(task, right, right, [KINDS[2]], None, ends={"block"}) == (None, CASES)


def test_faults_settle_nothing(task: GoldenTask) -> None:
    follower = Curtailment(
        expected(task), {task.name: {"content": 1.0}}, [], repeats=1, recorded=None, ends=ALL
    )
    for number in range(CASES):
        lost = judged(task, number, False, outcome="infrastructure")
        assert follower.take(lost, of_baseline=False) is None


def test_a_baseline_of_the_same_run_settles_nothing_until_it_is_judged(task: GoldenTask) -> None:
    follower = Curtailment(expected(task), {}, [KINDS[2]], repeats=1, recorded=None, ends=ALL)
    assert follower.take(judged(task, 0, False), of_baseline=False) is None
    found = follower.take(judged(task, 0, True), of_baseline=True)
    assert found is not None
    assert found.decision == "block"


def test_means_over_repeats_are_compared_at_the_end_only(task: GoldenTask) -> None:
    rates = dict.fromkeys([case.id for case in task.cases], 1.0)
    follower = Curtailment(
        expected(task, repeats=2),
        {},
        [KINDS[1]],
        repeats=2,
        recorded={(task.name, "content"): rates, (task.name, "format"): rates},
        ends=ALL,
    )
    for repeat in (0, 1):
        for number in range(CASES):
            assert follower.take(judged(task, number, False, repeat), of_baseline=False) is None


def test_a_floor_counts_the_repeats_that_are_still_to_come(task: GoldenTask) -> None:
    follower = Curtailment(
        expected(task, repeats=2), {task.name: {"content": 0.9}}, [], repeats=2, recorded=None, ends=ALL
    )
    settled = [follower.take(judged(task, number, False), of_baseline=False) for number in range(5)]
    assert settled[:4] == [None] * 4  # 22 of 24 can still be reached
    assert settled[4] is not None
    assert settled[4].reasons == ("small content can reach 89.6% at most, below the floor of 90%",)
    assert settled[4].as_gate().state == "fails"


def test_a_candidate_that_has_not_answered_yet_is_not_promoted(task: GoldenTask) -> None:
    """Where the baseline passes nothing, no case can be lost; but who never answers is blocked at the end."""
    nothing = dict.fromkeys([case.id for case in task.cases], 0.0)
    follower = Curtailment(
        expected(task),
        {},
        [KINDS[2]],
        repeats=1,
        recorded={(task.name, "content"): nothing, (task.name, "format"): nothing},
        ends=ALL,
    )
    for number in range(CASES - 1):
        empty = judged(task, number, False, outcome="empty")
        assert follower.take(empty, of_baseline=False) is None
    assert follower.take(judged(task, CASES - 1, False), of_baseline=True) is None
    settled = follower.take(judged(task, CASES - 1, False), of_baseline=False)
    assert settled is not None
    assert settled.decision == "promote"
