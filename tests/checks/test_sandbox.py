"""The sandbox: what shuts a reply's code in, tried with code that wants out."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.checks import sandbox
from evals.checks.code import _imports
from evals.checks.sandbox import Odd, Raised, Run, SandboxError
from evals.checks.sandbox_child import CALLS, MAX_HASHED, Encoder
from tests.no_seccomp import REFUSE

LINUX = sys.platform == "linux" and platform.machine() in CALLS


@pytest.fixture(autouse=True)
def _sealed() -> None:
    if not LINUX:
        pytest.skip("sealing needs Linux on x86_64 or aarch64")
    assert sandbox.can_seal(), "this Linux refuses seccomp filters"


def run(code: str, *expressions: str, timeout_s: float = 20.0, memory_mb: int = 256) -> Run:
    """Run code that defines `f`; the time is ample, for machines with much else to do."""
    imports = _imports(code, "f")
    return sandbox.run(code, "f", expressions, imports=imports, timeout_s=timeout_s, memory_mb=memory_mb)


def result(code: str, **limits: Any) -> Any:
    """What `f()` comes to."""
    ran = run(code, "f()", **limits)
    assert ran.sealed and ran.loaded, ran
    return ran.results[0] if ran.results else ran.ended


# Code whose f() is True where it reaches what it wants. {tmp} is a folder with a file in it.
REACHES: dict[str, str] = {
    "reads a file": "def f(): return len(open('{tmp}/file').read()) > 0",
    "writes a file": "def f(): return open('{tmp}/new', 'w').write('x') == 1",
    "appends to a file": "def f(): return open('{tmp}/file', 'a').write('x') == 1",
    "lists a folder": "import os\ndef f(): return os.listdir('{tmp}') == ['file']",
    "looks at a file": "import os\ndef f(): return os.path.exists('{tmp}/file')",
    "deletes a file": "import os\ndef f(): return os.remove('{tmp}/file') is None",
    "renames a file": "import os\ndef f(): return os.rename('{tmp}/file', '{tmp}/other') is None",
    "links a file": "import os\ndef f(): return os.symlink('{tmp}/file', '{tmp}/link') is None",
    "changes a mode": "import os\ndef f(): return os.chmod('{tmp}/file', 0o777) is None",
    "makes a folder": "import os\ndef f(): return os.mkdir('{tmp}/folder') is None",
    "changes folder": "import os\ndef f(): return os.chdir('{tmp}') is None",
    "opens through pathlib": "from pathlib import Path\ndef f(): return Path('{tmp}/file').read_text() == 'held'",
    "makes a pipe": "import os\ndef f(): return len(os.pipe()) == 2",
    "forks": "import os\ndef f(): return (os.fork() or os._exit(0)) > 0",
    "forks through libc": "import ctypes, os\ndef f(): return (ctypes.CDLL(None).fork() or os._exit(0)) > 0",
    "runs a command": "import os\ndef f(): return os.system('exit 7') == 7 << 8",
    "spawns": "import os\ndef f(): return os.posix_spawn('/bin/true', ['true'], {{}}) > 0",
    "starts a thread": "import threading\ndef f():\n  threading.Thread(target=int).start()\n  return True",
    "makes a socket": "import ctypes\ndef f(): return ctypes.CDLL(None).socket(2, 1, 0) >= 0",
    "makes a local socket": "import ctypes\ndef f(): return ctypes.CDLL(None).socket(1, 1, 0) >= 0",
    "signals its parent": "import os\ndef f(): return os.kill({pid}, 0) is None",
    "signals itself": "import os\ndef f(): return os.kill(os.getpid(), 0) is None",
    "catches a signal": "import _signal\ndef f(): return _signal.signal(10, int) is not None",
    "sets an alarm": "import _signal\ndef f(): return _signal.setitimer(0, 100) == (0.0, 0.0)",
    "reads a process": "import ctypes\ndef f(): return ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0",
    "lowers its limits": "import resource\ndef f(): return resource.setrlimit(3, (1 << 20, 1 << 20)) is None",
    "asks for its parent": "import os\ndef f(): return os.getppid() > 0",
    "asks for its user": "import os\ndef f(): return os.getuid() >= 0",
    "asks for its folder": "import os\ndef f(): return len(os.getcwd()) > 0",
    "changes its name": "import ctypes\ndef f(): return ctypes.CDLL(None).prctl(15, b'other', 0, 0, 0) == 0",
    "imports what is not loaded": "def f():\n  import sqlite3\n  return True",
}


def attack(name: str, folder: Path) -> str:
    (folder / "file").write_text("held", "utf-8")
    return REACHES[name].format(tmp=folder, pid=os.getpid())


@pytest.mark.parametrize("name", REACHES, ids=lambda name: name.replace(" ", "-"))
def test_code_reaches_nothing(name: str, tmp_path: Path) -> None:
    got = result(attack(name, tmp_path))

    assert got is False or isinstance(got, Raised), got
    assert [(path.name, path.read_text("utf-8")) for path in tmp_path.iterdir()] == [("file", "held")]


@pytest.mark.parametrize("name", REACHES, ids=lambda name: name.replace(" ", "-"))
def test_it_would_reach_it_outside(name: str, tmp_path: Path) -> None:
    """Otherwise the test above holds for want of a real attack."""
    ended = subprocess.run(
        [sys.executable, "-c", f"{attack(name, tmp_path)}\nprint(f())"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.stdout == "True\n", ended.stderr


def test_no_system_call_is_left_but_those_listed() -> None:
    allowed = set(CALLS[platform.machine()][1].values())
    code = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def f(numbers):
    left = []
    for number in numbers:
        ctypes.set_errno(0)
        got = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
        if got != -1 or ctypes.get_errno() != {errno.EPERM}:
            left.append((number, got, ctypes.get_errno()))
    return left
"""
    # The kernel lets uretprobe and uprobe pass every filter; outside of a probe they do nothing but fail.
    probes = {335, 336} if platform.machine() == "x86_64" else set()
    plain = [number for number in range(1024) if number not in allowed | probes]
    # The numbering of x32 has this bit; the kernel reports it as x86_64.
    other = [number | 0x40000000 for number in range(1024)]

    ran = run(code, f"f({plain})", f"f({other})")

    assert ran.results == ([], [])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbering of i386 is one of x86_64")
