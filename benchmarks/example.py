"""Makes `reports/example/` out of a recorded run: small enough to commit, and without paths of the machine.

    python -m benchmarks.example reports/RUN

Replies beyond 2,000 characters end in "…", so a replay of the example may judge those otherwise; all figures and
verdicts are those of the whole replies.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

LIMIT = 2000
EXAMPLE = Path("reports/example")


def make_example(run: Path, example: Path = EXAMPLE) -> None:
    """Write the example anew; `run` is the folder of a complete run."""
    shutil.rmtree(example, ignore_errors=True)
    example.mkdir(parents=True)
    for name in ("results.jsonl", "summary.json", "report.md"):
        shutil.copyfile(run / name, example / name)
    lines = (run / "replies.jsonl").read_text("ascii").splitlines()
    (example / "replies.jsonl").write_text(
        "".join(f"{json.dumps(_short(line))}\n" for line in lines), "ascii"
    )
    info = json.loads((run / "run.json").read_text("utf-8"))
    for name in ("golden", "reports"):
        info["settings"][name] = name
    for model in info["models"]:
        model["details"] = {key: value for key, value in model["details"].items() if key != "files"}
    (example / "run.json").write_text(json.dumps(info, indent=2) + "\n", "utf-8")


def _short(line: str) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(line)
    text = kept["reply"]["text"]
    if len(text) > LIMIT:
        kept["reply"]["text"] = text[:LIMIT] + "…"
    return kept


if __name__ == "__main__":
    make_example(Path(sys.argv[1]))
