"""xdist's own session and our scheduler, with workers that are played: they work, die and are replaced in any order."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdist.dsession import DSession

from evals.scheduler import ModelScheduling

HOME = -1  # stands for the command to shut down, in a worker's queue


class PlayedWorker:
    """A worker as xdist's session sees it. Like a real one it begins a test only when it knows what comes next.

    Each `step` is what a real one does between two points at which it may die.
    """

    def __init__(self, name: str, spec: Any, tests: Sequence[str], put: Callable[[Any], None]) -> None:
        self.gateway = SimpleNamespace(id=name, spec=spec)
        self.workeroutput = {"exitstatus": 0, "shouldfail": False, "shouldstop": False}
        self.workerinfo: dict[str, Any]
        self.shutting_down = False
        self.over = False
        self.running: int | None = None
        self._tests = list(tests)
        self._put = put
        self._queue: deque[int] = deque()
        self._next: int | None = None
        self._reported = False
        self._starting = [
            lambda: self._say("workerready", workerinfo={}),
            lambda: self._say("collectionfinish", ids=self._tests),
        ]

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        if self.over:
            raise OSError("cannot send (already closed?)")
        self._queue.extend(indices)

    def shutdown(self) -> None:
        self._queue.append(HOME)
        self.shutting_down = True

    @property
    def test(self) -> str | None:
        """What it is at."""
        return None if self.running is None else self._tests[self.running]

    @property
    def blocked(self) -> bool:
        """Whether it waits for a command, or has ended."""
        return self.over or not (self._starting or self.running is not None or self._queue)

    def step(self) -> None:
        if self._starting:
            self._starting.pop(0)()
        elif self.running is None:
            self._take()
        elif not self._reported:
            self._say("testreport", rep=report_of(self._tests[self.running]))
            self._reported = True
        else:
            self._say("runtest_protocol_complete", item_index=self.running, duration=0.0)
            self.running, self._reported = None, False
            if self._next == HOME:
                self._end()

    def die(self) -> None:
        self.over = True
        self._say("errordown", error="Not properly terminated")

    def _take(self) -> None:
        taken = self._queue.popleft()
        if self._next is None:
            self._next = taken
            if taken == HOME:
                self._end()
        else:
            self.running, self._next = self._next, taken

    def _end(self) -> None:
        self.over = True
        self._say("workerfinished")

    def _say(self, event: str, **more: Any) -> None:
        self._put((event, {"node": self, **more}))


def report_of(nodeid: str) -> pytest.TestReport:
    report = pytest.TestReport(nodeid, ("", None, ""), {}, "passed", None, "call")
    report.goldengate = "{}"  # type: ignore[attr-defined]
    return report


class PlayedRun:
    """A run of xdist's session over some models' tests, on played workers."""

    def __init__(self, sizes: Sequence[int], workers: int, restarts: int | None = None) -> None:
        self.models = {f"test_golden[m{model}-{n}]": f"m{model}" for model, n in pairs(sizes)}
        self.tests = [f"evals/test_golden.py::{name}" for name in self.models]
        self.notes: list[str] = []
        self.judged: Counter[str] = Counter()
        self.crashed: Counter[str] = Counter()
        self.workers: list[PlayedWorker] = []
        option = SimpleNamespace(
            debug=False,
            loadscopereorder=True,
            verbose=0,
            numprocesses=None,
            maxworkerrestart=None if restarts is None else str(restarts),
        )
        values = {"maxfail": 0, "tx": [f"{workers}*popen"]}
        config: Any = SimpleNamespace(
            option=option,
            getvalue=values.__getitem__,
            hook=self,
            pluginmanager=SimpleNamespace(getplugin=lambda name: None, register=lambda *plugin: None),
        )
        self.xdist: Any = DSession(config)
        self.xdist._session = SimpleNamespace()
        self.xdist.shouldstop = False
        self.xdist.nodemanager = SimpleNamespace(group=self, setup_node=self.new_worker)
        self.scheduling = ModelScheduling(config, self.xdist.log, self.models, self.notes.append)
        self.xdist.sched = self.scheduling
        for _ in range(workers):
            self.xdist._active_nodes.add(self.new_worker(SimpleNamespace(), self.xdist.queue.put))

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if not hook.startswith("pytest_"):
            raise AttributeError(hook)
        return lambda **given: None

    def allocate_id(self, spec: Any) -> None:
        """xdist names the replacement of a worker."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Every report of the run, as the hook of the controlling process gets them."""
        (self.judged if report.passed else self.crashed)[report.nodeid] += 1
        self.scheduling.pytest_runtest_logreport(report)

    def new_worker(self, spec: Any, put: Callable[[Any], None]) -> PlayedWorker:
        """A worker that starts."""
        self.workers.append(PlayedWorker(f"gw{len(self.workers)}", spec, self.tests, put))
        return self.workers[-1]

    def turn(self, pick: random.Random, deaths: int) -> int:
        """One event of the run, anywhere; returns how many deaths are left. Fails where nothing can happen any more."""
        able = [worker for worker in self.workers if not worker.blocked]
        alive = [worker for worker in self.workers if not worker.over]
        assert able or not self.xdist.queue.empty(), "the run hangs: every worker waits for a command"
        if deaths and alive and pick.random() < 0.1:
            pick.choice(alive).die()
            return deaths - 1
        if able and (self.xdist.queue.empty() or pick.random() < 0.5):
            pick.choice(able).step()
        else:
            self.xdist.loop_once()
        at_once = Counter(self.models[worker.test.partition("::")[2]] for worker in alive if worker.test)
        assert all(count == 1 for count in at_once.values()), "two workers ask one model"
        return deaths

    def go(self, pick: random.Random, deaths: int) -> None:
        """To the end."""
        while not self.xdist.session_finished:
            deaths = self.turn(pick, deaths)

    def until(self, there: Callable[[], bool]) -> None:
        """Work on without deaths until something is so."""
        while not there():
            self.turn(random.Random(0), 0)

    def catch_up(self) -> None:
        """Let xdist hear what the workers have said."""
        while not self.xdist.queue.empty():
            self.xdist.loop_once()

    def kill_at(self, worker: int, test: int) -> None:
        """Work on until a worker is at a test, then kill it; both by number, in the order in which they came."""
        self.until(lambda: len(self.workers) > worker and self.workers[worker].test == self.tests[test])
        self.workers[worker].die()


