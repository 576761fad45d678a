"""How xdist shares a golden run out: all tests of a model to one worker, so that each model is loaded once.

An own scheduler, because `--dist loadgroup` does nothing on pytest 9.2 with xdist 3.8, and because a run has to
survive its workers. When one dies, xdist's `LoadScopeScheduling` reports the test under way as failed; it may then
wait for ever, having given the new worker a unit with nothing left in it, or a single test without the next one,
before which no worker begins. Here what a dead worker left is asked again, once, and the run ends by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from evals.controller import name_of


class ModelScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types for it
    """Load scheduling whose scope is the model; `models` maps a test's name to its model's label.

    `tell` is called with a sentence for the run's notes. Registers itself with `config` as a plugin, to see which
    tests were judged.
    """

    def __init__(
        self, config: pytest.Config, log: Any, models: Mapping[str, str], tell: Callable[[str], None]
    ) -> None:
        super().__init__(config, log)
        self._models = models
        self._tell = tell
        self._judged: set[str] = set()
        self._crashed: set[str] = set()
        self._left: set[str] = set()
        config.pluginmanager.register(self, "goldengate-scheduler")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what has a result: its worker may still die before it says that the test is complete."""
        if hasattr(report, "goldengate"):
            self._judged.add(report.nodeid)

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Take a worker's tests in; one that came later and found others than the first is sent home."""
        if node not in self.assigned_work:
            return  # it was sent home while it collected
        super().add_node_collection(node, collection)
        if node in self.registered_collections:
            return
        self._tell(
            "a new worker found other cases than the run began with: they were changed meanwhile; "
            "what a dead worker left is asked again only where a worker of the beginning is free"
        )
        node.shutdown()
        if all(one.shutting_down for one in self.nodes):
            self.workqueue.clear()  # nobody can take it; what has no result counts as missing

    def remove_node(self, node: Any) -> str | None:
        """Take a worker out; what a dead one left goes back to the front of the queue.

        Returns the test that was under way if it was so for the second time: xdist then reports it as crashed.
        Raises `KeyError` for a worker that never had work, as xdist expects.
        """
        workload: dict[str, dict[str, bool]] = self.assigned_work.pop(node)
        if self.collection is None:
            self.registered_collections.pop(node, None)  # its successor's will stand in for it
        crashed = self._crash(workload)
        for scope, unit in reversed(workload.items()):
            if not all(unit.values()):
                self.workqueue[scope] = unit
                self.workqueue.move_to_end(scope, last=False)
                self._left.add(scope)
        for other in self.nodes:
            self._reschedule(other)
        return crashed

    def _crash(self, workload: Mapping[str, dict[str, bool]]) -> str | None:
        """Count the crash against the test under way, the first that is not complete; it if that is its second."""
        for unit in workload.values():
            for nodeid, complete in unit.items():
                if complete:
                    continue
                if nodeid in self._judged:
                    unit[nodeid] = True
                elif nodeid in self._crashed:
                    unit[nodeid] = True
                    return nodeid
                else:
                    self._crashed.add(nodeid)
                return None
        return None

    def _reschedule(self, node: Any) -> None:
        # Before the tests are first shared out nobody is sent home; a worker that still collects is called again after.
        if self.collection is None or node.shutting_down or node not in self.registered_collections:
            return
        # A worker begins a test only when it knows the next one, or that there is none.
        while self.workqueue and self._pending_of(self.assigned_work[node]) < 2:
            self._assign_work_unit(node)
        if not self.workqueue:
            node.shutdown()

    def _assign_work_unit(self, node: Any) -> None:
        scope = next(iter(self.workqueue))
        # A worker that died this moment cannot be told; the news of its death is under way and puts the unit back.
        with contextlib.suppress(OSError):
            super()._assign_work_unit(node)
        if scope in self._left:
            self._left.discard(scope)
            self._tell(f"a worker died while asking {scope}: the cases that it left were asked again")

    def _split_scope(self, nodeid: str) -> str:
        scope = self._models.get(name_of(nodeid))
        return scope if scope is not None else super()._split_scope(nodeid)