def test_a_call_in_the_numbering_of_i386_kills() -> None:
    code = """
import ctypes
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
def f():
    page = libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0))
    ctypes.memmove(page, bytes.fromhex("b814000000cd80c3"), 8)  # mov eax, 20 (getpid); int 0x80; ret
    return ctypes.CFUNCTYPE(ctypes.c_int)(page)()
"""
    ran = run(code, "f()")

    assert ran.results == ()
    assert ran.ended in (
        "ended early (status -31)",
        "ended early (status -11)",
    )  # SIGSYS, or a kernel without i386


ENDLESS: dict[str, str] = {
    "a loop": "def f():\n  while True: pass",
    "a loop that catches all": "def f():\n  while True:\n    try:\n      while True: pass\n    except BaseException: pass",
    "sleep": "import time\ndef f(): time.sleep(1000)",
    "a pattern": "import re\ndef f(): re.search('(a|aa)+$', 'a' * 100 + 'b')",
    "a number": "def f(): return 7 ** 10 ** 8 % 10",
    "a lock": "import threading\ndef f():\n  lock = threading.Lock()\n  lock.acquire()\n  lock.acquire()",
    "at loading": "while True: pass\ndef f(): pass",
    "an exception's text": "class E(Exception):\n  def __str__(self):\n    while True: pass\ndef f(): raise E",
    "printing": "def f():\n  while True: print('x' * 1000)",
}


@pytest.mark.parametrize("code", ENDLESS.values(), ids=[name.replace(" ", "-") for name in ENDLESS])
def test_code_without_end_is_ended(code: str) -> None:
    ran = run(code, "f()", timeout_s=0.3)

    assert ran.late
    assert ran.results == ()
    assert ran.ended == "ran out of time (0.3 s)"


def test_what_came_before_the_end_counts() -> None:
    ran = run("def f(n):\n  while n > 2: pass\n  return n", "f(1)", "f(2)", "f(3)", "f(4)", timeout_s=1)

    assert ran.results == (1, 2)
    assert ran.late


