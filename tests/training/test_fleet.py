"""The fleet tells what is in production, what was before it, and where Ollama and the ledger disagree."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from evals.errors import RegistryError
from tests.training.registry_server import RegistryServer
from tests.training.stage import Stage
from training.fleet import AGREES, FleetModel, FleetRow, FleetScore, fleet, print_fleet
from training.ledger import LedgerEntry
from training.registry import Registry

BASE, A, B, D = "0" * 64, "a" * 64, "b" * 64, "d" * 64
SIZE = 270898672


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        server.add("base:1", BASE)
        server.add("ops:candidate", A)
        yield server


@pytest.fixture
def stage(tmp_path: Path, server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("GOLDENGATE_CACHE", str(tmp_path / "cache"))
    return Stage(tmp_path, Registry(server.url))


def row(stage: Stage) -> FleetRow:
    (found,) = fleet(stage.registry, stage.ledger)
    return found


def printed(width: int, rows: list[FleetRow]) -> str:
    out = io.StringIO()
    print_fleet(Console(file=out, width=width, highlight=False), rows)
    return out.getvalue()


def test_a_fleet_of_nothing_says_so(stage: Stage) -> None:
    assert fleet(stage.registry, stage.ledger) == []
    assert "knows of no model" in printed(80, [])


def test_a_training_alone_makes_no_row(stage: Stage) -> None:
    stage.ledger.append(LedgerEntry(action="train", name="ops", outcome="done"))
    stage.ledger.append(LedgerEntry(action="create", name="judge", outcome="failed"))
    assert fleet(stage.registry, stage.ledger) == []


def test_a_candidate_that_waits_is_shown_with_its_gate(stage: Stage) -> None:
    stage.created(adapter="/adapters/ops/20260101-120000")
    found = row(stage)
    assert (found.now, found.before, found.scores, found.since) == (None, None, (), "")
    assert (found.agreement, found.waiting) == (
        "nothing is in production",
        f"candidate {A[:12]}: not gated yet",
    )
    stage.gated("inconclusive")
    assert row(stage).waiting == f"candidate {A[:12]}: gate says inconclusive"


def test_a_promotion_is_shown_with_the_base_before_it_and_its_scores(stage: Stage) -> None:
    stage.created(adapter="/adapters/ops/20260101-120000")
    stage.gated()
    entry = stage.promote()
    assert row(stage) == FleetRow(
        name="ops",
        now=FleetModel("base:1", "20260101-120000", A, SIZE),
        before=FleetModel("base:1", "", BASE, SIZE),
        scores=(FleetScore("ops", "content", 0.61, 0.59, -0.1, 0.06),),
        since=entry.at[:10],
        agreement=AGREES,
        waiting="",
    )


def test_the_next_promotion_is_shown_with_the_adapter_before_it(stage: Stage, server: RegistryServer) -> None:
    stage.created(adapter="/adapters/ops/20260101-120000")
    stage.gated()
    stage.promote()
    server.add("ops:candidate", B)
    stage.created(adapter="/adapters/ops/20260202-120000")
    stage.gated()
    stage.promote()
    found = row(stage)
    assert found.now == FleetModel("base:1", "20260202-120000", B, SIZE)
    assert found.before == FleetModel("base:1", "20260101-120000", A, SIZE)
    # Of a model that was rolled back to, the gate compared it with another one than it replaced.
    stage.rollback()
    back = row(stage)
    assert (back.now, back.before) == (found.before, found.now)
    assert back.scores == (FleetScore("ops", "content", None, 0.59),)


@pytest.mark.parametrize(
    ("by_hand", "said"),
    [
        (
            D,
            f"ops:prod was moved by hand: the last promote (DATE) put {A[:12]} there, and it is {D[:12]} now",
        ),
        ("", f"ops:prod was taken away by hand: the last promote put {A[:12]} there"),
    ],
)
def test_production_moved_by_hand_is_shown(
    stage: Stage, server: RegistryServer, by_hand: str, said: str
) -> None:
    stage.gated()
    date = stage.promote().at[:10]
    if by_hand:
        server.add("ops:prod", by_hand)
    else:
        del server.models["ops:prod"]
    found = row(stage)
    assert found.agreement == said.replace("DATE", date) and not found.agrees
    assert (found.scores, found.since, found.before) == ((), "", None)
    assert found.agreement in " ".join(printed(80, [found]).split())


def test_a_move_that_was_killed_is_shown_as_such(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    stage.promote()
    server.add("ops:golden-gate-next", B)
    assert row(stage).agreement == AGREES
    del server.models["ops:prod"]
    found = row(stage)
    assert not found.agrees
    assert found.agreement == (
        "a promotion or rollback of ops goes on or was killed; the next one first puts it in order"
    )


def test_production_that_nobody_promoted_is_shown(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    server.add("ops:prod", D)
    assert row(stage).agreement == "ops:prod was put there by hand: the ledger knows of no promotion"
    assert row(stage).now == FleetModel("ops:prod", "", D, SIZE)


def test_without_the_run_the_scores_have_no_interval(stage: Stage) -> None:
    gate = stage.gated()
    stage.promote()
    file = stage.root / "reports" / gate.run / "verdict.json"
    file.write_text(file.read_text().replace("-0.1", "-0.0"))
    assert row(stage).scores == (FleetScore("ops", "content", 0.61, 0.59),)
    file.unlink()
    assert row(stage).scores == (FleetScore("ops", "content", 0.61, 0.59),)


def test_a_server_that_is_gone_is_told(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    server.go_away()
    with pytest.raises(RegistryError, match="is it running"):
        fleet(stage.registry, stage.ledger)
    server.come_back()


HOSTILE = "evil\x1b[2J\u202eeman" * 3
ROWS = [
    FleetRow(
        name="minecraft-operator-assistant",
        now=FleetModel("registry.example/team/smollm2:135m-instruct-q8", "20260202-120000", B, 4_400_000_000),
        before=FleetModel("smollm2:135m", "", A, 8_100_000_000),
        scores=(
            FleetScore("minecraft_ops", "content", 0.12, 0.61, 0.381, 0.588),
            FleetScore("minecraft_ops", "format", 0.8, 0.9999),
            FleetScore("general_knowledge", "recall", None, 0.7),
        ),
        since="2026-02-02",
        agreement=AGREES,
        waiting="candidate dddddddddddd: gate says block",
    ),
    FleetRow("judge", None, None, (), "", "nothing is in production", ""),
]


@pytest.mark.parametrize("width", [40, 60, 78, 80, 120])
def test_a_fleet_is_whole_at_any_width(width: int) -> None:
    text = printed(width, ROWS)
    assert all(cell_len(line) <= width for line in text.splitlines())
    joined = "".join(text.split())
    told = [
        "20260202-120000",
        "content12.0%->61.0%",
        "+49.0(+38.1to+58.8)",
        "format80.0%->>99.9%",
        "recall70.0%",
    ]
    told += [
        "4.4GB",
        "(-46%)",
        "2026-02-02",
        "candidatedddddddddddd:gatesaysblock",
        "judge:nothingisinproduction",
    ]
    for said in told:
        assert said in joined, said


def test_the_same_size_is_called_so_and_an_unknown_one_is_left_out() -> None:
    same = FleetRow(
        "a", FleetModel("x", "", A, 98_363_166), FleetModel("y", "", B, 98_363_265), (), "", AGREES, ""
    )
    alone = FleetRow("b", FleetModel("x", "", A, 1_000_000), FleetModel("y", "", B, 0), (), "", AGREES, "")
    text = printed(40, [same, alone])
    assert "size   98 MB (same)" in text
    assert "size   1 MB\n" in text


def test_names_of_files_steer_no_terminal(stage: Stage) -> None:
    stage.created(adapter=f"/adapters/{HOSTILE}")
    stage.gated()
    stage.promote()
    text = printed(40, fleet(stage.registry, stage.ledger))
    assert "\x1b" not in text and "\u202e" not in text and r"evil\x1b[2J" in text
