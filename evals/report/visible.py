"""Hostile text made visible: characters that steer a page or a terminal stand as their code points. Pure."""

from __future__ import annotations

import regex

# Controls, bidirectional and other format characters, lone surrogates, line and paragraph separators; but not the ends
# of lines, tabs, and the joiners that emoji and several scripts are written with. report.js has the same.
_STEERING = regex.compile(r"(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]")


def visible(text: str) -> str:
    """The text with each such character as `⟨U+202E⟩`; what comes out can be encoded as UTF-8."""
    return _STEERING.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
