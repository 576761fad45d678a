"""Runs the code of a reply in a process of its own that can do nothing but compute.

The process (`sandbox_child.py`) seals itself with seccomp before the code gets control; where that is not possible
nothing is run, unless GOLDENGATE_RUN_CODE=1 says that resource limits are enough here. Hash seed and random seed
are fixed, so that a reply is judged alike each time; a code that looks at the clock is not.

The code may use the modules in `MODULES`: those that it imports are loaded before the seal, and no other can be.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from evals.checks.sandbox_child import MAX_HASHED

OPT_IN = "GOLDENGATE_RUN_CODE"

# More than all values of a case can need; beyond it the process is stopped.
OUTPUT_LIMIT = 4_000_000
# What one value can come to as JSON, and then some.
LINE_LIMIT = 400_000
# A process takes some 20 ms to be ready for the code, many times more on a machine with much else to do.
START_S = 30.0

MODULES = frozenset(
    """abc argparse array ast base64 binascii bisect builtins calendar cmath codecs collections collections.abc
    colorsys configparser contextlib copy csv dataclasses datetime decimal difflib doctest enum fnmatch fractions
    functools gc graphlib hashlib heapq hmac html html.parser inspect io ipaddress itertools json keyword locale
    logging math numbers operator os os.path pathlib pprint queue random re reprlib secrets shlex statistics string
    struct sys textwrap threading time timeit tokenize traceback types typing unicodedata unittest urllib.parse uuid
    warnings weakref xml.etree.ElementTree zlib""".split()  # noqa: SIM905 - seventy quoted names read worse
)

# What the compiler and the standard library of 3.11 to 3.14 import only when it is used: too late behind the seal.
_ALWAYS = """copy heapq linecache unicodedata warnings weakref encodings.ascii encodings.cp1252 encodings.latin_1
    encodings.raw_unicode_escape encodings.unicode_escape encodings.utf_16 encodings.utf_16_be encodings.utf_16_le
    encodings.utf_32""".split()  # noqa: SIM905 - as above
_LATE = {
    "argparse": ("locale", "shutil", "textwrap"),
    "codecs": ("encodings.base64_codec", "encodings.hex_codec", "encodings.punycode", "encodings.rot_13"),
    "dataclasses": ("annotationlib",),
    "datetime": ("_strptime",),
    "fractions": ("decimal",),
    "functools": ("annotationlib", "typing"),
    "inspect": ("annotationlib",),
    "logging": ("tokenize",),
    "string": ("string.templatelib",),
    "time": ("_strptime",),
    "traceback": ("ast", "tokenize", "textwrap"),
    "typing": ("annotationlib", "inspect"),
    "uuid": ("hashlib",),
}

_NAME = re.compile(r"[A-Za-z_]\w*")


class SandboxError(Exception):
    """The code could not be run here; says why."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception: the names of its classes, the nearest first, with their modules; and its message."""

    names: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{self.names[0].removeprefix('builtins.')}: {self.message}".removesuffix(": ")


