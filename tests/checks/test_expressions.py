"""The language of relations: what may be written, what it comes to, and that nothing else gets through."""

from __future__ import annotations

import ast
import statistics
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evals.checks.expression_values import FUNCTIONS, ExpressionError, Value, show
from evals.checks.expressions import MAX_DEPTH, MAX_LENGTH, evaluate, holds, parse_expression, sides

DAY = date(2026, 3, 2)

VALUES: dict[str, Value] = {
    "score": Fraction("3.35"),
    "scores": [Fraction(3), Fraction(4), Fraction("3.05")],
    "none": [],
    "verdict": "PASS",
    "names": ["Ann Lee", "Bo"],
    "notes": "Talked to ANN\n LEE and to Bo.",
    "day": DAY,
    "days": [DAY, date(2026, 3, 3), date(2026, 3, 10)],
    "strict": True,
    "blank": " \n",
}

COMES_TO: dict[str, Value] = {
    # Arithmetic is exact, and binds as in Python.
    "1 + 2 * 3": Fraction(7),
    "(1 + 2) * 3": Fraction(9),
    "1 - 2 - 3": Fraction(-4),
    "-2 * -3": Fraction(6),
    "7 / 2": Fraction(7, 2),
    "1 / 3 * 3": Fraction(1),
    "0.1 + 0.2": Fraction("0.3"),
    "1e3": Fraction(1000),
    "1_000": Fraction(1000),
    " \n 1 + (2 \n + 3) \n": Fraction(6),
    # Comparisons
    "score - 3.3 <= 0.05": True,
    "0.1 + 0.2 == 0.3": True,
    "1 < 2 < 3": True,
    "1 < 3 < 2": False,
    "3 > 2 >= 2.0": True,
    "1 < 0 < 1 / 0": False,
    "score != 3.35": False,
    "verdict == 'PASS'": True,
    'verdict == "pass"': False,
    "strict == True": True,
    "day < date('2026-03-03')": True,
    "[1, 2] == [1, 2.0]": True,
    "scores == [3, 4]": False,
    "none == []": True,
    # and, or, not: what is not needed is not worked out
    "not strict": False,
    "score > 3 and verdict == 'PASS'": True,
    "score > 9 or strict": True,
    "score > 9 and mean(none) > 1": False,
    "count(none) == 0 or mean(none) > 3": True,
    "(verdict == 'PASS') == (score >= 3)": True,
    # Functions
    "count(scores)": Fraction(3),
    "count(scores, none, [1])": Fraction(4),
    "count(none)": Fraction(0),
    "sum(scores)": Fraction("10.05"),
    "sum(none)": Fraction(0),
    "sum(scores, 1)": Fraction("11.05"),
    "mean(scores)": Fraction("3.35"),
    "mean(1, 2)": Fraction("1.5"),
    "min(scores)": Fraction(3),
    "max(scores, 9)": Fraction(9),
    "max(days)": date(2026, 3, 10),
    "abs(3 - 5)": Fraction(2),
    "abs([1, -2])": [Fraction(1), Fraction(2)],
    "round(2.5)": Fraction(3),
    "round(-2.5)": Fraction(-3),
    "round(4.25, 1)": Fraction("4.3"),
    "round(mean(scores), 1)": Fraction("3.4"),
    "round([0.44, 0.45], 1)": [Fraction("0.4"), Fraction("0.5")],
    "first(names)": "Ann Lee",
    "last(names)": "Bo",
    "lower(verdict)": "pass",
    "lower(names)": ["ann lee", "bo"],
    "unique(scores)": True,
    "unique(names, 'Bo')": False,
    "unique('Bo', 'bo')": True,
    "rising(days)": True,
    "rising(days, day)": False,
    "rising(1, 1)": False,
    "rising([1])": True,
    "gaps(days)": [Fraction(1), Fraction(7)],
    "gaps(day, date('2026-03-12'))": [Fraction(10)],
    "gaps(1, [3, 2])": [Fraction(2), Fraction(-1)],
    "gaps([1])": [],
    "gaps(none)": [],
    "within(names, notes)": True,
    "within('ann lee', notes)": True,
    "within('Anna', notes)": False,
    "within(names, ['bo', 'ANN  LEE', 'Cy'])": True,
    "within('Cy', names)": False,
    "within(scores, [3, 3.05, 4])": True,
    "within(names, none)": False,
    "same(scores, [4, 3.05, 3])": True,
    "same([1, 1, 2], [1, 2, 2])": False,
    "same(none, [])": True,
    "same(names, none)": False,
    "date('2028-02-29') - day": Fraction(729),
    "date(['2026-03-02'])": [DAY],
    "weekday(day)": Fraction(1),
    "weekday(date('2026-03-08'))": Fraction(7),
    "weekday(days)": [Fraction(1), Fraction(2), Fraction(2)],
}

