"""A small language for relations between what was read out of a reply: `abs(mean(scores) - score) <= 0.05`.

The grammar is Python's (`ast.parse`), cut down to a list of allowed nodes; values are worked out here, never
by `eval`. There are numbers, texts, dates, true and false, and flat lists of them. Numbers are exact
fractions, so 3.35 - 3.3 <= 0.05 holds. Kinds do not mix: a number compared with a text is an error, not
false, and true is no number.

| written | means |
|---|---|
| `+ - * /`, `-x` | of numbers; date - date is a number of days |
| `== !=` | of two values of one kind, lists item by item; texts to the letter |
| `< <= > >=` | of numbers or dates; may be chained |
| `and or not` | of true and false; the rest is not looked at once the result is clear |
| `count sum mean min max(x, …)` | over the items of lists and further values together |
| `unique(x, …)`, `rising(x, …)` | no item twice; each item above the one before |
| `gaps(x, …)` | list of the differences of successive items, dates in days |
| `first(x)`, `last(x)` | an item of a list |
| `within(x, y)` | every item of x is in the list y, or stands in the text y; texts without regard to case |
| `same(x, y)` | the same items as often, in any order |
| `abs(x)`, `round(x, places)`, `lower(x)`, `date(x)`, `weekday(x)` | of a value, or of each item of a list |

`round` takes halves away from zero, as people do. Monday is weekday 1. What asks for every item (`unique`,
`rising`, `within`) is an error for an empty list, as are `mean`, `min`, `max`, `first` and `last`: it would hold
by having nothing to look at. `same(x, y)` and `x == y` hold for two empty lists. Not covered: what is
inside a text (patterns pick that out), lists of lists, months and times of day.
"""

from __future__ import annotations

import ast
import functools
import itertools
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from evals.checks.answers import shorten
from evals.checks.expression_values import (
    FUNCTIONS,
    ExpressionError,
    Scalar,
    Value,
    kind_of,
    number_in,
    number_of,
    show,
)

MAX_LENGTH = 500
MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression; `names` are what it needs values for."""

    text: str
    tree: ast.expr
    names: frozenset[str]

    @property
    def is_condition(self) -> bool:
        """Whether it can be true or false; arithmetic and bare names are not."""
        tree = self.tree
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            return tree.func.id in {"unique", "rising", "within", "same"}
        negated = isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)
        return negated or isinstance(tree, (ast.Compare, ast.BoolOp))


# ---- Parsing


@functools.lru_cache(maxsize=1024)
def parse_expression(text: str) -> Expression:
    """Parse one expression. Raises `ExpressionError` for anything beyond the module's table."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"is longer than {MAX_LENGTH} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"is no expression: {error.msg}") from error
    except (ValueError, MemoryError, RecursionError, Warning) as error:
        raise ExpressionError(f"is no expression: {shorten(str(error))}") from error
    names: set[str] = set()
    _look(tree, text.strip(), names, MAX_DEPTH)
    return Expression(text.strip(), tree, frozenset(names))


def _look(node: ast.expr, text: str, names: set[str], depth: int) -> None:
    """Refuse what is not in the list; collect the names."""
    if not depth:
        raise ExpressionError(f"is nested more than {MAX_DEPTH} deep")
    below: Sequence[ast.expr] = ()
    match node:
        case ast.Constant(value=value):
            _constant(value)
        case ast.Name(id=name):
            if name in FUNCTIONS:
                raise ExpressionError(f"{name} is a function: write {name}(…)")
            names.add(name)
        case ast.List(elts=below):
            if any(isinstance(item, ast.List) for item in below):
                raise ExpressionError("a list inside a list is not allowed")
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            below = (operand,)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            below = (left, right)
        case ast.BoolOp(values=below):
            if any(isinstance(one, ast.Constant) for one in below):
                raise ExpressionError("a constant beside and/or decides it")
        case ast.Compare(left=left, ops=ops, comparators=others):
            if not all(type(op) in _COMPARISONS for op in ops):
                raise ExpressionError("only == != < <= > >= compare; for `in` write within(x, y)")
            below = (left, *others)
        case ast.Call(func=ast.Name(id=name), args=below, keywords=[]):
            _call(name, len(below))
        case _:
            what = shorten(ast.get_source_segment(text, node) or type(node).__name__, 40)
            raise ExpressionError(f"{what} is not allowed; functions: {', '.join(FUNCTIONS)}")
    for one in below:
        _look(one, text, names, depth - 1)
    # Only now is it known not to be too deep to be dumped.
    if isinstance(node, ast.Compare) and any(
        ast.dump(one) == ast.dump(other) for one, other in itertools.pairwise(below)
    ):
        raise ExpressionError("compares a thing with itself")


