"""The doctor's findings on the terminal: a row each, faults and warnings with their mend."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.report.visible import visible
from training.doctor import Finding

_STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red"}


def print_findings(console: Console, model: str, findings: Sequence[Finding]) -> None:
    """Print them as they were examined, and a sentence that sums up; it says all in words, without colour too."""
    table = Table.grid(padding=(0, 2))
    for one in findings:
        said = Text.assemble((one.name, "bold"), ": ", visible(one.what))
        if one.mend:
            said.append(f"\nmend: {visible(one.mend)}")
        table.add_row(Text(one.state, style=_STYLES[one.state]), said)
    console.print(table)
    console.print(Text(summed_up(model, findings)))


def summed_up(model: str, findings: Sequence[Finding]) -> str:
    """`qwen3:4b: 2 faults, 1 warning, 5 well`."""
    counts = {state: sum(one.state == state for one in findings) for state in ("fault", "warning", "ok")}
    parts = []
    if counts["fault"]:
        parts.append(f"{counts['fault']} {'fault' if counts['fault'] == 1 else 'faults'}")
    if counts["warning"]:
        parts.append(f"{counts['warning']} {'warning' if counts['warning'] == 1 else 'warnings'}")
    parts.append(f"{counts['ok']} well")
    return visible(f"{model}: {', '.join(parts)}")
