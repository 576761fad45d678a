"""Options of `pytest evals`: command line before environment (`GOLDENGATE_…`) before pyproject.toml (`goldengate_…`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import pytest

if TYPE_CHECKING:
    from evals.cases import Split

PACKAGE = Path(__file__).resolve().parent
# Which answers are recorded as snapshots: of all cases, or of those that have none yet.
SnapshotsWritten = Literal["none", "new", "all"]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What the user asked for, after command line, environment and pyproject.toml.

    `snapshots` is their folder, None in a run that neither compares with them nor records any. The baseline is a model
    spec, asked in the same run, or `baseline_run`, the folder of a recorded one, maybe with `#MODEL`.
    """

    models: tuple[str, ...]
    golden: str
    reports: str
    tasks: tuple[str, ...]
    hosts: tuple[str, ...]
    concurrency: int | None
    split: Split | None
    sample: int | None
    repeats: int
    latency_rounds: int
    reply_timeout_s: float
    server_wait_s: float
    share_server: bool
    refresh: bool
    store: bool
    gate: bool
    snapshot_strict: bool
    run_code: bool
    resume: str | None = None
    snapshots: str | None = None
    snapshots_written: SnapshotsWritten = "none"
    baseline: str | None = None
    baseline_run: str | None = None
    policy: str | None = None
    since: str | None = None
    stop_early: bool = False

    @property
    def compares(self) -> bool:
        """Whether there is a baseline to compare with."""
        return self.baseline is not None or self.baseline_run is not None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunSettings:
        return cls(**{**data, **{name: tuple(data[name]) for name in ("models", "tasks", "hosts")}})


_DEFAULTS = {"reply_timeout": "300", "server_wait": "60", "repeats": "1", "latency_rounds": "10"}
_TEXT_OPTIONS = {
    "golden": ("DIR", "folder of golden tasks (default: golden/)"),
    "reports": ("DIR", "folder that runs are written to (default: reports/)"),
    "snapshots": ("DIR", "folder of recorded answers (default: snapshots/)"),
    "baseline": (
        "SPEC|RUN",
        "what the model is compared with: another model, or a recorded run's folder or name",
    ),
    "policy": ("FILE", "what the comparison must show, for all tasks (default: what each task.yaml says)"),
    "since": ("REF", "git commit whose floors and margins may not be undercut"),
    "resume": ("RUN", "go on with an interrupted run: its folder, or its name in the reports folder"),
    "split": ("dev|gate", "ask only the cases of one split (default: both)"),
    "sample": ("N", "ask only N cases, the same for everybody, by task and difficulty (default: all)"),
    "repeats": ("N", "ask each case N times, with seeds 0 to N-1 (default: 1)"),
    "latency_rounds": ("N", "warm requests that test_latency.py times of each model (default: 10)"),
    "concurrency": ("N", "requests in flight at once on each server (default: the server's slots, else 4)"),
    "reply_timeout": ("SECONDS", "longest wait for one whole reply (default: 300)"),
    "server_wait": ("SECONDS", "longest wait for a server that went away to come back (default: 60)"),
}
_LIST_OPTIONS = {
    "model": (
        "SPEC",
        "model to ask, repeatable: qwen3:4b, gguf:FILE, hf:ID, openai:NAME@URL, replay:RUN (default: the embedded model)",
    ),
    "task": ("TASK", "golden task to run, repeatable (default: all)"),
    "ollama_host": (
        "ADDRESS",
        "Ollama server, repeatable: several share a model's cases (default: OLLAMA_HOST, else 127.0.0.1:11434)",
    ),
}
_FLAGS = {
    "refresh": "ask the models again, although their replies are in the store",
    "no_store": "neither read nor keep replies",
    "no_gate": "measure only: floors are shown, not enforced",
    "stop_early": "ask no more once the verdict cannot change",
    "share_server": "ask several models of one server at the same time: it has memory for all of them",
    "snapshot_strict": "fail where an answer's verdict is another than its snapshot's, or nothing is recorded",
    "snapshot_ci": "allow --snapshot-update although CI is set",
    "run_code": "run code that models write, although this machine cannot fence it in (not needed on Linux)",
}


