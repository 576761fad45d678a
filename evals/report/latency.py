"""Latency as a table for the terminal, and as text: a line a model, cold and warm, each part as p50/p95."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from evals.checks.answers import shorten
from evals.latency import Figure, Latency
from evals.runs import RunInfo

# Heads of columns, and the parts below them.
COLUMNS = {
    "load s": "load_s",
    "first token s": "first_token_s",
    "prefill tok/s": "prefill_tokens_per_s",
    "decode tok/s": "decode_tokens_per_s",
    "total s": "total_s",
}
FULL_TABLE_COLUMNS = 78
LABEL_LIMIT = 70
LEGEND = "p50/p95 a request: 95% are at least as good as the p95; '-' was not told"
NARROW_LEGEND = "p50/p95 a request; '-' was not told"


def print_latency(console: Console, latencies: Sequence[Latency]) -> None:
    """Print the table; where it does not fit, each figure on a line of its own."""
    full = console.width >= FULL_TABLE_COLUMNS
    for line in latency_lines(latencies, full=full):
        style = "bold" if line and not line.startswith(" ") and line not in (LEGEND, NARROW_LEGEND) else ""
        console.print(Text(line, style=style), soft_wrap=True)


def latency_lines(latencies: Sequence[Latency], *, full: bool = True) -> Iterator[str]:
    """The table, model by model in the order given, and below each what its answers took."""
    if full:
        yield " " * 6 + "".join(f"{head:>14}" for head in COLUMNS)
    for model in dict.fromkeys(one.model for one in latencies):
        of_model = [one for one in latencies if one.model == model]
        yield shorten(model, LABEL_LIMIT)
        for one in of_model:
            yield from _row(one) if full else _list(one)
        yield from _below(of_model)
    yield LEGEND if full else NARROW_LEGEND


def latency_report(info: RunInfo, latencies: Sequence[Latency]) -> str:
    """`report.md` of a latency run. The table is indented, so that nothing in it is markup."""
    lines = ["# Golden Gate latency", "", *(f"    {line}" for line in latency_lines(latencies)), ""]
    lines += [f"- {one.model}: digest `{one.digest[:12]}`" for one in _each_model(latencies)]
    lines += [f"- run `{info.run}`, {info.started}, {info.wall_s:.0f} s", ""]
    return "\n".join(lines)


def _each_model(latencies: Sequence[Latency]) -> list[Latency]:
    named = {one.model: replace(one, model=shorten(one.model, LABEL_LIMIT)) for one in latencies}
    return list(named.values())


def _row(one: Latency) -> Iterator[str]:
    yield f"  {one.kind}" + "".join(f"{_cell(one.parts[name]):>14}" for name in COLUMNS.values())


def _list(one: Latency) -> Iterator[str]:
    yield f"  {one.kind}"
    for head, name in COLUMNS.items():
        yield f"    {head:<14}{_cell(one.parts[name])}"


def _below(of_model: Sequence[Latency]) -> Iterator[str]:
    n = ", ".join(f"{one.kind} {one.requests}" for one in of_model)
    told = of_model[-1]
    yield f"  n: {n}; tokens (median): prompt {_count(told.prompt_tokens)}, answer {_count(told.completion_tokens)}"
    yield from _taken(of_model)
    again = sum(one.asked_again for one in of_model)
    if again:
        yield f"  {again} requests were answered only when asked again; their last try is timed"


def _taken(of_model: Sequence[Latency]) -> Iterator[str]:
    """Memory and energy: the peak of all kinds, and the energy of warm answers, which waits for no loading."""
    told = [one.used for one in of_model if one.used.memory_bytes is not None]
    if told:
        most = max(told, key=lambda used: used.memory_bytes or 0)
        yield f"  memory: {_size(most.memory_bytes or 0)} ({most.memory_of})"
    parts: list[str] = []
    gpu = [one.used.gpu_memory_bytes for one in of_model if one.used.gpu_memory_bytes is not None]
    if gpu:
        parts.append(f"memory {_size(max(gpu))}")
    energy = of_model[-1].energy_j_per_1000_tokens
    if energy is not None:
        parts.append(f"{short(energy)} J per 1,000 tokens")
    if parts:
        yield f"  GPU, all that runs on it: {', '.join(parts)}"


def _cell(figure: Figure | None) -> str:
    return "-" if figure is None else f"{short(figure.p50)}/{short(figure.p95)}"


def short(value: float) -> str:
    """About three digits: `1432`, `48.1`, `2.04`, `0.031`."""
    for least, digits in ((100, 0), (10, 1), (1, 2)):
        if value >= least:
            return f"{value:.{digits}f}"
    return f"{value:.3f}"


def _count(tokens: float | None) -> str:
    return "-" if tokens is None else f"{tokens:.0f}"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
