"""A real Ollama server for the tests that need one.

There are three ways to get one, tried in this order: the server at `OLLAMA_HOST`, if one answers;
`ollama serve`, if the command is on the PATH; on Linux x86-64, the Ollama that a PyPI wheel carries, set up
once in the cache folder. If none works, `OllamaUnavailable` says why, for a fixture to skip with.

The wheel's Ollama is built for Intel GPUs. It runs on any CPU once the library that drives them is replaced
by a stub that finds no device; the Intel libraries that it is linked against come from wheels too. The result
is slow and older than the current release: right for checking what is sent and answered, useless for
measuring speed. Its threads wait by spinning: where other processes are busy, the option `num_thread: 1` is
many times faster.

`python -m tests.real_ollama` serves until Ctrl-C, and prints the `OLLAMA_HOST=...` line to use meanwhile.
"""

from __future__ import annotations

import fnmatch
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import pytest
from filelock import FileLock
from ollama import Client

from evals.backends.ollama import server_url
from evals.backends.weights import embedded_default, sha256_of
from evals.cache import cache_folder
from evals.errors import ModelUnavailable

Origin = Literal["OLLAMA_HOST", "PATH", "PyPI"]

OLLAMA_VERSION = "0.9.3"
MODEL = "smollm2:135m"
# SmolLM2's own chat template (`tokenizer.chat_template` in its GGUF file), in Ollama's template language.
TEMPLATE = """\
{{- range $i, $_ := .Messages }}{{ if and (eq $i 0) (ne .Role "system") }}<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
{{ end }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
PARAMETERS = {"stop": ["<|im_start|>", "<|im_end|>"]}

SYCL_STUB = """\
int ggml_backend_sycl_get_device_count(void) { return 0; }
void *ggml_backend_sycl_buffer_type(int device) { (void)device; return 0; }
void *ggml_backend_sycl_init(int device) { (void)device; return 0; }
"""
# Run between the tests and the server; 1 is PR_SET_PDEATHSIG, which outlasts exec.
# A preexec_fn would do the same, but may deadlock where there are threads.
DIE_WITH_PARENT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the test run ended before the server began")
os.execv(sys.argv[2], sys.argv[2:])
"""


class OllamaUnavailable(Exception):
    """No real Ollama can be had here; the message says why. A reason to skip."""


class OllamaBroken(Exception):
    """What was found is not what it should be, or did not start. A fault, not a reason to skip."""


@dataclass(frozen=True)
class Wheel:
    """A wheel pinned by version and SHA-256; `needed` are patterns of the files that the server needs."""

    requirement: str
    sha256: str
    needed: tuple[str, ...]


WHEELS = (
    Wheel(
        "bigdl-core-cpp==2.7.0b20260110",
        "0e99cb840d69c53add9a9500feba14b68f45c51ca2544845788de7a110653d73",
        ("*/libs/ollama/ollama-lib", "*/libs/ollama/lib*.so"),
    ),
    Wheel(
        "intel-sycl-rt==2025.0.2",
        "1cda5ca7a90d84b7a3edc0179a811607005c1f20257deefeecf06aa3b857495e",
        ("*/lib/libsycl.so.8",),
    ),
    Wheel(
        "intel-cmplr-lib-rt==2025.0.2",
        "59971f4efad708705af23de25dfc2c9f88b9e643211a0ec42274ce30d7a74a2d",
        ("*/lib/libimf.so", "*/lib/libintlc.so.5", "*/lib/libirng.so", "*/lib/libsvml.so"),
    ),
    Wheel(
        "intel-cmplr-lib-ur==2025.0.2",
        "9e95958abba62a50a016e23e5132ccb1152158e2cd710ddf3549372db14dd18d",
        ("*/lib/libur_loader.so.0",),
    ),
    Wheel(
        "intel-openmp==2025.0.2",
        "8cd81eca61d4ceea1669a1f2e72a10bcd6bbb0a8aa7031664687094a8b9c9261",
        ("*/lib/libiomp5.so",),
    ),
)


