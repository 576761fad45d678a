"""`json_schema` against a part of the official JSON Schema Test Suite; where it is from stands beside the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.checks.base import Answer, NoExpect
from evals.checks.json_schema import JsonSchemaCheck

SUITE = Path(__file__).parent / "data" / "json_schema_suite"
GROUPS: list[tuple[str, dict[str, Any]]] = [
    (f"{path.stem}-{group['description'].replace(' ', '-')}", group)
    for path in sorted(SUITE.glob("*.json"))
    for group in json.loads(path.read_text(encoding="utf-8"))
    # A check's schema is an object: `true` and `false` at the top are no schemas that a task could have.
    if isinstance(group["schema"], dict)
]


def test_the_suite_is_there() -> None:
    assert len(GROUPS) == 94
    assert sum(len(group["tests"]) for _, group in GROUPS) == 397


@pytest.mark.parametrize("group", [group for _, group in GROUPS], ids=[name for name, _ in GROUPS])
def test_values_fit_or_miss_as_the_suite_says(group: dict[str, Any]) -> None:
    check = JsonSchemaCheck.model_validate({
        "kind": "json_schema",
        "capability": "format",
        "schema": group["schema"],
    })
    outcomes = {
        one["description"]: check.judge(NoExpect(), Answer(json.dumps(one["data"]))).outcome.value
        for one in group["tests"]
    }

    assert outcomes == {one["description"]: "pass" if one["valid"] else "fail" for one in group["tests"]}