@pytest.mark.parametrize(
    "code",
    [
        "def f(): return [0] * 10 ** 9",
        "def f(): return 'x' * 10 ** 10",
        "def f():\n  x = []\n  while True: x.append('x' * 10 ** 6)",
        "import itertools\ndef f(): return list(itertools.count())",
    ],
    ids=["a list", "a text", "piece by piece", "an endless list"],
)
def test_memory_has_its_limit(code: str) -> None:
    got = result(code)

    assert isinstance(got, Raised) and got.names[0] == "builtins.MemoryError"


ENDS: dict[str, tuple[str, str]] = {
    "an exit": ("import os\ndef f(): os._exit(0)", "ended early (status 0)"),
    "another exit": ("import os\ndef f(): os._exit(3)", "ended early (status 3)"),
    "a null pointer": ("import ctypes\ndef f(): ctypes.string_at(0)", "ended early (status -11)"),
    "an abort": ("import os\ndef f(): os.abort()", "ended early (status -"),
}


@pytest.mark.parametrize(("code", "ended"), ENDS.values(), ids=[name.replace(" ", "-") for name in ENDS])
def test_a_process_that_ends_has_no_result(code: str, ended: str) -> None:
    ran = run(code, "1 or f", "f()", "1 or f")

    assert ran.results == (1,)
    assert ran.ended.startswith(ended)
    assert not ran.late


RAISES: dict[str, tuple[str, str]] = {
    "sys.exit": ("import sys\ndef f(): sys.exit(0)", "SystemExit: 0"),
    "an interrupt": ("def f(): raise KeyboardInterrupt", "KeyboardInterrupt"),
    "recursion": ("def f(): return f()", "RecursionError: maximum recursion depth exceeded"),
    "an exception of its own": ("class E(ValueError): pass\ndef f(): raise E('no')", "reply.E: no"),
    "an exception without text": (
        "class E(Exception):\n  def __str__(self): raise E\ndef f(): raise E",
        "BaseException: an exception that raises when it is looked at",
    ),
    "a network": ("def f():\n  import socket", "ModuleNotFoundError: No module named 'socket'"),
    "a package": ("def f():\n  import pydantic", "ModuleNotFoundError: No module named 'pydantic'"),
    "this project": ("def f():\n  import evals", "ModuleNotFoundError: No module named 'evals'"),
    "a question": ("def f(): return input()", "PermissionError: [Errno 1] Operation not permitted"),
}


@pytest.mark.parametrize(("code", "says"), RAISES.values(), ids=[name.replace(" ", "-") for name in RAISES])
def test_an_exception_is_a_result(code: str, says: str) -> None:
    got = result(code)

    assert isinstance(got, Raised)
    assert str(got).startswith(says)


ODD: dict[str, tuple[str, str]] = {
    "a generator": ("def f(): yield 1", "a value of type generator, which is no plain data"),
    "an object": (
        "class Any:\n  __eq__ = lambda *_: True\ndef f(): return Any()",
        "a value of type Any, which",
    ),
    "an object within": ("def f(): return [{'a': (object(),)}]", "a value of type object, which"),
    "a coroutine": ("async def f(): return 1", "a value of type coroutine, which"),
    "a list of itself": ("def f():\n  x = []\n  x.append(x)\n  return x", "too large or too deep"),
    "many values": ("def f(): return [0] * 20_000", "too large or too deep"),
    "a long text": ("def f(): return 'x' * 10 ** 7", "too large"),
    "a long number": ("def f(): return 1 << 10 ** 7", "too large"),
    "a large set": ("def f(): return set(range(2000))", "a set of more than 1000 values"),
    "a large dict": ("def f(): return dict.fromkeys(range(2000))", "a dict of more than 1000 keys"),
}


@pytest.mark.parametrize(("code", "says"), ODD.values(), ids=[name.replace(" ", "-") for name in ODD])
def test_what_is_no_plain_data_cannot_be_compared(code: str, says: str) -> None:
    got = result(code)

    assert isinstance(got, Odd)
    assert says in got.what


