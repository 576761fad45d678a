"""`python -m evals …` as people run it: exit status 0 or 4, sentences, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from evals.__main__ import app
from evals.backends.base import ModelReply
from evals.cases import load_golden
from evals.runs import RunWriter
from tests.golden_folder import CASES, TASK, edited, write_golden
from tests.records import check, record, run_info

REAL = Path(__file__).parents[1] / "golden"


def evals(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "evals", *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


def test_lint_of_the_real_cases_finds_nothing(tmp_path: Path) -> None:
    done = evals("lint", "--golden", str(REAL), cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("16 tasks, ") and done.stdout.endswith(" cases, 0 problems\n")


def test_lint_tells_every_problem_in_order_of_file_and_line(tmp_path: Path) -> None:
    task = edited(TASK, {1: "task: shades", 7: "prompt: '{{ nope }}'"})
    write_golden(tmp_path / "golden", task, edited(CASES, {2: "  input: 12"}))

    done = evals("lint", cwd=tmp_path)

    assert done.returncode == 4
    assert done.stdout.splitlines() == [
        "golden/colours/cases.yaml:2: [0].input: is no text, got 12 (put it in quotes)",
        "golden/colours/task.yaml:1: task: is 'shades' in the folder 'colours' (make both the same)",
        "golden/colours/task.yaml:7: prompt: cannot be filled in: the name 'nope' is not allowed (its line 1); "
        "a prompt may hold text, {{ input }}, {% if %} with comparisons, and, without arguments, the filters trim, "
        "lower, upper, capitalize, title, tojson, length",
        "1 task, 0 cases, 3 problems",
    ]


def test_lint_says_how_many_cases_it_could_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOLDENGATE_RUN_CODE", raising=False)
    monkeypatch.setattr("evals.checks.sandbox.can_seal", lambda: False)

    done = CliRunner().invoke(app, ["lint", "code_python", "--golden", str(REAL)])

    count = len(load_golden(REAL, ["code_python"])[0].cases)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{count} cases have code that was not run")


def test_lint_looks_only_at_the_tasks_named(tmp_path: Path) -> None:
    golden = write_golden(tmp_path / "golden")
    write_golden(golden, "task: [", name="shades")

    assert evals("lint", "colours", cwd=tmp_path).returncode == 0
    assert evals("lint", "shades", cwd=tmp_path).returncode == 4


def test_health_tells_the_figures_of_every_task(tmp_path: Path) -> None:
    cases = (
        CASES
        + "- {id: ink, input: x, expect: {keywords: [blue]}, reference: blue, split: dev, tags: [hard]}\n"
    )
    write_golden(tmp_path / "golden", cases=cases)

    done = evals("health", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["colours", "2", "1", "1", "2/4/4", "2/3/3", "-", "-"]
    assert "  tags: hard 1" in lines
    assert "  recorded answers: 0, too few to tell checks that never fail or never pass" in lines
    assert lines[-1] == "No near duplicate stands in both splits."


def test_health_fails_on_a_near_duplicate_across_the_splits_and_only_there(tmp_path: Path) -> None:
    twin = "- {id: twin, input: the sky ABOVE us, expect: {keywords: [blue]}, reference: blue, split: %s}\n"
    golden = write_golden(tmp_path / "golden", cases=CASES + twin % "dev")

    across = evals("health", cwd=tmp_path)
    (golden / "colours" / "cases.yaml").write_text(CASES + twin % "gate")
    within = evals("health", cwd=tmp_path)

    assert across.returncode == 1
    assert "near duplicates (100%), one in dev, one in gate: sky ~ twin" in across.stdout
    assert across.stdout.endswith(
        "1 near duplicate stands in both splits: move one of each pair, or write it anew.\n"
    )
    assert within.returncode == 0
    assert "near duplicates (100%), in the same split: sky ~ twin" in within.stdout


def recorded(tmp_path: Path, name: str, hash_: str) -> Path:
    """A run of twenty answers to the small task, one check of which never fails."""
    writer = RunWriter.new(tmp_path / "reports", name)
    for number in range(20):
        writer.add(record(check(), check("fail", name="tone"), case=f"c{number}"), ModelReply(text="x"))
    writer.finish(run_info(tasks={"colours": {"hash": hash_}}), {}, "")
    return writer.folder


def test_health_looks_at_recorded_runs_of_the_same_task_alone(tmp_path: Path) -> None:
    (task,) = load_golden(write_golden(tmp_path / "golden"))
    recorded(tmp_path, "same", task.hash)
    other = recorded(tmp_path, "other", "0" * 64)

    found = evals("health", cwd=tmp_path).stdout
    of_other = evals("health", "--run", str(other), cwd=tmp_path).stdout

    assert "over 20 recorded answers of 1 model, never failed: keywords" in found
    assert "over 20 recorded answers of 1 model, never passed: tone" in found
    assert "recorded answers: 0, too few" in of_other


def test_health_leaves_out_a_damaged_run_that_nobody_named_and_says_so(tmp_path: Path) -> None:
    (task,) = load_golden(write_golden(tmp_path / "golden"))
    recorded(tmp_path, "same", task.hash)
    damaged = recorded(tmp_path, "damaged", task.hash) / "run.json"
    damaged.write_text("{}")

    everything = evals("health", cwd=tmp_path)
    named = evals("health", "--run", str(damaged.parent), cwd=tmp_path)

    assert everything.returncode == 0
    assert everything.stderr.startswith("left out: ") and "run.json is damaged" in everything.stderr
    assert "over 20 recorded answers of 1 model, never failed: keywords" in everything.stdout
    assert named.returncode == 4
    assert "run.json is damaged" in named.stderr


MISTAKES = {
    "health of a run that is not there": (
        ["health", "--golden", str(REAL), "--run", "nowhere"],
        "there is no run in nowhere",
    ),
    "no folder": (
        ["lint", "--golden", "nowhere"],
        "there is no golden folder nowhere; name one with --golden DIR",
    ),
    "an unknown task": (["lint", "nope", "--golden", str(REAL)], "there is no task 'nope' in"),
    "an unknown option": (["lint", "--colour"], "No such option"),
    "an unknown command": (["paint"], "No such command 'paint'"),
    "no command": ([], "Usage: python -m evals"),
    "no name": (["new"], "Missing argument"),
    "a bad name": (["new", "../escape"], "'../escape' is no name for a task"),
    "a golden folder that is a file": (
        ["new", "x", "--golden", "file"],
        "cannot be written: Not a directory",
    ),
    "an output folder that is a file": (["schema", "--out", "file"], "cannot be written: File exists"),
}


@pytest.mark.parametrize(
    ("arguments", "says"), MISTAKES.values(), ids=[name.replace(" ", "-") for name in MISTAKES]
)
def test_a_mistake_on_the_command_line_is_a_sentence_and_status_4(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")

    done = evals(*arguments, cwd=tmp_path)

    assert done.returncode == 4
    assert says in done.stderr + done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_policy_that_is_not_there_is_named_as_a_file_that_is_not(tmp_path: Path) -> None:
    done = evals("compare", "a", "b", "--policy", "missing.yaml", cwd=tmp_path)
    assert done.returncode == 4
    assert "'missing.yaml' does not exist" in " ".join(done.stderr.replace("│", " ").split())


def test_help_is_no_mistake(tmp_path: Path) -> None:
    done = evals("--help", cwd=tmp_path)

    assert done.returncode == 0
    assert all(command in done.stdout for command in ("lint", "schema", "new"))


def test_a_new_task_passes_lint_and_its_name_is_then_taken(tmp_path: Path) -> None:
    made = evals("new", "colours", cwd=tmp_path)
    lint = evals("lint", "colours", cwd=tmp_path)
    again = evals("new", "colours", cwd=tmp_path)

    assert (made.returncode, lint.returncode, again.returncode) == (0, 0, 4)
    assert made.stdout.startswith("wrote golden/colours; ")
    assert lint.stdout == "1 task, 2 cases, 0 problems\n"
    assert again.stderr == "ERROR: golden/colours is already there; choose another name\n"


def test_schemas_are_written_where_editors_look(tmp_path: Path) -> None:
    done = evals("schema", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    names = ("task", "cases", "policy", "verdict")
    assert done.stdout == "".join(f"wrote schemas/{name}.schema.json\n" for name in names)
    for path in (tmp_path / "schemas").iterdir():
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text("utf-8")))


def test_lint_finds_the_clones_cases_from_any_folder(tmp_path: Path) -> None:
    done = evals("lint", "minecraft_ops", cwd=tmp_path)

    assert done.returncode == 0
    assert "0 problems" in done.stdout
