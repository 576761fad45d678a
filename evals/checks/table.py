"""`table`: the tables of a Markdown reply, their columns, rows and cells."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from evals.checks.answers import plain, shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed
from evals.checks.markdown import Table, TooLong, read_markdown
from evals.checks.patterns import Budget, PatternTimeout, out_of_time, pattern_problem
from evals.checks.scopes import Each, Miss, parts_or_miss, verdict

SHOWN = 10
CELL = 40


class TableCheck(Check):
    """Tables as GitHub Flavored Markdown 0.29 defines them; cells are compared in plain text without marks.

    One table must stand in the reply, or in each of its parts (`each`), unless `tables` says how many. A row
    written with another number of cells than the head is a fault, though GFM would fill or cut it. Cells are
    compared after NFKC and with single spaces; heads and `first_column` ignore case, `cells` do not.

    value = demands that hold / all: for each table its form (rows as wide as the head) and whichever of
    columns, number of rows, first column and each entry of `cells` are asked for; those of a table that is
    missing do not hold, and each table too many adds as many that do not.

    Not covered: tables in raw HTML, alignment, and rows without a head.
    """

    kind: Literal["table"]
    columns: list[str] | None = Field(
        default=None, min_length=1, description="patterns for whole head cells, in order"
    )
    rows: int | None = Field(default=None, ge=1, description="exactly so many, without the head")
    at_least: int | None = Field(default=None, ge=0, description="rows; 1 if left out")
    at_most: int | None = Field(default=None, ge=1, description="rows")
    cells: dict[str, str] = Field(
        default={}, description="column title -> pattern for the whole of each of its cells"
    )
    first_column: list[str] | None = Field(
        default=None, min_length=1, description="its cells, in order, without the head"
    )
    each: Each = "whole"
    tables: int = Field(default=1, ge=1, description="how many tables the reply, or each part, holds")
    timeout_s: float = Field(default=2.0, gt=0, le=60, description="seconds for all patterns")

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        for pattern in [*(self.columns or []), *self.cells.values()]:
            if problem := pattern_problem(pattern):
                raise ValueError(f"bad pattern {pattern!r}: {problem}")
        if self.each == "line":
            raise ValueError("each is line: no table stands in one line")
        if self.rows is not None and (self.at_least is not None or self.at_most is not None):
            raise ValueError("rows says exactly how many; leave out at_least and at_most")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least is {self.at_least} but at_most is {self.at_most}")
        if self.at_least == 0 and self.cells:
            raise ValueError("at_least is 0: cells could hold for a table without a row")
        if any(not title.strip() for title in [*self.cells, *(self.first_column or [])]):
            raise ValueError("an empty text names no column and no row")
        if self.first_column is not None and not self._may_have(len(self.first_column)):
            raise ValueError(
                f"first_column has {len(self.first_column)} cells, which is no allowed number of rows"
            )
        return self

    def judge(self, expect: Strict, answer: Answer) -> CheckResult:
        parts = parts_or_miss(answer.text, self.each)
        if isinstance(parts, CheckResult):
            return parts
        budget = Budget(self.timeout_s)
        shown: list[dict[str, Any]] = []
        misses: list[Miss] = []
        held = asked = 0
        demands = 2 + sum(one is not None for one in (self.columns, self.first_column)) + len(self.cells)
        try:
            for part in parts:
                found = read_markdown(part.text).tables
                if len(found) != self.tables:
                    what = "there is no table" if not found else f"{len(found)} tables, {self.tables} wanted"
                    misses.append(("no table" if not found else "number of tables", f"{part.place}{what}"))
                asked += demands * max(len(found), self.tables)
                for number, table in enumerate(found):
                    faults = list(self._faults(table, budget))
                    line = part.line + table.line - 1
                    misses += [(cause, f"table in line {line}: {what}") for cause, what in faults]
                    held += (demands - len(faults)) * (number < self.tables)
                    head = [shorten(cell, CELL) for cell in table.head[:SHOWN]]
                    shown.append({"line": line, "columns": head, "rows": len(table.rows)})
        except TooLong as error:
            return failed("too long", str(error))
        except PatternTimeout as error:
            return out_of_time(error)
        extracted = {"tables": shown[:SHOWN], "count": len(shown)}
        rows = sum(one["rows"] for one in shown)
        return verdict(
            misses, extracted, held / asked, f"{len(shown)} table(s), {rows} rows in all, as wanted"
        )

    @property
    def _least(self) -> int:
        return 1 if self.at_least is None else self.at_least

    @property
    def _rows_wanted(self) -> str:
        if self.rows is not None:
            return f"exactly {self.rows}"
        return f"at least {self._least}" + ("" if self.at_most is None else f" and at most {self.at_most}")

    def _may_have(self, rows: int) -> bool:
        if self.rows is not None:
            return rows == self.rows
        return self._least <= rows and (self.at_most is None or rows <= self.at_most)

    def _faults(self, table: Table, budget: Budget) -> Iterator[Miss]:
        """At most one fault for each demand."""
        width = len(table.head)
        uneven = next((n for n, count in enumerate(table.counts) if count != width), None)
        if uneven is not None:
            what = f"row {uneven + 1} was written with {table.counts[uneven]} cells, the head has {width}"
            yield "uneven row", what
        if not self._may_have(len(table.rows)):
            yield "number of rows", f"{len(table.rows)} rows, {self._rows_wanted} wanted"
        head = [plain(cell) for cell in table.head]
        if self.columns is not None and (fault := self._columns_fault(head, self.columns, budget)):
            yield "columns", fault
        firsts = [plain(row[0]) for row in table.rows]
        if self.first_column is not None and (fault := _column_fault(firsts, self.first_column)):
            yield "first column", fault
        for title, pattern in self.cells.items():
            if fault := self._cells_fault(table, head, title, pattern, budget):
                yield "cell", fault

    def _columns_fault(self, head: list[str], columns: list[str], budget: Budget) -> str:
        if len(head) != len(columns):
            return f"{len(head)} columns, {len(columns)} wanted"
        for number, (cell, pattern) in enumerate(zip(head, columns, strict=True), 1):
            if not budget.full_match(f"(?i){pattern}", cell):
                return f"column {number} is headed '{shorten(cell, CELL)}', which does not match"
        return ""

    def _cells_fault(self, table: Table, head: list[str], title: str, pattern: str, budget: Budget) -> str:
        places = [n for n, cell in enumerate(head) if cell.casefold() == plain(title).casefold()]
        if not places:
            return f"there is no column {title!r}"
        if not table.rows:
            return f"the column {title!r} has no cells"
        for number, row in enumerate(table.rows, 1):
            for place in places:
                if not budget.full_match(pattern, plain(row[place])):
                    return f"row {number}, {title!r}: '{shorten(row[place], CELL)}' does not match"
        return ""


def _column_fault(got: list[str], wanted: list[str]) -> str:
    for number, (cell, want) in enumerate(zip_longest(got, wanted), 1):
        if cell is None:
            return f"the first column ends before {want!r}"
        if want is None:
            return f"'{shorten(cell, CELL)}' in row {number} of the first column is not wanted"
        if cell.casefold() != plain(want).casefold():
            return f"row {number} starts with '{shorten(cell, CELL)}', wanted {want!r}"
    return ""
