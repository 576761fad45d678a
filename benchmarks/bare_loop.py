"""A benchmark's requests and nothing else: a plain httpx loop, in a process with nothing else in it.

    python -m benchmarks.bare_loop URL BODIES.json CONCURRENCY

URL is where the bodies are posted: `/api/chat` of Ollama, or `/v1/chat/completions`. Prints the seconds that the loop
took; imports and start-up are not counted, to the harness's disadvantage.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

LAST_LINE = {"/api/chat": b'"done": true', "/v1/chat/completions": b"data: [DONE]"}


async def _loop(url: str, bodies: list[dict[str, Any]], concurrency: int) -> None:
    waiting = iter(bodies)
    last_line = LAST_LINE[httpx.URL(url).path]
    # A connection a request to llama.cpp: its server closes kept ones when it likes, a request then breaks.
    kept = concurrency if last_line == LAST_LINE["/api/chat"] else 0
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=kept)
    async with httpx.AsyncClient(limits=limits, timeout=600, trust_env=False) as client:

        async def worker() -> None:
            for body in waiting:
                response = await client.post(url, json=body)
                response.raise_for_status()
                assert last_line in response.content

        await asyncio.gather(*(worker() for _ in range(concurrency)))


def bare_loop(url: str, bodies: Path, concurrency: int) -> float:
    """Seconds that the requests alone take, in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.bare_loop", url, str(bodies), str(concurrency)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    url, path, concurrency = sys.argv[1:]
    bodies = json.loads(Path(path).read_text())
    started = time.perf_counter()
    asyncio.run(_loop(url, bodies, int(concurrency)))
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
