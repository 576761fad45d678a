"""Golden tasks and cases: read from `golden/`, checked, frozen.

Two shapes for each: a strict model of what people write (`TaskFile`, `CaseEntry`), and a frozen
object that the rest of the flow uses (`GoldenTask`, `GoldenCase`). `load_golden` raises with every
problem of every file, so that nothing is asked of a model on the ground of a broken case.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from evals.checks.base import Answer, Capability, CapabilityName, Check, CheckResult, Strict
from evals.consistency import AgreementName
from evals.errors import GoldenError, Problem, SettingsError

ID_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"

# `dev` cases may be looked at while prompts are written and training data is drawn; `gate` cases only judge.
Split = Literal["dev", "gate"]


class Options(Strict):
    """How a model is sampled. Defaults make answers repeatable: temperature 0, seed 0, no thinking."""

    max_tokens: int = Field(default=512, ge=1, description="most tokens of an answer, thinking included")
    temperature: float = Field(default=0.0, ge=0)
    seed: int = 0
    num_ctx: int = Field(default=4096, ge=64, description="context length in tokens, prompt and answer")
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    repeat_penalty: float | None = Field(default=None, gt=0)
    stop: list[str] = Field(default=[], description="texts at which an answer ends")
    think: bool | Literal["low", "medium", "high"] = Field(
        default=False, description="thinking, where the model has it"
    )
    format: Literal["json"] | dict[str, Any] | None = Field(
        default=None,
        description="constrain the answer: 'json', a schema file of the task, or an inline schema",
    )


class VersusBaseline(Strict):
    """What a comparison with a baseline must show, by capability."""

    superior: list[CapabilityName] = Field(default=[], description="must be better than the baseline")
    non_inferior: dict[CapabilityName, float] = Field(
        default={},
        description="must not be worse by more than this margin, a fraction; 0: no new miss at all",
    )
    ratio: dict[CapabilityName, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="must reach this share of the baseline's pass rate"
    )
    guards: dict[Annotated[str, Field(pattern=ID_PATTERN)], float] = Field(
        default={},
        description="other tasks, each not worse by more than this margin in any of its capabilities",
    )


class Gate(Strict):
    """Floors: the least pass rate per capability and, of repeats, the least agreement; as fractions."""

    floors: dict[CapabilityName, float] = {}
    versus_baseline: VersusBaseline = VersusBaseline()
    agreement: dict[AgreementName, Annotated[float, Field(ge=0, le=1)]] = Field(
        default={}, description="least agreement of repeats with each other, as a fraction"
    )


class TaskFile(Strict):
    """`golden/<task>/task.yaml`."""

    task: str = Field(pattern=ID_PATTERN)
    about: str = Field(min_length=1, description="one line")
    source: str = Field(min_length=1, description="where the cases come from")
    system: str | None = Field(default=None, description="a .md or .txt file of the task, or the text itself")
    options: Options = Options()
    prompt: str = Field(default="{{ input }}", description="jinja2, sandboxed")
    checks: list[dict[str, Any]] = Field(min_length=1, description="every case gets these")
    gate: Gate = Gate()


class CaseEntry(Strict):
    """One entry of `golden/<task>/cases.yaml`."""

    id: str = Field(pattern=ID_PATTERN, max_length=80, description="small letters, digits, - and _")
    input: str = Field(min_length=1)
    expect: dict[str, Any] = {}
    checks: list[dict[str, Any]] = Field(default=[], description="added to the task's")
    reference: str = Field(min_length=1, description="an answer that passes every check")
    wrong: list[str] = Field(
        default=[], description="plausible answers that miss a check; lint holds you to it"
    )
    split: Split = Field(
        default="gate", description="dev: may be used for prompts and training data; gate: judges only"
    )
    tags: list[str] = Field(default=[], description="the first is the difficulty: easy, medium or hard")
    cluster: str | None = Field(
        default=None,
        pattern=ID_PATTERN,
        description="cases of one cluster, such as those of one source note, are not independent of each other",
    )


@dataclass(frozen=True, slots=True)
class CaseCheck:
    """A check bound to what one case expects of it."""

    check: Check
    expect: Strict

    @property
    def label(self) -> str:
        return self.check.label

    @property
    def capability(self) -> Capability:
        return self.check.capability

    def judge(self, answer: Answer) -> CheckResult:
        """Judge one whole reply; pure."""
        return self.check.judge(self.expect, answer)


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One case, ready to be asked and judged. `checks` are those that apply to it."""

    task: str
    id: str
    input: str
    expect: Mapping[str, Any]
    reference: str
    tags: tuple[str, ...]
    checks: tuple[CaseCheck, ...]
    split: Split = "gate"
    wrong: tuple[str, ...] = ()
    cluster: str = ""

    @property
    def asks_for_refusal(self) -> bool:
        return bool(self.expect.get("refuse"))


