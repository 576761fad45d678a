"""What every check is made of: its configuration, what a case expects of it, and its result.

A check is a frozen pydantic model (the entry under `checks:`) with a pure `judge` method. What a
case says under `expect:` is read by the check's `Expect` model, so that a misspelt field is found
by lint, not by a model that never fails.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Capability(enum.StrEnum):
    """What a check says something about. `format` is easy to train, the others are hard."""

    FORMAT = "format"
    CONTENT = "content"
    RECALL = "recall"
    REASONING = "reasoning"
    SAFETY = "safety"
    CONSISTENCY = "consistency"


# YAML has no enums: the word stands for the member.
CapabilityName = Annotated[Capability, Field(strict=False)]


class CheckOutcome(enum.StrEnum):
    """How a check ended. `unscored`: no reply came, so there was nothing to judge. `error`: the grader broke."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    UNSCORED = "unscored"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check on one reply.

    `value` is in [0, 1]; `extracted` is what the check read out of the reply (JSON-able; None when
    it could read nothing); `cause` is a few words to count failures by; `measures` are further
    figures in [0, 1], averaged per task in the summary.
    """

    outcome: CheckOutcome
    value: float
    extracted: Any
    reason: str
    cause: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)


def passed(extracted: Any, reason: str, *, value: float = 1.0, **measures: float) -> CheckResult:
    """A pass; `value` below 1 says how far above the bar it was."""
    return CheckResult(CheckOutcome.PASS, value, extracted, reason, "", measures)


def failed(
    cause: str, reason: str, *, extracted: Any = None, value: float = 0.0, **measures: float
) -> CheckResult:
    """A miss: `cause` to count by, `reason` for a person."""
    return CheckResult(CheckOutcome.FAIL, value, extracted, reason, cause, measures)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check looks at: the reply's text, what was asked, and whether it is a refusal in prose."""

    text: str
    asked: str = ""
    refused: bool = False


class Strict(BaseModel):
    """Base of all models of files that people write: no unknown keys, no coercion, no changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=False)


class NoExpect(Strict):
    """For checks that need nothing from the case."""


class Check(Strict, ABC):
    """One entry under `checks:`. Subclasses add fields, an `Expect` model and `judge`."""

    Expect: ClassVar[type[Strict]] = NoExpect
    # Whether judging takes so long that a run's start cannot wait for its references; lint does.
    costly: ClassVar[bool] = False

    kind: str
    capability: CapabilityName = Field(description="what this check says something about")
    name: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        description="unique within a case; the kind if left out",
    )

    @property
    def label(self) -> str:
        """The check's name in test ids and records."""
        return self.name or self.kind

    def applies(self, expect: Any) -> bool:
        """Whether the case gives this check something to judge. Decided before any model is asked."""
        return True

    def problems(self, expect: Any) -> list[str]:
        """What is wrong with the case's `expect` beyond its types. Lint shows each."""
        return []

    def can_run(self) -> bool:
        """Whether this machine can judge with it at all; lint leaves out what it cannot."""
        return True

    def expected(self, expect: Any) -> Any:
        """What the run record keeps of the case's expectation, for figures over many cases; mostly nothing."""
        return None

    @abstractmethod
    def judge(self, expect: Any, answer: Answer) -> CheckResult:
        """Judge a non-empty, whole reply. Pure; an exception is recorded as `error`, not raised."""
