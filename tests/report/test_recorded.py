"""A run's folder is read whole and sound, or refused by a sentence that names what is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evals.errors import RunRecordError
from evals.report.recorded import read_recorded
from tests.records import check
from tests.report.recorded_runs import line, write_run
from tests.verdicts import verdict

DOCS = Path(__file__).parents[2] / "docs"
CHECK = check().to_json()


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("run.json", None, r"was not finished: it has no run\.json"),
        ("run.json", "{}", r"run\.json is damaged"),
        ("summary.json", "{", r"summary\.json is damaged"),
        ("summary.json", '{"gate": {"sentence": 3}}', r"summary\.json is damaged: gate\.sentence"),
        ("results.jsonl", "{}\n", r"results\.jsonl:1: damaged line"),
        ("replies.jsonl", None, r"replies\.jsonl cannot be read"),
        ("replies.jsonl", "", r"replies\.jsonl is damaged: it lacks the reply of small:1b to colours/sky"),
        ("verdict.json", '{"format": 1}', r"verdict\.json is damaged: .*: Field required"),
        ("verdict.json", '{"format": 9}', r"verdict\.json is damaged: it was written by another version"),
        ("snapshots.jsonl", '{"model": 3}\n', r"snapshots\.jsonl:1: damaged line: model: "),
    ],
)
def test_a_damaged_run_is_refused_by_a_sentence_that_names_the_file(
    tmp_path: Path, file: str, text: str | None, said: str
) -> None:
    folder = write_run(tmp_path / "run", [line()])
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)

    with pytest.raises(RunRecordError, match=said):
        read_recorded(folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tags": [1]}, "a tag is no text"),
        ({"task": "shapes"}, "run.json knows no such task"),
        ({"model": "stranger"}, "knows no model 'stranger'"),
        ({"repeat": "0"}, "damaged"),
        ({"timings": {"total_s": "1"}}, "damaged"),
        ({"timings": {"total_s": -1.0}}, "damaged: .*/sky of small:1b: it took no time that there is"),
        ({"timings": {"total_s": 1e30}}, "it took no time that there is"),
        ({"checks": [{**CHECK, "measures": [1]}]}, "damaged"),
    ],
)
def test_a_line_that_means_nothing_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    folder = write_run(tmp_path / "run", [line()])
    for name in ("results.jsonl", "replies.jsonl"):
        data = json.loads((folder / name).read_text())
        kept = changed if name == "results.jsonl" else {k: v for k, v in changed.items() if k in data}
        (folder / name).write_text(json.dumps({**data, **kept}) + "\n")

    with pytest.raises(RunRecordError, match=said):
        read_recorded(folder)


def test_a_line_that_stands_twice_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [line()])
    for name in ("results.jsonl", "replies.jsonl"):
        (folder / name).write_text((folder / name).read_text() * 2)

    with pytest.raises(RunRecordError, match="colours/sky of small:1b: it stands there twice"):
        read_recorded(folder)


@pytest.mark.parametrize("figure", [{"n": 0}, {"passes": 40}, {"passes": "NaN"}, {"model": "other"}])
def test_damaged_figures_of_a_table_are_refused(tmp_path: Path, figure: dict[str, Any]) -> None:
    folder = tmp_path / "table"
    shutil.copytree(DOCS / "examples" / "mortdecai", folder)
    summary = json.loads((folder / "summary.json").read_text())
    summary["scores"][0].update(figure)
    if "model" in figure:
        summary["models"][0].update(figure)
    (folder / "summary.json").write_text(json.dumps(summary).replace('"NaN"', "NaN"))

    with pytest.raises(RunRecordError, match="damaged"):
        read_recorded(folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"asked": "9"}, "asked: Input should be a valid integer"),
        ({"spared": "many"}, "spared: Input should be a valid integer"),
        ({"wall_s": "1e400"}, "wall_s: Input should be a finite number"),
        ({"unavailable": {"gone:1b": 5}}, "unavailable.gone:1b: Input should be a valid string"),
    ],
)
def test_facts_that_are_not_of_their_kind_are_refused(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    folder = write_run(tmp_path / "run", [line()])
    data = {**json.loads((folder / "run.json").read_text()), **changed}
    (folder / "run.json").write_text(json.dumps(data).replace('"1e400"', "1e400"))

    with pytest.raises(RunRecordError, match=said):
        read_recorded(folder)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400"])
@pytest.mark.parametrize("field", ["estimate", "low"])
def test_a_verdict_with_a_figure_that_is_no_number_is_refused(
    tmp_path: Path, field: str, number: str
) -> None:
    folder = write_run(tmp_path / "run", [line()])
    data = verdict("block").to_json()
    data["requirements"][0][field] = "here"
    (folder / "verdict.json").write_text(json.dumps(data).replace('"here"', number))

    with pytest.raises(RunRecordError, match=rf"verdict\.json is damaged: {number} is no number"):
        read_recorded(folder)
