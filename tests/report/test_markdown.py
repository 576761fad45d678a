"""`report.md`: whole tables that hostile replies cannot break, and text that renders as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evals.checks.answers import shorten
from evals.gate import GateVerdict
from evals.report.markdown import MISSES_SHOWN, escaped, markdown_report
from evals.runs import CaseRecord
from evals.scores import summarise
from tests.records import check, record, run_info
from tests.report.rendered import tables

HOSTILE = {
    "a pipe": "a | b \\| c",
    "an image": "<img src=x onerror=alert(1)>",
    "a script": "</td><script>alert(1)</script>",
    "a comment": "<!-- hidden -->",
    "new lines": "one\n\n# two\r\n| three |",
    "a link": "[click](javascript:alert(1))",
    "an image link": "![x](http://example.com/x.png)",
    "emphasis": "**bold** _it_ ~~gone~~ `code` ``",
    "entities": "&lt;b&gt; &amp; &#60;",
    "escape sequences": "\x1b[2J\x1b]0;x\x07\x9b",
    "turned text": "\u202egpj.exe\u2066",
    "backslashes": "\\\\|\\",
    "formulas": "$x$ $$y$$",
    "a footnote": "[^1]: x",
    "a line separator": "a\u2028b\u0085c",
}


def report(records: Sequence[CaseRecord], problems: Sequence[str] = (), **fields: Any) -> str:
    said = "The gate does not hold." if problems else "The gate holds."
    verdict = GateVerdict("fails" if problems else "holds", said, tuple(problems))
    return markdown_report(
        run_info(**fields), summarise(records, {"colours": {"content": 0.5}}), verdict, records
    )


def test_the_report_tells_verdict_scores_misses_and_facts() -> None:
    text = report([record(), record(check("fail", measures={"f1": 0.25}), case="sea")], ["too low"])

    assert text.startswith("# Golden Gate run\n\n**The gate does not hold.**\n\n- too low\n")
    assert "## small:1b\n\ndigest `dddddddddddd`\n" in text
    scores, causes, misses = tables(text)
    assert scores[1] == ["colours", "content", "50.0%", "9.5% - 90.5%", "2", "50% ok"]
    assert causes == [["cause", "misses"], ["keywords: missing keyword", "1"]]
    assert misses[1] == ["small:1b", "colours/sea", "keywords", "lacks 'blue'"]
    assert "- colours, all 2: f1 12.5%\n- colours, the 1 readable: f1 25.0%\n" in text
    assert "commit `cccccccccccc` with uncommitted changes" in text
    assert "1 of 4 replies from the store" in text


@pytest.mark.parametrize(
    ("problems", "says"),
    [([], "**The gate holds.**"), (["lost"], "**The gate does not hold.**")],
    ids=["holds", "fails"],
)
def test_the_verdict_stands_first(problems: list[str], says: str) -> None:
    assert report([record()], problems).splitlines()[2] == says


@pytest.mark.parametrize("text", HOSTILE.values(), ids=[name.replace(" ", "-") for name in HOSTILE])
def test_hostile_text_stays_in_its_cell_and_reads_as_it_was(text: str) -> None:
    made = report([record(check("fail", reason=text, cause=text), tags=(text,))], [text])

    _, causes, misses = tables(made)
    assert causes[1:] == [[f"keywords: {shorten(text)}".strip(), "1"]]
    assert misses[1:] == [["small:1b", "colours/sky", "keywords", shorten(text).strip()]]
    rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(made)
    assert not any(tag in rendered for tag in ("<img", "<script", "<a ", "<em>", "<del>", "<!--"))
    assert all(char.isprintable() or char == "\n" for char in made)


@given(text=st.text(st.characters()) | st.text("\\|`*_{}[]()<>#~$&;!a1.-+ \n"))
def test_any_escaped_text_renders_as_one_cell_of_itself(text: str) -> None:
    (table,) = tables(f"| a | b |\n| --- | --- |\n| x{escaped(text)}x | y |\n")

    assert table[1] == [f"x{shorten(text, 300)}x", "y"]


def test_a_long_reason_is_cut() -> None:
    (_, _, misses) = tables(report([record(check("fail", reason="x" * 5000))]))

    assert misses[1][3] == "x" * 299 + "…"


def test_very_many_misses_are_counted_not_listed() -> None:
    records = [record(check("fail"), case=f"c{number}") for number in range(MISSES_SHOWN + 5)]

    text = report(records)

    assert len(tables(text)[2]) == MISSES_SHOWN + 1
    assert "5 more stand in `results.jsonl`." in text


def test_a_run_without_misses_or_git_has_no_such_part() -> None:
    text = report([record()], git={})

    assert "## Misses" not in text
    assert "commit" not in text


def test_each_task_shows_its_share_of_the_misses() -> None:
    many = [record(check("fail"), task="analyst", case=f"c{number}") for number in range(MISSES_SHOWN + 5)]
    few = [record(check("fail"), task="judge", case=f"c{number}") for number in range(3)]

    text = report([*many, *few])

    shown = [row[1].partition("/")[0] for row in tables(text)[-1][1:]]
    assert (shown.count("analyst"), shown.count("judge")) == (MISSES_SHOWN // 2, 3)
    assert f"{MISSES_SHOWN // 2 + 5} more stand in" in text
