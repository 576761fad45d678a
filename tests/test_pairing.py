"""Two runs are paired case by case where they asked the same, and refused with every reason where they did not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.base import Model, ModelReply, parse_spec
from evals.errors import RunMismatch, RunRecordError
from evals.pairing import Pair, Paired, join, pair, pass_rates, read_side, refuse_mismatch
from evals.runs import CaseRecord, RunWriter
from tests.records import check, record, run_info
from tests.sides import merged, side

TASKS = {"colours": {"hash": "a" * 64, "cases": 1, "options": {}, "gate": {}}}


def recorded(reports: Path, *records: CaseRecord, **fields: Any) -> Path:
    """The folder of a complete run, of its own name."""
    labels = list(dict.fromkeys(one.model for one in records)) or ["small:1b"]
    writer = RunWriter.new(reports, "small:1b")
    for one in records:
        writer.add(one, ModelReply(text="It is blue."))
    writer.finish(run_info(*labels, **{"run": writer.folder.name, "tasks": TASKS, **fields}), {}, "")
    return writer.folder


def rates(paired: Paired) -> list[tuple[str, float, float]]:
    return [(one.case, one.baseline, one.candidate) for one in paired.pairs]


# Reading


def test_a_run_is_read_by_its_folder_and_by_its_name(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), record(case="sea"))

    by_folder = read_side(str(folder), tmp_path / "elsewhere")

    assert by_folder == read_side(folder.name, tmp_path)
    assert by_folder.model.label == "small:1b" and by_folder.runs == (folder.name,)
    assert [one.case for one in by_folder.records] == ["sky", "sea"]
    assert by_folder.tasks == TASKS


def test_of_several_models_one_is_named_after_a_hash_sign(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), record(model="big:7b"), record(model="big:7b", case="sea"))

    side = read_side(f"{folder}#big:7b", tmp_path)

    assert side == read_side(f"{folder.name}#big:7b", tmp_path)
    assert side.model.label == "big:7b" and [one.case for one in side.records] == ["sky", "sea"]


def test_several_models_and_none_named_are_told_with_what_to_type(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), record(model="big:7b"))

    with pytest.raises(RunRecordError, match=r"holds 2 models; name one: .*#small:1b, .*#big:7b"):
        read_side(str(folder), tmp_path)
    with pytest.raises(RunRecordError, match=r"holds no model 'huge:70b'; there are: .*#small:1b"):
        read_side(f"{folder}#huge:70b", tmp_path)


def test_a_run_that_is_not_there_is_told(tmp_path: Path) -> None:
    for text in ("nothing", "nothing#model", "", "#", "\0", "a" * 5000):
        with pytest.raises(RunRecordError, match="there is no run"):
            read_side(text, tmp_path)


def test_an_interrupted_run_is_refused(tmp_path: Path) -> None:
    writer = RunWriter.new(tmp_path, "small:1b")
    writer.add(record(), ModelReply(text="blue"))
    writer.close()

    with pytest.raises(RunRecordError, match="was not finished"):
        read_side(str(writer.folder), tmp_path)


def test_a_table_from_elsewhere_has_no_cases_to_pair(tmp_path: Path) -> None:
    folder = recorded(tmp_path, settings={"summary_only": True})

    with pytest.raises(RunRecordError, match="is a table from elsewhere"):
        read_side(str(folder), tmp_path)


def test_a_run_that_was_stopped_early_is_refused(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), spared=12)

    with pytest.raises(RunRecordError, match="was stopped early: 12 of its requests were never asked"):
        read_side(str(folder), tmp_path)


def test_a_repeat_that_stands_twice_is_damage(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), record(repeat=1), record())

    with pytest.raises(RunRecordError, match="repeat 0 of colours/sky stands in it twice"):
        read_side(str(folder), tmp_path)


def test_a_line_of_a_task_that_was_not_asked_is_damage(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), record(task="sums"))

    with pytest.raises(RunRecordError, match=r"repeat 0 of sums/sky is of a task that is not in .*run\.json"):
        read_side(str(folder), tmp_path)


# What a damaged or hostile line may hold -> what is said of it
BAD_LINES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "nan as a value": (lambda line: line["checks"][0].update(value=float("nan")), "NaN is no number"),
    "infinity as a value": (
        lambda line: line["checks"][0].update(value=float("inf")),
        "Infinity is no number",
    ),
    "too large a value": (
        lambda line: line["checks"][0].update(value=7),
        "the value of keywords is 7, no number",
    ),
    "a text as a value": (
        lambda line: line["checks"][0].update(value="1"),
        "the value of keywords is 1, no number",
    ),
    "nan as a measure": (
        lambda line: line["checks"][0].update(measures={"f1": float("nan")}),
        "NaN is no number",
    ),
    "a measure below zero": (
        lambda line: line["checks"][0].update(measures={"f1": -2}),
        "the f1 of keywords is -2, no number",
    ),
    "measures that are a list": (lambda line: line["checks"][0].update(measures=[1]), "no attribute 'items'"),
    "a case that is a list": (lambda line: line.update(case=["sky"]), "a name that is no text"),
    "an outcome that is a list": (
        lambda line: line["checks"][0].update(outcome=["pass"]),
        "a name that is no text",
    ),
    "a repeat that is a text": (lambda line: line.update(repeat="0"), "a repeat that is no whole number"),
}


@pytest.mark.parametrize(
    ("damage", "says"), BAD_LINES.values(), ids=[name.replace(" ", "-") for name in BAD_LINES]
)
def test_a_line_that_cannot_be_compared_is_named(
    damage: Callable[[dict[str, Any]], object], says: str, tmp_path: Path
) -> None:
    folder = recorded(tmp_path, record(), record(case="sea"))
    lines = (folder / "results.jsonl").read_text("ascii").splitlines()
    line = json.loads(lines[1])
    damage(line)
    (folder / "results.jsonl").write_text(f"{lines[0]}\n{json.dumps(line)}\n", "ascii")

    with pytest.raises(RunRecordError, match=rf"results\.jsonl:2: damaged line: .*{says}"):
        read_side(str(folder), tmp_path)


def test_a_number_too_large_for_a_float_is_no_value(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record())
    text = (folder / "results.jsonl").read_text("ascii").replace('"value": 1.0', '"value": 1e999')
    (folder / "results.jsonl").write_text(text, "ascii")

    with pytest.raises(RunRecordError, match="the value of keywords is inf, no number from 0 to 1"):
        read_side(str(folder), tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"tasks": []},
        {"tasks": {"colours": 1}},
        {"tasks": {"colours": {}}},
        {"tasks": {"colours": {"hash": "a", "gate": []}}},
        {"tasks": {"colours": {"hash": "a", "gate": {"floors": {"content": "high"}}}}},
        {"tasks": {"colours": {"hash": "a", "options": 3}}},
        {"settings": []},
        {"run": 5},
        {"models": (Model(parse_spec("small:1b"), 5),)},  # type: ignore[arg-type]
    ],
    ids=[
        "tasks-a-list",
        "a-task-a-number",
        "no-hash",
        "gate-a-list",
        "a-floor-a-text",
        "options-a-number",
        "settings-a-list",
        "run-a-number",
        "digest-a-number",
    ],
)
def test_a_damaged_run_json_is_told(fields: dict[str, Any], tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), **fields)

    with pytest.raises(RunRecordError, match=r"run\.json is damaged"):
        read_side(str(folder), tmp_path)


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
