"""`table`: how many tables, and their columns, rows and cells."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, CheckResult, NoExpect
from evals.checks.table import TableCheck

TWO = "| Name | Score |\n|------|------:|\n| a | 1 |\n| **b** | 2 |\n"
WIDE = "| Name | Score |\n|---|---|\n| a | 1 | x |\n| b |\n"

# name: (fields, text, outcome, value, a part of the reason)
JUDGED: dict[str, tuple[dict[str, Any], str, str, float, str]] = {
    "a table": ({}, TWO, "pass", 1, "1 table(s), 2 rows in all, as wanted"),
    "text around": ({}, f"Here:\n\n{TWO}\nDone.", "pass", 1, ""),
    "no table": ({}, "a | b\n", "fail", 0, "there is no table"),
    "tabs between": ({}, "Name\tScore\na\t1\n", "fail", 0, "there is no table"),
    "in code": ({}, f"```\n{TWO}```\n", "fail", 0, "there is no table"),
    "no delimiter row": ({}, "| a | b |\n| 1 | 2 |\n", "fail", 0, "there is no table"),
    "delimiter too narrow": ({}, "| a | b |\n|---|\n| 1 | 2 |\n", "fail", 0, "there is no table"),
    "as HTML": ({}, "<table><tr><td>a</td></tr></table>", "fail", 0, "there is no table"),
    "two tables": ({}, f"{TWO}\n{TWO}", "fail", 0.5, "2 tables, 1 wanted"),
    "two wanted": ({"tables": 2}, f"{TWO}\n{TWO}", "pass", 1, "2 table(s), 4 rows"),
    "two wanted, one there": ({"tables": 2}, TWO, "fail", 0.5, "1 tables, 2 wanted"),
    "one of two at fault": (
        {"tables": 2, "rows": 2},
        f"{TWO}\n| a |\n|---|\n| 1 |\n",
        "fail",
        0.75,
        "line 6",
    ),
    "columns": ({"columns": ["name", "(score|mark)"]}, TWO, "pass", 1, ""),
    "columns match whole": ({"columns": ["nam", "score"]}, TWO, "fail", 2 / 3, "column 1 is headed 'Name'"),
    "columns in order": ({"columns": ["score", "name"]}, TWO, "fail", 2 / 3, "column 1"),
    "a column less": ({"columns": ["name"]}, TWO, "fail", 2 / 3, "2 columns, 1 wanted"),
    "rows": ({"rows": 2}, TWO, "pass", 1, ""),
    "other rows": ({"rows": 3}, TWO, "fail", 0.5, "2 rows, exactly 3 wanted"),
    "enough rows": ({"at_least": 2, "at_most": 2}, TWO, "pass", 1, ""),
    "too few rows": ({"at_least": 3}, TWO, "fail", 0.5, "2 rows, at least 3 wanted"),
    "too many rows": ({"at_most": 1}, TWO, "fail", 0.5, "2 rows, at least 1 and at most 1 wanted"),
    "no row": ({}, "| a |\n|---|\n", "fail", 0.5, "0 rows, at least 1 wanted"),
    "no row is enough": ({"at_least": 0}, "| a |\n|---|\n", "pass", 1, ""),
    "a row too wide": ({"rows": 2}, WIDE, "fail", 0.5, "row 1 was written with 3 cells, the head has 2"),
    "a row too narrow": ({}, "| a | b |\n|---|---|\n| 1 |\n", "fail", 0.5, "row 1 was written with 1 cells"),
    "cells": ({"cells": {"score": r"\d"}}, TWO, "pass", 1, ""),
    "cells without marks": ({"cells": {"NAME": "[ab]"}}, TWO, "pass", 1, ""),
    "a cell that does not match": ({"cells": {"Score": "1"}}, TWO, "fail", 2 / 3, "row 2, 'Score': '2' does"),
    "cells keep their case": ({"cells": {"Name": "[AB]"}}, TWO, "fail", 2 / 3, "row 1, 'Name': 'a' does"),
    "no such column": ({"cells": {"Rank": r"\d"}}, TWO, "fail", 2 / 3, "there is no column 'Rank'"),
    "cells of two columns": ({"cells": {"Name": "a|b", "Score": "1"}}, TWO, "fail", 0.75, "'Score'"),
    "a title twice": ({"cells": {"a": "1"}}, "|a|a|\n|-|-|\n|1|2|\n", "fail", 2 / 3, "row 1, 'a': '2' does"),
    "cells of no row": ({"cells": {"a": "1"}}, "|a|\n|-|\n", "fail", 1 / 3, "0 rows"),
    "an escaped bar": ({"cells": {"a": r"x\|y"}}, "|a|\n|-|\n|x\\|y|\n", "pass", 1, ""),
    "first column": ({"first_column": ["A", "B"]}, TWO, "pass", 1, ""),
    "another first cell": (
        {"first_column": ["A", "C"]},
        TWO,
        "fail",
        2 / 3,
        "row 2 starts with 'b', wanted 'C'",
    ),
    "a first cell twice": (
        {"first_column": ["A", "A"]},
        TWO,
        "fail",
        2 / 3,
        "row 2 starts with 'b', wanted 'A'",
    ),
    "first column too short": ({"first_column": ["A", "B", "C"]}, TWO, "fail", 2 / 3, "ends before 'C'"),
    "first column too long": (
        {"first_column": ["A"]},
        TWO,
        "fail",
        2 / 3,
        "'b' in row 2 of the first column",
    ),
    "in each section": ({"each": "h2"}, f"## A\n{TWO}\n## B\n{TWO}", "pass", 1, "2 table(s)"),
    "not in one section": (
        {"each": "h2"},
        f"## A\n{TWO}\n## B\n",
        "fail",
        0.5,
        "'B' (line 7): there is no table",
    ),
    "beside the sections": ({"each": "h2"}, f"{TWO}\n## A\n", "fail", 0, "there is no table"),
    "without a section": ({"each": "h2"}, TWO, "fail", 0, "no h2 section to look at"),
    "in each note": ({"each": "note"}, f"---\na: 1\n---\n{TWO}", "pass", 1, ""),
    "lines are of the reply": (
        {"each": "h2", "rows": 1},
        f"text\n## A\n\n{TWO}",
        "fail",
        0.5,
        "table in line 4",
    ),
}

CAUSES: dict[str, str] = {
    "no table": "no table",
    "two tables": "number of tables",
    "columns in order": "columns",
    "other rows": "number of rows",
    "a row too narrow": "uneven row",
    "no such column": "cell",
    "another first cell": "first column",
    "without a section": "no h2",
}


def check(**fields: Any) -> TableCheck:
    return TableCheck.model_validate({"kind": "table", "capability": "format", **fields})


def judged(fields: dict[str, Any], text: str) -> CheckResult:
    return check(**fields).judge(NoExpect(), Answer(text))


@pytest.mark.parametrize(
    ("fields", "text", "outcome", "value", "says"),
    JUDGED.values(),
    ids=[name.replace(" ", "-") for name in JUDGED],
)
def test_a_reply_is_judged_by_its_tables(
    fields: dict[str, Any], text: str, outcome: str, value: float, says: str
) -> None:
    result = judged(fields, text)

    assert result.outcome.value == outcome
    assert result.value == pytest.approx(value)
    assert says in result.reason


@pytest.mark.parametrize(("name", "cause"), CAUSES.items())
def test_a_miss_has_a_cause_to_count_by(name: str, cause: str) -> None:
    assert judged(*JUDGED[name][:2]).cause == cause


def test_what_was_found_is_told_and_small() -> None:
    wide = "|" + f"{'a' * 100}|" * 30 + "\n|" + "-|" * 30 + "\n"

    result = judged({}, f"text\n\n{wide}\n" * 20)

    assert result.extracted["count"] == 20
    assert len(result.extracted["tables"]) == 10
    assert result.extracted["tables"][0]["line"] == 3
    assert result.extracted["tables"][0]["rows"] == 0
    assert result.extracted["tables"][0]["columns"] == ["a" * 39 + "…"] * 10


REFUSED = {
    "a bad column": ({"columns": ["("]}, r"bad pattern '\('"),
    "a bad cell": ({"cells": {"a": "["}}, r"bad pattern '\['"),
    "no columns": ({"columns": []}, "at least 1 item"),
    "no first column": ({"first_column": []}, "at least 1 item"),
    "no rows": ({"rows": 0}, "greater than or equal to 1"),
    "rows and bounds": ({"rows": 2, "at_least": 1}, "leave out at_least and at_most"),
    "bounds that cross": ({"at_least": 3, "at_most": 2}, "at_least is 3 but at_most is 2"),
    "cells of no row": ({"at_least": 0, "cells": {"a": "b"}}, "could hold for a table without a row"),
    "an empty title": ({"cells": {" ": "b"}}, "an empty text names no column"),
    "an empty first cell": ({"first_column": [""]}, "an empty text names no column and no row"),
    "first column and rows": ({"first_column": ["a"], "rows": 2}, "which is no allowed number of rows"),
    "each line": ({"each": "line"}, "no table stands in one line"),
    "no tables": ({"tables": 0}, "greater than or equal to 1"),
}


@pytest.mark.parametrize(
    ("fields", "says"), REFUSED.values(), ids=[name.replace(" ", "-") for name in REFUSED]
)
def test_a_configuration_that_means_nothing_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        check(**fields)


CELL = st.text(st.sampled_from("abc1"), min_size=1, max_size=3)
GRID = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=2, max_size=5)
)


def written(grid: list[list[str]]) -> str:
    rows = [grid[0], ["---"] * len(grid[0]), *grid[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


@given(GRID)
def test_a_table_as_demanded_passes(grid: list[list[str]]) -> None:
    fields = {
        "columns": grid[0],
        "rows": len(grid) - 1,
        "first_column": [row[0] for row in grid[1:]],
        "cells": dict.fromkeys(grid[0], "[abc1]+"),
    }

    assert judged(fields, written(grid)).outcome is CheckOutcome.PASS


@given(GRID, st.data())
def test_a_table_with_one_cell_less_fails(grid: list[list[str]], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(grid) - 1))
    short = [row[:-1] if number == place else row for number, row in enumerate(grid)]
    if short[place]:
        result = judged({"rows": len(grid) - 1}, written(short))
        assert (result.outcome, result.cause) == (CheckOutcome.FAIL, "uneven row")


def test_patterns_that_backtrack_are_an_error_of_the_grader() -> None:
    result = judged({"cells": {"a": "(a|aa)+$"}, "timeout_s": 0.05}, f"|a|\n|-|\n|{'a' * 5000}b|\n")

    assert (result.outcome, result.cause) == (CheckOutcome.ERROR, "pattern ran out of time")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("|a|\n|-|\n|b|\n" * 90_000, "too long"),
        ("\0|\0\n-|-\n\0|\0\n" * 2, "number of rows"),
        ("|\ud800|\n|-|\n", "number of rows"),
        ("|a" * 4_000 + "\n" + "|-" * 4_000 + "\n" + "|\n" * 4_000, "uneven row"),
    ],
    ids=["a megabyte", "NULs", "half a pair", "a wide table of empty rows"],
)
def test_hostile_text_fails_in_words(text: str, cause: str) -> None:
    result = judged({"rows": 1}, text)

    assert (result.outcome, result.cause) == (CheckOutcome.FAIL, cause)
