"""Whole latency passes, as a user starts them, against a server that remembers what it was asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evals.backends.weights import embedded_default
from tests.evals_run import Done, Evals, write_task
from tests.fault_server import NO_COUNTS, FaultServer, error
from tests.openai_server import OpenAIServer
from tests.real_ollama import OllamaServer

COLD = 3
NONCE = re.compile(r"^[0-9a-f]{16} ")
# A plugin of somebody else's that takes pytest-benchmark's results away.
THIEF = """\
import pytest

@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    {act}
"""


@pytest.fixture
def latency(evals: Evals) -> Evals:
    """A run's surroundings with two tasks, whose latency tests are run."""
    write_task(evals.golden, "other")
    evals.tests = "evals.test_latency"
    return evals


def measured(done: Done) -> list[dict[str, Any]]:
    """The measurements in the newest run's JSON."""
    data: dict[str, Any] = json.loads((done.folder / "latency.json").read_text())
    return [one["extra_info"] for one in data["benchmarks"]]


def command(evals: Evals, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m evals …`, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "evals", *arguments],
        env=evals.environment(),
        cwd=evals.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_pass_times_each_model_cold_and_warm_and_keeps_all(
    latency: Evals, fault_server: FaultServer
) -> None:
    done = latency.run("--latency-rounds", "2", models=["tiny", "thinker:4b"])
    assert done.status == 0, done.out
    found = [(one["model"], one["kind"], one["requests"]) for one in measured(done)]
    assert found == [
        ("tiny", "cold", 3),
        ("tiny", "warm", 2),
        ("thinker:4b", "cold", 3),
        ("thinker:4b", "warm", 2),
    ]
    cold, warm = measured(done)[:2]
    assert cold["parts"]["load_s"] == {"p50": 2.0, "p95": 2.0, "n": 3}
    assert warm["parts"]["load_s"] == {"p50": 0.02, "p95": 0.02, "n": 2}
    assert warm["parts"]["prefill_tokens_per_s"]["p50"] == 52.0
    assert warm["parts"]["decode_tokens_per_s"]["p50"] == 32.0
    assert warm["completion_tokens"] == 8
    assert warm["digest"] == fault_server.digest("tiny:latest")
    assert warm["used"]["memory_bytes"] > 0
    assert done.info["asked"] == 10
    assert done.info["stored"] == 0
    assert not done.results
    assert "tiny" in (done.folder / "report.md").read_text()


def test_a_model_that_cannot_be_unloaded_is_timed_warm_only_and_this_is_told(latency: Evals) -> None:
    with OpenAIServer() as server:
        name = f"openai:tiny@{server.url}"
        done = latency.run("--latency-rounds", "2", models=["tiny", name])
    assert done.status == 0, done.out
    found = [(one["model"], one["kind"]) for one in measured(done)]
    assert found == [("tiny", "cold"), ("tiny", "warm"), (name, "warm")]
    assert done.out.count("models of openai: are timed warm only") == 1
    assert "could not be unloaded" not in done.out


def test_the_time_that_is_compared_is_the_replies_own(latency: Evals) -> None:
    done = latency.run("-k", "warm", "--latency-rounds", "2")
    (benchmark,) = json.loads((done.folder / "latency.json").read_text())["benchmarks"]
    assert benchmark["stats"]["rounds"] == 2
    assert benchmark["stats"]["median"] == pytest.approx(benchmark["extra_info"]["parts"]["total_s"]["p50"])


def test_every_request_begins_with_a_nonce_of_its_own(latency: Evals, fault_server: FaultServer) -> None:
    latency.run("--latency-rounds", "2")
    firsts = [body["messages"][0] for body in fault_server.bodies]
    assert len(firsts) == COLD + 1 + 2
    assert all(first["role"] == "system" and NONCE.match(first["content"]) for first in firsts)
    assert len({first["content"][:16] for first in firsts}) == len(firsts)
    assert all(first["content"][17:] == "Answer shortly." for first in firsts)


def test_requests_go_out_one_at_a_time_whatever_concurrency_is_set(
    latency: Evals, fault_server: FaultServer
) -> None:
    fault_server.delay_s = 0.05
    latency.run("--latency-rounds", "2", "--concurrency", "4")
    assert len(fault_server.chats) == COLD + 1 + 2
    assert fault_server.peak == 1


def test_the_model_is_unloaded_before_each_cold_request_and_before_no_other(
    latency: Evals, fault_server: FaultServer
) -> None:
    latency.run("--latency-rounds", "2")
    unloading = ("/api/generate", "/api/chat")
    asked = [one for one in fault_server.asked if one.path in unloading]
    assert [one.path for one in asked] == ["/api/generate", "/api/chat"] * COLD + ["/api/chat"] * 3
    assert all(json.loads(one.raw)["keep_alive"] == 0 for one in asked if one.path == "/api/generate")


def test_the_same_cases_are_asked_of_every_model_with_one_context_length(
    latency: Evals, fault_server: FaultServer
) -> None:
    task = latency.golden / "other" / "task.yaml"
    task.write_text(task.read_text().replace("max_tokens: 32", "max_tokens: 32, num_ctx: 8192"))
    latency.run("--latency-rounds", "1", models=["tiny", "thinker:4b"])
    assert {body["options"]["num_ctx"] for body in fault_server.bodies} == {8192}
    by_model = {
        name: [body["messages"][1:] for body in fault_server.bodies if body["model"] == name]
        for name in ("tiny", "thinker:4b")
    }
    assert by_model["tiny"] == by_model["thinker:4b"]


def test_the_store_is_neither_read_nor_written(latency: Evals, fault_server: FaultServer) -> None:
    latency.tests = "evals"
    latency.run("--no-gate")
    kept = {path: path.stat().st_mtime_ns for path in (latency.cache / "responses").rglob("*")}
    latency.tests = "evals.test_latency"
    for _ in range(2):
        before = len(fault_server.chats)
        assert latency.run("--latency-rounds", "1").status == 0
        assert len(fault_server.chats) - before == COLD + 1 + 1
    assert kept == {path: path.stat().st_mtime_ns for path in (latency.cache / "responses").rglob("*")}
    assert kept


def test_a_plain_run_collects_no_latency_test_and_says_nothing_of_benchmarks(evals: Evals) -> None:
    for arguments in ((), ("-n", "2", "-W", "error")):
        done = evals.run(*arguments, models=["tiny", "thinker:4b"])
        assert done.status == 0, done.out
        assert "benchmark:" not in done.out.replace("-benchmark", "")
        assert "warning" not in done.out.lower()
        assert "latency" not in done.out


def test_the_table_is_printed_and_printed_again_by_the_command(latency: Evals) -> None:
    done = latency.run("--latency-rounds", "1")
    table = done.out[done.out.index("load s") :].splitlines()[:5]
    assert max(map(len, table)) <= 80
    assert table[1] == "tiny"
    assert [line.split()[0] for line in table[2:4]] == ["cold", "warm"]
    assert table[3].split()[3:5] == ["52.0/52.0", "32.0/32.0"]
    assert "Name (time in" not in done.out
    for arguments in (("latency", "--reports", str(latency.reports)), ("latency", str(done.folder))):
        again = command(latency, *arguments)
        assert again.returncode == 0, again.stderr
        assert again.stdout.splitlines()[1:4] == table[1:4]
        assert done.folder.name in again.stdout


def test_the_command_says_how_to_time_where_nothing_was_timed(latency: Evals) -> None:
    said = command(latency, "latency", "--reports", str(latency.reports))
    assert said.returncode == 4
    assert said.stderr.startswith("ERROR: no run in ")
    assert "pytest evals/test_latency.py" in said.stderr


def test_saved_measurements_are_compared_by_model_and_kind(latency: Evals) -> None:
    storage = f"--benchmark-storage={latency.root / 'saved'}"
    first = latency.run("--latency-rounds", "1", storage, "--benchmark-autosave")
    assert first.status == 0, first.out
    (saved,) = (latency.root / "saved").rglob("*.json")
    names = [one["fullname"] for one in json.loads(saved.read_text())["benchmarks"]]
    assert names == [f"evals/test_latency.py::test_latency[tiny-{kind}]" for kind in ("cold", "warm")]
    second = latency.run("--latency-rounds", "1", storage, "--benchmark-compare")
    assert second.status == 0, second.out
    assert re.search(r"test_latency\[tiny-warm\] \(NOW\)", second.out), second.out
    assert re.search(r"test_latency\[tiny-warm\] \(0001", second.out), second.out
    # Cold and warm stand in tables of their own.
    assert len(re.findall(r"benchmark '(?:cold|warm)': 2 tests", second.out)) == 2


def test_what_is_slower_than_allowed_fails_with_a_sentence(latency: Evals, fault_server: FaultServer) -> None:
    options = ("--latency-rounds", "2", "-k", "warm", f"--benchmark-storage={latency.root / 'saved'}")
    latency.run(*options, "--benchmark-autosave")
    fault_server.delay_s = 0.3
    done = latency.run(*options, "--benchmark-compare", "--benchmark-compare-fail=median:100%")
    assert done.status == 1
    assert "is slower than --benchmark-compare-fail allows: Field 'median'" in done.out
    assert "Traceback" not in done.out
    assert measured(done)


def test_the_users_own_json_is_written_too(latency: Evals) -> None:
    done = latency.run("--latency-rounds", "1", "--benchmark-json", str(latency.root / "mine.json"))
    mine = json.loads((latency.root / "mine.json").read_text())
    assert [one["extra_info"] for one in mine["benchmarks"]] == measured(done)


def test_a_request_that_fails_fails_the_test_and_is_not_timed(
    latency: Evals, fault_server: FaultServer
) -> None:
    fault_server.play(error(400, "no such option"))
    done = latency.run("--latency-rounds", "1")
    assert done.status == 1
    assert "a request brought no reply, so nothing is timed: " in done.out
    assert "no such option" in done.out
    assert "Traceback" not in done.out
    assert [one["kind"] for one in measured(done)] == ["warm"]


def test_where_every_request_fails_no_run_is_left(latency: Evals, fault_server: FaultServer) -> None:
    fault_server.instead["/api/chat"] = error(400, "no")
    done = latency.run("--latency-rounds", "1")
    assert done.status == 1
    assert "ERROR: nothing was measured" in done.out
    assert not done.reports.exists()


def test_a_reply_that_came_only_when_asked_again_is_told(latency: Evals, fault_server: FaultServer) -> None:
    fault_server.play(error(503, "busy"))
    done = latency.run("--latency-rounds", "1")
    assert done.status == 0, done.out
    assert measured(done)[0]["asked_again"] == 1
    assert "1 requests were answered only when asked again" in done.out


def test_a_server_that_tells_no_figures_leaves_dashes(latency: Evals, fault_server: FaultServer) -> None:
    fault_server.instead["/api/chat"] = NO_COUNTS
    done = latency.run("--latency-rounds", "2", "-k", "warm")
    assert done.status == 0, done.out
    (warm,) = measured(done)
    untold = ("load_s", "prefill_tokens_per_s", "decode_tokens_per_s")
    assert [warm["parts"][name] for name in untold] == [None, None, None]
    assert warm["parts"]["total_s"]["n"] == 2
    row = next(line for line in done.out.splitlines() if line.startswith("  warm"))
    assert [cell for cell in row.split() if cell == "-"] == ["-"] * 3
    assert "tokens (median): prompt -, answer -" in done.out


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("item.config._benchmarksession.benchmarks.clear()", "it holds no measurement at all"),
        ("del item.config._benchmarksession.benchmarks[1:]", "pytest-benchmark kept 1 of the 2 measurements"),
    ],
)
def test_measurements_that_are_missing_after_the_tests_are_an_error(
    latency: Evals, act: str, said: str
) -> None:
    (latency.root / "thief.py").write_text(THIEF.format(act=act))
    done = latency.run("--latency-rounds", "1", "-p", "thief")
    assert done.status == 1, done.out
    assert f"ERROR: the latencies are lost: {said}" in done.out
    assert not (done.folder / "run.json").exists()


def test_a_folder_that_cannot_be_written_any_more_is_an_error(latency: Evals) -> None:
    act = "import shutil; shutil.rmtree(" + repr(str(latency.reports)) + ", ignore_errors=True)"
    (latency.root / "thief.py").write_text(THIEF.format(act=act))
    done = latency.run("--latency-rounds", "1", "-p", "thief")
    assert done.status == 1, done.out
    assert "ERROR: the latencies are lost: " in done.out
    assert "Traceback" not in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-n", "2"), "add -n0"),
        (("--benchmark-disable",), "--benchmark-disable leaves nothing to measure"),
        (("--benchmark-skip",), "--benchmark-skip leaves nothing to measure"),
        (("-p", "no:benchmark"), "pytest-benchmark, which is switched off here"),
        (("evals",), "latency is measured in a pass of its own"),
        (("evals.test_golden",), "latency is measured in a pass of its own"),
        (("--model", "replay:reports/old"), "a recorded run: it has no latency"),
        (("--latency-rounds", "0"), "--latency-rounds is '0'"),
        (("-k", "nothing"), "nothing was measured"),
        (("--benchmark-compare-fail=median:5%",), "has nothing to compare with: add --benchmark-compare"),
    ],
)
def test_what_cannot_measure_is_refused_in_a_sentence(
    latency: Evals, fault_server: FaultServer, arguments: tuple[str, ...], said: str
) -> None:
    done = latency.run(*arguments)
    assert done.status == 4, done.out
    assert said in done.out
    assert "Traceback" not in done.out
    assert not fault_server.chats
    assert not done.reports.exists()


def test_several_hosts_are_one_for_a_measurement(latency: Evals, fault_server: FaultServer) -> None:
    with FaultServer() as other:
        assert latency.run("--latency-rounds", "1", "--ollama-host", other.url).status == 0
        assert not other.asked
    assert len(fault_server.chats) == COLD + 1 + 1


def test_collecting_asks_nobody(latency: Evals, fault_server: FaultServer) -> None:
    done = latency.run("--collect-only", "-q")
    assert done.status == 0, done.out
    assert re.findall(r"test_latency\[(.*)\]", done.out) == ["tiny-cold", "tiny-warm"]
    assert not fault_server.asked


@pytest.mark.slow
def test_the_embedded_default_is_timed_and_its_prompt_is_read_anew_each_time(evals: Evals) -> None:
    evals.tests = "evals.test_latency"
    lend_weights(evals)
    write_task(evals.golden, questions={"Which word comes after one?": "two"})
    done = evals.run("--latency-rounds", "3", models=[])
    assert done.status == 0, done.out
    cold, warm = measured(done)
    assert cold["parts"]["load_s"]["p50"] > 0
    assert warm["parts"]["load_s"]["p95"] == 0
    assert warm["used"]["memory_of"] == "the asking process"
    assert warm["used"]["memory_bytes"] > 100_000_000
    assert all(part["n"] == 3 for part in warm["parts"].values())


@pytest.mark.slow
@pytest.mark.ollama
def test_a_real_ollama_is_timed_and_really_unloaded(evals: Evals, ollama_server: OllamaServer) -> None:
    evals.tests, evals.host = "evals.test_latency", ollama_server.url
    task = write_task(evals.golden, questions={"Which word comes after one?": "two"}) / "task.yaml"
    task.write_text(task.read_text().replace("max_tokens: 32", "max_tokens: 4"))
    done = evals.run("--latency-rounds", "1", models=["smollm2:135m"])
    assert done.status == 0, done.out
    cold, warm = measured(done)
    assert cold["parts"]["load_s"]["p50"] > warm["parts"]["load_s"]["p95"]
    assert warm["used"]["memory_bytes"] > 50_000_000


def lend_weights(evals: Evals) -> None:
    """The weights of this machine's cache in the run's own, so that nothing is fetched again."""
    weights = embedded_default()
    models = Path(evals.cache, "models")
    models.mkdir(parents=True)
    (models / weights.name).hardlink_to(weights)
