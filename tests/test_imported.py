"""Tables from elsewhere become records with counts and intervals, or sentences with file and line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.errors import RunRecordError, SettingsError
from evals.imported import import_table
from evals.results_table import read_table
from evals.runs import finished_runs, read_results, read_run, results_of_tasks
from evals.stats import wilson_interval

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def table(folder: Path, text: str) -> Path:
    """A CSV file with this text."""
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, cases: int | None = None) -> list[str]:
    """What is said about a table, without the file's folder."""
    with pytest.raises(SettingsError) as caught:
        read_table(table(folder, text), cases)
    return str(caught.value).replace(f"{folder}/", "").splitlines()[1:]


def test_the_published_rates_are_counts_of_31_cases() -> None:
    rows = {row.name: row for row in read_table(EXAMPLES / "mortdecai.csv", 31)}

    assert len(rows) == 7
    counts = {"command": 25, "exact": 6, "syntax": 24, "safety": 31, "no teleport": 31}
    assert rows["gemma3n:e4b"].passes == counts
    assert rows["qwen3:4b"].figures == {"latency_s": 5.7, "tokens": 400.0}


def test_an_imported_table_is_a_complete_record_with_intervals_that_holds_no_case(tmp_path: Path) -> None:
    folder = import_table(EXAMPLES / "mortdecai.csv", tmp_path / "reports", task="minecraft", cases=31)

    info = read_run(folder)
    summary = json.loads((folder / "summary.json").read_text())
    first = summary["scores"][0]
    assert (info.run, info.settings["summary_only"], len(info.models)) == (folder.name, True, 7)
    assert (first["model"], first["task"], first["capability"]) == ("gemma3n:e4b", "minecraft", "command")
    assert (first["passes"], first["n"]) == (25, 31)
    assert (first["low"], first["high"]) == pytest.approx(wilson_interval(25, 31))
    assert summary["models"][0]["completion_tokens"] == 98 * 31
    assert sorted(path.name for path in folder.iterdir()) == ["report.md", "run.json", "summary.json"]
    with pytest.raises(RunRecordError, match=r"results\.jsonl cannot be read"):
        read_results(folder)


def test_the_example_in_the_documentation_is_what_its_table_makes(tmp_path: Path) -> None:
    folder = import_table(EXAMPLES / "mortdecai.csv", tmp_path, name="mortdecai", task="minecraft", cases=31)

    made, kept = folder, EXAMPLES / "mortdecai"
    assert read_run(made).models == read_run(kept).models
    assert read_run(made).tasks == read_run(kept).tasks
    assert (made / "summary.json").read_text() == (kept / "summary.json").read_text()


def test_readers_of_single_cases_pass_over_imported_runs(tmp_path: Path) -> None:
    folder = import_table(EXAMPLES / "mortdecai.csv", tmp_path, task="minecraft_ops", cases=31)

    assert finished_runs(tmp_path) == [folder]
    assert results_of_tasks(folder, {"minecraft_ops": "a" * 64}) == []


def test_percent_stands_in_the_head_or_in_the_cell_and_fractions_need_none(tmp_path: Path) -> None:
    (row,) = read_table(table(tmp_path, "model,cases,one (%),two,three\nm,8,12.5,12.5%,0.125\n"))

    assert row.passes == {"one": 1, "two": 1, "three": 1}


def test_cells_of_figures_may_be_empty_and_a_table_may_have_its_own_numbers_of_cases(tmp_path: Path) -> None:
    text = (
        '\ufeffmodel, cases ,content,latency_s,size_gb\r\n\r\nsmall, 4 ,0.75,,0.1\r\n"big, new",,0.5,2,\r\n'
    )

    small, big = read_table(table(tmp_path, text), 2)

    assert (small.cases, small.passes, small.figures) == (4, {"content": 3}, {"size_gb": 0.1})
    assert (big.name, big.cases, big.passes, big.figures) == (
        "big, new",
        2,
        {"content": 1},
        {"latency_s": 2.0},
    )


def test_a_rate_that_no_count_of_cases_gives_is_told_with_its_neighbours(tmp_path: Path) -> None:
    assert problems(tmp_path, "model,cases,content %\nm,31,80.7\n") == [
        "table.csv:2: content: 80.7 is no count of 31 cases: 25 are 80.6% and 26 are 83.9% "
        "(the number of cases is another, or these are no rates of cases)"
    ]


