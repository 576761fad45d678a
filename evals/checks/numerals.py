"""Numbers as people and models write them in running text, Markdown and LaTeX: `12`, `1,234.5`, `-$3`, `2 1/2`, `1.2e3`.

Read: thousands in groups of three behind `,` `'` `_` or a space (also no-break and thin ones, LaTeX's `{,}` and
`\\,`); minus as `-`, `−` or `–`; decimals behind a dot; `1.2e3` and `1.2 × 10^3`; fractions `3/4`, `2 1/2`, `½`,
`\\frac{3}{4}`; a currency sign before the digits.

Not read: decimal commas. `3,5` is no number here, rather than 3.5 or 5, and so is `1,23` or `1.234.567`. Nor are
powers (`2^10`), dates (`3/4/2026`), digits that belong to a word (`CO2`, `x_1`), number words and `3 million`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# No quantity has more digits; longer runs exist to make their conversion slow.
MAX_DIGITS = 400

# What is written `\$` is money; a plain $ may as well start a formula.
MONEY_SIGN = "＄"

_MINUS = "[-−–]"
_SPACES = " \u00a0\u2009\u202f"

_LATEX = {
    r"\$": MONEY_SIGN,
    r"\%": "%",
    r"\!": "",
    "{,}": ",",
    r"\times": "×",
    r"\cdot": "×",
    r"\approx": "≈",
}
_LATEX |= dict.fromkeys((r"\,", r"\;", r"\:", r"\ "), "\u2009")
_LATEX |= dict.fromkeys((r"^{\circ}", r"^\circ", r"\circ"), "°")
_LATEX_SIGNS = re.compile("|".join(re.escape(sign) for sign in sorted(_LATEX, key=len, reverse=True)))
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\s?\{([^{}]*)\}")
_LATEX_FRACTION = re.compile(
    r"([0-9]?)\\[dt]?frac(?:\{([0-9., ]{1,30})\}\{([0-9., ]{1,30})\}|([0-9])([0-9]))"
)
_DEGREES = re.compile(r"° +(?=[CFK]\b)")
_VULGAR_FRACTION = re.compile("([0-9]?)([\u00bc-\u00be\u2150-\u215e])")
_BOLD = re.compile(r"(?<![0-9])\*\*|\*\*(?![0-9])")  # between digits ** is a power

_RUN = r"(?:[0-9]|\.(?=[0-9]))(?:[0-9]|[,.'’_](?=[0-9]))*+"
_NUMBER = re.compile(
    rf"""
    (?P<minus> (?<![\w)\]}}.]) {_MINUS} )?              # after a word or a bracket it subtracts, or is a hyphen
    (?P<money> [$＄€£¥₹][ ]? (?P<inner_minus> {_MINUS} )? )?
    (?<![^\W_]) (?<!\w_) (?<![0-9][.,'’])              # not inside a word, an index or another number
    (?<!\^) (?<!\^\{{) (?<!\^{_MINUS}) (?<!\^\{{{_MINUS}) (?<!\*\*)  # and no exponent
    (?:
        (?P<whole> [0-9]{{1,3}} ) [{_SPACES}] (?P<top> [0-9]{{1,3}} ) / (?P<bottom> [0-9]{{1,3}} ) (?![0-9/])
      | (?P<spaced> [0-9]{{1,3}} (?P<space> [{_SPACES}] ) [0-9]{{3}} (?![,'’_]?[0-9])
                    (?: (?P=space) [0-9]{{3}} (?![,'’_]?[0-9]) )*+ (?: \.[0-9]++ )? )
      | (?P<run> {_RUN} )
    )
    (?: [eE] (?P<exponent> [+−–-]?[0-9]{{1,3}} ) (?!\w)
      | [ ]?[×x*·][ ]?10 (?: \^\{{? | \*\* ) (?P<power> {_MINUS}?[0-9]{{1,3}} ) \}}?
      | / (?P<divisor> {_RUN} ) (?P<date> (?: / {_RUN} )++ )?
    )?
    """,
    re.VERBOSE,
)
_GROUPED = re.compile(r"[0-9]{1,3}([,'’_])[0-9]{3}(?:\1[0-9]{3})*(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+")
_SEPARATORS = str.maketrans("", "", f",'’_{_SPACES}")
_RAISED = ("^", "**", *"⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True, slots=True)
class Number:
    """A number and the part of the text that it was read from, sign and currency sign included."""

    value: float
    start: int
    end: int
    money: str


def plain_notation(text: str) -> str:
    """The text with LaTeX's and Markdown's notation for numbers and units replaced by plain characters."""
    text = _LATEX_SIGNS.sub(lambda match: _LATEX[match.group()], text)
    text = _LATEX_TEXT.sub(r" \1", text)
    text = _LATEX_FRACTION.sub(_as_fraction, text)
    text = _VULGAR_FRACTION.sub(_as_fraction, text)
    return _BOLD.sub("", _DEGREES.sub("°", text))


def _as_fraction(match: re.Match[str]) -> str:
    before, *parts = (part for part in match.groups() if part is not None)
    if len(parts) == 1:
        parts = unicodedata.normalize("NFKC", parts[0]).split("⁄")
    return f"{before} {'/'.join(parts)}" if before else "/".join(parts)


def numbers_in(text: str, start: int = 0, end: int | None = None) -> Iterator[Number]:
    """The numbers of a plain text between two places, from left to right."""
    for match in _NUMBER.finditer(text, start, len(text) if end is None else end):
        if number := _read(match):
            yield number


def last_number(text: str) -> Number | None:
    """The last number of a plain text."""
    return next(
        (number for match in reversed(list(_NUMBER.finditer(text))) if (number := _read(match))), None
    )


def _read(match: re.Match[str]) -> Number | None:
    value = _value(match)
    if value is None or not math.isfinite(value) or match.string.startswith(_RAISED, match.end()):
        return None
    if match["minus"] or match["inner_minus"]:
        value = -value
    money = (match["money"] or "")[:1]
    return Number(value, match.start(), match.end(), money)


def _value(match: re.Match[str]) -> float | None:
    if match["whole"]:
        whole, top, bottom = int(match["whole"]), int(match["top"]), int(match["bottom"])
        return whole + top / bottom if top < bottom else None
    digits = _digits(match["run"] or match["spaced"].translate(_SEPARATORS))
    if not digits or match["date"]:
        return None
    if match["divisor"]:
        divisor = float(_digits(match["divisor"]) or 0)
        return float(digits) / divisor if divisor else None
    exponent = match["exponent"] or match["power"] or "0"
    return float(f"{digits}e{exponent.replace('−', '-').replace('–', '-')}")


def _digits(run: str) -> str:
    """A run of digits and separators as Python writes the number; '' if it is none."""
    return run.translate(_SEPARATORS) if len(run) <= MAX_DIGITS and _GROUPED.fullmatch(run) else ""
