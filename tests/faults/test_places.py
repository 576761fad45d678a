"""Places that cannot be written to, and places with names that are not plain."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.options import PACKAGE
from tests.fault_server import FaultServer
from tests.faults.mounts import MountSpace
from tests.faults.played_run import PlayedRun, judged, wait_until

REPOSITORY = PACKAGE.parent


@pytest.fixture
def read_only(played: PlayedRun) -> Iterator[PlayedRun]:
    """A run below a clone of which nothing can be written: the package, its settings, the cases and the folder it runs in."""
    with MountSpace() as space:
        for folder in (REPOSITORY, played.golden):
            space.do("mount", "--bind", str(folder), str(folder))
            space.do("mount", "-o", "remount,bind,ro", str(folder))
        played.before = space.prefix(REPOSITORY)
        yield played


def test_a_read_only_repository_is_run_with_its_reports_elsewhere(read_only: PlayedRun) -> None:
    done = read_only.run()
    assert done.status == 0, done.out
    assert judged(done.folder) == read_only.whole()
    assert "PytestCacheWarning: " in done.out  # which must not be taken for an error


def test_reports_in_a_read_only_repository_are_refused_with_the_way_out(
    read_only: PlayedRun, fault_server: FaultServer
) -> None:
    read_only.reports = REPOSITORY / "reports"
    done = read_only.run()
    assert done.status == 4
    said = " ".join(done.out.split())
    assert f"no run can be written to {read_only.reports}: Read-only file system" in said
    assert "name another folder with --reports DIR" in said
    assert fault_server.chats == []


@pytest.fixture
def far_away(played: PlayedRun) -> PlayedRun:
    """A run whose golden folder, reports, cache and working folder stand below spaces and letters that are not ASCII."""
    place = played.root / "Ünï code dir" / "ж 目"
    place.mkdir(parents=True)
    shutil.move(played.golden, place)
    played.root, played.golden = place, place / "golden"
    played.reports, played.cache = place / "reports", place / "cache"
    return played


ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


# execnet, under xdist, cannot send the name of such a folder once Python has been forced to ASCII.
@pytest.mark.parametrize(
    ("workers", "locale"),
    [([], ASCII_ONLY), (["-n", "2"], {"LC_ALL": "C"})],
    ids=["one process", "xdist"],
)
def test_a_place_with_spaces_and_other_letters_is_as_good_as_any(
    far_away: PlayedRun, fault_server: FaultServer, workers: list[str], locale: dict[str, str]
) -> None:
    done = far_away.run(*workers)
    assert done.status == 0, done.out
    assert f"run: {done.folder}" in done.out
    assert "Ünï code dir/ж 目" in str(done.folder)
    assert judged(done.folder) == far_away.whole()

    again = far_away.run(*workers, **locale)
    assert again.status == 0, again.out
    assert judged(again.folder) == far_away.whole()
    assert len(fault_server.chats) == len(far_away.questions)


def test_a_killed_run_in_such_a_place_goes_on_by_its_name_and_by_its_path(
    far_away: PlayedRun, fault_server: FaultServer
) -> None:
    fault_server.delay_s = 0.1
    running = far_away.start("--concurrency", "1")
    wait_until(far_away.recorded, "a reply in the record")
    far_away.kill(running)
    (folder,) = far_away.recorded()
    done = far_away.resume(Path(folder.name), "--reports", str(far_away.reports))
    assert done.status == 0, done.out
    assert judged(folder) == far_away.whole()
