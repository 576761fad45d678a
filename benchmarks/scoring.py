"""How fast stored replies are scored again: read from the store, checksum verified, every check judged.

    python -m benchmarks.scoring

The replies are the references of the real golden cases. Told are two passes: the first parses every command for the
first time, the second meets warm caches, as a second model's equal answers would. Checks that are costly by nature
(`code` starts a process, `language` loads a model) are told apart.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from evals.backends.base import Model, parse_spec
from evals.cases import load_golden
from evals.checks.minecraft.grammar import parse_short
from evals.needs import chat_request
from evals.outcomes import judge_reply, reference_reply
from evals.store import ResponseStore


def main() -> None:
    model = Model(parse_spec("benchmark"), "b" * 64)
    tasks = load_golden(Path("golden"))
    with tempfile.TemporaryDirectory() as folder:
        store = ResponseStore(Path(folder))
        asked = []
        for task in tasks:
            for case in task.cases:
                request = chat_request(model, task, case)
                key = request.key(model.digest)
                store.put(key, model, request, reference_reply(case))
                asked.append((case, key, request.messages[-1].content))
        # Lint has just judged the references; forget what it parsed.
        parse_short.cache_clear()
        for name, costly in (("cold", False), ("warm", False), ("costly ones", True)):
            judged = [
                (
                    replace(case, checks=tuple(one for one in case.checks if one.check.costly == costly)),
                    key,
                    text,
                )
                for case, key, text in asked
            ]
            started = time.perf_counter()
            checks = 0
            for case, key, text in judged:
                reply = store.get(key)
                assert reply is not None
                checks += sum(1 for _ in judge_reply(case, reply, text))
            took = time.perf_counter() - started
            print(
                f"{name}: {len(asked)} replies, {checks} checks in {took:.3f} s: {checks / took:,.0f} checks/s"
            )


if __name__ == "__main__":
    main()
