"""The sandbox's inside: a script of its own that runs a reply's code and sends back what its calls returned.

`evals.checks.sandbox` starts it and hands it a job (JSON on standard input). It imports nothing of `evals`.
Before the code gets control, the process gives up its rights for good: resource limits, then a seccomp filter
that leaves computing, memory, the clock and writing to descriptors that are open already. Everything else fails
with EPERM: opening, deleting or renaming files, sockets, starting programs, processes or threads, signals, ptrace,
io_uring, changes of the limits. A system call in another architecture's numbering kills the process.

What comes back is one JSON list a line: how the sealing went, how loading went, then one line an expression. The
code shares this process and can forge each of these lines. It does not matter: the process never learns what
value is expected, so a forger has to know the right answer (`evals.checks.assertions` compares, outside).

Not covered: side channels, bugs of the kernel in the few calls that are left, and platforms without seccomp, where
resource limits are all there is (files can still be deleted, signals be sent).
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import json
import os
import struct
import sys
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# What a value may hold in all before it is "too large" to be sent.
MAX_PARTS = 10_000
MAX_HASHED = 1_000  # in one set or dict, which values made to collide fill in quadratic time
MAX_CHARACTERS = 50_000
MAX_DEPTH = 50
MAX_MESSAGE = 300

# Numbers from linux/prctl.h, linux/seccomp.h, linux/bpf_common.h.
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
KILL_PROCESS, ALLOW, REFUSE = 0x80000000, 0x7FFF0000, 0x00050000 | errno.EPERM
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
AT_NUMBER, AT_ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
SIGKILL = 9

# AUDIT_ARCH_… and the calls left, as numbered there: what an interpreter needs to compute.
CALLS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "write": 1,
            "mmap": 9,
            "mprotect": 10,
            "munmap": 11,
            "brk": 12,
            "rt_sigreturn": 15,
            "sched_yield": 24,
            "mremap": 25,
            "madvise": 28,
            "nanosleep": 35,
            "getpid": 39,
            "exit": 60,
            "gettimeofday": 96,
            "gettid": 186,
            "time": 201,
            "futex": 202,
            "restart_syscall": 219,
            "clock_gettime": 228,
            "clock_getres": 229,
            "clock_nanosleep": 230,
            "exit_group": 231,
            "getrandom": 318,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "write": 64,
            "exit": 93,
            "exit_group": 94,
            "futex": 98,
            "nanosleep": 101,
            "clock_gettime": 113,
            "clock_getres": 114,
            "clock_nanosleep": 115,
            "sched_yield": 124,
            "restart_syscall": 128,
            "rt_sigreturn": 139,
            "gettimeofday": 169,
            "getpid": 172,
            "gettid": 178,
            "brk": 214,
            "munmap": 215,
            "mremap": 216,
            "mmap": 222,
            "mprotect": 226,
            "madvise": 233,
            "getrandom": 278,
        },
    ),
}


def limit(seconds: int, megabytes: int) -> None:
    """Set what the platform knows of resource limits; the hard ones cannot be raised again."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, soft, hard in (
        ("RLIMIT_CPU", seconds, seconds + 1),
        ("RLIMIT_AS", megabytes << 20, megabytes << 20),
        ("RLIMIT_FSIZE", 0, 0),
        ("RLIMIT_CORE", 0, 0),
        # Counts all processes of the user, so it can only forbid new ones; root is not bound by it.
        ("RLIMIT_NPROC", 0, 0),
        # Descriptors that are open stay open; there can be no further one.
        ("RLIMIT_NOFILE", 0, 0),
    ):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            which = getattr(resource, name)
            ceiling = resource.getrlimit(which)[1]
            if ceiling != resource.RLIM_INFINITY:
                soft, hard = min(soft, ceiling), min(hard, ceiling)
            resource.setrlimit(which, (soft, hard))


def seal() -> str:
    """Install the seccomp filter for the rest of this process's life; why that is not possible, or ''."""
    if str(sys.platform) != "linux":  # str: for mypy elsewhere the rest would be unreachable
        return f"{sys.platform} has no seccomp"
    machine = os.uname().machine
    if machine not in CALLS or sys.maxsize < 2**32:
        return f"no filter is written for {machine} with this Python"
    try:
        import ctypes
    except ImportError:
        return "this Python has no ctypes"
    architecture, calls = CALLS[machine]

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    numbers = list(calls.values())
    steps = [
        (LOAD_WORD, 0, 0, AT_ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD_WORD, 0, 0, AT_NUMBER),
        *((JUMP_IF_EQUAL, len(numbers) - at, 0, number) for at, number in enumerate(numbers)),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    # struct sock_filter: code, jump if true, jump if false, k
    program = Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    for option, first, second in (
        (PR_SET_PDEATHSIG, SIGKILL, 0),
        (PR_SET_DUMPABLE, 0, 0),
        (PR_SET_NO_NEW_PRIVS, 1, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program)),
    ):
        if libc.prctl(option, first, second, 0, 0):
            return f"prctl({option}) was refused: {os.strerror(ctypes.get_errno())}"
    # An emulator may take the call and do nothing.
    try:
        os.open(os.devnull, os.O_RDONLY)
    except PermissionError:
        return ""
    except OSError as error:
        return f"the filter is not in force: {error}"
    return "the filter is not in force"


