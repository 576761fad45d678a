"""Run records: written as results arrive, complete only when `run.json` is there, read back as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.base import Model, ModelReply, parse_spec
from evals.cases import load_golden
from evals.checks.base import CheckOutcome, CheckResult
from evals.errors import RunRecordError, SettingsError
from evals.runs import (
    EXTRACTED_LIMIT,
    CaseRecord,
    RunWriter,
    check_record,
    read_replies,
    read_results,
    read_run,
    reply_figures,
    task_facts,
    write_whole,
)
from tests.golden_folder import write_golden
from tests.records import check, record, run_info

HOSTILE = "one\r\ntwo\u2028\x1b[2J\x00\ud800 世界 \u202e"


def written(tmp_path: Path, *records: CaseRecord) -> Path:
    writer = RunWriter.new(tmp_path / "reports", "small:1b")
    for one in records:
        writer.add(one, ModelReply(text="It is blue."))
    writer.finish(run_info(), {"scores": []}, "# Report\n")
    return writer.folder


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    model = Model(parse_spec("gguf:tiny"), "e" * 64, thinks=True, slots=4, details={"file": "tiny.gguf"})
    info = run_info(models=(model,), unavailable={"big:70b": "gone"})
    right = record(check(measures={"f1": 0.5}), tags=("easy", "es"))
    wrong = record(
        check("fail", extracted={"found": [HOSTILE]}, reason=HOSTILE),
        case="sea",
        outcome="refused",
        retries=("read timed out",),
        stop_reason="length",
    )
    reply = ModelReply(
        text=HOSTILE, thinking="Hm", prompt_tokens=3, decode_s=0.25, retries=("read timed out",)
    )
    writer = RunWriter.new(tmp_path, "gguf:tiny")
    writer.add(right, reply)
    writer.add(wrong, ModelReply(text=""))
    writer.finish(info, {"scores": []}, f"# {HOSTILE}\n")

    assert read_run(writer.folder) == info
    assert read_results(writer.folder) == [right, wrong]
    assert read_replies(writer.folder, "small:1b") == {
        right.response: reply,
        wrong.response: ModelReply(text=""),
    }
    assert read_replies(writer.folder, "another") == {}
    assert json.loads((writer.folder / "summary.json").read_text("utf-8")) == {"scores": []}
    assert (writer.folder / "report.md").read_text("utf-8").startswith("# one")


def test_a_reply_that_never_came_is_no_reply_of_the_record(tmp_path: Path) -> None:
    writer = RunWriter.new(tmp_path, "small:1b")
    writer.add(
        record(check("unscored"), outcome="infrastructure", fault="refused"), ModelReply(fault="refused")
    )
    writer.finish(run_info(), {}, "")

    assert len(read_results(writer.folder)) == 1
    assert read_replies(writer.folder, "small:1b") == {}


def test_results_can_be_read_by_others_while_the_run_goes_on(tmp_path: Path) -> None:
    writer = RunWriter.new(tmp_path, "small:1b")
    writer.add(record(), ModelReply(text="blue"))

    assert read_results(writer.folder) == [record()]
    with pytest.raises(RunRecordError, match=r"was not finished: it has no run\.json"):
        read_run(writer.folder)
    writer.close()


def test_run_json_comes_last(tmp_path: Path) -> None:
    writer = RunWriter.new(tmp_path, "small:1b")
    writer.add(record(), ModelReply(text="blue"))
    (writer.folder / "report.md").mkdir()

    with pytest.raises(IsADirectoryError):
        writer.finish(run_info(), {}, "# Report\n")

    assert (writer.folder / "summary.json").is_file()
    assert not (writer.folder / "run.json").exists()


def test_a_file_is_replaced_whole_and_leaves_no_scraps(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", "old, and longer than the new\n")
    write_whole(tmp_path / "a.json", "new\r\n\ud800")

    assert (tmp_path / "a.json").read_bytes() == b"new\r\n\\ud800"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


DAMAGED_LINES = {
    "torn": '{"model": "small:1b", "task": "col',
    "empty": "",
    "no object": "[]",
    "a word": "null",
    "fields missing": "{}",
    "a field too many": None,
    "a check without fields": None,
}


@pytest.mark.parametrize("name", DAMAGED_LINES, ids=[name.replace(" ", "-") for name in DAMAGED_LINES])
def test_a_damaged_line_is_named(name: str, tmp_path: Path) -> None:
    folder = written(tmp_path, record(case="a"), record(case="b"))
    path = folder / "results.jsonl"
    good = json.loads(path.read_text("ascii").splitlines()[0])
    made = {"a field too many": {**good, "colour": 1}, "a check without fields": {**good, "checks": [{}]}}
    line = DAMAGED_LINES[name]
    with path.open("a", encoding="ascii") as file:
        file.write((json.dumps(made[name]) if line is None else line) + "\n")

    with pytest.raises(RunRecordError, match=r"results\.jsonl:3: damaged line: "):
        read_results(folder)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_line_with_what_is_no_number_is_damaged(number: str, tmp_path: Path) -> None:
    folder = written(tmp_path, record(), record(case="sea"))
    lines = (folder / "results.jsonl").read_text("ascii").splitlines()
    lines[1] = lines[1].replace('"value": 1.0', f'"value": {number}')
    (folder / "results.jsonl").write_text("\n".join(lines), "ascii")

    with pytest.raises(RunRecordError, match=rf"results\.jsonl:2: damaged line: {number} is no number"):
        read_results(folder)


def test_a_damaged_reply_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path, record())
    with (folder / "replies.jsonl").open("a", encoding="ascii") as file:
        file.write('{"model": "small:1b", "response": "x"}\n')

    with pytest.raises(RunRecordError, match=r"replies\.jsonl:2: damaged line: 'reply'"):
        read_replies(folder, "small:1b")


def without(key: str) -> Callable[[dict[str, Any]], str]:
    return lambda data: json.dumps({name: value for name, value in data.items() if name != key})


DAMAGED_RUNS: dict[str, tuple[Callable[[dict[str, Any]], str], str]] = {
    "torn": (lambda data: json.dumps(data)[:-20], "is damaged"),
    "empty": (lambda data: "", "is damaged"),
    "a list": (lambda data: "[1]", "is damaged"),
    "a text": (lambda data: '"run"', "is damaged"),
    "no format": (without("format"), "is damaged: 'format'"),
    "no models": (without("models"), "is damaged: 'models'"),
    "no host": (without("host"), "is damaged"),
    "another version": (lambda data: json.dumps({**data, "format": 99}), "written by another version"),
}


@pytest.mark.parametrize(
    ("damage", "says"), DAMAGED_RUNS.values(), ids=[name.replace(" ", "-") for name in DAMAGED_RUNS]
)
def test_a_damaged_run_is_told(damage: Callable[[dict[str, Any]], str], says: str, tmp_path: Path) -> None:
    path = written(tmp_path, record()) / "run.json"
    path.write_text(damage(json.loads(path.read_text("utf-8"))), encoding="utf-8")

    with pytest.raises(RunRecordError, match=says):
        read_run(path.parent)


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunRecordError, match="there is no run in"):
        read_run(tmp_path)
    with pytest.raises(RunRecordError, match="cannot be read"):
        read_results(tmp_path)


def test_runs_of_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    writers = [RunWriter.new(tmp_path, "small:1b") for _ in range(5)]

    assert len({writer.folder for writer in writers}) == 5
    for writer in writers:
        writer.close()


@pytest.mark.parametrize(
    ("label", "end"),
    [("qwen3:4b", "-qwen3-4b"), ("../../etc", "-etc"), ("世界", "-run"), ("x" * 200, "-" + "x" * 40)],
    ids=["plain", "climbing", "another-script", "long"],
)
def test_the_folder_is_named_after_time_and_model(label: str, end: str, tmp_path: Path) -> None:
    writer = RunWriter.new(tmp_path / "deep" / "reports", label)
    writer.close()

    assert writer.folder.parent == tmp_path / "deep" / "reports"
    assert writer.folder.name.endswith(end)
    assert writer.folder.name[:15].replace("-", "").isdecimal()


@pytest.mark.parametrize("place", ["file", "file/reports"])
def test_reports_that_cannot_be_written_are_a_mistake_of_the_settings(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")

    with pytest.raises(
        SettingsError, match=r"no run can be written to .*; name another folder with --reports DIR"
    ):
        RunWriter.new(tmp_path / place, "small:1b")


def test_a_long_extract_is_shortened_and_still_json(tmp_path: Path) -> None:
    (task,) = load_golden(write_golden(tmp_path))
    case_check = task.cases[0].checks[0]
    found = {"found": ["x" * 10_000]}

    made = check_record(case_check, CheckResult(CheckOutcome.PASS, 1.0, found, "fine"))

    assert (made.kind, made.name, made.capability, made.outcome) == (
        "keywords",
        "keywords",
        "content",
        "pass",
    )
    assert made.extracted.startswith('{"found": ["xxx')
    assert len(json.dumps(made.extracted)) < EXTRACTED_LIMIT + 50
    short = check_record(case_check, CheckResult(CheckOutcome.PASS, 1.0, {"found": []}, "fine"))
    assert short.extracted == {"found": []}


def test_a_replys_figures_have_their_names() -> None:
    reply = ModelReply(
        load_s=1.0, prompt_s=2.0, decode_s=3.0, first_token_s=4.0, total_s=5.0, completion_tokens=6
    )

    assert reply_figures(reply) == (
        {"load_s": 1.0, "prompt_s": 2.0, "decode_s": 3.0, "first_token_s": 4.0, "total_s": 5.0},
        {"prompt": None, "completion": 6},
    )


def test_the_record_tells_of_its_tasks(tmp_path: Path) -> None:
    (task,) = load_golden(write_golden(tmp_path))

    facts = task_facts([task])["colours"]
    assert (facts["hash"], facts["cases"], facts["options"]["max_tokens"]) == (task.hash, 1, 512)
    assert facts["gate"]["floors"] == {"content": 0.5}
    assert json.loads(json.dumps(facts)) == facts


plain = st.none() | st.booleans() | st.integers() | st.text(st.characters())
extracts = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


@given(extracted=extracts, reason=st.text(st.characters()), value=st.floats(0, 1))
def test_any_record_survives_its_line(extracted: Any, reason: str, value: float) -> None:
    made = record(
        check("fail", extracted=extracted, reason=reason, value=value), fault=reason, tags=(reason,)
    )

    line = json.dumps(made.to_json())

    assert line.isascii() and "\n" not in line
    assert CaseRecord.from_json(json.loads(line)) == made
