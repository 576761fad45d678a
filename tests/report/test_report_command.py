"""`python -m evals report` as people run it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.golden_folder import write_golden
from tests.report.recorded_runs import line, the_task, write_run
from tests.test_imported import evals


def test_the_report_of_one_run_lies_in_its_folder_and_holds_its_replies(tmp_path: Path) -> None:
    golden = write_golden(tmp_path / "golden")
    folder = write_run(tmp_path / "runs" / "run", [line(text="blue </script> it is")], the_task(golden)[1])

    done = evals("report", "run", "--reports", "runs", cwd=tmp_path)

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "wrote runs/run/report.html\n")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert "The sky above us." in page
    assert "blue \\u003c/script\\u003e it is" in page


def test_the_report_of_several_runs_lies_beside_them_or_where_it_is_wanted(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_run(tmp_path / "runs" / name, [line(model=name)])

    beside = evals("report", "one", "runs/two", "--reports", "runs", cwd=tmp_path)
    wanted = evals("report", "one", "--reports", "runs", "--out", "here.html", cwd=tmp_path)

    assert (beside.stdout, wanted.stdout) == ("wrote runs/report.html\n", "wrote here.html\n")
    assert (tmp_path / "runs" / "report.html").is_file() and (tmp_path / "here.html").is_file()


def test_help_says_where_the_page_of_several_runs_lies(tmp_path: Path) -> None:
    done = evals("report", "--help", cwd=tmp_path, COLUMNS="200")

    assert "report.html, in the run's folder; of several runs, in the reports folder" in done.stdout


def test_open_starts_the_browser_with_the_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [line()])
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)

    done = evals("report", "run", "--open", cwd=tmp_path, BROWSER=str(browser))

    assert done.returncode == 0
    assert (tmp_path / "opened").read_text().strip() == (folder / "report.html").as_uri()


def test_without_a_browser_the_file_is_there_all_the_same(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [line()])

    done = evals(
        *("report", "run", "--open"),
        cwd=tmp_path,
        BROWSER="/bin/false",
        PATH="",
        DISPLAY="",
        WAYLAND_DISPLAY="",
    )

    assert (done.returncode, done.stderr) == (0, "no browser could be started; open the file yourself\n")
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nope",), "ERROR: there is no run 'nope', neither as a folder nor by that name in "),
        (("run", "--out", "no/such/file.html"), "ERROR: the report cannot be written to no/such/file.html: "),
        (("run", "--golden", "gone"), "ERROR: there is no golden folder gone; name one with --golden DIR"),
        (("broken",), "ERROR: the run in broken was not finished: "),
    ],
)
def test_a_report_that_cannot_be_made_is_a_sentence_and_status_4(
    tmp_path: Path, arguments: Sequence[str], said: str
) -> None:
    write_run(tmp_path / "run", [line()])
    (write_run(tmp_path / "broken", [line()]) / "run.json").unlink()

    done = evals("report", *arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(said)
