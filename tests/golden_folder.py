"""A small golden task on disk, with lines exchanged as a test needs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

TASK = """\
task: colours
about: Names a colour.
source: tests
checks:
- {kind: keywords, capability: content}
gate: {floors: {content: 0.5}}
"""

CASES = """\
- id: sky
  input: The sky above us.
  expect: {keywords: [blue]}
  reference: It is blue.
"""


def edited(text: str, lines: Mapping[int, str]) -> str:
    """The text with lines (from 1) exchanged; a number past the end adds."""
    rows = text.splitlines()
    for number, line in lines.items():
        rows[number - 1 : number] = [line]
    return "\n".join(rows) + "\n"


def write_golden(
    golden: Path,
    task: str = TASK,
    cases: str = CASES,
    files: Mapping[str, str] | None = None,
    name: str = "colours",
) -> Path:
    """Write one task's folder below `golden` and return `golden`."""
    folder = golden / name
    folder.mkdir(parents=True)
    for file, text in {"task.yaml": task, "cases.yaml": cases, **(files or {})}.items():
        (folder / file).write_text(text, encoding="utf-8")
    return golden
