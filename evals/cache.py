"""Where files live that may be fetched or answered again: model weights, the response store."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from evals.errors import SettingsError


def cache_folder() -> Path:
    """The user's cache folder for Golden Gate, made on demand; `GOLDENGATE_CACHE` overrides it.

    Raises `SettingsError` if it cannot be made.
    """
    chosen = os.environ.get("GOLDENGATE_CACHE")
    folder = Path(chosen) if chosen else platformdirs.user_cache_path("goldengate", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"the cache folder {folder} cannot be made: {error.strerror or error}; "
            "name another one in the environment variable GOLDENGATE_CACHE"
        ) from error
    return folder
