"""One model of a recorded run is read where its record is whole, and refused with a reason where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from evals.backends.base import Model, ModelReply, parse_spec
from evals.errors import RunRecordError
from evals.gate import Selection
from evals.recorded_side import read_side, selection_of
from evals.runs import CaseRecord, RunWriter, read_run
from tests.records import record, run_info

TASKS = {"colours": {"hash": "a" * 64, "cases": 1, "options": {}, "gate": {}}}
WHOLE = asdict(Selection(cases=1, of_cases=1, checks=1, of_checks=1))


def recorded(reports: Path, *records: CaseRecord, **fields: Any) -> Path:
    """The folder of a complete run, of its own name."""
    labels = list(dict.fromkeys(one.model for one in records)) or ["small:1b"]
    checks = sum(len(one.checks) for one in records)
    told = {
        "tasks": TASKS,
        "asked": len(records),
        "selected": asdict(Selection(len(records), len(records), checks, checks)),
    }
    writer = RunWriter.new(reports, "small:1b")
    for one in records:
        writer.add(one, ModelReply(text="It is blue."))
    writer.finish(run_info(*labels, **{"run": writer.folder.name, **told, **fields}), {}, "")
    return writer.folder


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


@pytest.mark.parametrize("margin", [float("nan"), 5])
def test_a_margin_of_a_baseline_that_is_no_fraction_is_told(margin: float, tmp_path: Path) -> None:
    gate = {"versus_baseline": {"non_inferior": {"content": margin}}}
    folder = recorded(tmp_path, record(), tasks={"colours": {"hash": "a", "gate": gate}})

    with pytest.raises(RunRecordError, match="has a margin that is no fraction"):
        read_side(str(folder), tmp_path)


def test_a_run_of_no_model_is_told(tmp_path: Path) -> None:
    folder = recorded(tmp_path, models=())

    with pytest.raises(RunRecordError, match=r"the run in \S+ holds no model$"):
        read_side(str(folder), tmp_path)


def test_a_table_from_elsewhere_has_no_cases_to_pair(tmp_path: Path) -> None:
    folder = recorded(tmp_path, settings={"summary_only": True}, selected={})

    with pytest.raises(RunRecordError, match="is a table from elsewhere"):
        read_side(str(folder), tmp_path)


def test_a_run_that_was_stopped_early_is_refused(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), spared=12)

    with pytest.raises(RunRecordError, match="was stopped early: 12 of its requests were never asked"):
        read_side(str(folder), tmp_path)


def test_a_run_that_lost_lines_is_refused(tmp_path: Path) -> None:
    for lost in ("sky", "sea"):
        for model in ("small:1b", "big:7b"):
            others = [
                record(model=one, case=case) for one in ("small:1b", "big:7b") for case in ("sky", "sea")
            ]
            kept = [one for one in others if (one.model, one.case) != (model, lost)]
            folder = recorded(tmp_path, *kept, asked=4)
            with pytest.raises(RunRecordError, match=r"holds 3 results, and run\.json tells of 4"):
                read_side(f"{folder}#small:1b", tmp_path)


def test_a_run_that_lost_checks_is_refused(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), record(case="sea"), selected={**WHOLE, "checks": 3})

    with pytest.raises(RunRecordError, match=r"holds 2 checks, and run\.json tells of 3"):
        read_side(str(folder), tmp_path)


def test_a_line_of_a_model_that_was_not_asked_is_damage(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), record(model="big:7b"), models=run_info("small:1b").models)

    with pytest.raises(RunRecordError, match=r"repeat 0 of colours/sky is of a model that is not in"):
        read_side(str(folder), tmp_path)


def test_a_repeat_that_stands_twice_is_damage(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), record(repeat=1), record())

    with pytest.raises(RunRecordError, match="repeat 0 of colours/sky stands in it twice"):
        read_side(str(folder), tmp_path)


def test_a_line_of_a_task_that_was_not_asked_is_damage(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), record(task="sums"))

    with pytest.raises(RunRecordError, match=r"repeat 0 of sums/sky is of a task that is not in .*run\.json"):
        read_side(str(folder), tmp_path)


LABEL: dict[str, Any] = {"kind": "label", "expected": {"label": "a", "of": ["a", "b"]}}
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
        r"the outcome \"\['pass'\]\", which is none of pass, fail, unscored, error",
    ),
    "an outcome that there is not": (
        lambda line: line["checks"][0].update(outcome="banana"),
        "the outcome 'banana', which is none of pass",
    ),
    "a reply of an unknown kind": (
        lambda line: line.update(outcome="lost"),
        "the outcome 'lost', which is none of answered",
    ),
    "a kind that is a number": (lambda line: line["checks"][0].update(kind=3), "a name that is no text"),
    "a cause that is a list": (lambda line: line["checks"][0].update(cause=[3]), "a name that is no text"),
    "a fault that is a list": (lambda line: line.update(fault=[1]), "a name that is no text"),
    "a retry that is a number": (lambda line: line.update(retries=[3]), "a name that is no text"),
    "timings that are null": (lambda line: line.update(timings=None), "no attribute 'values'"),
    "a time that is a text": (
        lambda line: line.update(timings={"decode_s": "x"}),
        "a time or a count of tokens that is no number: x",
    ),
    "tokens that are a text": (
        lambda line: line.update(tokens={"completion": "x"}),
        "a time or a count of tokens that is no number: x",
    ),
    "a label that is a list": (
        lambda line: line["checks"][0].update(LABEL, extracted={"label": ["a"]}),
        "the label that keywords read is no text",
    ),
    "no label at all": (
        lambda line: line["checks"][0].update(LABEL, extracted={}),
        "the label that keywords read is no text",
    ),
    "labels that are none": (
        lambda line: line["checks"][0].update(LABEL, expected={"label": "a"}),
        "the labels that keywords expects are no texts",
    ),
    "an expected label that is a list": (
        lambda line: line["checks"][0].update(LABEL, expected={"label": [], "of": ["a"]}),
        "the labels that keywords expects are no texts",
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
        {"tasks": {"colours": {"hash": "a", "gate": {"floors": {"content": float("nan")}}}}},
        {"tasks": {"colours": {"hash": "a", "gate": {"floors": {"content": 7}}}}},
        {"tasks": {"colours": {"hash": "a", "gate": {"agreement": {"exact": float("nan")}}}}},
        {"settings": []},
        {"versions": None},
        {"versions": ["python"]},
        {"versions": {"python": 3}},
        {"selected": None},
        {"selected": {}},
        {"selected": [1]},
        {"selected": {**WHOLE, "checks": "1"}},
        {"selected": {**WHOLE, "checks": None}},
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
        "a-floor-nan",
        "a-floor-above-one",
        "an-agreement-nan",
        "settings-a-list",
        "versions-null",
        "versions-a-list",
        "a-version-a-number",
        "selected-null",
        "selected-empty",
        "selected-a-list",
        "selected-checks-a-text",
        "selected-checks-null",
        "run-a-number",
        "digest-a-number",
    ],
)
def test_a_damaged_run_json_is_told(fields: dict[str, Any], tmp_path: Path) -> None:
    folder = recorded(tmp_path, record(), **fields)

    with pytest.raises(RunRecordError, match=r"run\.json is damaged"):
        read_side(str(folder), tmp_path)


def test_what_a_run_selected_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = recorded(tmp_path, record())

    assert selection_of(read_run(folder), folder) == Selection(1, 1, 1, 1)
