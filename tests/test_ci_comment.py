"""The comment on a pull request: one, ours, and never an old verdict for a new commit."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.action_file import step

# What GitHub gives the script, kept as what it was asked to do.
SCRIPT_STAGE = """\
const calls = [];
const [existing, login, script] = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const keep = (name) => async (given) => { calls.push([name, given]); };
const github = {
  paginate: async () => existing,
  rest: {
    users: { getAuthenticated: async () => { if (login) return { data: { login } }; throw new Error('403'); } },
    issues: { listComments: null, updateComment: keep('update'), createComment: keep('create') },
  },
};
const context = { repo: { owner: 'o', repo: 'r' }, issue: { number: 7 }, runId: 5, serverUrl: 'https://github.com' };
const AsyncFunction = (async () => {}).constructor;
new AsyncFunction('github', 'context', 'require', script)(github, context, require)
  .then(() => console.log(JSON.stringify(calls)));
"""


def commented(
    comments: list[dict[str, Any]], *, login: str = "", run: str = "", artifact: str = ""
) -> list[Any]:
    """What the comment's script does on a pull request with these comments."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node to run the script with")
    script = step("Comment on the pull request")["with"]["script"]
    done = subprocess.run(
        [node, "-e", SCRIPT_STAGE],
        input=json.dumps([comments, login, script]),
        env={"RUN_FOLDER": run, "STATUS": "4", "ARTIFACT": artifact, "COMMIT": "c0ffee"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    calls: list[Any] = json.loads(done.stdout)
    return calls


@pytest.fixture
def verdict_folder(tmp_path: Path) -> str:
    (tmp_path / "comment.md").write_text("<!-- golden-gate -->\n**Promote.**\n", encoding="utf-8")
    return str(tmp_path)


def comment(login: str, body: str = "<!-- golden-gate -->\nold", number: int = 1) -> dict[str, Any]:
    kind = "Bot" if login.endswith("[bot]") else "User"
    return {"id": number, "user": {"login": login, "type": kind}, "body": body}


def test_the_first_verdict_is_a_new_comment_with_its_links(verdict_folder: str) -> None:
    ((name, given),) = commented([], run=verdict_folder, artifact="https://github.com/a/1")

    assert (name, given["issue_number"]) == ("create", 7)
    assert given["body"] == (
        "<!-- golden-gate -->\n**Promote.**\n\n"
        "commit c0ffee, [log](https://github.com/o/r/actions/runs/5), [report](https://github.com/a/1)\n"
    )


def test_a_later_verdict_replaces_our_comment_and_nobody_elses(verdict_folder: str) -> None:
    others = [comment("mallory", number=2), comment("github-actions[bot]", "other bot's", 3), {"id": 4}]

    ((name, given),) = commented([*others, comment("github-actions[bot]", number=9)], run=verdict_folder)
    ((by_default, _),) = commented(others, run=verdict_folder)
    ((by_token, own),) = commented([*others, comment("me", number=8)], login="me", run=verdict_folder)

    assert (name, given["comment_id"]) == ("update", 9)
    assert by_default == "create"
    assert (by_token, own["comment_id"]) == ("update", 8)


def test_the_token_of_an_app_finds_its_comment_again_and_no_persons(verdict_folder: str) -> None:
    others = [comment("mallory", number=2), {"id": 4}]

    ((name, given),) = commented([*others, comment("my-app[bot]", number=9)], run=verdict_folder)
    ((alone, _),) = commented(others, run=verdict_folder)

    assert (name, given["comment_id"], alone) == ("update", 9, "create")


def test_a_job_that_broke_before_the_gate_comments_too() -> None:
    condition = step("Comment on the pull request")["if"]

    assert condition == "always() && inputs.comment == 'true' && github.event_name == 'pull_request'"


def test_an_old_verdict_does_not_stand_where_there_is_no_new_one() -> None:
    ((name, given),) = commented([comment("github-actions[bot]")])

    assert name == "update"
    assert "no verdict" in given["body"] and "exit status 4" in given["body"]


def test_a_long_comment_is_cut_to_what_github_takes(tmp_path: Path) -> None:
    (tmp_path / "comment.md").write_text("<!-- golden-gate -->\n" + "x" * 100_000, encoding="utf-8")

    ((_, given),) = commented([], run=str(tmp_path))

    assert len(given["body"]) < 65_536
    assert given["body"].endswith("runs/5)\n")
