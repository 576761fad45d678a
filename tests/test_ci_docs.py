"""The comment and the policies shown in the documentation are what is written and what is read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from evals.comparison import compare
from evals.policy import parse_policy, policy_of_tasks
from evals.report.compared import COMMENT_MARK, comment_markdown
from tests.action_file import ROOT
from tests.sides import side

CI = ROOT / "docs" / "ci.md"
GATE = {"versus_baseline": {"superior": ["content"], "non_inferior": {"safety": 0.0}}}


def shown_comment() -> str:
    """The comment of an open verdict, as docs/ci.md quotes it: all but the mark that GitHub does not show."""
    candidate = {"content": "p" * 34 + "f" * 13 + "fff", "safety": "p" * 50}
    baseline = {"content": "p" * 27 + "f" * 20 + "ppp", "safety": "p" * 50}
    new, old = (
        replace(
            side(outcomes, label=label, digest=digest, task="minecraft_ops", gate=GATE),
            runs=("20261125-120301-candidate-17",),
        )
        for outcomes, label, digest in (
            (candidate, "candidate-17", "8c1f0a2b93de" * 5),
            (baseline, "qwen3:4b", "359d7dd4bcda" * 5),
        )
    )
    written = comment_markdown(compare(new, old, policy_of_tasks(new.tasks), gate_problems=()))
    _, mark, body = written.partition(f"{COMMENT_MARK}\n")
    assert mark
    lines = [*body.strip().splitlines(), "", "commit c0ffee…, log, report"]
    return "".join(f"> {line}".rstrip() + "\n" for line in lines)


def test_the_comment_in_the_documentation_is_what_a_run_writes() -> None:
    assert shown_comment() in CI.read_text("utf-8"), f"paste it anew:\n{shown_comment()}"


def test_the_policy_in_the_readme_can_be_read() -> None:
    (text,) = re.findall(r"```yaml\n(#[^`]*?policy: .*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)

    policy = parse_policy(Path("README.md"), text)

    assert {"minecraft_ops", "*"} == policy.tasks.keys()
