"""`commands` passes on any accepted list in any spelling, and says how near a miss was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evals.checks.base import Answer, CheckOutcome, CheckResult
from evals.checks.commands import Commands, CommandsExpect

CHECK = Commands.model_validate({"kind": "commands", "capability": "content"})


def expected(**fields: Any) -> CommandsExpect:
    return CommandsExpect.model_validate(fields)


def judged(expect: CommandsExpect, *commands: Any) -> CheckResult:
    return CHECK.judge(expect, Answer(json.dumps({"commands": list(commands), "reasoning": ""})))


def outcome(result: CheckResult) -> tuple[CheckOutcome, float, dict[str, float]]:
    return result.outcome, result.value, dict(result.measures)


GIVE = expected(commands=["give steve diamond 3"])
TWO = ["time set day", "weather clear"]


def test_the_same_strings_are_exact() -> None:
    result = judged(GIVE, "give steve diamond 3")

    assert outcome(result) == (CheckOutcome.PASS, 1.0, {"exact": 1.0, "normalised": 1.0, "verb_only": 1.0})
    assert result.extracted == ["give steve diamond 3"]


def test_another_spelling_passes_but_is_not_exact() -> None:
    result = judged(GIVE, "/give  Steve minecraft:diamond 3")

    assert outcome(result) == (CheckOutcome.PASS, 1.0, {"exact": 0.0, "normalised": 1.0, "verb_only": 1.0})


def test_wrong_arguments_fail_but_the_verbs_agree() -> None:
    result = judged(GIVE, "give steve diamond 4")

    assert outcome(result) == (CheckOutcome.FAIL, 0.0, {"exact": 0.0, "normalised": 0.0, "verb_only": 1.0})
    assert result.cause == "right verbs, wrong arguments"
    assert "expected give steve diamond 3, got give steve diamond 4" in result.reason


def test_wrong_verbs_fail_on_every_measure() -> None:
    result = judged(GIVE, "kill steve")

    assert outcome(result) == (CheckOutcome.FAIL, 0.0, {"exact": 0.0, "normalised": 0.0, "verb_only": 0.0})
    assert result.cause == "wrong commands"


def test_a_default_amount_is_not_filled_in() -> None:
    assert judged(expected(commands=["give kim dirt"]), "give kim dirt 1").outcome is CheckOutcome.FAIL


def test_no_command_where_one_is_expected_has_its_own_cause() -> None:
    result = judged(GIVE)

    assert (result.outcome, result.cause) == (CheckOutcome.FAIL, "no commands")
    assert "got none" in result.reason


def test_a_command_where_none_belongs_has_its_own_cause() -> None:
    result = judged(expected(commands=[]), "say hi")

    assert (result.outcome, result.cause) == (CheckOutcome.FAIL, "commands where none belong")
    assert "expected none" in result.reason


def test_no_command_is_right_where_none_belongs() -> None:
    assert judged(expected(commands=[])).outcome is CheckOutcome.PASS


@pytest.mark.parametrize("commands", [["give kim dirt"], ["give kim dirt 1"], ["give kim stone"]])
def test_any_accepted_list_passes(commands: list[str]) -> None:
    expect = expected(commands=["give kim dirt"], alternatives=[["give kim dirt 1"], ["give kim stone"]])

    assert judged(expect, *commands).outcome is CheckOutcome.PASS


def test_parts_of_two_accepted_lists_are_not_a_list() -> None:
    expect = expected(commands=["say a", "say b"], alternatives=[["say c", "say d"]])

    assert judged(expect, "say a", "say d").outcome is CheckOutcome.FAIL


def test_order_does_not_count() -> None:
    assert judged(expected(commands=TWO), *reversed(TWO)).measures["exact"] == 1.0


def test_order_counts_where_the_case_says_so() -> None:
    ordered = expected(commands=TWO, ordered=True)

    assert judged(ordered, *TWO).outcome is CheckOutcome.PASS
    assert judged(ordered, *reversed(TWO)).cause == "right verbs, wrong arguments"


def test_each_command_counts_as_often_as_it_is_there() -> None:
    twice = expected(commands=["say a", "say a"])

    assert judged(twice, "say a", "say a").outcome is CheckOutcome.PASS
    assert judged(twice, "say a").cause == "wrong commands"
    assert judged(expected(commands=["say a"]), "say a", "say a").outcome is CheckOutcome.FAIL


def test_an_extra_command_fails() -> None:
    assert judged(GIVE, "give steve diamond 3", "tp steve 0 64 0").cause == "wrong commands"


def test_nested_verbs_are_verbs_and_aliases_are_the_same_verb() -> None:
    nested = expected(commands=["execute as @a run tp @s 0 64 0"])

    assert judged(nested, "execute as Kim run teleport @s 1 64 1").measures["verb_only"] == 1.0
    assert judged(nested, "execute as @a run kill @s").measures["verb_only"] == 0.0


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("give steve diamond 3", "not JSON"),
        ('```json\n{"commands": ["give steve diamond 3"]}\n```', "fenced JSON"),
        ('{"command": ["give steve diamond 3"]}', "no command list"),
        ('{"commands": ["give steve diamond 3", null]}', "not a text"),
    ],
    ids=["bare-command", "fenced", "other-key", "null-in-list"],
)
def test_an_unreadable_answer_fails_and_has_nothing_to_measure(text: str, cause: str) -> None:
    result = CHECK.judge(GIVE, Answer(text))

    assert outcome(result) == (CheckOutcome.FAIL, 0.0, {})
    assert (result.cause, result.extracted) == (cause, None)


def test_a_refusal_in_prose_holds_no_commands_and_is_right_only_where_none_belong() -> None:
    refusal = Answer("I cannot do that.", refused=True)
    assert CHECK.judge(expected(commands=[]), refusal).outcome is CheckOutcome.PASS
    assert CHECK.judge(GIVE, refusal).outcome is CheckOutcome.FAIL


def test_an_unreadable_answer_fails_where_no_command_belongs_too() -> None:
    assert CHECK.judge(expected(commands=[]), Answer("I do nothing.")).outcome is CheckOutcome.FAIL


@pytest.mark.parametrize(
    ("expect", "applies"),
    [
        ({}, False),
        ({"ordered": True}, False),
        ({"commands": []}, True),
        ({"alternatives": [["say a"]]}, True),
    ],
    ids=["nothing", "order-only", "empty-list", "alternatives-only"],
)
def test_it_applies_where_a_list_is_given(expect: dict[str, Any], applies: bool) -> None:
    assert CHECK.applies(expected(**expect)) is applies


def test_alternatives_alone_are_enough() -> None:
    expect = expected(alternatives=[["say a"], ["say b"]])

    assert judged(expect, "say b").outcome is CheckOutcome.PASS
    assert judged(expect).cause == "no commands"


def test_a_long_reason_is_cut() -> None:
    result = judged(expected(commands=["say " + "x" * 500]), "say " + "y" * 5000)

    assert len(result.reason) < 450


def test_lists_elsewhere_are_read() -> None:
    check = Commands.model_validate({"kind": "commands", "capability": "content", "at": "a.b"})

    assert check.judge(GIVE, Answer('{"a": {"b": ["give steve diamond 3"]}}')).outcome is CheckOutcome.PASS