NO_RESULT = {
    "1 / 0": "a division by 0",
    "1 / (score - 3.35)": "a division by 0",
    "missing > 1": "nothing is called 'missing'",
    "verdict + 'x'": "+ needs numbers, not a text 'PASS'",
    "scores + scores": r"+ needs numbers, not a list [3, 4, 3.05]",
    "strict + 1": "+ needs numbers, not true or false true",
    "day + 1": "+ needs numbers, not a date 2026-03-02",
    "day - 1": "- needs numbers, not a date 2026-03-02",
    "-verdict": "- needs numbers, not a text 'PASS'",
    "verdict == 1": "compares a text 'PASS' with a number 1",
    "verdict != 1": "compares a text 'PASS' with a number 1",
    "strict == 1": "compares true or false true with a number 1",
    "day == '2026-03-02'": "compares a date 2026-03-02 with a text '2026-03-02'",
    "scores == 3": "compares a list [3, 4, 3.05] with a number 3",
    "names == [1, 2]": "compares a text 'Ann Lee' with a number 1",
    "verdict < 'Q'": "< needs two numbers or two dates, not 'PASS' and 'Q'",
    "day < 3": "< needs two numbers or two dates, not 2026-03-02 and 3",
    "strict < (score > 1)": "< needs two numbers or two dates",
    "scores < scores + 1": "+ needs numbers",
    "not score": "3.35 is neither true nor false",
    "score and strict": "3.35 is neither true nor false",
    "strict and score": "3.35 is neither true nor false",
    "[scores, 1] == scores": "a list inside a list",
    "mean(none)": "mean() of an empty list",
    "min(none)": "min() of an empty list",
    "max(none)": "max() of an empty list",
    "first(none)": "first() of an empty list",
    "last(none)": "last() of an empty list",
    "unique(none)": "unique() of an empty list",
    "rising(none)": "rising() of an empty list",
    "within(none, names)": "within() of an empty list",
    "within(none, notes)": "within() of an empty list",
    "mean(score)": "mean() needs a list or several values, not 3.35 alone",
    "unique(verdict)": "unique() needs a list or several values, not 'PASS' alone",
    "count(verdict)": "count() counts the items of lists",
    "count(scores, 1)": "count() counts the items of lists",
    "sum(names)": "sum() needs numbers, not a text 'Ann Lee'",
    "mean(scores, 'x')": "mean() mixes a number and a text",
    "min(names)": "min() needs numbers or dates, not a text 'Ann Lee'",
    "rising(names)": "rising() needs numbers or dates",
    "gaps(names)": "gaps() needs numbers or dates",
    "first(verdict)": "first() needs a list",
    "abs(verdict)": "abs() needs numbers, not a text 'PASS'",
    "round(1, 1.5)": "round() takes 0 to 9 places, not 1.5",
    "round(1, 10)": "round() takes 0 to 9 places, not 10",
    "round(1, -1)": "round() takes 0 to 9 places, not -1",
    "round(1, scores)": "round() takes 0 to 9 places",
    "lower(score)": "lower() needs a text, not 3.35",
    "date(day)": "date() needs a date such as '2026-03-01', not 2026-03-02",
    "date('2026-02-30')": "date() needs a date such as '2026-03-01', not '2026-02-30'",
    "date('20260301')": "date() needs a date",
    "weekday('2026-03-01')": "weekday() needs a date, not '2026-03-01'",
    "within(scores, notes)": "within() looks for texts in a text, not for 3",
    "within('', notes)": "within() looks for texts in a text, not for ''",
    "within(blank, notes)": r"within() looks for texts in a text, not for ' \n'",
    "within(names, score)": "within() looks in a list or a text, not in 3.35",
    "within(names, scores)": "within() mixes a number and a text",
    "same(names, verdict)": "same() compares two lists; write == for",
    "same(names, scores)": "same() mixes a number and a text",
}

