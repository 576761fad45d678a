"""How xdist shares a golden run out: all tests of a model to one worker, so that each model is loaded once.

An own scheduler, because `--dist loadgroup` does nothing on pytest 9.2 with xdist 3.8 and hangs when a worker dies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from evals.controller import param_id


class ModelScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types for it
    """Load scheduling whose scope is the model; `models` maps a test's parameter id to its model's label."""

    def __init__(self, config: pytest.Config, log: Any, models: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._models = models

    def _split_scope(self, nodeid: str) -> str:
        scope = self._models.get(param_id(nodeid))
        return scope if scope is not None else super()._split_scope(nodeid)