def add_options(parser: pytest.Parser) -> None:
    """Declare every option, with its setting in pyproject.toml."""
    group = parser.getgroup("goldengate", "Golden Gate: golden cases against real models")
    for name, (metavar, text) in _TEXT_OPTIONS.items():
        group.addoption(_flag(name), dest=f"gg_{name}", metavar=metavar, help=text)
        parser.addini(f"goldengate_{name}", text, type="string")
    for name, (metavar, text) in _LIST_OPTIONS.items():
        group.addoption(_flag(name), dest=f"gg_{name}", metavar=metavar, action="append", help=text)
        parser.addini(f"goldengate_{name}", text, type="args")
    for name, text in _FLAGS.items():
        group.addoption(_flag(name), dest=f"gg_{name}", action="store_true", default=None, help=text)
        parser.addini(f"goldengate_{name}", text, type="bool", default=False)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _text(config: pytest.Config, name: str) -> str | None:
    """Command line before environment before pyproject.toml."""
    given: str | None = config.getoption(f"gg_{name}", None)
    if given is not None and not given.strip():
        raise pytest.UsageError(f"{_flag(name)} names nothing: is a variable of the shell not set?")
    chosen = given or os.environ.get(f"GOLDENGATE_{name.upper()}") or config.getini(f"goldengate_{name}")
    return str(chosen) if chosen else _DEFAULTS.get(name)


def _list(config: pytest.Config, name: str) -> tuple[str, ...]:
    given: list[str] = config.getoption(f"gg_{name}", None) or os.environ.get(
        f"GOLDENGATE_{name.upper()}", ""
    ).split(",")
    parts = [part.strip() for text in given for part in text.split(",")]
    if config.getoption(f"gg_{name}", None) and not any(parts):
        raise pytest.UsageError(f"{_flag(name)} names nothing: is a variable of the shell not set?")
    return tuple(dict.fromkeys(part for part in parts if part)) or tuple(config.getini(f"goldengate_{name}"))


def _on(config: pytest.Config, name: str) -> bool:
    if config.getoption(f"gg_{name}", None):
        return True
    said = os.environ.get(f"GOLDENGATE_{name.upper()}", "").lower()
    if said not in ("", "0", "1", "false", "true", "no", "yes"):
        raise pytest.UsageError(f"GOLDENGATE_{name.upper()} is {said!r}; it takes 1 or 0")
    return said in ("1", "true", "yes") or (said == "" and bool(config.getini(f"goldengate_{name}")))


