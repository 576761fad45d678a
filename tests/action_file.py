"""The action and the example workflow, as tests read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / ".github" / "workflows" / "adapter-gate.yml"


def read(path: Path) -> Any:
    """The file with every scalar as text: in YAML 1.1 the key `on` is a truth value."""
    return yaml.load(path.read_text("utf-8"), yaml.BaseLoader)


def steps(path: Path) -> list[dict[str, Any]]:
    """The steps of the action, or of all jobs of the workflow."""
    data = read(path)
    found = (
        data["runs"]["steps"]
        if path == ACTION
        else [step for job in data["jobs"].values() for step in job["steps"]]
    )
    return [dict(step) for step in found]


def step(name: str) -> dict[str, Any]:
    """The step of the action with that name."""
    (found,) = [one for one in steps(ACTION) if one["name"] == name]
    return found
