"""Code that a model wrote is run in a whole run: behind the fence, or where there is none, only for those who say so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.evals_run import Evals
from tests.fault_server import FaultServer, answer
from tests.no_seccomp import REFUSE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")

TASK = """\
task: small
about: One function.
source: tests
checks: [{kind: code, capability: content}]
gate: {floors: {content: 0.5}}
"""
CASES = """\
- id: double
  input: Write double(x).
  expect: {function: double, asserts: ["double(2) == 4", "double('a') == 'aa'"]}
  reference: "```python\\ndef double(x):\\n    return 2 * x\\n```"
"""
REPLY = "```python\ndef double(x):\n    return x + x\n```"
RUN_PYTEST = "import pytest\nsys.exit(pytest.main(sys.argv[1:]))"


@pytest.fixture
def coding(evals: Evals, fault_server: FaultServer) -> Evals:
    (evals.golden / "small" / "task.yaml").write_text(TASK)
    (evals.golden / "small" / "cases.yaml").write_text(CASES)
    fault_server.play_for("Write double(x).", answer(REPLY))
    return evals


def without_seccomp(evals: Evals, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pytest evals` on a machine that refuses seccomp."""
    command = [sys.executable, "-c", REFUSE + RUN_PYTEST, *evals.command(*arguments)[3:]]
    return subprocess.run(
        command, env=evals.environment(), cwd=evals.root, capture_output=True, text=True, timeout=120
    )


def test_code_is_run_behind_the_fence_without_a_word(coding: Evals) -> None:
    done = coding.run()

    assert done.status == 0, done.out
    assert done.results[0]["checks"][0]["reason"] == "all 2 asserts hold"


def test_where_there_is_no_fence_nothing_is_run_and_the_gate_does_not_hold(coding: Evals) -> None:
    done = without_seccomp(coding)

    assert done.returncode == 1, done.stdout
    assert "the code was not run: it cannot be sealed off here" in done.stdout
    assert "--run-code or GOLDENGATE_RUN_CODE=1 runs it with resource limits only" in " ".join(
        done.stdout.split()
    )


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_run_code_runs_it_there_on_the_users_word(coding: Evals, workers: list[str]) -> None:
    done = without_seccomp(coding, "--run-code", *workers)

    assert done.returncode == 0, done.stdout
    assert "The gate holds." in done.stdout
