"""Production moves only on evidence; whatever happens on the way, it is what it was or what it was to become."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.errors import PromotionRefused, RegistryError, SettingsError
from tests.evals_run import write_task
from tests.fault_server import SILENT, Play, error
from tests.real_ollama import MODEL, PARAMETERS, TEMPLATE, OllamaServer
from tests.training.registry_server import RegistryServer
from tests.training.stage import Stage
from training.aliases import HELD
from training.package import Package
from training.registry import Registry

A, B, C, D = (letter * 64 for letter in "abcd")


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        server.add("base:1", "0" * 64)
        server.add("ops:candidate", A)
        yield server


@pytest.fixture
def stage(tmp_path: Path, server: RegistryServer) -> Stage:
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
    assert stage.standing() == {"candidate": A, "prod": A, "previous": "", HELD: ""}
    assert (entry.outcome, entry.prod, entry.previous, entry.candidate) == ("done", A, "", A)
    assert (entry.base, entry.run, entry.verdict, entry.tasks) == ("base:1", gate.run, "promote", gate.tasks)
    assert entry.server == stage.registry.url and entry.reasons == () and entry.override == ""
    assert stage.entries[-1] == entry


def test_what_was_in_production_is_kept_as_previous(promoted: Stage) -> None:
    entry = promoted.promote()
    assert promoted.standing() == {"candidate": B, "prod": B, "previous": A, HELD: ""}
    assert (entry.prod, entry.previous) == (B, A)


def test_the_one_before_the_last_gives_way(promoted: Stage, server: RegistryServer) -> None:
    promoted.promote()
    server.add("ops:candidate", C)
    promoted.gated()
    promoted.promote()
    assert promoted.standing() == {"candidate": C, "prod": C, "previous": B, HELD: ""}


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
        before["prod"],
    )
    assert list(entry.reasons) == str(refused.value).splitlines()


@pytest.mark.parametrize(("spoil", "said"), REFUSALS[:3])
def test_a_reason_given_promotes_all_the_same_and_is_written_down(
    stage: Stage, server: RegistryServer, spoil: Spoil, said: str
) -> None:
    stage.created()
    spoil(stage, server)
    entry = stage.promote(override="the old one\x1b is broken")
    assert stage.digest("prod") == A
    assert entry.override == r"the old one\x1b is broken"
    assert said.splitlines()[0][:20] in "\n".join(entry.reasons)
    assert stage.entries[-1] == entry


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


@pytest.mark.parametrize("calls", [0, 1, 2])
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
    assert promoted.standing() == {"candidate": C, "prod": C, "previous": B, HELD: ""}


def test_a_first_promotion_that_breaks_off_leaves_no_production(stage: Stage, server: RegistryServer) -> None:
    stage.gated()
    server.copies_another = True
    with pytest.raises(RegistryError, match="everything is as it was: ops:prod is not there"):
        stage.promote()
    assert stage.standing() == {"candidate": A, "prod": "", "previous": "", HELD: ""}


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
    server.fail_copy(2)
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


def test_production_is_a_whole_model_at_every_step(promoted: Stage, server: RegistryServer) -> None:
    seen: list[str] = []

    def look(body: dict[str, Any]) -> Play | None:
        assert "ops:prod" in server.models
        seen.append(server.digest("ops:prod"))
        return None

    server.on_copy = look
    promoted.promote()
    promoted.rollback()
    assert seen == [A, A, B, B, A]


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_promotion_that_was_killed_is_put_in_order_by_the_next_one(
    promoted: Stage, server: RegistryServer, killed_after: int
) -> None:
    promoted.promote()
    server.add("ops:candidate", C)
    promoted.gated()
    steps = [("previous", HELD), ("prod", "previous"), ("candidate", "prod")]
    for source, target in steps[:killed_after]:
        promoted.registry.copy(f"ops:{source}", f"ops:{target}")
    if killed_after < 3:
        promoted.promote()
    else:
        with pytest.raises(PromotionRefused, match="already"):
            promoted.promote()
    assert promoted.standing() == {"candidate": C, "prod": C, "previous": B, HELD: ""}


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(promoted: Stage) -> None:
    with (
        promoted.ledger.alone("ops", promoted.registry.url),
        pytest.raises(PromotionRefused, match="another promotion or rollback of ops is going on"),
    ):
        promoted.promote()
    assert promoted.entries[-1].outcome == "refused"
    assert promoted.promote().outcome == "done"


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
    assert promoted.standing() == {"candidate": B, "prod": B, "previous": A, HELD: ""}


def test_a_rollback_changes_places_and_can_be_taken_back(promoted: Stage) -> None:
    promoted.promote()
    entry = promoted.rollback()
    assert promoted.standing() == {"candidate": B, "prod": A, "previous": B, HELD: ""}
    assert (entry.action, entry.outcome, entry.prod, entry.previous) == ("rollback", "done", A, B)
    assert promoted.rollback().prod == B
    assert promoted.standing() == {"candidate": B, "prod": B, "previous": A, HELD: ""}


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
    assert promoted.rollback().prod == A
    assert promoted.standing() == {"candidate": B, "prod": A, "previous": A, HELD: ""}


@pytest.mark.parametrize("calls", [0, 1, 2])
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
        assert stage.standing() == {"candidate": second, "prod": second, "previous": first, HELD: ""}
        assert stage.rollback().prod == first
        assert stage.standing() == {"candidate": second, "prod": first, "previous": second, HELD: ""}
        assert [one.outcome for one in stage.entries if one.action != "gate"] == [
            *("done", "done", "refused", "done", "done", "done")
        ]
    finally:
        for tag in ("candidate", "prod", "previous", HELD):
            if registry.find(f"gg-promote-test:{tag}"):
                registry.delete(f"gg-promote-test:{tag}")
