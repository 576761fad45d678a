"""Recorded answers: the form of a snapshot, and what is otherwise between a recorded answer and a new one. Pure.

A snapshot is the answer's bytes as they are (UTF-8), after one line that holds what the text does not say: why the model
stopped, and whether it had thought, as in `stop_reason: length, thinking`. Nothing in it names the model's digest: a
model created anew that answers the same is the same.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from evals.backends.base import ModelReply
from evals.cases import GoldenCase
from evals.errors import SnapshotError
from evals.flips import Flip
from evals.outcomes import judge_check

Verdict = Literal["same", "drift", "flipped", "unrecorded", "uncompared"]
Direction = Literal["worse", "better", "other"]

# In a run's folder, a JSON line each answer that was compared.
SNAPSHOTS_FILE = "snapshots.jsonl"

HEAD = "stop_reason: "
THINKING = ", thinking"
# What stands for the thinking of a recorded answer: it was there, and its text is not kept.
THOUGHT = "(not recorded)"
# Comparing lines takes their product at worst; what goes on behind these of either answer is not compared.
DIFF_LINES_READ = 1000


def snapshot_form(reply: ModelReply) -> bytes:
    """An answer as it is recorded."""
    # A server names the reason, and may name anything: it must stay on its line, and free of the mark behind it.
    reason = json.dumps(reply.stop_reason)[1:-1].replace(",", "\\u002c")
    head = f"{HEAD}{reason}{THINKING if reply.thinking.strip() else ''}\n"
    return (head + reply.text).encode("utf-8", "surrogatepass")


def recorded_reply(data: bytes) -> ModelReply:
    """The answer that a snapshot holds; raises `SnapshotError` for bytes that are none."""
    try:
        head, line_end, text = data.decode("utf-8", "surrogatepass").partition("\n")
    except UnicodeDecodeError as error:
        raise SnapshotError("it is no text in UTF-8") from error
    if not (line_end and head.startswith(HEAD)):
        raise SnapshotError(f"its first line does not begin with '{HEAD.strip()}'")
    try:
        stop_reason = json.loads(f'"{head.removeprefix(HEAD).removesuffix(THINKING)}"')
    except ValueError as error:
        raise SnapshotError("its first line holds no stop reason that can be read") from error
    return ModelReply(text=text, thinking=THOUGHT if head.endswith(THINKING) else "", stop_reason=stop_reason)


@dataclass(frozen=True, slots=True)
class Compared:
    """A case's answer beside the recorded one.

    same: the same bytes. drift: other bytes, and every check ends as it did. flipped: a check ends otherwise. unrecorded:
    nothing is recorded yet. uncompared: there was no answer, or no snapshot that can be read. `diff` is in unified form,
    without line ends. `written` tells of a snapshot that was recorded now, `problem` why its test fails.
    """

    model: str
    task: str
    case: str
    verdict: Verdict
    flips: tuple[Flip, ...] = ()
    diff: tuple[str, ...] = ()
    written: bool = False
    problem: str = ""

    @property
    def is_new(self) -> bool:
        """Whether it was recorded for the first time now."""
        return self.written and self.verdict == "unrecorded"

    @property
    def breaks_strictness(self) -> bool:
        """Whether `--snapshot-strict` forbids it: it flipped or is unrecorded. What is recorded now is accepted."""
        return not self.written and self.verdict in ("flipped", "unrecorded")

    @property
    def direction(self) -> Direction:
        """`worse` if any check that passed does so no more, else `better` if any passes that did not."""
        directions = [direction(flip) for flip in self.flips]
        order: tuple[Direction, ...] = ("worse", "better")
        return next((one for one in order if one in directions), "other")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Compared:
        flips = tuple(Flip(**flip) for flip in data["flips"])
        return cls(**{**data, "flips": flips, "diff": tuple(data["diff"])})


@dataclass(frozen=True, slots=True)
class SnapshotResults:
    """All answers of a run beside the recorded ones, and how many files are there, or were `removed`, of cases that are
    gone."""

    compared: Sequence[Compared]
    left_over: int = 0
    removed: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many answers are same, drift and so on; `new` are those recorded for the first time now."""
        found = Counter("new" if one.is_new else one.verdict for one in self.compared)
        order = ("same", "drift", "flipped", "new", "unrecorded", "uncompared")
        return {name: found[name] for name in order if found[name]}


def snapshot_problems(compared: Sequence[Compared], *, strict: bool) -> list[str]:
    """What stands against a run: answers that could not be compared; if `strict`, those that are not as recorded too."""
    problems: list[str] = []
    if broken := sum(bool(one.problem) for one in compared):
        problems.append(f"{broken} of {len(compared)} answers could not be compared with their snapshots")
    if strict and (others := sum(one.breaks_strictness for one in compared)):
        problems.append(
            f"{others} of {len(compared)} answers flipped or are unrecorded, which --snapshot-strict forbids"
        )
    return problems


def direction(flip: Flip) -> Direction:
    """Where a check's outcome went: to `pass`, away from it, or neither (a check that broke)."""
    if flip.now == "pass":
        return "better"
    return "worse" if flip.before == "pass" else "other"


def compare(model: str, case: GoldenCase, asked: str, old: bytes | None, reply: ModelReply) -> Compared:
    """A new answer beside the recorded one, both judged by today's checks, so that a flip is the model's.

    `asked` is the last message that both answer. Raises `SnapshotError` where `old` is no snapshot.
    """
    new = snapshot_form(reply)
    if old is None:
        return Compared(model, case.task, case.id, "unrecorded")
    if old == new:
        return Compared(model, case.task, case.id, "same")
    flips = tuple(_flips(model, case, asked, recorded_reply(old), reply))
    verdict: Verdict = "flipped" if flips else "drift"
    return Compared(model, case.task, case.id, verdict, flips, tuple(diff_lines(old, new)))


def _flips(model: str, case: GoldenCase, asked: str, old: ModelReply, new: ModelReply) -> list[Flip]:
    found: list[Flip] = []
    for check in case.checks:
        before, now = (judge_check(case, check, reply, asked) for reply in (old, new))
        if before.outcome is not now.outcome:
            flip = Flip(
                model=model,
                task=case.task,
                case=case.id,
                repeat=0,
                check=check.label,
                before=before.outcome.value,
                now=now.outcome.value,
                reason_before=before.reason,
                reason=now.reason,
            )
            found.append(flip)
    return found


def diff_lines(old: bytes, new: bytes) -> list[str]:
    r"""Two snapshots as a unified diff, without line ends; only `\n` ends a line, so that `\r\n` is seen to differ."""
    before, now = (_lines(data) for data in (old, new))
    cut = len(before) > DIFF_LINES_READ or len(now) > DIFF_LINES_READ
    found = list(
        difflib.unified_diff(before[:DIFF_LINES_READ], now[:DIFF_LINES_READ], "snapshot", "now", lineterm="")
    )
    return [*found, f"… only the first {DIFF_LINES_READ:,} lines of each were compared"] if cut else found


def _lines(data: bytes) -> Sequence[str]:
    return data.decode("utf-8", "backslashreplace").split("\n")