class Unsendable(Exception):
    """A value that is no plain data, or too large to be compared."""


class Encoder:
    """Plain data as JSON: text, None and truth values as themselves, everything else as [type, content].

    A subclass counts as its base, read by the base's own methods: a `Counter` is a dict, an `__eq__` is not asked.
    """

    def __init__(self) -> None:
        self.parts = 0
        self.characters = 0

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Raises `Unsendable` with the reason."""
        self.parts += 1
        if depth > MAX_DEPTH or self.parts > MAX_PARTS:
            raise Unsendable("a value too large or too deep to be compared")
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            self._spend(str.__len__(value))
            return str.__str__(value)
        if isinstance(value, int):
            self._spend(int.bit_length(value) // 4)
            return ["int", hex(int.__add__(value, 0))]
        if isinstance(value, float):
            return ["float", float.hex(value)]
        if isinstance(value, (bytes, bytearray)):
            kind: Any = bytes if isinstance(value, bytes) else bytearray
            self._spend(kind.__len__(value) * 2)
            return ["bytes", kind.hex(value)]
        for kind in (list, tuple, set, frozenset):
            if isinstance(value, kind):
                if kind not in (list, tuple) and kind.__len__(value) > MAX_HASHED:
                    raise Unsendable(f"a {kind.__name__} of more than {MAX_HASHED} values")
                return [kind.__name__, [self.encode(part, depth + 1) for part in kind.__iter__(value)]]
        if isinstance(value, dict):
            if dict.__len__(value) > MAX_HASHED:
                raise Unsendable(f"a dict of more than {MAX_HASHED} keys")
            pairs = dict.items(value)
            return [
                "dict",
                [[self.encode(key, depth + 1), self.encode(one, depth + 1)] for key, one in pairs],
            ]
        raise Unsendable(f"a value of type {type(value).__name__[:80]}, which is no plain data")

    def _spend(self, characters: int) -> None:
        self.characters += characters
        if self.characters > MAX_CHARACTERS:
            raise Unsendable("a value too large to be compared")


def tried(make: Callable[[], Any]) -> list[Any]:
    """["value", encoded], ["odd", why it cannot be sent] or ["raised", names of its classes, message]."""
    try:
        return ["value", Encoder().encode(make())]
    except Unsendable as error:
        return ["odd", str(error)]
    except BaseException as error:
        try:
            names = [f"{base.__module__}.{base.__qualname__}"[:200] for base in type(error).__mro__[:20]]
            return ["raised", names, str(error)[:MAX_MESSAGE]]
        except BaseException:
            return ["raised", ["builtins.BaseException"], "an exception that raises when it is looked at"]


def run(job: dict[str, Any], say: Callable[[list[Any]], None]) -> None:
    """Load the code as a module, then evaluate the expressions, each on its own."""
    # The reply's own names do not reach the expressions: its function `sorted` is not `sorted` there.
    names: dict[str, Any] = {name: sys.modules[name] for name in job["names"] if name in sys.modules}
    names["__builtins__"] = dict(vars(builtins))
    module = ModuleType("reply")
    sys.modules["reply"] = module  # dataclasses look their module up

    def load() -> None:
        exec(compile(job["code"], "<reply>", "exec", dont_inherit=True), vars(module))  # noqa: S102
        names[job["function"]] = vars(module)[job["function"]]

    def evaluate(expression: str) -> Any:
        return eval(compile(expression, "<assert>", "eval", dont_inherit=True), dict(names))  # noqa: S307

    loaded = tried(load)
    say(loaded)
    if loaded[0] == "value":
        for expression in job["expressions"]:
            say(tried(partial(evaluate, expression)))


def main() -> None:
    """Read the job, give up every right, run."""
    job = json.loads(sys.stdin.buffer.read())
    results = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)

    def say(line: list[Any]) -> None:
        left = json.dumps(line).encode("ascii") + b"\n"
        while left:
            left = left[os.write(results, left) :]

    # After the limits nothing can be opened, so all that is imported later has to be here.
    for name in ("ctypes", "resource", *job["modules"]):
        with contextlib.suppress(ImportError):  # not every module is in every version or on every platform
            __import__(name)
    if random := sys.modules.get("random"):
        random.seed(0)
    sys.path.clear()
    limit(job["seconds"], job["megabytes"])
    problem = seal()
    say(["sealed", problem])
    if not problem or job["unsealed"]:
        run(job, say)
    os._exit(0)


if __name__ == "__main__":
    main()
