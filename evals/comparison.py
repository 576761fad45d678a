"""`(candidate, baseline, policy) -> Verdict`: whether the candidate may replace the baseline. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from evals.checks.answers import shorten
from evals.differences import differences, graded, noise
from evals.lowered import lowered
from evals.pairing import RunSide, pair, unsound_value
from evals.policy import Policy, requirements
from evals.requirements import requirement
from evals.verdict import Decision, Requirement, Side, Status, Verdict

# The weightiest first.
_ORDER: tuple[Status, ...] = ("failed", "open", "shown")
# Replies that are an answer, be it one that refuses.
ANSWERS = ("answered", "refused")
NOTHING_ASKED = "no policy asks for anything that was compared; name one with --policy, or write `versus_baseline` into task.yaml"


def compare(
    candidate: RunSide,
    baseline: RunSide,
    policy: Policy,
    *,
    gate_problems: Sequence[str],
    partial: str = "",
    notes: Sequence[str] = (),
    spared: int | None = None,
) -> Verdict:
    """The verdict over the candidate's cases.

    `gate_problems` are the reasons why the candidate's own gate does not hold, `partial` tells what its run left out
    (such as "20 of 50 cases"), '' if nothing: a part is never promoted.

    To promote, all requirements have to be shown, each at its own level. That is an intersection-union test (Berger
    1982, Technometrics 24:295): a candidate that lacks even one of them is promoted in at most 5% of runs, so the
    requirements need no correction for their number. `p_holm` is for whoever picks out single rows.

    Raises `RunMismatch` where the baseline did not ask the same, or there is nothing to compare.
    """
    paired = pair(candidate, baseline)
    pairs = {(one.task, one.capability): one.pairs for one in paired}
    judged: dict[str, list[str]] = {}
    for one in paired:
        judged.setdefault(one.task, []).append(one.capability)
    required = requirements(policy, judged, candidate.tasks)
    found = [requirement(one, pairs[one.task, one.capability]) for one in required.asked]
    unsound = [*_unsound(candidate, "candidate"), *_unsound(baseline, "baseline")]
    problems = [
        *gate_problems,
        *lowered(baseline.tasks, candidate.tasks, floors_only=bool(policy.name)),
        *unsound,
        *_unanswered(candidate),
        *baseline_gaps({(one.task, one.case) for one in candidate.records}, baseline),
        *(() if partial else required.problems),
    ]
    decision = _decision(problems, partial, found)
    lacking = [one.more_cases for one in found if one.status == "open"]
    known = [more for more in lacking if more is not None]
    more = max(known) if decision == "inconclusive" and known and len(known) == len(lacking) else None
    return Verdict(
        verdict=decision,
        sentence=_sentence(decision, candidate, baseline, partial, found, more),
        reasons=tuple(_reasons(problems, partial, found)),
        candidate=_side(candidate),
        baseline=_side(baseline),
        requirements=tuple(found),
        differences=tuple(differences(paired)),
        graded=() if unsound else tuple(graded(candidate, baseline)),
        noise=tuple(noise(baseline)),
        more_cases=more,
        notes=(*notes, *_notes(candidate, baseline), *(required.problems if partial else ())),
        spared=spared,
    )


def _decision(problems: Sequence[str], partial: str, found: Sequence[Requirement]) -> Decision:
    if problems or any(one.status == "failed" for one in found):
        return "block"
    if found and not partial and all(one.status == "shown" for one in found):
        return "promote"
    return "inconclusive"


def _sentence(
    decision: Decision,
    candidate: RunSide,
    baseline: RunSide,
    partial: str,
    found: Sequence[Requirement],
    more: int | None,
) -> str:
    if decided := may_replace(decision, candidate.model.label, baseline.model.label):
        return decided
    if not found:
        return f"Inconclusive: {NOTHING_ASKED}."
    if partial:
        return f"Inconclusive: only a part was compared ({partial})."
    if more is None:
        return "Inconclusive: no number of cases would show what is asked, as things stand."
    return f"Inconclusive: about {more:,} more {'case is' if more == 1 else 'cases are'} needed."


def may_replace(decision: Decision, candidate: str, baseline: str) -> str:
    """What promote and block say of two models; '' where nothing is decided."""
    words = {"promote": "Promote: {} may replace {}.", "block": "Block: {} may not replace {}."}
    return words.get(decision, "").format(shorten(candidate), shorten(baseline))


def _reasons(problems: Sequence[str], partial: str, found: Sequence[Requirement]) -> Iterator[str]:
    yield from problems
    if not found:
        yield NOTHING_ASKED
    if partial:
        yield f"only a part was compared: {partial}"
    yield from (one.sentence for one in sorted(found, key=lambda one: _ORDER.index(one.status)))


def _unsound(side: RunSide, what: str) -> list[str]:
    """The first value of a side that is no number to compare with."""
    found = ((one, unsound_value(one)) for one in side.records)
    return next(
        (
            [f"the {what}'s record of {shorten(f'{one.task}/{one.case}')} cannot be used: {why}"]
            for one, why in found
            if why
        ),
        [],
    )


def _unanswered(candidate: RunSide) -> list[str]:
    """A candidate that never answered is not merely worse."""
    outcomes = Counter(one.outcome for one in candidate.records)
    if any(outcomes[name] for name in ANSWERS):
        return []
    kinds = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(outcomes.items()))
    return [
        f"the candidate {shorten(candidate.model.label)} answered nothing: of {outcomes.total()} requests {kinds}"
    ]


def baseline_gaps(cases: Collection[tuple[str, str]], baseline: RunSide) -> list[str]:
    """What the baseline has no result of would count as a miss, in favour of the candidate.

    `cases` are the (task, case) that are compared, each once.
    """
    records = [one for one in baseline.records if (one.task, one.case) in cases]
    lost = sum(one.outcome == "infrastructure" for one in records)
    unjudged = sum(
        check.outcome in ("unscored", "error")
        for one in records
        if one.outcome != "infrastructure"
        for check in one.checks
    )
    repeats = len({one.repeat for one in records})
    missing = len(cases) * repeats - len(records)
    gaps = [f"{lost} of {len(records)} requests brought no reply"] if lost else []
    gaps += [f"{missing} {'was' if missing == 1 else 'were'} never asked"] if missing else []
    gaps += [f"{unjudged} {'check' if unjudged == 1 else 'checks'} came to no result"] if unjudged else []
    if not gaps:
        return []
    return [
        f"the baseline {shorten(baseline.model.label)} is not whole: {', '.join(gaps)}; they would count for the candidate, "
        "so ask it again"
    ]


def _notes(candidate: RunSide, baseline: RunSide) -> Iterator[str]:
    if candidate.model.digest == baseline.model.digest:
        yield (
            f"candidate and baseline are the same weights ({shorten(candidate.model.digest)[:12]}): what differs is chance, or the server, not the model"
        )
    if not any(one.outcome in ANSWERS for one in baseline.records):
        yield f"the baseline {shorten(baseline.model.label)} gave no whole answer at all: it is no hard one to beat"


def _side(side: RunSide) -> Side:
    return Side(side.model.label, side.model.digest, side.runs)
