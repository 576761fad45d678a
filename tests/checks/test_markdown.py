"""Markdown is read as GitHub reads it: the spec's examples, and cmark-gfm on made-up texts."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cmarkgfm
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.checks.markdown import (
    LIMIT,
    MAX_LINES,
    Fence,
    Note,
    TooLong,
    body_lines,
    lines_of,
    notes,
    read_front_matter,
    read_markdown,
)
from evals.documents import read_document

EXAMPLES: list[dict[str, Any]] = read_document(Path(__file__).parent / "data" / "gfm_spec.yaml")[0].value

Found = tuple[list[list[Any]], list[list[list[str]]]]


def found_in(markdown: str) -> Found:
    """Headings as [level, title], tables as rows with the head first."""
    read = read_markdown(markdown)
    headings = [[heading.level, heading.title] for heading in read.headings]
    return headings, [[list(table.head), *map(list, table.rows)] for table in read.tables]


class Html(HTMLParser):
    """What cmark-gfm's HTML holds."""

    def __init__(self) -> None:
        super().__init__()
        self.nested = 0
        self.text: str | None = None
        self.headings: list[list[Any]] = []
        self.tables: list[list[list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("blockquote", "li"):
            self.nested += 1
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td", *HEADS):
            self.text = ""
        elif tag == "br" and self.text is not None:
            self.text += " "
        elif tag == "img" and self.text is not None:
            self.text += dict(attrs)["alt"] or ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("blockquote", "li"):
            self.nested -= 1
        elif tag in ("th", "td"):
            self.tables[-1][-1].append(" ".join((self.text or "").split()))
            self.text = None
        elif tag in HEADS:
            if not self.nested:
                self.headings.append([int(tag[1]), " ".join((self.text or "").split())])
            self.text = None

    def handle_data(self, data: str) -> None:
        if self.text is not None:
            self.text += data


HEADS = ("h1", "h2", "h3", "h4", "h5", "h6")


def cmark(markdown: str) -> Found:
    html = Html()
    html.feed(cmarkgfm.github_flavored_markdown_to_html(markdown))
    return html.headings, html.tables


@pytest.mark.parametrize("example", EXAMPLES, ids=[one["name"].replace(" ", "-") for one in EXAMPLES])
def test_an_example_of_the_spec_is_read_as_it_says(example: dict[str, Any]) -> None:
    wanted = (example["headings"], example["tables"])

    assert cmark(example["markdown"]) == wanted
    assert found_in(example["markdown"]) == wanted


# Kept out is what the two are known to read otherwise: `~` alone (struck out by GitHub, though not by the spec),
# `~~` in the middle of other marks, and heads of one column without a bar.
PIECES = ["a", "b c", " ", "é", "5", "*", "**", "_", "`", "``", "\\", "\\*", "\\|", "[x](y)", "![x *y*](z)"]
PIECES += ["&amp;", "&#35;", "<b>", "</b>", "!", "#", "-", "=", "+", ":", "<ab:c>"]
INLINE = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
CELLS = st.lists(INLINE.map(lambda text: text.strip() or "x"), min_size=1, max_size=4)


def bars(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table(head: list[str], rule: str, other: int, rows: list[list[str]]) -> str:
    """A table; where the delimiter row has `other` cells more, none, and then a blank line: what else cmark-gfm makes
    of such a paragraph is its own."""
    lines = [head, [rule] * (len(head) + other), *([] if other else rows)]
    return "\n".join(map(bars, lines)) + "\n" * bool(other)


TABLE = st.builds(
    table,
    CELLS,
    st.sampled_from(["---", ":--", "--:", ":-:", "-"]),
    st.sampled_from([0, 0, 0, 1]),
    st.lists(CELLS, max_size=3),
)
ATX = st.builds(
    lambda indent, marks, gap, text, end: " " * indent + "#" * marks + gap + text + end,
    st.integers(0, 4),
    st.integers(1, 7),
    st.sampled_from([" ", "  ", "\t", ""]),
    INLINE,
    st.sampled_from(["", " #", " ###", "#", " # "]),
)
SETEXT = st.builds(
    lambda text, more, indent, mark: f"a{text}\n{more}{' ' * indent}{mark}",
    INLINE,
    st.sampled_from(["", "b\n"]),
    st.integers(0, 4),
    st.sampled_from(["=", "===", "---", "--- ", "= ="]),
)
FENCE = st.builds(
    lambda mark, text, end: f"{mark}py\n{text}\n{end}",
    st.sampled_from(["```", "~~~", "````"]),
    st.one_of(ATX, TABLE),
    st.sampled_from(["```", "~~~", "````", "", "``` x"]),
)
BLOCK = st.one_of(ATX, SETEXT, TABLE, FENCE, INLINE.map("a".__add__))


def prefixed(block: str, prefix: str) -> str:
    rest = prefix if prefix == "> " else " " * len(prefix)
    return "\n".join((rest if number else prefix) + line for number, line in enumerate(block.split("\n")))


NESTED = st.builds(prefixed, BLOCK, st.sampled_from(["> ", "- ", "1. ", "    "]))
TEXT = st.lists(
    st.tuples(st.one_of(BLOCK, NESTED), st.sampled_from(["\n", "\n\n", "\n\n"])), min_size=1, max_size=5
).map(lambda blocks: "".join(block + gap for block, gap in blocks))


@given(TEXT)
def test_made_up_markdown_is_read_as_cmark_gfm_reads_it(markdown: str) -> None:
    assert found_in(markdown) == cmark(markdown)


@pytest.mark.parametrize(
    "markdown",
    [
        "- a | b\n--|--\n",
        "> a | b\n--|--\n",
        "1. a | b\n--|--\n",
        "| a |\n---\n",
        "| a |\n| b |\n   -----\n",
        "> | a |\n> ---\n",
        "a|b\n-|-\n-\n",
        "text\n| a | b |\n|---|---|\n",
        "# ~~a~~ b\n",
    ],
)
def test_what_comes_first_is_as_in_cmark_gfm(markdown: str) -> None:
    assert found_in(markdown) == cmark(markdown)


FENCES = {
    "closed": ("```py\nx = 1\n```\n", [Fence("py", "x = 1\n", True, 1)]),
    "closed at the end": ("text\n\n~~~\nx\n~~~", [Fence("", "x\n", True, 3)]),
    "open": ("```py\nx = 1\n", [Fence("py", "x = 1\n", False, 1)]),
    "open without an end of line": ("```py\nx = 1", [Fence("py", "x = 1\n", False, 1)]),
    "open and empty": ("```", [Fence("", "", False, 1)]),
    "closed and empty": ("```\n```", [Fence("", "", True, 1)]),
    "open with a blank line": ("```\n\n", [Fence("", "\n", False, 1)]),
    "closed by a longer one": ("```\n``\n`````\n", [Fence("", "``\n", True, 1)]),
    "not closed by a shorter one": ("````\n```\n", [Fence("", "```\n", False, 1)]),
    "not closed by the other mark": ("```\n~~~\n", [Fence("", "~~~\n", False, 1)]),
    "not closed with an info text": ("```\n``` x\n", [Fence("", "``` x\n", False, 1)]),
    "in a list": ("- a\n\n  ```\n  x\n  ```\n", [Fence("", "x\n", True, 3)]),
    "ended by its list": ("- ```\n  x\n\ny\n", [Fence("", "x\n\n", False, 1)]),
    "in a quote": ("> ```\n> x\n> ```\n", [Fence("", "x\n", True, 1)]),
    "ended by its quote": ("> ```\n> x\n\ny\n", [Fence("", "x\n", False, 1)]),
}


@pytest.mark.parametrize(
    ("markdown", "wanted"), FENCES.values(), ids=[name.replace(" ", "-") for name in FENCES]
)
def test_a_fence_is_closed_or_not(markdown: str, wanted: list[Fence]) -> None:
    assert list(read_markdown(markdown).fences) == wanted


ROWS = {
    "as wide as the head": ("| 1 | 2 |", 2),
    "too few": ("| 1 |", 1),
    "too many": ("| 1 | 2 | 3 |", 3),
    "no outer bars": ("1 | 2", 2),
    "no bar at all": ("1", 1),
    "an escaped bar": (r"| 1 \| 1 | 2 |", 2),
    "a bar in code": ("| `1 | 1` | 2 |", 3),
    "an empty cell": ("| 1 | |", 2),
    "two empty cells": ("| | |", 2),
    "spaces around": ("   | 1 | 2 |  ", 2),
    "an open end": ("| 1 | 2", 2),
}


@pytest.mark.parametrize(("row", "cells"), ROWS.values(), ids=[name.replace(" ", "-") for name in ROWS])
@pytest.mark.parametrize("prefix", ["", "> ", "> > ", "- > "])
def test_cells_of_a_row_are_counted_as_written(row: str, cells: int, prefix: str) -> None:
    rest = prefix.replace("-", " ")
    markdown = f"{prefix}| a | b |\n{rest}|---|---|\n{rest}{row}\n"

    (table,) = read_markdown(markdown).tables

    assert table.counts == (cells,)
    assert len(table.rows[0]) == 2


NOTES: dict[str, tuple[str, list[Note]]] = {
    "none": ("text\n", []),
    "one": ("---\na: 1\n---\nbody\n", [Note("a: 1", "body\n", 1)]),
    "two": ("---\na: 1\n---\none\n---\na: 2\n---\ntwo", [Note("a: 1", "one", 1), Note("a: 2", "two", 5)]),
    "not closed": ("---\na: 1\n", []),
    "the second not closed": ("---\na: 1\n---\none\n---\na: 2\n", [Note("a: 1", "one\n---\na: 2\n", 1)]),
    "empty": ("---\n---\n", [Note("", "", 1)]),
    "after text": ("hello\n---\na: 1\n---\nx", [Note("a: 1", "x", 2)]),
    "not exactly the mark": ("--- \na: 1\n----\n", []),
    "carriage returns": ("---\r\na: 1\r\n---\rx", [Note("a: 1", "x", 1)]),
    "other separators are text": ("---\na: 1\u2028---\n---\nx\x0cy", [Note("a: 1\u2028---", "x\x0cy", 1)]),
}


@pytest.mark.parametrize(("text", "wanted"), NOTES.values(), ids=[name.replace(" ", "-") for name in NOTES])
def test_notes_are_split_at_their_marks(text: str, wanted: list[Note]) -> None:
    assert notes(text) == wanted


@given(st.lists(st.sampled_from(["---", "a: 1", "", "text", "# one", "--", " ---"]), max_size=12))
def test_marks_open_and_close_in_turn(lines: list[str]) -> None:
    found = notes("\n".join(lines))

    assert len(found) == lines.count("---") // 2
    assert all(lines[note.line - 1] == "---" for note in found)
    assert all("---" not in note.front.split("\n") for note in found)


FRONT_MATTER = {
    "plain": ("title: A\nn: 5", {"title": "A", "n": 5}, ""),
    "yes is a text": ("a: yes\nb: true\nc: 2026-03-01", {"a": "yes", "b": True, "c": "2026-03-01"}, ""),
    "a list": ("- a", {}, "is no list of `key: value`"),
    "a text": ("Foo", {}, "is no list of `key: value`"),
    "nothing": ("", {}, "is empty"),
    "broken": ("a: [1", {}, "is not YAML"),
    "a colon in a value": ("a: b: c", {}, "(line 1) is not YAML"),
    "a key twice": ("a: 1\na: 2", {}, "(line 2) a stands twice"),
    "an alias": ("a: &x 1\nb: *x", {}, "uses the alias *x"),
    "a tag": ("a: !!python/object:os.system x", {}, "has the tag"),
    "a NUL": ("a: \0", {}, "holds the character U+0000"),
    "half a pair": ("a: \ud800", {}, "half a surrogate pair"),
    "too deep": ("a: " + "[" * 200 + "]" * 200, {}, "is nested too deeply"),
    "a bomb of digits": ("a: " + "9" * 5000, {}, "is no int"),
}


@pytest.mark.parametrize(
    ("yaml", "values", "problem"),
    FRONT_MATTER.values(),
    ids=[name.replace(" ", "-") for name in FRONT_MATTER],
)
def test_front_matter_is_plain_data(yaml: str, values: dict[str, Any], problem: str) -> None:
    read, said = read_front_matter(yaml)

    assert read == values
    assert problem in said
    assert bool(said) == bool(problem)


def test_front_matter_makes_no_heading() -> None:
    text = "\n---\ntitle: A\n---\n# One\n---\ntitle: B\n---\n## Two\n"

    assert [(one.title, one.line) for one in read_markdown(text).headings] == [("One", 5), ("Two", 9)]


def test_what_is_no_front_matter_stays_markdown() -> None:
    assert found_in("---\nNo mapping\n---\n")[0] == [[2, "No mapping"]]
    assert found_in("text\n\n---\na: 1\n---\n")[0] == [[2, "a: 1"]]


def test_a_body_has_no_headings_and_no_marks() -> None:
    text = (
        "---\na: 1\n---\n# One\n\nTwo\nlines\n---\n> - quoted\n1. item\n* * x\n- \n-5 is no item\n#5 is none"
    )

    assert [line for line in body_lines(text) if line] == [
        "quoted",
        "item",
        "x",
        "-5 is no item",
        "#5 is none",
    ]


HOSTILE: dict[str, str] = {
    "NULs": "\0" * 1000 + "\n# a\0b\n",
    "half pairs": "# \ud800\n| \udfff |\n|---|\n| \ud800 |\n",
    "control characters": "# a\x1b[31m\x85\u2028b\n",
    "brackets": "# " + "[" * 20_000,
    "pictures": "# " + "![" * 10_000,
    "emphasis": "# " + "*a_ " * 5_000,
    "back ticks": "# " + " ".join("`" * n for n in range(1, 300)),
    "links in links": "# " + "[[a]" * 5_000,
    "quotes in quotes": ">" * 20_000 + " a",
    "lists in lists": "- " * 10_000 + "a",
    "definitions": "[a]: b\n" * 5_000,
    "an open title": "[a]: b '" + "c\n" * 19_000,
    "comments that stay open": "<!-- a\n\n" * 5_000,
    "many tables": "a|b\n-|-\n\n" * 4_000,
    "a wide table": "|a" * 4_000 + "\n" + "|-" * 4_000 + "\n" + "|\n" * 4_000,
    "a long lazy quote": "> " * 20 + "a\n" + "b\n" * 10_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=[name.replace(" ", "-") for name in HOSTILE])
def test_hostile_markdown_is_read_to_its_end(text: str) -> None:
    read = read_markdown(text)

    for table in read.tables:
        assert {len(row) for row in table.rows} <= {len(table.head)}
    assert all(1 <= heading.line <= heading.last <= len(lines_of(text)) for heading in read.headings)


def test_a_text_that_is_too_long_is_not_parsed() -> None:
    assert read_markdown("#" * LIMIT).headings == ()
    with pytest.raises(TooLong, match="200001 characters; at most 200000 are read"):
        read_markdown("a" * (LIMIT + 1))
    assert read_markdown("\n" * (MAX_LINES - 1)).headings == ()
    with pytest.raises(TooLong, match="20001 lines; at most 20000 are read"):
        read_markdown("\n" * MAX_LINES)
    with pytest.raises(TooLong):
        body_lines("a" * (LIMIT + 1))
    with pytest.raises(TooLong):
        read_front_matter("a" * (LIMIT + 1))
