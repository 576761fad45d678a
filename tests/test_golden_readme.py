"""The advice on cases keeps up with the tasks: what it calls good passes their lint, and what it calls bad is at least a case."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from evals.cases import CaseEntry, load_golden, read_golden

GOLDEN = Path(__file__).parents[1] / "golden"
BLOCKS = re.findall(
    r"^(Good|Bad):.*?```yaml\n(.*?)```", (GOLDEN / "README.md").read_text("utf-8"), re.M | re.S
)
# Which task a case belongs to, by what it expects.
TASKS = {
    "commands": "minecraft_ops",
    "label": "intent_label",
    "answers": "general_knowledge",
    "number": "math_reasoning",
}


def test_good_and_bad_stand_side_by_side() -> None:
    assert [kind for kind, _ in BLOCKS] == ["Bad", "Good"] * 7


@pytest.mark.parametrize("block", [text for _, text in BLOCKS])
def test_every_example_is_a_case(block: str) -> None:
    for entry in yaml.safe_load(block):
        CaseEntry.model_validate(entry)


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "Good"])
def test_a_good_case_passes_the_lint_of_its_task_and_has_its_difficulty(block: str, tmp_path: Path) -> None:
    for entry in yaml.safe_load(block):
        task = TASKS[next(iter(entry["expect"]))]
        shutil.copytree(GOLDEN / task, tmp_path / task)
        with (tmp_path / task / "cases.yaml").open("a", encoding="utf-8") as file:
            file.write("\n" + yaml.safe_dump([entry], allow_unicode=True))

        tasks, problems = read_golden(tmp_path)

        assert problems == []
        assert entry["id"] in {case.id for case in tasks[0].cases}
        assert entry["tags"][0] in ("easy", "medium", "hard")
        shutil.rmtree(tmp_path / task)


def test_the_table_names_every_task_and_no_other() -> None:
    named = re.findall(r"^\| `(\w+)` \|", (GOLDEN / "README.md").read_text("utf-8"), re.M)

    assert named == [task.name for task in load_golden(GOLDEN)]