REFUSED = {
    "": "is no expression",
    " ": "is no expression",
    "1 +": "is no expression",
    "a = 1": "is no expression",
    "a; b": "is no expression",
    "import os": "is no expression",
    "a b": "is no expression",
    "1\n+ 1": "is no expression",
    "'\\d' == a": "is no expression: invalid escape",
    "1if a else 2": "is no expression",
    "a\0b": "is no expression",
    "a == '\ud800'": "is no expression",
    "a.b": "a.b is not allowed",
    "a.b()": "a.b() is not allowed",
    "a[0]": "a[0] is not allowed",
    "'x'.upper() == a": "'x'.upper() is not allowed",
    "(1).__class__": "(1).__class__ is not allowed",
    "lambda: 1": "lambda: 1 is not allowed",
    "[x for x in a]": "[x for x in a] is not allowed",
    "mean(x for x in a)": "(x for x in a) is not allowed",
    "{1, 2}": "{1, 2} is not allowed",
    "{'a': 1}": "{'a': 1} is not allowed",
    "(1, 2)": "(1, 2) is not allowed",
    "f'{a}'": "f'{a}' is not allowed",
    "(a := 1)": "a := 1 is not allowed",
    "1 if a else 2": "1 if a else 2 is not allowed",
    "await a": "await a is not allowed",
    "max(*a)": "*a is not allowed",
    "max(**a)": "max(**a) is not allowed",
    "round(1, places=1)": "round(1, places=1) is not allowed",
    "a ** 2": "a ** 2 is not allowed",
    "a // 2": "a // 2 is not allowed",
    "a % 2": "a % 2 is not allowed",
    "a << 2": "a << 2 is not allowed",
    "a & b": "a & b is not allowed",
    "~a": "~a is not allowed",
    "+a": "+a is not allowed",
    "a in b": "for `in` write within(x, y)",
    "a not in b": "for `in` write within(x, y)",
    "a is b": "only == != < <= > >= compare",
    "a < b in c": "only == != < <= > >= compare",
    "None": "None is neither number, text, True nor False",
    "...": "Ellipsis is neither",
    "1j": "1j is neither",
    "b'x'": "b'x' is neither",
    "[[1], 2]": "a list inside a list",
    "eval('1')": "there is no function eval()",
    "__import__('os')": "there is no function __import__()",
    "score(1)": "there is no function score()",
    "count": "count is a function: write count(…)",
    "max(count)": "count is a function",
    "mean()": "mean() takes 1 or more values, not 0",
    "round()": "round() takes 1 or 2 values, not 0",
    "round(1, 2, 3)": "round() takes 1 or 2 values, not 3",
    "within(a)": "within() takes 2 values, not 1",
    "weekday(a, b)": "weekday() takes 1 values, not 2",
    "a == a": "compares a thing with itself",
    "1 < mean( a ) <= mean(a)": "compares a thing with itself",
    "a > 1 or True": "a constant beside and/or decides it",
    "0 and a": "a constant beside and/or decides it",
    "1e999": "at most 30 digits",
    "1e-31 < a": "at most 30 digits",
    "1" + "0" * 30: "at most 30 digits",
    "9" * 400: "at most 30 digits",
    "a" * (MAX_LENGTH + 1): f"longer than {MAX_LENGTH} characters",
    "-" * (MAX_LENGTH - 1) + "1": f"nested more than {MAX_DEPTH} deep",
    "not " * 120 + "a": f"nested more than {MAX_DEPTH} deep",
    "1" + "+1" * 200: f"nested more than {MAX_DEPTH} deep",
    "f(*" + "-" * 480 + "1)": "there is no function f()",
    "(" * 249 + ")" * 249: "is no expression",
    "[" * 400: "is no expression",
    "abs(" * 60 + "1" + ")" * 60: f"nested more than {MAX_DEPTH} deep",
    "1 < " + "-" * 480 + "1": f"nested more than {MAX_DEPTH} deep",
}


