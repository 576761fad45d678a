"""Whatever breaks off a move, what was in production has a name, and is put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.errors import PromotionRefused, RegistryError, SettingsError
from tests.fault_server import Play, error
from tests.real_ollama import MODEL, PARAMETERS, TEMPLATE, OllamaServer
from tests.training.registry_server import RegistryServer
from training.aliases import HELD_PREVIOUS, HELD_PROD, NEXT, AliasMoves, alone, is_half_way
from training.package import Package
from training.registry import Entry, Registry

A, B, C, D = (letter * 64 for letter in "abcd")


class Killed(BaseException):
    """The process ends here: nobody catches this."""


class KilledRegistry(Registry):
    """A registry whose process is killed in its copy or deletion of that number, from 1, right after it.

    `tear`, if there is one, then makes of the name what is left where the server was writing it.
    """

    def __init__(self, url: str, number: int, tear: Callable[[str], object] | None = None) -> None:
        super().__init__(url)
        self._left, self._tear = number, tear

    def copy(self, source: str, target: str) -> Entry:
        made = super().copy(source, target)
        self._count(target)
        return made

    def delete(self, name: str) -> None:
        super().delete(name)
        self._count(name)

    def _count(self, name: str) -> None:
        self._left -= 1
        if self._left == 0:
            if self._tear is not None:
                self._tear(name)
            raise Killed


def killed(server: RegistryServer, number: int, *, torn: bool) -> KilledRegistry:
    """As above; a name that was torn names nothing."""
    return KilledRegistry(server.url, number, (lambda name: server.models.pop(name, None)) if torn else None)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDENGATE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


def stand(server: RegistryServer, **digests: str) -> None:
    """The aliases are these and no others."""
    server.models = {}
    for alias, digest in digests.items():
        if digest:
            server.add(f"ops:{alias}", digest)


def standing(server: RegistryServer) -> dict[str, str]:
    return {name.removeprefix("ops:"): server.digest(name) for name in server.models}


def move(registry: Registry, kind: str) -> None:
    """Carry a move out, but for what the ledger does."""
    moves = AliasMoves(registry, "ops")
    was = moves.now()
    if kind == "promote":
        assert was.candidate is not None
        moves.promote(was, was.candidate)
    else:
        assert was.previous is not None
        moves.swap(was, was.previous)


STARTS = [
    pytest.param("promote", {"candidate": B, "prod": A, "previous": C}, 5, id="promotion"),
    pytest.param("promote", {"candidate": B, "prod": A, "previous": A}, 5, id="promotion-twice-the-same"),
    pytest.param("promote", {"candidate": B, "prod": A}, 4, id="second-promotion"),
    pytest.param("promote", {"candidate": B}, 2, id="first-promotion"),
    pytest.param("promote", {"candidate": B, "previous": C}, 3, id="promotion-without-production"),
    pytest.param("swap", {"candidate": B, "prod": A, "previous": C}, 5, id="rollback"),
    pytest.param("swap", {"candidate": C, "prod": A, "previous": C}, 5, id="rollback-of-the-candidate"),
    pytest.param("swap", {"candidate": B, "previous": C}, 3, id="rollback-without-production"),
]


@pytest.mark.parametrize("torn", [False, True], ids=["after", "torn"])
@pytest.mark.parametrize(("kind", "before", "copies"), STARTS)
def test_a_move_that_was_killed_at_any_step_is_taken_back(
    server: RegistryServer, kind: str, before: dict[str, str], copies: int, torn: bool
) -> None:
    for number in range(1, copies + 1):
        stand(server, **before)
        with pytest.raises(Killed):
            move(killed(server, number, torn=torn), kind)
        # All that there was has a name still.
        assert set(before.values()) <= set(standing(server).values()), number
        registry = Registry(server.url)
        AliasMoves(registry, "ops").put_in_order("")
        assert standing(server) == before, number
        now = AliasMoves(registry, "ops").now()
        found = {"candidate": now.candidate, "prod": now.prod, "previous": now.previous}
        assert {alias: one.digest for alias, one in found.items() if one} == before, number
    move(killed(server, copies + 1, torn=torn), kind)  # there is no further step


@pytest.mark.parametrize(("kind", "before", "copies"), STARTS)
def test_putting_in_order_may_be_killed_at_any_step_too(
    server: RegistryServer, kind: str, before: dict[str, str], copies: int
) -> None:
    for again in range(1, 7):
        stand(server, **before)
        with pytest.raises(Killed):
            move(killed(server, copies, torn=True), kind)
        try:
            AliasMoves(killed(server, again, torn=True), "ops").put_in_order("")
        except Killed:
            assert set(before.values()) <= set(standing(server).values()), again
            AliasMoves(Registry(server.url), "ops").put_in_order("")
        assert standing(server) == before, again


@pytest.mark.ollama
@pytest.mark.parametrize("number", [3, 4])
def test_a_real_ollama_gets_its_production_back_after_a_kill_while_it_was_written(
    ollama_server: OllamaServer, number: int
) -> None:
    """Ollama empties the file of an alias before it writes it; here it gets no further."""
    name = f"gg-aliases-test-{number}"
    store = ollama_server.log.parent.parent / "ollama-models" if ollama_server.log else Path("gone")
    manifests = store / "manifests" / "registry.ollama.ai" / "library" / name
    registry = Registry(ollama_server.url)
    package = Package("adapter", MODEL, {}, {}, TEMPLATE, "One.", PARAMETERS, "")
    try:
        old = registry.create(f"{name}:prod", package)
        new = registry.create(f"{name}:candidate", replace(package, system="Two."))
        if not (manifests / "prod").is_file():
            pytest.skip(f"the store of this Ollama is not at {store}")

        def tear(alias: str) -> None:
            (manifests / alias.partition(":")[2]).write_bytes(b"")

        moves = AliasMoves(KilledRegistry(ollama_server.url, number, tear), name)
        with pytest.raises(Killed):
            moves.promote(moves.now(), new)
        assert registry.find(moves.previous if number == 3 else moves.prod) is None
        assert (
            AliasMoves(registry, name)
            .put_in_order("")
            .endswith(f"{name}:prod is {old.digest[:12]}, {name}:previous is not there")
        )
        prod = registry.get(f"{name}:prod")
        assert prod.digest == old.digest and registry.show(prod.name).template == TEMPLATE
    finally:
        for file in manifests.glob("*"):
            if not file.read_bytes():
                file.unlink()
        for tag in ("candidate", "prod", "previous", NEXT, HELD_PROD, HELD_PREVIOUS):
            if registry.find(f"{name}:{tag}"):
                registry.delete(f"{name}:{tag}")


def test_what_was_put_in_order_is_told(server: RegistryServer) -> None:
    stand(server, candidate=B, prod=A)
    moves = AliasMoves(Registry(server.url), "ops")
    assert moves.put_in_order("") == ""
    move(Registry(server.url), "promote")
    assert moves.put_in_order("") == (
        "a promotion or rollback that was killed half way was taken back: ops:prod is aaaaaaaaaaaa, "
        "ops:previous is not there"
    )


@pytest.mark.parametrize(("kind", "now"), [("promote", B), ("swap", C)])
def test_a_move_that_is_in_the_ledger_stays(server: RegistryServer, kind: str, now: str) -> None:
    stand(server, candidate=B, prod=A, previous=C)
    move(Registry(server.url), kind)
    assert is_half_way(Registry(server.url), "ops")
    assert AliasMoves(Registry(server.url), "ops").put_in_order(now) == ""
    assert standing(server) == {"candidate": B, "prod": now, "previous": A}
    assert not is_half_way(Registry(server.url), "ops")


@pytest.mark.parametrize("killed_in", range(1, 6))
def test_what_was_moved_by_hand_after_a_kill_stays_beside_what_was_in_production(
    server: RegistryServer, killed_in: int
) -> None:
    stand(server, candidate=B, prod=A, previous=C)
    with pytest.raises(Killed):
        move(killed(server, killed_in, torn=False), "promote")
    server.add("ops:prod", D)
    AliasMoves(Registry(server.url), "ops").put_in_order("")
    previous = A if killed_in >= 3 else C  # before that nothing had been touched
    assert standing(server) == {"candidate": B, "prod": D, "previous": previous}


def test_a_previous_that_was_set_by_hand_after_a_kill_stays(server: RegistryServer) -> None:
    stand(server, candidate=B, prod=A, previous=C)
    with pytest.raises(Killed):
        move(killed(server, 5, torn=True), "promote")
    server.add("ops:previous", D)
    AliasMoves(Registry(server.url), "ops").put_in_order("")
    assert standing(server) == {"candidate": B, "prod": A, "previous": D}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_move_that_is_over_stays_though_letting_go_was_killed(server: RegistryServer, number: int) -> None:
    stand(server, candidate=B, prod=A, previous=C)
    move(Registry(server.url), "promote")
    with pytest.raises(Killed):
        AliasMoves(killed(server, number, torn=False), "ops").done()
    AliasMoves(Registry(server.url), "ops").put_in_order("")  # also where another ledger knows of it
    assert standing(server) == {"candidate": B, "prod": B, "previous": A}


def test_a_move_back_that_fails_keeps_what_was_in_production_and_names_it(server: RegistryServer) -> None:
    stand(server, candidate=B, prod=A, previous=C)
    moves = AliasMoves(Registry(server.url), "ops")
    was = moves.now()
    assert was.candidate is not None
    moves.promote(was, was.candidate)
    server.on_copy = lambda body: error(500, "no space left on device")  # but there is room to delete

    said = moves.go_back()

    assert "not all could be taken back" in said and "no space left on device" in said
    assert "ops:prod is bbbbbbbbbbbb, ops:previous is aaaaaaaaaaaa" in said
    assert f"What was in production, aaaaaaaaaaaa, is ops:{HELD_PROD} still" in said
    assert f"ollama cp ops:{HELD_PROD} ops:prod" in said
    held = {NEXT: B, HELD_PROD: A, HELD_PREVIOUS: C}
    assert standing(server) == {"candidate": B, "prod": B, "previous": A, **held}
    with pytest.raises(RegistryError, match="no space left"):
        moves.put_in_order("")
    assert standing(server) == {"candidate": B, "prod": B, "previous": A, **held}
    server.on_copy = lambda body: None
    moves.put_in_order("")
    assert standing(server) == {"candidate": B, "prod": A, "previous": C}


def test_a_first_promotion_that_cannot_be_taken_back_says_what_stands(server: RegistryServer) -> None:
    stand(server, candidate=B)
    moves = AliasMoves(Registry(server.url), "ops")
    was = moves.now()
    assert was.candidate is not None
    moves.promote(was, was.candidate)
    server.instead["/api/delete"] = error(500, "read-only file system")
    said = moves.go_back()
    assert "read-only file system" in said
    assert said.endswith("ops:prod is bbbbbbbbbbbb, ops:previous is not there")


def test_a_candidate_that_is_made_anew_meanwhile_is_never_in_production(server: RegistryServer) -> None:
    stand(server, candidate=B, prod=A)
    seen = set()

    def recreate(body: dict[str, Any]) -> Play | None:
        seen.add(server.digest("ops:prod"))
        if body["source"] == "ops:prod":
            server.add("ops:candidate", D)
        return None

    server.on_copy = recreate
    moves = AliasMoves(Registry(server.url), "ops")
    was = moves.now()
    assert was.candidate is not None
    with pytest.raises(RegistryError, match="it was bbbbbbbbbbbb, and is dddddddddddd now"):
        moves.promote(was, was.candidate)
    assert server.digest("ops:prod") == A and seen == {A}
    assert moves.go_back().startswith("everything is as it was: ops:prod is aaaaaaaaaaaa")


def test_aliases_of_a_name_are_moved_by_one_at_a_time() -> None:
    with alone("ops", "http://here"):
        with (
            pytest.raises(PromotionRefused, match="another promotion or rollback of ops is going on"),
            alone("ops", "http://here", wait_s=0.05),
        ):
            pytest.fail("two are in")
        # Another name, and the same on another server, are other aliases.
        with alone("judge", "http://here"), alone("ops", "http://there"):
            pass
    with alone("ops", "http://here"):
        pass


@pytest.mark.parametrize("other", ["http://localhost:11434", "http://[::1]:11434"])
def test_this_machine_is_one_server_whatever_it_is_called(other: str) -> None:
    with (
        alone("ops", "http://127.0.0.1:11434"),
        pytest.raises(PromotionRefused, match="is going on"),
        alone("ops", other),
    ):
        pytest.fail("two are in")
    with alone("ops", "http://127.0.0.1:11434"), alone("ops", "http://localhost:11435"):
        pass


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "aliases").write_text("")
    with pytest.raises(RegistryError, match="cannot be locked"), alone("ops", "http://here"):
        pytest.fail("it was locked")
    monkeypatch.setenv("GOLDENGATE_CACHE", str(tmp_path / "cache" / "aliases"))
    with pytest.raises(SettingsError, match="GOLDENGATE_CACHE"), alone("ops", "http://here"):
        pytest.fail("it was locked")
