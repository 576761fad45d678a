"""What `python -m training fit` prints: answering, training, and the greatest lengths, as tables of GB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.checks.answers import shorten
from training.fit import Inference, Longest, Training, held_back
from training.fit_measure import Measured
from training.shape import Shape


@dataclass(frozen=True, slots=True)
class FitReport:
    """`memory` is the GPU's, in bytes; `measured` stands beside the training of the same place."""

    shape: Shape
    memory: int
    inferences: Sequence[Inference]
    trainings: Sequence[Training]
    lengths: Sequence[Longest]
    measured: Measured | None = None


def print_fit(console: Console, report: FitReport) -> None:
    """Three tables and what they rest on."""
    shape, room = report.shape, report.memory - held_back(report.memory)
    console.print(
        Text(f"{shorten(shape.name)}: {shape.parameters:,} parameters, {shape.layers} layers"),
        soft_wrap=True,
    )
    console.print(
        f"{_gb(report.memory)} GB of memory, {_gb(room)} of it to be had (driver, kernels and fragments take the rest)"
    )
    answering = _table("answering", "context", "weights", "cache", "all", "fits")
    for one in report.inferences:
        answering.add_row(
            one.quantisation,
            f"{one.length:,}",
            _gb(one.weights),
            _gb(one.cache),
            _gb(one.total),
            _fits(one.total, room),
        )
    console.print(answering)
    learning = _table("training", "rank", "length", "weights", "adapter", "step", "all", "fits")
    for plan in report.trainings:
        learning.add_row(
            plan.way if plan.plan.checkpointing else f"{plan.way}, all kept",
            str(plan.plan.rank),
            f"{plan.plan.length:,}",
            _gb(plan.weights),
            _gb(plan.adapter),
            _gb(plan.step),
            _gb(plan.total),
            _fits(plan.total, room),
        )
    console.print(learning)
    first = report.trainings[0]
    console.print(
        f"rank {first.plan.rank}: {first.trained:,} trained, {first.trained / (shape.parameters + first.trained):.2%} of all; "
        "'all kept' is without checkpointing"
    )
    if report.lengths:
        console.print(_lengths(report.lengths))
    if report.measured is not None:
        _print_measured(console, report.measured, first)


def _lengths(lengths: Sequence[Longest]) -> Table:
    ranks = sorted({one.rank for one in lengths})
    table = _table("longest example", *(f"rank {rank}" for rank in ranks))
    for way in dict.fromkeys(one.way for one in lengths):
        found = {one.rank: one.length for one in lengths if one.way == way}
        table.add_row(way, *(f"{found[rank]:,}" if found.get(rank) else "none" for rank in ranks))
    return table


def _print_measured(console: Console, measured: Measured, plan: Training) -> None:
    off = plan.total / measured.peak - 1
    console.print(
        f"measured on {shorten(measured.device)}: {_gb(measured.peak)} GB at the peak, estimated {_gb(plan.total)} "
        f"({off:+.1%})",
        markup=False,
    )
    share = f", {measured.share:.0%} of the card's peak" if measured.share is not None else ""
    console.print(f"{measured.tokens_per_s:,.0f} tokens/s{share}")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _fits(total: int, room: int) -> str:
    return "yes" if total <= room else "no"


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f}"