def ids(texts: Sequence[str]) -> list[str]:
    return [text[:40].encode("unicode_escape", "backslashreplace").decode() or "nothing" for text in texts]


@pytest.mark.parametrize(("text", "value"), COMES_TO.items(), ids=ids([*COMES_TO]))
def test_an_expression_comes_to_a_value(text: str, value: Value) -> None:
    got = evaluate(parse_expression(text), VALUES)

    assert (type(got), got) == (type(value), value)


@pytest.mark.parametrize(("text", "says"), NO_RESULT.items(), ids=ids([*NO_RESULT]))
def test_what_has_no_result_is_told_in_words(text: str, says: str) -> None:
    expression = parse_expression(text)

    with pytest.raises(ExpressionError) as caught:
        evaluate(expression, VALUES)

    assert says in str(caught.value)


@pytest.mark.parametrize(("text", "says"), REFUSED.items(), ids=ids([*REFUSED]))
def test_what_is_not_in_the_language_is_refused(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)

    assert says in str(caught.value)


def test_the_names_are_what_needs_a_value() -> None:
    assert parse_expression("abs(mean(scores) - score) <= bar or verdict == 'no'").names == {
        "scores", "score", "bar", "verdict",
    }  # fmt: skip
    assert parse_expression("max(1, 2) > date('2026-01-01')").names == frozenset()


@pytest.mark.parametrize(
    ("text", "condition"),
    {
        "a < b": True,
        "not a": True,
        "a and b": True,
        "unique(a)": True,
        "rising(a)": True,
        "within(a, b)": True,
        "same(a, b)": True,
        "a": False,
        "True": False,
        "a - b": False,
        "-a": False,
        "'x'": False,
        "[a]": False,
        "mean(a)": False,
        "lower(a)": False,
    }.items(),
)
def test_a_condition_is_told_from_a_figure(text: str, condition: bool) -> None:
    assert parse_expression(text).is_condition == condition


def test_only_true_and_false_hold_or_not() -> None:
    assert holds(parse_expression("strict"), VALUES)
    assert not holds(parse_expression("score > 4"), VALUES)
    with pytest.raises(ExpressionError, match=r"3\.35 is neither true nor false"):
        holds(parse_expression("score"), VALUES)


def test_the_sides_of_a_comparison_are_shown() -> None:
    assert sides(parse_expression("abs(mean(scores) - 3) <= 1 / 4"), VALUES) == "0.35 <= 0.25"
    assert sides(parse_expression("1 < score < max(scores)"), VALUES) == "1 < 3.35 < 4"
    assert sides(parse_expression("1 < 0 < 1 / 0"), VALUES) == "1 < 0"
    assert sides(parse_expression("rising(scores)"), VALUES) == ""


SHOWN: dict[str, tuple[Value, str]] = {
    "a whole number": (Fraction(-12), "-12"),
    "a decimal": (Fraction("0.05"), "0.05"),
    "a fraction": (Fraction(1, 3), "0.3333333333"),
    "more than any float": (Fraction(10**400), "a huge number"),
    "true": (True, "true"),
    "a day": (DAY, "2026-03-02"),
    "a text": ("a\nb", r"'a\nb'"),
    "a list": ([Fraction(1), "x", False], "[1, 'x', false]"),
    "a long list": ([Fraction(1)] * 50, "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, …]"),
}


@pytest.mark.parametrize(("value", "shown"), SHOWN.values(), ids=[name.replace(" ", "-") for name in SHOWN])
def test_a_value_is_shown_on_one_line(value: Value, shown: str) -> None:
    assert show(value) == shown


# ---- Against Python itself: each node is built with a thunk that does the same to fractions.


@dataclass(frozen=True)
class Node:
    tree: ast.expr
    value: Callable[[], Any]


ARITHMETIC: list[tuple[ast.operator, Callable[[Any, Any], Any]]] = [
    (ast.Add(), lambda one, other: one + other),
    (ast.Sub(), lambda one, other: one - other),
    (ast.Mult(), lambda one, other: one * other),
    (ast.Div(), lambda one, other: one / other),
]
NAMED = {"x": Fraction("0.1"), "y": Fraction(-7, 3), "z": Fraction(0)}


def leaf(number: int | float) -> Node:
    return Node(ast.Constant(number), lambda: Fraction(repr(number)))


