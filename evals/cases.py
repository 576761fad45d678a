"""Golden tasks and cases: read from `golden/`, checked, frozen.

Two shapes for each: a strict model of what people write (`TaskFile`, `CaseEntry`), and a frozen
object that the rest of the flow uses (`GoldenTask`, `GoldenCase`). `load_golden` raises with every
problem of every file, so that nothing is asked of a model on the ground of a broken case.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from evals.checks import CHECKS
from evals.checks.base import Answer, Capability, CapabilityName, Check, CheckResult, Strict
from evals.documents import Document, Location, dotted, read_document
from evals.errors import GoldenError, Problem, SettingsError

Model = TypeVar("Model", bound=Strict)

ID_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"


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

    superior: list[CapabilityName] = []
    non_inferior: dict[CapabilityName, float] = Field(default={}, description="capability -> margin")


class Gate(Strict):
    """Floors: the least pass rate per capability, as a fraction."""

    floors: dict[CapabilityName, float] = {}
    versus_baseline: VersusBaseline = VersusBaseline()


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
    tags: list[str] = []


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


def load_golden(folder: Path, tasks: Sequence[str] = ()) -> tuple[GoldenTask, ...]:
    """Read every task of a golden folder, or those named, in order of name.

    Raises `GoldenError` with all problems, and `SettingsError` for a folder or task that is not there.
    """
    found, problems = read_golden(folder, tasks)
    if problems:
        raise GoldenError(problems)
    return tuple(found)


def read_golden(folder: Path, tasks: Sequence[str] = ()) -> tuple[list[GoldenTask], list[Problem]]:
    """Like `load_golden`, with the problems returned instead of raised."""
    if not folder.is_dir():
        raise SettingsError(f"there is no golden folder {folder}; name one with --golden DIR")
    folders = {path.parent.name: path.parent for path in sorted(folder.glob("*/task.yaml"))}
    if not folders:
        raise SettingsError(
            f"{folder} holds no task (a folder with a task.yaml); `python -m evals new TASK` writes one"
        )
    if unknown := [name for name in tasks if name not in folders]:
        raise SettingsError(f"there is no task {unknown[0]!r} in {folder}; there are: {', '.join(folders)}")
    loaded: list[GoldenTask] = []
    problems: list[Problem] = []
    for name in tasks or folders:
        reader = _TaskReader(folders[name])
        task = reader.read()
        problems += reader.problems
        if task:
            loaded.append(task)
    return loaded, problems


class _TaskReader:
    """Reads one task's folder, collecting problems."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []

    def read(self) -> GoldenTask | None:
        head_doc, problems = read_document(self.folder / "task.yaml")
        cases_doc, more = read_document(self.folder / "cases.yaml")
        self.problems += problems + more
        if problems:
            return None
        head = self._model(TaskFile, head_doc, (), self._with_files(head_doc))
        if head is None:
            return None
        if head.task != self.folder.name:
            self._say(
                head_doc,
                ("task",),
                f"is {head.task!r} in the folder {self.folder.name!r}",
                "make both the same",
            )
        task_checks = self._checks(head_doc, ("checks",), head.checks)
        floors = {**head.gate.floors, **head.gate.versus_baseline.non_inferior}
        for capability, floor in floors.items():
            if not 0 <= floor <= 1:
                self._say(
                    head_doc,
                    ("gate",),
                    f"{capability}: {floor:g} is no fraction between 0 and 1",
                    "0.95, not 95",
                )
        entries = self._entries(cases_doc, more)
        cases: list[GoldenCase] = []
        first_lines: dict[str, int] = {}
        for index, entry in entries:
            line = cases_doc.line((index, "id"))
            if entry.id in first_lines:
                what = f"{entry.id!r} is taken by the case in line {first_lines[entry.id]}"
                self._say(cases_doc, (index, "id"), what, "ids are unique within a task")
                continue
            first_lines[entry.id] = line
            if case := self._case(head, cases_doc, index, entry, task_checks):
                cases.append(case)
        judged = {check.capability for case in cases for check in case.checks}
        for capability in head.gate.floors:
            if not self.problems and capability not in judged:
                what = f"floors.{capability}: no check of this task has that capability"
                self._say(head_doc, ("gate", "floors"), what, "remove the floor or add a check")
        return GoldenTask(
            name=head.task,
            about=head.about,
            source=head.source,
            system=head.system or "",
            prompt=head.prompt,
            options=head.options,
            gate=head.gate,
            cases=tuple(cases),
            hash=_task_hash(head, task_checks, cases),
        )

    def _say(self, doc: Document, location: Location, what: str, mend: str = "") -> None:
        self.problems.append(Problem(doc.path, doc.line(location), dotted(location), what, mend))

    def _model(self, model: type[Model], doc: Document, at: Location, value: Any) -> Model | None:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for one in error.errors():
                location = (*at, *one["loc"])
                self._say(doc, location, *_wording(one, model))
            return None

    def _entries(self, doc: Document, problems: list[Problem]) -> list[tuple[int, CaseEntry]]:
        if problems:
            return []
        if not isinstance(doc.value, list) or not doc.value:
            self._say(doc, (), "holds no list of cases", "each case starts with '- id: …'")
            return []
        made = [(index, self._model(CaseEntry, doc, (index,), item)) for index, item in enumerate(doc.value)]
        return [(index, entry) for index, entry in made if entry is not None]

    def _with_files(self, doc: Document) -> Any:
        """task.yaml's data with the files that it names read into it."""
        if not isinstance(doc.value, dict):
            return doc.value
        value = dict(doc.value)
        system = value.get("system")
        if isinstance(system, str) and "\n" not in system and system.endswith((".md", ".txt")):
            value["system"] = self._file(doc, ("system",), system)
        if isinstance(value.get("options"), dict):
            options = value["options"] = dict(value["options"])
            form = options.get("format")
            if isinstance(form, str) and form != "json":
                options["format"] = self._json_file(doc, ("options", "format"), form)
        return value

    def _file(self, doc: Document, location: Location, name: str) -> str | None:
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            self._say(
                doc,
                location,
                f"{name!r} lies outside the task's folder",
                "keep a task's files beside its task.yaml",
            )
        elif not path.is_file():
            self._say(doc, location, f"there is no file {name!r} in {self.folder.name}/", "")
        else:
            try:
                return path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                self._say(doc, location, f"{name!r} is not UTF-8", "save it as UTF-8")
        return None

    def _json_file(self, doc: Document, location: Location, name: str) -> Any:
        text = self._file(doc, location, name)
        if text is None:
            return {}
        try:
            return json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            self._say(doc, location, f"{name!r} is not JSON: {error}", "")
            return {}

    def _checks(self, doc: Document, at: Location, entries: list[dict[str, Any]]) -> list[Check]:
        made: list[Check] = []
        for index, entry in enumerate(entries):
            location = (*at, index)
            kind = entry.get("kind")
            if not isinstance(kind, str) or kind not in CHECKS:
                what = f"there is no check of kind {kind!r}" if kind else "has no kind"
                self._say(doc, (*location, "kind"), what, f"kinds: {', '.join(CHECKS)}")
                continue
            if kind == "json_schema" and isinstance(entry.get("schema"), str):
                before = len(self.problems)
                schema = self._json_file(doc, (*location, "schema"), entry["schema"])
                if len(self.problems) > before:
                    continue
                entry = {**entry, "schema": schema}
            if check := self._model(CHECKS[kind], doc, location, entry):
                made.append(check)
        return made

    def _case(
        self, head: TaskFile, doc: Document, index: int, entry: CaseEntry, task_checks: list[Check]
    ) -> GoldenCase | None:
        own = self._checks(doc, (index, "checks"), entry.checks)
        if len(own) < len(entry.checks):
            return None
        checks = [*task_checks, *own]
        labels = [check.label for check in checks]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            what = f"two checks of case {entry.id!r} are both called {twice[0]!r}"
            self._say(doc, (index, "checks") if own else (index,), what, "give one of them a name:")
            return None
        known = {field for check in checks for field in check.Expect.model_fields}
        for key in entry.expect.keys() - known:
            close = f"; fields here: {', '.join(sorted(known))}" if known else ""
            self._say(doc, (index, "expect", key), f"no check of this case knows {key!r}{close}", "")
        bound: list[CaseCheck] = []
        for check in checks:
            wanted = {key: value for key, value in entry.expect.items() if key in check.Expect.model_fields}
            expect = self._model(check.Expect, doc, (index, "expect"), wanted)
            if expect is None:
                return None
            for what in check.problems(expect):
                self._say(doc, (index, "expect"), f"{check.label}: {what}", "")
            if check.applies(expect):
                bound.append(CaseCheck(check, expect))
        if not bound:
            self._say(
                doc,
                (index,),
                f"no check applies to case {entry.id!r}: it cannot fail",
                "add one, or an expect",
            )
            return None
        case = GoldenCase(
            task=head.task,
            id=entry.id,
            input=entry.input,
            expect=entry.expect,
            reference=entry.reference,
            tags=tuple(entry.tags),
            checks=tuple(bound),
        )
        for field, what in _reference_problems(case, head.prompt):
            self._say(doc, (index, field), what, "")
        return case


