"""Numbers in running text, Markdown and LaTeX: what is read, as what, and what is no number."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evals.checks.numerals import MAX_DIGITS, last_number, numbers_in, plain_notation

# text -> the numbers in it
READ: dict[str, list[float]] = {
    # whole numbers and decimals
    "12": [12],
    "007": [7],
    "0.5 and .5": [0.5, 0.5],
    "It is 42.": [42],
    "1. first": [1],
    "1, 2 and 3": [1, 2, 3],
    "1..5": [1, 5],
    "10:30": [10, 30],
    "2026-03-01": [2026, 3, 1],
    # thousands
    "1,234": [1234],
    "12,345,678.9": [12345678.9],
    "1 234 567": [1234567],
    "1\u00a0234": [1234],
    "1\u2009234.5": [1234.5],
    "1\u202f234": [1234],
    "1'234": [1234],
    "1’234": [1234],
    "1_234": [1234],
    "1{,}234": [1234],
    r"1\,234": [1234],
    r"1,\!234": [1234],
    "12 345, or so": [12345],
    "the 2020 300 people": [2020, 300],
    "1 23": [1, 23],
    "12 34": [12, 34],
    "1\n234": [1, 234],
    # no numbers: decimal commas, groups that are none
    "3,5": [],
    "1,23": [],
    "1,2345": [],
    "1234,567": [],
    "1.234.567": [],
    "1,234'567": [],
    "1,2,3": [],
    "2.0.1": [],
    "3,5 or 7": [7],
    # signs
    "-7": [-7],
    "−7": [-7],
    "–7": [-7],
    "(-7)": [-7],
    "= -7": [-7],
    "a-7": [7],
    "5-3": [5, 3],
    "(5)-3": [5, 3],
    "5 - 3": [5, 3],
    "- 5": [5],
    # money
    "$5": [5],
    "-$1,200.50": [-1200.5],
    "$-3": [-3],
    "€ 5": [5],
    r"\$18": [18],
    # powers of ten, and other powers, which are none
    "1.2e3": [1200],
    "1.5E-3": [0.0015],
    "1.5e−3": [0.0015],
    "1.2 × 10^3": [1200],
    r"$3 \times 10^{8}$": [3e8],
    r"3 \cdot 10^{-2}": [0.03],
    "5x10^3": [5000],
    "5*10**3": [5000],
    "3 x 10": [3, 10],
    "2^10": [],
    "2**10": [],
    "10^-3": [],
    "10^{-3}": [],
    "10²": [],
    "1e999": [],
    "3em": [3],
    # fractions
    "3/4": [0.75],
    "-3/4": [-0.75],
    "1,000/8": [125],
    "2 1/2 cups": [2.5],
    "½": [0.5],
    "2½": [2.5],
    r"\frac{3}{4}": [0.75],
    r"-\dfrac{3}{4}": [-0.75],
    r"2\frac{1}{2}": [2.5],
    r"\frac12": [0.5],
    "5/0": [],
    "3/4/2026": [],
    "3 4/2": [],
    "1,2/3": [],
    # words and indices
    "CO2": [],
    "v2.0": [],
    "x_1 = 3": [3],
    "0x1F": [0],
    "42km": [42],
    "42 m2 or 42 m^2 or 42 m²": [42, 42, 42],
    # Markdown and LaTeX around numbers
    "**42**": [42],
    "_42_": [42],
    "`42`": [42],
    "$42$": [42],
    r"42\text{ km}": [42],
    r"\boxed{42}": [42],
    "|1|234|": [1, 234],
    # nothing
    "": [],
    "none": [],
    "٣": [],
    "\x00\ud800": [],
}


def values(text: str) -> list[float]:
    return [number.value for number in numbers_in(plain_notation(text))]


@pytest.mark.parametrize(
    ("text", "numbers"), READ.items(), ids=[ascii(text)[1:-1] or "empty" for text in READ]
)
def test_numbers_are_read_as_they_are_written(text: str, numbers: list[float]) -> None:
    last = last_number(plain_notation(text))

    assert values(text) == pytest.approx(numbers, rel=1e-12)
    assert (last.value if last else None) == pytest.approx(numbers[-1] if numbers else None)


def test_a_number_knows_where_it_stands() -> None:
    text = "pay -$1,200.50 now"
    (number,) = numbers_in(text)

    assert text[number.start : number.end] == "-$1,200.50"
    assert number.money == "$"


def test_the_place_may_be_given() -> None:
    assert [number.value for number in numbers_in("1 2 3 45", 2, 7)] == [2, 3, 4]


PLAIN = {
    r"18\%": "18%",
    r"$18 \text{ km}$": "$18   km$",
    r"18^\circ C": "18°C",
    r"18^{\circ}\text{F}": "18°F",
    "**18** km": "18 km",
    "2**3 **4**": "2**3 4",
}


@pytest.mark.parametrize(("text", "plain"), PLAIN.items(), ids=PLAIN)
def test_notation_is_made_plain(text: str, plain: str) -> None:
    assert plain_notation(text) == plain


HOSTILE: dict[str, tuple[str, int]] = {
    "a megabyte of digits": ("9" * 10**6, 0),
    "as many digits as there may be": ("0" * (MAX_DIGITS - 1) + "1", 1),
    "a digit too many": ("0" * MAX_DIGITS + "1", 0),
    "thousands without end": ("1" + " 234" * 250_000, 0),
    "signs": ("-" * 10**6, 0),
    "money": ("$" * 10**6, 0),
    "dots": ("." * 10**6, 0),
    "versions": ("1." * 500_000, 0),
    "dates": ("1/" * 500_000, 0),
    "fractions": (r"\frac{" * 150_000, 0),
    "texts": (r"\text{" * 150_000, 0),
    "powers": ("x10^" * 250_000, 0),
    "NULs and surrogates": ("\x00\ud8001" * 300_000, 300_000),
}


@pytest.mark.parametrize(
    ("text", "count"), HOSTILE.values(), ids=[name.replace(" ", "-") for name in HOSTILE]
)
def test_hostile_text_is_read_to_its_end(text: str, count: int) -> None:
    assert len(values(text)) == count


@given(
    whole=st.integers(-(10**15), 10**15),
    group=st.sampled_from([",", "'", "’", "_", " ", "\u00a0", "\u2009", "\u202f", "{,}", r"\,", ""]),
    minus=st.sampled_from("-−–"),
    decimals=st.sampled_from(["", ".5", ".25", ".0"]),
    around=st.sampled_from([
        "{}",
        "${}$",
        "**{}**",
        "({})",
        "`{}`",
        r"\boxed{{{}}}",
        "is {}.",
        "€{}",
        "= {} km",
    ]),
)
def test_every_spelling_of_a_number_is_that_number(
    whole: int, group: str, minus: str, decimals: str, around: str
) -> None:
    spelt = f"{abs(whole):,}".replace(",", group) + decimals
    text = around.format(minus + spelt if whole < 0 else spelt)

    wanted = abs(whole) + float(decimals or 0)
    assert values(text) == [pytest.approx(-wanted if whole < 0 else wanted)]


@given(number=st.floats(allow_nan=False, allow_infinity=False))
@example(1e308)
@example(5e-324)
def test_a_float_as_python_writes_it_is_read_back(number: float) -> None:
    assert values(repr(number)) == [number]
