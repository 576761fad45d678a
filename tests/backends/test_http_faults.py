"""How long a server asks to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.http_faults import retry_after_s

NOON = "Wed, 21 Oct 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("Wed, 21 Oct 2026 12:00:07 GMT", 7.0),
        ("Wed, 21 Oct 2026 11:59:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("-3", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date_of_the_servers_clock(said: str, wait_s: float | None) -> None:
    assert retry_after_s({"Retry-After": said, "Date": NOON}) == wait_s


def test_without_the_header_there_is_no_wait() -> None:
    assert retry_after_s({}) is None


@given(st.text(), st.text())
def test_nonsense_is_no_wait_or_a_wait_forwards(said: str, date: str) -> None:
    wait_s = retry_after_s({"Retry-After": said, "Date": date})
    assert wait_s is None or wait_s >= 0
