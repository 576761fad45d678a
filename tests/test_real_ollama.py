"""The helper that runs a real Ollama: against the real one where marked, else against a stand-in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from ollama import Client

from tests import real_ollama
from tests.real_ollama import MODEL, OllamaBroken, OllamaServer, OllamaUnavailable, Wheel, running_ollama

STAND_IN = f"""\
#!{sys.executable}
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{{"version": "0.0.1"}}')
host, port = os.environ["OLLAMA_HOST"].split(":")
print("models in", os.environ["OLLAMA_MODELS"], flush=True)
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ollama` on the PATH that only tells its version; an empty cache folder; no `OLLAMA_HOST`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("GOLDENGATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    return script(folder / "ollama", STAND_IN)


@pytest.mark.usefixtures("stand_in")
def test_ollama_on_the_path_is_started_and_stopped(tmp_path: Path) -> None:
    with running_ollama() as server:
        assert (server.origin, server.version) == ("PATH", "0.0.1")
        assert server.log is not None
        assert server.log.read_text().splitlines()[0] == f"models in {tmp_path / 'cache' / 'ollama-models'}"
    assert real_ollama.version_at(server.url) is None
    server.stop()


@pytest.mark.usefixtures("stand_in")
def test_a_server_at_ollama_host_is_used_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_ollama() as first:
        monkeypatch.setenv("OLLAMA_HOST", first.url.removeprefix("http://"))
        with running_ollama() as second:
            assert (second.url, second.origin, second.process) == (first.url, "OLLAMA_HOST", None)
        assert real_ollama.version_at(first.url) == "0.0.1"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param("echo out of luck\nexit 3\n", "ended with status 3", id="ends at once"),
        pytest.param("echo out of luck\nexec sleep 60\n", "did not answer in time", id="hangs"),
    ],
)
def test_a_server_that_does_not_start_shows_the_end_of_its_log(stand_in: Path, text: str, what: str) -> None:
    script(stand_in, f"#!/bin/sh\n{text}")
    with pytest.raises(OllamaBroken, match=rf"{what}[\s\S]*out of luck$"):
        real_ollama.start_server("PATH", stand_in, wait_s=1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
@pytest.mark.usefixtures("stand_in")
def test_the_server_does_not_outlive_a_killed_test_run() -> None:
    code = """\
        import time
        from tests.real_ollama import running_ollama
        with running_ollama() as server:
            print(server.url, flush=True)
            time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as run:
        assert run.stdout is not None
        url = run.stdout.readline().strip()
        assert real_ollama.version_at(url) == "0.0.1"
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while real_ollama.version_at(url) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert real_ollama.version_at(url) is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("https://example.org/ollama/", "https://example.org:443/ollama"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_ollama_host_is_read_as_ollama_does(host: str, url: str) -> None:
    assert real_ollama.server_url(host) == url


@pytest.mark.parametrize(
    ("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")]
)
def test_a_platform_without_the_wheel_is_named_in_the_reason(system: str, machine: str) -> None:
    assert f"this is {system} {machine}" in str(real_ollama.why_no_wheel(system, machine))


def test_a_missing_c_compiler_is_named_in_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no C compiler" in str(real_ollama.why_no_wheel("Linux", "x86_64"))


@pytest.fixture
def wheel_file(tmp_path: Path) -> Path:
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing-1.0.data/data/lib/libthing.so", b"library")
        archive.writestr("thing-1.0.data/data/lib/libother.so", b"not needed")
    return path


def test_only_the_needed_files_of_a_pinned_wheel_are_unpacked(wheel_file: Path, tmp_path: Path) -> None:
    (into := tmp_path / "into").mkdir()
    pinned = Wheel("thing==1.0", sha256(wheel_file.read_bytes()).hexdigest(), ("*/lib/libthing.so",))
    real_ollama.unpack(pinned, wheel_file, into)
    assert {path.name: path.read_bytes() for path in into.iterdir()} == {"libthing.so": b"library"}


def test_a_wheel_with_another_hash_is_refused(wheel_file: Path, tmp_path: Path) -> None:
    (into := tmp_path / "into").mkdir()
    with pytest.raises(OllamaBroken, match=r"thing-1\.0.* has SHA-256 .* not used"):
        real_ollama.unpack(Wheel("thing==1.0", "0" * 64, ("*/lib/libthing.so",)), wheel_file, into)
    assert list(into.iterdir()) == []


def test_a_set_up_without_its_marker_or_from_other_wheels_is_not_complete(tmp_path: Path) -> None:
    assert not real_ollama.is_complete(tmp_path)
    (tmp_path / "complete").write_text("other wheels")
    assert not real_ollama.is_complete(tmp_path)
    (tmp_path / "complete").write_text(repr(real_ollama.WHEELS))
    assert real_ollama.is_complete(tmp_path)


def test_a_failing_step_of_the_set_up_says_what_it_said() -> None:
    with pytest.raises(OllamaUnavailable, match="no such wheel"):
        real_ollama.run([sys.executable, "-c", "import sys; sys.exit('no such wheel')"])


@pytest.mark.ollama
def test_the_real_server_tells_its_version(ollama_server: OllamaServer) -> None:
    assert real_ollama.version_at(ollama_server.url) == ollama_server.version
    if ollama_server.origin == "PyPI":
        assert ollama_server.version == real_ollama.OLLAMA_VERSION


@pytest.mark.ollama
def test_the_model_is_created_once(ollama_server: OllamaServer) -> None:
    with Client(host=ollama_server.url, timeout=60) as client:
        before = {model.model: (model.digest, model.modified_at) for model in client.list().models}
        assert MODEL in before
        assert ollama_server.ensure_model() == MODEL
        assert {model.model: (model.digest, model.modified_at) for model in client.list().models} == before


@pytest.mark.ollama
def test_a_chat_gives_text_and_token_counts(ollama_server: OllamaServer) -> None:
    # One thread: several wait for each other by spinning, and crawl beside other busy processes.
    options = {"temperature": 0, "seed": 0, "num_predict": 16, "num_thread": 1}
    with Client(host=ollama_server.url, timeout=120) as client:
        reply = client.chat(MODEL, [{"role": "user", "content": "Say hi."}], options=options)
    assert reply.message.content
    # SmolLM2's own template makes 33 tokens of this, its default system prompt included.
    assert (
        reply.prompt_eval_count == 33 or ollama_server.origin == "OLLAMA_HOST"
    )  # where the model may be another's
    assert reply.eval_count is not None
    assert 0 < reply.eval_count <= 16


@pytest.mark.ollama
def test_a_second_start_sets_nothing_up_again(ollama_server: OllamaServer) -> None:
    if ollama_server.origin != "PyPI":
        pytest.skip(f"the server in use comes from {ollama_server.origin}: nothing was set up")
    marker = real_ollama.set_up() / "complete"
    written = marker.stat().st_mtime_ns
    began = time.monotonic()
    second = real_ollama.start_server("PyPI", real_ollama.set_up() / "bin" / "ollama")
    took_s = time.monotonic() - began
    second.stop()
    assert marker.stat().st_mtime_ns == written
    assert took_s < 2
