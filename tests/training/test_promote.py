"""Production moves only on evidence; whatever happens on the way, it is what it was or what it was to become."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from evals.errors import PromotionRefused, RegistryError, SettingsError
from evals.verdict import Decision
from tests.fault_server import SILENT, Play, error
from tests.real_ollama import MODEL, PARAMETERS, TEMPLATE, OllamaServer
from tests.training.registry_server import RegistryServer
from tests.training.stage import Stage
from training.aliases import HELD_PREVIOUS, HELD_PROD, NEXT, alone
from training.package import Package
from training.registry import Entry, Registry

A, B, C, D = (letter * 64 for letter in "abcd")


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        server.add("base:1", "0" * 64)
        server.add("ops:candidate", A)
        yield server


@pytest.fixture
def stage(tmp_path: Path, server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("GOLDENGATE_CACHE", str(tmp_path / "cache"))
    return Stage(tmp_path, Registry(server.url))


@pytest.fixture
def promoted(stage: Stage, server: RegistryServer) -> Stage:
    """A is in production by the ledger, and the candidate B is gated against it."""
    stage.created()
    stage.gated()
    stage.promote()
    server.add("ops:candidate", B)
    stage.created()
    stage.gated()
    return stage


def test_the_first_candidate_is_promoted_on_a_gate_against_its_base(stage: Stage) -> None:
    stage.created()
    gate = stage.gated()
    entry = stage.promote()
    assert stage.standing() == {"candidate": A, "prod": A}
    assert (entry.outcome, entry.prod, entry.previous, entry.candidate) == ("done", A, "", A)
    assert (entry.base, entry.run, entry.verdict, entry.tasks) == ("base:1", gate.run, "promote", gate.tasks)
    assert entry.server == stage.registry.url and entry.reasons == () and entry.override == ""
    assert stage.entries[-1] == entry


def test_what_was_in_production_is_kept_as_previous(promoted: Stage) -> None:
    entry = promoted.promote()
    assert promoted.standing() == {"candidate": B, "prod": B, "previous": A}
    assert (entry.prod, entry.previous) == (B, A)


def test_the_one_before_the_last_gives_way(promoted: Stage, server: RegistryServer) -> None:
    promoted.promote()
    server.add("ops:candidate", C)
    promoted.gated()
    promoted.promote()
    assert promoted.standing() == {"candidate": C, "prod": C, "previous": B}


@pytest.mark.parametrize(
    ("decision", "said"),
    [("", "no gate has judged it"), ("block", "was block"), ("inconclusive", "was inconclusive")],
)
def test_a_reason_given_promotes_all_the_same_and_is_written_down(
    stage: Stage, decision: Decision | Literal[""], said: str
) -> None:
    stage.created()
    if decision:
        stage.gated(decision)
    entry = stage.promote(override="the old one\x1b is broken")
    assert stage.digest("prod") == A
    assert entry.override == r"the old one\x1b is broken"
    assert said in entry.reasons[0]
    assert stage.entries[-1] == entry


def test_a_promotion_needs_a_candidate_whatever_the_reason(stage: Stage, server: RegistryServer) -> None:
    del server.models["ops:candidate"]
    with pytest.raises(PromotionRefused, match="there is no ops:candidate"):
        stage.promote(override="now")
    assert stage.entries[-1].override == "now"


def test_what_is_in_production_is_not_promoted_again(stage: Stage) -> None:
    stage.gated()
    stage.promote()
    with pytest.raises(PromotionRefused, match="ops:candidate is ops:prod already"):
        stage.promote(override="again")


@pytest.mark.parametrize("name", ["ops:prod", "../ops", "OPS", "", "ops\n", "a b"])
def test_a_name_with_a_tag_or_a_path_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(SettingsError, match="is no name here"):
        replace(stage, name=name).promote()


@pytest.mark.parametrize("calls", range(5))
def test_a_promotion_that_breaks_off_at_any_step_goes_back(
    promoted: Stage, server: RegistryServer, calls: int
) -> None:
    promoted.promote()
    server.add("ops:candidate", C)
    promoted.gated()
    before = promoted.standing()
    server.fail_copy(calls + 1)
    with pytest.raises(
        RegistryError, match=r"promotion of ops broke off: .*no space left(.|\n)*everything is as it was"
    ):
        promoted.promote()
    assert promoted.standing() == before
    assert promoted.entries[-1].outcome == "failed"
    assert "no space left" in " ".join(promoted.entries[-1].reasons)
    # And once it is mended the same promotion goes through.
    assert promoted.promote().prod == C
    assert promoted.standing() == {"candidate": C, "prod": C, "previous": B}


def test_a_first_promotion_that_breaks_off_leaves_no_production(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    server.copies_another = True
    with pytest.raises(RegistryError, match="everything is as it was: ops:prod is not there"):
        stage.promote()
    assert stage.standing() == {"candidate": A}


def test_a_candidate_that_changes_under_way_is_not_left_in_production(
    promoted: Stage, server: RegistryServer
) -> None:
    def recreate(body: dict[str, Any]) -> Play | None:
        if body["source"] == "ops:candidate":
            server.add("ops:candidate", D)
        return None

    before = promoted.standing()
    server.on_copy = recreate
    with pytest.raises(RegistryError, match="changes these names at the same time"):
        promoted.promote()
    assert promoted.standing() == {**before, "candidate": D}
    assert promoted.entries[-1].outcome == "failed"


def test_a_candidate_that_changes_before_its_step_is_not_left_in_production_either(
    promoted: Stage, server: RegistryServer
) -> None:
    def recreate(body: dict[str, Any]) -> Play | None:
        if body["source"] == "ops:prod":
            server.add("ops:candidate", D)
        return None

    before = promoted.standing()
    server.on_copy = recreate
    with pytest.raises(
        RegistryError, match="ops:candidate was changed meanwhile: it was bbbbbbbbbbbb, and is dddddddddddd"
    ):
        promoted.promote()
    assert promoted.standing() == {**before, "candidate": D}


def test_what_cannot_be_taken_back_is_told_with_what_stands_now(
    promoted: Stage, server: RegistryServer
) -> None:
    server.fail_copy(4)
    server.instead["/api/delete"] = error(500, "read-only file system")
    with pytest.raises(RegistryError) as failed:
        promoted.promote()
    for said in (
        "not all could be taken back",
        "read-only file system",
        "ops:prod is aaaaaaaaaaaa, ops:previous is aaaaaaaaaaaa",
    ):
        assert said in str(failed.value)
    assert promoted.digest("prod") == A


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal, also where this process was begun in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_goes_back_and_is_written_down(promoted: Stage, server: RegistryServer) -> None:
    before = promoted.standing()

    def interrupt(body: dict[str, Any]) -> Play | None:
        server.on_copy = lambda body: None
        os.kill(os.getpid(), signal.SIGINT)
        return SILENT

    server.on_copy = interrupt
    with pytest.raises(RegistryError, match=r"broke off: it was interrupted\nNow everything is as it was"):
        promoted.promote()
    assert promoted.standing() == before
    assert promoted.entries[-1].outcome == "failed"


def test_a_server_that_goes_away_between_steps_is_told_and_nothing_is_undefined(
    promoted: Stage, server: RegistryServer
) -> None:
    copies = 0

    def go_away(body: dict[str, Any]) -> Play | None:
        nonlocal copies
        copies += 1
        if copies < 2:
            return None
        threading.Thread(target=server.go_away).start()
        return SILENT

    server.on_copy = go_away
    with pytest.raises(RegistryError, match=r"broke off(.|\n)*what stands could not be looked at"):
        promoted.promote()
    assert promoted.entries[-1].outcome == "failed"
    server.on_copy = lambda body: None
    server.come_back()
    assert promoted.digest("prod") == A
    assert promoted.promote().prod == B


def test_a_server_that_is_gone_from_the_start_is_told_and_written_down(
    promoted: Stage, server: RegistryServer
) -> None:
    server.go_away()
    with pytest.raises(RegistryError, match="is it running"):
        promoted.promote()
    assert promoted.entries[-1].outcome == "failed"
    server.come_back()


def test_what_cannot_be_written_down_does_not_stay(promoted: Stage) -> None:
    before = promoted.standing()
    whole = promoted.ledger.path.read_bytes()
    lock = Path(f"{promoted.ledger.path}.lock")
    lock.unlink(missing_ok=True)
    lock.mkdir()  # no line can be written
    with pytest.raises(RegistryError) as failed:
        promoted.promote()
    for said in (
        "cannot be written",
        "everything is as it was: ops:prod is aaaaaaaaaaaa",
        "Nor could this be written",
    ):
        assert said in str(failed.value)
    assert promoted.standing() == before
    assert promoted.ledger.path.read_bytes() == whole


class Killed(BaseException):
    """The process ends here: nobody catches this."""


class KilledRegistry(Registry):
    """A registry whose process is killed in its copy of that number, from 1, as the server writes the name."""

    def __init__(self, server: RegistryServer, number: int) -> None:
        super().__init__(server.url)
        self._server, self._left = server, number

    def copy(self, source: str, target: str) -> Entry:
        made = super().copy(source, target)
        self._left -= 1
        if self._left == 0:
            del self._server.models[target]
            raise Killed
        return made


@pytest.mark.parametrize("killed_in", range(1, 6))
def test_a_promotion_that_was_killed_is_taken_back_by_the_next_one(
    promoted: Stage, server: RegistryServer, killed_in: int
) -> None:
    promoted.promote()
    server.add("ops:candidate", C)
    promoted.gated()
    with pytest.raises(Killed):
        replace(promoted, registry=KilledRegistry(server, killed_in)).promote()
    promoted.promote()
    assert promoted.standing() == {"candidate": C, "prod": C, "previous": B}
    _told_as_taken_back(promoted, killed_in, "promote", f"ops:prod is {B[:12]}, ops:previous is {A[:12]}")


@pytest.mark.parametrize("killed_in", range(1, 6))
def test_a_rollback_that_was_killed_is_taken_back_by_the_next_one(
    promoted: Stage, server: RegistryServer, killed_in: int
) -> None:
    promoted.promote()
    with pytest.raises(Killed):
        replace(promoted, registry=KilledRegistry(server, killed_in)).rollback()
    promoted.rollback()
    assert promoted.standing() == {"candidate": B, "prod": A, "previous": B}
    _told_as_taken_back(promoted, killed_in, "rollback", f"ops:prod is {B[:12]}, ops:previous is {A[:12]}")


def _told_as_taken_back(stage: Stage, killed_in: int, action: str, stands: str) -> None:
    *_, told, done = stage.entries
    assert (done.action, done.outcome) == (action, "done")
    if killed_in < 4:  # nothing had been touched yet
        assert told.outcome == "done"
        return
    assert (told.action, told.outcome) == (action, "failed")
    assert told.reasons == (f"a promotion or rollback that was killed half way was taken back: {stands}",)


def test_a_first_promotion_that_was_killed_is_made_by_the_next_one(
    stage: Stage, server: RegistryServer
) -> None:
    stage.gated()
    with pytest.raises(Killed):
        replace(stage, registry=KilledRegistry(server, 2)).promote()
    stage.promote()
    assert stage.standing() == {"candidate": A, "prod": A}


def test_production_is_there_after_a_kill_though_the_next_promotion_is_refused(
    promoted: Stage, server: RegistryServer
) -> None:
    promoted.gated("block")
    with pytest.raises(Killed):
        replace(promoted, registry=KilledRegistry(server, 4)).promote(override="now")
    assert "ops:prod" not in server.models
    with pytest.raises(PromotionRefused, match="was block"):
        promoted.promote()
    assert promoted.standing() == {"candidate": B, "prod": A}


def test_a_promotion_that_is_written_down_stays_though_what_was_held_could_not_be_let_go(
    promoted: Stage, server: RegistryServer
) -> None:
    server.instead["/api/delete"] = error(500, "read-only file system")
    assert promoted.promote().outcome == "done"
    del server.instead["/api/delete"]
    entry = promoted.rollback()
    assert (entry.prod, entry.previous) == (A, B)
    assert promoted.standing() == {"candidate": B, "prod": A, "previous": B}


def test_production_is_what_it_was_until_its_own_step(promoted: Stage, server: RegistryServer) -> None:
    seen: list[tuple[str, str]] = []

    def look(body: dict[str, Any]) -> Play | None:
        seen.append((body["destination"].removeprefix("ops:"), server.digest("ops:prod")))
        return None

    server.on_copy = look
    promoted.promote()
    assert seen == [(HELD_PROD, A), (NEXT, A), ("previous", A), ("prod", A)]
    seen.clear()
    promoted.rollback()
    assert seen == [(HELD_PROD, B), (HELD_PREVIOUS, B), (NEXT, B), ("previous", B), ("prod", B)]


@pytest.mark.parametrize("kept", [(), (C,)], ids=["without-previous", "with-previous"])
def test_a_promotion_that_can_neither_be_written_down_nor_taken_back_loses_nothing(
    promoted: Stage, server: RegistryServer, kept: tuple[str, ...]
) -> None:
    for digest in kept:
        server.add("ops:candidate", digest)
        promoted.gated()
        promoted.promote()
        server.add("ops:candidate", B)
        promoted.gated()
    before = promoted.standing()
    path = promoted.ledger.path

    def fail_from_now(body: dict[str, Any]) -> Play | None:
        if body["destination"] == "ops:prod":
            path.rename(path.with_name("kept"))
            path.mkdir()  # no line can be written
            server.on_copy = lambda body: error(500, "no space left on device")
        return None

    server.on_copy = fail_from_now
    with pytest.raises(RegistryError) as failed:
        promoted.promote()
    assert "not all could be taken back" in str(failed.value)
    assert f"What was in production, {before['prod'][:12]}, is ops:{HELD_PROD} still" in str(failed.value)
    assert set(before.values()) <= set(promoted.standing().values())
    assert promoted.digest(HELD_PROD) == before["prod"]

    server.on_copy = lambda body: None
    path.rmdir()
    path.with_name("kept").rename(path)
    assert promoted.promote().previous == before["prod"]
    assert promoted.standing() == {"candidate": B, "prod": B, "previous": before["prod"]}


def test_an_interruption_after_the_line_was_written_changes_nothing(
    promoted: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.close
    at_ledger: list[int] = []

    def interrupt(file: int) -> None:
        is_ledger = os.path.samestat(os.fstat(file), promoted.ledger.path.stat())
        real(file)
        if is_ledger and not at_ledger:
            at_ledger.append(file)
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "close", interrupt)
    entry = promoted.promote()
    assert at_ledger and promoted.entries[-1] == entry
    assert promoted.standing() == {"candidate": B, "prod": B, "previous": A}


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(promoted: Stage) -> None:
    with (
        alone("ops", promoted.registry.url),
        pytest.raises(PromotionRefused, match="another promotion or rollback of ops is going on"),
    ):
        promoted.promote()
    assert promoted.entries[-1].outcome == "refused"
    assert promoted.promote().outcome == "done"


def test_of_two_promotions_with_ledgers_of_their_own_one_is_told_too(
    promoted: Stage, server: RegistryServer
) -> None:
    other = replace(promoted, root=promoted.root / "other")
    told: list[str] = []

    def meanwhile(body: dict[str, Any]) -> Play | None:
        server.on_copy = lambda body: None
        with pytest.raises(PromotionRefused, match="is going on") as refused:
            other.promote(override="mine")
        told.append(str(refused.value))
        return None

    server.on_copy = meanwhile
    promoted.promote()
    assert len(told) == 1 and promoted.digest("prod") == B


def test_localhost_is_the_server_that_the_ledger_knows(promoted: Stage, server: RegistryServer) -> None:
    promoted.promote()
    local = replace(promoted, registry=Registry(server.url.replace("127.0.0.1", "localhost")))
    entry = local.rollback()
    assert (entry.prod, entry.reasons, entry.server) == (A, (), server.url)


def test_of_two_threads_that_promote_at_once_one_is_refused(promoted: Stage) -> None:
    start = threading.Barrier(2)

    def one() -> str:
        start.wait()
        try:
            return promoted.promote().outcome
        except PromotionRefused:
            return "refused"

    with ThreadPoolExecutor(2) as pool:
        outcomes = [future.result() for future in [pool.submit(one), pool.submit(one)]]
    assert sorted(outcomes) == ["done", "refused"]
    assert promoted.standing() == {"candidate": B, "prod": B, "previous": A}


def test_a_rollback_changes_places_and_can_be_taken_back(promoted: Stage) -> None:
    promoted.promote()
    entry = promoted.rollback()
    assert promoted.standing() == {"candidate": B, "prod": A, "previous": B}
    assert (entry.action, entry.outcome, entry.prod, entry.previous) == ("rollback", "done", A, B)
    assert promoted.rollback().prod == B
    assert promoted.standing() == {"candidate": B, "prod": B, "previous": A}


def test_a_rollback_needs_something_to_go_back_to(promoted: Stage) -> None:
    with pytest.raises(PromotionRefused, match="there is no ops:previous to go back to"):
        promoted.rollback(override="please")
    assert promoted.entries[-1].outcome == "refused"


def test_a_rollback_to_the_same_model_is_refused(promoted: Stage, server: RegistryServer) -> None:
    server.add("ops:previous", A)
    with pytest.raises(PromotionRefused, match=r"are one model \(aaaaaaaaaaaa\)"):
        promoted.rollback(override="please")


def test_a_previous_that_the_ledger_does_not_know_needs_a_reason(
    promoted: Stage, server: RegistryServer
) -> None:
    promoted.promote()
    server.add("ops:previous", D)
    with pytest.raises(
        PromotionRefused, match="is dddddddddddd, and by the ledger's last promote it should be aaaaaaaaaaaa"
    ):
        promoted.rollback()
    entry = promoted.rollback(override="it was made by hand")
    assert (entry.prod, entry.previous, entry.override) == (D, B, "it was made by hand")
    assert "by the ledger's last promote" in entry.reasons[0]


def test_a_rollback_without_a_promotion_in_the_ledger_needs_a_reason(
    stage: Stage, server: RegistryServer
) -> None:
    server.add("ops:prod", B)
    server.add("ops:previous", C)
    with pytest.raises(PromotionRefused, match="the ledger knows of no promotion of ops on http"):
        stage.rollback()
    assert stage.rollback(override="known good").prod == C


def test_a_rollback_brings_back_what_was_moved_away_by_hand(promoted: Stage, server: RegistryServer) -> None:
    promoted.promote()
    # Somebody put D into production, and kept what was there in the way that a promotion does.
    server.add("ops:previous", B)
    server.add("ops:prod", D)
    assert promoted.rollback().prod == B
    assert promoted.digest("previous") == D


def test_a_rollback_fills_a_production_that_was_taken_away(promoted: Stage, server: RegistryServer) -> None:
    promoted.promote()
    del server.models["ops:prod"]
    entry = promoted.rollback()
    assert promoted.standing() == {"candidate": B, "prod": A, "previous": A}
    assert (entry.prod, entry.previous) == (A, A)  # which is what there is, and not nothing


@pytest.mark.parametrize("calls", range(5))
def test_a_rollback_that_breaks_off_at_any_step_goes_back(
    promoted: Stage, server: RegistryServer, calls: int
) -> None:
    promoted.promote()
    before = promoted.standing()
    server.fail_copy(calls + 1)
    with pytest.raises(RegistryError, match=r"rollback of ops broke off: (.|\n)*everything is as it was"):
        promoted.rollback()
    assert promoted.standing() == before
    assert promoted.rollback().prod == A


@pytest.mark.ollama
def test_a_real_ollama_goes_through_promotion_refusal_and_rollback(
    tmp_path: Path, ollama_server: OllamaServer
) -> None:
    registry = Registry(ollama_server.url)
    stage = Stage(tmp_path, registry, name="gg-promote-test", base=MODEL)
    package = Package("adapter", MODEL, {}, {}, TEMPLATE, "One.", PARAMETERS, "")
    try:
        first = registry.create("gg-promote-test:candidate", package).digest
        stage.created()
        stage.gated()
        assert stage.promote().prod == first
        second = registry.create("gg-promote-test:candidate", replace(package, system="Two.")).digest
        assert second != first == stage.digest("prod")
        with pytest.raises(PromotionRefused, match="made anew since its last gate"):
            stage.promote()
        stage.created()
        stage.gated()
        stage.promote()
        assert stage.standing() == {"candidate": second, "prod": second, "previous": first}
        assert stage.rollback().prod == first
        assert stage.standing() == {"candidate": second, "prod": first, "previous": second}
        assert [one.outcome for one in stage.entries if one.action != "gate"] == [
            *("done", "done", "refused", "done", "done", "done")
        ]
    finally:
        for tag in ("candidate", "prod", "previous", NEXT, HELD_PROD, HELD_PREVIOUS):
            if registry.find(f"gg-promote-test:{tag}"):
                registry.delete(f"gg-promote-test:{tag}")
