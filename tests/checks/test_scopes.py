"""Where checks look: the whole reply, its sections, notes or lines."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.checks.base import CheckOutcome, CheckResult
from evals.checks.markdown import LIMIT, TooLong, lines_of
from evals.checks.scopes import MAX_PARTS, Each, Part, parts_of, parts_or_miss, verdict

DOCUMENT = """\
before
# A *b*
one
## C
### D
two

### `E`
```
### no heading
```
Setext
------
last
"""

SECTIONS: dict[str, tuple[Each, list[tuple[str, int, int]]]] = {
    "h1 up to the end": ("h1", [("A b", 2, 14)]),
    "h2 up to the next h2": ("h2", [("C", 4, 8), ("Setext", 12, 4)]),
    "h3 up to an h3 or h2": ("h3", [("D", 5, 3), ("E", 8, 4)]),
    "no h4": ("h4", []),
}


@pytest.mark.parametrize(
    ("each", "wanted"), SECTIONS.values(), ids=[name.replace(" ", "-") for name in SECTIONS]
)
def test_a_section_runs_to_the_next_heading_of_its_level_or_above(
    each: Each, wanted: list[tuple[str, int, int]]
) -> None:
    lines = DOCUMENT.split("\n")

    parts = parts_of(DOCUMENT, each)

    assert [(part.title, part.line) for part in parts] == [(title, line) for title, line, _ in wanted]
    for part, (_, line, height) in zip(parts, wanted, strict=True):
        assert part.text == "\n".join(lines[line - 1 : line - 1 + height])


NOTED = "---\ntitle: One\n---\nbody\n---\ntitle: 2\n---\n---\nbroken: [\n---\nx\n---\nopen"


def test_notes_carry_the_title_that_can_be_read() -> None:
    parts = parts_of(NOTED, "note")

    assert [(part.title, part.line) for part in parts] == [("One", 1), ("2", 5), ("", 8)]
    assert parts[0].text == "---\ntitle: One\n---\nbody"
    assert parts[2].text == "---\nbroken: [\n---\nx\n---\nopen"


@pytest.mark.parametrize("title", ["[a]", "null", "{a: b}", "[", "''"])
def test_a_title_that_is_no_text_is_none(title: str) -> None:
    assert [part.title for part in parts_of(f"---\ntitle: {title}\n---\n", "note")] == [""]


def test_lines_are_those_that_hold_something() -> None:
    assert parts_of("a\r\n \n\nb\x0cc\u2028d\n", "line") == [
        Part("", "a", 1, "line"),
        Part("", "b\x0cc\u2028d", 4, "line"),
    ]


@given(st.text(st.sampled_from("#a -\n\r`"), max_size=60), st.sampled_from(get_args(Each)))
def test_parts_are_of_the_text_and_in_order(text: str, each: Each) -> None:
    parts = parts_of(text, each)
    lines = lines_of(text)

    assert [part.line for part in parts] == sorted({part.line for part in parts})
    if each == "whole":
        assert [part.text for part in parts] == [text]
    for part in parts if each != "whole" else []:
        height = part.text.count("\n") + 1
        assert part.text == "\n".join(lines[part.line - 1 : part.line - 1 + height])


def test_the_whole_is_one_part_of_any_length() -> None:
    text = "a" * (LIMIT + 1)

    assert parts_of(text, "whole") == [Part("", text, 1)]


@pytest.mark.parametrize("each", [each for each in get_args(Each) if each != "whole"])
def test_what_is_too_long_is_not_taken_apart(each: Each) -> None:
    with pytest.raises(TooLong, match="200001 characters"):
        parts_of("a" * (LIMIT + 1), each)

    missed = parts_or_miss("a" * (LIMIT + 1), each)
    assert isinstance(missed, CheckResult)
    assert (missed.outcome, missed.cause) == (CheckOutcome.FAIL, "too long")


@pytest.mark.parametrize(("each", "one"), [("line", "a\n"), ("h3", "### a\n"), ("note", "---\na: 1\n---\n")])
def test_more_parts_than_can_be_looked_at_are_too_many(each: Each, one: str) -> None:
    assert len(parts_of(one * MAX_PARTS, each)) == MAX_PARTS
    with pytest.raises(TooLong, match="2001 parts"):
        parts_of(one * (MAX_PARTS + 1), each)


@pytest.mark.parametrize(
    ("each", "says"),
    [
        ("h2", "no h2 section to look at"),
        ("note", "no note with front matter to look at"),
        ("line", "no line to look at"),
    ],
)
def test_without_a_part_there_is_nothing_to_pass(each: Each, says: str) -> None:
    missed = parts_or_miss("\n \n", each)

    assert isinstance(missed, CheckResult)
    assert missed.outcome is CheckOutcome.FAIL
    assert missed.reason == says


def test_a_part_names_its_place() -> None:
    assert Part("", "x", 1).place == ""
    assert Part("", "x", 3, "line").place == "(line 3): "
    assert Part("A\x1b[0m", "x", 3, "h2").place == "'A\\x1b[0m' (line 3): "


def test_a_verdict_names_the_first_misses() -> None:
    missed = verdict([(f"cause {n}", f"miss {n}") for n in range(5)], None, 0.25, "fine")

    assert (missed.outcome, missed.cause, missed.value) == (CheckOutcome.FAIL, "cause 0", 0.25)
    assert missed.reason == "miss 0; miss 1; miss 2; and 2 more"
    assert verdict([], None, 1.0, "fine").outcome is CheckOutcome.PASS
