"""Markdown as a reader of GitHub sees it."""

from __future__ import annotations

from markdown_it import MarkdownIt


def tables(text: str, comment: str = "") -> list[list[list[str]]]:
    """The tables as cells of rendered text; a cell holds nothing but text, and that HTML comment where one is allowed."""
    found: list[list[list[str]]] = []
    inside = False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type in ("table_open", "table_close"):
            inside = token.type == "table_open"
            if inside:
                found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and inside:
            parts = token.children or []
            assert {part.type for part in parts} <= {"text", "text_special"} | (
                {"html_inline"} if comment else set()
            )
            assert {part.content for part in parts if part.type == "html_inline"} <= {comment}
            found[-1][-1].append("".join(part.content for part in parts if part.type != "html_inline"))
    return found