def test_every_problem_of_a_table_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        "model,cases,content %,safety,tokens\n"
        "a,10,NaN,1.5,inf\n"
        "a,10,101,0.5,5\n"
        "b,0,50,0.5,\n"
        ",10,50,,-1\n"
        "c,10,50\n"
    )

    assert problems(tmp_path, text) == [
        "table.csv:2: content: 'NaN' is no number that is 0 or more (such as 80.6)",
        "table.csv:2: safety: 1.5 is more than all (write % behind it or in the column's name if it is in percent)",
        "table.csv:2: tokens: 'inf' is no number that is 0 or more (such as 80.6)",
        "table.csv:3: content: 101 is more than all",
        "table.csv:3: model: a stands in line 2 too (keep one)",
        "table.csv:4: cases: '0' is no number of cases",
        "table.csv:5: safety: is empty",
        "table.csv:5: tokens: '-1' is no number that is 0 or more (such as 80.6)",
        "table.csv:5: model: is empty",
        "table.csv:6: has 3 cells where the head has 5",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "table.csv:1: is empty"),
        ("model,cases,content\n", "table.csv:2: there is no row of figures"),
        ("name,cases,content\nm,1,1\n", "table.csv:1: there is no column 'model'"),
        ("model,cases,tokens\nm,1,1\n", "table.csv:1: there is no column of rates"),
        ("model,content\nm,1\n", "table.csv:1: nothing tells how many cases there were"),
        (
            "model,cases,content,content %\nm,1,1,100\n",
            "table.csv:1: content: there are two columns of this name",
        ),
        ("model,cases,content,\nm,1,1,\n", "table.csv:1: the column '' has no name that can be used"),
        ("model,cases,content\nm,,1\n", "table.csv:2: cases: is empty (write a number, or add --cases N)"),
        ('model,cases,content\n"m\n', "table.csv:2: is no CSV: unexpected end of data"),
        ("model,cases,content\nm\x1b[2J,1,1\n", "table.csv:2: model: 'm\\\\x1b[2J' is no name"),
        ('model,cases,content\n"a\nb",1,1\nc,1,2\n', "table.csv:4: content: 2 is more than all"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    assert any(line.startswith(said) for line in problems(tmp_path, text)), problems(tmp_path, text)


def test_files_that_are_no_text_or_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(SettingsError, match="is no text in UTF-8"):
        read_table(tmp_path / "sheet.csv")
    with pytest.raises(SettingsError, match=r"gone\.csv cannot be read: No such file"):
        read_table(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "../out"}, "--name '../out' names no run"),
        ({"task": "A task"}, "--task 'A task' names no task"),
        ({"cases": 0}, "--cases 0 is no number of cases"),
        ({"cases": 9007199254740995000}, "it takes 1 to 999,999,999"),
    ],
)
def test_names_that_would_leave_the_folder_are_refused(
    tmp_path: Path, options: dict[str, str | int], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        import_table(EXAMPLES / "mortdecai.csv", tmp_path, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_of_many_problems_the_first_ten_are_told_and_how_many_more_there_are(tmp_path: Path) -> None:
    told = problems(tmp_path, "model,cases,content\n" + "".join(f"m{number},10,x\n" for number in range(825)))

    assert len(told) == 11
    assert told[-1] == "… and 815 more"


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    import_table(EXAMPLES / "mortdecai.csv", tmp_path, name="old", cases=31)

    with pytest.raises(SettingsError, match=r"there is a run old in .* already"):
        import_table(EXAMPLES / "mortdecai.csv", tmp_path, name="old", cases=31)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(1, 4))
def test_any_count_survives_being_written_in_percent(
    tmp_path_factory: pytest.TempPathFactory, count: tuple[int, int], digits: int
) -> None:
    passes, n = count
    text = f"model,cases,content %\nm,{n},{100 * passes / n:.{digits}f}\n"

    (row,) = read_table(table(tmp_path_factory.mktemp("table"), text))

    # With so few digits two counts may look the same; then it is one that does.
    assert f"{100 * row.passes['content'] / n:.{digits}f}" == f"{100 * passes / n:.{digits}f}"


def evals(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "evals", *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


def test_the_command_imports_a_table_and_tells_the_folder(tmp_path: Path) -> None:
    path = str(EXAMPLES / "mortdecai.csv")

    done = evals("import", path, "--cases", "31", "--name", "bake-off", "--reports", "runs", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "imported 7 models of 31 cases: runs/bake-off"
    assert read_run(tmp_path / "runs" / "bake-off").tasks["mortdecai"]["cases"] == 31


def test_a_bad_table_ends_the_command_with_a_sentence_and_status_4(tmp_path: Path) -> None:
    table(tmp_path, "model,content\nm,2\n")

    done = evals("import", "table.csv", "--reports", "runs", cwd=tmp_path)

    assert done.returncode == 4
    assert done.stderr.splitlines()[0] == "ERROR: 2 problems in the table:"
    assert not (tmp_path / "runs").exists()
