"""A policy names what a comparison has to show: read from the tasks or a file, laid out flat, with what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals.cases import VersusBaseline, read_golden
from evals.errors import RunRecordError, SettingsError
from evals.policy import Asked, Policy, policy_of_tasks, read_policy, requirements

GOLDEN = Path(__file__).parents[1] / "golden"
POLICIES = sorted((GOLDEN / "policies").glob("*.yaml"))


def versus(**fields: Any) -> VersusBaseline:
    return VersusBaseline.model_validate(fields)


def facts(**fields: Any) -> dict[str, Any]:
    return {"colours": {"hash": "a", "gate": {"versus_baseline": fields}}}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(text, "utf-8")
    return path


HEAD = "policy: mine\nabout: A test.\ntasks:\n"


def problems(tmp_path: Path, text: str) -> list[str]:
    """The problems of a policy file without its folder, below their head line."""
    with pytest.raises(SettingsError) as caught:
        read_policy(written(tmp_path, text))
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


# Of tasks


def test_the_policy_of_tasks_is_what_their_gates_say() -> None:
    policy = policy_of_tasks(facts(superior=["content"], non_inferior={"format": 0.15}))

    assert policy == Policy("", {"colours": versus(superior=["content"], non_inferior={"format": 0.15})})
    assert policy.of("colours") and policy.of("sums") is None


@pytest.mark.parametrize("recorded", [{}, {"gate": None}, {"gate": {}}, {"gate": {"versus_baseline": None}}])
def test_a_record_without_a_policy_asks_nothing(recorded: dict[str, Any]) -> None:
    assert policy_of_tasks({"colours": recorded}).of("colours") == VersusBaseline()


@pytest.mark.parametrize(
    "fields",
    [
        {"superior": ["speed"]},
        {"non_inferior": {"content": "much"}},
        {"margin": 0.1},
        {"guards": {"../x": 0.1}},
    ],
    ids=["no-capability", "no-number", "unknown-key", "no-task-name"],
)
def test_a_damaged_policy_in_a_record_is_told(fields: dict[str, Any]) -> None:
    with pytest.raises(RunRecordError, match="the gate of colours in the run's record is damaged"):
        policy_of_tasks(facts(**fields))


@pytest.mark.parametrize("margin", [5, -0.1, float("nan"), float("inf")])
def test_a_margin_in_a_record_that_is_no_fraction_is_told(margin: float) -> None:
    with pytest.raises(RunRecordError, match="has a margin that is no fraction"):
        policy_of_tasks(facts(non_inferior={"content": margin}))


# Of files


@pytest.mark.parametrize("path", POLICIES, ids=[path.stem for path in POLICIES])
def test_the_policies_that_come_with_the_cases_can_be_read(path: Path) -> None:
    policy = read_policy(path)

    assert policy.name == path.stem
    assert policy.of("whatever") is not None


def test_there_are_policies_and_lint_takes_none_for_a_task() -> None:
    tasks, _ = read_golden(GOLDEN, ("intent_label",), thorough=False)

    assert {path.stem for path in POLICIES} == {"no-worse", "smaller-quantisation"}
    assert [task.name for task in tasks] == ["intent_label"]
    with pytest.raises(SettingsError, match="there is no task 'policies'"):
        read_golden(GOLDEN, ("policies",))


def test_a_file_has_entries_of_tasks_and_one_for_every_other(tmp_path: Path) -> None:
    text = HEAD + '  colours: {superior: [content]}\n  "*": {non_inferior: {content: 0.1}}\n'

    policy = read_policy(written(tmp_path, text))

    assert policy.name == "mine"
    assert policy.of("colours") == versus(superior=["content"])
    assert policy.of("sums") == versus(non_inferior={"content": 0.1})


def test_each_problem_of_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    text = HEAD + (
        "  colours:\n    superior: [speed]\n    non_inferior: {content: 5}\n    margins: {}\n  Sums: {}\n"
    )
    assert problems(tmp_path, text) == [
        "3 problems in the policy:",
        "policy.yaml:5: tasks.colours.superior[0]: should be 'format', 'content', 'recall', 'reasoning', 'safety' or "
        "'consistency', got 'speed'",
        "policy.yaml:7: tasks.colours.margins: unknown key (keys here: superior, non_inferior, ratio, guards)",
        "policy.yaml:8: tasks.Sums: 'Sums' is no valid name (small letters, digits, - and _, starting with a letter or "
        "digit)",
    ]


@pytest.mark.parametrize("margin", ["5", "-0.1", ".nan", ".inf"])
@pytest.mark.parametrize("field", ["non_inferior: {content", "ratio: {content", "guards: {sums"])
def test_a_margin_in_a_file_is_a_fraction(field: str, margin: str, tmp_path: Path) -> None:
    found = problems(tmp_path, HEAD + f"  colours: {{{field}: {margin}}}}}\n")

    assert found[0] == "1 problem in the policy:"
    assert found[1].startswith("policy.yaml:4: tasks.colours.")


def test_a_task_does_not_guard_itself(tmp_path: Path) -> None:
    assert problems(tmp_path, HEAD + "  colours: {guards: {colours: 0.1}}\n")[1:] == [
        "policy.yaml:4: tasks.colours.guards.colours: is the task itself (name another task)"
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "policy.yaml:1: is empty"),
        ("- a\n", "policy.yaml:1: is no set of `key: value` lines"),
        ("policy: mine\nabout: x\ntasks: {}\n", "policy.yaml:3: tasks: is empty"),
        ("policy: mine\ntasks: {colours: {}}\n", "policy.yaml:1: about: is missing"),
        ("policy: [\n", "policy.yaml:2: is not YAML"),
        (HEAD + "  *: {}\n", "policy.yaml:4: is not YAML"),
    ],
    ids=["empty", "a-list", "no-task", "no-about", "no-yaml", "a-bare-star"],
)
def test_a_file_that_is_no_policy_is_told(text: str, says: str, tmp_path: Path) -> None:
    assert problems(tmp_path, text)[1].startswith(says)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.yaml:1: cannot be read: No such file"):
        read_policy(tmp_path / "gone.yaml")


# Laid out


def test_a_policy_becomes_one_requirement_a_line() -> None:
    policy = Policy(
        "",
        {
            "colours": versus(
                superior=["content"], non_inferior={"format": 0.15, "safety": 0}, ratio={"recall": 0.8}
            )
        },
    )

    found = requirements(policy, {"colours": ["content", "format", "safety", "recall"]})

    assert found.problems == ()
    assert found.asked == (
        Asked("colours", "content", "superior", 0.0, "colours"),
        Asked("colours", "format", "non_inferior", 0.15, "colours"),
        Asked("colours", "safety", "zero_tolerance", 0.0, "colours"),
        Asked("colours", "recall", "ratio", 0.8, "colours"),
    )


def test_a_guard_asks_every_capability_of_the_other_task_and_no_miss_where_none_is_allowed() -> None:
    policy = Policy("", {"colours": versus(guards={"sums": 0.15})})
    judged = {"colours": ["content"], "sums": ["safety", "content", "format"]}

    found = requirements(policy, judged, {"sums": {"gate": {"floors": {"format": 1.0, "content": 0.5}}}})

    assert found.asked == (
        Asked("sums", "content", "non_inferior", 0.15, "colours"),
        Asked("sums", "format", "zero_tolerance", 0.0, "colours"),
        Asked("sums", "safety", "zero_tolerance", 0.0, "colours"),
    )


def test_of_what_is_asked_twice_the_stricter_stands() -> None:
    policy = Policy(
        "",
        {
            "colours": versus(guards={"sums": 0.10, "words": 0.2}),
            "sums": versus(non_inferior={"content": 0.15}, ratio={"content": 0.7}),
            "words": versus(non_inferior={"content": 0.05}),
        },
    )

    found = requirements(policy, {"colours": [], "sums": ["content"], "words": ["content"]})

    assert found.asked == (
        Asked("sums", "content", "non_inferior", 0.10, "colours"),
        Asked("sums", "content", "ratio", 0.7, "sums"),
        Asked("words", "content", "non_inferior", 0.05, "words"),
    )


def test_what_is_named_and_not_compared_is_told() -> None:
    policy = Policy(
        "",
        {
            "minecraft_ops": versus(superior=["content"], guards={"general_knowledge": 0.15}),
            "other": versus(superior=["recall"]),
        },
    )

    assert requirements(policy, {"minecraft_ops": ["format"]}).problems == (
        "minecraft_ops: the policy asks for content, and no check of the task has that capability",
        "minecraft_ops guards general_knowledge, which was not asked: add --task general_knowledge",
    )


def test_a_task_that_a_file_names_and_nobody_asked_is_told() -> None:
    tasks = {"*": versus(superior=["content"]), "colurs": versus(superior=["content"])}

    assert requirements(Policy("mine", tasks), {"colours": ["content"]}).problems == (
        "the policy asks something of colurs, which was not asked: add --task colurs, or mend its name",
    )
    # What the tasks ask themselves stands for those that are compared.
    assert requirements(Policy("", {"other": versus()}), {"colours": ["content"]}).problems == ()


def test_an_entry_for_every_task_asks_what_a_task_has_and_guards_all_but_the_guarded() -> None:
    policy = Policy("mine", {"*": versus(superior=["content", "recall"], guards={"sums": 0.1, "gone": 0.1})})

    found = requirements(policy, {"colours": ["content"], "sums": ["format"]})

    assert found.asked == (
        Asked("colours", "content", "superior", 0.0, "colours"),
        Asked("sums", "format", "non_inferior", 0.1, "colours"),
    )
    assert found.problems == (
        "colours guards gone, which was not asked: add --task gone",
        "sums guards gone, which was not asked: add --task gone",
    )


def test_an_entry_for_every_task_asks_nothing_of_the_guarded_task_by_itself() -> None:
    policy = Policy("mine", {"*": versus(guards={"sums": 0.1})})

    assert requirements(policy, {"sums": ["format"]}).asked == ()
    assert [one.policy for one in requirements(policy, {"sums": ["format"], "words": []}).asked] == ["words"]
