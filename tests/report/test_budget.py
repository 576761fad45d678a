"""Texts are cut from the longest down, to what a page can hold."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from evals.report.budget import LEAST, Budget, fair_limit, size_in_page

HOSTILE = st.text(st.characters(), max_size=400)


@given(st.lists(HOSTILE, max_size=12), st.integers(0, 8000))
def test_cut_texts_are_beginnings_and_fit_unless_there_are_too_many(
    written: Sequence[str], budget: int
) -> None:
    made = Budget(written, budget)

    kept = [made.cut(text) for text in written]

    for text, (start, left_out) in zip(written, kept, strict=True):
        assert text.startswith(start) and left_out == len(text) - len(start)
    assert sum(size_in_page(start) for start, _ in kept) <= max(budget, LEAST * len(written))


@given(st.lists(st.integers(0, 5000), max_size=30), st.integers(0, 60_000))
def test_the_limit_is_as_high_as_the_budget_allows(sizes: Sequence[int], budget: int) -> None:
    limit = fair_limit(sizes, budget)

    if limit is None:
        assert sum(sizes) <= budget
    elif limit > LEAST:
        assert sum(min(size, limit) for size in sizes) <= budget
        assert sum(min(size, limit + 1) for size in sizes) > budget - len(sizes)


def test_only_the_longest_are_cut() -> None:
    texts = ["a" * 100, "b" * 1000, "c" * 5000, "d" * 9000]

    made = Budget(texts, 7100 + 2 * len(texts))

    assert [len(made.cut(text)[0]) for text in texts] == [100, 1000, 3000, 3000]


def test_what_html_and_json_escape_takes_more_room() -> None:
    assert [size_in_page(text) for text in ("ab", "<>", "é", "\n", "\x00", "\ud800")] == [4, 14, 4, 4, 8, 5]