BASES: dict[str, tuple[str, Any]] = {
    "a number that equals all": ("class N(int):\n  __eq__ = lambda *_: True\ndef f(): return N(3)", 3),
    "a text that hides": ("class S(str):\n  __str__ = __repr__ = lambda _: 'b'\ndef f(): return S('a')", "a"),
    "a list that hides": ("class L(list):\n  __iter__ = lambda _: iter([9])\ndef f(): return L([1])", [1]),
    "a counter": ("from collections import Counter\ndef f(): return Counter('aab')", {"a": 2, "b": 1}),
    "a named tuple": ("from collections import namedtuple\ndef f(): return namedtuple('P', 'x')(1)", (1,)),
    "an enum": ("from enum import IntEnum\nclass E(IntEnum):\n  A = 4\ndef f(): return E.A", 4),
}


@pytest.mark.parametrize(("code", "base"), BASES.values(), ids=[name.replace(" ", "-") for name in BASES])
def test_a_subclass_counts_as_its_base(code: str, base: Any) -> None:
    got = result(code)

    assert (type(got), got) == (type(base), base)


def test_code_cannot_flood_the_channel() -> None:
    code = "import os\ndef f():\n  while True:\n    for fd in range(3, 9):\n      try: os.write(fd, b'x' * 65536)\n      except OSError: pass"
    ran = run(code, "f()")

    assert ran.results == ()
    assert ran.ended == "sent back too much"


SAID: dict[str, bytes] = {
    "no JSON": b"\xff\x00{",
    "no list": b"{}",
    "a short list": b"[]",
    "another list": b'["held", true]',
    "a bare number": b'["value", 1]',
    "a wrong number": b'["value", ["int", "zz"]]',
    "a number too large": b'["value", ["float", "0x1p99999"]]',
    "a key that cannot be one": b'["value", ["dict", [[["list", []], 1]]]]',
    "half a pair": b'["value", ["dict", [["a"]]]]',
    "an exception without names": b'["raised", [], ""]',
    "deep": b'["value", ' + b"[" * 100_000,
    "deep and whole": b'["value", ' + b'["list", [' * 3000 + b"]]" * 3000 + b"]",
    "many digits": b'["value", ' + b"9" * 10_000 + b"]",
    "a set made to collide": b'["value", ["set", [%s]]]'
    % b",".join(b'["int", "%x"]' % (n * (2**61 - 1)) for n in range(1, MAX_HASHED + 2)),
    "a long line": b'["value", "' + b"x" * 500_000 + b'"]',
}


@pytest.mark.parametrize("said", SAID.values(), ids=[name.replace(" ", "-") for name in SAID])
def test_what_code_says_itself_is_no_value(said: bytes) -> None:
    """The code writes to the channel of results in place of the process."""
    code = f"import os\ndef f():\n  for fd in range(3, 9):\n    try: os.write(fd, {said + chr(10).encode()!r})\n    except OSError: pass"
    ran = run(code, "f()", "f()")

    assert ran.results[0] == Odd("something that cannot be read")


def test_the_code_does_not_know_its_job_beyond_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDENGATE_TEST_TOKEN", "held")
    code = """
import os, sys
def f(): return sorted(os.environ), [name for name in sys.modules if name.split(".")[0] in ("evals", "pydantic")], __name__
"""
    variables, modules, name = result(code)

    assert set(variables) <= {"PYTHONHASHSEED", "LC_CTYPE"}
    assert modules == []
    assert name == "reply"


def test_no_descriptor_of_this_process_is_open_there() -> None:
    mine, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    code = "import os\ndef f():\n  for fd in range(1024):\n    try: os.write(fd, b'[]\\n')\n    except OSError: pass"

    run(code, "f()")
    os.close(theirs)

    assert os.read(mine, 10) == b""
    os.close(mine)


def test_a_reply_is_judged_alike_each_time() -> None:
    code = "import random\ndef f(): return [*set('abcdefgh')], random.random()"

    assert result(code) == result(code)


