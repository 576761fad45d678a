"""Markdown as the checks see it: headings, tables, fenced blocks and notes with front matter.

GitHub Flavored Markdown 0.29 as far as markdown-it-py reads it: CommonMark with tables and
strikethrough. Front matter (YAML between two lines `---`) is no part of either; it is taken out
first, since a parser without it reads its last line as a heading.

Not covered: raw HTML (`<h2>`, `<table>`) makes no heading and no table; autolinks without brackets
and task lists stay plain text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.token import Token

from evals.documents import parse_document

# Longer texts are not parsed: each character, and each line for each block around it, takes its time.
LIMIT = 200_000
MAX_LINES = 20_000

_NEW_LINE = re.compile(r"\r\n?|\n")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTAINER = re.compile(r"[ \t]*(?:(?:>|(?:[-*+]|[0-9]{1,9}[.)])(?=[ \t]|\Z))[ \t]*)*")
_MARKUP = re.compile(r"[\\`*_~\[\]!<&]")  # what makes inline text more than itself
_CELL_END = re.compile(r"(?<!\\)\|")


class TooLong(Exception):
    """A text has more characters than `LIMIT`, or more lines than `MAX_LINES`."""


@dataclass(frozen=True, slots=True)
class Heading:
    """`title` is plain text on one line; `line` counts from 1, `last` is the last line of it."""

    level: int
    title: str
    line: int
    last: int


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as plain text; every row has as many as `head`. `counts`: how many each row was written with."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    counts: tuple[int, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block; `closed` is False where the text, or what is around it, ended first."""

    info: str
    content: str
    closed: bool
    line: int


