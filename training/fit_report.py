"""What `python -m training fit` tells: answering, training, and the greatest lengths, as tables of GB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.checks.answers import shorten
from training.fit import (
    BITS,
    RANKS,
    Inference,
    Longest,
    Training,
    Trainings,
    Way,
    held_back,
    inference,
    plan_of,
)
from training.fit_measure import Measured, measure
from training.shape import Shape, read_config, read_shape

_ANY_WIDTH = 1000


@dataclass(frozen=True, slots=True)
class FitReport:
    """`memory` is the GPU's, in bytes; `measured` stands beside the training of the same place."""

    shape: Shape
    memory: int
    inferences: Sequence[Inference]
    trainings: Sequence[Training]
    lengths: Sequence[Longest]
    measured: Measured | None = None


def report_of(base: str, memory: int, *, length: int, rank: int, batch: int, measured: bool) -> FitReport:
    """What is told of a base and a GPU of `memory` bytes, for examples of `length` tokens.

    With `measured` the first training is also run, on the GPU here. Raises `TrainingError` for a base whose config
    cannot be read, and where nothing can be measured.
    """
    config = read_config(base)
    shape = read_shape(config, base)
    trainings = Trainings(config, shape)
    ways: tuple[Way, ...] = ("bf16", "qlora", "fp32")
    plans = {way: plan_of(way, rank, length, batch=batch) for way in ways}
    estimates = [
        trainings.estimate(way, replace(plan, checkpointing=kept))
        for way, plan in plans.items()
        for kept in (True, False)
    ]
    lengths = [
        trainings.longest(way, replace(plan, rank=one), memory)
        for way, plan in plans.items()
        for one in RANKS
    ]
    return FitReport(
        shape,
        memory,
        [inference(shape, name, length) for name in BITS],
        estimates,
        lengths,
        measure(config, shape, estimates[0]) if measured else None,
    )


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
    first = report.trainings[0]
    if shape.context is not None and first.plan.length > shape.context:
        console.print(
            f"{first.plan.length:,} tokens are more than the model's context of {shape.context:,}: no example of that length "
            "can be trained"
        )
    answering = [
        {
            "answering": one.quantisation,
            "context": f"{one.length:,}",
            "weights": _gb(one.weights),
            "cache": _gb(one.cache),
            "all": _gb(one.total),
            "fits": _fits(one.total, room),
        }
        for one in report.inferences
    ]
    _print_table(console, answering, short=("answering", "context", "all", "fits"))
    learning = [
        {
            "training": plan.way if plan.plan.checkpointing else f"{plan.way}, all kept",
            "rank": str(plan.plan.rank),
            "length": f"{plan.plan.length:,}",
            "weights": _gb(plan.weights),
            "adapter": _gb(plan.adapter),
            "step": _gb(plan.step),
            "all": _gb(plan.total),
            "fits": _fits(plan.total, room),
        }
        for plan in report.trainings
    ]
    _print_table(console, learning, short=("training", "length", "all", "fits"))
    console.print(
        f"rank {first.plan.rank}: {first.trained:,} trained, {first.trained / (shape.parameters + first.trained):.2%} of all; "
        "'all kept' is without checkpointing"
    )
    if report.lengths:
        _print_table(console, _lengths(report.lengths))
    if report.measured is not None:
        _print_measured(console, report.measured, first)


def _lengths(lengths: Sequence[Longest]) -> list[dict[str, str]]:
    found = {(one.rank, one.way): one.length for one in lengths}
    ways = dict.fromkeys(one.way for one in lengths)
    return [
        {"longest example": f"rank {rank}"}
        | {way: f"{length:,}" if (length := found.get((rank, way))) else "none" for way in ways}
        for rank in sorted({one.rank for one in lengths})
    ]


def _print_measured(console: Console, measured: Measured, plan: Training) -> None:
    off = plan.total / measured.peak - 1
    console.print(
        f"measured on {shorten(measured.device)}: {_gb(measured.peak)} GB at the peak, estimated {_gb(plan.total)} "
        f"({off:+.1%})",
        markup=False,
    )
    share = f", {measured.share:.0%} of the card's peak" if measured.share is not None else ""
    console.print(f"{measured.tokens_per_s:,.0f} tokens/s{share}")


def _print_table(console: Console, rows: Sequence[Mapping[str, str]], short: Sequence[str] = ()) -> None:
    """All columns, or those of `short` where the terminal is too narrow for all: no figure is broken into two."""
    table = _table(rows, list(rows[0]))
    needed = console.measure(table, options=console.options.update(max_width=_ANY_WIDTH)).maximum
    if short and needed > console.width:
        table = _table(rows, short)
    console.print(table)


def _table(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        if place == 0:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table


def _fits(total: int, room: int) -> str:
    return "yes" if total <= room else "no"


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f}"