@dataclass
class OllamaServer:
    """A server that answers at `url`. `process` and `log` are set only where it was started here."""

    url: str
    version: str
    origin: Origin
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None

    def ensure_model(self) -> str:
        """Create `MODEL` from the embedded default's GGUF file unless the server has it. Returns its name."""
        lock = FileLock(cache_folder() / "ollama-model.lock", timeout=600)
        with lock, Client(host=self.url, timeout=300, trust_env=False) as client:
            if MODEL not in {model.model for model in client.list().models}:
                weights = embedded_default()
                files = {weights.name: client.create_blob(weights)}
                client.create(MODEL, files=files, template=TEMPLATE, parameters=PARAMETERS)
        return MODEL

    def stop(self) -> None:
        """End the server if it was started here; one found at `OLLAMA_HOST` is left alone."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # with it the runner that holds the model
            self.process.wait()


@contextmanager
def running_ollama() -> Iterator[OllamaServer]:
    """Give a server, and stop it afterwards if it was started here.

    Raises OllamaUnavailable where none can be had, OllamaBroken where one is damaged or does not start.
    """
    server = answering_server(os.environ.get("OLLAMA_HOST", ""))
    if server is None:
        found = shutil.which("ollama")
        server = (
            start_server("PATH", Path(found)) if found else start_server("PyPI", set_up() / "bin" / "ollama")
        )
    try:
        yield server
    finally:
        server.stop()


def server_with_model() -> Iterator[OllamaServer]:
    """What the fixture `ollama_server` yields: a server that has `MODEL`, or else a skip with the reason."""
    try:
        with running_ollama() as server:
            server.ensure_model()
            yield server
    except (OllamaUnavailable, ModelUnavailable) as reason:
        if os.environ.get("GOLDENGATE_REQUIRE_OLLAMA"):
            raise
        pytest.skip(f"no real Ollama: {reason}")


def answering_server(host: str) -> OllamaServer | None:
    """The server at `host`, if one answers there; `host` is written as in Ollama's variable of that name."""
    version = version_at(server_url(host)) if host else None
    return OllamaServer(server_url(host), version, "OLLAMA_HOST") if version else None


def version_at(url: str) -> str | None:
    """The version that the Ollama at `url` reports, or None if none answers."""
    try:
        reply = httpx.get(f"{url}/api/version", timeout=2, trust_env=False)
        return str(reply.raise_for_status().json()["version"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return None


def start_server(origin: Origin, binary: Path, wait_s: float = 30, **settings: str) -> OllamaServer:
    """Run `binary serve` on a free loopback port until it answers; OllamaBroken after `wait_s` seconds.

    `settings` are variables of its environment.

    Linux ends the server when the thread that started it ends: a test run that is killed leaves none behind.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    logs = cache_folder() / "ollama-logs"
    logs.mkdir(exist_ok=True)
    log = logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{port}.log"
    command = [str(binary), "serve"]
    if sys.platform == "linux" and threading.current_thread() is threading.main_thread():
        command = [sys.executable, "-ISc", DIE_WITH_PARENT, str(os.getpid()), *command]
    environment = server_environment(origin, binary, f"127.0.0.1:{port}") | settings
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = OllamaServer(f"http://127.0.0.1:{port}", "", origin, process, log)
    deadline = time.monotonic() + wait_s
    while process.poll() is None and time.monotonic() < deadline:
        if version := version_at(server.url):
            server.version = version
            return server
        time.sleep(0.05)
    what = "did not answer in time" if process.poll() is None else f"ended with status {process.returncode}"
    server.stop()
    tail = log.read_text(errors="replace").splitlines()[-20:]
    raise OllamaBroken("\n".join([f"`{binary} serve` {what} ({wait_s:g} s); the end of {log}:", *tail]))


def server_environment(origin: Origin, binary: Path, host: str) -> dict[str, str]:
    """This process's environment, less the user's settings of Ollama, which could change what is answered."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")}
    environment |= {
        "HOME": str(cache_folder() / "ollama-home"),  # the server writes a key pair there
        "OLLAMA_HOST": host,
        "OLLAMA_MODELS": str(cache_folder() / "ollama-models"),
        "OLLAMA_NOPRUNE": "1",  # else a server that starts deletes the blobs that another is just being sent
        "OLLAMA_NUM_PARALLEL": "1",
    }
    if origin == "PyPI":
        environment |= {"OLLAMA_NUM_GPU": "0", "LD_LIBRARY_PATH": str(binary.parents[1] / "lib" / "ollama")}
    return environment


