"""The cases of a page as JSON that a `<script type="application/json">` can hold, for report.js to show. Pure.

Lists instead of objects, and each text of a check once, halve what 500 cases of seven models take:

    {models: [label], systems: [text], checks: [[name, capability]], texts: [text],
     cases: [[task, case, split, [tag], prompt, system, [reply]]]}
    reply: [model, repeat, outcome, text, thinking, stop reason, fault, seconds, tokens, characters left out, [check]]
    check: [index in checks, outcome, value, index of what it read in texts, index of its reason in texts]
"""

from __future__ import annotations

import json
import re
from typing import Any

from evals.report.page import Page, ShownCheck, ShownReply

# A `<` could end the script or open a comment in it; the separators end lines of older JavaScript; a lone surrogate has
# no bytes in UTF-8.
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def cases_json(page: Page) -> str:
    """The cases as JSON text without `<`, `>` and `&`; raises `ValueError` for a NaN or an infinity."""
    checks: dict[tuple[str, str], int] = {}
    texts: dict[str, int] = {}

    def check_row(check: ShownCheck) -> list[Any]:
        kind = checks.setdefault((check.name, check.capability), len(checks))
        extracted = texts.setdefault(check.extracted, len(texts))
        reason = texts.setdefault(check.reason, len(texts))
        return [kind, check.outcome, round(check.value, 4), extracted, reason]

    def reply_row(reply: ShownReply) -> list[Any]:
        return [
            reply.model,
            reply.repeat,
            reply.outcome,
            reply.text,
            reply.thinking,
            reply.stop_reason,
            reply.fault,
            None if reply.seconds is None else round(reply.seconds, 3),
            reply.tokens,
            reply.cut,
            [check_row(check) for check in reply.checks],
        ]

    cases = [
        [
            case.task,
            case.case,
            case.split,
            case.tags,
            case.prompt,
            case.system,
            [reply_row(reply) for reply in case.replies],
        ]
        for case in page.cases
    ]
    data = {
        "models": [one.label for one in page.models],
        "systems": page.systems,
        "checks": list(checks),
        "texts": list(texts),
        "cases": cases,
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
