"""Whole runs on real models: the embedded default, and a real Ollama server."""

from __future__ import annotations

import os
from pathlib import Path

import ollama
import pytest

from evals.backends.weights import embedded_default
from tests.evals_run import Evals, write_task
from tests.fault_server import closed_port
from tests.real_ollama import OllamaServer

QUESTIONS = {
    f"Which word comes after {word}? Answer with one word.": "a"
    for word in [
        "one",
        "two",
        "three",
        "up",
        "red",
        "monday",
        "north",
        "spring",
        "first",
        "breakfast",
        "morning",
        "left",
        "good",
        "day",
        "hot",
        "east",
        "early",
        "start",
        "front",
        "top",
    ]
}


@pytest.fixture
def evals(tmp_path: Path) -> Evals:
    """Twenty short cases, and the cache of this machine, so that no weights are fetched again."""
    golden = tmp_path / "golden"
    folder = write_task(golden, questions=QUESTIONS)
    task = (folder / "task.yaml").read_text()
    (folder / "task.yaml").write_text(task.replace("max_tokens: 32", "max_tokens: 12"))
    evals = Evals(tmp_path, f"127.0.0.1:{closed_port()}")
    weights = embedded_default()
    evals.cache.joinpath("models").mkdir(parents=True)
    os.link(weights, evals.cache / "models" / weights.name)
    return evals


@pytest.mark.slow
def test_the_embedded_default_runs_twenty_cases_and_keeps_its_log_to_itself(evals: Evals) -> None:
    done = evals.run("--no-gate", models=[])
    assert done.status == 0, done.out
    assert "gguf:smollm2-135m" in done.out
    assert [line["outcome"] for line in done.results].count("infrastructure") == 0
    assert len(done.results) == 20
    assert all(line["tokens"]["completion"] for line in done.results)
    assert "load_model" not in done.out
    assert "llama" in (done.folder / "generate.log").read_text()
    again = evals.run("--no-gate", models=[])
    assert "20 replies came from the store" in again.out
    assert not (again.folder / "generate.log").exists()


@pytest.mark.slow
@pytest.mark.ollama
def test_a_real_ollama_runs_twenty_cases_then_the_store_and_a_replay_say_the_same(
    evals: Evals, ollama_server: OllamaServer
) -> None:
    evals.host = ollama_server.url
    done = evals.run("--no-gate", models=["smollm2:135m"])
    assert done.status == 0, done.out
    with ollama.Client(host=ollama_server.url) as client:
        (entry,) = (one for one in client.list().models if one.model == "smollm2:135m")
    assert done.info["models"][0]["digest"] == entry.digest
    assert len(done.results) == 20
    assert all(line["outcome"] != "infrastructure" for line in done.results)
    assert all(line["timings"]["first_token_s"] for line in done.results if line["outcome"] == "answered")

    def judged(results: list[dict[str, object]]) -> list[tuple[object, object, object]]:
        return [(one["case"], one["outcome"], one["response"]) for one in results]

    again = evals.run("--no-gate", models=["smollm2:135m"])
    assert "20 replies came from the store" in again.out
    assert judged(again.results) == judged(done.results)
    replayed = evals.run("--no-gate", "--no-store", models=[f"replay:{done.folder}"])
    assert judged(replayed.results) == judged(done.results)


@pytest.mark.ollama
def test_a_real_ollama_without_the_model_names_those_that_it_has(
    evals: Evals, ollama_server: OllamaServer
) -> None:
    evals.host = ollama_server.url
    done = evals.run(models=["smollm2:135"])
    assert done.status == 4
    assert "closest there: smollm2:135m" in done.out
    assert "ollama pull smollm2:135" in done.out
