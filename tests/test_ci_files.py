"""The action and the example workflow: valid by the published schemas, and what they run does what they say.

The shell step is run as GitHub runs it, with its variables; what installs and uploads is GitHub's and is not played.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from evals.options import PACKAGE
from tests.action_file import ACTION, ROOT, WORKFLOW, read, step, steps
from tests.evals_run import Evals, write_task
from tests.github_runner import taken

CHECKER = Path(sys.executable).with_name("check-jsonschema")
SCHEMAS = {ACTION: "vendor.github-actions", WORKFLOW: "vendor.github-workflows"}
INPUTS = ("TASKS", "POLICY", "SINCE", "SPLIT", "REPEATS", "ARGS", "GOLDEN")

# In the place of pytest: keeps its arguments, and leaves a run as told by VERDICT.
STAND_IN = """\
#!{python}
import json, os, sys
from pathlib import Path
Path("arguments.json").write_text(json.dumps(sys.argv[1:]))
verdict = os.environ["VERDICT"]
if verdict != "refused":
    reports = next(word.partition("=")[2] for word in sys.argv if word.startswith("--reports="))
    run = Path(reports, "20260101-120000-tuned")
    run.mkdir()
    if verdict != "cut off":
        (run / "verdict.json").write_text(json.dumps({{"verdict": verdict}}))
        (run / "report.html").write_text("<p>")
sys.exit(int(os.environ["STATUS"]))
"""


def fits(path: Path, schema: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [CHECKER, "--builtin-schema", schema, path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("path", [ACTION, WORKFLOW], ids=lambda path: path.name)
def test_a_file_fits_the_published_schema(path: Path) -> None:
    done = fits(path, SCHEMAS[path])

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("path", "what", "instead"),
    [
        (ACTION, "using: composite", "using: magic"),
        (ACTION, "      shell: bash\n", ""),
        (ACTION, "required: true", "needed: true"),
        (WORKFLOW, "runs-on:", "runs-at:"),
        (WORKFLOW, "pull-requests: write", "pull-requests: always"),
    ],
    ids=["kind", "shell", "input", "runner", "permission"],
)
def test_a_broken_file_does_not(path: Path, what: str, instead: str, tmp_path: Path) -> None:
    broken = tmp_path / path.name
    text = path.read_text("utf-8")
    assert what in text
    broken.write_text(text.replace(what, instead), encoding="utf-8")

    assert fits(broken, SCHEMAS[path]).returncode == 1


@pytest.mark.parametrize("path", [ACTION, WORKFLOW], ids=lambda path: path.name)
def test_no_expression_is_put_into_a_script(path: Path) -> None:
    scripts = [one["run"] for one in steps(path) if "run" in one]
    scripts += [one["with"]["script"] for one in steps(path) if "script" in one.get("with", {})]

    assert len(scripts) >= 2
    assert not any("${{" in script for script in scripts)


@pytest.mark.parametrize("path", [ACTION, WORKFLOW], ids=lambda path: path.name)
def test_only_githubs_own_actions_are_used_by_their_major_version(path: Path) -> None:
    used = [one["uses"] for one in steps(path) if one.get("uses", "./") != "./"]

    assert used
    for name in used:
        owner, _, version = name.partition("@")
        assert owner.startswith("actions/") and version.removeprefix("v").isdecimal()


def test_every_input_is_used_and_told_in_the_docs() -> None:
    text, docs = ACTION.read_text("utf-8"), (ROOT / "docs" / "ci.md").read_text("utf-8")
    data = read(ACTION)

    for name in data["inputs"]:
        assert f"${{{{ inputs.{name} }}}}" in text or f"inputs.{name} ==" in text
        assert f"`{name}`" in docs
    for name in data["outputs"]:
        assert f"`{name}`" in docs


def test_the_example_gives_inputs_that_there_are_and_asks_for_no_more_than_it_needs() -> None:
    data = read(WORKFLOW)
    (ours,) = [one for one in steps(WORKFLOW) if one.get("uses") == "./"]
    inputs = read(ACTION)["inputs"]

    assert ours["with"].keys() <= inputs.keys()
    assert {name for name, one in inputs.items() if one.get("required") == "true"} <= ours["with"].keys()
    assert data["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert data["on"].keys() == {"pull_request"}
    assert data["concurrency"]["cancel-in-progress"] == "true"
    (job,) = data["jobs"].values()
    assert int(job["timeout-minutes"]) <= 120
    assert job["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    assert job["steps"][0]["with"]["fetch-depth"] == "0"


@pytest.mark.parametrize("script", [one["run"] for path in SCHEMAS for one in steps(path) if "run" in one])
def test_the_shell_reads_every_script(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step that was run: its status and output, what it told GitHub, and the arguments that pytest was given."""

    status: int
    out: str
    outputs: Mapping[str, str]
    summary: str
    arguments: list[str]


