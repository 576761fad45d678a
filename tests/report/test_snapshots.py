"""How answers beside the recorded ones are told: on terminals of any width, in Markdown, whatever they hold."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from evals.flips import Flip
from evals.report.snapshots import LINE_LIMIT, print_snapshots, shown_diff, snapshots_section
from evals.snapshots import Compared, SnapshotResults, Verdict, diff_lines

HOSTILE = "\x1b[2J|<b>\u202e`\ud800\n# no"


def flip(before: str, now: str, check: str = "keywords") -> Flip:
    return Flip("tiny", "small", "q0", 0, check, before, now, f"was: {HOSTILE}", f"is: {HOSTILE}")


def one(
    verdict: Verdict, *flips: Flip, case: str = "q0", model: str = "tiny", diff: tuple[str, ...] = ()
) -> Compared:
    return Compared(model, "small", case, verdict, flips, diff)


def printed(*compared: Compared, width: int = 80, left_over: int = 0, removed: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, legacy_windows=False)
    print_snapshots(console, SnapshotResults(compared, left_over, removed))
    return stream.getvalue()


WORSE, BETTER, OTHER = flip("pass", "fail"), flip("fail", "pass"), flip("fail", "error")
DIFF = tuple(diff_lines(f"stop_reason: stop\n{HOSTILE}".encode("utf-8", "surrogatepass"), b"no"))


@pytest.mark.parametrize("width", [80, 40, 20])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    text = printed(one("flipped", WORSE, diff=DIFF), one("drift", case="x" * 70), width=width, left_over=3)

    assert max(map(len, text.splitlines())) <= width


def test_what_steers_a_terminal_is_escaped() -> None:
    text = printed(one("flipped", WORSE, BETTER, OTHER, diff=DIFF))

    assert not set(text) & {"\x1b", "\u202e", "\ud800"}


def test_what_is_worse_stands_first_and_every_check_is_named() -> None:
    text = printed(
        one("flipped", OTHER, case="other"),
        one("flipped", BETTER, case="better"),
        one("flipped", flip("pass", "fail", "regex"), BETTER, case="both"),
    )

    places = [
        text.index(f"{way}: small/{case} {check}: ")
        for way, case, check in [
            ("worse", "both", "regex"),
            ("better", "both", "keywords"),
            ("better", "better", "keywords"),
            ("other", "other", "keywords"),
        ]
    ]
    assert places == sorted(places)
    assert "3 flipped (1 worse, 1 better, 1 other)" in text


def test_models_are_named_where_there_are_several() -> None:
    assert "drift: small/q0" in printed(one("drift"))
    assert "drift: tiny small/q0, large small/q0" in printed(one("drift"), one("drift", model="large"))


def test_more_flips_and_drifts_than_a_person_reads_are_counted() -> None:
    flips = [one("flipped", WORSE, case=f"f{number}") for number in range(12)]
    drifts = [one("drift", case=f"d{number}") for number in range(13)]

    text = printed(*flips, *drifts)

    assert text.count("worse: ") == 10
    assert "and 2 more flipped, in snapshots.jsonl" in text
    assert "small/d9 and 3 more" in " ".join(text.split())


def test_a_long_diff_is_cut_and_says_where_the_rest_is() -> None:
    diff = diff_lines(b"\n".join(b"a%d" % n for n in range(40)), b"")

    shown = shown_diff(diff, 20)

    assert len(shown) == 21
    assert shown[-1] == f"… {len(diff) - 2 - 20} more lines, in snapshots.jsonl"


def test_lines_that_differ_far_behind_their_start_are_shown_near_the_difference() -> None:
    before, now = (b'{"reasoning": "' + b"x" * 500 + word + b'"}' for word in (b"right", b"wrong"))

    removed, added = shown_diff(diff_lines(before, now), 20)[1:]

    assert removed == "-…" + "x" * 30 + 'right"}'
    assert added == "+…" + "x" * 30 + 'wrong"}'


@given(st.lists(st.text(), max_size=6), st.lists(st.text(), max_size=6))
def test_every_line_of_a_diff_keeps_its_mark_and_its_bound(before: list[str], now: list[str]) -> None:
    diff = diff_lines("\n".join(before).encode(), "\n".join(now).encode())

    shown = shown_diff(diff, 1000)

    assert [line[:1] for line in shown] == [line[:1] for line in diff[2:]]
    assert all(len(line) <= LINE_LIMIT and line.isprintable() for line in shown)


def test_markdown_tells_the_same_and_cannot_be_broken_out_of() -> None:
    section = snapshots_section(SnapshotResults([one("flipped", WORSE), one("drift", case="q1")], 1, True))

    assert "**snapshots: 1 drift, 1 flipped (1 worse)**" in section
    assert "- worse: small/q0: keywords: pass -&gt; fail" in section
    assert "- 1 snapshot of cases that are gone removed" in section
    assert "\n# no" not in section and "<b>" not in section