def why_no_wheel(system: str, machine: str) -> str | None:
    """Why the wheel's server cannot be had on this platform (named as `platform` does), or None if it can."""
    if (system, machine) != ("Linux", "x86_64"):
        return f"the wheel that carries Ollama is for Linux x86_64, and this is {system} {machine}"
    if c_compiler() is None:
        return "the wheel's Ollama needs a stub, and there is no C compiler (cc, gcc) on the PATH to build it"
    return None


def c_compiler() -> str | None:
    """The first C compiler on the PATH."""
    return shutil.which("cc") or shutil.which("gcc")


def set_up() -> Path:
    """The folder with the wheel's server (`bin/ollama`, `lib/ollama/`); the first call downloads 160 MB.

    It is made under another name, by one process at a time, then renamed: what is there is whole.
    """
    folder = cache_folder() / f"ollama-{OLLAMA_VERSION}"
    if is_complete(folder):
        return folder
    if reason := why_no_wheel(platform.system(), platform.machine()):
        raise OllamaUnavailable(f"no server answers at OLLAMA_HOST, no ollama is on the PATH, and {reason}")
    with FileLock(f"{folder}.lock", timeout=900):
        if not is_complete(folder):
            partial = Path(f"{folder}.partial")
            for leftover in (partial, folder):
                shutil.rmtree(leftover, ignore_errors=True)
            lay_out(partial)
            partial.replace(folder)
    return folder


def is_complete(folder: Path) -> bool:
    """Whether `folder` was made to its end, and from the wheels that are pinned now."""
    marker = folder / "complete"
    return marker.is_file() and marker.read_text() == repr(WHEELS)


def lay_out(folder: Path) -> None:
    """Download, check and unpack the wheels, and build the stub. The marker `complete` is written last."""
    libraries, downloads, binary = folder / "lib" / "ollama", folder / "downloads", folder / "bin" / "ollama"
    for new in (libraries, downloads, binary.parent):
        new.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    run([*pip, f"--dest={downloads}", *(wheel.requirement for wheel in WHEELS)])
    for wheel in WHEELS:
        (path,) = downloads.glob(wheel.requirement.replace("-", "_").replace("==", "-") + "-*.whl")
        unpack(wheel, path, libraries)
    shutil.rmtree(downloads)
    (libraries / "ollama-lib").replace(binary)
    binary.chmod(0o755)
    stub = folder / "sycl_stub.c"
    stub.write_text(SYCL_STUB)
    run([str(c_compiler()), "-shared", "-fPIC", "-o", str(libraries / "libggml-sycl.so"), str(stub)])
    (folder / "complete").write_text(repr(WHEELS))


def unpack(wheel: Wheel, path: Path, folder: Path) -> None:
    """Put the needed files of the wheel at `path` into `folder`, flat; OllamaBroken if not as pinned."""
    found = sha256_of(path)
    if found != wheel.sha256:
        raise OllamaBroken(f"{path.name} has SHA-256 {found}, pinned is {wheel.sha256}: not used")
    with zipfile.ZipFile(path) as archive:
        for pattern in wheel.needed:
            members = fnmatch.filter(archive.namelist(), pattern)
            if not members:
                raise OllamaBroken(f"{path.name} holds no {pattern}")
            for member in members:
                (folder / Path(member).name).write_bytes(archive.read(member))


def run(command: Sequence[str]) -> None:
    """Run one step of the set-up, for 10 minutes at most; OllamaUnavailable, with its output, if it fails."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    except subprocess.CalledProcessError as error:
        said = "\n".join(error.stderr.splitlines()[-5:])
        raise OllamaUnavailable(f"setting up Ollama failed at `{' '.join(command[:4])}`: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise OllamaUnavailable(f"setting up Ollama: `{' '.join(command[:4])}` took over 600 s") from error


def main() -> None:
    """Serve in the foreground, with the model in place, until Ctrl-C."""
    with running_ollama() as server:
        server.ensure_model()
        print(
            f"Ollama {server.version} ({server.origin}) has {MODEL}; its log: {server.log}", file=sys.stderr
        )
        print(f"OLLAMA_HOST={server.url}", flush=True)
        if server.process is not None:
            try:
                server.process.wait()
            except KeyboardInterrupt:
                print("stopped", file=sys.stderr)


if __name__ == "__main__":
    main()
