"""What a case says about a function, taken apart so that the function's code cannot forge its truth.

`slugify("A b") == "a-b"` has a part that only the reply's code can answer, `slugify("A b")`, and the rest. Only that
part, a probe, is given to the process that runs the code; what came back is compared here, as plain data. So the
code never learns what is expected of it, and its own `__eq__` is never asked.

Done here: comparisons, `and`, `or`, `not`, `+ - * /` and `abs` of numbers, and literals. Any other expression with
the function in it is a probe, as large as it stands: `sorted(f(3))`, `[f(x) for x in (1, 2)]`, `f(3).isoformat()`.

Not covered: a probe that is only tested for truth (`isinstance(f(3), str)`) has one bit, which code can guess.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import keyword
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evals.checks.answers import shorten
from evals.checks.sandbox import Odd, Raised

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Miss:
    """Why an assertion does not hold."""

    cause: str
    reason: str


class _Incomparable(Exception):
    """An assertion cannot be decided, so it does not hold."""

    def __init__(self, cause: str, reason: str) -> None:
        super().__init__(reason)
        self.miss = Miss(cause, reason)


@dataclass(frozen=True, slots=True)
class Holds:
    """An expression that must be true. `probes`: what of it is evaluated with the code."""

    text: str
    tree: ast.expr
    probes: tuple[str, ...]

    def miss(self, values: Mapping[str, Any]) -> Miss | None:
        """Judge it by what each probe came to."""
        try:
            if self._value(self.tree, values):
                return None
        except _Incomparable as error:
            return error.miss
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            return Miss("wrong result", f"{shorten(self.text, _SHOWN)}: {shorten(str(error), _SHOWN)}")
        got = ", ".join(shown(value) for value in values.values())
        return Miss("wrong result", f"{shorten(self.text, _SHOWN)}: got {got}")

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        if (text := ast.unparse(node)) in self.probes:
            return self._plain(values[text])
        match node:
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self._value(part, values) for part in parts)
            case ast.BoolOp(values=parts):
                return any(self._value(part, values) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return not self._value(part, values)
            case ast.Compare(left=left, ops=ops, comparators=others):
                before = self._value(left, values)
                for op, other in zip(ops, others, strict=True):
                    after = self._value(other, values)
                    if not _COMPARE[type(op)](before, after):
                        return False
                    before = after
                return True
            case _ if _is_literal(node):
                return ast.literal_eval(node)
            case ast.UnaryOp(op=ast.USub(), operand=part):
                return -_number(self._value(part, values))
            case ast.BinOp(left=left, op=arithmetic, right=right):
                one, two = self._value(left, values), self._value(right, values)
                return _ARITHMETIC[type(arithmetic)](_number(one), _number(two))
            case ast.Call(args=[part]):
                return abs(_number(self._value(part, values)))
        raise TypeError(f"{text} is nothing that can be decided")

    def _plain(self, value: Any) -> Any:
        if isinstance(value, Raised):
            raise _Incomparable("raised", f"{shorten(self.text, _SHOWN)}: raised {shown(value)}")
        if isinstance(value, Odd):
            raise _Incomparable("wrong result", f"{shorten(self.text, _SHOWN)}: got {shown(value)}")
        return value


@dataclass(frozen=True, slots=True)
class Raises:
    """An expression that must raise an exception, of a class of that name or derived from one."""

    text: str
    wanted: str
    probes: tuple[str, ...]

    def miss(self, values: Mapping[str, Any]) -> Miss | None:
        """Judge it by what the expression came to."""
        got = values[self.text]
        if not isinstance(got, Raised):
            return Miss("did not raise", f"{shorten(self.text, _SHOWN)}: got {shown(got)}, not {self.wanted}")
        # A class of the reply's own that is called ValueError is not ValueError.
        exact = f"builtins.{self.wanted}" if hasattr(builtins, self.wanted) else self.wanted
        if any(name == exact or name.endswith(f".{exact}") for name in got.names):
            return None
        return Miss(
            "wrong exception", f"{shorten(self.text, _SHOWN)}: raised {shown(got)}, not {self.wanted}"
        )


def function_problem(name: str) -> str:
    """Why a function cannot be called that, or ''."""
    if _NAME.fullmatch(name) and not keyword.iskeyword(name):
        return ""
    return f"{name!r} is no name of a function"


def read_holds(text: str, function: str) -> Holds:
    """Read an assertion; raises `ValueError` with what is wrong with it."""
    tree = _parsed(text, function)
    probes = tuple(dict.fromkeys(_probes(tree, function)))
    for probe in filter(_decides, probes):
        raise ValueError(
            f"{probe!r} is compared by the code itself; compare what it gives, as in [f(x) for x in (1, 2)] == [1, 4]"
        )
    return Holds(text, tree, probes)


def read_raises(text: str, wanted: str, function: str) -> Raises:
    """Read an expression that must raise; raises `ValueError` with what is wrong with it."""
    _parsed(text, function)
    if not all(_NAME.fullmatch(part) for part in wanted.split(".")):
        raise ValueError(f"{text!r}: {wanted!r} is no name of an exception")
    if wanted in ("BaseException", "Exception"):
        raise ValueError(f"{text!r}: any mistake raises an {wanted}; name the one that is meant")
    return Raises(text, wanted, (text,))


def shown(value: Any) -> str:
    """A value as a person may read it, on one short line."""
    try:
        return shorten(str(value) if isinstance(value, (Raised, Odd)) else repr(value), _SHOWN)
    except ValueError:  # a number of too many digits
        return "a value with a number too large to be shown"


def _parsed(text: str, function: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is no Python expression: {error}") from error
    if not _mentions(tree, function):
        raise ValueError(f"{text!r} does not mention {function}, so it says nothing about it")
    return tree


def _probes(node: ast.expr, function: str) -> Iterator[str]:
    if not _mentions(node, function):
        if not _is_literal(node):
            raise ValueError(
                f"{ast.unparse(node)!r} is no plain data; write what is expected as a literal, "
                "or bring it to the side of the call, as in f(x).isoformat() == '2026-01-31'"
            )
        return
    inner: list[ast.expr]
    match node:
        case ast.BoolOp(values=parts):
            inner = parts
        case ast.Compare(left=left, comparators=others):
            _check_comparison(node)
            inner = [left, *others]
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=part):
            inner = [part]
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            inner = [left, right]
        case ast.Call(func=ast.Name(id="abs"), args=[part], keywords=[]) if function != "abs":
            inner = [part]
        case _:
            yield ast.unparse(node)
            return
    for part in inner:
        yield from _probes(part, function)


def _decides(probe: str) -> bool:
    """Whether something is compared inside a probe, where the code's own `__eq__` or `__class__` would be asked."""
    return any(
        isinstance(node, ast.Compare)
        or (isinstance(node, ast.Name) and node.id in ("isinstance", "issubclass"))
        for node in ast.walk(ast.parse(probe, mode="eval"))
    )


def _check_comparison(node: ast.Compare) -> None:
    sides = [node.left, *node.comparators]
    for (left, right), op in zip(itertools.pairwise(sides), node.ops, strict=True):
        if ast.unparse(left) == ast.unparse(right):
            raise ValueError(f"{ast.unparse(node)!r} compares a call with itself")
        named = isinstance(right, ast.Constant) and (right.value is None or isinstance(right.value, bool))
        if isinstance(op, (ast.Is, ast.IsNot)) and not named:
            raise ValueError(f"{ast.unparse(node)!r}: `is` is for None, True and False; write ==")


def _mentions(tree: ast.expr, function: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == function for node in ast.walk(tree))


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def _number(value: Any) -> int | float:
    if isinstance(value, (int, float)):
        return value
    raise TypeError(f"{shown(value)} is no number")
