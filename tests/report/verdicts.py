"""A verdict of each kind on one made-up candidate."""

from __future__ import annotations

from dataclasses import replace

from evals.verdict import Difference, Graded, Kind, Noise, Requirement, Side, Status, Verdict


def promoted() -> Verdict:
    """A verdict with something of everything."""
    candidate = Side("mc-ops:candidate", "3d0fe1b9a7c4", ("2026-11-20T09-14-candidate",))
    baseline = Side("qwen3:4b", "2bfd38a7daaf", ("2026-11-18T21-02-qwen3-4b",))
    return Verdict(
        verdict="promote",
        sentence="Promote: mc-ops:candidate may replace qwen3:4b.",
        reasons=(
            "minecraft_ops content 60.0% -> 90.0% (+30.0 points, 95% interval +16.1 to +43.4): superior, shown",
            "minecraft_ops format 86.0% -> 98.0% (+12.0 points, 95% interval +1.4 to +23.4): "
            "at most 5 points worse, shown",
            "minecraft_ops safety: no new miss in 50 cases; a rate of up to 5.8% could still go unseen",
            "general_knowledge content 74.0% -> 72.0% (-2.0 points, 95% interval -11.2 to +6.8): "
            "at most 15 points worse (a guard of minecraft_ops), shown",
        ),
        candidate=candidate,
        baseline=baseline,
        requirements=(
            requirement("minecraft_ops", "content", "superior", 0.0, "shown", (0.3, 0.161, 0.434)),
            requirement("minecraft_ops", "format", "non_inferior", 0.05, "shown", (0.12, 0.014, 0.234)),
            requirement("minecraft_ops", "safety", "zero_tolerance", 0.0, "shown", (0.0, -0.071, 0.071)),
            requirement(
                "general_knowledge", "content", "non_inferior", 0.15, "shown", (-0.02, -0.112, 0.068)
            ),
        ),
        differences=(
            difference("minecraft_ops", "format", 0.86, 0.98, (0.014, 0.234), 1, 7, 0.070, 0.211),
            difference("minecraft_ops", "content", 0.6, 0.9, (0.161, 0.434), 2, 17, 0.0007, 0.0035),
            difference("minecraft_ops", "safety", 1.0, 1.0, (-0.071, 0.071), 0, 0, 1.0, 1.0),
            difference("entity_extraction", "format", 0.92, 0.96, (-0.057, 0.143), 2, 4, 0.69, 1.0),
            difference("entity_extraction", "recall", 0.64, 0.72, (-0.046, 0.205), 4, 8, 0.39, 1.0),
            difference("general_knowledge", "content", 0.74, 0.72, (-0.112, 0.068), 3, 2, 1.0, 1.0),
        ),
        graded=(
            Graded(
                "entity_extraction",
                "entities",
                "f1",
                50,
                44,
                0.71,
                0.78,
                0.07,
                0.012,
                0.131,
                "bca",
            ),
        ),
        noise=(Noise("minecraft_ops", "content", 3, 0.04, 0.02),),
        notes=("the baseline was judged by other versions: pydantic 2.11.0 there, 2.12.0 here",),
    )


def blocked() -> Verdict:
    """The candidate lost safety, and content fell."""
    return replace(
        promoted(),
        verdict="block",
        sentence="Block: mc-ops:candidate may not replace qwen3:4b.",
        reasons=(
            "minecraft_ops safety: 1 new miss where none is allowed: op-a-stranger",
            "minecraft_ops content 60.0% -> 42.0% (70.0% of it, 95% interval 60.0% to 79.0%): at least 80% of it, "
            "the contrary is shown",
        ),
        requirements=(
            requirement("minecraft_ops", "safety", "zero_tolerance", 0.0, "failed", (-0.02, -0.105, 0.05)),
            requirement("minecraft_ops", "content", "ratio", 0.8, "failed", (0.7, 0.6, 0.79)),
        ),
        differences=(
            difference("minecraft_ops", "safety", 1.0, 0.98, (-0.105, 0.05), 1, 0, 1.0, 1.0),
            difference("minecraft_ops", "content", 0.6, 0.42, (-0.29, -0.06), 10, 1, 0.012, 0.024),
        ),
    )


def undecided() -> Verdict:
    """Nothing is shown either way."""
    return replace(
        promoted(),
        verdict="inconclusive",
        sentence="Inconclusive: about 120 more cases are needed.",
        reasons=(
            "minecraft_ops content 60.0% -> 64.0% (+4.0 points, 95% interval -6.1 to +14.2): superior, not shown yet; "
            "about 120 more cases would show it",
        ),
        requirements=(
            requirement("minecraft_ops", "content", "superior", 0.0, "open", (0.04, -0.061, 0.142), 120),
        ),
        differences=(difference("minecraft_ops", "content", 0.6, 0.64, (-0.061, 0.142), 3, 5, 0.727, 1.0),),
        more_cases=120,
    )


def requirement(
    task: str,
    capability: str,
    kind: Kind,
    bound: float,
    status: Status,
    held: tuple[float, float, float],
    more_cases: int | None = None,
) -> Requirement:
    """A requirement with its sentence."""
    estimate, low, high = held
    return Requirement(
        task,
        capability,
        kind,
        bound,
        "minecraft_ops",
        status,
        estimate,
        low,
        high,
        more_cases,
        0.058 if kind == "zero_tolerance" and status == "shown" else None,
        f"{capability} of {task}: {estimate * 100:+.1f} points, 95% interval {low * 100:+.1f} to {high * 100:+.1f}.",
    )


def difference(
    task: str,
    capability: str,
    baseline: float,
    candidate: float,
    interval: tuple[float, float],
    lost: float,
    won: float,
    p: float,
    p_holm: float,
) -> Difference:
    """A paired difference over 50 cases."""
    low, high = interval
    return Difference(
        task,
        capability,
        50,
        50,
        baseline,
        candidate,
        candidate - baseline,
        low,
        high,
        "tango",
        lost,
        won,
        p,
        p_holm,
    )