def work(parts: tuple[tuple[ast.operator, Callable[[Any, Any], Any]], Node, Node]) -> Node:
    (op, function), one, other = parts
    return Node(ast.BinOp(one.tree, op, other.tree), lambda: function(one.value(), other.value()))


def minus(node: Node) -> Node:
    return Node(ast.UnaryOp(ast.USub(), node.tree), lambda: -node.value())


leaves = st.one_of(
    st.integers(0, 9).map(leaf),
    st.decimals(0, 99, places=2, allow_nan=False).map(lambda number: leaf(float(number))),
    st.sampled_from([*NAMED]).map(lambda name: Node(ast.Name(name), lambda: NAMED[name])),
)
figures = st.recursive(
    leaves,
    lambda inner: inner.map(minus) | st.tuples(st.sampled_from(ARITHMETIC), inner, inner).map(work),
    max_leaves=12,
)

COMPARED: list[tuple[list[ast.cmpop], Callable[[Any, Any, Any], bool]]] = [
    ([ast.Eq()], lambda one, two, three: one() == two()),
    ([ast.NotEq()], lambda one, two, three: one() != two()),
    ([ast.Lt()], lambda one, two, three: one() < two()),
    ([ast.GtE()], lambda one, two, three: one() >= two()),
    ([ast.LtE(), ast.Lt()], lambda one, two, three: one() <= two() < three()),
    ([ast.Gt(), ast.NotEq()], lambda one, two, three: one() > two() != three()),
]
JOINED: list[tuple[ast.boolop, Callable[[Any, Any, Any], bool]]] = [
    (ast.And(), lambda one, two, three: one() and two() and three()),
    (ast.Or(), lambda one, two, three: one() or two() or three()),
]


def comparison(parts: tuple[Any, list[Node]]) -> Node:
    (ops, function), nodes = parts
    trees = [node.tree for node in nodes]
    return Node(
        ast.Compare(trees[0], ops, trees[1 : len(ops) + 1]), lambda: function(*(node.value for node in nodes))
    )


def joined(parts: tuple[Any, list[Node]]) -> Node:
    (op, function), nodes = parts
    trees = [node.tree for node in nodes]
    return Node(ast.BoolOp(op, trees), lambda: function(*(node.value for node in nodes)))


def negated(node: Node) -> Node:
    return Node(ast.UnaryOp(ast.Not(), node.tree), lambda: not node.value())


def three(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[list[Node]]:
    return st.lists(nodes, min_size=3, max_size=3)


conditions = st.recursive(
    st.tuples(st.sampled_from(COMPARED), three(figures)).map(comparison),
    lambda inner: inner.map(negated) | st.tuples(st.sampled_from(JOINED), three(inner)).map(joined),
    max_leaves=4,
)


@given(node=figures | conditions)
def test_evaluation_agrees_with_python_on_fractions(node: Node) -> None:
    text = ast.unparse(ast.fix_missing_locations(ast.Expression(node.tree)))
    assume(len(text) <= MAX_LENGTH)
    try:
        expression = parse_expression(text)
    except ExpressionError as error:
        assume("itself" not in str(error))
        raise
    try:
        wanted = node.value()
    except ZeroDivisionError:
        with pytest.raises(ExpressionError, match="a division by 0"):
            evaluate(expression, NAMED)
    else:
        assert evaluate(expression, NAMED) == wanted


numbers = st.decimals(-1000, 1000, places=3, allow_nan=False).map(Fraction)
listed = st.lists(numbers, min_size=1, max_size=20)
days = st.dates(date(1900, 1, 1), date(2100, 1, 1))


def of(text: str, **values: Value) -> Value:
    return evaluate(parse_expression(text), values)


@given(x=listed, y=listed)
def test_functions_of_lists_agree_with_python(x: list[Fraction], y: list[Fraction]) -> None:
    values: dict[str, Value] = {"x": [*x], "y": [*y]}
    both = x + y

    assert of("mean(x, y)", **values) == statistics.mean(both)
    assert of("sum(x, y)", **values) == sum(both)
    assert of("min(x, y)", **values) == min(both)
    assert of("max(x, y)", **values) == max(both)
    assert of("count(x, y)", **values) == len(both)
    assert of("unique(x, y)", **values) == (len(set(both)) == len(both))
    assert of("rising(x)", **values) == (sorted(set(x)) == x)
    assert of("within(x, y)", **values) == (set(x) <= set(y))
    assert of("same(x, y)", **values) == (Counter(x) == Counter(y))
    assert of("same(x, y)", x=[*x], y=[*sorted(x)]) is True
    assert of("first(x) + sum(gaps(x)) == last(x)", **values) is True


@given(number=st.decimals(-1000, 1000, places=4, allow_nan=False), places=st.integers(0, 5))
def test_halves_are_rounded_away_from_zero(number: Decimal, places: int) -> None:
    wanted = number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)

    assert of(f"round(x, {places})", x=Fraction(number)) == Fraction(wanted)


