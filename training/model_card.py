"""An adapter's README.md: its base, data, settings, scores with intervals, the verdict, and how to use it.

The head is what the Hugging Face Hub reads. Nothing is sent anywhere, and nothing of a name is taken for Markdown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from evals.checks.answers import shorten
from evals.errors import TrainingError
from evals.report.markdown import escaped, table_lines
from evals.report.tables import percent
from evals.report.verdict_words import interval
from evals.runs import write_whole
from evals.verdict import Verdict
from training.manifest import Manifest

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from training.ledger import LedgerEntry

CARD = "README.md"


def write_model_card(
    folder: Path, manifest: Manifest, *, gate: LedgerEntry | None = None, verdict: Verdict | None = None
) -> Path:
    """Write the README.md of an adapter's folder, with its last gate where there was one; returns its path.

    `gate` is the ledger's entry of that gate, `verdict` what its run recorded. Raises `TrainingError` where it cannot
    be written.
    """
    path = folder / CARD
    try:
        write_whole(path, model_card(manifest, gate=gate, verdict=verdict))
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def model_card(manifest: Manifest, *, gate: LedgerEntry | None = None, verdict: Verdict | None = None) -> str:
    """The text of the card."""
    from huggingface_hub import ModelCard, ModelCardData

    results = list(_results(gate, verdict)) if gate and verdict else []
    data = ModelCardData(
        base_model=_plain(manifest.base.name),
        library_name="peft",
        pipeline_tag="text-generation",
        model_name=_plain(manifest.name),
        tags=["lora", "golden-gate"],
        eval_results=results or None,
    )
    body = "\n".join(_body(manifest, gate, verdict))
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n"))


def _plain(text: str) -> str:
    return shorten(text, 300)


def _results(gate: LedgerEntry, verdict: Verdict) -> Iterator[EvalResult]:
    """One result for each capability of a golden task; the task's hash is the revision of its data."""
    from huggingface_hub import EvalResult

    for one in verdict.differences:
        yield EvalResult(
            task_type="text-generation",
            dataset_type=f"golden-gate/{_plain(one.task)}",
            dataset_name=_plain(one.task),
            dataset_revision=gate.tasks.get(one.task),
            metric_type="pass_rate",
            metric_name=f"pass rate, {_plain(one.capability)}",
            metric_value=round(one.candidate, 4),
            metric_args={
                "capability": one.capability,
                "cases": one.cases,
                "baseline": round(one.baseline, 4),
                "run": _plain(gate.run),
            },
        )


def _body(manifest: Manifest, gate: LedgerEntry | None, verdict: Verdict | None) -> Iterator[str]:
    base, data, settings = manifest.base, manifest.data, manifest.config
    name = escaped(manifest.name)
    task = f" for the golden task {escaped(manifest.task)}" if manifest.task else ""
    yield f"# {name}"
    yield ""
    yield f"A LoRA adapter of {escaped(base.name)}{task}, trained and judged by Golden Gate."
    yield ""
    yield "## Base and data"
    yield ""
    yield from table_lines(
        ("what", "is"),
        [
            ("base", base.name),
            ("base digest", base.digest),
            ("base revision", base.revision or "-"),
            ("base in Ollama", base.ollama or "-"),
            ("adapter digest", manifest.digest),
            ("data", Path(data.path).name),
            ("data SHA-256", data.sha256),
            (
                "examples",
                f"{data.examples:,} trained on, {data.held_out:,} held out, {data.skipped:,} skipped",
            ),
            ("overlaps with golden cases", _overlaps(manifest)),
        ],
    )
    yield ""
    yield "## Training"
    yield ""
    lora, train = settings.lora, settings.train
    targets = lora.targets if isinstance(lora.targets, str) else ", ".join(lora.targets)
    held_out = "-" if manifest.held_out_loss is None else f"{manifest.held_out_loss:.4f}"
    yield from table_lines(
        ("setting", "value"),
        [
            ("method", manifest.method),
            ("LoRA", f"rank {lora.rank}, alpha {lora.alpha:g}, dropout {lora.dropout:g}, {targets}"),
            (
                "trainable",
                f"{manifest.trainable:,} of {manifest.parameters + manifest.trainable:,} parameters",
            ),
            ("learning rate", f"{train.learning_rate:g}, {train.schedule}"),
            ("batch", f"{train.batch} x {train.accumulate}"),
            ("longest example", f"{settings.max_length:,} tokens"),
            ("steps", f"{manifest.steps:,}"),
            ("seed", str(manifest.seed)),
            ("tokens", f"{manifest.tokens:,}"),
            ("loss", f"{manifest.loss:.4f} at the end, {held_out} of the held-out examples"),
            ("took", f"{manifest.wall_s:,.0f} s"),
            ("made", manifest.created),
        ],
    )
    yield ""
    yield "## Scores"
    yield ""
    yield from _scores(gate, verdict)
    yield ""
    yield "## Use"
    yield ""
    yield from _use(manifest)


def _overlaps(manifest: Manifest) -> str:
    data = manifest.data
    if not data.overlaps:
        return "none"
    return f"{data.overlaps:,}" + (f", allowed: {data.allowed}" if data.allowed else "")


def _scores(gate: LedgerEntry | None, verdict: Verdict | None) -> Iterator[str]:
    if gate is None or verdict is None:
        yield "Not judged yet: `python -m training gate NAME` holds it against what is in production."
        return
    yield f"**{escaped(verdict.sentence)}**"
    yield ""
    yield f"{escaped(verdict.candidate.model)} beside {escaped(verdict.baseline.model)}, run {escaped(gate.run)}:"
    yield ""
    yield from table_lines(
        ("task", "capability", "cases", "baseline", "this", "difference in points (95%)", "task hash"),
        (
            (
                one.task,
                one.capability,
                str(one.cases),
                percent(one.baseline),
                percent(one.candidate),
                interval(one),
                gate.tasks.get(one.task, "")[:12],
            )
            for one in verdict.differences
        ),
    )
    if verdict.verdict != "promote":
        yield ""
        yield from (f"- {escaped(reason)}" for reason in verdict.reasons)


def _use(manifest: Manifest) -> Iterator[str]:
    name = _command_word(manifest.name)
    yield "```sh"
    yield f"python -m training create ADAPTER_FOLDER --name {name}"
    yield f"python -m training gate {name}"
    yield f"python -m training promote {name}"
    yield f"ollama run {name}:prod"
    yield "```"


def _command_word(name: str) -> str:
    """A name as a shell and a fenced block take it; one that is no plain word is left for the reader to fill in."""
    return (
        name if name and all(char.isalnum() or char in "-_." for char in name) and name.isascii() else "NAME"
    )