def _constant(value: object) -> None:
    if isinstance(value, (bool, str)):
        return
    if not isinstance(value, (int, float)):
        raise ExpressionError(f"{shorten(repr(value), 40)} is neither number, text, True nor False")
    number_of(value)


def _call(name: str, given: int) -> None:
    if name not in FUNCTIONS:
        raise ExpressionError(f"there is no function {name}(); there are {', '.join(FUNCTIONS)}")
    least, most, _ = FUNCTIONS[name]
    if given < least or (most is not None and given > most):
        wants = f"{least}" if most == least else f"{least} or more" if most is None else f"{least} or {most}"
        raise ExpressionError(f"{name}() takes {wants} values, not {given}")


# ---- Evaluating


def evaluate(expression: Expression, values: Mapping[str, Value]) -> Value:
    """What it comes to. Raises `ExpressionError` if a name has no value, or there is no result."""
    return _value(expression.tree, values)


def holds(expression: Expression, values: Mapping[str, Value]) -> bool:
    """Whether a condition is true. Raises `ExpressionError` if it comes to nothing or no condition."""
    return _truth(evaluate(expression, values))


def sides(expression: Expression, values: Mapping[str, Value]) -> str:
    """A comparison with the values of its sides, `0.3 <= 0.05`, up to where it stops to hold; else ''."""
    tree = expression.tree
    if not isinstance(tree, ast.Compare):
        return ""
    before = _value(tree.left, values)
    shown = show(before)
    for op, other in zip(tree.ops, tree.comparators, strict=True):
        after = _value(other, values)
        shown += f" {_COMPARISONS[type(op)][0]} {show(after)}"
        if not _compare(op, before, after):
            break
        before = after
    return shown


def _value(node: ast.expr, values: Mapping[str, Value]) -> Value:
    match node:
        case ast.Constant(value=bool() | str() as value):
            return value
        case ast.Constant(value=int() | float() as value):
            return number_of(value)
        case ast.Name(id=name):
            if name not in values:
                raise ExpressionError(f"nothing is called {name!r}")
            return values[name]
        case ast.List(elts=items):
            return [_scalar(_value(item, values)) for item in items]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _truth(_value(operand, values))
        case ast.UnaryOp(operand=operand):
            return -number_in(_value(operand, values), "-")
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(op, _value(left, values), _value(right, values))
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_truth(_value(part, values)) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_truth(_value(part, values)) for part in parts)
        case ast.Compare(left=left, ops=ops, comparators=others):
            before = _value(left, values)
            for comparison, other in zip(ops, others, strict=True):
                after = _value(other, values)
                if not _compare(comparison, before, after):
                    return False
                before = after
            return True
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name][2](name, [_value(argument, values) for argument in arguments])
    raise ExpressionError(f"{type(node).__name__} is not allowed")


def _truth(value: Value) -> bool:
    if not isinstance(value, bool):
        raise ExpressionError(f"{show(value)} is neither true nor false")
    return value


def _scalar(value: Value) -> Scalar:
    if isinstance(value, list):
        raise ExpressionError("a list inside a list is not allowed")
    return value


def _arithmetic(op: ast.operator, left: Value, right: Value) -> Fraction:
    sign, work = _ARITHMETIC[type(op)]
    if sign == "-" and isinstance(left, date) and isinstance(right, date):
        return Fraction((left - right).days)
    one, other = number_in(left, sign), number_in(right, sign)
    if sign == "/" and not other:
        raise ExpressionError("a division by 0")
    return work(one, other)


def _compare(op: ast.cmpop, left: Value, right: Value) -> bool:
    sign, work = _COMPARISONS[type(op)]
    if sign in {"==", "!="}:
        return _equal(left, right) == (sign == "==")
    if kind_of(left) != kind_of(right) or not isinstance(left, (Fraction, date)):
        raise ExpressionError(f"{sign} needs two numbers or two dates, not {show(left)} and {show(right)}")
    return work(left, right)


def _equal(left: Value, right: Value) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if kind_of(left) != kind_of(right):
        raise ExpressionError(f"compares {kind_of(left)} {show(left)} with {kind_of(right)} {show(right)}")
    return left == right


_ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[[Fraction, Fraction], Fraction]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
}
_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], bool]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