def test_expressions_have_their_own_names() -> None:
    """A reply that defines `sorted`, or sets it in `builtins`, does not change what an assert means by it."""
    code = "import builtins, math\ndef sorted(x): return 'mine'\nbuiltins.len = lambda x: 'mine'\ndef f(): return [2, 1]"
    ran = run(
        code, "sorted(f())", "len(f())", "[math.floor(x) for x in f()]", "datetime.date(2026, 1, f()[0]).day"
    )

    assert ran.results == ([1, 2], 2, [2, 1], 2)


# What replies do use, each with something that the standard library does only when it is called.
USED: dict[str, tuple[str, Any]] = {
    "Counter": ("from collections import Counter\ndef f(): return Counter('aab').most_common(1)", [("a", 2)]),
    "strptime": (
        "from datetime import datetime\ndef f(): return datetime.strptime('31 Jan 2026', '%d %b %Y').isoformat()",
        "2026-01-31T00:00:00",
    ),
    "time": ("import time\ndef f():\n  time.sleep(0.001)\n  return time.strptime('07', '%m').tm_mon", 7),
    "named character": ("def f(): return '\\N{BULLET}'", "•"),
    "codecs": (
        "import codecs\ndef f(): return codecs.encode('a', 'rot13') + 'é'.encode('utf-16-be').hex()",
        "n00e9",
    ),
    "hashlib": ("import hashlib\ndef f(): return hashlib.sha256(b'').hexdigest()[:8]", "e3b0c442"),
    "decimal": ("from decimal import Decimal\ndef f(): return str(round(Decimal('2.665'), 2))", "2.66"),
    "dispatch": (
        "from functools import singledispatch\n@singledispatch\ndef g(x): return 0\n@g.register\ndef _(x: int): return 1\n"
        "def f(): return g(1)",
        1,
    ),
    "dataclass": (
        "from __future__ import annotations\nfrom dataclasses import asdict, dataclass\n@dataclass(order=True)\nclass P:\n"
        "  x: int\ndef f(): return asdict(P(1)), P(1) < P(2)",
        ({"x": 1}, True),
    ),
    "protocol": (
        "from typing import Protocol, runtime_checkable\n@runtime_checkable\nclass P(Protocol):\n  def close(self): ...\n"
        "def f(): return isinstance(1, P)",
        False,
    ),
    "statistics": (
        "import statistics\ndef f(): return statistics.mode('aab'), statistics.median([1, 2])",
        ("a", 1.5),
    ),
    "argparse": (
        "import argparse\ndef f():\n  p = argparse.ArgumentParser()\n  p.add_argument('-x', type=int)\n  return p.parse_args(['-x', '3']).x",
        3,
    ),
    "traceback": (
        "import traceback\ndef f():\n  try: 1 / 0\n  except ArithmeticError: return traceback.format_exc()[:9]",
        "Traceback",
    ),
    "logging": ("import logging\ndef f():\n  logging.warning('x')\n  print('y')\n  return 1", 1),
    "XML": (
        "import xml.etree.ElementTree as ET\ndef f(): return ET.fromstring('<a><b>1</b></a>').find('b').text",
        "1",
    ),
    "URL": ("from urllib.parse import urlsplit\ndef f(): return urlsplit('http://é.b/c').netloc", "é.b"),
    "warnings": ("import warnings\ndef f():\n  warnings.warn('x')\n  return 1", 1),
    "a main part": ("def f(): return 1\nif __name__ == '__main__':\n  raise SystemExit", 1),
    "a higher limit": (
        "import sys\nsys.setrecursionlimit(10_000)\ndef g(n): return n and 1 + g(n - 1)\ndef f(): return g(5000)",
        5000,
    ),
}


@pytest.mark.parametrize(("code", "value"), USED.values(), ids=[name.replace(" ", "-") for name in USED])
def test_code_may_compute_with_the_standard_library(code: str, value: Any) -> None:
    assert result(code) == value


def test_all_modules_on_offer_can_be_loaded_in_the_least_memory() -> None:
    imports = "\n".join(f"import {name}" for name in sorted(sandbox.MODULES))

    assert result(f"{imports}\ndef f(): return 1", memory_mb=64) == 1


