"""A run's candidate beside its baseline: what is read and refused before anything is asked, and the verdict at the end."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evals.backends.base import Model, ModelSpec, parse_spec
from evals.cases import GoldenTask
from evals.checks.answers import shorten
from evals.comparison import baseline_gaps, compare, may_replace
from evals.curtailment import Settled
from evals.errors import SettingsError
from evals.lowered import lowered
from evals.options import RunSettings
from evals.pairing import Facts, RunSide, pass_rates, refuse_mismatch
from evals.policy import Asked, Policy, Required, policy_of_tasks, read_policy, requirements
from evals.recorded_side import read_side
from evals.report.compared import comment_markdown
from evals.runs import CaseRecord, task_facts, write_whole
from evals.surroundings import versions
from evals.verdict import Decision, Verdict


class Against:
    """What a run's one candidate is compared with: another model of the run, or a recorded run.

    Raises `SettingsError` unless there is one candidate, and it is not the baseline itself.
    """

    def __init__(self, settings: RunSettings, candidates: Sequence[ModelSpec]) -> None:
        if len(candidates) > 1:
            names = ", ".join(spec.text for spec in candidates)
            raise SettingsError(
                f"--baseline judges one candidate, and there are {len(candidates)}: {names}. Of several, the best "
                "would be picked by chance; compare them one by one"
            )
        self.candidate = candidates[0]
        self.model = parse_spec(settings.baseline) if settings.baseline else None
        if self.model == self.candidate:
            raise SettingsError(f"--baseline {settings.baseline} is the candidate itself")
        self._settings = settings
        self._recorded: RunSide | None = None
        self._facts: Facts = {}
        self._notes: list[str] = []
        self._certain: list[str] = []
        self.policy = Policy("", {})

    @property
    def named(self) -> str:
        """The baseline, for a person: `base:1`, or `base:1 in the run 20260101-…`."""
        side = self._recorded
        if side is None:
            return self.model.text if self.model else ""
        return f"{side.model.label} ({side.model.digest[:12]}) in the run {', '.join(side.runs)}"

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """The models of the run, the baseline first."""
        return (self.candidate,) if self.model is None else (self.model, self.candidate)

    def begin(self, tasks: Sequence[GoldenTask], golden: Sequence[GoldenTask]) -> None:
        """Read the policy and a recorded baseline; `tasks` hold the cases that were chosen of the `golden` ones.

        Raises `GoldenGateError` where they do not fit what is to be asked.
        """
        settings = self._settings
        facts = self._facts = task_facts(tasks)
        self.policy = read_policy(Path(settings.policy)) if settings.policy else policy_of_tasks(facts)
        if problems := self._required(golden).problems:
            raise SettingsError("\n".join(["the comparison cannot show what is asked of it:", *problems]))
        if settings.baseline_run:
            self._recorded = read_side(settings.baseline_run, Path(settings.reports))
            refuse_mismatch(
                self._recorded, facts, [(task.name, case.id) for task in tasks for case in task.cases]
            )
            self._notes = other_versions(self._recorded.versions, versions())

    def certain(self, cases: Collection[tuple[str, str]]) -> list[str]:
        """What blocks the candidate whatever it answers: bars that were lowered since a recorded baseline, and results
        that this one lacks of the (task, case) that are to be compared. A sentence each."""
        if self._recorded is not None:
            floors_only = bool(self.policy.name)
            self._certain = [
                *lowered(self._recorded.tasks, self._facts, floors_only=floors_only),
                *baseline_gaps(cases, self._recorded),
            ]
        return self._certain

    def asked(self, tasks: Sequence[GoldenTask]) -> Sequence[Asked]:
        """What the policy asks to be shown of these tasks."""
        return self._required(tasks).asked

    def _required(self, tasks: Sequence[GoldenTask]) -> Required:
        judged = {
            task.name: {check.capability.value for case in task.cases for check in case.checks}
            for task in tasks
        }
        return requirements(self.policy, judged, task_facts(tasks))

    def recorded_rates(self) -> Mapping[tuple[str, str], Mapping[str, float]] | None:
        """A recorded baseline's pass rate by (task, capability) and case; None for a model of the run."""
        return None if self._recorded is None else pass_rates(self._recorded.records)

    def verdict(
        self,
        run: str,
        models: Sequence[Model],
        tasks: Sequence[GoldenTask],
        records: Sequence[CaseRecord],
        *,
        problems: Sequence[str],
        partial: str,
        settled: Settled | None,
        spared: int | None,
    ) -> Verdict:
        """What the run says of its candidate; `problems` are those of its own gate, `partial` what it left out."""
        facts = task_facts(tasks)
        sides = {
            model.label: RunSide(model, (run,), facts, [one for one in records if one.model == model.label])
            for model in models
        }
        baseline = self._recorded or sides[self.model.text if self.model else ""]
        found = compare(
            sides[self.candidate.text],
            baseline,
            self.policy,
            gate_problems=problems,
            notes=self._notes,
            partial=partial,
            spared=spared,
        )
        return found if settled is None else as_settled(found, settled, [*problems, *self._certain])


def as_settled(found: Verdict, settled: Settled, problems: Sequence[str] = ()) -> Verdict:
    """A comparison of what was judged before an early stop, with the verdict that the stop was for.

    `problems` stand against the candidate whatever its cases would have brought, so they block it.
    """
    decision: Decision = "block" if problems else settled.decision
    reasons = (*problems, *(settled.reasons if decision == settled.decision else ()))
    statuses = {
        (asked.task, asked.capability, asked.kind): status for asked, status in settled.statuses.items()
    }
    requirements = tuple(
        replace(one, status=statuses.get((one.task, one.capability, one.kind), "open"), more_cases=None)
        for one in found.requirements
    )
    return replace(
        found,
        verdict=decision,
        sentence=may_replace(decision, found.candidate.model, found.baseline.model)
        or "Inconclusive: the cases that there are cannot tell.",
        reasons=tuple(dict.fromkeys(reasons)),
        requirements=requirements,
        more_cases=None,
        notes=(
            *found.notes,
            "asking was stopped early: the figures are of the cases that were judged until then",
        ),
    )


def other_versions(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """A note where a baseline was judged by other versions than the candidate, by whose rules verdicts may differ."""
    names = [name for name in here if name in there and there[name] != here[name]]
    told = ", ".join(f"{name} {shorten(there[name])} there, {shorten(here[name])} here" for name in names)
    return [f"the baseline was judged by other versions: {told}"] if told else []


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Put verdict.json and comment.md, for a pull request, beside a run's results; raises `OSError`."""
    write_whole(folder / "verdict.json", json.dumps(verdict.to_json(), indent=2) + "\n")
    write_whole(folder / "comment.md", comment_markdown(verdict))
