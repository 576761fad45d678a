"""A verdict in words: whole figures at 80 and 40 columns, Markdown that hostile names cannot break, a plan before a run."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len
from rich.console import Console

from evals.planned import Planned
from evals.report.compared import COMMENT_MARK, comment_markdown, markdown_verdict, print_plan, print_verdict
from evals.report.tables import points
from evals.report.verdict_words import p_words
from evals.verdict import Decision, Difference, Noise, Side, Verdict
from tests.report.rendered import tables
from tests.verdicts import requirement, verdict

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e|<img onerror=x>[bold]b[/bold]\r\n\x9b1m --> @team </details>"
STEERING = {"\x1b", "\x07", "\r", "\x9b", "\u202e"}


def difference(**fields: Any) -> Difference:
    return replace(verdict().differences[0], **fields)


def whole() -> Verdict:
    """One of each kind of requirement, over three capabilities of two tasks."""
    asked = (
        requirement("shown", kind="superior", bound=0.0, estimate=0.13, low=0.031, high=0.229),
        requirement("open", capability="format", bound=0.05, estimate=-0.01, low=-0.062, high=0.041),
        requirement(
            kind="zero_tolerance",
            capability="safety",
            bound=0.0,
            upper=0.027,
            sentence="no new miss in 110 cases",
        ),
        requirement("failed", task="facts", policy="ops"),
        requirement(task="facts", policy="facts", kind="ratio", bound=0.8, estimate=0.98, low=0.9, high=1.07),
    )
    rows = (
        difference(
            cases=110, units=110, candidate=0.74, difference=0.13, low=0.031, high=0.229, p_holm=0.012
        ),
        difference(
            capability="format", baseline=0.95, candidate=0.94, difference=-0.01, low=-0.062, high=0.041
        ),
        difference(capability="safety", units=110, cases=110, baseline=1.0, candidate=1.0, difference=-0.0),
        difference(task="facts", p_holm=0.0001),
    )
    return verdict("inconclusive", *asked, differences=rows)


def printed(shown: Verdict, width: int = 80, colour: Literal["truecolor"] | None = None) -> str:
    stream = io.StringIO()
    print_verdict(console(stream, width, colour), shown)
    return stream.getvalue()


def console(stream: io.StringIO, width: int, colour: Literal["truecolor"] | None = None) -> Console:
    return Console(
        file=stream, width=width, color_system=colour, force_terminal=colour is not None, legacy_windows=False
    )


def rows_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize("decision", get_args(Decision))
def test_the_decision_stands_first_then_who_and_why(decision: Decision) -> None:
    shown = verdict(decision)

    lines = printed(shown, 120).splitlines()

    assert lines[0].rstrip() == shown.sentence
    assert lines[1].split(" beside ")[0] == "  tuned:1 (cccccccccccc, run 20260101-120000-tuned-1)"
    assert lines[2].strip() == f"- {shown.reasons[0]}"


def test_at_80_columns_a_capability_is_a_line_with_all_that_is_asked_of_it() -> None:
    rows = rows_of(printed(whole()))

    assert "content 61.0% -> 74.0% +13.0 (+3.1 to +22.9) 0.012 superior: shown" in rows
    assert "format 95.0% -> 94.0% -1.0 (-6.2 to +4.1) 1.000 margin 5: open" in rows
    assert "safety 100.0% -> 100.0% 0.0 (-10.0 to +6.0) 1.000 no miss: shown" in rows
    guarded = rows.index("content 61.0% -> 59.0% -2.0 (-10.0 to +6.0) <0.001 guard 15: failed")
    assert rows[guarded - 1 : guarded + 2 : 2] == ["facts", "80% of it: shown"]


def test_at_40_columns_the_same_figures_stand_below_each_other() -> None:
    rows = rows_of(printed(whole(), 40))

    start = rows.index("content: 61.0% -> 74.0%")
    assert rows[start : start + 3] == [
        "content: 61.0% -> 74.0%",
        "+13.0 (+3.1 to +22.9), p 0.012",
        "superior: shown",
    ]


@pytest.mark.parametrize("width", [80, 40, 20])
def test_no_line_of_a_verdict_is_longer_than_the_terminal(width: int) -> None:
    long = replace(
        whole(),
        reasons=("many words " * 30, "x" * 300),
        notes=("y" * 300,),
        candidate=Side("名" * 80, "d", ()),
    )

    assert max(cell_len(line) for line in printed(long, width).splitlines()) <= width


def test_what_the_reasons_do_not_tell_follows_below() -> None:
    shown = replace(whole(), reasons=())

    rows = rows_of(printed(shown, 120))

    assert "ops safety: 110 cases without a new miss allow a rate of up to 2.7%" in rows
    assert "graded: 1 value not shown to differ, in verdict.json" in rows
    assert (
        "noise: 3 repeats of the baseline differ in 4.0% of ops content, their rates by up to 2.0 points"
        in rows
    )
    assert "stopped early: 12 requests were spared" in rows
    assert "note: the baseline was recorded by another version" in rows


def test_a_bound_that_a_reason_tells_is_not_told_again() -> None:
    assert "without a new miss allow" not in printed(whole(), 120)


def test_a_baseline_that_agrees_with_itself_has_no_noise() -> None:
    quiet = (Noise("ops", "content", 3, 0.0, 0.0), Noise("ops", "format", 3, 0.0, 0.0))

    text = printed(verdict(noise=quiet), 120)

    assert text.count("noise:") == 1
    assert "noise: none, 3 repeats of the baseline agree in every verdict" in text


def test_many_reasons_and_graded_values_are_counted_not_listed() -> None:
    worse = replace(verdict().graded[0], high=-0.01)
    many = verdict(reasons=tuple(f"reason {number}" for number in range(40)), graded=(worse,) * 20)

    text = printed(many, 120)

    assert "reason 7" in text
    assert "reason 8" not in text
    assert "and 32 more, in verdict.json" in text
    assert text.count("graded: ops entities f1 61.0% -> 59.0%, -2.0 (-10.0 to -1.0) points") == 8
    assert "and 12 more, in verdict.json" in text


@pytest.mark.parametrize("colour", [None, "truecolor"], ids=["plain", "colour"])
def test_hostile_names_steer_no_terminal(colour: Literal["truecolor"] | None) -> None:
    text = printed(hostile(), 80, colour)

    outside = text if colour is None else "".join(part.split("m", 1)[-1] for part in text.split("\x1b["))
    assert not STEERING & set(outside)
    assert r"\x1b[2J" in outside


def test_without_colour_the_words_are_the_same() -> None:
    plain, coloured = printed(whole()), printed(whole(), colour="truecolor")

    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    assert "".join(part.split("m", 1)[-1] for part in coloured.split("\x1b[")) == plain


def hostile(text: str = HOSTILE, times: int = 1) -> Verdict:
    """A verdict whose every text is the same."""
    asked = requirement("open", task=text, capability=text, policy=f"{text}!", sentence=text)
    shown = verdict("inconclusive", asked)
    named = replace(shown.differences[0], task=text, capability=text)
    return replace(
        shown,
        sentence=text,
        reasons=(text,) * times,
        candidate=Side(text, text, (text,)),
        baseline=Side(text, text, (text,)),
        requirements=(asked,) * times,
        differences=(named,) * times,
        graded=(replace(shown.graded[0], task=text, check=text, name=text),) * times,
        noise=(replace(shown.noise[0], task=text, capability=text),) * times,
        notes=(text,) * times,
    )


def test_the_report_has_requirements_differences_and_graded_values_as_tables() -> None:
    text = markdown_verdict(whole())

    asked, differences, graded = tables(text, "<!-- -->")
    assert text.startswith(f"## Against the baseline\n\n**{whole().sentence}**\n")
    assert asked[1:] == [
        ["ops", "content", "better than the baseline", "+13.0 (+3.1 to +22.9) points", "shown"],
        [
            "ops",
            "format",
            "at most 5 points worse",
            "-1.0 (-6.2 to +4.1) points",
            "open, about 40 more cases",
        ],
        ["ops", "safety", "no new miss", "none in 110 cases: at most 2.7%", "shown"],
        [
            "facts",
            "content",
            "at most 15 points worse, to guard ops",
            "-2.0 (-10.0 to +6.0) points",
            "failed",
        ],
        ["facts", "content", "at least 80% of the baseline", "0.98 of the baseline (0.90 to 1.07)", "shown"],
    ]
    assert differences[1] == ["ops", "content", "110", "61.0%", "74.0%", "+13.0 (+3.1 to +22.9)", "0.012"]
    assert differences[2][2] == "50 in 48 clusters"
    assert graded[1] == ["ops", "entities", "f1", "50", "61.0%", "59.0%", "-2.0 (-10.0 to +6.0)"]


def test_a_new_miss_is_told_though_as_many_were_won() -> None:
    missed = requirement("failed", kind="zero_tolerance", bound=0.0, estimate=0.0)
    shown = verdict("block", missed, differences=(difference(difference=0.0, lost=1.0, won=1.0),))

    assert tables(markdown_verdict(shown))[0][1][3:] == ["1 of 50 cases newly missed", "failed"]


def test_what_no_number_of_cases_would_show_is_told_so() -> None:
    shown = verdict("inconclusive", requirement("open", more_cases=None))

    assert "open, no number of cases would show it as things stand" in markdown_verdict(shown)


def test_a_comment_begins_with_its_mark_and_folds_the_details() -> None:
    text = comment_markdown(whole(), link="https://example.com/runs/7")

    mark, headline, *_ = text.splitlines()
    assert (mark, headline) == (COMMENT_MARK, f"### Golden Gate: {whole().sentence}")
    before, inside = text.split("<details>")
    assert (len(tables(before, "<!-- -->")), len(tables(inside.split("</summary>")[1]))) == (1, 2)
    assert text.endswith("</details>\n\n[The whole report](<https://example.com/runs/7>)\n")


@pytest.mark.parametrize(
    "link", ["", "javascript:alert(1)", "https://a.b/x> <img>", "https://a.b/ x", "file:///etc/passwd"]
)
def test_a_link_that_is_none_is_left_out(link: str) -> None:
    assert "The whole report" not in comment_markdown(whole(), link=link)


@pytest.mark.parametrize("form", [markdown_verdict, comment_markdown], ids=["report", "comment"])
def test_hostile_names_mean_nothing_in_markdown(form: Any) -> None:
    text = form(hostile())

    rendered = MarkdownIt("commonmark").enable("table").render(text)
    assert [len(row) for table in tables(text, "<!-- -->") for row in table] == [5, 5, 7, 7, 7, 7]
    assert "<img" not in rendered
    assert rendered.count("</details>") == text.count("<details>")
    assert all(char.isprintable() or char == "\n" for char in text)


def test_a_comment_calls_nobody() -> None:
    text = comment_markdown(hostile("@everyone"))

    assert "@everyone" not in text
    assert "@<!-- -->everyone" in text


@pytest.mark.parametrize(
    ("text", "times"),
    [("x", 3_000), ("&" * 900, 150), ("@" * 900, 150), ("\x1b" * 900, 150)],
    ids=["short", "&", "@", "escapes"],
)
def test_a_comment_keeps_below_60000_characters_and_tells_what_is_left_out(text: str, times: int) -> None:
    comment = comment_markdown(hostile(text, times), link="https://example.com/" + "x" * 1_900)

    assert len(comment) < 60_000
    assert comment.count("more lines stand in the report.") == 2
    assert comment.count("</details>") == 1


@given(st.floats(-1, 1))
def test_points_have_a_sign_unless_they_are_none(fraction: float) -> None:
    text = points(fraction)

    assert float(text) == pytest.approx(fraction * 100, abs=0.051)
    assert (text == "0.0") == (abs(float(text)) == 0)
    assert text == "0.0" or text[0] in "+-"


@pytest.mark.parametrize(
    ("p", "words"), [(0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (1.0, "1.000")]
)
def test_a_small_p_is_not_written_as_nothing(p: float, words: str) -> None:
    assert p_words(p) == words


PLAN = (
    Planned("ops", 110, 110, 0.0707, 0.05, 73),
    Planned("answer_from_context", 28, 26, 0.268, 0.05, 73),
    Planned("facts", 5, 5, None),
    Planned("plain", 28, 28, 0.268, 0.05, 73),
)


def planned_lines(width: int) -> list[str]:
    stream = io.StringIO()
    print_plan(console(stream, width), PLAN)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_plan_is_a_line_a_task() -> None:
    assert planned_lines(100) == [
        "ops                  110 cases: sees drops of 7.1 points; can show margin 5",
        "answer_from_context",
        "  28 cases (26 independent): sees drops of 26.8 points",
        "  margin 5 needs 73 independent cases",
        "facts                  5 cases: sees no drop",
        "plain                 28 cases: sees drops of 26.8 points; margin 5 needs 73 cases",
        "drops: at 80% power, at best; margins: if no case ends otherwise",
    ]


def test_a_plan_splits_the_lines_that_find_no_room() -> None:
    lines = planned_lines(80)

    assert lines[1:4] == [
        "answer_from_context",
        "  28 cases (26 independent): sees drops of 26.8 points",
        "  margin 5 needs 73 independent cases",
    ]
    assert max(map(len, planned_lines(40))) <= 40


def test_a_plan_of_nothing_says_nothing() -> None:
    stream = io.StringIO()
    print_plan(console(stream, 80), [])

    assert stream.getvalue() == ""