@dataclass(frozen=True, slots=True)
class GoldenTask:
    """One task. `hash` covers what is asked and how it is judged: runs compare only where it is equal."""

    name: str
    about: str
    source: str
    system: str
    prompt: str
    options: Options
    gate: Gate
    cases: tuple[GoldenCase, ...]
    hash: str

    @property
    def floors(self) -> dict[str, float]:
        """The least pass rate by capability."""
        return {capability.value: floor for capability, floor in self.gate.floors.items()}


def load_golden(folder: Path, tasks: Sequence[str] = ()) -> tuple[GoldenTask, ...]:
    """Read every task of a golden folder, or those named, in order of name.

    Each run does this, so what takes long is left to lint: answers of checks that are `costly`, and wrong answers.

    Raises `GoldenError` with all problems, and `SettingsError` for a folder or task that is not there.
    """
    found, problems = read_golden(folder, tasks, thorough=False)
    if problems:
        raise GoldenError(problems)
    return tuple(found)


def read_golden(
    folder: Path, tasks: Sequence[str] = (), *, thorough: bool = True
) -> tuple[list[GoldenTask], list[Problem]]:
    """Like `load_golden`, with the problems returned instead of raised; `thorough` as lint looks."""
    if not folder.is_dir():
        raise SettingsError(f"there is no golden folder {folder}; name one with --golden DIR")
    # A folder with cases and no task.yaml is a task that somebody forgot, not something else.
    files = [path for name in ("task.yaml", "cases.yaml") for path in folder.glob(f"*/{name}")]
    folders = {path.parent.name: path.parent for path in sorted(files)}
    if not folders:
        raise SettingsError(
            f"{folder} holds no task (a folder with a task.yaml); `python -m evals new TASK` writes one"
        )
    if unknown := [name for name in tasks if name not in folders]:
        raise SettingsError(f"there is no task {unknown[0]!r} in {folder}; there are: {', '.join(folders)}")
    from evals.task_folder import TaskReader  # it makes what this module defines

    loaded: list[GoldenTask] = []
    problems: list[Problem] = []
    for name in dict.fromkeys(tasks or folders):
        reader = TaskReader(folders[name], thorough=thorough, tasks=folders.keys())
        task = reader.read()
        problems += reader.problems
        if task:
            loaded.append(task)
    return loaded, problems


def task_hash(head: TaskFile, task_checks: Sequence[Check], cases: Sequence[GoldenCase]) -> str:
    """SHA-256 over what is asked and how it is judged; `about`, tags, splits, references, wrong answers and floors
    left out."""

    written: dict[int, dict[str, Any]] = {}

    def as_written(check: Check) -> dict[str, Any]:
        # The task's checks are the same objects in every case.
        if id(check) not in written:
            written[id(check)] = check.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return written[id(check)]

    asked = head.model_dump(mode="json", include={"task", "system", "options", "prompt"})
    asked["checks"] = [as_written(check) for check in task_checks]
    asked["cases"] = {
        case.id: {
            "input": case.input,
            "expect": dict(case.expect),
            "checks": [as_written(one.check) for one in case.checks],
        }
        for case in cases
    }
    return content_hash(asked)


def content_hash(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: sorted keys, no spaces, ASCII."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
