"""What a run tells GitHub Actions: annotations, the summary of its step, and that nothing else is a command.

GitHub's runner reads commands from what a step prints: `::name …::` at the start of a line, and the older `##[name]`
anywhere in one. Replies are printed too, so a run first stops all commands by a token that no reply can know, and
resumes them before it gives its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from evals.checks.answers import shorten
from evals.gate import GateVerdict
from evals.verdict import Verdict

Kind = Literal["error", "warning", "notice"]
Write = Callable[[str], object]

# GitHub shows so many annotations of each kind of one step.
SHOWN_OF_A_KIND = 10
MESSAGE_LIMIT = 1000
SUMMARY_LIMIT_BYTES = 1024 * 1024
CUT = "\n\nCut here, at the megabyte that GitHub takes; all of it is in the run's folder.\n"

_KINDS: Mapping[str, Kind] = {"block": "error", "inconclusive": "warning", "promote": "notice"}
_OF_STATUS: Mapping[str, Kind] = {"failed": "error", "open": "warning"}


def on_github(environ: Mapping[str, str]) -> bool:
    """Whether this process is a step of GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"


def stop_commands(environ: Mapping[str, str], write: Write) -> str:
    """Stop the runner from taking commands from this step's output; returns the token that resumes them, or "".

    The runner forgets it at the end of the step, so a run that dies in between leaves nothing behind.
    """
    if not on_github(environ):
        return ""
    token = secrets.token_hex(16)
    write(f"::stop-commands::{token}\n")
    return token


def tell_github(
    environ: Mapping[str, str],
    verdict: Verdict | None,
    gate: GateVerdict,
    summary_markdown: str,
    write: Write,
    *,
    golden: Path,
    token: str = "",
) -> None:
    """Give the annotations and the step's summary, where this is a step of GitHub Actions; else do nothing.

    To be called after the last line that is not ours: it resumes commands by the token of `stop_commands`. A summary
    that cannot be written is told in a sentence, and costs the run nothing.
    """
    if not on_github(environ):
        return
    if token:
        write(f"::{token}::\n")
    for line in annotation_lines(verdict, gate, _in_workspace(golden, environ)):
        write(f"{line}\n")
    if not summary_markdown or not (file := environ.get("GITHUB_STEP_SUMMARY")):
        return
    try:
        with open(file, "ab") as summary:
            summary.write(step_summary(summary_markdown, SUMMARY_LIMIT_BYTES - summary.tell()))
    except OSError as error:
        write(f"note: the summary of this step cannot be written: {error.strerror or error}\n")


def annotation_lines(verdict: Verdict | None, gate: GateVerdict, golden: str) -> list[str]:
    """The workflow commands of a run, one a line: errors, then warnings, then notices, ten of each at most.

    `golden` is the folder of the tasks as the repository names it, "" where it lies elsewhere: then none names a file.
    """
    found: dict[Kind, list[str]] = {"error": [], "warning": [], "notice": []}
    for kind, title, file, message in _told(verdict, gate, golden):
        found[kind].append(command(kind, message, title=title, file=file))
    lines: list[str] = []
    for kind, of_kind in found.items():
        if len(of_kind) > SHOWN_OF_A_KIND:
            more = len(of_kind) - SHOWN_OF_A_KIND + 1
            of_kind[SHOWN_OF_A_KIND - 1 :] = [
                command(kind, f"{more} more stand in the run's report.", title="Golden Gate")
            ]
        lines += of_kind
    return lines


def _told(verdict: Verdict | None, gate: GateVerdict, golden: str) -> Iterator[tuple[Kind, str, str, str]]:
    """Kind, title, file and message of all there is to say, the verdict first."""
    told: set[str] = set()
    # The gate of a run with a baseline repeats the reasons of its verdict, and may have more.
    kinds: dict[str, Kind] = dict.fromkeys(gate.problems, "error")
    if verdict is not None:
        kind = _KINDS[verdict.verdict]
        yield kind, f"Golden Gate: {verdict.verdict}", "", verdict.sentence
        for one in verdict.requirements:
            if one.status in _OF_STATUS:
                title = f"{one.task} {one.capability}: {one.kind.replace('_', ' ')}, {one.status}"
                file = f"{golden}/{one.policy}/task.yaml" if golden else ""
                yield _OF_STATUS[one.status], title, file, one.sentence
        told = {one.sentence for one in verdict.requirements}
        kinds |= dict.fromkeys(verdict.reasons, kind)
    elif gate.problems:
        yield "error", "Golden Gate", "", gate.sentence
    for reason, kind in kinds.items():
        if reason not in told:
            yield kind, "Golden Gate", "", reason


def command(kind: Kind, message: str, **properties: str) -> str:
    """One workflow command, whatever its texts hold; empty properties are left out.

    Escaped as the runner undoes it: `%` and line ends in a message, `:` and `,` too in a property. All other characters
    that do not print are shown by their escapes.
    """
    told = "%0A".join(_data(shorten(line, MESSAGE_LIMIT)) for line in message.splitlines())
    named = ",".join(f"{name}={_property(text)}" for name, text in properties.items() if text.strip())
    return f"::{kind} {named}::{told}" if named else f"::{kind}::{told}"


def _data(text: str) -> str:
    return text.replace("%", "%25")


def _property(text: str) -> str:
    return _data(shorten(text.strip(), MESSAGE_LIMIT)).replace(":", "%3A").replace(",", "%2C")


def step_summary(markdown: str, room: int = SUMMARY_LIMIT_BYTES) -> bytes:
    """The Markdown in at most `room` bytes of UTF-8: whole, or cut after a line with a sentence that says so.

    GitHub refuses a larger summary as a whole. Empty where not even the sentence has room.
    """
    data = f"{markdown}\n".encode("utf-8", "replace")
    if len(data) <= room:
        return data
    cut = CUT.encode()
    if room < len(cut):
        return b""
    return data[: max(0, data.rfind(b"\n", 0, room - len(cut)))] + cut


def _in_workspace(golden: Path, environ: Mapping[str, str]) -> str:
    """The golden folder as the checked-out repository names it; "" outside of it."""
    workspace = environ.get("GITHUB_WORKSPACE")
    if not workspace or not golden.resolve().is_relative_to(Path(workspace).resolve()):
        return ""
    return golden.resolve().relative_to(Path(workspace).resolve()).as_posix()
