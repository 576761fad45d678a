"""The committed example is a whole record over all tasks, small, and free of the machine's paths."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.example import LIMIT, make_example
from evals.backends.base import Model, ModelReply, parse_spec
from evals.cases import load_golden
from evals.runs import RunWriter, read_replies, read_results, read_run
from tests.records import record, run_info

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "reports" / "example"


def test_the_example_is_a_whole_run_over_every_task() -> None:
    info, results = read_run(EXAMPLE), read_results(EXAMPLE)

    assert info.tasks.keys() == {task.name for task in load_golden(ROOT / "golden")}
    assert info.selected["checks"] == info.selected["of_checks"] == sum(len(one.checks) for one in results)
    assert {name: facts["cases"] for name, facts in info.tasks.items()} == Counter(
        one.task for one in results
    )
    assert read_replies(EXAMPLE, info.models[0].label).keys() == {one.response for one in results}


def test_no_reply_of_the_example_is_long_and_no_path_stands_in_it() -> None:
    info = read_run(EXAMPLE)
    replies = read_replies(EXAMPLE, info.models[0].label)

    assert max(len(reply.text) for reply in replies.values()) <= LIMIT + 1
    assert (info.settings["golden"], info.settings["reports"]) == ("golden", "reports")
    assert (
        "/root" not in (EXAMPLE / "run.json").read_text()
        and "/home" not in (EXAMPLE / "run.json").read_text()
    )
    assert sum(path.stat().st_size for path in EXAMPLE.iterdir()) < 5_000_000


@pytest.mark.parametrize(("length", "kept"), [(LIMIT, LIMIT), (LIMIT + 1, LIMIT + 1), (9 * LIMIT, LIMIT + 1)])
def test_making_an_example_shortens_long_replies_alone(length: int, kept: int, tmp_path: Path) -> None:
    writer = RunWriter.new(tmp_path, "run")
    writer.add(record(), ModelReply(text="x" * length))
    model = Model(parse_spec("small:1b"), "d" * 64, details={"files": ["/root/x.gguf"], "size_bytes": 9})
    info = run_info(settings={"golden": "/root/golden", "reports": "/root/reports"}, models=(model,))
    writer.finish(info, {}, "# report\n")

    make_example(writer.folder, tmp_path / "example")

    made = read_run(tmp_path / "example")
    (reply,) = read_replies(tmp_path / "example", "small:1b").values()
    assert len(reply.text) == kept
    assert (made.settings, made.models[0].details) == (
        {"golden": "golden", "reports": "reports"},
        {"size_bytes": 9},
    )
    assert json.loads((writer.folder / "run.json").read_text())["settings"]["golden"] == "/root/golden"
