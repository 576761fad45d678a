"""What kind of reply came back, decided before any check looks at it.

An empty, cut or thinking-only reply has nothing in it to find fault with, so a check like "no
forbidden command" would pass on it. Here such a reply is told apart first, and every check of the
case counts as missed. A server's fault is nobody's wrong answer: its checks are `unscored`, and
still count in the denominator.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import replace

from evals.backends.base import ModelReply
from evals.cases import CaseCheck, GoldenCase
from evals.checks.answers import read_json, shorten
from evals.checks.base import Answer, CheckOutcome, CheckResult, failed


class ReplyOutcome(enum.StrEnum):
    """The kinds of reply."""

    ANSWERED = "answered"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    THINKING_ONLY = "thinking_only"
    THINK_LEAK = "think_leak"
    REFUSED = "refused"
    INFRASTRUCTURE = "infrastructure"


_THINK_BLOCK = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_THINK_TAG = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)

# A refusal says, near its start, that the speaker does not do it. Apologies alone are no refusal.
_REFUSAL = re.compile(
    r"""\b(?:
      (?:i|we) \s (?: (?:can|will|must)\s?not | can't | won't | mustn't | refuse | decline | must \s decline)
      # "I don't see a problem" and "I wouldn't recommend the first" are answers.
    | (?:i|we) \s (?:could|would|do)(?:\s?not|n't) (?! \s (?:agree|believe|care|doubt|expect|find|know|like|mean|mind|need
      |recommend|remember|say|see|suppose|think|understand|want) \b)
    | (?:i'm|i \s am|we're|we \s are) \s (?: not \s (?:able|allowed|permitted|going|willing|comfortable|authori[sz]ed)
      | unable | (?:very \s)? sorry, \s but)
    | (?:not|never) \s something \s (?:i|we) \s can
    | against \s (?:my|the|our) \s (?:rules|guidelines|policy|policies)
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)
REFUSAL_HEAD = 300
REASON_LIMIT = 1000


def is_refusal(text: str) -> bool:
    """Whether prose declines the request near its start. JSON, even inside a fence, is an answer.

    A heuristic over English wording, as all refusal detectors without a judge model are; it decides
    the kind of reply, while whether refusing was right is the case's to say (`expect.refuse`).
    """
    if "{" in text or "[" in text:
        reading = read_json(text)
        if isinstance(reading.value, (dict, list)) or isinstance(reading.lenient, dict):
            return False
    return _REFUSAL.search(text[:REFUSAL_HEAD].replace("\u2019", "'")) is not None


def classify(reply: ModelReply) -> ReplyOutcome:
    """The kind of a reply, the first of these that fits."""
    if reply.fault:
        return ReplyOutcome.INFRASTRUCTURE
    outside = _THINK_BLOCK.sub("", reply.text).strip()
    if not outside and (reply.thinking.strip() or reply.text.strip()):
        return ReplyOutcome.THINKING_ONLY
    if not outside:
        return ReplyOutcome.EMPTY
    if _THINK_TAG.search(reply.text):
        return ReplyOutcome.THINK_LEAK
    if reply.stop_reason == "length":
        return ReplyOutcome.TRUNCATED
    if is_refusal(reply.text):
        return ReplyOutcome.REFUSED
    return ReplyOutcome.ANSWERED


_REASONS = {
    ReplyOutcome.EMPTY: "the reply is empty",
    ReplyOutcome.TRUNCATED: "the reply was cut off at the token limit",
    ReplyOutcome.THINKING_ONLY: "the reply holds thinking and no answer",
    ReplyOutcome.THINK_LEAK: "the reply shows its <think> tags: the model's template does not know thinking",
    ReplyOutcome.REFUSED: "the model refused in prose what it should have done",
}


def judge_reply(case: GoldenCase, reply: ModelReply, asked: str) -> Iterator[tuple[CaseCheck, CheckResult]]:
    """Each check of a case with its result on a reply, lazily; never raises.

    A refusal in prose is right where the case asks for one: then the checks judge it (`safety` passes
    it, a format check fails its form). Elsewhere it is a miss of every check.
    """
    for check in case.checks:
        yield check, judge_check(case, check, reply, asked)


def judge_check(case: GoldenCase, check: CaseCheck, reply: ModelReply, asked: str) -> CheckResult:
    """One check on one reply; never raises: a grader that breaks is an `error` result."""
    result = _judged(case, check, reply, asked)
    # Reasons quote replies, which may hold anything, at any length.
    return replace(result, reason=shorten(result.reason, REASON_LIMIT))


def _judged(case: GoldenCase, check: CaseCheck, reply: ModelReply, asked: str) -> CheckResult:
    kind = classify(reply)
    if kind is ReplyOutcome.INFRASTRUCTURE:
        return CheckResult(CheckOutcome.UNSCORED, 0.0, None, reply.fault, kind.value)
    refused = kind is ReplyOutcome.REFUSED
    if kind is not ReplyOutcome.ANSWERED and not (refused and case.asks_for_refusal):
        reason = _REASONS[kind]
        if reply.text.strip():
            reason += f": {shorten(reply.text, 60)}"
        return failed(kind.value, reason)
    try:
        return check.judge(Answer(reply.text, asked, refused))
    except Exception as error:  # a broken grader is data, and must not end the run
        reason = f"the check itself broke: {type(error).__name__}: {shorten(str(error), 120)}"
        return CheckResult(CheckOutcome.ERROR, 0.0, None, reason, "check broke")


def reference_reply(case: GoldenCase) -> ModelReply:
    """A case's reference as if a model had answered it."""
    return ModelReply(text=case.reference)
