"""A llama.cpp HTTP server with the embedded default model and eight slots, in a process of its own.

    python -m benchmarks.llama_server

Prints its port and serves until its standard input ends. `llama_server()` starts one and warms it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from evals.backends.weights import embedded_default

MODEL = "smollm2"
SLOTS = 8
CONTEXT = 1024  # tokens a slot


@contextmanager
def llama_server() -> Iterator[str]:
    """The address of a fresh server, which remembers no prompt and has computed one reply."""
    command = [sys.executable, "-m", "benchmarks.llama_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdin
        try:
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            body = {"messages": [{"role": "user", "content": "Good morning."}], "max_tokens": 2}
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=300, trust_env=False)
            answer.raise_for_status()
            yield url
        finally:
            process.stdin.close()


def main() -> None:
    import xllamacpp

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # llama.cpp logs to both: keep the real output for the port.
    told = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    params = xllamacpp.CommonParams()
    params.model.path = str(embedded_default())
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT * SLOTS
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = os.cpu_count() or 1
    params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address.rpartition(":")[2], file=told, flush=True)
    sys.stdin.read()
    os._exit(0)  # llama.cpp waits for connections that clients keep open


if __name__ == "__main__":
    main()
