"""`code`: a Python function that a reply defines, run on what a case asserts about it."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from evals.checks import sandbox
from evals.checks.answers import shorten
from evals.checks.assertions import Holds, Miss, Raises, function_problem, read_holds, read_raises
from evals.checks.base import Answer, Check, CheckOutcome, CheckResult, Strict, failed, passed
from evals.checks.markdown import TooLong, lines_of, read_markdown

# Longer code is not parsed: the parser's time and stack are this process's.
MAX_CODE = 20_000
# How many assertions that do not hold are recorded.
MAX_RECORDED = 5


class CodeExpect(Strict):
    """What a case asserts."""

    function: str | None = Field(default=None, description="what the code must define at its top level")
    asserts: list[str] = Field(default=[], description='expressions that must hold: slugify("A b") == "a-b"')
    raises: dict[str, str] = Field(default={}, description="expression -> exception that it must raise")


class _Fault(Exception):
    """What is wrong with a reply before anything is run: cause and reason."""


class Code(Check):
    """Functional correctness: the reply's function does what the case asserts, when it is run.

    After HumanEval (Chen 2021, arXiv:2107.03374), whose verdict is all or nothing for a problem: so is the outcome
    here, of one answer; value = asserts and `raises` that hold / all. The reply is one closed fenced block of `python`
    or `py` and nothing else, unless `prose` allows words around it. Values are compared as Python compares plain
    data (1 == 1.0; a `Counter` is a dict); assert `type(f(2)).__name__ == "int"` where the type matters.

    Not covered: style; speed within the time limit; results that are no plain data, so assert `list(f(3))` of a
    generator and `f(d).isoformat()` of a date; code that needs files, the network, threads, other processes, or
    modules beyond `evals.checks.sandbox.MODULES`. How the code is shut in is told there, how it is kept from
    forging results in `evals.checks.assertions`.
    """

    Expect = CodeExpect
    costly: ClassVar[bool] = True

    kind: Literal["code"]
    timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="seconds for loading and all asserts together"
    )
    memory_mb: int = Field(default=256, ge=64, le=4096, description="address space of the process, in MiB")
    prose: bool = Field(default=False, description="whether words may stand around the block")

    def applies(self, expect: CodeExpect) -> bool:
        return expect.function is not None

    def can_run(self) -> bool:
        return sandbox.opted_in() or sandbox.can_seal()

    def problems(self, expect: CodeExpect) -> list[str]:
        if expect.function is None:
            stray = expect.asserts or expect.raises
            return ["asserts and raises need the function that they are about"] if stray else []
        if problem := function_problem(expect.function):
            return [problem]
        if not expect.asserts and not expect.raises:
            return ["a function of which nothing is asserted cannot fail; give asserts or raises"]
        if len(set(expect.asserts)) < len(expect.asserts):
            return ["an assert stands twice"]
        found = []
        for text in expect.asserts:
            try:
                read_holds(text, expect.function)
            except ValueError as error:
                found.append(str(error))
        for text, wanted in expect.raises.items():
            try:
                read_raises(text, wanted, expect.function)
            except ValueError as error:
                found.append(str(error))
        return found

    def judge(self, expect: CodeExpect, answer: Answer) -> CheckResult:
        function = expect.function or ""
        try:
            code = _code_block(answer.text, prose=self.prose)
            imports = _imports(code, function)
        except _Fault as fault:
            return failed(*fault.args)
        assertions: list[Holds | Raises] = [
            *(read_holds(text, function) for text in expect.asserts),
            *(read_raises(text, wanted, function) for text, wanted in expect.raises.items()),
        ]
        probes = [probe for one in assertions for probe in one.probes]
        try:
            run = sandbox.run(
                code,
                function,
                probes,
                imports=imports,
                timeout_s=self.timeout_s,
                memory_mb=self.memory_mb,
            )
        except sandbox.SandboxError as error:
            return CheckResult(
                CheckOutcome.ERROR, 0.0, None, f"the code was not run: {error}", "code not run"
            )
        return _verdict(assertions, run)


def _code_block(text: str, *, prose: bool) -> str:
    try:
        fences = read_markdown(text).fences
    except TooLong as error:
        raise _Fault("too long", str(error)) from error
    if not fences:
        raise _Fault("no code block", "there is no fenced code block")
    if len(fences) > 1:
        raise _Fault("several code blocks", f"there are {len(fences)} fenced code blocks, not one")
    fence = fences[0]
    if fence.info.casefold() not in ("python", "py"):
        raise _Fault("no code block", f"the code block is marked {shorten(fence.info)!r}, not 'python'")
    if not fence.closed:
        raise _Fault("block not closed", "the code block is not closed")
    lines = lines_of(text)
    first, last = fence.line - 1, fence.line + fence.content.count("\n")
    # What stands before the opening fence on its line is the mark of a list or a quote.
    around = [lines[first].partition(fence.info)[0].strip("`~ "), *lines[:first], *lines[last + 1 :]]
    if not prose and (words := " ".join(around).strip()):
        raise _Fault("text around the code", f"beside the code block there is {shorten(words)!r}")
    if len(fence.content) > MAX_CODE:
        raise _Fault("too long", f"{len(fence.content)} characters of code; at most {MAX_CODE} are run")
    return fence.content


def _imports(code: str, function: str) -> set[str]:
    """What the code may import, after a look at whether it can be run at all."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except SyntaxError as error:
        raise _Fault("syntax error", f"line {error.lineno} of the code: {shorten(error.msg)}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise _Fault(
            "syntax error", f"the code cannot be parsed: {shorten(str(error) or type(error).__name__)}"
        ) from error
    defined: set[str] = set()
    for statement in tree.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                defined.add(name)
            case ast.Assign(targets=targets):
                defined.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                defined.add(name)
    if function not in defined:
        raise _Fault("function missing", f"the code defines no {function} at its top level")
    imports: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imports.update(alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                imports.update((module, *(f"{module}.{alias.name}" for alias in names)))
    return imports


def _verdict(assertions: Sequence[Holds | Raises], run: sandbox.Run) -> CheckResult:
    results = list(run.results)
    missed: list[tuple[str, Miss]] = []
    for one in assertions:
        if len(results) < len(one.probes):  # neither this one nor any after it was reached
            results = []
            missed.append((one.text, _stopped(run, one.text)))
            continue
        values = dict(zip(one.probes, results, strict=False))
        del results[: len(one.probes)]
        if miss := one.miss(values):
            missed.append((one.text, miss))
    total = len(assertions)
    held = total - len(missed)
    extracted: dict[str, Any] = {"held": held, "of": total}
    if not missed:
        return passed(extracted, f"all {total} asserts hold")
    extracted["missed"] = [shorten(text, 200) for text, _ in missed[:MAX_RECORDED]]
    miss = missed[0][1]
    reason = f"{held} of {total} asserts hold; {miss.reason}"
    return failed(miss.cause, reason, extracted=extracted, value=held / total)


def _stopped(run: sandbox.Run, at: str) -> Miss:
    if run.refused:
        return Miss("raised", f"loading the code raised {shorten(str(run.refused), 300)}")
    where = shorten(at, 200) if run.loaded else "loading the code"
    return Miss("ran out of time" if run.late else "crashed", f"{where}: the process {run.ended}")
