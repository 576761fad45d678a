"""One task's folder, read and linted: files -> strict models -> a frozen `GoldenTask`, or every problem."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from evals.backends.base import ModelReply
from evals.cases import CaseCheck, CaseEntry, GoldenCase, GoldenTask, TaskFile, task_hash
from evals.checks import CHECKS
from evals.checks.base import Capability, Check, Strict
from evals.documents import Document, Location, dotted, read_document
from evals.errors import Problem
from evals.outcomes import judge_reply, reference_reply
from evals.prompts import PromptError, user_prompt
from evals.wording import problems_of

Model = TypeVar("Model", bound=Strict)

# One for all cases that expect nothing.
NOTHING: Mapping[str, Any] = MappingProxyType({})


class TaskReader:
    """Reads one task's folder, collecting problems; `thorough` also judges what takes long."""

    def __init__(self, folder: Path, *, thorough: bool, tasks: Collection[str]) -> None:
        self.folder = folder
        self.thorough = thorough
        self.tasks = tasks
        self.problems: list[Problem] = []
        self._nothing_expected: dict[type[Strict], Strict] = {}

    def read(self) -> GoldenTask | None:
        head_doc, problems = read_document(self.folder / "task.yaml")
        cases_doc, more = read_document(self.folder / "cases.yaml")
        self.problems += problems + more
        head = None if problems else self._model(TaskFile, head_doc, (), self._with_files(head_doc))
        declared = head_doc.value.get("checks") if isinstance(head_doc.value, dict) else None
        entries = self._entries(cases_doc, more)
        # Cases are bound to checks only if all of these are right: the rest would be noise.
        whole = head is not None
        if isinstance(declared, list):
            task_checks = self._checks(head_doc, ("checks",), declared)
            whole = whole and len(task_checks) == len(declared)
            whole = self._labels_differ(head_doc, ("checks",), task_checks) and whole
        own = [self._checks(cases_doc, (index, "checks"), entry.checks) for index, entry in entries]
        if head is None:
            return None
        self._check_head(head_doc, head)
        cases: list[GoldenCase] = []
        if whole:
            prompt = self._prompt(head_doc, head, entries)
            for (index, entry), more_checks in zip(entries, own, strict=True):
                if len(more_checks) == len(entry.checks):
                    checks = [*task_checks, *more_checks]
                    cases += self._case(head.task, prompt, cases_doc, index, entry, checks)
            self._check_judged(head_doc, head, cases)
        else:
            task_checks = []
        return GoldenTask(
            name=head.task,
            about=head.about,
            source=head.source,
            system=head.system or "",
            prompt=head.prompt,
            options=head.options,
            gate=head.gate,
            cases=tuple(cases),
            hash=task_hash(head, task_checks, cases),
        )

    def _check_head(self, doc: Document, head: TaskFile) -> None:
        if head.task != self.folder.name:
            what = f"is {head.task!r} in the folder {self.folder.name!r}"
            self._say(doc, ("task",), what, "make both the same")
        fractions: dict[Location, float] = {
            ("floors", name): value for name, value in head.gate.floors.items()
        }
        versus = head.gate.versus_baseline
        fractions |= {
            ("versus_baseline", field, name): value
            for field in ("non_inferior", "ratio", "guards")
            for name, value in getattr(versus, field).items()
        }
        for location, value in fractions.items():
            if not 0 <= value <= 1:
                what = f"{value:g} is no fraction between 0 and 1"
                self._say(doc, ("gate", *location), what, "0.95, not 95")
        for name in versus.guards:
            if name not in self.tasks or name == head.task:
                what = "is the task itself" if name == head.task else "there is no such task"
                self._say(doc, ("gate", "versus_baseline", "guards", name), what, "name another task")

    def _check_judged(self, doc: Document, head: TaskFile, cases: list[GoldenCase]) -> None:
        """Floors and comparisons of a capability that no check has would hold without a trial."""
        if self.problems:
            return
        judged = {check.capability for case in cases for check in case.checks}
        gate = head.gate
        named: list[tuple[Location, Capability]] = [(("floors", name), name) for name in gate.floors]
        superior = enumerate(gate.versus_baseline.superior)
        named += [(("versus_baseline", "superior", index), name) for index, name in superior]
        for field in ("non_inferior", "ratio"):
            named += [
                (("versus_baseline", field, name), name) for name in getattr(gate.versus_baseline, field)
            ]
        for location, capability in named:
            if capability not in judged:
                what = f"no check of this task has the capability {capability.value!r}"
                self._say(doc, ("gate", *location), what, "remove it or add a check")

    def _prompt(self, doc: Document, head: TaskFile, entries: Sequence[tuple[int, CaseEntry]]) -> str:
        """The task's prompt if it can be filled in, else a plain one, so that its problem is told once."""
        try:
            user_prompt(head.prompt, entries[0][1].input if entries else "input")
        except PromptError as error:
            self._say(doc, ("prompt",), f"cannot be filled in: {error}")
            return "{{ input }}"
        return head.prompt

    def _say(self, doc: Document, location: Location, what: str, mend: str = "") -> None:
        self.problems.append(Problem(doc.path, doc.line(location), dotted(location), what, mend))

    def _model(self, model: type[Model], doc: Document, at: Location, value: Any) -> Model | None:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            self.problems += problems_of(error, doc, at, model)
            return None

    def _entries(self, doc: Document, problems: list[Problem]) -> list[tuple[int, CaseEntry]]:
        if problems:
            return []
        if not isinstance(doc.value, list) or not doc.value:
            self._say(doc, (), "holds no list of cases", "each case starts with '- id: …'")
            return []
        made: dict[str, tuple[int, CaseEntry]] = {}
        for index, item in enumerate(doc.value):
            entry = self._model(CaseEntry, doc, (index,), item)
            if entry is None:
                continue
            if entry.id in made:
                line = doc.line((made[entry.id][0], "id"))
                what = f"{entry.id!r} is taken by the case in line {line}"
                self._say(doc, (index, "id"), what, "ids are unique within a task")
                continue
            made[entry.id] = (index, entry)
        return list(made.values())

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
        try:
            if not path.resolve().is_relative_to(self.folder.resolve()):
                what, mend = (
                    f"{name!r} lies outside the task's folder",
                    "keep a task's files beside its task.yaml",
                )
            elif not path.is_file():
                what, mend = f"there is no file {name!r} in {self.folder.name}/", "name a file of that folder"
            else:
                return path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            what, mend = f"{name!r} is not UTF-8", "save it as UTF-8"
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            what, mend = f"{name!r} cannot be read: {reason}", ""
        self._say(doc, location, what, mend)
        return None

    def _json_file(self, doc: Document, location: Location, name: str) -> Any:
        text = self._file(doc, location, name)
        if text is None:
            return {}
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            self._say(doc, location, f"{name!r} is not JSON: {error}", "")
            return {}

    def _checks(self, doc: Document, at: Location, entries: list[Any]) -> list[Check]:
        """The checks that could be made; what is no mapping has been reported by the file's model."""
        made: list[Check] = []
        for index, entry in enumerate(entries):
            location = (*at, index)
            if not isinstance(entry, dict):
                continue
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

    def _labels_differ(self, doc: Document, at: Location, checks: Sequence[Check]) -> bool:
        labels = [check.label for check in checks]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        for label in twice:
            self._say(doc, at, f"two checks are both called {label!r}", "give one of them another name:")
        return not twice

    def _case(
        self, task: str, prompt: str, doc: Document, index: int, entry: CaseEntry, checks: list[Check]
    ) -> list[GoldenCase]:
        """The case, or nothing if its problems leave none."""
        if not self._labels_differ(doc, (index, "checks"), checks):
            return []
        known = {field for check in checks for field in check.Expect.model_fields}
        for key in sorted(entry.expect.keys() - known):
            mend = f"fields here: {', '.join(sorted(known))}" if known else "remove it"
            self._say(doc, (index, "expect", key), f"no check of this case knows {key!r}", mend)
        bound: list[CaseCheck] = []
        sound = True
        for check in checks:
            wanted = {key: value for key, value in entry.expect.items() if key in check.Expect.model_fields}
            # Most checks of most cases expect nothing of their own: they share one object, a third of a kilobyte.
            expect = None if wanted else self._nothing_expected.get(check.Expect)
            if expect is None:
                expect = self._model(check.Expect, doc, (index, "expect"), wanted)
            if expect is None:
                return []
            if not wanted:
                self._nothing_expected[check.Expect] = expect
            for what in check.problems(expect):
                self._say(doc, (index, "expect"), f"{check.label}: {what}", "")
                sound = False
            if check.applies(expect):
                bound.append(CaseCheck(check, expect))
        if not bound:
            what = f"no check applies to case {entry.id!r}: it cannot fail"
            self._say(doc, (index,), what, "add one, or an expect")
            return []
        case = GoldenCase(
            task=task,
            id=entry.id,
            input=entry.input,
            expect=entry.expect or NOTHING,
            reference=entry.reference,
            tags=tuple(entry.tags),
            checks=tuple(bound),
            split=entry.split,
            wrong=tuple(entry.wrong),
            cluster=entry.cluster or "",
        )
        # Answers judged by an expectation that means nothing would only repeat its problem.
        for field, what in _answer_problems(case, prompt, thorough=self.thorough) if sound else ():
            self._say(doc, (index, *field), what, "")
        return [case]


def _answer_problems(case: GoldenCase, prompt: str, *, thorough: bool) -> Iterator[tuple[Location, str]]:
    """What keeps a case from being asked, its reference from passing, or its wrong answers from failing."""
    try:
        asked = user_prompt(prompt, case.input)
    except PromptError as error:
        yield ("input",), f"the task's prompt cannot be filled in: {error}"
        return
    if not asked.strip():
        yield ("input",), "makes an empty prompt"
        return
    able = [one for one in case.checks if not one.check.costly or (thorough and one.check.can_run())]
    judged = replace(case, checks=tuple(able))
    for check, result in judge_reply(judged, reference_reply(judged), asked):
        if result.outcome != "pass":
            yield ("reference",), f"fails its own check {check.label}: {result.reason}"
    if not thorough or len(able) < len(case.checks):
        return
    for number, text in enumerate(case.wrong):
        if all(result.outcome == "pass" for _, result in judge_reply(case, ModelReply(text=text), asked)):
            yield ("wrong", number), "passes every check, so it is no wrong answer"