def pairs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    return [(model, number) for model, size in enumerate(sizes) for number in range(size)]


SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=4)
PICKS = st.randoms(use_true_random=False)


@given(SIZES, st.integers(1, 3), PICKS, st.integers(0, 6))
def test_whenever_workers_die_every_test_is_judged_once_or_crashes_once_and_the_run_ends(
    sizes: list[int], workers: int, pick: random.Random, deaths: int
) -> None:
    run = PlayedRun(sizes, workers)
    run.go(pick, deaths)
    assert run.judged + run.crashed == Counter(run.tests)
    assert len(run.crashed) <= deaths // 2


@given(SIZES, st.integers(1, 3), PICKS, st.integers(0, 6), st.integers(0, 2))
def test_where_workers_are_not_replaced_the_run_ends_too_and_judges_nothing_twice(
    sizes: list[int], workers: int, pick: random.Random, deaths: int, restarts: int
) -> None:
    run = PlayedRun(sizes, workers, restarts)
    run.go(pick, deaths)
    assert run.judged + run.crashed <= Counter(run.tests)


def test_the_test_under_way_is_asked_again_and_it_is_told() -> None:
    run = PlayedRun([3], 1)
    run.kill_at(0, 1)
    run.go(random.Random(0), 0)
    assert run.judged == Counter(run.tests)
    assert run.notes == ["a worker died while asking m0: the cases that it left were asked again"]


def test_a_test_that_takes_two_workers_down_is_reported_as_crashed_and_not_asked_a_third_time() -> None:
    run = PlayedRun([3], 1)
    run.kill_at(0, 1)
    run.kill_at(1, 1)
    run.go(random.Random(0), 0)
    assert run.crashed == Counter([run.tests[1]])
    assert run.judged == Counter([run.tests[0], run.tests[2]])


def test_a_test_that_was_judged_before_its_worker_died_is_not_judged_again() -> None:
    run = PlayedRun([3], 1)
    run.until(lambda: run.tests[1] in run.judged and run.workers[0].test == run.tests[1])
    run.workers[0].die()
    run.go(random.Random(0), 0)
    assert run.judged == Counter(run.tests)
    assert not run.crashed


def test_what_a_dead_worker_left_comes_before_the_models_that_wait() -> None:
    run = PlayedRun([2, 2, 2], 1)
    run.kill_at(0, 1)
    run.go(random.Random(0), 0)
    assert list(run.judged) == run.tests


def test_a_replacement_that_finds_other_cases_gets_none_and_the_run_ends() -> None:
    run = PlayedRun([3], 1)
    run.kill_at(0, 1)
    run.tests = [f"{test}!" for test in run.tests]
    run.go(random.Random(0), 0)
    assert len(run.judged) == 1
    assert "found other cases than the run began with" in run.notes[0]


def test_a_replacement_that_was_sent_home_while_it_collected_does_not_take_part() -> None:
    run = PlayedRun([1], 2)
    run.until(lambda: run.xdist.shuttingdown)
    (asking,) = run.scheduling.nodes
    next(worker for worker in run.workers if worker is not asking).die()
    run.catch_up()
    replacement = run.workers[2]
    replacement.step()
    run.catch_up()
    assert replacement.shutting_down
    asking.die()
    run.catch_up()
    replacement.step()
    run.go(random.Random(0), 0)
    assert run.judged == Counter(run.tests)
    assert replacement not in run.scheduling.registered_collections