class Runner:
    """Runs the gate's step as GitHub's runner does, in a checkout below `root`."""

    def __init__(self, root: Path) -> None:
        self.temporary = root / "temporary"
        self.workspace = root / "work"
        self.workspace.mkdir()
        self.tools = self.temporary / "golden-gate" / "venv" / "bin"
        self.tools.mkdir(parents=True)
        # As in an environment of its own, which knows the package.
        python = self.tools / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
        python.chmod(0o755)

    def stand_in(self) -> None:
        pytest_there = self.tools / "pytest"
        pytest_there.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
        pytest_there.chmod(0o755)

    def gate(self, environment: Mapping[str, str], **inputs: str) -> Stepped:
        script = self.temporary / "step.sh"
        script.write_text(step("Gate")["run"], encoding="utf-8")
        files = {name: self.temporary / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("", encoding="utf-8")
        given = dict.fromkeys(INPUTS, "") | {"MODEL": "tuned", "BASELINE": "base"} | inputs
        github = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temporary),
            **{name: str(file) for name, file in files.items()},
        }
        # As the runner starts a step whose shell is `bash`.
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            env={**environment, **github, **given},
            cwd=self.workspace,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        told = self.workspace / "arguments.json"
        return Stepped(
            done.returncode,
            done.stdout + done.stderr,
            dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text("utf-8").splitlines()),
            files["GITHUB_STEP_SUMMARY"].read_text("utf-8"),
            json.loads(told.read_text("utf-8")) if told.exists() else [],
        )


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def plain(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "STATUS": "0", "VERDICT": "promote", **more}


def options(arguments: list[str]) -> list[str]:
    """What the inputs made of the command line: all but what every run has."""
    package, root, *plugin = arguments[:4]
    assert (
        Path(package) == PACKAGE and root.startswith("--rootdir=/") and plugin == ["-p", "no:cacheprovider"]
    )
    return [one for one in arguments[4:] if not one.startswith(("--model=", "--baseline=", "--reports="))]


def test_inputs_become_options_and_empty_ones_do_not(runner: Runner) -> None:
    runner.stand_in()

    bare = runner.gate(plain())
    full = runner.gate(
        plain(),
        TASKS="judge, planner\n  seeder",
        POLICY="my policy.yaml",
        SINCE="a1b2",
        SPLIT="gate",
        REPEATS="3",
        GOLDEN="my golden",
        ARGS="--stop-early  --ollama-host gpu:11434\n--refresh",
    )

    assert options(bare.arguments) == []
    assert {"--model=tuned", "--baseline=base"} <= set(bare.arguments)
    assert options(full.arguments) == [
        "--policy=my policy.yaml",
        "--since=a1b2",
        "--split=gate",
        "--repeats=3",
        "--golden=my golden",
        "--task=judge",
        "--task=planner",
        "--task=seeder",
        "--stop-early",
        "--ollama-host",
        "gpu:11434",
        "--refresh",
    ]


HOSTILE = ['"; touch pwned; "', "$(touch pwned)", "`touch pwned`", "'; touch pwned #", "x\ntouch pwned", "*"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["MODEL", "BASELINE", *INPUTS])
def test_a_hostile_input_is_words_and_runs_nothing(name: str, text: str, runner: Runner) -> None:
    runner.stand_in()
    before = {"a.txt", "b.txt"}
    for file in before:
        (runner.workspace / file).touch()

    done = runner.gate(plain(), **{name: text})

    assert {path.name for path in runner.workspace.iterdir()} == {*before, "arguments.json"}
    words = {"TASKS": [f"--task={word}" for word in text.split()], "ARGS": text.split()}
    wanted = words.get(name, [f"--{name.lower()}={text}"])
    assert [one for one in done.arguments if one in wanted] == wanted