def _number(config: pytest.Config, name: str) -> float | None:
    text = _text(config, name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise pytest.UsageError(f"{_flag(name)} is {text!r}; it takes a number above 0")
    return number


def _count(config: pytest.Config, name: str) -> int | None:
    number = _number(config, name)
    if number is not None and number != int(number):
        raise pytest.UsageError(f"{_flag(name)} is {number:g}; it takes a whole number")
    return None if number is None else int(number)


def _split(config: pytest.Config) -> Split | None:
    from evals.cases import Split  # not at the top: pytest loads this module in every run

    given = _text(config, "split")
    for name in get_args(Split):
        if given == name:
            return cast("Split", name)
    if given is not None:
        raise pytest.UsageError(f"--split is {given!r}; it takes {' or '.join(get_args(Split))}")
    return None


# How a run is asked may be another when it goes on; what it is asked may not.
_FREE_ON_RESUME = {
    "ollama_host",
    "concurrency",
    "reply_timeout",
    "server_wait",
    "share_server",
    "reports",
    "resume",
}


def run_settings(config: pytest.Config) -> RunSettings:
    """The run's settings, those of the interrupted run with `--resume`.

    Raises `pytest.UsageError` for values that mean nothing, `RunRecordError` for a run that cannot go on.
    """
    settings = _given_settings(config)
    if settings.resume is None:
        return settings
    from evals.resume import read_started  # not at the top: pytest loads this module in every run

    def given(name: str) -> bool:
        return bool(config.getoption(f"gg_{name}", None))

    if settings.snapshots_written != "none":
        raise pytest.UsageError("--resume goes on with what the run was asked; leave --snapshot-update out")

    selects = {"keyword": "-k", "markexpr": "-m", "lf": "--lf", "deselect": "--deselect"}
    for name, flag in selects.items():
        if config.getoption(name, None):
            raise pytest.UsageError(f"--resume judges what the run was to judge; leave {flag} out")
    for name in [*_TEXT_OPTIONS, *_LIST_OPTIONS, *_FLAGS]:
        if given(name) and name not in _FREE_ON_RESUME:
            raise pytest.UsageError(f"--resume goes on with what the run was asked; leave {_flag(name)} out")
    named = Path(config.invocation_params.dir, settings.resume)
    folder = named if named.is_dir() else Path(settings.reports, settings.resume)
    recorded = RunSettings.from_json(read_started(folder).settings)
    return replace(
        recorded,
        resume=str(folder.resolve()),
        hosts=settings.hosts or recorded.hosts,
        concurrency=settings.concurrency or recorded.concurrency,
        reply_timeout_s=settings.reply_timeout_s if given("reply_timeout") else recorded.reply_timeout_s,
        server_wait_s=settings.server_wait_s if given("server_wait") else recorded.server_wait_s,
        share_server=settings.share_server or recorded.share_server,
    )


def _given_settings(config: pytest.Config) -> RunSettings:
    if _on(config, "snapshot_strict") and _on(config, "no_gate"):
        raise pytest.UsageError(
            "--snapshot-strict enforces and --no-gate only measures; leave one of them out"
        )
    if _on(config, "stop_early") and _on(config, "no_gate"):
        raise pytest.UsageError(
            "--stop-early stops at a verdict and --no-gate gives none; leave one of them out"
        )
    baseline, baseline_run = _baseline(config)
    return RunSettings(
        baseline=baseline,
        baseline_run=baseline_run,
        policy=_policy(config, compares=bool(baseline or baseline_run)),
        since=_text(config, "since"),
        stop_early=_on(config, "stop_early"),
        models=_list(config, "model"),
        golden=str(_folder(config, "golden")),
        reports=str(_folder(config, "reports")),
        tasks=_list(config, "task"),
        hosts=_list(config, "ollama_host"),
        concurrency=_count(config, "concurrency"),
        split=_split(config),
        sample=_count(config, "sample"),
        repeats=_count(config, "repeats") or 1,
        latency_rounds=_count(config, "latency_rounds") or 1,
        reply_timeout_s=_number(config, "reply_timeout") or 0.0,
        server_wait_s=_number(config, "server_wait") or 0.0,
        share_server=_on(config, "share_server"),
        refresh=_on(config, "refresh"),
        store=not _on(config, "no_store"),
        gate=not _on(config, "no_gate"),
        snapshot_strict=_on(config, "snapshot_strict"),
        run_code=_on(config, "run_code"),
        resume=_text(config, "resume"),
        snapshots=str(_folder(config, "snapshots")),
        snapshots_written=_snapshots_written(config),
    )


def _baseline(config: pytest.Config) -> tuple[str | None, str | None]:
    """The baseline as a spec, or as the folder of a run; both None without one."""
    given = _text(config, "baseline")
    if given is None:
        return None, None
    name, _, model = given.partition("#")
    for folder in (Path(config.invocation_params.dir, name), _folder(config, "reports") / name):
        # A run that was not finished is one too: it is refused by that name, not asked for on a server.
        if any(os.path.isfile(folder / file) for file in ("run.json", "started.json", "results.jsonl")):
            return None, f"{folder.resolve()}#{model}" if model else str(folder.resolve())
    if name.startswith(("./", "../", "/", "~")) or os.path.isdir(Path(config.invocation_params.dir, name)):
        raise pytest.UsageError(
            f"--baseline {given}: there is no run in {name}; name a run's folder, a run in the reports folder, or a model"
        )
    return given, None


def _policy(config: pytest.Config, *, compares: bool) -> str | None:
    """The file of a policy."""
    given = _text(config, "policy")
    if given is None:
        return None
    if not compares:
        raise pytest.UsageError("--policy says what a comparison must show; add --baseline SPEC_OR_RUN")
    path = Path(config.invocation_params.dir, given).resolve()
    if not path.exists():
        raise pytest.UsageError(f"--policy {given}: there is no file {path}")
    return str(path)


def _snapshots_written(config: pytest.Config) -> SnapshotsWritten:
    # syrupy's own options, which are not there where syrupy is switched off.
    every, new = (config.getoption(f"update_{name}", False) for name in ("snapshots", "new_snapshots_only"))
    if not (every or new):
        return "none"
    if os.environ.get("CI", "").lower() not in ("", "0", "false") and not _on(config, "snapshot_ci"):
        raise pytest.UsageError(
            "--snapshot-update is refused because CI is set: what a run there recorded, nobody has read; compare "
            "without it, or add --snapshot-ci"
        )
    return "all" if every else "new"


def given_on_command_line(config: pytest.Config) -> str | None:
    """The first of our options that stands on the command line, as it is written there."""
    names = [*_TEXT_OPTIONS, *_LIST_OPTIONS, *_FLAGS]
    return next((_flag(name) for name in names if config.getoption(f"gg_{name}", None)), None)


def default_folder(name: str, root: Path) -> Path:
    """`golden`, `reports` or `snapshots` beside the package, as in a clone; else in `root`."""
    clone = PACKAGE.parent
    return (clone if (clone / "golden").is_dir() else root) / name


def _folder(config: pytest.Config, name: str) -> Path:
    """A folder as given, from where pytest was called, or the default one."""
    given = _text(config, name)
    return (
        Path(config.invocation_params.dir, given).resolve()
        if given
        else default_folder(name, config.rootpath)
    )