@dataclass(frozen=True, slots=True)
class Markdown:
    """What was found, in order. Headings are those of the outline: none within a list or a block quote."""

    headings: tuple[Heading, ...]
    tables: tuple[Table, ...]
    fences: tuple[Fence, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Front matter (the YAML, without its lines `---`) and the body up to the next note."""

    front: str
    body: str
    line: int


def lines_of(text: str) -> list[str]:
    """Lines as Markdown counts them; `str.splitlines` would also end them at a form feed."""
    return _NEW_LINE.split(text)


def notes(text: str) -> list[Note]:
    """The notes of a text. Lines that are exactly `---` open and close front matter in turn; an open one is none."""
    lines = lines_of(text)
    marks = [number for number, line in enumerate(lines) if line == "---"]
    pairs = list(zip(marks[::2], marks[1::2], strict=False))
    ends = [start for start, _ in pairs[1:]] + [len(lines)]
    return [
        Note("\n".join(lines[start + 1 : close]), "\n".join(lines[close + 1 : end]), start + 1)
        for (start, close), end in zip(pairs, ends, strict=False)
    ]


@functools.lru_cache(maxsize=32)
def read_front_matter(yaml: str) -> tuple[dict[str, Any], str]:
    """The mapping that the YAML of a note holds, and what is wrong with it, or ''."""
    if len(yaml) > LIMIT:
        raise TooLong(f"{len(yaml)} characters of front matter; at most {LIMIT} are read")
    if _SURROGATE.search(yaml):
        return {}, "holds half a surrogate pair, which is no character"
    document, problems = parse_document(Path("front matter"), yaml)
    if problems:
        first = problems[0]
        return {}, f"(line {first.line}) {first.field} {first.what}".replace("  ", " ")
    if not isinstance(document.value, dict):
        return {}, "is no list of `key: value`"
    return document.value, ""


# The checks of one reply share its reading; more would keep whole replies in memory.
@functools.lru_cache(maxsize=8)
def read_markdown(text: str) -> Markdown:
    """Read a text; raises `TooLong`."""
    if len(text) > LIMIT:
        raise TooLong(f"{len(text)} characters; at most {LIMIT} are read as Markdown")
    if (count := len(lines_of(text))) > MAX_LINES:
        raise TooLong(f"{count} lines; at most {MAX_LINES} are read as Markdown")
    lines = without_front_matter(_SURROGATE.sub("\ufffd", text))
    return _Reader(lines).read()


def body_lines(text: str) -> list[str]:
    """Lines without front matter, headings, and the marks of lists and quotes; raises `TooLong`."""
    headings = read_markdown(text).headings
    lines = without_front_matter(text)
    for heading in headings:
        lines[heading.line - 1 : heading.last] = [""] * (heading.last - heading.line + 1)
    return [_CONTAINER.sub("", line, count=1) for line in lines]


def without_front_matter(text: str) -> list[str]:
    """Lines with front matter left blank, where a text starts with it and it can be read; line numbers stay."""
    lines = lines_of(text)
    first = next((line for line in lines if line.strip()), "")
    if first != "---":
        return lines
    for note in notes(text):
        if not read_front_matter(note.front)[1]:
            end = note.line + 1 + len(lines_of(note.front))
            lines[note.line - 1 : end] = [""] * (end - note.line + 1)
    return lines


@functools.cache
def _parser() -> MarkdownIt:
    # Inline text is parsed only where it is looked at: in headings and cells.
    parser = MarkdownIt("commonmark").enable("strikethrough").disable("inline")
    # The library's own order would take a list item or a quote before a delimiter row as a table's head.
    parser.block.ruler.before("lheading", "gfm_table", _table_rule, {"alt": ["paragraph", "reference"]})
    return parser


def _table_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The library's table, but for a second line of dashes alone: that makes a heading of the first."""
    if start + 1 < end and not state.getLines(start + 1, start + 2, 0, False).strip(" \t-"):
        return False
    return table(state, start, end, silent)


class _Reader:
    """Block tokens of one text -> headings, tables and fences."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.parser = _parser()
        self.env: dict[str, Any] = {}

    def read(self) -> Markdown:
        # The last line ends too: what follows an unclosed fence is counted by its ends of lines.
        source = "\n".join(self.lines).removesuffix("\n") + "\n"
        tokens = self.parser.parse(source, self.env)
        headings: list[Heading] = []
        tables: list[Table] = []
        fences: list[Fence] = []
        quotes = 0
        for place, token in enumerate(tokens):
            start, end = token.map or (0, 0)
            if token.type == "heading_open" and token.level == 0:
                title = self._plain(tokens[place + 1])
                headings.append(Heading(int(token.tag[1:]), title, start + 1, end))
            elif token.type == "table_open":
                tables.append(self._table(tokens, place, quotes))
            elif token.type == "fence":
                closed = end - start == token.content.count("\n") + 2
                fences.append(Fence(token.info.strip(), token.content, closed, start + 1))
            elif token.type in ("blockquote_open", "blockquote_close"):
                quotes += token.nesting
        return Markdown(tuple(headings), tuple(tables), tuple(fences))

    def _table(self, tokens: Sequence[Token], place: int, quotes: int) -> Table:
        rows: list[list[str]] = []
        counts: list[int] = []
        start = (tokens[place].map or [0])[0]
        # No slice of the tokens: a text of many tables would copy the rest for each.
        while (token := tokens[(place := place + 1)]).type != "table_close":
            if token.type == "tr_open":
                rows.append([])
                counts.append(self._written_cells((token.map or [0])[0], quotes))
            elif token.type == "inline":
                rows[-1].append(self._plain(token))
        return Table(tuple(rows[0]), tuple(map(tuple, rows[1:])), tuple(counts[1:]), start + 1)

    def _written_cells(self, number: int, quotes: int) -> int:
        """How many cells a line of a table has; GFM fills and cuts rows to the head's width."""
        line = re.sub(rf"^(?:[ \t]*>){{{quotes}}}", "", self.lines[number])
        cells = _CELL_END.split(line.strip(" \t"))
        return len(cells) - (cells[0] == "") - (len(cells) > 1 and cells[-1] == "")

    def _plain(self, token: Token) -> str:
        if not _MARKUP.search(token.content):
            return " ".join(token.content.split())
        children: list[Token] = []
        self.parser.inline.parse(token.content, self.parser, self.env, children)
        return " ".join(_text_of(children).split())


def _text_of(tokens: Sequence[Token]) -> str:
    """Plain text of inline tokens: no emphasis marks, links by their words, images by their alternative text."""
    texts: list[str] = []
    for token in tokens:
        if token.type in ("softbreak", "hardbreak") or token.content[:3].casefold() == "<br":
            texts.append(" ")
        elif token.type == "image":
            texts.append(_text_of(token.children or []))
        elif token.type != "html_inline":
            texts.append(token.content)
    return "".join(texts)
