"""`latency.json` in a run's folder: pytest-benchmark's JSON, with what Golden Gate measured as its `extra_info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evals.errors import RunRecordError
from evals.latency import Latency

LATENCY_FILE = "latency.json"
HOW_TO_MEASURE = "to measure: pytest evals/test_latency.py --model SPEC"


def latencies_in(data: Any) -> tuple[Latency, ...]:
    """The measurements in pytest-benchmark's JSON.

    Raises `RunRecordError` if there are none, or if it is not the JSON of such a run.
    """
    try:
        found = tuple(Latency.from_json(one["extra_info"]) for one in data["benchmarks"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunRecordError(f"it holds no latencies as Golden Gate writes them: {error!r}") from error
    if not found:
        raise RunRecordError("it holds no measurement at all")
    return found


def read_latencies(run: Path) -> tuple[Latency, ...]:
    """The latencies that a run's folder keeps; raises `RunRecordError`."""
    path = run / LATENCY_FILE
    try:
        return latencies_in(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise RunRecordError(f"no latency was measured in {run}; {HOW_TO_MEASURE}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunRecordError(f"{path} cannot be read: {error}") from error
    except RunRecordError as error:
        raise RunRecordError(f"{path}: {error}") from error


def newest_latency_run(reports: Path) -> Path:
    """The run of which latencies were written last; raises `RunRecordError` if there is none."""
    try:
        written = [(path.stat().st_mtime_ns, path) for path in reports.glob(f"*/{LATENCY_FILE}")]
    except OSError as error:
        raise RunRecordError(f"{reports} cannot be read: {error.strerror or error}") from error
    if not written:
        raise RunRecordError(f"no run in {reports} has latencies; {HOW_TO_MEASURE}")
    return max(written)[1].parent
