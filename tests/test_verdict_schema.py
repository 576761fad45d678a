"""The published schema of verdict.json: up to date, valid, and what it takes is what a comparison writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from evals.authoring import write_schemas
from evals.verdict import Requirement, Verdict, verdict_from_json, verdict_schema
from tests.verdicts import verdict

PUBLISHED = Path(__file__).parents[1] / "docs" / "verdict.schema.json"


def published() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(PUBLISHED.read_text("utf-8"))
    return schema


def as_written(made: Verdict) -> dict[str, Any]:
    """The verdict as a reader of verdict.json finds it."""
    data: dict[str, Any] = json.loads(json.dumps(made.to_json(), allow_nan=False))
    return data


def test_the_published_schema_is_what_the_command_line_writes(tmp_path: Path) -> None:
    write_schemas(tmp_path)

    assert (tmp_path / PUBLISHED.name).read_text("utf-8") == PUBLISHED.read_text("utf-8"), (
        "write it anew: python -m evals schema --out docs, and keep verdict.schema.json alone"
    )


def test_the_schema_is_valid_and_asks_for_every_field() -> None:
    schema = published()

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == verdict_schema()
    assert schema["title"] == "Golden Gate: verdict.json"
    assert schema["required"] == list(verdict().to_json())


@pytest.mark.parametrize("decision", ["promote", "block", "inconclusive"])
def test_what_a_verdict_writes_fits_and_reads_back(decision: Any) -> None:
    made = verdict(decision)

    jsonschema.validate(as_written(made), published())
    assert verdict_from_json(as_written(made)) == made


def test_a_verdict_with_nothing_compared_fits() -> None:
    made = replace(
        verdict("block"), requirements=(), differences=(), graded=(), noise=(), more_cases=None, spared=None
    )

    jsonschema.validate(as_written(made), published())


BROKEN: dict[str, dict[str, Any]] = {
    "another format": {"format": 2},
    "an unknown decision": {"verdict": "maybe"},
    "a sentence that is a list": {"sentence": ["promote"]},
    "reasons that are a text": {"reasons": "all is well"},
    "a side without a digest": {"candidate": {"model": "tuned", "runs": []}},
    "requirements that are none": {"requirements": [{"task": "ops"}]},
    "half a case more": {"more_cases": 1.5},
    "spared in words": {"spared": "many"},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=[name.replace(" ", "-") for name in BROKEN])
def test_a_broken_verdict_is_refused(change: dict[str, Any]) -> None:
    broken = as_written(verdict()) | change

    assert not jsonschema.Draft202012Validator(published()).is_valid(broken)
    with pytest.raises(ValueError):
        verdict_from_json(broken)


@pytest.mark.parametrize("field", Requirement.__slots__)
def test_no_field_of_a_requirement_may_be_missing(field: str) -> None:
    broken = as_written(verdict())
    del broken["requirements"][0][field]

    assert not jsonschema.Draft202012Validator(published()).is_valid(broken)


def test_a_number_in_words_is_refused() -> None:
    broken = as_written(verdict())
    broken["differences"][0]["difference"] = "0.1"

    assert not jsonschema.Draft202012Validator(published()).is_valid(broken)
