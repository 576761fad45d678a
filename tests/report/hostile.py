"""A page on which every text is one that tries to break out."""

from __future__ import annotations

from dataclasses import replace

from evals.report.page import Page, ShownCase, ShownCheck
from evals.verdict import Side
from tests.report.pages import small_page

HOSTILE = (
    '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">'
    "<!--<script>{{ 7 * 7 }} ${window.hacked = 3} \u202egnp.exe\u2066 \x00 \x1b[2J \ud800 \u2028 &lt; ]]>"
)


def hostile_page(text: str = HOSTILE) -> Page:
    """The small page with every text replaced or prefixed by `text`."""
    page = small_page()
    assert page.verdict is not None
    labels = [f"{number} {text}" for number in range(len(page.models))]
    verdict = replace(
        page.verdict,
        sentence=text,
        reasons=(text,),
        candidate=Side(text, text, (text,)),
        baseline=Side(text, text, (text,)),
        requirements=tuple(
            replace(one, task=text, policy=text, sentence=text) for one in page.verdict.requirements
        ),
        differences=tuple(replace(one, task=text) for one in page.verdict.differences[:1]),
        notes=(text,),
    )
    return replace(
        page,
        title=text,
        models=tuple(
            replace(
                one,
                label=label,
                model=text,
                digest=text,
                run=text,
                causes={text: 3},
                outcomes={**one.outcomes, text: 1},
                tasks={f"{task} {text}": cells for task, cells in one.tasks.items()},
            )
            for label, one in zip(labels, page.models, strict=True)
        ),
        task_names=tuple(f"{task} {text}" for task in page.task_names),
        gate=((text, (text,)),),
        verdict=verdict,
        cases=tuple(_hostile_case(one, text) for one in page.cases),
        systems=(text, text),
        flips=tuple(
            replace(
                one,
                model=text,
                task=text,
                case=text,
                reason=text,
                diff=("@@ -1 +1 @@", f"-{text}", f"+{text}"),
            )
            for one in page.flips
        ),
        notes=(text,),
        facts=(text,),
    )


def _hostile_case(one: ShownCase, text: str) -> ShownCase:
    checks = (ShownCheck(text, text, "fail", 0.0, text, text),)
    replies = tuple(
        replace(shown, text=text, thinking=text, stop_reason=text, fault=text, checks=checks)
        for shown in one.replies
    )
    return replace(
        one,
        task=f"{one.task} {text}",
        case=f"{one.case} {text}",
        split=text,
        tags=(text,),
        prompt=text,
        replies=replies,
    )
