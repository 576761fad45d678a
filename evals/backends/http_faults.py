"""What HTTP says of a fault, whatever server it is: how long to wait, and which servers are this machine."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
"""Hosts for which no proxy is asked, and to which a key may go unencrypted."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The header Retry-After in seconds, given as such or as a date; None without one."""
    text = str(headers.get("Retry-After", ""))
    if text.isdecimal():
        return float(text)
    then = _moment(text)
    if then is None:
        return None
    # The server's own clock, where it tells: ours may be wrong, or jump.
    now = _moment(str(headers.get("Date", "")))
    return max(0.0, then - (time.time() if now is None else now))


def _moment(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
