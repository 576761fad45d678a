"""Golden tasks are read whole, or every mistake in them is told with file, line, field and how to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from evals.cases import Gate, Options, load_golden, read_golden
from evals.checks.base import Capability
from evals.checks.keywords import Keywords, KeywordsExpect
from evals.errors import GoldenError, SettingsError
from evals.prompts import ALLOWED
from tests.golden_folder import CASES, TASK, edited, write_golden

DATA = Path(__file__).parent / "data"
MISTAKES = yaml.safe_load((DATA / "bad_golden.yaml").read_text("utf-8"))
REAL = Path(__file__).parents[1] / "golden"


DEV_CASE = """\
- id: sea
  input: The sea below us.
  expect: {keywords: [blue]}
  reference: It is blue too.
  wrong: [grey]
  split: dev
"""


def problems_of(golden: Path) -> list[str]:
    return [str(one).replace(f"{golden}/colours/", "") for one in read_golden(golden)[1]]


def test_a_small_task_is_read_whole(tmp_path: Path) -> None:
    (task,) = load_golden(write_golden(tmp_path))

    assert (task.name, task.about, task.source) == ("colours", "Names a colour.", "tests")
    assert (task.system, task.prompt, task.options) == ("", "{{ input }}", Options())
    assert task.gate == Gate(floors={Capability.CONTENT: 0.5})
    (case,) = task.cases
    assert (case.task, case.id, case.input) == ("colours", "sky", "The sky above us.")
    assert (case.reference, case.tags, case.asks_for_refusal) == ("It is blue.", (), False)
    (check,) = case.checks
    assert (check.label, check.capability) == ("keywords", Capability.CONTENT)
    assert isinstance(check.check, Keywords)
    assert check.expect == KeywordsExpect(keywords=["blue"])


@pytest.mark.parametrize("row", MISTAKES, ids=[row["id"].replace(" ", "-") for row in MISTAKES])
def test_a_mistake_is_told_with_file_line_field_and_mend(row: dict[str, Any], tmp_path: Path) -> None:
    task, cases = edited(TASK, row.get("task", {})), edited(CASES, row.get("cases", {}))
    golden = write_golden(tmp_path / "golden", task, cases, {"bad.json": "{"})
    (golden / "outside.json").write_text("{}", encoding="utf-8")
    (golden / "colours" / "link.json").symlink_to(golden / "outside.json")
    (golden / "colours" / "latin.json").write_bytes(b'{"title": "\xe9"}')

    problems = problems_of(golden)

    assert len(problems) == len(row["says"])
    for problem, start in zip(problems, row["says"], strict=True):
        assert problem.startswith(start)


def test_the_error_counts_and_lists_all_problems_of_all_tasks(tmp_path: Path) -> None:
    write_golden(tmp_path, task=edited(TASK, {7: "abuot: x"}))
    write_golden(tmp_path, cases=edited(CASES, {4: "  reference: grey"}), name="shades")

    with pytest.raises(GoldenError) as caught:
        load_golden(tmp_path)

    assert len(caught.value.problems) == 3
    assert str(caught.value).splitlines()[0] == "3 problems in the golden cases:"
    assert [Path(one.file).parent.name for one in caught.value.problems] == ["colours", "shades", "shades"]


def test_a_task_without_its_other_file_is_a_problem(tmp_path: Path) -> None:
    (write_golden(tmp_path) / "colours" / "task.yaml").unlink()
    assert problems_of(tmp_path) == ["task.yaml:1: cannot be read: No such file or directory"]

    (write_golden(tmp_path / "other") / "colours" / "cases.yaml").unlink()
    assert problems_of(tmp_path / "other") == ["cases.yaml:1: cannot be read: No such file or directory"]


def test_a_broken_prompt_is_told_once_and_references_are_judged_all_the_same(tmp_path: Path) -> None:
    two = CASES + "- {id: red, input: x, expect: {keywords: [red]}, reference: green}\n"
    golden = write_golden(tmp_path, edited(TASK, {7: 'prompt: "{{ nope }}"'}), two)

    assert problems_of(golden) == [
        f"task.yaml:7: prompt: cannot be filled in: the name 'nope' is not allowed (its line 1); {ALLOWED}",
        "cases.yaml:5: [1].reference: fails its own check keywords: lacks 'red'",
    ]


def test_a_pattern_that_may_backtrack_for_ever_is_allowed(tmp_path: Path) -> None:
    check = "- {kind: regex, capability: content, all_of: {slow: '(a|aa)+$'}}"
    golden = write_golden(
        tmp_path, edited(TASK, {5: check}), edited(CASES, {3: "  tags: []", 4: "  reference: aaa"})
    )

    assert problems_of(golden) == []


FOLDERS = {
    "no folder": (lambda folder: None, "there is no golden folder"),
    "an empty folder": (lambda folder: folder.mkdir(), "holds no task"),
    "a folder of other things": (lambda folder: (folder / "notes").mkdir(parents=True), "holds no task"),
    "a file": (lambda folder: folder.write_text("x"), "there is no golden folder"),
}


@pytest.mark.parametrize(("make", "says"), FOLDERS.values(), ids=[name.replace(" ", "-") for name in FOLDERS])
def test_a_golden_folder_without_tasks_is_a_mistake_of_the_settings(
    make: Any, says: str, tmp_path: Path
) -> None:
    make(tmp_path / "golden")

    with pytest.raises(SettingsError, match=says):
        load_golden(tmp_path / "golden")


def test_a_task_that_is_not_there_is_named_beside_those_that_are(tmp_path: Path) -> None:
    write_golden(tmp_path)

    with pytest.raises(SettingsError, match=r"there is no task 'shades' in .*; there are: colours"):
        load_golden(tmp_path, ["colours", "shades"])


def test_tasks_come_in_order_of_name_and_chosen_ones_once(tmp_path: Path) -> None:
    for name in ("shades", "colours", "tints"):
        write_golden(tmp_path, task=edited(TASK, {1: f"task: {name}"}), name=name)

    assert [task.name for task in load_golden(tmp_path)] == ["colours", "shades", "tints"]
    assert [task.name for task in load_golden(tmp_path, ["tints", "colours", "tints"])] == [
        "tints",
        "colours",
    ]


def test_files_of_a_task_are_read_into_it(tmp_path: Path) -> None:
    schema = "- {kind: json_schema, capability: format, schema: answer.json}"
    task = edited(TASK, {5: schema, 6: "system: system.md\noptions: {format: answer.json}"})
    cases = edited(CASES, {3: "  expect: {}", 4: "  reference: '{}'"})
    golden = write_golden(
        tmp_path, task, cases, {"answer.json": '{"type": "object"}', "system.md": "Be brief.\n"}
    )

    (task_read,) = load_golden(golden)

    assert task_read.system == "Be brief.\n"
    assert task_read.options.format == {"type": "object"}


def test_a_system_text_may_stand_in_the_task_file(tmp_path: Path) -> None:
    (task,) = load_golden(write_golden(tmp_path, TASK + "system: Answer in one word.\n"))

    assert task.system == "Answer in one word."


def test_a_case_adds_its_own_checks_and_a_name_tells_two_of_a_kind_apart(tmp_path: Path) -> None:
    own = "  checks: [{kind: keywords, name: tone, capability: reasoning, none_of: [grey]}]"
    (task,) = load_golden(write_golden(tmp_path, cases=edited(CASES, {5: own})))

    assert [check.label for check in task.cases[0].checks] == ["keywords", "tone"]


def test_a_check_that_the_case_gives_nothing_to_judge_is_left_out(tmp_path: Path) -> None:
    fields = "- {kind: keywords, capability: content}\n- {kind: json_fields, capability: recall}"
    (task,) = load_golden(write_golden(tmp_path, edited(TASK, {5: fields})))

    assert [check.label for check in task.cases[0].checks] == ["keywords"]


def test_the_real_golden_tasks_have_no_problem() -> None:
    tasks, problems = read_golden(REAL)

    assert problems == []
    assert sum(len(task.cases) for task in tasks) >= 500


def test_a_case_judges_unless_it_says_that_it_may_be_tuned_on(tmp_path: Path) -> None:
    (task,) = load_golden(write_golden(tmp_path, cases=CASES + DEV_CASE))

    assert [(case.id, case.split, case.wrong) for case in task.cases] == [
        ("sky", "gate", ()),
        ("sea", "dev", ("grey",)),
    ]


def test_a_case_stands_alone_unless_it_names_its_cluster(tmp_path: Path) -> None:
    golden = write_golden(tmp_path, cases=CASES + DEV_CASE + "  cluster: water\n")

    assert [case.cluster for case in load_golden(golden)[0].cases] == ["", "water"]


def ten_words(text: str) -> set[tuple[str, ...]]:
    """Every ten words in a row."""
    words = text.lower().split()
    return {tuple(words[start : start + 10]) for start in range(len(words) - 9)}


def shared_passages(golden: Path) -> list[tuple[str, str]]:
    """Pairs of cases of a task with ten words in a row in common, which no cluster holds together."""
    return [
        (one.id, other.id)
        for task in load_golden(golden)
        for (one, words), (other, others) in combinations(
            [(case, ten_words(case.input)) for case in task.cases], 2
        )
        if not words.isdisjoint(others) and (one.cluster or one.id) != (other.cluster or other.id)
    ]


def test_real_cases_that_share_a_passage_are_one_cluster() -> None:
    assert shared_passages(REAL) == []


@pytest.mark.parametrize(("cluster", "found"), [("", [("sky", "sea")]), ("  cluster: passage\n", [])])
def test_a_shared_passage_is_found_where_no_cluster_holds_it(
    cluster: str, found: list[tuple[str, str]], tmp_path: Path
) -> None:
    passage = "The kiln of the upper village is fired"
    first, second = CASES + cluster, DEV_CASE + cluster
    cases = first.replace("The sky", f"{passage} on Fridays. The sky") + second.replace(
        "The sea", f"Why? {passage}  on Fridays. The sea"
    )

    assert shared_passages(write_golden(tmp_path, cases=cases)) == found


def test_wrong_answers_are_held_to_it_by_lint_alone(tmp_path: Path) -> None:
    golden = write_golden(tmp_path, cases=CASES + DEV_CASE.replace("[grey]", "[blue]"))

    load_golden(golden)
    assert problems_of(golden) == ["cases.yaml:9: [1].wrong[0]: passes every check, so it is no wrong answer"]


# ---- The content hash

RICH = edited(
    TASK,
    {
        5: "- {kind: keywords, capability: content}\n"
        "- {kind: regex, capability: recall, all_of: {word: blue}}\n"
        "- {kind: json_schema, name: free, capability: format, schema: any.json}",
        7: "system: system.md\noptions: {max_tokens: 32}",
    },
)
RICH_CASES = """\
- id: sky
  input: The sky above us.
  expect: {keywords: [blue]}
  reference: '"blue"'
