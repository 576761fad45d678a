"""The requests of `benchmarks.harness` and nothing else: a plain httpx loop, in a process with nothing else in it.

    python -m benchmarks.bare_loop URL BODIES.json CONCURRENCY

Prints the seconds that the loop took; imports and start-up are not counted, to the harness's disadvantage.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx


async def _loop(url: str, bodies: list[dict[str, Any]], concurrency: int) -> None:
    waiting = iter(bodies)
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30, trust_env=False) as client:

        async def worker() -> None:
            for body in waiting:
                response = await client.post("/api/chat", json=body)
                response.raise_for_status()
                assert b'"done": true' in response.content

        await asyncio.gather(*(worker() for _ in range(concurrency)))


def main() -> None:
    url, path, concurrency = sys.argv[1:]
    bodies = json.loads(Path(path).read_text())
    started = time.perf_counter()
    asyncio.run(_loop(url, bodies, int(concurrency)))
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
