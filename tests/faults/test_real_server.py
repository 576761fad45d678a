"""A real Ollama that is killed in the middle of a run and started again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ollama import Client

from tests.fault_server import closed_port
from tests.faults.played_run import PlayedRun, judged, wait_until
from tests.real_ollama import MODEL, OllamaServer, server_environment, version_at

pytestmark = [pytest.mark.ollama, pytest.mark.slow]


class Killable:
    """A server with the program and the models of the one that all tests share, which is not theirs to kill."""

    def __init__(self, shared: OllamaServer) -> None:
        if shared.process is None:
            pytest.skip("the server at OLLAMA_HOST is not ours to kill")
        assert isinstance(shared.process.args, list)
        self._command = [str(one) for one in shared.process.args]
        host = f"127.0.0.1:{closed_port()}"
        self._environment = server_environment(shared.origin, Path(self._command[-2]), host)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://{host}"

    def start(self) -> None:
        """Start it, or start it again on its port; returns once it answers."""
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(lambda: version_at(self.url), "the real server")

    def kill(self) -> None:
        """SIGKILL for the server and for its child, which has the model in memory."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


# Its threads wait by spinning, so that more than one is slow where other processes are busy.
ONE_THREAD = "one-thread:135m"


@pytest.fixture
def server(ollama_server: OllamaServer) -> Iterator[Killable]:
    server = Killable(ollama_server)
    server.start()
    try:
        with Client(host=server.url, timeout=60, trust_env=False) as client:
            client.create(ONE_THREAD, from_=MODEL, parameters={"num_thread": 1})
            yield server
            client.delete(ONE_THREAD)
    finally:
        server.kill()


@pytest.fixture
def played(tmp_path: Path, server: Killable) -> Iterator[PlayedRun]:
    """Ten cases of two tokens each."""
    played = PlayedRun(tmp_path, server.url)
    task = played.golden / "small" / "task.yaml"
    task.write_text(task.read_text().replace("max_tokens: 32", "max_tokens: 2, num_ctx: 512"))
    yield played
    left = played.alive()
    played.stop()
    assert not left, "processes outlived their run"


def test_a_real_server_killed_on_the_way_and_started_again_costs_no_reply(
    played: PlayedRun, server: Killable
) -> None:
    running = played.start("--concurrency", "1", "--no-gate", models=[ONE_THREAD])
    wait_until(lambda: len(played.kept()) >= 4, "four replies in the store")
    server.kill()
    kept = played.kept()
    server.start()

    done = played.finish(running)

    assert done.status == 0, done.out
    outcomes = judged(done.folder)
    assert outcomes.keys() == played.whole(models=[ONE_THREAD]).keys()
    assert "infrastructure" not in outcomes.values()
    assert len(kept) < len(played.questions)
    assert any("the connection broke" in reason for one in done.results for reason in one["retries"])
    again = played.run("--no-gate", models=[ONE_THREAD])
    assert f"{len(played.questions)} replies came from the store" in again.out
