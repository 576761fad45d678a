"""Figures of a run: the case is the unit, and everything that was asked counts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.runs import CaseRecord
from evals.scores import Score, Summary, summarise
from evals.stats import wilson_interval
from tests.records import check, record


def score_of(records: list[CaseRecord], capability: str = "content", floor: float | None = None) -> Score:
    floors = {} if floor is None else {"colours": {capability: floor}}
    return next(one for one in summarise(records, floors).scores if one.capability == capability)


def test_a_case_passes_a_capability_when_all_its_checks_of_it_do() -> None:
    both = record(check(), check(name="tone"), case="a")
    half = record(check(), check("fail", name="tone"), case="b")
    other = record(check(), check("fail", capability="format"), case="c")

    assert (score_of([both, half, other]).passes, score_of([both, half, other]).n) == (2, 3)
    assert (score_of([both, half, other], "format").passes, score_of([both, half, other], "format").n) == (
        0,
        1,
    )


@pytest.mark.parametrize("outcome", ["fail", "error", "unscored"])
def test_everything_that_was_asked_counts_and_only_a_pass_is_one(outcome: str) -> None:
    score = score_of([record(case="a"), record(check(outcome), case="b")])

    assert (score.passes, score.n, score.rate) == (1, 2, 0.5)
    assert (score.low, score.high) == wilson_interval(1, 2)


@pytest.mark.parametrize(
    ("floor", "holds"), [(None, None), (0.5, True), (0.95, True), (0.951, False), (1.0, False), (0.0, True)]
)
def test_a_floor_holds_at_exactly_its_rate(floor: float | None, holds: bool | None) -> None:
    records = [record(check("pass" if number else "fail"), case=f"c{number}") for number in range(20)]

    assert score_of(records, floor=floor).holds is holds


def test_models_come_in_the_order_asked_for_and_tasks_in_order_of_name() -> None:
    records = [record(model=model, task=task) for model in ("b", "a") for task in ("two", "one")]

    summary = summarise(records, {}, models=["a", "b", "c"])

    assert [(one.model, one.task) for one in summary.scores] == [
        ("a", "one"),
        ("a", "two"),
        ("b", "one"),
        ("b", "two"),
    ]
    assert [one.model for one in summary.models] == ["a", "b", "c"]
    assert summary.models[2].replies == 0


def test_a_measure_counts_the_unreadable_as_nothing_and_apart() -> None:
    records = [
        record(check(measures={"f1": 1.0}), case="a"),
        record(check(measures={"f1": 0.5}), case="b"),
        record(check("fail"), case="c"),
    ]

    (measure,) = summarise(records, {}).measures

    assert (measure.name, measure.over_all, measure.n) == ("f1", 0.5, 3)
    assert (measure.over_readable, measure.readable) == (0.75, 2)


def test_single_checks_sum_to_k_of_n_a_case() -> None:
    five = [
        check("pass" if number < 3 else "fail", name=f"f{number}", capability="format") for number in range(5)
    ]
    four = [check(name=f"f{number}", capability="format") for number in range(4)]

    score = score_of([record(*five, case="a"), record(*four, case="b")], "format")

    assert (score.passes, score.n) == (1, 2)
    assert (score.checks_passed, score.checks, score.points) == (7, 9, (3.5, 4.5))


def labelled(expected: str, answered: str | None, case: str, of: str = "abcd") -> CaseRecord:
    right = expected == answered
    return record(
        check(
            "pass" if right else "fail",
            kind="label",
            name="label",
            expected={"label": expected, "of": of},
            extracted={"label": answered},
        ),
        case=case,
    )


def test_macro_f1_is_the_mean_over_expected_and_answered_classes() -> None:
    # a: 2 right of 2 expected and 3 answered, F1 0.8; b: 0 of 1, 0; c, answered and never expected: 0.
    pairs = [("a", "a"), ("a", "a"), ("b", "a"), ("d", "c"), ("d", "d")]
    records = [labelled(*pair, case=f"c{number}") for number, pair in enumerate(pairs)]

    (measure,) = summarise(records, {}).measures

    assert measure.name == "macro_f1"
    assert measure.over_all == measure.over_readable == pytest.approx((0.8 + 0 + 0 + 2 / 3) / 4)


def test_a_reply_without_a_label_is_a_miss_of_the_expected_class_alone() -> None:
    cut = record(
        check("fail", kind="label", name="label", expected={"label": "b", "of": "abcd"}, cause="truncated"),
        case="cut",
    )
    records = [labelled("a", "a", "a"), labelled("b", "b", "b"), labelled("b", None, "prose"), cut]

    (measure,) = summarise(records, {}).measures

    # b: 1 right of 3 expected and 1 answered.
    assert (measure.over_all, measure.n) == (pytest.approx((1 + 2 / 4) / 2), 4)
    assert (measure.over_readable, measure.readable) == (1.0, 2)


def test_cases_with_label_sets_of_their_own_have_no_macro_f1() -> None:
    records = [labelled("a", "a", "one"), labelled("x", "y", "other", of="xyz")]

    assert summarise(records, {}).measures == ()


def test_where_no_reply_holds_a_label_macro_f1_is_nothing() -> None:
    (measure,) = summarise([labelled("a", None, "x")], {}).measures

    assert (measure.over_all, measure.over_readable, measure.readable) == (0.0, 0.0, 0)


def test_causes_are_those_of_whole_answers() -> None:
    records = [
        record(check("fail"), check("error", name="tone", cause="check broke"), case="a"),
        record(check("fail"), case="b"),
        record(check("fail", cause="truncated"), case="c", outcome="truncated"),
        record(check("fail", cause="refused"), case="d", outcome="refused"),
        record(check("fail", cause="not JSON"), check(name="safety"), case="e", outcome="refused"),
    ]

    (figures,) = summarise(records, {}).models

    assert figures.causes == {
        "keywords: missing keyword": 2,
        "tone: check broke": 1,
        "keywords: not JSON": 1,
    }
    assert figures.outcomes == {"answered": 2, "refused": 2, "truncated": 1}


def test_faults_and_retries_are_counted() -> None:
    lost = record(
        check("unscored"), case="a", outcome="infrastructure", fault="refused", tokens={}, timings={}
    )
    again = record(case="b", retries=("read timed out",))

    (figures,) = summarise([lost, again], {}).models

    assert (figures.unanswered, figures.faults, figures.retried) == (1, {"refused": 1}, 1)


def test_speed_is_the_median_over_what_is_known() -> None:
    slow = record(case="a", timings={"decode_s": 2.0, "first_token_s": None}, tokens={"completion": 20})
    fast = record(case="b", timings={"decode_s": 0.5, "first_token_s": 0.2}, tokens={"completion": 20})
    none = record(case="c", timings={"decode_s": 0.0}, tokens={"completion": None})

    (figures,) = summarise([slow, fast, none], {}).models

    assert (figures.tokens_per_s, figures.first_token_s, figures.completion_tokens) == (25.0, 0.2, 40)
    assert summarise([none], {}).models[0].tokens_per_s is None


def test_of_nothing_there_are_no_figures() -> None:
    assert summarise([], {}) == Summary((), (), ())


def test_the_summary_is_json_with_rates_and_verdicts() -> None:
    summary = summarise([record(check(measures={"f1": 0.5}))], {"colours": {"content": 0.9}})

    data = json.loads(json.dumps(summary.to_json()))

    assert data["scores"][0]["rate"] == 1.0
    assert data["scores"][0]["holds"] is True
    assert data["measures"][0]["over_all"] == 0.5
    assert data["models"][0]["replies"] == 1


results = st.lists(st.lists(st.sampled_from(["pass", "fail", "error", "unscored"]), min_size=1, max_size=3))


@given(cases=results)
def test_passes_and_misses_add_up_to_what_was_asked(cases: list[list[str]]) -> None:
    records = [record(*map(check, outcomes), case=f"c{number}") for number, outcomes in enumerate(cases)]

    for score in summarise(records, {}).scores:
        assert score.n == len(cases)
        assert score.passes == sum(set(outcomes) == {"pass"} for outcomes in cases)
        assert 0 <= score.low <= score.rate <= score.high <= 1


def test_a_floor_that_repeats_reach_exactly_holds() -> None:
    """Summed as floats, 3 of 15 repeats would be a little less than a fifth."""
    records = [
        record(check("pass" if repeat == case else "fail"), case=f"c{case}", repeat=repeat)
        for case in range(3)
        for repeat in range(5)
    ]

    assert score_of(records, floor=0.2).holds is True