@pytest.mark.parametrize(
    ("verdict", "status", "told", "ends"),
    [
        ("promote", 0, "promote", 0),
        ("promote", 1, "block", 1),
        ("block", 1, "block", 1),
        ("inconclusive", 1, "inconclusive", 1),
        ("refused", 4, "none", 4),
        ("cut off", 2, "none", 2),
        ("refused", 0, "none", 1),
        ("cut off", 0, "none", 1),
        ("x\nstatus=0", 0, "none", 1),
    ],
)
def test_the_step_ends_as_the_gate_and_tells_its_verdict(
    verdict: str, status: int, told: str, ends: int, runner: Runner
) -> None:
    runner.stand_in()

    done = runner.gate(plain(VERDICT=verdict, STATUS=str(status)))

    assert (done.status, done.outputs["verdict"], done.outputs["status"]) == (ends, told, str(ends))
    assert bool(done.outputs["run"]) == (verdict != "refused")
    assert bool(done.outputs["report"]) == (verdict not in ("refused", "cut off"))
    if done.outputs["run"]:
        assert done.outputs["name"] == "20260101-120000-tuned" == Path(done.outputs["run"]).name
    if done.outputs["report"]:
        assert Path(done.outputs["report"]).read_text("utf-8") == "<p>"


def test_two_gates_of_one_job_do_not_mix_their_runs(runner: Runner) -> None:
    runner.stand_in()

    first, second = runner.gate(plain()), runner.gate(plain(VERDICT="block", STATUS="1"))

    assert first.outputs["run"] != second.outputs["run"]
    assert (first.outputs["verdict"], second.outputs["verdict"]) == ("promote", "block")


POLICY = """\
policy: nothing-lost
about: No case that the baseline passes may be missed.
tasks: {"*": {non_inferior: {content: 0.0}}}
"""


def write_repository(folder: Path) -> None:
    """What a repository may hold that would break a run of pytest in it: a folder of our name, settings, a conftest."""
    (folder / "evals").mkdir()
    (folder / "evals" / "__init__.py").write_text("raise RuntimeError('not ours')\n", encoding="utf-8")
    settings = '[tool.pytest.ini_options]\naddopts = "--cov -m unit"\ngoldengate_task = ["nosuch"]\n'
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    (folder / "conftest.py").write_text("raise RuntimeError('not asked for')\n", encoding="utf-8")


@pytest.mark.parametrize(("word", "verdict", "status"), [("right", "promote", 0), ("left", "block", 1)])
def test_a_real_run_of_the_step_gives_a_verdict_on_a_real_server(
    word: str, verdict: str, status: int, runner: Runner, evals: Evals
) -> None:
    (runner.tools / "pytest").symlink_to(Path(sys.executable).with_name("pytest"))
    write_repository(runner.workspace)
    write_task(runner.workspace / "golden", questions={"one?": "right", "two?": word, "three?": word})
    (runner.workspace / "policy.yaml").write_text(POLICY, encoding="utf-8")

    done = runner.gate(
        evals.environment(),
        MODEL="tiny",
        BASELINE="thinker:4b",
        POLICY="policy.yaml",
        GOLDEN="golden",
        ARGS=f"--ollama-host {evals.host}",
    )

    assert (done.status, done.outputs["verdict"]) == (status, verdict), done.out
    folder = Path(done.outputs["run"])
    assert json.loads((folder / "verdict.json").read_text("utf-8"))["verdict"] == verdict
    assert (folder / "comment.md").read_text("utf-8").startswith("<!-- golden-gate -->")
    assert Path(done.outputs["report"]).is_file()
    assert (runner.temporary / "golden-gate" / "cache" / "responses").is_dir()
    head = taken(done.out)[0]
    assert head.properties["title"] == f"Golden Gate: {verdict}"
    assert done.summary
