"""The whole loop with nothing made up: a real LoRA on SmolLM2, a real Ollama, the commands that a user types."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ollama import Client

from evals.verdict import Verdict, verdict_from_json
from tests.real_ollama import MODEL, PARAMETERS, OllamaServer
from tests.training.loop_task import CASES, TASK, write_golden, write_training
from tests.training.smollm2_adapter import smollm2
from training.ledger import Ledger, LedgerEntry

# A command at its longest: a training beside four other busy processes.
TIMEOUT_S = 900


@dataclass(frozen=True, slots=True)
class Loop:
    """A user's folder, a server, and a name in it that nobody else uses."""

    folder: Path
    client: Client
    url: str
    name: str

    @property
    def base(self) -> str:
        return f"{self.name}-base:latest"

    def run(self, command: str, *arguments: object, status: int = 0) -> str:
        """What `python -m training` prints to both its outputs."""
        # Threads that wait by spinning make a training four times slower where other processes are busy.
        environment = {
            "OLLAMA_HOST": self.url,
            "OMP_NUM_THREADS": "2",
            "OMP_WAIT_POLICY": "passive",
            "NO_COLOR": "1",
            "COLUMNS": "100",
        }
        done = subprocess.run(
            [sys.executable, "-m", "training", command, *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=TIMEOUT_S,
        )
        assert done.returncode == status, done.stdout
        assert "Traceback" not in done.stdout and "Warning" not in done.stdout, done.stdout
        return done.stdout

    def train(self, config: Path) -> str:
        """The adapter's folder, as the command names it."""
        said = self.run("train", config.name)
        (line,) = (one for one in said.splitlines() if one.startswith("adapter: "))
        return line.removeprefix("adapter: ")

    def standing(self) -> dict[str, str]:
        """The digest of each alias, as the server lists it."""
        listed = {one.model: one.digest for one in self.client.list().models}
        aliases = {alias: listed.get(f"{self.name}:{alias}") for alias in ("candidate", "prod", "previous")}
        return {alias: digest for alias, digest in aliases.items() if digest}

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        entries, problems = Ledger(self.folder / "reports" / "ledger.jsonl").read()
        assert problems == ()
        return entries

    def verdict(self) -> Verdict:
        """That of the newest gate in the ledger."""
        run = [one.run for one in self.entries if one.action == "gate"][-1]
        return verdict_from_json(json.loads((self.folder / "reports" / run / "verdict.json").read_bytes()))


@pytest.fixture
def loop(tmp_path: Path, ollama_server: OllamaServer) -> Iterator[Loop]:
    smollm2()
    write_golden(tmp_path / "golden")
    (tmp_path / "reports").mkdir()
    with Client(host=ollama_server.url, timeout=300, trust_env=False) as client:
        made = Loop(tmp_path, client, ollama_server.url, f"gg-loop-{secrets.token_hex(4)}")
        # Candidates take over the base's parameters; more threads than one wait for each other by spinning.
        client.create(made.base, from_=MODEL, parameters={**PARAMETERS, "num_thread": 1})
        try:
            yield made
        finally:
            for one in client.list().models:
                if one.model and one.model.startswith((f"{made.name}:", made.base)):
                    client.delete(one.model)


@pytest.mark.slow
@pytest.mark.ollama
def test_an_adapter_is_trained_and_promoted_a_broken_one_refused_and_a_second_rolled_back(loop: Loop) -> None:
    config = write_training(loop.folder, loop.name, loop.base)
    assert "lint clean: 72 examples" in loop.run("lint", "things.jsonl", "--task", TASK)
    adapter = loop.train(config)

    # The first one against the base
    assert f"created {loop.name}:candidate" in loop.run("create", adapter)
    first = loop.standing()["candidate"]
    # The store would answer for models that are the same, to the bit, as those of an earlier test.
    assert f"against {loop.base}: promote" in loop.run("gate", loop.name, "--no-store")
    content, form = (
        next(one for one in loop.verdict().differences if one.capability == name)
        for name in ("content", "format")
    )
    assert content.cases == CASES and content.candidate >= 0.75 and content.low > 0
    assert form.baseline <= 0.2 and form.low > 0
    assert f"{loop.name}:prod is {first[:12]}" in loop.run("promote", loop.name)
    assert loop.standing() == {"candidate": first, "prod": first}
    assert loop.name in (fleet := loop.run("fleet")) and first[:12] in fleet

    # A training that was over before it began answers as the base does, and changes nothing
    hasty = loop.train(
        write_training(loop.folder, loop.name, loop.base, "hasty.yaml", max_steps=1, batch=1, warmup=0)
    )
    loop.run("create", hasty)
    broken = loop.standing()["candidate"]
    assert f"against {loop.name}:prod: block" in loop.run("gate", loop.name, "--no-store", status=1)
    refusal = loop.run("promote", loop.name, status=4)
    assert refusal.startswith(
        f"ERROR: {loop.name}:candidate is not promoted:\nthe verdict of its gate was block:"
    )
    assert loop.verdict().reasons[0] in refusal
    assert loop.standing() == {"candidate": broken, "prod": first}

    # One as good as production cannot be shown to be better: only a reason lets it pass
    loop.run("create", adapter, "--quantize", "q8_0")
    second = loop.standing()["candidate"]
    assert f"against {loop.name}:prod: inconclusive" in loop.run("gate", loop.name, "--no-store", status=1)
    assert "the verdict of its gate was inconclusive" in loop.run("promote", loop.name, status=4)
    assert loop.standing() == {"candidate": second, "prod": first}
    loop.run("promote", loop.name, "--override", "as good, with weights of eight bits")
    assert loop.standing() == {"candidate": second, "prod": second, "previous": first}
    assert len({first, broken, second}) == 3

    # And back
    assert f"{loop.name}:prod is {first[:12]}; {loop.name}:previous is {second[:12]}" in loop.run(
        "rollback", loop.name
    )
    assert loop.standing() == {"candidate": second, "prod": first, "previous": second}

    assert [(one.action, one.outcome, one.verdict, one.candidate, one.prod) for one in loop.entries] == [
        ("train", "done", "", "", ""),
        ("create", "done", "", first, ""),
        ("gate", "done", "promote", first, ""),
        ("promote", "done", "promote", first, first),
        ("train", "done", "", "", ""),
        ("create", "done", "", broken, ""),
        ("gate", "done", "block", broken, ""),
        ("promote", "refused", "", broken, first),
        ("create", "done", "", second, ""),
        ("gate", "done", "inconclusive", second, ""),
        ("promote", "refused", "", second, first),
        ("promote", "done", "inconclusive", second, second),
        ("rollback", "done", "promote", second, first),
    ]
    assert loop.entries[-2].override == "as good, with weights of eight bits" and loop.entries[-2].reasons
    assert {one.name for one in loop.entries} == {loop.name}
    assert [Path(one.adapter).name for one in loop.entries if one.action == "train"] == [
        Path(adapter).name,
        Path(hasty).name,
    ]
