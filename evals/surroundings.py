"""What a record keeps of where it was made: versions, the machine, the commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = (
    *("goldengate", "pytest", "pytest-xdist", "ollama", "xllamacpp", "jsonschema", "mecha", "regex"),
    *("markdown-it-py", "py3langid", "rapidfuzz"),
)


def versions(*more: str) -> dict[str, str]:
    """Versions of Python, of the packages that results depend on, and of `more` packages, where they are installed."""
    found = {"python": platform.python_version()}
    for name in (*_PACKAGES, *more):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """The machine: system, processor, cores, memory in bytes."""
    memory = psutil.virtual_memory().total
    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
    }


def git_state(folder: Path) -> dict[str, Any]:
    """Commit and dirty flag of the working tree that holds `folder`; empty where there is none."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {}
