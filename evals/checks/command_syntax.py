"""`command_syntax`: every command of the answer is one valid command of the Minecraft version."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evals.checks.answers import shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed
from evals.checks.minecraft.grammar import parse
from evals.checks.minecraft.ids import unsupported
from evals.checks.minecraft.replies import read_commands


class CommandSyntaxExpect(Strict):
    """What a case expects: used by lint only, which refuses expected commands that are invalid."""

    commands: list[str] | None = Field(default=None, description="the commands asked for")
    alternatives: list[list[str]] = Field(default=[], description="other lists that are as good")


class CommandSyntax(Check):
    """Passes if all commands are valid; value = valid commands / commands. No command is nothing wrong.

    The list must be readable in strict JSON. `minecraft` is a key of `minecraft.ids.VERSIONS`.
    """

    Expect = CommandSyntaxExpect

    kind: Literal["command_syntax"]
    minecraft: str = Field(description="the game's version, such as 1.21")
    at: str = Field(default="commands", description="dotted path of the list in the JSON answer")

    def problems(self, expect: CommandSyntaxExpect) -> list[str]:
        if problem := unsupported(self.minecraft):
            return [problem]
        found = []
        lists = {"commands": expect.commands or []}
        lists.update({f"alternatives[{place}]": made for place, made in enumerate(expect.alternatives)})
        for name, commands in lists.items():
            found += [
                f"expect.{name}: {command!r}: {problem}"
                for command in commands
                if (problem := parse(command, self.minecraft).problem)
            ]
        return found

    def judge(self, expect: CommandSyntaxExpect, answer: Answer) -> CheckResult:
        read = read_commands(answer.text, self.at)
        if read.problem:
            return failed(read.cause, read.problem)
        extracted = list(read.commands)
        if not extracted:
            return passed(extracted, "no command, so none is wrong")
        parsed = [(command, parse(command, self.minecraft)) for command in extracted]
        wrong = [(command, made) for command, made in parsed if made.problem]
        if not wrong:
            return passed(extracted, f"{len(extracted)} valid")
        reasons = "; ".join(f"{shorten(command)!r}: {made.problem}" for command, made in wrong)
        value = 1 - len(wrong) / len(extracted)
        return failed(wrong[0][1].cause, reasons, extracted=extracted, value=value)
