"""Two recorded runs compared: the candidate's own gate is judged by all that its run recorded, and no run counts twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from evals.backends.base import ModelReply
from evals.compared_runs import compare_runs
from evals.errors import RunMismatch, RunRecordError
from evals.gate import Selection
from evals.runs import RunWriter
from evals.snapshots import SNAPSHOTS_FILE, Compared
from tests.records import check, record, run_info

CASES = 40
# Two repeats that are equal in no text and in every verdict.
OTHER_WORDS = ("It is blue.", "Blue, surely.")
VERSUS = {"versus_baseline": {"non_inferior": {"content": 0.15}}}


def written(
    reports: Path,
    name: str,
    *,
    texts: Sequence[str] = ("It is blue.",),
    models: Sequence[str] = ("small:1b",),
    gate: Mapping[str, Any] = VERSUS,
    settings: Mapping[str, Any] | None = None,
    undercut: Sequence[str] = (),
    snapshots: Sequence[Compared] = (),
) -> str:
    """The name of a run whose models answer all cases right, one text a repeat."""
    folder = reports / name
    folder.mkdir(parents=True)
    writer = RunWriter(folder)
    for model in models:
        for repeat, text in enumerate(texts):
            for number in range(CASES):
                case = f"c{number:02}"
                response = f"{model}-{case}-{repeat}"
                writer.add(
                    record(check(), model=model, case=case, repeat=repeat, response=response),
                    ModelReply(text),
                )
    if snapshots:
        lines = "".join(json.dumps(one.to_json()) + "\n" for one in snapshots)
        (folder / SNAPSHOTS_FILE).write_text(lines)
    asked = len(models) * len(texts) * CASES
    info = run_info(
        *models,
        run=name,
        tasks={"colours": {"hash": "a" * 64, "options": {"temperature": 0.0}, "gate": gate}},
        settings={"snapshot_strict": False, **(settings or {})},
        asked=asked,
        selected=asdict(Selection(asked, asked, asked, asked)),
    )
    writer.finish(info, {"undercut": list(undercut)}, "")
    return name


def problems(reports: Path, candidate: str = "new") -> list[str]:
    """Why the candidate is blocked; nothing where it is promoted. What it has to show is shown."""
    found = compare_runs(candidate, ["base"], reports).verdict
    assert [one.status for one in found.requirements] == ["shown"]
    if found.verdict == "promote":
        return []
    assert found.verdict == "block"
    return list(found.reasons[:-1])


def test_a_floor_of_agreement_is_held_against_the_replies_that_were_recorded(tmp_path: Path) -> None:
    gate = {**VERSUS, "agreement": {"exact": 0.95, "verdict": 1.0}}
    written(tmp_path, "base", texts=("Blue.", "Blue."), gate=gate)
    written(tmp_path, "new", texts=OTHER_WORDS, gate=gate)
    written(tmp_path, "steady", texts=("Blue.", "Blue."), gate=gate)

    assert problems(tmp_path) == [
        f"small:1b: colours exact agreement of repeats 0.0% (0 of {CASES} cases wholly) is below the floor of 95%"
    ]
    assert problems(tmp_path, "steady") == []


def test_the_agreement_of_another_model_of_the_run_is_not_the_candidates(tmp_path: Path) -> None:
    gate = {**VERSUS, "agreement": {"normalised": 0.95}}
    written(tmp_path, "base", texts=("Blue.", "Blue."), gate=gate)
    folder = tmp_path / written(
        tmp_path, "new", texts=("Blue.", "Blue."), models=("small:1b", "big:7b"), gate=gate
    )
    lines = [json.loads(line) for line in (folder / "replies.jsonl").read_text().splitlines()]
    for line in lines:
        if line["model"] == "big:7b" and line["response"].endswith("1"):
            line["reply"]["text"] = "Red."
    (folder / "replies.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert problems(tmp_path, "new#small:1b") == []
    assert "colours normalised agreement of repeats 0.0%" in problems(tmp_path, "new#big:7b")[0]


def test_strict_snapshots_of_the_candidates_run_count(tmp_path: Path) -> None:
    written(tmp_path, "base")
    flipped = Compared("small:1b", "colours", "c00", "flipped")
    others = Compared("big:7b", "colours", "c00", "flipped")
    broken = Compared("small:1b", "colours", "c01", "uncompared", problem="it is no text")
    written(tmp_path, "new", snapshots=[flipped, others], settings={"snapshot_strict": True})
    written(tmp_path, "free", snapshots=[flipped, others])
    written(tmp_path, "broken", snapshots=[flipped, broken])

    assert problems(tmp_path) == ["1 of 1 answers flipped or are unrecorded, which --snapshot-strict forbids"]
    assert problems(tmp_path, "free") == []
    assert problems(tmp_path, "broken") == ["1 of 2 answers could not be compared with their snapshots"]


def test_a_bar_that_the_candidates_run_found_lowered_counts(tmp_path: Path) -> None:
    written(tmp_path, "base")
    told = "the floor of colours content was lowered from 60% to 30% since main"
    written(tmp_path, "new", undercut=[told])

    assert problems(tmp_path) == [told]


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("summary.json", None, "cannot be read"),
        ("summary.json", "{", "is damaged"),
        ("summary.json", '{"undercut": [1]}', "is damaged"),
        (SNAPSHOTS_FILE, "{}\n", r"snapshots\.jsonl:1: damaged line"),
        ("replies.jsonl", "", "lacks the reply of small:1b to colours/c00"),
    ],
)
def test_a_damaged_record_of_the_candidate_is_told(
    file: str, text: str | None, says: str, tmp_path: Path
) -> None:
    gate = {**VERSUS, "agreement": {"exact": 0.5}}
    written(tmp_path, "base", texts=("Blue.", "Blue."), gate=gate)
    folder = tmp_path / written(tmp_path, "new", texts=("Blue.", "Blue."), gate=gate)
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)

    with pytest.raises(RunRecordError, match=says):
        compare_runs("new", ["base"], tmp_path)
    assert not (folder / "verdict.json").exists()


def test_no_run_counts_twice(tmp_path: Path) -> None:
    for name in ("base", "again", "new"):
        written(tmp_path, name)

    assert compare_runs("new", ["base", "again"], tmp_path).verdict.baseline.runs == ("base", "again")
    with pytest.raises(RunMismatch, match="base is named 2 times: it is one repeat"):
        compare_runs("new", ["base", str(tmp_path / "base")], tmp_path)
    with pytest.raises(RunMismatch, match="the candidate's own run new is no repeat of its baseline"):
        compare_runs("new", ["base", "new"], tmp_path)


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    written(tmp_path, "new")

    with pytest.raises(RunMismatch, match="the run new would be compared with itself"):
        compare_runs("new", ["new"], tmp_path)
