"""Schemas for editors agree with the loader, and a new task is one that passes lint."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from evals.authoring import cases_schema, policy_schema, task_schema, write_schemas, write_task
from evals.cases import load_golden
from evals.checks import CHECKS
from evals.documents import read_document
from evals.errors import SettingsError
from tests.golden_folder import CASES, TASK, edited

GOLDEN = Path(__file__).parents[1] / "golden"
TASK_FILES = sorted(GOLDEN.glob("*/task.yaml"))
CASES_FILES = sorted(GOLDEN.glob("*/cases.yaml"))
MISTAKES = yaml.safe_load((Path(__file__).parent / "data" / "bad_golden.yaml").read_text("utf-8"))

# Mistakes of form, which an editor can show; the others need the files, or what the words mean.
SHOWN_BY_EDITORS = [
    "unknown key in a task",
    "unknown key in a case",
    "unknown key in a check",
    "unknown key in options",
    "unknown key in an expectation",
    "unknown key inside an expectation",
    "task key missing",
    "case key missing",
    "text where a number belongs",
    "number where a text belongs",
    "number out of range",
    "neither of two types",
    "text where a list belongs",
    "capability that does not exist",
    "task file that is a list",
    "case that is a text",
    "id with a slash",
    "id that climbs",
    "id with a space",
    "id with capitals",
    "id too long",
    "unknown kind of check",
    "check without a kind",
    "check that is a text",
    "no checks",
    "no cases",
    "empty reference",
    "empty input",
    "floor that is a text",
    "floor for a capability that does not exist",
]


def accepts(schema: dict[str, Any], value: Any) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def data(path: Path) -> Any:
    return read_document(path)[0].value


@pytest.mark.parametrize(
    "schema", [task_schema(), cases_schema(), policy_schema()], ids=["task", "cases", "policy"]
)
def test_a_schema_is_valid_and_describes_itself(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"].startswith("Golden Gate ")


@pytest.mark.parametrize("path", TASK_FILES, ids=[path.parent.name for path in TASK_FILES])
def test_the_real_tasks_fit_their_schema(path: Path) -> None:
    jsonschema.validate(data(path), task_schema())

    assert not accepts(task_schema(), {**data(path), "abuot": "x"})


@pytest.mark.parametrize("path", CASES_FILES, ids=[path.parent.name for path in CASES_FILES])
def test_the_real_cases_fit_their_schema(path: Path) -> None:
    jsonschema.validate(data(path), cases_schema())

    changed = copy.deepcopy(data(path))
    changed[-1].setdefault("expect", {})["comands"] = []
    assert not accepts(cases_schema(), changed)


@pytest.mark.parametrize("name", SHOWN_BY_EDITORS, ids=[name.replace(" ", "-") for name in SHOWN_BY_EDITORS])
def test_an_editor_shows_mistakes_of_form(name: str) -> None:
    (row,) = [row for row in MISTAKES if row["id"] == name]
    task = yaml.safe_load(edited(TASK, row.get("task", {})))
    cases = yaml.safe_load(edited(CASES, row.get("cases", {})))

    assert not (accepts(task_schema(), task) and accepts(cases_schema(), cases))


def test_every_kind_of_check_has_its_fields_in_the_schema() -> None:
    kinds = [
        one["properties"]["kind"]["const"] for one in task_schema()["properties"]["checks"]["items"]["oneOf"]
    ]

    assert kinds == list(CHECKS)


def test_schemas_are_written_beside_each_other_and_again(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "schemas"

    written = write_schemas(folder)

    assert [path.name for path in written] == [
        f"{name}.schema.json" for name in ("task", "cases", "policy", "verdict")
    ]
    assert write_schemas(folder) == written
    assert all(path.read_text("utf-8").endswith("}\n") for path in written)


@pytest.mark.parametrize("path", sorted((GOLDEN / "policies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_real_policies_fit_their_schema(path: Path) -> None:
    jsonschema.validate(data(path), policy_schema())
    assert not accepts(policy_schema(), {**data(path), "floors": {}})


def test_a_new_task_loads_and_fits_the_schemas(tmp_path: Path) -> None:
    folder = write_task(tmp_path, "my-task_2")

    (task,) = load_golden(tmp_path)
    assert (task.name, len(task.cases), folder) == ("my-task_2", 2, tmp_path / "my-task_2")
    assert accepts(task_schema(), data(folder / "task.yaml"))
    assert accepts(cases_schema(), data(folder / "cases.yaml"))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "A", "-a", "a\n", "é", "a.b"])
def test_a_bad_name_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no name for a task: small letters, digits, - and _"):
        write_task(tmp_path, name)

    assert list(tmp_path.iterdir()) == []


def test_a_taken_name_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "colours").mkdir()

    with pytest.raises(SettingsError, match="is already there; choose another name"):
        write_task(tmp_path, "colours")

    assert list((tmp_path / "colours").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")

    with pytest.raises(SettingsError, match="cannot be written: Not a directory"):
        write_task(tmp_path / "file", "colours")
    with pytest.raises(SettingsError, match="cannot be written: File exists"):
        write_schemas(tmp_path / "file")