plain_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda parts: (
        st.lists(parts) | st.lists(parts).map(tuple) | st.dictionaries(st.text() | st.integers(), parts)
    ),
    max_leaves=20,
) | st.frozensets(st.text() | st.tuples(st.integers(), st.floats(allow_nan=False)))


@given(value=plain_data)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    said = json.dumps(["value", Encoder().encode(value)]).encode()
    back = sandbox._result(sandbox._line(said))

    assert back == value
    assert isinstance(value, frozenset) or repr(back) == repr(value)


def test_not_a_number_comes_back() -> None:
    got = result("def f(): return float('nan')")

    assert got != got


def is_sealed(pid: int) -> bool:
    return "Seccomp:\t2\n" in Path(f"/proc/{pid}/status").read_text("utf-8")


def test_the_process_does_not_outlive_this_one() -> None:
    script = (
        "from evals.checks import sandbox\n"
        "sandbox.run('import time\\ndef f(): time.sleep(100)', 'f', ['f()'], imports={'time'}, timeout_s=60, memory_mb=256)"
    )
    outer = psutil.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    try:
        deadline = time.monotonic() + 60
        while not (inner := outer.children()) and time.monotonic() < deadline:
            time.sleep(0.02)
        while not is_sealed(inner[0].pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert is_sealed(inner[0].pid)
    finally:
        outer.kill()
        outer.wait()

    _, alive = psutil.wait_procs(inner, timeout=20)
    assert alive == []


RUN_WITHOUT_SECCOMP = """
from evals.checks import sandbox
try:
    ran = sandbox.run(sys.argv[1], "f", ["f()"], imports={"os", "time"}, timeout_s=20, memory_mb=256)
except sandbox.SandboxError as error:
    print(json.dumps({"error": str(error), "can_seal": sandbox.can_seal()}))
else:
    print(json.dumps({"sealed": ran.sealed, "results": [str(one) for one in ran.results]}))
"""


def run_without_seccomp(code: str, **environment: str) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-c", REFUSE + RUN_WITHOUT_SECCOMP, code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


def test_without_a_seal_nothing_is_run(tmp_path: Path) -> None:
    code = f"import os\nos.mkdir('{tmp_path}/ran')\ndef f(): return 1"

    said = run_without_seccomp(code, GOLDENGATE_RUN_CODE="")

    assert said["error"] == (
        "it cannot be sealed off here (prctl(22) was refused: Operation not permitted); "
        "--run-code or GOLDENGATE_RUN_CODE=1 runs it with resource limits only"
    )
    assert said["can_seal"] is False
    assert not (tmp_path / "ran").exists()


def test_without_a_seal_it_is_run_for_those_who_opt_in() -> None:
    said = run_without_seccomp("def f(): return 1", GOLDENGATE_RUN_CODE="1")

    assert said == {"sealed": False, "results": ["1"]}


@pytest.mark.parametrize("name", ["reads a file", "writes a file", "lists a folder", "makes a pipe"])
def test_without_a_seal_limits_keep_files_shut(name: str, tmp_path: Path) -> None:
    said = run_without_seccomp(attack(name, tmp_path), GOLDENGATE_RUN_CODE="1")

    assert said["sealed"] is False
    assert "Too many open files" in said["results"][0]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_without_a_seal_what_it_starts_is_ended_with_it() -> None:
    """Root is not bound by the limit of processes, so this one may fork; others get an exception."""
    code = "import os, time\ndef f():\n  pid = os.fork()\n  if pid == 0: time.sleep(100)\n  return pid"

    (got,) = run_without_seccomp(code, GOLDENGATE_RUN_CODE="1")["results"]

    if os.getuid() == 0:
        _, alive = psutil.wait_procs(
            [psutil.Process(int(got))] if psutil.pid_exists(int(got)) else [], timeout=20
        )
        assert alive == []
    else:
        assert "BlockingIOError" in got


def test_a_python_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(SandboxError, match="its process does not start"):
        run("def f(): return 1", "f()")


def test_a_process_that_says_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")

    with pytest.raises(SandboxError, match=r"its process says nothing; it ended early \(status 0\)"):
        run("def f(): return 1", "f()")
