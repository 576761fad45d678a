"""`python -m evals …`: what needs no model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evals.command_line import CHECK_FAILED, USAGE_ERROR, GoldenFolder, ReportsFolder, folder_here, run_app
from evals.errors import RunRecordError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def lint(
    tasks: Annotated[list[str] | None, typer.Argument(help="tasks to look at; all by default")] = None,
    golden: GoldenFolder = None,
) -> None:
    """Check every golden case and print every problem with file and line."""
    from evals.cases import read_golden

    found, problems = read_golden(golden or folder_here("golden"), tasks or ())
    for problem in sorted(problems, key=lambda one: (str(one.file), one.line)):
        typer.echo(str(problem))
    cases = [case for task in found for case in task.cases]
    if untried := [case for case in cases if not all(one.check.can_run() for one in case.checks)]:
        typer.echo(
            f"{len(untried)} cases have code that was not run, since this machine cannot fence it in; "
            "GOLDENGATE_RUN_CODE=1 runs it with resource limits only"
        )
    counts = {"task": len(found), "case": len(cases), "problem": len(problems)}
    typer.echo(", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items()))
    if problems:
        raise typer.Exit(USAGE_ERROR)


@app.command()
def schema(
    out: Annotated[Path, typer.Option(help="folder to write to")] = Path("schemas"),
) -> None:
    """Write JSON Schemas: of task.yaml, cases.yaml and policies, for editors to check them, and of verdict.json."""
    from evals.authoring import write_schemas

    for path in write_schemas(out):
        typer.echo(f"wrote {path}")


@app.command()
def new(
    task: Annotated[str, typer.Argument(help="name of the task")],
    golden: Annotated[Path, typer.Option("--golden", help="folder to write into")] = Path("golden"),
) -> None:
    """Write a small task to start from; it passes lint."""
    from evals.authoring import write_task

    folder = write_task(golden, task)
    typer.echo(f"wrote {folder}; change its cases, then: python -m evals lint {task}")


@app.command()
def health(
    tasks: Annotated[list[str] | None, typer.Argument(help="tasks to look at; all by default")] = None,
    golden: GoldenFolder = None,
    reports: ReportsFolder = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="a recorded run, repeatable; all by default"),
    ] = None,
) -> None:
    """Tell how fit the golden cases are to judge; exit status 1 if the splits share near duplicates."""
    from rich.console import Console

    from evals.cases import load_golden
    from evals.health import task_health
    from evals.report.health import print_health
    from evals.runs import CaseRecord, finished_runs, read_run, results_of_tasks

    found = load_golden(golden or folder_here("golden"), tasks or ())
    hashes = {task.name: task.hash for task in found}
    records: list[CaseRecord] = []
    for run in runs or finished_runs(reports or folder_here("reports")):
        try:
            if not runs and read_run(run).rescored:
                continue  # its answers are those of the run that it judged again
            records += results_of_tasks(run, hashes)
        except RunRecordError as error:
            if runs:
                raise
            typer.echo(f"left out: {error}", err=True)  # nobody asked for this one
    made = [task_health(task, records) for task in found]
    print_health(Console(highlight=False, soft_wrap=False), made)
    if any(one.across for one in made):
        raise typer.Exit(CHECK_FAILED)


@app.command()
def rescore(
    run: Annotated[Path, typer.Argument(help="folder of a complete run")],
    golden: GoldenFolder = None,
    reports: Annotated[
        Path | None, typer.Option(envvar="GOLDENGATE_REPORTS", help="folder that the new run is written to")
    ] = None,
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="measure only: floors are shown, not enforced")
    ] = False,
) -> None:
    """Judge a run's replies by today's checks, without a model; exit status 1 if the gate does not hold."""
    from rich.console import Console

    from evals.report.rescored import print_rescored
    from evals.rescore import rescore as judge_again

    done = judge_again(
        run, golden or folder_here("golden"), reports or folder_here("reports"), gate=not no_gate
    )
    console = Console(highlight=False, soft_wrap=False)
    print_rescored(console, done.changes, done.summary, done.verdict, folder=done.folder)
    if done.verdict.problems:
        raise typer.Exit(CHECK_FAILED)


@app.command()
def compare(
    candidate: Annotated[
        str, typer.Argument(help="a run's folder or name; RUN#MODEL where it holds several")
    ],
    baseline: Annotated[
        list[str], typer.Argument(help="the run to compare with; further ones of the same model are repeats")
    ],
    policy: Annotated[
        Path | None, typer.Option(exists=True, help="what has to be shown (default: what the tasks ask)")
    ] = None,
    reports: ReportsFolder = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for verdict.json (default: the candidate's run)")
    ] = None,
) -> None:
    """May the candidate replace the baseline? Compares two recorded runs; exit status 0 only if it may."""
    from rich.console import Console

    from evals.compared_runs import compare_runs
    from evals.report.compared import print_verdict

    done = compare_runs(candidate, baseline, reports or folder_here("reports"), policy=policy, out=out)
    print_verdict(Console(highlight=False, soft_wrap=False), done.verdict)
    typer.echo(f"verdict: {done.folder / 'verdict.json'}")
    typer.echo(f"comment for a pull request: {done.folder / 'comment.md'}")
    if done.verdict.verdict != "promote":
        raise typer.Exit(CHECK_FAILED)


@app.command()
def latency(
    run: Annotated[
        Path | None, typer.Argument(help="a run's folder; by default the newest that was timed")
    ] = None,
    reports: ReportsFolder = None,
) -> None:
    """Print how fast models answered, cold and warm, as measured by `pytest evals/test_latency.py`."""
    from rich.console import Console

    from evals.latency_record import newest_latency_run, read_latencies
    from evals.report.latency import print_latency

    chosen = run or newest_latency_run(reports or folder_here("reports"))
    console = Console(highlight=False)
    print_latency(console, read_latencies(chosen))
    console.print(f"run: {chosen}", markup=False, soft_wrap=True)


@app.command()
def report(
    runs: Annotated[list[str], typer.Argument(help="runs' folders, or their names in the reports folder")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="file to write (default: report.html, in the run's folder; of several runs, in the reports folder)"
        ),
    ] = None,
    golden: GoldenFolder = None,
    reports: ReportsFolder = None,
    show: Annotated[bool, typer.Option("--open", help="show it in the browser")] = False,
) -> None:
    """Write one HTML page of a run, or of several side by side, with every reply."""
    import webbrowser

    from evals.report.gather import write_report
    from evals.runs import run_folder

    found = reports or folder_here("reports")
    folders = [run_folder(run, found) for run in runs]
    prompts = golden or folder_here("golden")
    path = out or (folders[0] if len(folders) == 1 else found) / "report.html"
    write_report(folders, prompts if golden or prompts.is_dir() else None, path)
    typer.echo(f"wrote {path}")
    if show and not webbrowser.open(path.resolve().as_uri()):
        typer.echo("no browser could be started; open the file yourself", err=True)


@app.command("import")
def import_(
    table: Annotated[Path, typer.Argument(help="CSV file: a row a model, columns of rates")],
    name: Annotated[str, typer.Option(help="name of the run (default: the time, and the task)")] = "",
    task: Annotated[str, typer.Option(help="what the figures are of (default: the file's name)")] = "",
    cases: Annotated[
        int | None, typer.Option(help="how many cases each rate is of, where the table has no such column")
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(envvar="GOLDENGATE_REPORTS", help="folder that the run is written to")
    ] = None,
) -> None:
    """Keep a table of results from elsewhere as a run of figures only, for reports."""
    from evals.imported import import_table
    from evals.runs import read_run

    folder = import_table(table, reports or folder_here("reports"), name=name, task=task, cases=cases)
    info = read_run(folder)
    (facts,) = info.tasks.values()
    typer.echo(f"imported {len(info.models)} models of {facts['cases']} cases: {folder}")
    typer.echo(f"to look at it: python -m evals report {folder}")


if __name__ == "__main__":
    run_app(app)
