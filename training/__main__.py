"""`python -m training …`: from data to an adapter, into Ollama, through the gate, into production and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.command_line import CHECK_FAILED, GoldenFolder, ReportsFolder, folder_here, run_app

if TYPE_CHECKING:
    from rich.console import Console

    from training.ledger import Ledger

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Host = Annotated[
    str | None, typer.Option("--ollama-host", envvar="OLLAMA_HOST", help="address of the Ollama server")
]
LedgerFile = Annotated[
    Path | None,
    typer.Option(
        "--ledger", envvar="GOLDENGATE_LEDGER", help="(default: ledger.jsonl in the reports folder)"
    ),
]
Override = Annotated[
    str, typer.Option("--override", metavar="REASON", help="do it against the rules; kept in the ledger")
]
Name = Annotated[str, typer.Argument(help="of the model, without a tag")]
AdapterFolder = Annotated[Path, typer.Argument(help="folder of a trained adapter")]
BaseOllama = Annotated[str, typer.Option(help="tag of the base in Ollama (default: the adapter's own)")]
Work = Annotated[
    Path | None, typer.Option("--work", help="folder for temporary files (default: beside the adapter)")
]


def _ledger(path: Path | None, reports: Path | None) -> Ledger:
    from training.ledger import Ledger

    ledger = Ledger(path or (reports or folder_here("reports")) / "ledger.jsonl")
    for problem in ledger.read()[1]:
        typer.echo(f"ledger: {problem}", err=True)
    return ledger


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


@app.command()
def lint(
    file: Annotated[Path, typer.Argument(help="JSONL file of examples")],
    task: Annotated[str, typer.Option(help="golden task that the examples teach")] = "",
    base: Annotated[
        str,
        typer.Option(
            help="base whose tokens are counted: a folder, an ID on the hub, gguf:NAME; '' for none"
        ),
    ] = "gguf:smollm2-135m",
    max_length: Annotated[int, typer.Option(min=16, help="tokens of prompt and completion")] = 2048,
    held_out: Annotated[float, typer.Option(min=0, max=0.5, help="share that only measures")] = 0.1,
    allow_contamination: Annotated[
        str, typer.Option(metavar="REASON", help="why overlaps with golden cases may stay")
    ] = "",
    golden: GoldenFolder = None,
) -> None:
    """Look through training data; exit status 1 if something in it must not be trained on."""
    from evals.cases import load_golden
    from training.lint import lint as look_through
    from training.lint_report import print_lint

    encoder = context = None
    if base:
        from evals.backends.hugging_face_folder import context_length, read_json
        from training.bases import open_base
        from training.encode import open_encoder

        found = open_base(base)
        encoder = open_encoder(found.folder, max_length)
        context = context_length(read_json(found.folder / "config.json"))
    tasks = load_golden(golden or folder_here("golden"))
    own = next((one for one in tasks if one.name == task), None)
    if task and own is None:
        (own,) = load_golden(golden or folder_here("golden"), [task])  # which tells the tasks that there are
    report = look_through(
        file,
        task=own,
        tasks=tasks,
        encoder=encoder,
        context=context,
        held_out=held_out,
        allow_contamination=allow_contamination,
    )
    print_lint(_console(), report)
    if report.problems:
        raise typer.Exit(CHECK_FAILED)


@app.command()
def fit(
    base: Annotated[str, typer.Argument(help="a folder, a config.json, an ID on the hub, gguf:NAME")],
    gpu: Annotated[str, typer.Option(help="memory that there is: 16GB, 15.5GiB")] = "16GB",
    max_length: Annotated[int, typer.Option(min=64, help="tokens of an example, and of the context")] = 2048,
    rank: Annotated[int, typer.Option(min=1, help="of the adapter")] = 16,
    batch: Annotated[int, typer.Option(min=1, help="examples at once")] = 1,
    measure: Annotated[
        bool, typer.Option("--measure", help="train three steps on random weights on the GPU here")
    ] = False,
) -> None:
    """Tell what memory a model takes for answers and for training, and what fits, from its config alone."""
    from training.fit import memory_size
    from training.fit_report import print_fit, report_of

    memory = memory_size(gpu)
    report = report_of(base, memory, length=max_length, rank=rank, batch=batch, measured=measure)
    print_fit(_console(), report)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML file: name, base, data, lora, train")],
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="go on with an unfinished training: in --out, or the newest of its name"
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="the adapter's folder (default: reports/adapters/NAME/TIME)")
    ] = None,
    host: Host = None,
    golden: GoldenFolder = None,
    reports: ReportsFolder = None,
    ledger: LedgerFile = None,
) -> None:
    """Train an adapter; its manifest is written last, so a folder that has one is complete."""
    from training.config import read_config
    from training.progress import TerminalProgress
    from training.recorded import recorded, trained
    from training.train import train as train_adapter

    plan = read_config(config)
    book = _ledger(ledger, reports)
    with recorded(book, "train", plan.name):
        folder = train_adapter(
            plan,
            golden=golden or folder_here("golden"),
            out=out,
            resume=resume,
            host=host,
            progress=TerminalProgress(_console()),
            adapters=(reports or folder_here("reports")) / "adapters",
        )
        entry = trained(folder)
    if entry is not None:  # only the main one of several processes writes
        book.append(entry)
        typer.echo(f"adapter: {folder}")
        typer.echo(f"next: python -m training create {folder} --name {plan.name}")


@app.command()
def create(
    adapter: AdapterFolder,
    name: Annotated[str, typer.Option(help="of the model, without a tag (default: the adapter's own)")] = "",
    base_ollama: BaseOllama = "",
    quantize: Annotated[str, typer.Option(help="q8_0, q4_K_M, …: merged weights, quantised")] = "",
    merged: Annotated[
        bool | None,
        typer.Option(
            "--merged/--adapter", help="merged weights, or the adapter on its base (default: as it can be)"
        ),
    ] = None,
    gguf: Annotated[
        Path | None, typer.Option(help="also write the adapter as GGUF for gguf:BASE+FILE, to this file")
    ] = None,
    work: Work = None,
    host: Host = None,
    reports: ReportsFolder = None,
    ledger: LedgerFile = None,
) -> None:
    """Put an adapter into Ollama as NAME:candidate, and have the doctor look at it; a bad one is not kept."""
    from training.adapter_gguf import write_adapter_gguf
    from training.bases import open_base
    from training.candidate_gate import check_name
    from training.create import create as make
    from training.doctor_report import print_findings
    from training.manifest import open_adapter
    from training.package import base_in_ollama
    from training.recorded import created, recorded
    from training.registry import Registry
    from training.work_folder import work_folder

    registry, book = Registry(host), _ledger(ledger, reports)
    with recorded(book, "create", name or adapter.name):
        found = open_adapter(adapter)
        own = name or found.manifest.name
        check_name(own)
    with recorded(book, "create", own), work_folder(adapter, work) as folder:
        base = base_in_ollama(base_ollama, found, registry)
        if gguf is not None:
            typer.echo(f"wrote {write_adapter_gguf(found, open_base(found.manifest.base.name), gguf)}")
        entry, findings = make(
            found,
            name=own,
            registry=registry,
            base_ollama=base_ollama,
            quantize=quantize,
            merged=merged,
            work=folder,
        )
    book.append(created(own, found, entry, registry.url, base))
    print_findings(_console(), entry.name, findings)
    typer.echo(f"created {entry.name} ({entry.digest[:12]}, {entry.size_bytes / 1e6:,.0f} MB)")
    typer.echo(f"next: python -m training gate {own}")


@app.command()
def doctor(
    model: Annotated[str, typer.Argument(help="a model in Ollama")],
    base: Annotated[
        str, typer.Option(help="folder or ID of its base, whose template and tokens are compared with")
    ] = "",
    host: Host = None,
) -> None:
    """Look for what makes a model in Ollama answer wrongly: template, thinking, stop tokens, context."""
    from training.bases import open_base
    from training.doctor import examine
    from training.doctor_report import print_findings
    from training.registry import Registry

    folder = open_base(base).folder if base else None
    findings = examine(model, registry=Registry(host), base_folder=folder)
    print_findings(_console(), model, findings)
    if any(one.state == "fault" for one in findings):
        raise typer.Exit(CHECK_FAILED)


@app.command()
def fidelity(
    adapter: AdapterFolder,
    base_ollama: BaseOllama = "",
    gguf: Annotated[
        Path | None,
        typer.Option(help="the base as GGUF, for llama.cpp with the adapter (default: if it is one)"),
    ] = None,
    quantize: Annotated[
        str, typer.Option(help="quantisations of the merged weights in Ollama, with commas")
    ] = "f16,q8_0,q4_K_M",
    task: Annotated[str, typer.Option(help="golden task (default: the adapter's)")] = "",
    sample: Annotated[int, typer.Option(min=0, help="cases, 0 for all")] = 20,
    split: Annotated[str, typer.Option(help="dev, gate, or '' for both")] = "dev",
    work: Work = None,
    host: Host = None,
    golden: GoldenFolder = None,
    reports: ReportsFolder = None,
) -> None:
    """Ask an adapter the same cases on its way from transformers to Ollama, and tell which step changes answers."""
    from training.fidelity import fidelity as follow
    from training.fidelity_report import print_fidelity
    from training.manifest import open_adapter
    from training.registry import Registry
    from training.work_folder import work_folder

    found = open_adapter(adapter)
    with work_folder(adapter, work) as folder:
        result = follow(
            found,
            registry=Registry(host),
            base_ollama=base_ollama,
            gguf=gguf,
            quantizations=[one.strip() for one in quantize.split(",") if one.strip()],
            task=task or found.manifest.task,
            sample=sample,
            split=split,
            golden=golden or folder_here("golden"),
            reports=reports or folder_here("reports"),
            work=folder,
        )
    print_fidelity(_console(), result)
    if any(one.kind not in ("nothing", "rounding") for one in result.findings):
        raise typer.Exit(CHECK_FAILED)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def gate(
    context: typer.Context,
    name: Name,
    baseline: Annotated[
        str, typer.Option(help="what to compare with (default: NAME:prod, or else the base)")
    ] = "",
    task: Annotated[
        list[str] | None,
        typer.Option(help="golden task, repeatable (default: the adapter's, and what it guards)"),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="what has to be shown (default: what the tasks ask)")
    ] = None,
    host: Host = None,
    golden: GoldenFolder = None,
    reports: ReportsFolder = None,
    ledger: LedgerFile = None,
) -> None:
    """Ask NAME:candidate and what it would replace the golden cases; further options go to `pytest evals`."""
    from training.candidate_gate import run_gate
    from training.registry import Registry

    entry = run_gate(
        name,
        registry=Registry(host),
        ledger=_ledger(ledger, reports),
        reports=reports or folder_here("reports"),
        golden=golden or folder_here("golden"),
        tasks=task or (),
        policy=policy,
        baseline=baseline,
        extra=context.args,
    )
    typer.echo(f"{name}:candidate against {entry.base}: {entry.verdict}")
    if entry.verdict != "promote":
        raise typer.Exit(CHECK_FAILED)
    typer.echo(f"next: python -m training promote {name}")


@app.command()
def promote(
    name: Name,
    override: Override = "",
    host: Host = None,
    golden: GoldenFolder = None,
    reports: ReportsFolder = None,
    ledger: LedgerFile = None,
) -> None:
    """Make NAME:candidate NAME:prod, on a fresh verdict; what was there is kept as NAME:previous."""
    from training.promote import promote as move
    from training.registry import Registry

    done = move(
        name,
        registry=Registry(host),
        ledger=_ledger(ledger, reports),
        golden=golden or folder_here("golden"),
        override=override,
    )
    kept = f"; {name}:previous is {done.previous[:12]}" if done.previous else ""
    typer.echo(f"promoted: {name}:prod is {done.prod[:12]}{kept}")


@app.command()
def rollback(
    name: Name,
    override: Override = "",
    host: Host = None,
    reports: ReportsFolder = None,
    ledger: LedgerFile = None,
) -> None:
    """Make NAME:previous NAME:prod again; the two change places."""
    from training.promote import rollback as move
    from training.registry import Registry

    done = move(name, registry=Registry(host), ledger=_ledger(ledger, reports), override=override)
    typer.echo(f"rolled back: {name}:prod is {done.prod[:12]}; {name}:previous is {done.previous[:12]}")


@app.command()
def fleet(host: Host = None, reports: ReportsFolder = None, ledger: LedgerFile = None) -> None:
    """Show what is in production under each name, what was before, how both did, and whether Ollama agrees."""
    from training.fleet import fleet as rows_of
    from training.fleet import print_fleet
    from training.registry import Registry

    print_fleet(_console(), rows_of(Registry(host), _ledger(ledger, reports)))


if __name__ == "__main__":
    run_app(app)