def _reference_problems(case: GoldenCase, prompt: str) -> Iterator[tuple[str, str]]:
    """What keeps a case from being asked, or its reference from passing."""
    from evals.outcomes import judge_reply, reference_reply
    from evals.prompts import PromptError, user_prompt

    try:
        asked = user_prompt(prompt, case)
    except PromptError as error:
        yield "input", f"the task's prompt cannot be filled in: {error}"
        return
    if not asked.strip():
        yield "input", "makes an empty prompt"
        return
    for check, result in judge_reply(case, reference_reply(case), asked):
        if result.outcome != "pass":
            yield "reference", f"fails its own check {check.label}: {result.reason}"


def _wording(error: Any, model: type[Strict]) -> tuple[str, str]:
    """A pydantic error in the words of someone who writes YAML, and the mend."""
    kind = error["type"]
    if kind == "extra_forbidden":
        names = [field.alias or name for name, field in model.model_fields.items()]
        mend = f"keys here: {', '.join(names)}" if len(error["loc"]) == 1 else "see `python -m evals schema`"
        return "unknown key", mend
    if kind == "missing":
        return "is missing", ""
    if kind == "value_error":
        return str(error["ctx"]["error"]), ""
    if kind == "string_pattern_mismatch":
        return (
            f"{error['input']!r} is no valid name",
            "small letters, digits, - and _, starting with a letter or digit",
        )
    given = error["input"]
    shown = "" if isinstance(given, (dict, list)) else f", got {given!r}"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}{shown}", ""


def _task_hash(head: TaskFile, task_checks: Sequence[Check], cases: Sequence[GoldenCase]) -> str:
    """SHA-256 over what is asked and how it is judged; `about`, tags, references and floors left out."""

    def as_written(check: Check) -> dict[str, Any]:
        return check.model_dump(mode="json", by_alias=True, exclude_unset=True)

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