@given(start=days, steps=st.lists(st.integers(-400, 400), min_size=1, max_size=10))
def test_gaps_of_dates_are_the_days_between(start: date, steps: list[int]) -> None:
    found = [start]
    for step in steps:
        found.append(found[-1] + timedelta(days=step))

    assert of("gaps(x)", x=[*found]) == steps
    assert of("last(x) - first(x)", x=[*found]) == sum(steps)
    assert of("weekday(x)", x=[*found]) == [one.isoweekday() for one in found]


# ---- Nothing but ExpressionError, whatever is written and whatever stands in the values

pieces = st.sampled_from([
    *FUNCTIONS, "a", "b", "s", "(", ")", "[", "]", ",", "+", "-", "*", "/", "<", "==", ">=", "!=", " and ", " or ",
    " not ", "1", "0.5", "1e30", "'x'", "''", "'2026-03-01'", "True", ".", ":=", " if ", " in ", "**", "#", "\n", "\\",
    '"""', "f'{", "\0", "\ud800", "lambda:", "9" * 40, "…", "ª", "٣",
])  # fmt: skip
anything = st.one_of(
    st.lists(pieces, max_size=60).map("".join),
    st.text(st.characters(), max_size=MAX_LENGTH),
    st.text(string.printable, max_size=MAX_LENGTH),
    st.tuples(
        st.sampled_from(["(", "[", "-", "not ", "abs(", "1+", "1<", "{", "a.", "f(*"]), st.integers(1, 500)
    ).map(lambda pair: pair[0] * pair[1]),
)
scalars = st.one_of(
    st.fractions(),
    st.text(st.characters(), max_size=5),
    st.booleans(),
    st.dates(),
    st.just(Fraction(10**400)),
)


def outcome(text: str, values: dict[str, Value]) -> list[str]:
    """What a text comes to, in words, or why it does not; another exception goes through."""
    try:
        expression = parse_expression(text[:MAX_LENGTH])
        return [show(evaluate(expression, values)), sides(expression, values)]
    except ExpressionError as error:
        return [str(error)]


@given(
    text=anything,
    values=st.fixed_dictionaries({"a": scalars, "b": st.lists(scalars, max_size=4), "s": scalars}),
)
def test_no_text_does_more_than_come_to_a_value_or_an_error(text: str, values: dict[str, Value]) -> None:
    told = outcome(text, values)

    assert told[0]
    assert all(line.isprintable() for line in told)


calls = st.tuples(st.sampled_from([*FUNCTIONS]), st.lists(st.sampled_from("abcs"), max_size=3)).map(
    lambda pair: f"{pair[0]}({', '.join(pair[1])})"
)


@given(
    text=calls, a=scalars, b=st.lists(scalars, max_size=4), c=st.lists(st.fractions(), max_size=4), s=scalars
)
def test_no_values_break_a_function(text: str, a: Value, b: Value, c: Value, s: Value) -> None:
    told = outcome(text, {"a": a, "b": b, "c": c, "s": s})

    assert told[0]
    assert told[0].isprintable()


def test_large_texts_and_lists_are_worked_through() -> None:
    text = "e\u0301\u0327" * 60_000 + "\0\ud800 end"
    marks = "a" + "\u0301" * 200_000

    assert of("within('END', x)", x=text) is True
    assert of("within('END', x)", x=marks) is False
    assert of("unique(x)", x=[f"{number}" for number in range(10_000)]) is True
    assert of("mean(x) == 4999.5", x=[Fraction(number) for number in range(10_000)]) is True
