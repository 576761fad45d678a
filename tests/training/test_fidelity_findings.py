"""What is said of answers that change from step to step: each fault at the step where it comes in, and no other."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from evals.stats import mcnemar_p
from tests.training.fidelity_steps import (
    CASES,
    F16,
    LLAMA,
    MERGED,
    PEFT,
    Q4,
    Q8,
    STEPS,
    TEXT,
    found,
    given,
    kinds,
    measured,
)
from training.fidelity_findings import diagnose, flips_needed
from training.fidelity_measure import Given, compare, measure

OTHER = {case: f"Quite another beginning: {case}" for case in CASES}
LATE = {case: f"The answer of this case is the number {case}, I think" for case in CASES}


def test_steps_that_answer_alike_have_no_fault() -> None:
    (only,) = found({})

    assert only.kind == "nothing"
    assert only.what == "no fault found in 5 steps after the first"


def test_answers_that_part_late_are_no_fault() -> None:
    assert kinds(found({step: given(texts=LATE) for step in (MERGED, F16)})) == [("nothing", Q4.label)]


def test_a_prompt_of_more_tokens_everywhere_is_a_template_fault_of_its_engine_told_once() -> None:
    more = given(texts=OTHER, more_tokens=dict.fromkeys(CASES, 1), misses=CASES)
    (only,) = found({F16: more, Q8: more, Q4: more})

    assert (only.kind, only.step) == ("template", F16.label)
    assert "in every case +1" in only.what
    assert "begin-of-text" in only.what
    assert "doctor" in only.mend
    assert only.cases == CASES


def test_prompts_that_differ_by_various_counts_are_said_to_be_cut_up_otherwise() -> None:
    (only,) = found({LLAMA: given(more_tokens={"c01": 3, "c02": -2})})

    assert (only.kind, only.step) == ("template", LLAMA.label)
    assert "in 2 of 20 cases between -2 and +3" in only.what
    assert only.cases == ("c01", "c02")


def test_each_engine_has_its_own_template_fault() -> None:
    more = given(more_tokens={"c03": 7})

    assert kinds(found({LLAMA: more, F16: more, Q8: more, Q4: more})) == [
        ("template", LLAMA.label),
        ("template", F16.label),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Blue.<|im_end|>",
        "Blue. <|im_start|>user",
        "[INST] Why? [/INST]",
        "<start_of_turn>model",
        "</s>",
        "<<SYS>>",
        "<｜User｜>",
    ],
)
def test_text_of_a_chat_template_in_a_reply_is_a_template_fault(text: str) -> None:
    (only,) = found({step: given(texts={"c05": text}) for step in (F16, Q8, Q4)})

    assert (only.kind, only.step, only.cases) == ("template", F16.label, ("c05",))


def test_what_the_reference_writes_too_is_no_template_fault() -> None:
    written = given(texts={"c05": "The marker is <|im_end|>."})

    assert kinds(found(dict.fromkeys(STEPS, written))) == [("nothing", Q4.label)]


def test_template_text_from_a_quantisation_on_is_no_template_fault() -> None:
    assert "template" not in [one.kind for one in found({Q4: given(texts={"c05": "Blue.</s>"})})]


def test_merged_weights_that_begin_otherwise_in_transformers_are_a_merge_fault_told_once() -> None:
    broken = given(texts=OTHER)
    (only,) = found({MERGED: broken, F16: broken, Q8: broken, Q4: broken})

    assert (only.kind, only.step) == ("merge", MERGED.label)
    assert "0 of 20 answers begin alike" in only.what


def test_an_engine_that_begins_otherwise_with_the_same_prompts_is_a_conversion_fault() -> None:
    broken = given(texts=OTHER, misses=CASES[:8])
    (only,) = found({F16: broken, Q8: broken, Q4: broken})

    assert (only.kind, only.step, only.cases) == ("conversion", F16.label, CASES[:8])
    assert "lost 8, won 0" in only.what


def test_verdicts_lost_from_a_quantisation_on_are_its_loss_with_the_cases() -> None:
    (only,) = found({Q4: given(texts=OTHER, misses=CASES[:9])})

    assert (only.kind, only.step, only.cases) == ("quantisation", Q4.label, CASES[:9])
    assert "loss" in only.what and "finer" in only.mend


def test_a_quantisation_that_words_everything_otherwise_and_loses_nothing_is_no_loss() -> None:
    (only,) = found({Q4: given(texts=OTHER)})

    assert only.kind == "nothing"
    assert only.what.endswith(
        f"{Q4.label} words most answers otherwise, and flips no more verdicts than chance does"
    )


def test_a_template_fault_does_not_hide_a_quantisation_of_the_same_engine() -> None:
    more = dict.fromkeys(CASES, 2)
    findings = found({
        F16: given(more_tokens=more),
        Q8: given(more_tokens=more),
        Q4: given(more_tokens=more, misses=CASES[:9]),
    })

    assert kinds(findings) == [("template", F16.label), ("quantisation", Q4.label)]


def test_answers_to_another_prompt_tell_nothing_of_the_weights() -> None:
    leaking = given(texts={case: f"[INST] {case}" for case in CASES}, misses=CASES)
    assert kinds(found(dict.fromkeys((F16, Q8, Q4), leaking))) == [("template", F16.label)]

    more = given(more_tokens={"c01": 1}, misses=CASES, texts=OTHER)
    assert kinds(found({Q4: more})) == [("template", Q4.label)]


def test_one_other_beginning_is_no_fault_even_where_it_is_all_there_is() -> None:
    one = given(CASES[:1])
    other = given(CASES[:1], texts=OTHER)

    assert kinds(diagnose(measure((PEFT, MERGED), {PEFT.label: one, MERGED.label: other}))) == [
        ("nothing", MERGED.label)
    ]


def test_six_losses_are_chance_where_two_capabilities_had_a_try() -> None:
    assert kinds(found({Q8: given(misses=CASES[:6])})) == [("nothing", Q4.label), ("rounding", Q8.label)]
    assert kinds(found({Q8: given(misses=CASES[:7])})) == [("quantisation", Q8.label)]


def test_white_space_around_an_answer_does_not_count() -> None:
    spaced = given(texts={case: f" {TEXT.format(case)}\n" for case in CASES})
    against = compare(spaced, given(), "other")

    assert (against.same_text, against.same_start) == (20, 20)


def test_single_flips_are_told_as_what_may_be_rounding_beside_no_fault() -> None:
    nothing, rounding = found({Q8: given(misses=["c04"])})

    assert nothing.kind == "nothing"
    assert (rounding.kind, rounding.step, rounding.cases) == ("rounding", Q8.label, ("c04",))
    assert "1 of 40 verdicts flipped (lost 1, won 0, p = 1.000)" in rounding.what
    assert "From 7 in one direction" in rounding.what


def test_a_case_that_was_not_answered_is_told_and_is_no_flip() -> None:
    (only,) = found({Q8: given(faults=["c07"], misses=["c07"])})

    assert (only.kind, only.step) == ("unanswered", Q8.label)
    assert "1 of 20 cases" in only.what and "300 s" in only.what


def test_few_cases_and_a_reference_that_passes_nothing_are_no_clean_bill() -> None:
    few = given(CASES[:3])
    (only,) = diagnose(measure((PEFT, Q4), {PEFT.label: few, Q4.label: few}))
    assert "3 cases are too few for a loss to show: from 7" in only.what

    none = {
        case: Given({"content": False}, one.text, one.prompt_tokens) for case, one in given(CASES[:3]).items()
    }
    (only,) = diagnose(measure((PEFT, Q4), {PEFT.label: none, Q4.label: none}))
    assert "passes nothing" in only.what


def test_prompts_that_an_engine_does_not_count_are_told_not_to_be_compared() -> None:
    (only,) = found({LLAMA: given(more_tokens=dict.fromkeys(CASES))})

    assert only.what.endswith(f"could not be compared at {LLAMA.label}")


def test_a_step_whose_origin_was_not_run_is_held_against_what_that_was_made_of() -> None:
    steps = (PEFT, MERGED, F16, Q4)
    answers = {step.label: given() for step in (PEFT, MERGED, Q4)}
    last = measure(steps, answers)[-1]

    assert last.before is not None and last.before.other == MERGED.label


def test_the_fewest_flips_beyond_chance() -> None:
    assert [flips_needed(count) for count in (1, 2, 3, 4)] == [6, 7, 7, 8]


answers_drawn = st.dictionaries(
    st.sampled_from(CASES),
    st.builds(
        Given,
        st.fixed_dictionaries({"content": st.booleans(), "format": st.booleans()}),
        st.sampled_from(["", "Yes.", "Yes. <|im_end|>", TEXT, TEXT + "!"]),
        st.none() | st.integers(1, 60),
        st.sampled_from(["", "", "", "broke"]),
    ),
    min_size=1,
)


@settings(deadline=None)
@drawn(answers_drawn, answers_drawn)
def test_flips_are_what_counting_by_hand_finds(own: dict[str, Given], others: dict[str, Given]) -> None:
    against = compare(own, others, "other")
    both = {case for case in own if case in others and not (own[case].fault or others[case].fault)}

    assert against.cases == len(both)
    for flip in against.flips:
        name = flip.capability
        assert set(flip.lost) == {c for c in both if others[c].passed[name] and not own[c].passed[name]}
        assert set(flip.won) == {c for c in both if own[c].passed[name] and not others[c].passed[name]}
        assert flip.p == mcnemar_p(len(flip.lost), len(flip.won))
    assert against.same_text <= against.same_start <= against.cases
    assert len(against.prompts) + against.untold <= against.cases
    back = compare(others, own, "own")
    assert (back.lost, back.won) == (against.won, against.lost)
    assert back.prompts == {case: -more for case, more in against.prompts.items()}


@settings(deadline=None)
@drawn(st.lists(answers_drawn, min_size=len(STEPS), max_size=len(STEPS)))
def test_findings_name_steps_and_cases_that_there_are_and_never_both_a_fault_and_none(
    drawn_answers: list[dict[str, Given]],
) -> None:
    answers = dict(zip((step.label for step in STEPS), drawn_answers, strict=True))
    findings = diagnose(measure(STEPS, answers))

    assert {one.step for one in findings} <= set(answers)
    assert all(set(one.cases) <= set(answers[one.step]) for one in findings)
    assert ("nothing" in (found_kinds := [one.kind for one in findings])) == (
        set(found_kinds) <= {"nothing", "rounding"}
    )
    templates = [one.step for one in findings if one.kind == "template"]
    engines = [next(step.engine for step in STEPS if step.label == label) for label in templates]
    assert len(engines) == len(set(engines))


@settings(deadline=None)
@drawn(st.permutations(CASES))
def test_the_order_of_the_cases_changes_no_finding(order: list[str]) -> None:
    for misses, tokens in itertools.product((CASES[:9], CASES[:2]), ({}, {"c03": 2})):
        changed = given(misses=misses, more_tokens=dict(tokens))
        plain = diagnose(measured({Q4: changed}))
        mixed = {case: changed[case] for case in order}
        assert kinds(diagnose(measured({Q4: mixed}))) == kinds(plain)
