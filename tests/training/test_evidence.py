"""What speaks against a promotion is told, all of it: only a fresh verdict of exactly these models and cases counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evals.errors import PromotionRefused, TrainingError
from tests.evals_run import write_task
from tests.training.manifests import manifest
from tests.training.registry_server import RegistryServer
from tests.training.stage import Stage
from training.evidence import own_task
from training.ledger import LedgerEntry
from training.manifest import write_manifest
from training.registry import Registry

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


def _no_gate(stage: Stage, server: RegistryServer) -> None:
    pass


def _blocked(stage: Stage, server: RegistryServer) -> None:
    stage.gated("block", reasons=("small content 60% -> 20%",))


def _inconclusive(stage: Stage, server: RegistryServer) -> None:
    stage.gated("inconclusive", reasons=("about 40 more cases",))


def _blocked_later(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    stage.gated("block")


def _made_anew(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    server.add("ops:candidate", D)


def _prod_by_hand(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    server.add("ops:prod", D)


def _base_made_anew(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    server.add("base:1", D)


def _against_another(stage: Stage, server: RegistryServer) -> None:
    server.add("other:1", D)
    stage.gated(against="other:1")


def _base_gone_and_against_another(stage: Stage, server: RegistryServer) -> None:
    _against_another(stage, server)
    del server.models["base:1"]


def _cases_changed(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    write_task(stage.golden, questions={"one?": "right", "two?": "right", "four?": "right"})


def _floors_changed(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    task = stage.golden / "small" / "task.yaml"
    task.write_text(task.read_text().replace("a-z", "a-y"))


def _task_gone(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    write_task(stage.golden, "other")
    (stage.golden / "small" / "task.yaml").unlink()
    (stage.golden / "small" / "cases.yaml").unlink()
    (stage.golden / "small").rmdir()


def _no_task(stage: Stage, server: RegistryServer) -> None:
    stage.ledger.append(stage.gated().model_copy(update={"tasks": {}}))


def _another_task(stage: Stage, server: RegistryServer) -> None:
    stage.created(task="judge")
    stage.gated()


def _unknown_task(stage: Stage, server: RegistryServer) -> None:
    stage.created(task="", adapter=str(stage.root / "gone"))
    stage.gated()


def _run_gone(stage: Stage, server: RegistryServer) -> None:
    run = stage.root / "reports" / stage.gated().run
    (run / "verdict.json").unlink()


def _run_damaged(stage: Stage, server: RegistryServer) -> None:
    run = stage.root / "reports" / stage.gated().run
    (run / "verdict.json").write_text("{}")


def _run_of_others(stage: Stage, server: RegistryServer) -> None:
    run = stage.root / "reports" / stage.gated().run / "verdict.json"
    run.write_text(run.read_text().replace(A, D))


def _run_altered(stage: Stage, server: RegistryServer) -> None:
    run = stage.root / "reports" / stage.gated().run / "verdict.json"
    run.write_text(run.read_text().replace("0.59", "0.99"))


Spoil = Callable[[Stage, RegistryServer], None]
REFUSALS = [
    pytest.param(_no_gate, "no gate has judged it; run: python -m training gate ops", id="no-gate"),
    pytest.param(_blocked, "verdict of its gate was block:\n  small content 60% -> 20%", id="blocked"),
    pytest.param(_inconclusive, "was inconclusive:\n  about 40 more cases", id="inconclusive"),
    pytest.param(_blocked_later, "was block:", id="the-newest-gate-counts"),
    pytest.param(
        _made_anew,
        "made anew since its last gate: that judged aaaaaaaaaaaa, and it is dddddddddddd now",
        id="made-anew",
    ),
    pytest.param(_prod_by_hand, "ops:prod is dddddddddddd now; run", id="prod-by-hand"),
    pytest.param(_base_made_anew, "and its base base:1 is dddddddddddd now", id="base-made-anew"),
    pytest.param(_against_another, r"compared it with other:1 \(dddddddddddd\)", id="against-another"),
    pytest.param(_base_gone_and_against_another, "and it was made of base:1; run", id="base-gone"),
    pytest.param(_cases_changed, r"checks of small were changed since its gate \(hash", id="cases-changed"),
    pytest.param(_floors_changed, "checks of small were changed", id="checks-changed"),
    pytest.param(_task_gone, "the golden task small of its gate cannot be read now", id="task-gone"),
    pytest.param(_no_task, "asked no golden task", id="no-task"),
    pytest.param(_another_task, "trained for judge, and its gate asked only small", id="another-task"),
    pytest.param(
        _unknown_task, "what it was trained for is not known: there is no adapter folder", id="adapter-gone"
    ),
    pytest.param(_run_gone, r"the record of its gate is not whole: .*verdict\.json is gone", id="run-gone"),
    pytest.param(_run_damaged, r"verdict\.json is damaged", id="run-damaged"),
    pytest.param(
        _run_of_others, "is of other models or another verdict than the ledger says", id="run-of-others"
    ),
    pytest.param(_run_altered, "was altered since the ledger took it down", id="run-altered"),
]


@pytest.mark.parametrize(("spoil", "said"), REFUSALS)
def test_a_promotion_without_evidence_is_refused_and_written_down(
    stage: Stage, server: RegistryServer, spoil: Spoil, said: str
) -> None:
    stage.created()
    spoil(stage, server)
    before = stage.standing()
    with pytest.raises(PromotionRefused, match=said) as refused:
        stage.promote()
    assert stage.standing() == before
    entry = stage.entries[-1]
    assert (entry.action, entry.outcome, entry.candidate, entry.prod) == (
        "promote",
        "refused",
        before["candidate"],
        before.get("prod", ""),
    )
    assert list(entry.reasons) == str(refused.value).splitlines()


def test_an_older_gate_of_these_two_models_counts_though_others_came_after_it(
    stage: Stage, server: RegistryServer
) -> None:
    stage.gated()
    server.add("ops:candidate", D)
    stage.gated("block")
    server.add("ops:candidate", A)
    assert stage.promote().prod == A


def test_without_a_record_of_its_creation_the_base_is_what_the_gate_compared_with(stage: Stage) -> None:
    stage.gated()
    assert stage.promote().prod == A


def test_a_base_that_was_deleted_since_does_not_stand_in_the_way(
    stage: Stage, server: RegistryServer
) -> None:
    stage.created()
    stage.gated()
    del server.models["base:1"]
    assert stage.promote().prod == A


def test_production_that_was_moved_by_hand_is_told_with_both_digests(
    promoted: Stage, server: RegistryServer
) -> None:
    server.add("ops:prod", D)
    with pytest.raises(PromotionRefused) as refused:
        promoted.promote()
    assert "was moved by hand: the last promote" in str(refused.value)
    assert "put aaaaaaaaaaaa there, and it is dddddddddddd now" in str(refused.value)


def test_what_was_rolled_back_is_not_promoted_on_its_old_verdict(promoted: Stage) -> None:
    promoted.promote()
    entry = promoted.rollback()
    with pytest.raises(PromotionRefused) as refused:
        promoted.promote()
    assert str(refused.value) == (
        "ops:candidate is not promoted:\n"
        f"no gate has judged it since the last rollback of ops ({entry.at[:10]}), and a verdict of before that does not "
        "count; run: python -m training gate ops"
    )
    assert promoted.digest("prod") == A
    promoted.gated()
    assert promoted.promote().prod == B


def test_a_rollback_on_another_server_takes_no_verdict_away(promoted: Stage) -> None:
    promoted.ledger.append(
        LedgerEntry(action="rollback", name="ops", outcome="done", server="http://elsewhere:11434", prod=D)
    )
    promoted.ledger.append(LedgerEntry(action="rollback", name="judge", outcome="done", prod=D))
    promoted.ledger.append(
        LedgerEntry(action="rollback", name="ops", outcome="refused", server=promoted.registry.url)
    )
    assert promoted.promote().prod == B


def test_what_a_model_was_trained_for_is_known_though_its_adapter_was_moved(stage: Stage) -> None:
    stage.created(task="small", adapter=str(stage.root / "gone"))
    stage.gated()
    assert stage.promote().prod == A


def test_what_a_model_was_trained_for_is_told_by_its_creation_or_else_its_manifest(tmp_path: Path) -> None:
    entry = LedgerEntry(action="create", name="ops", outcome="done", adapter=str(tmp_path))
    assert own_task(None) == "" == own_task(entry.model_copy(update={"adapter": ""}))
    with pytest.raises(TrainingError):
        own_task(entry)
    write_manifest(tmp_path, manifest(task="small"))
    assert own_task(entry) == "small"
    assert own_task(entry.model_copy(update={"tasks": {"judge": ""}})) == "judge"
