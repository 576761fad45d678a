"""How often a server loads each model in a run of three models, one worker for all or one each.

A real Ollama that keeps one model in memory at a time, so that any going back and forth would show, and three models
whose files differ by one letter of their metadata (of one file under three names it would load one). Loads are counted
in the server's log::

    python -m benchmarks.loads [--cases 100]

One model's requests are a few tokens each: what is counted is not speed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ollama import Client

from evals.backends.weights import embedded_default, sha256_of
from tests.real_ollama import PARAMETERS, TEMPLATE, OllamaServer, set_up, start_server

MODELS = 3
WORKERS = (0, MODELS)

_TASK = """\
task: words
about: Benchmark task.
source: benchmarks/loads.py
options: {max_tokens: 1, num_ctx: 256}
checks:
  - {kind: regex, capability: content, all_of: {anything: "."}}
"""


def write_golden(folder: Path, cases: int) -> None:
    """One task of very short cases."""
    place = folder / "words"
    place.mkdir(parents=True)
    (place / "task.yaml").write_text(_TASK)
    entries = [
        {"id": f"case-{number}", "input": f"Say {number}.", "reference": "a"} for number in range(cases)
    ]
    (place / "cases.yaml").write_text("".join(f"- {json.dumps(entry)}\n" for entry in entries))


def write_variant(weights: Path, number: int, to: Path) -> None:
    """A GGUF file that is the same model under another name in its metadata, and so another file to a server.

    The format (ggml's gguf.md): a key, the type of its value (8: text), the text's length in 64 bits, the text.
    """
    shutil.copyfile(weights, to)
    with to.open("r+b") as file:
        head = file.read(1 << 16)
        key = b"general.name" + struct.pack("<I", 8)
        at = head.index(key) + len(key)
        (length,) = struct.unpack_from("<Q", head, at)
        file.seek(at + 8 + length - 1)
        file.write(str(number).encode())


@contextmanager
def three_models(scratch: Path) -> Iterator[tuple[OllamaServer, dict[str, str]]]:
    """The server, and its models' names by the digests of their files; both are gone afterwards."""
    server = start_server("PyPI", set_up() / "bin" / "ollama", OLLAMA_MAX_LOADED_MODELS="1")
    names: dict[str, str] = {}
    try:
        with Client(host=server.url, timeout=300, trust_env=False) as client:
            for number in range(MODELS):
                name, file = f"loads-{number}:latest", scratch / f"{number}.gguf"
                write_variant(embedded_default(), number, file)
                client.create(
                    name,
                    files={file.name: client.create_blob(file)},
                    template=TEMPLATE,
                    parameters={**PARAMETERS, "num_thread": 1},
                )
                names[sha256_of(file)] = name
                file.unlink()
            try:
                yield server, names
            finally:
                for name in names.values():
                    client.delete(name)
    finally:
        server.stop()


def loads_in(log: str, names: dict[str, str]) -> Counter[str]:
    """How often each model was loaded: every load starts a runner with the model's file."""
    digests = re.findall(r'msg="starting llama server".*--model \S*sha256-([0-9a-f]{64})', log)
    return Counter(names[digest] for digest in digests)


def run(server: OllamaServer, names: list[str], scratch: Path, workers: int, cases: int) -> None:
    """One whole `pytest evals`; stops where it did not judge every case."""
    command = [sys.executable, "-m", "pytest", "evals", "-n", str(workers), "--no-gate", "--no-store"]
    command += ["--golden", str(scratch / "golden"), "--reports", str(scratch / "reports")]
    command += ["--ollama-host", server.url, *(f"--model={name}" for name in names)]
    environment = {**os.environ, "GOLDENGATE_CACHE": str(scratch / f"cache-{workers}")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    # A reply of one token is a truncated one, and so a miss.
    if done.returncode != 0 or f"{MODELS * cases} miss" not in done.stdout:
        raise SystemExit(f"the run failed ({done.returncode}):\n{done.stdout[-3000:]}{done.stderr[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=100)
    cases = parser.parse_args().cases
    found = []
    with tempfile.TemporaryDirectory() as folder, three_models(Path(folder)) as (server, names):
        assert server.log is not None
        write_golden(Path(folder) / "golden", cases)
        for workers in WORKERS:
            before = server.log.stat().st_size
            run(server, list(names.values()), Path(folder), workers, cases)
            loads = loads_in(server.log.read_bytes()[before:].decode("utf-8", "replace"), names)
            found.append(f"-n {workers}: {', '.join(str(loads[name]) for name in names.values())}")
            print(found[-1], flush=True)
    print(f"loads of {MODELS} models x {cases} cases: {'; '.join(found)}")


if __name__ == "__main__":
    main()
