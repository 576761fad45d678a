"""YAML 1.2 files that people write, read with the line of every field.

Plain data only: no tags of other types, no anchors and aliases (a few lines of them can stand for
gigabytes), no key twice. All problems of a file are collected, not only the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yamlcore import CCoreLoader

from evals.errors import Problem

Location = tuple[str | int, ...]

# Deeper than any task needs; far below what would overflow the stack of the C parser.
MAX_DEPTH = 100
_TOO_DEEP = "is nested too deeply"

_SCALAR_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
_TAGS = {
    yaml.ScalarNode: _SCALAR_TAGS,
    yaml.SequenceNode: {"tag:yaml.org,2002:seq"},
    yaml.MappingNode: {"tag:yaml.org,2002:map"},
}


@dataclass(frozen=True, slots=True)
class Document:
    """The data of one file and the line (from 1) at which each part of it starts."""

    path: Path
    value: Any
    lines: Mapping[Location, int]

    def line(self, location: Location) -> int:
        """The line of a part, or of the nearest part around it that is in the file."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def read_document(path: Path) -> tuple[Document, list[Problem]]:
    """Read one file. With problems, the document holds what could be read."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        return Document(path, None, {}), [Problem(path, 1, "", f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        return Document(path, None, {}), [Problem(path, line, "", "is not UTF-8", "save it as UTF-8")]
    return parse_document(path, text)


def parse_document(path: Path, text: str) -> tuple[Document, list[Problem]]:
    """Parse YAML text; `path` is only named in problems."""
    problems = _scan(path, text)
    if any(one.what == _TOO_DEEP for one in problems):
        return Document(path, None, {}), problems
    loader = CCoreLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(path, None, {}), [Problem(path, 1, "", "is empty")]
        walk = _Walk(path, loader)
        value = walk.build(node, ())
        found = sorted([*problems, *walk.problems], key=lambda one: one.line)
        return Document(path, value, walk.lines), found
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = " ".join(filter(None, [error.context, error.problem]))
        mend = "quote texts that hold ': ' or start with one of [{*&!|>%@`" if "mapping" in what else ""
        return Document(path, None, {}), [Problem(path, line, "", f"is not YAML: {what}", mend)]
    except yaml.reader.ReaderError as error:
        # `position` counts bytes of UTF-8.
        line = text.encode("utf-8")[: error.position].count(b"\n") + 1
        what = f"is not YAML: holds the character U+{error.character:04X}"
        return Document(path, None, {}), [
            Problem(path, line, "", what, 'write it as "\\u…" in double quotes')
        ]
    finally:
        loader.dispose()


def _scan(path: Path, text: str) -> list[Problem]:
    """What only events tell: the line of an alias, and nesting that would overflow the stack as nodes."""
    problems: list[Problem] = []
    depth = 0
    try:
        for event in yaml.parse(text, Loader=CCoreLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                mend = "write the value out; aliases are refused"
                problems.append(Problem(path, line, "", f"uses the alias *{event.anchor}", mend))
            elif isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    return [*problems, _too_deep(path, line)]
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError as error:
        # Newer versions of libyaml have a limit of their own, reached before the first event of a long row.
        mark = getattr(error, "problem_mark", None)
        if mark and "maximum nesting depth" in str(error):
            return [*problems, _too_deep(path, mark.line + 1)]
        return []  # told by whoever reads the nodes
    return problems


def _too_deep(path: Path, line: int) -> Problem:
    return Problem(path, line, "", _TOO_DEEP, f"at most {MAX_DEPTH} levels")


class _Walk:
    """Builds plain data out of YAML nodes, remembering lines and problems."""

    def __init__(self, path: Path, loader: CCoreLoader) -> None:
        self.path = path
        self.loader = loader
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        self.seen: set[int] = set()

    def problem(self, node: yaml.Node, location: Location, what: str, mend: str) -> None:
        field = dotted(location)
        self.problems.append(Problem(self.path, node.start_mark.line + 1, field, what, mend))

    def build(self, node: yaml.Node, location: Location) -> Any:
        self.lines[location] = node.start_mark.line + 1
        if not self._is_plain(node, location):
            return None
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*location, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        try:
            return self.loader.construct_object(node)
        except (ValueError, KeyError) as error:
            what = f"{shown(node.value)} is no {node.tag.rpartition(':')[2]}: {error}"
            self.problem(node, location, what, "quote it if a text is meant")
            return None

    def _is_plain(self, node: yaml.Node, location: Location) -> bool:
        """Whether a node is neither an alias nor tagged as something else than it is."""
        if id(node) in self.seen:
            return False  # `_scan` has told it, with the alias's own line
        self.seen.add(id(node))
        if node.tag not in _TAGS[type(node)]:
            mend = "only plain data is allowed; remove the tag"
            self.problem(node, location, f"has the tag {node.tag}", mend)
            return False
        return True

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, location, "has a key that is no text", "keys are plain words")
                continue
            # The text as written: `1: one` in an expectation is the key "1", as it would be in JSON.
            key = str(key_node.value)
            if not self._is_plain(key_node, (*location, key)):
                continue
            if key in made:
                first = self.lines[(*location, key)]
                self.problem(key_node, (*location, key), f"stands twice; first in line {first}", "remove one")
                continue
            made[key] = self.build(value_node, (*location, key))
            self.lines[(*location, key)] = key_node.start_mark.line + 1
        return made


def dotted(location: Location) -> str:
    """`("checks", 0, "kind")` as `checks[0].kind`; fit for a terminal, whatever the keys hold."""
    text = ""
    for part in location:
        name = part if isinstance(part, int) or part.isprintable() else shown(part)
        text += f"[{name}]" if isinstance(part, int) else f".{name}" if text else str(name)
    return text


def shown(value: str) -> str:
    """A text in quotes, escaped, cut after 40 characters."""
    return repr(value if len(value) <= 40 else value[:39] + "…")
