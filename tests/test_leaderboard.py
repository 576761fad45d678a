"""The order of models: whole cases first, then the mean over capabilities, then the label."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.leaderboard import capabilities_in_order, in_order, standings, standings_of_summary
from evals.report.page import WHOLE
from evals.runs import CaseRecord
from evals.scores import summarise
from evals.stats import wilson_interval
from tests.records import check, record

FORMAT = {"name": "shape", "capability": "format"}


def test_a_case_is_whole_only_if_all_its_checks_pass() -> None:
    records = [
        record(check(), check(**FORMAT), case="sky"),
        record(check("fail"), check(**FORMAT), case="sea"),
        record(check("fail"), check("fail", **FORMAT), case="sun"),
    ]

    (row,) = standings(records, {})

    rates = {name: round(cell.rate, 6) for name, cell in row.overall.items()}
    assert rates == {WHOLE: 0.333333, "format": 0.666667, "content": 0.333333}
    assert (row.overall[WHOLE].low, row.overall[WHOLE].high) == wilson_interval(1, 3)


@pytest.mark.parametrize("outcome", ["fail", "error", "unscored"])
def test_a_check_that_does_not_pass_spoils_its_case_however_it_ended(outcome: str) -> None:
    (row,) = standings([record(check(), check(outcome, **FORMAT))], {})

    assert row.overall[WHOLE].passes == 0


def test_a_case_that_was_asked_repeatedly_counts_once_with_the_mean() -> None:
    records = [
        record(check(outcome), repeat=number) for number, outcome in enumerate(["pass", "fail", "pass"])
    ]

    (row,) = standings([*records, record(case="sea")], {})

    assert row.overall[WHOLE].passes == pytest.approx(5 / 3)
    assert row.overall[WHOLE].n == 2


def test_tasks_are_pooled_by_cases_and_told_apart() -> None:
    records = [record(case=f"c{number}") for number in range(3)]
    records.append(record(check("fail"), task="shapes"))

    (row,) = standings(records, {"colours": {"content": 0.9}, "shapes": {"content": 0.5}})

    assert (row.overall["content"].rate, row.overall["content"].n, row.overall["content"].floor) == (
        0.75,
        4,
        None,
    )
    assert row.tasks["colours"]["content"].holds is True
    assert (row.tasks["shapes"]["content"].rate, row.tasks["shapes"]["content"].holds) == (0.0, False)
    assert {task: cells[WHOLE].rate for task, cells in row.tasks.items()} == {"colours": 1.0, "shapes": 0.0}


def test_whole_cases_decide_the_order_before_single_capabilities() -> None:
    even = [record(check("fail"), check(**FORMAT), case=str(number), model="even") for number in range(4)]
    uneven = [
        record(check("fail"), check("fail", **FORMAT), case=str(number), model="uneven")
        for number in range(3)
    ]
    uneven.append(record(check(), check(**FORMAT), case="3", model="uneven"))

    rows = standings([*even, *uneven], {})

    assert [row.model for row in rows] == ["uneven", "even"]


def test_without_single_cases_the_mean_over_capabilities_decides() -> None:
    records = [
        record(check("fail"), check(**FORMAT), model="half"),
        record(check(), check(**FORMAT), model="all"),
    ]

    rows = standings_of_summary(summarise(records, {}))

    assert [row.model for row in rows] == ["all", "half"]
    assert all(WHOLE not in row.overall for row in rows)


def test_equal_models_stand_in_the_order_of_their_labels() -> None:
    rows = standings([record(model="b"), record(model="a"), record(model="c")], {})

    assert [row.model for row in rows] == ["a", "b", "c"]


def test_a_model_of_which_nothing_was_judged_stands_last_and_has_no_figures() -> None:
    rows = standings([record(check("fail"), model="wrong")], {}, models=["absent", "wrong"])

    assert [(row.model, bool(row.overall)) for row in rows] == [("wrong", True), ("absent", False)]


def test_a_reply_without_checks_is_no_trial() -> None:
    unjudged = CaseRecord("small:1b", "colours", "sea", 0, "answered", (), {}, {}, "key")

    (row,) = standings([record(), unjudged], {})

    assert row.overall[WHOLE].n == 1


def test_capabilities_have_their_order_and_strange_ones_follow_in_theirs() -> None:
    assert capabilities_in_order(["syntax", "safety", "command", "format", "safety"]) == [
        *("format", "safety"),
        *("syntax", "command"),
    ]


OUTCOMES = st.sampled_from(["pass", "fail"])


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from("12345"), OUTCOMES, OUTCOMES
        ),
        min_size=1,
        unique_by=lambda row: row[:3],
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_records_changes_nothing_and_whole_is_the_hardest(
    drawn: list[tuple[str, str, str, str, str]], chance: object
) -> None:
    records = [
        record(check(one), check(other, **FORMAT), model=model, task=task, case=case)
        for model, task, case, one, other in drawn
    ]
    shuffled = list(records)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    rows = standings(records, {})

    assert {row.model: row.overall for row in standings(shuffled, {})} == {
        row.model: row.overall for row in rows
    }
    assert in_order(reversed(rows)) == rows
    for row in rows:
        for cells in (row.overall, *row.tasks.values()):
            assert cells[WHOLE].rate <= min(cells["content"].rate, cells["format"].rate) + 1e-12