@dataclass(frozen=True, slots=True)
class Odd:
    """A value that cannot be compared; `what` it is instead of plain data."""

    what: str

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run.

    `results` has one item for each expression that was reached: plain data, `Raised` or `Odd`. `loaded` says whether
    the code was loaded, `refused` which exception kept it from that. Where there are fewer results than expressions,
    `ended` says how the process ended, and `late` that it was stopped for its time.
    """

    results: tuple[Any, ...]
    loaded: bool
    refused: Raised | None
    ended: str
    late: bool
    sealed: bool


@dataclass(frozen=True, slots=True)
class _Ended:
    """What a process said until it ended or was ended."""

    said: bytes
    how: str
    late: bool = False


def opted_in() -> bool:
    """Whether code may be run where it cannot be sealed off."""
    return os.environ.get(OPT_IN, "").lower() in ("1", "true", "yes")


@functools.cache
def can_seal() -> bool:
    """Whether this machine can run code sealed off. Starts one process, once."""
    try:
        return run("f = abs", "f", [], imports=set(), timeout_s=START_S, memory_mb=256).sealed
    except SandboxError:
        return False


def run(
    code: str,
    function: str,
    expressions: Sequence[str],
    *,
    imports: Set[str],
    timeout_s: float,
    memory_mb: int,
) -> Run:
    """Load `code` and evaluate the expressions, which may call `function`, in order.

    `imports` are the modules that the code asks for; expressions may use any of `MODULES`. All of it has `timeout_s`
    seconds. Raises `SandboxError` where the process cannot be started or sealed.
    """
    named = {name for text in expressions for name in _NAME.findall(text)}
    modules = sorted((imports | named) & MODULES)
    job = {
        "code": code,
        "function": function,
        "expressions": list(expressions),
        "modules": [*modules, *_ALWAYS, *(late for name in modules for late in _LATE.get(name, ()))],
        "names": sorted(named & MODULES),
        "seconds": math.ceil(timeout_s) + 1,  # the clock stops it first; this is for a process left alone
        "megabytes": memory_mb,
        "unsealed": opted_in(),
    }
    lines = len(expressions) + 2  # how sealing went, how loading went, and the results
    return _read(_converse(json.dumps(job).encode("ascii"), lines, timeout_s), lines)


def _converse(job: bytes, lines: int, timeout_s: float) -> _Ended:
    """Start the process, hand it the job, and take so many lines, or what comes until it ends or its time does."""
    # -P -s and this environment are -I, but for the hash seed, which -I leaves to chance.
    command = [sys.executable or "python", "-PsSB", str(Path(__file__).with_name("sandbox_child.py"))]
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # Windows needs it
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**kept, "PYTHONHASHSEED": "0"},
            cwd=Path(sys.executable).anchor or None,
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"its process does not start ({error})") from error
    received = bytearray()
    begun = threading.Event()
    pipes = process.stdin, process.stdout
    talk = threading.Thread(target=_talk, args=(*pipes, job, lines, received, begun), daemon=True)
    try:
        talk.start()
        begun.wait(START_S)
        talk.join(timeout_s)
        late = talk.is_alive()
    finally:
        # Not reaped yet, so the number is still this process's; without a seal it may have children.
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        talk.join(1)
        if not talk.is_alive():  # else a child that left the group holds the pipe
            for pipe in filter(None, pipes):
                with contextlib.suppress(OSError):
                    pipe.close()
    said = bytes(received)
    if late:
        return _Ended(said, f"ran out of time ({timeout_s:g} s)", late=True)
    if len(said) >= OUTPUT_LIMIT:
        return _Ended(said, "sent back too much")
    return _Ended(said, f"ended early (status {status})")


def _talk(
    to: IO[bytes], back: IO[bytes], job: bytes, lines: int, received: bytearray, begun: threading.Event
) -> None:
    """Hand the job over and take what comes. `begun` is set with the first of it: the seal, before the code."""
    with contextlib.suppress(OSError):  # the process is gone
        to.write(job)
        to.close()
    while received.count(b"\n") < lines and len(received) < OUTPUT_LIMIT:
        if not (chunk := os.read(back.fileno(), 1 << 16)):
            break
        received += chunk
        begun.set()
    begun.set()


def _read(ended: _Ended, lines: int) -> Run:
    """Make sense of the process's lines. All but the first come from a process that the code controls."""
    first, *others = ended.said.split(b"\n")[:-1][:lines] or [b""]
    seal = _line(first)
    if seal is None or seal[0] != "sealed":
        raise SandboxError(f"its process says nothing; it {ended.how}")
    if seal[1] and not opted_in():
        raise SandboxError(
            f"it cannot be sealed off here ({seal[1]}); --run-code or {OPT_IN}=1 runs it with resource limits only"
        )
    loaded, *results = [_result(_line(line)) for line in others] or [Odd("nothing")]
    return Run(
        results=tuple(results),
        loaded=loaded is None,
        refused=loaded if isinstance(loaded, Raised) else None,
        ended=ended.how,
        late=ended.late,
        sealed=not seal[1],
    )


def _line(line: bytes) -> list[Any] | None:
    if len(line) > LINE_LIMIT:
        return None
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, list) and len(said) > 1 else None


def _result(said: list[Any] | None) -> Any:
    """A value, `Raised` or `Odd` out of one line; what is no such line is odd."""
    match said:
        case ["value", encoded]:
            try:
                return _decoded(encoded)
            except (ValueError, TypeError, OverflowError, RecursionError):
                return Odd("something that cannot be read")
        case ["raised", [*names], str(message)] if names and all(isinstance(name, str) for name in names):
            return Raised(tuple(names), message)
        case ["odd", str(what)]:
            return Odd(what)
    return Odd("something that cannot be read")


def _decoded(encoded: Any) -> Any:
    """The inverse of `sandbox_child.Encoder`."""
    match encoded:
        case None | bool() | str():
            return encoded
        case ["int", str(digits)]:
            return int(digits, 16)
        case ["float", str(digits)]:
            return float.fromhex(digits)
        case ["bytes", str(digits)]:
            return bytes.fromhex(digits)
        case ["list", [*parts]]:
            return [_decoded(part) for part in parts]
        case ["tuple", [*parts]]:
            return tuple(_decoded(part) for part in parts)
        case ["set", [*parts]] if len(parts) <= MAX_HASHED:
            return {_decoded(part) for part in parts}
        case ["frozenset", [*parts]] if len(parts) <= MAX_HASHED:
            return frozenset(_decoded(part) for part in parts)
        case ["dict", [*pairs]] if len(pairs) <= MAX_HASHED:
            return {_decoded(key): _decoded(value) for key, value in pairs}
    raise ValueError("no encoded value")
