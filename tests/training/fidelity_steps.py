"""Made-up answers of made-up steps, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.fidelity_findings import Finding, Kind, diagnose
from training.fidelity_measure import Given, Measured, Step, measure

CASES = tuple(f"c{number:02}" for number in range(20))
PEFT = Step("transformers, adapter", "hf:base+adapter", "transformers")
LLAMA = Step("llama.cpp, adapter", "gguf:base+adapter", "llama.cpp", PEFT.label)
MERGED = Step("transformers, merged", "hf:merged", "transformers", PEFT.label, merged=True)
F16 = Step("Ollama, f16", "x:f16", "Ollama", MERGED.label, merged=True)
Q8 = Step("Ollama, q8_0", "x:q8", "Ollama", F16.label, merged=True, quantization="Q8_0")
Q4 = Step("Ollama, q4_K_M", "x:q4", "Ollama", F16.label, merged=True, quantization="Q4_K_M")
STEPS = (PEFT, LLAMA, MERGED, F16, Q8, Q4)
TEXT = "The answer of this case is the number {}, as was asked."


def given(
    cases: Sequence[str] = CASES,
    *,
    misses: Sequence[str] = (),
    texts: Mapping[str, str] | None = None,
    more_tokens: Mapping[str, int | None] | None = None,
    faults: Sequence[str] = (),
) -> dict[str, Given]:
    """One step's answers: all right and alike, but for what is named; `more_tokens` None is not told."""
    tokens = more_tokens or {}
    return {
        case: Given(
            {"format": True, "content": case not in misses},
            (texts or {}).get(case, TEXT.format(case)),
            None if tokens.get(case, 0) is None else 40 + place + (tokens.get(case) or 0),
            "no whole reply within 300 s" if case in faults else "",
        )
        for place, case in enumerate(cases)
    }


def measured(
    changed: Mapping[Step, Mapping[str, Given]], steps: Sequence[Step] = STEPS
) -> tuple[Measured, ...]:
    """All steps, alike but for those that are changed."""
    return measure(steps, {step.label: changed.get(step, given()) for step in steps})


def found(changed: Mapping[Step, Mapping[str, Given]], steps: Sequence[Step] = STEPS) -> tuple[Finding, ...]:
    return diagnose(measured(changed, steps))


def kinds(findings: Sequence[Finding]) -> list[tuple[Kind, str]]:
    return [(one.kind, one.step) for one in findings]
