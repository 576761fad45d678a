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

_CORE = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}


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
    loader = CCoreLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(path, None, {}), [Problem(path, 1, "", "is empty")]
        walk = _Walk(path, loader)
        value = walk.build(node, ())
        return Document(path, value, walk.lines), walk.problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = " ".join(filter(None, [error.context, error.problem]))
        mend = "quote texts that hold ': ' or start with one of [{*&!|>%@`" if "mapping" in what else ""
        return Document(path, None, {}), [Problem(path, line, "", f"is not YAML: {what}", mend)]
    except yaml.YAMLError as error:
        return Document(path, None, {}), [Problem(path, 1, "", f"is not YAML: {error}")]
    except RecursionError:
        return Document(path, None, {}), [Problem(path, 1, "", "is nested too deeply")]
    finally:
        loader.dispose()


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
        if id(node) in self.seen:
            self.problem(node, location, "uses an alias (*name)", "write the value out; aliases are refused")
            return None
        self.seen.add(id(node))
        if node.tag not in _CORE:
            self.problem(
                node, location, f"has the tag {node.tag}", "only plain data is allowed; remove the tag"
            )
            return None
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*location, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        try:
            return self.loader.construct_object(node)
        except ValueError as error:
            self.problem(node, location, f"is no value: {error}", "quote it if a text is meant")
            return None

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, location, "has a key that is no text", "keys are plain words")
                continue
            # The text as written: `1: one` in an expectation is the key "1", as it would be in JSON.
            key = str(key_node.value)
            if key in made:
                first = self.lines[(*location, key)]
                self.problem(key_node, (*location, key), f"stands twice; first in line {first}", "remove one")
                continue
            made[key] = self.build(value_node, (*location, key))
            self.lines[(*location, key)] = key_node.start_mark.line + 1
        return made


def dotted(location: Location) -> str:
    """`("checks", 0, "kind")` as `checks[0].kind`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