- id: sea
  input: The sea.
  expect: {keywords: [blue]}
  checks: [{kind: keywords, name: short, capability: reasoning, none_of: [however]}]
  reference: '"blue"'
  tags: [easy]
"""
RICH_FILES = {"any.json": "{}", "system.md": "One word."}

Edit = tuple[str, str, str]

NEW_HASH: dict[str, Edit] = {
    "the system file's text": ("system.md", "One word.", "One word!"),
    "the prompt": ("task.yaml", "source: tests", 'source: tests\nprompt: "Colour? {{ input }}"'),
    "an option": ("task.yaml", "max_tokens: 32", "max_tokens: 33"),
    "another option": ("task.yaml", "max_tokens: 32", "max_tokens: 32, temperature: 0.1"),
    "a pattern": ("task.yaml", "word: blue", "word: 'b?lue'"),
    "a pattern's name": ("task.yaml", "word: blue", "name: blue"),
    "a check's capability": ("task.yaml", "capability: recall", "capability: reasoning"),
    "a check's name": ("task.yaml", "name: free", "name: open"),
    "the schema file": ("any.json", "{}", '{"minLength": 1}'),
    "an input": ("cases.yaml", "The sea.", "The lake."),
    "an expectation": ("cases.yaml", "[blue]", "[blu]"),
    "a case's own check": ("cases.yaml", "none_of: [however]", "none_of: [but]"),
    "a case's id": ("cases.yaml", "- id: sea", "- id: lake"),
    "a case more": (
        "cases.yaml",
        "- id: sea",
        "- {id: ink, input: x, expect: {keywords: [blue]}, reference: '\"blue\"'}\n- id: sea",
    ),
}

SAME_HASH: dict[str, Edit] = {
    "about": ("task.yaml", "Names a colour.", "Says which colour."),
    "source": ("task.yaml", "source: tests", "source: elsewhere"),
    "floors": ("task.yaml", "content: 0.5", "content: 0.9"),
    "a comparison": ("task.yaml", "{floors: {content: 0.5}}", "{versus_baseline: {superior: [content]}}"),
    "an option written out as it is": ("task.yaml", "max_tokens: 32", "max_tokens: 32, seed: 0"),
    "comments": ("task.yaml", "about:", "# colours of things\nabout:"),
    "spacing": ("any.json", "{}", "{ }\n"),
    "tags": ("cases.yaml", "tags: [easy]", "tags: [hard, sea]"),
    "a reference": ("cases.yaml", "reference: '\"blue\"'", "reference: '\"deep blue\"'"),
    "a split": ("cases.yaml", "tags: [easy]", "tags: [easy]\n  split: dev"),
    "a cluster": ("cases.yaml", "tags: [easy]", "tags: [easy]\n  cluster: note-7"),
    "a wrong answer": ("cases.yaml", "tags: [easy]", "tags: [easy]\n  wrong: [red]"),
    "quotes": ("cases.yaml", "input: The sea.", 'input: "The sea."'),
}


def hash_of(folder: Path, files: Mapping[str, str]) -> str:
    named = dict(files)
    task, cases = named.pop("task.yaml"), named.pop("cases.yaml")
    return load_golden(write_golden(folder, task, cases, named))[0].hash


def hashes(tmp_path: Path, edit: Edit) -> tuple[str, str]:
    files = {"task.yaml": RICH, "cases.yaml": RICH_CASES, **RICH_FILES}
    file, old, new = edit
    assert old in files[file]
    changed = {**files, file: files[file].replace(old, new)}
    return hash_of(tmp_path / "before", files), hash_of(tmp_path / "after", changed)


@pytest.mark.parametrize("edit", NEW_HASH.values(), ids=[name.replace(" ", "-") for name in NEW_HASH])
def test_the_hash_changes_with_what_is_asked_and_how_it_is_judged(edit: Edit, tmp_path: Path) -> None:
    before, after = hashes(tmp_path, edit)

    assert before != after


@pytest.mark.parametrize("edit", SAME_HASH.values(), ids=[name.replace(" ", "-") for name in SAME_HASH])
def test_the_hash_stays_with_all_else(edit: Edit, tmp_path: Path) -> None:
    before, after = hashes(tmp_path, edit)

    assert before == after
    assert len(before) == 64


def test_the_hash_does_not_depend_on_the_order_of_cases(tmp_path: Path) -> None:
    first, second = RICH_CASES.split("- id: sea")
    files = {"task.yaml": RICH, **RICH_FILES}
    turned = f"- id: sea{second}{first}"

    before = hash_of(tmp_path / "before", {**files, "cases.yaml": RICH_CASES})
    assert before == hash_of(tmp_path / "after", {**files, "cases.yaml": turned})
