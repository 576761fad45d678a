"""A CSV table of results: a row a model, its rates as counts of its cases.

The first line names the columns: `model`, `cases` where the number differs, those of `FIGURES`, and each other one a
capability with its rates, as fractions, or in percent where a % stands in the name or behind the number. A rate must be
a count of the cases, to the digits that are written: only counts have intervals.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from evals.checks.answers import shorten
from evals.errors import Problem, SettingsError
from evals.report.tables import percent

FIGURES = ("latency_s", "tokens", "tokens_per_s", "size_gb")
SIZE_LIMIT = 10_000_000
NAME_LIMIT = 100
# As many digits as the column 'cases' takes.
MOST_CASES = 999_999_999
PROBLEMS_TOLD = 10
NEEDED = "a line with the names of the columns, then a line a model"
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """One row: how many of its `cases` pass each capability, and the figures that the table tells.

    Seconds and tokens are means a reply; `size_gb` is in gigabytes of 10⁹ bytes.
    """

    name: str
    cases: int
    passes: Mapping[str, int]
    figures: Mapping[str, float] = field(default_factory=dict)


def read_table(table: Path, cases: int | None = None) -> list[ImportedModel]:
    """The rows of a CSV file; raises `SettingsError` with every problem, each with file and line."""
    try:
        if table.stat().st_size > SIZE_LIMIT:
            raise SettingsError(f"{table} has more than {SIZE_LIMIT:,} bytes: is it a table of results?")
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{table} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{table} is no text in UTF-8; save it as CSV in UTF-8") from error
    reading = _Reading(table, cases)
    models = reading.models(text)
    if reading.problems:
        count = len(reading.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        told = [str(problem) for problem in reading.problems[:PROBLEMS_TOLD]]
        more = [f"… and {count - PROBLEMS_TOLD} more"] if count > PROBLEMS_TOLD else []
        raise SettingsError("\n".join([f"{head} in the table:", *told, *more]))
    return models


@dataclass(frozen=True, slots=True)
class _Column:
    """What a column holds: `model`, `cases`, one of `FIGURES`, or the rates of a capability, maybe in percent."""

    name: str
    percent: bool


class _Reading:
    """Reads one table, collecting problems."""

    def __init__(self, table: Path, cases: int | None) -> None:
        self.problems: list[Problem] = []
        self._table = table
        self._cases = cases

    def models(self, text: str) -> list[ImportedModel]:
        rows = self._rows(text)
        head = next(rows, None)
        if head is None:
            if not self.problems:
                self._say(1, "", "is empty", NEEDED)
            return []
        columns = self._columns(*head)
        found: list[ImportedModel] = []
        lines: dict[str, int] = {}
        count = 0
        for line, cells in rows:
            count += 1
            if len(cells) != len(columns):
                self._say(line, "", f"has {len(cells)} cells where the head has {len(columns)}")
                continue
            made = self._model(line, dict(zip(columns, cells, strict=True)))
            if not made.name:
                self._say(line, "model", "is empty")
            elif len(made.name) > NAME_LIMIT or not made.name.isprintable():
                self._say(line, "model", f"{shorten(made.name)!r} is no name", "100 characters that print")
            elif made.name in lines:
                self._say(line, "model", f"{made.name} stands in line {lines[made.name]} too", "keep one")
            lines.setdefault(made.name, line)
            found.append(made)
        if not count and not self.problems:
            self._say(head[0] + 1, "", "there is no row of figures", NEEDED)
        return found

    def _rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Rows that are not blank, each with the line that it starts in, and cells without spaces around them."""
        lines = csv.reader(io.StringIO(text), strict=True)
        while True:
            start = lines.line_num + 1
            try:
                row = next(lines, None)
            except csv.Error as error:
                self._say(start, "", f"is no CSV: {error}")
                return
            if row is None:
                return
            if any(cell.strip() for cell in row):
                yield start, [cell.strip() for cell in row]

    def _columns(self, line: int, head: Sequence[str]) -> list[_Column]:
        columns: list[_Column] = []
        for text in head:
            name = re.sub(r"\(\s*\)", "", text.replace("%", "")).strip()
            if not name or len(name) > NAME_LIMIT or not name.isprintable():
                self._say(line, "", f"the column {shorten(text)!r} has no name that can be used")
            elif name in [column.name for column in columns]:
                self._say(line, name, "there are two columns of this name")
            columns.append(_Column(shorten(name, NAME_LIMIT), "%" in text))
        names = [column.name for column in columns]
        if "model" not in names:
            self._say(line, "", "there is no column 'model'", "the first line names the columns")
        if not set(names) - {"model", "cases", *FIGURES}:
            self._say(line, "", "there is no column of rates", "one a capability, such as content")
        if "cases" not in names and self._cases is None:
            self._say(line, "", "nothing tells how many cases there were", "a column 'cases', or --cases N")
        return columns

    def _model(self, line: int, cells: Mapping[_Column, str]) -> ImportedModel:
        by_name = {column.name: text for column, text in cells.items()}
        cases = self._count(line, by_name["cases"]) if by_name.get("cases") else self._cases
        if cases is None and "cases" in by_name:
            self._say(line, "cases", "is empty", "write a number, or add --cases N")
        passes: dict[str, int] = {}
        figures: dict[str, float] = {}
        for column, text in cells.items():
            if column.name in FIGURES:
                if text and (number := self._number(line, column.name, text)) is not None:
                    figures[column.name] = float(number)
            elif column.name not in ("", "model", "cases"):
                passes[column.name] = self._passes(line, column, text, cases or 0)
        return ImportedModel(by_name.get("model", ""), cases or 0, passes, figures)

    def _count(self, line: int, text: str) -> int:
        if not re.fullmatch("[1-9][0-9]{0,8}", text):
            self._say(line, "cases", f"{shorten(text)!r} is no number of cases")
            return 0
        return int(text)

    def _number(self, line: int, column: str, text: str) -> Decimal | None:
        if not text:
            self._say(line, column, "is empty")
        elif _NUMBER.fullmatch(text):
            return Decimal(text)
        else:
            self._say(line, column, f"{shorten(text)!r} is no number that is 0 or more", "such as 80.6")
        return None

    def _passes(self, line: int, column: _Column, text: str, cases: int) -> int:
        """How many of the cases a rate stands for."""
        in_percent = column.percent or text.endswith("%")
        written = self._number(line, column.name, text.removesuffix("%").strip())
        if written is None:
            return 0
        whole = Decimal(100) if in_percent else Decimal(1)
        if written > whole:
            mend = "" if in_percent else "write % behind it or in the column's name if it is in percent"
            self._say(line, column.name, f"{text} is more than all", mend)
            return 0
        if not cases:  # told already
            return 0
        passes = int((written / whole * cases).to_integral_value(ROUND_HALF_UP))
        # Half a unit of the last written digit is what rounding may have taken or added.
        exponent = written.as_tuple().exponent
        assert isinstance(exponent, int)
        if abs(Decimal(passes) / cases * whole - written) > Decimal((0, (5,), exponent - 1)):
            below = int(written / whole * cases)
            near = " and ".join(f"{one} are {percent(one / cases)}" for one in (below, below + 1))
            what = f"{text} is no count of {cases} cases: {near}"
            self._say(
                line, column.name, what, "the number of cases is another, or these are no rates of cases"
            )
        return passes

    def _say(self, line: int, column: str, what: str, mend: str = "") -> None:
        self.problems.append(Problem(self._table, line, column, what, mend))
