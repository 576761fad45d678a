"""`commands`: the answer's commands are those of one accepted list, compared in one spelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from evals.checks.answers import shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed
from evals.checks.minecraft.actions import actions_of_words
from evals.checks.minecraft.normal import normalise
from evals.checks.minecraft.replies import read_commands


class CommandsExpect(Strict):
    """The accepted lists. An empty list means that no command is right."""

    commands: list[str] | None = Field(default=None, description="the commands asked for")
    alternatives: list[list[str]] = Field(default=[], description="other lists that are as good")
    ordered: bool = Field(default=False, description="whether the order of the commands counts")


class Commands(Check):
    """Passes on any accepted list, as a multiset unless `ordered`; see `minecraft.normal` for the spelling.

    Measures: `exact` (the same strings), `normalised` (the same commands; what passes) and `verb_only`
    (the same verbs, nested ones included, whether or not the arguments agree).
    """

    Expect = CommandsExpect

    kind: Literal["commands"]
    at: str = Field(default="commands", description="dotted path of the list in the JSON answer")

    def applies(self, expect: CommandsExpect) -> bool:
        return expect.commands is not None or bool(expect.alternatives)

    def judge(self, expect: CommandsExpect, answer: Answer) -> CheckResult:
        accepted = [expect.commands] if expect.commands is not None else []
        accepted += expect.alternatives
        if answer.refused and [] in accepted:
            # Only a case that asks for a refusal lets one come this far; its form is the format check's to judge.
            return passed([], "declined in prose: no commands", exact=0.0, normalised=1.0, verb_only=1.0)
        read = read_commands(answer.text, self.at)
        if read.problem:
            return failed(read.cause, read.problem)
        got = read.commands
        exact = any(_same(got, wanted, ordered=expect.ordered) for wanted in accepted)
        spelt = [normalise(command) for command in got]
        right = any(
            _same(spelt, [normalise(command) for command in wanted], ordered=expect.ordered)
            for wanted in accepted
        )
        verbs = Counter(_verbs(got))
        same_verbs = any(verbs == Counter(_verbs(wanted)) for wanted in accepted)
        measures = {"exact": float(exact), "normalised": float(right), "verb_only": float(same_verbs)}
        if right:
            return passed(list(got), "as expected" if exact else "as expected, spelt otherwise", **measures)
        cause = _cause(got, accepted, same_verbs=same_verbs)
        others = f" (or {len(accepted) - 1} other lists)" if len(accepted) > 1 else ""
        reason = f"{cause}: expected {_show(accepted[0])}{others}, got {_show(got)}"
        return failed(cause, reason, extracted=list(got), **measures)


def _same(got: Sequence[str], wanted: Sequence[str], *, ordered: bool) -> bool:
    return list(got) == list(wanted) if ordered else Counter(got) == Counter(wanted)


def _verbs(commands: Sequence[str]) -> list[str]:
    return [action.canonical for command in commands for action in actions_of_words(normalise(command))]


def _cause(got: Sequence[str], accepted: Sequence[Sequence[str]], *, same_verbs: bool) -> str:
    if not got:
        return "no commands"
    if not any(accepted):
        return "commands where none belong"
    return "right verbs, wrong arguments" if same_verbs else "wrong commands"


def _show(commands: Sequence[str]) -> str:
    return shorten("; ".join(commands), 160) if commands else "none"
