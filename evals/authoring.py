"""Help for those who write cases: JSON Schemas, for their editor and for readers of verdicts, and a small task."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from evals.cases import ID_PATTERN, CaseEntry, TaskFile
from evals.checks import CHECKS
from evals.errors import SettingsError
from evals.policy import PolicyFile
from evals.verdict import verdict_schema

_DRAFT = "https://json-schema.org/draft/2020-12/schema"

_TASK = """\
# yaml-language-server: $schema=../../schemas/task.schema.json
task: {name}
about: Names the colour that a sentence mentions.
source: written for this project
system: |
  Answer with one JSON object and nothing else: the colour that the sentence is about.
  Example: {{"colour": "red"}}
options: {{max_tokens: 32}}
prompt: "{{{{ input }}}}"
checks:
  - kind: json_schema
    capability: format
    schema:
      type: object
      required: [colour]
      additionalProperties: false
      properties: {{colour: {{type: string}}}}
  - {{kind: json_fields, capability: content}}
gate:
  floors: {{format: 0.95, content: 0.80}}
"""

_CASES = """\
# yaml-language-server: $schema=../../schemas/cases.schema.json
- id: sky
  input: On a clear day the sky is a deep blue.
  expect: {fields: {colour: blue}}
  reference: '{"colour": "blue"}'
  wrong: ['{"colour": "clear"}']
  split: dev
  tags: [easy]

- id: not-the-car
  input: My car is red, but I asked about the grass, and it was green when we left.
  expect: {fields: {colour: green}}
  reference: '{"colour": "green"}'
  wrong: ['{"colour": "red"}']
  tags: [hard]
"""


def task_schema() -> dict[str, Any]:
    """JSON Schema of `task.yaml`, each kind of check with its own fields."""
    schema = TypeAdapter(TaskFile).json_schema()
    schema["properties"]["checks"]["items"] = _check_schema(schema)
    return {"$schema": _DRAFT, **_with_named_files(schema), "title": "Golden Gate task"}


def cases_schema() -> dict[str, Any]:
    """JSON Schema of `cases.yaml`; `expect` takes the fields of every kind of check."""
    entry = TypeAdapter(CaseEntry).json_schema()
    entry["properties"]["checks"]["items"] = _check_schema(entry)
    expect: dict[str, Any] = {}
    for check in CHECKS.values():
        part = check.Expect.model_json_schema()
        entry.setdefault("$defs", {}).update(part.get("$defs", {}))
        expect.update(part.get("properties", {}))
    entry["properties"]["expect"] = {"type": "object", "additionalProperties": False, "properties": expect}
    definitions = entry.pop("$defs", {})
    listed = {"title": "Golden Gate cases", "type": "array", "minItems": 1, "items": entry}
    return {"$schema": _DRAFT, **listed, "$defs": definitions}


def policy_schema() -> dict[str, Any]:
    """JSON Schema of a policy file."""
    return {"$schema": _DRAFT, **PolicyFile.model_json_schema(), "title": "Golden Gate policy"}


def _check_schema(parent: dict[str, Any]) -> dict[str, Any]:
    kinds = []
    for check in CHECKS.values():
        part = check.model_json_schema(by_alias=True)
        parent.setdefault("$defs", {}).update(part.pop("$defs", {}))
        if "schema" in part["properties"]:
            part["properties"]["schema"] = {"type": ["object", "string"]}
        kinds.append(part)
    return {"oneOf": kinds}


def _with_named_files(schema: dict[str, Any]) -> dict[str, Any]:
    """`options.format` may name a file, which the loader reads before the model sees it."""
    options = schema["$defs"]["Options"]["properties"]
    options["format"] = {
        "type": ["string", "object", "null"],
        "description": options["format"]["description"],
    }
    return schema


def write_schemas(folder: Path) -> list[Path]:
    """Write the schemas of what is read and of what a comparison writes; returns their paths.

    Raises `SettingsError` if they cannot be written.
    """
    made = {
        "task": task_schema(),
        "cases": cases_schema(),
        "policy": policy_schema(),
        "verdict": verdict_schema(),
    }
    files = {f"{name}.schema.json": json.dumps(schema, indent=2) + "\n" for name, schema in made.items()}
    return _write(folder, files)


def write_task(golden: Path, name: str) -> Path:
    """Write a small task that passes lint.

    Raises `SettingsError` if the name is bad or taken, or the folder cannot be written.
    """
    if not re.fullmatch(ID_PATTERN.strip("^$"), name):
        raise SettingsError(f"{name!r} is no name for a task: small letters, digits, - and _")
    folder = golden / name
    if folder.exists():
        raise SettingsError(f"{folder} is already there; choose another name")
    _write(folder, {"task.yaml": _TASK.format(name=name), "cases.yaml": _CASES})
    return folder


def _write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror or error}") from error
    return [folder / name for name in files]
