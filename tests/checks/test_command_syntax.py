"""`command_syntax` passes only where every command is valid and the list can be read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome, CheckResult
from evals.checks.command_syntax import CommandSyntax

CHECK = CommandSyntax.model_validate({
    "kind": "command_syntax",
    "minecraft": "1.21",
    "capability": "format",
})


def judged(text: str, check: CommandSyntax = CHECK) -> CheckResult:
    return check.judge(check.Expect(), Answer(text))


def reply(*commands: Any) -> str:
    return json.dumps({"commands": list(commands), "reasoning": "asked"})


def lint(**expect: Any) -> list[str]:
    return CHECK.problems(CHECK.Expect.model_validate(expect))


def test_valid_commands_pass() -> None:
    result = judged(reply("give steve diamond 3", "say done"))

    assert (result.outcome, result.value) == (CheckOutcome.PASS, 1.0)
    assert result.extracted == ["give steve diamond 3", "say done"]


def test_one_invalid_command_fails_and_the_value_is_the_share_of_valid_ones() -> None:
    result = judged(reply("say a", "give steve diamnd", "say b", "say c"))

    assert (result.outcome, result.value, result.cause) == (CheckOutcome.FAIL, 0.75, "unknown id")
    assert "'give steve diamnd': 'diamnd' is not an item of this version" in result.reason


def test_all_invalid_commands_are_in_the_reason_and_the_first_gives_the_cause() -> None:
    result = judged(reply("/stop", "give"))

    assert (result.value, result.cause) == (0.0, "leading slash")
    assert "'/stop': " in result.reason
    assert "'give': " in result.reason


def test_an_empty_list_passes() -> None:
    result = judged(reply())

    assert (result.outcome, result.value, result.extracted) == (CheckOutcome.PASS, 1.0, [])


UNREADABLE = {
    "empty-text": ("", "not JSON"),
    "prose": ("I gave steve three diamonds.", "not JSON"),
    "a-bare-command": ("give steve diamond 3", "not JSON"),
    "cut-JSON": ('{"commands": ["say hi"', "not JSON"),
    "fenced-JSON": ('```json\n{"commands": ["say hi"]}\n```', "fenced JSON"),
    "JSON-in-prose": ('Sure! {"commands": ["say hi"]}', "prose around JSON"),
    "no-list": ('{"reasoning": "hm"}', "no command list"),
    "a-text-for-a-list": ('{"commands": "say hi"}', "no command list"),
    "null-for-a-list": ('{"commands": null}', "no command list"),
    "an-array": ('["say hi"]', "no command list"),
    "a-number-in-the-list": ('{"commands": ["say hi", 5]}', "not a text"),
    "an-object-in-the-list": ('{"commands": [{"command": "say hi"}]}', "not a text"),
}


@pytest.mark.parametrize(("text", "cause"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_without_a_readable_list_fails(text: str, cause: str) -> None:
    result = judged(text)

    assert (result.outcome, result.value, result.cause) == (CheckOutcome.FAIL, 0.0, cause)
    assert result.extracted is None
    assert result.reason


def test_the_list_may_stand_elsewhere() -> None:
    check = CommandSyntax.model_validate({**CHECK.model_dump(), "capability": "format", "at": "plan.run"})

    assert judged('{"plan": {"run": ["say hi"]}}', check).outcome is CheckOutcome.PASS
    assert judged('{"commands": ["say hi"]}', check).cause == "no command list"


def test_several_lines_in_one_text_are_not_one_command() -> None:
    assert judged(reply("say hi\nstop")).cause == "several lines"


def test_lint_finds_an_invalid_expected_command_in_each_list() -> None:
    problems = lint(commands=["say hi", "giv kim dirt"], alternatives=[["say ho"], ["/say hi"]])

    assert [problem.partition(":")[0] for problem in problems] == [
        "expect.commands", "expect.alternatives[1]",
    ]  # fmt: skip
    assert "did you mean 'give'?" in problems[0]


def test_lint_is_silent_on_valid_expected_commands() -> None:
    assert lint(commands=["give kim dirt"], alternatives=[[], ["give kim dirt 1"]]) == []
    assert lint() == []


def test_lint_lists_the_supported_versions() -> None:
    check = CommandSyntax.model_validate({
        "kind": "command_syntax",
        "minecraft": "1.8",
        "capability": "format",
    })

    assert check.problems(check.Expect()) == ["Minecraft '1.8' is not supported; supported: 1.21"]


def test_a_version_must_be_given() -> None:
    with pytest.raises(ValidationError, match="minecraft"):
        CommandSyntax.model_validate({"kind": "command_syntax", "capability": "format"})
