"""Cases with their replies, and flips, cut to what a page can hold. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.backends.base import ModelReply
from evals.report.budget import Budget
from evals.report.page import ShownCase, ShownCheck, ShownFlip, ShownReply
from evals.report.snapshots import flip_line
from evals.runs import CaseRecord, CheckRecord
from evals.snapshots import Compared

# Bytes of a page's cases as JSON; 500 cases of 7 models with them stay below 6 MB.
PAGE_BYTES = 5_000_000
# What a reply and a check take beside their texts, about: outcomes, figures, where the texts of checks stand.
REPLY_BYTES = 80
CHECK_BYTES = 40
# However many checks there are, so much is left for the texts.
TEXT_BYTES = 1_000_000

CaseForm = tuple[str, str, str]
# An answer with, of each of its checks, what it extracted and its reason.
_Told = tuple["Answer", list[tuple[str, str]]]
_AS_TEXT = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a case asks: the task's system message, or '', and the last message."""

    system: str
    asked: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply of the model in column `model`; `form` is its case: the task, the task's hash, the case's id."""

    model: int
    form: CaseForm
    record: CaseRecord
    reply: ModelReply


@dataclass(frozen=True, slots=True)
class Shown:
    """The lower part of a page; `cut` is the number of texts that were shortened."""

    cases: tuple[ShownCase, ...]
    systems: tuple[str, ...]
    flips: tuple[ShownFlip, ...]
    cut: int


def shown(
    answers: Sequence[Answer],
    prompts: Mapping[CaseForm, Prompt],
    flips: Sequence[tuple[str, Compared]],
    page_bytes: int = PAGE_BYTES,
) -> Shown:
    """Cases in order of task, then as they were asked, each with its replies by column; flips with their model's label.

    Texts are shortened until all fit `page_bytes` as JSON in HTML.
    """
    by_form: dict[CaseForm, list[_Told]] = {}
    of_checks: set[str] = set()  # checks say the same of many replies; a page holds each of their texts once
    for answer in answers:
        told = [(_extracted(check), check.reason) for check in answer.record.checks]
        of_checks.update(*told)
        by_form.setdefault(answer.form, []).append((answer, told))
    used = {form: prompts[form] for form in by_form if form in prompts}
    systems = list(dict.fromkeys(prompt.system for prompt in used.values() if prompt.system))
    texts = [
        *(
            text
            for answer in answers
            for text in (answer.reply.text, answer.reply.thinking, answer.record.fault)
        ),
        *of_checks,
        *(prompt.asked for prompt in used.values()),
        *systems,
        *("\n".join(one.diff) for _, one in flips),
    ]
    checks = sum(len(answer.record.checks) for answer in answers)
    rest = page_bytes - len(answers) * REPLY_BYTES - checks * CHECK_BYTES
    page = _Page(Budget(texts, max(rest, min(page_bytes, TEXT_BYTES))))
    cases = [
        page.case(form, by_form[form], used.get(form), systems)
        for form in sorted(by_form, key=lambda one: one[0])
    ]
    shown_systems = tuple(page.marked(text) for text in systems)
    return Shown(tuple(cases), shown_systems, tuple(page.flip(*one) for one in flips), page.count)


def _extracted(check: CheckRecord) -> str:
    return "" if check.extracted is None else _AS_TEXT(check.extracted)


class _Page:
    """Makes the shown forms, and counts the texts that are cut."""

    def __init__(self, budget: Budget) -> None:
        self.count = 0
        self._budget = budget

    def cut(self, text: str) -> tuple[str, int]:
        kept, left_out = self._budget.cut(text)
        self.count += left_out > 0
        return kept, left_out

    def marked(self, text: str) -> str:
        """A text, with a mark behind it where it goes on."""
        kept, left_out = self.cut(text)
        return f"{kept}… ({left_out:,} more characters)" if left_out else kept

    def case(
        self, form: CaseForm, answers: Sequence[_Told], prompt: Prompt | None, systems: Sequence[str]
    ) -> ShownCase:
        first = answers[0][0].record
        return ShownCase(
            task=form[0],
            case=form[2],
            split=first.split,
            tags=first.tags,
            prompt=self.marked(prompt.asked) if prompt else None,
            system=systems.index(prompt.system) if prompt and prompt.system else None,
            replies=tuple(self._reply(*one) for one in sorted(answers, key=lambda one: one[0].model)),
        )

    def _reply(self, answer: Answer, told: Sequence[tuple[str, str]]) -> ShownReply:
        record = answer.record
        (text, text_cut), (thinking, thinking_cut) = map(self.cut, (answer.reply.text, answer.reply.thinking))
        return ShownReply(
            model=answer.model,
            repeat=record.repeat,
            outcome=record.outcome,
            text=text,
            thinking=thinking,
            stop_reason=record.stop_reason,
            fault=self.marked(record.fault),
            # A stored reply's time is that of another day, maybe of another machine.
            seconds=None if record.stored else record.timings.get("total_s"),
            tokens=record.tokens.get("completion"),
            checks=tuple(self._check(*one) for one in zip(record.checks, told, strict=True)),
            cut=text_cut + thinking_cut,
        )

    def _check(self, check: CheckRecord, told: tuple[str, str]) -> ShownCheck:
        extracted, reason = map(self.marked, told)
        return ShownCheck(check.name, check.capability, check.outcome, check.value, extracted, reason)

    def flip(self, label: str, compared: Compared) -> ShownFlip:
        diff = self.marked("\n".join(compared.diff)).split("\n") if compared.diff else []
        reason = "; ".join(flip_line(one) for one in compared.flips)
        return ShownFlip(label, compared.task, compared.case, reason, tuple(diff))
