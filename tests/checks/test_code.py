"""`code`: a reply's function, run on what the case asserts about it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks import sandbox
from evals.checks.base import Answer, CheckOutcome
from evals.checks.code import MAX_CODE, Code, CodeExpect

SLUGIFY = """\
import re

def slugify(text: str) -> str:
    if not text.strip():
        raise ValueError("nothing to slugify")
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
"""
EXPECT: dict[str, Any] = {
    "function": "slugify",
    "asserts": ['slugify("A b") == "a-b"', 'slugify("  x!  ") == "x"', 'slugify("a--b") == "a-b"'],
    "raises": {'slugify("")': "ValueError"},
}


def fenced(code: str, mark: str = "python") -> str:
    return f"```{mark}\n{code}\n```"


def check(**fields: Any) -> Code:
    return Code.model_validate({"kind": "code", "capability": "content", "timeout_s": 20.0, **fields})


def ids(table: dict[str, Any]) -> list[str]:
    return [name.replace(" ", "-") for name in table]


@pytest.fixture
def _sealed() -> None:
    if not sandbox.can_seal():
        pytest.skip("needs a Linux with seccomp")


# reply, fields -> outcome, value, cause, part of the reason
JUDGED: dict[str, tuple[str, dict[str, Any], str, float, str, str]] = {
    "right": (fenced(SLUGIFY), {}, "pass", 1.0, "", "all 4 asserts hold"),
    "marked py": (fenced(SLUGIFY, "py"), {}, "pass", 1.0, "", ""),
    "marked Python": (fenced(SLUGIFY, "Python"), {}, "pass", 1.0, "", ""),
    "a longer fence": (f"````python\n{SLUGIFY}````\n", {}, "pass", 1.0, "", ""),
    "tildes": (f"~~~python\n{SLUGIFY}~~~", {}, "pass", 1.0, "", ""),
    "indented": ("  ```python\n" + SLUGIFY.replace("\n", "\n  ") + "```", {}, "pass", 1.0, "", ""),
    "lines of Windows": (fenced(SLUGIFY).replace("\n", "\r\n"), {}, "pass", 1.0, "", ""),
    "a form feed": (fenced(f"\f\n{SLUGIFY}"), {}, "pass", 1.0, "", ""),
    "a main part": (fenced(f"{SLUGIFY}\nif __name__ == '__main__':\n    print(slugify(input()))"), {}, "pass", 1.0, "", ""),
    "an example": (fenced(f"{SLUGIFY}\nprint(slugify('A b'))"), {}, "pass", 1.0, "", ""),
    "a lambda": (
        fenced("slugify = lambda text: '-'.join(text.lower().strip(' !').replace('-', ' ').split()) if text else int('')"),
        {},
        "pass",
        1.0,
        "",
        "",
    ),
    "an old escape": (fenced(f'{SLUGIFY}\nWORD = "\\w+"'), {}, "pass", 1.0, "", ""),
    "words allowed": (f"Here:\n\n{fenced(SLUGIFY)}\nIt strips.", {"prose": True}, "pass", 1.0, "", ""),
    "words": (f"Here:\n\n{fenced(SLUGIFY)}", {}, "fail", 0.0, "text around the code", "there is 'Here:'"),
    "words after": (f"{fenced(SLUGIFY)}\nIt strips.", {}, "fail", 0.0, "text around the code", "'It strips.'"),
    "in a quote": ("> " + fenced(SLUGIFY).replace("\n", "\n> "), {}, "fail", 0.0, "text around the code", "'>'"),
    "no block": (SLUGIFY, {}, "fail", 0.0, "no code block", "no fenced code block"),
    "two blocks": (f"{fenced(SLUGIFY)}\n{fenced('x')}", {"prose": True}, "fail", 0.0, "several code blocks", "are 2 fenced"),
    "no language": (fenced(SLUGIFY, ""), {}, "fail", 0.0, "no code block", "marked '', not 'python'"),
    "another language": (fenced(SLUGIFY, "json"), {}, "fail", 0.0, "no code block", "marked 'json', not 'python'"),
    "not closed": (f"```python\n{SLUGIFY}", {}, "fail", 0.0, "block not closed", "not closed"),
    "half": (fenced(SLUGIFY[: SLUGIFY.index(".strip(\"-")]), {}, "fail", 0.75, "wrong result", "3 of 4 asserts hold"),
    "no Python": (fenced("def slugify(text:\n    return"), {}, "fail", 0.0, "syntax error", "line 1 of the code"),
    "a newer Python": (fenced(f"{SLUGIFY}\nprint 'x'"), {}, "fail", 0.0, "syntax error", "line 8 of the code"),
    "another name": (fenced("def slug(text): return text"), {}, "fail", 0.0, "function missing", "defines no slugify"),
    "a method": (fenced("class A:\n  def slugify(self, text): ..."), {}, "fail", 0.0, "function missing", "no slugify"),
    "one wrong": (
        fenced(SLUGIFY.replace("]+", "]")),
        {},
        "fail",
        0.75,
        "wrong result",
        "3 of 4 asserts hold; slugify(\"a--b\") == \"a-b\": got 'a--b'",
    ),
    "the wrong exception": (
        fenced(SLUGIFY.replace("ValueError", "TypeError")),
        {},
        "fail",
        0.75,
        "wrong exception",
        'slugify(""): raised TypeError: nothing to slugify, not ValueError',
    ),
    "an exception of that name": (
        fenced("class ValueError(Exception): pass\n" + SLUGIFY),
        {},
        "fail",
        0.75,
        "wrong exception",
        "raised reply.ValueError: nothing to slugify, not ValueError",
    ),
    "an exception derived from it": (
        fenced("class Empty(ValueError): pass\n" + SLUGIFY.replace("raise ValueError", "raise Empty")),
        {},
        "pass",
        1.0,
        "",
        "",
    ),
    "no exception": (
        fenced(SLUGIFY.replace('raise ValueError("nothing to slugify")', "return ''")),
        {},
        "fail",
        0.75,
        "did not raise",
        "slugify(\"\"): got '', not ValueError",
    ),
    "an exception": (
        fenced("def slugify(text): return text[9]"),
        {},
        "fail",
        0.0,
        "raised",
        'slugify("A b") == "a-b": raised IndexError: string index out of range',
    ),
    "other arguments": (fenced("def slugify(): ..."), {}, "fail", 0.0, "raised", "takes 0 positional arguments"),
    "nothing returned": (fenced("def slugify(text): print(text)"), {}, "fail", 0.0, "wrong result", "got None"),
    "a generator": (fenced("def slugify(text): yield text"), {}, "fail", 0.0, "wrong result", "type generator, which is no"),
    "raises at loading": (fenced(f"{SLUGIFY}\n1 / 0"), {}, "fail", 0.0, "raised", "loading the code raised ZeroDivisionError"),
    "a package": (fenced(f"import numpy\n{SLUGIFY}"), {}, "fail", 0.0, "raised", "No module named 'numpy'"),
    "deletes itself": (fenced(f"{SLUGIFY}\ndel slugify"), {}, "fail", 0.0, "raised", "KeyError: 'slugify'"),
    "no end at loading": (
        fenced(f"{SLUGIFY}\nwhile True: pass"),
        {"timeout_s": 0.3},
        "fail",
        0.0,
        "ran out of time",
        "loading the code: the process ran out of time (0.3 s)",
    ),
    "no end at the second": (
        fenced("def slugify(text):\n  while text != 'A b': pass\n  return 'a-b'"),
        {"timeout_s": 1.0},
        "fail",
        0.25,
        "ran out of time",
        '1 of 4 asserts hold; slugify("  x!  ") == "x": the process ran out of time (1 s)',
    ),
    "leaves": (fenced("import os\ndef slugify(text): os._exit(0)"), {}, "fail", 0.0, "crashed", "ended early (status 0)"),
    "leaves politely": (fenced("def slugify(text): raise SystemExit"), {}, "fail", 0.0, "raised", "raised SystemExit"),
    "eats memory": (fenced("def slugify(text): return text * 10 ** 10"), {}, "fail", 0.0, "raised", "raised MemoryError"),
}  # fmt: skip


@pytest.mark.usefixtures("_sealed")
@pytest.mark.parametrize(
    ("reply", "fields", "outcome", "value", "cause", "says"), JUDGED.values(), ids=ids(JUDGED)
)
def test_a_reply_is_judged_by_what_its_function_does(
    reply: str, fields: dict[str, Any], outcome: str, value: float, cause: str, says: str
) -> None:
    result = check(**fields).judge(CodeExpect.model_validate(EXPECT), Answer(reply))

    assert (result.outcome.value, result.cause) == (outcome, cause), result.reason
    assert result.value == pytest.approx(value)
    assert says in result.reason


# asserts, code of f -> how many of them hold
HOLDS: dict[str, tuple[list[str], str, int]] = {
    "equality of numbers": (["f(2) == 4", "f(2) == 4.0", "f(2) == 5", "f(2) != 4"], "def f(x): return x * x", 2),
    "order": (["f(2) < 5", "1 < f(2) <= 4", "f(2) > 4", "1 < f(2) < 4"], "def f(x): return x * x", 2),
    "tolerance": (["abs(f(2) - 1.41421) < 0.001", "abs(f(2) - 1.5) < 0.001"], "def f(x): return x ** 0.5", 1),
    "arithmetic": (["f(2) + f(3) == 13", "-f(2) * 2 == -8", "f(3) / f(2) == 2.0"], "def f(x): return x * x", 2),
    "truth": (["f(2)", "not f(3)", "f(2) is True", "f(3) is None"], "def f(x): return x % 2 == 0", 3),
    "both and either": (
        ["f(1) == 1 and f(2) == 2", "f(1) == 9 or f(2) == 2", "f(1) == 1 and f(2) == 9"],
        "def f(x): return x",
        2,
    ),
    "membership": (["f(1) in (1, 2)", "f(3) not in [1, 2]", "f(3) in [1]", "3 in f([3])"], "def f(x): return x", 3),
    "types of sequences": (["f() == [1, (2,)]", "f() == (1, (2,))", "f() == [1, [2]]"], "def f(): return [1, (2,)]", 1),
    "sets and dicts": (["f() == {'a': {1, 2}}", "f() == {'a': {1}}"], "def f(): return {'a': {2, 1}}", 1),
    "frozen": (["f() == {1}"], "def f(): return frozenset([1])", 1),
    "bytes": (["f() == b'a'", "f() == 'a'"], "def f(): return b'a'", 1),
    "not a number": (["f() != 1.0", "f() < 1 or f() > 0"], "def f(): return float('nan')", 1),
    "infinity": (["f() > 1e308", "f() == 1e999"], "def f(): return float('inf')", 2),
    "a long number": (["f() == 1267650600228229401496703205376"], "def f(): return 2 ** 100", 1),
    "types": (["type(f(2)).__name__ == 'int'", "type(f(2)).__name__ == 'str'"], "def f(x): return x", 1),
    "a generator": (["list(f(3)) == [0, 1, 2]", "f(3) == [0, 1, 2]"], "def f(n): yield from range(n)", 1),
    "a closure": (["f(2)(3) == 6", "f(2)(3) == 5"], "def f(n): return lambda x: n * x", 1),
    "a class": (["f(3).area() == 9", "f(3).side == 3"], "class f:\n  def __init__(self, s): self.side = s\n  def area(self): return self.side ** 2", 2),
    "a date": (["f(datetime.date(2026, 1, 31)).isoformat() == '2026-02-01'"], "import datetime\ndef f(d): return d + datetime.timedelta(1)", 1),
    "arguments kept": (["(lambda x: (f(x), x))([2, 1]) == ([1, 2], [2, 1])"], "def f(x): return sorted(x)", 1),
    "arguments changed": (["(lambda x: (f(x), x))([2, 1]) == ([1, 2], [2, 1])"], "def f(x): x.sort(); return x", 0),
    "many calls": (["[f(x) for x in range(3)] == [0, 1, 4]", "max(map(f, (1, 2))) == 4"], "def f(x): return x * x", 2),
    "not comparable": (["f() < 3", "f() + 1 == 2", "1 in f()", "f() == 'a'"], "def f(): return 'a'", 1),
    "divided by nothing": (["1 / f() == 1", "f() == 0"], "def f(): return 0", 1),
    "a module it changed": (["math.floor(f()) == 2"], "import math\nmath.floor = lambda x: 9\ndef f(): return 2.5", 0),
}  # fmt: skip


@pytest.mark.usefixtures("_sealed")
@pytest.mark.parametrize(("asserts", "code", "held"), HOLDS.values(), ids=ids(HOLDS))
def test_an_assert_holds_as_python_says(asserts: list[str], code: str, held: int) -> None:
    expect = CodeExpect(function="f", asserts=asserts)
    result = check().judge(expect, Answer(fenced(code)))

    assert check().problems(expect) == []
    assert result.value == pytest.approx(held / len(asserts)), result.reason
    assert result.extracted["held"] == held


# Code that does not compute what is asked, and tries to pass all the same.
FORGES: dict[str, str] = {
    "equal to all": "class A:\n  __eq__ = lambda *_: True\n  __lt__ = __gt__ = __eq__\n  __hash__ = None\ndef f(x): return A()",
    "a number equal to all": "class A(int):\n  __eq__ = __lt__ = lambda *_: True\ndef f(x): return A()",
    "a class in disguise": "class A:\n  __class__ = int\n  __eq__ = lambda *_: True\n  __index__ = lambda _: 0\ndef f(x): return A()",
    "new builtins": "import builtins\nbuiltins.abs = builtins.len = builtins.all = lambda *_: 0\nbuiltins.isinstance = lambda *_: True\n"
    "def f(x): return 0",
    "new JSON": "import json\njson.dumps = lambda _: '[\"value\", true]'\ndef f(x): return 0",
    "a new process": "import __main__\n__main__.Encoder.encode = lambda *_: True\n__main__.tried = lambda _: ['value', True]\ndef f(x): return 0",
    "its own lines": "import os\ndef f(x): return 0\nfor fd in range(3, 9):\n  try: os.write(fd, b'[\"value\", null]\\n' + b'[\"value\", true]\\n' * 9)\n"
    "  except OSError: pass\nos._exit(0)",
    "all exceptions": "class A(ValueError, TypeError, KeyError): pass\ndef f(x): raise A",
    "the job in a frame": "import sys\ndef f(x):\n  frame = sys._getframe()\n  while frame.f_back: frame = frame.f_back\n"
    "  for value in [*frame.f_locals.values(), *frame.f_globals.values()]:\n    if isinstance(value, dict) and 'expressions' in value: "
    "return value['expressions']\n  return frame.f_locals['job']['expressions'][0].rpartition('==')[2].strip()",
    "what is in memory": "import gc\ndef f(x):\n  for value in gc.get_objects():\n    if isinstance(value, (list, dict)) and '73' + '51' in repr(value)[:10000]: "
    "return 73 * 100 + 51\n  return 0",
    "an early end": "import os\nos._exit(0)\ndef f(x): return 0",
    "a trace": "import sys\ndef f(x): return 0\nsys.settrace(lambda frame, event, arg: frame.f_locals.update(value=True))",
    "a loud end": "import sys\nprint('4 passed')\ndef f(x): return 0\nsys.exit(0)",
}


@pytest.mark.usefixtures("_sealed")
@pytest.mark.parametrize("code", FORGES.values(), ids=ids(FORGES))
def test_code_cannot_forge_its_results(code: str) -> None:
    expect = CodeExpect(
        function="f",
        asserts=["f(1) == 7351", "abs(f(2) - 7.351) < 0.1", "f(3) == 'seven'", "len(f(4)) == 7"],
        raises={"f(5)": "ValueError"},
    )
    result = check().judge(expect, Answer(fenced(code)))

    assert check().problems(expect) == []
    assert result.outcome is CheckOutcome.FAIL, result
    # Python itself takes an exception of many classes for each of them.
    assert result.extracted["held"] == (code == FORGES["all exceptions"])


LONG = "x" * 1_000_000
HOSTILE: dict[str, tuple[str, str]] = {
    "a long line": (LONG, "too long"),
    "a long block": (fenced(f"def slugify(x): return '{LONG[:150_000]}'"), "too long"),
    "many fences": ("```\n" * 2_000, "several code blocks"),
    "a long fence": ("`" * 150_000, "no code block"),
    "backticks after a fence": ("```python " + "a" * 150_000 + "`", "no code block"),
    "NULs": (fenced("\0" * 10_000), "syntax error"),
    "half a surrogate pair": (fenced("def slugify(x): return '\ud800'"), "wrong result"),
    "surrogates only": ("\udfff" * 10_000, "no code block"),
    "brackets": (fenced("(" * 19_000), "syntax error"),
    "signs": (fenced("x = " + "-" * 19_000 + "1"), "syntax error"),
    "attributes": (fenced("x" + ".x" * 9_000), "syntax error"),
    "sums": (fenced("x = 1" + "+1" * 9_000), "syntax error"),
    "digits": (fenced("x = " + "9" * 19_000), "syntax error"),
    "right to left": (fenced("def slugify(x): return x # \u202e"), "wrong result"),
    "white space": (fenced(" " * 10_000), "function missing"),
}


@pytest.mark.usefixtures("_sealed")
@pytest.mark.parametrize(("reply", "cause"), HOSTILE.values(), ids=ids(HOSTILE))
def test_hostile_text_is_judged_too(reply: str, cause: str) -> None:
    result = check().judge(CodeExpect.model_validate(EXPECT), Answer(reply))

    assert (result.outcome, result.cause) == (CheckOutcome.FAIL, cause)
    assert len(result.reason) < 1000 and result.reason.isprintable()


def test_what_is_told_without_running_needs_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    expect = CodeExpect.model_validate(EXPECT)

    assert check().judge(expect, Answer(fenced("def"))).cause == "syntax error"
    assert check().judge(expect, Answer(fenced("x = 1"))).cause == "function missing"
    assert check().judge(expect, Answer(fenced("x" * (MAX_CODE + 1)))).cause == "too long"

    result = check().judge(expect, Answer(fenced(SLUGIFY)))
    assert (result.outcome, result.cause) == (CheckOutcome.ERROR, "code not run")
    assert "the code was not run: its process does not start" in result.reason


REFUSED_EXPECT: dict[str, tuple[dict[str, Any], str]] = {
    "no asserts": ({"function": "f"}, "a function of which nothing is asserted cannot fail"),
    "no function": ({"asserts": ["f(1) == 1"]}, "need the function that they are about"),
    "no name": ({"function": "f(x)", "asserts": ["f(1) == 1"]}, "'f(x)' is no name of a function"),
    "a keyword": ({"function": "def", "asserts": ["f(1) == 1"]}, "'def' is no name of a function"),
    "twice": ({"function": "f", "asserts": ["f(1) == 1"] * 2}, "an assert stands twice"),
    "no expression": ({"function": "f", "asserts": ["f(1) ="]}, "'f(1) =' is no Python expression"),
    "a statement": ({"function": "f", "asserts": ["assert f(1)"]}, "is no Python expression"),
    "another function": ({"function": "f", "asserts": ["g(1) == 1"]}, "does not mention f"),
    "a text of that name": ({"function": "f", "asserts": ["'f' == 'f'"]}, "does not mention f"),
    "with itself": ({"function": "f", "asserts": ["f(1) == f( 1 )"]}, "'f(1) == f(1)' compares a call with itself"),
    "no literal": ({"function": "f", "asserts": ["f(1) == set()or[1]", "f(1) == dict(a=1)"]}, "is no plain data"),
    "identity": ({"function": "f", "asserts": ["f(1) is 1"]}, "write =="),
    "compared within": ({"function": "f", "asserts": ["all(f(x) == x for x in (1, 2))"]}, "is compared by the code itself"),
    "a class within": ({"function": "f", "asserts": ["isinstance(f(1), int)"]}, "is compared by the code itself"),
    "raises no name": ({"function": "f", "raises": {"f(1)": "Value Error"}}, "'Value Error' is no name of an exception"),
    "raises anything": ({"function": "f", "raises": {"f(1)": "Exception"}}, "any mistake raises an Exception"),
    "raises elsewhere": ({"function": "f", "raises": {"g(1)": "ValueError"}}, "does not mention f"),
}  # fmt: skip


@pytest.mark.parametrize(("expect", "says"), REFUSED_EXPECT.values(), ids=ids(REFUSED_EXPECT))
def test_a_case_that_says_nothing_is_refused(expect: dict[str, Any], says: str) -> None:
    problems = check().problems(CodeExpect.model_validate(expect))

    assert any(says in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"timeout_s": 0.0}, "greater than 0"),
        ({"timeout_s": 61.0}, "less than or equal to 60"),
        ({"memory_mb": 1}, "greater than or equal to 64"),
        ({"language": "python"}, "Extra inputs"),
    ],
)
def test_a_check_that_means_nothing_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        check(**fields)


def test_without_a_function_there_is_nothing_to_judge() -> None:
    assert not check().applies(CodeExpect())
    assert check().problems(CodeExpect()) == []
    assert check().applies(CodeExpect.model_validate(EXPECT))
    assert check().problems(CodeExpect.model_validate(EXPECT)) == []


def test_it_can_run_where_it_can_seal_or_one_opted_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOLDENGATE_RUN_CODE", raising=False)
    assert check().can_run() == sandbox.can_seal()

    monkeypatch.setenv("GOLDENGATE_RUN_CODE", "1")
    assert check().can_run()
    assert check().costly


@pytest.mark.usefixtures("_sealed")
def test_what_did_not_hold_is_told() -> None:
    expect = CodeExpect(function="f", asserts=[f"f({number}) == {number}" for number in range(1, 9)])
    result = check().judge(expect, Answer(fenced("def f(x): return 1")))

    assert result.extracted == {
        "held": 1,
        "of": 8,
        "missed": ["f(2) == 2", "f(3) == 3", "f(4) == 4", "f(5) == 5", "f(6) == 6"],
    }


@pytest.mark.usefixtures("_sealed")
def test_a_number_of_too_many_digits_is_told() -> None:
    expect = CodeExpect(function="f", asserts=["f() == 1", "f() + 1 == 2", "f() / 3 < 1"])
    result = check().judge(expect, Answer(fenced("def f(): return 1 << 20_000")))

    assert (result.outcome, result.value) == (CheckOutcome.FAIL, 0.0)
    assert "got a value with a number too large to be shown" in result.reason


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts) | st.tuples(parts, parts),
    max_leaves=8,
)


@pytest.mark.usefixtures("_sealed")
@settings(max_examples=25, deadline=None)
@given(value=plain, other=plain)
def test_what_is_returned_is_compared_by_value(value: Any, other: Any) -> None:
    expect = CodeExpect(
        function="f", asserts=[f"f({value!r}) == {value!r}", f"[f({value!r})] == [{other!r}]"]
    )
    result = check().judge(expect, Answer(fenced("def f(x): return x")))

    assert result.extracted["held"] == 1 + (value == other)


@pytest.mark.usefixtures("_sealed")
def test_it_judges_with_the_python_of_another_environment(tmp_path: Path) -> None:
    """`sys.executable` of a virtual environment is a link; the sandbox needs nothing of the environment."""
    if os.name != "posix":
        pytest.skip("needs symbolic links")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    script = (
        "from evals.checks import sandbox\n"
        "print(sandbox.run('def f(): return 6', 'f', ['f()'], imports=set(), timeout_s=20, memory_mb=256).results)"
    )
    home = Path(__file__).parents[2]
    paths = os.pathsep.join([str(home), *(path for path in sys.path if path.endswith("site-packages"))])
    ended = subprocess.run(
        [tmp_path / "bin" / "python", "-c", script],
        env={"PYTHONPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.stdout == "(6,)\n", ended.stderr
