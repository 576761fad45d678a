"""The page as text: one file, whose security policy fits it, and in which hostile text stays text."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import math
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.report.html import breakable, duration, html_report
from evals.report.html_cases import cases_json
from evals.report.html_diff import WORDS_COMPARED, side_by_side
from evals.report.page import Page, ShownCase
from evals.report.visible import visible
from tests.report.hostile import HOSTILE, hostile_page
from tests.report.pages import large_page, reply, small_page, table_page
from tests.report.verdicts import blocked, undecided

MEGABYTE = 1_000_000


class Parsed(HTMLParser):
    """Elements with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in self.raw:
            self.raw[self.cdata_elem][-1] += data
        else:
            self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def data(self) -> Any:
        """What report.js reads."""
        return json.loads(self.raw["script"][0])


@pytest.fixture(scope="module")
def small() -> Parsed:
    return Parsed(html_report(small_page()))


@pytest.fixture(scope="module")
def hostile() -> Parsed:
    return Parsed(html_report(hostile_page()))


def test_the_policy_allows_the_one_style_and_the_one_script_by_hash_and_nothing_else(small: Parsed) -> None:
    (policy,) = [a["content"] for _, a in small.elements if a.get("http-equiv") == "Content-Security-Policy"]
    _, script = small.raw["script"]
    (style,) = small.raw["style"]
    assert policy == (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("name", ["small", "hostile"])
def test_no_element_has_a_style_or_a_handler_or_an_address_elsewhere(
    name: str, request: pytest.FixtureRequest
) -> None:
    parsed = request.getfixturevalue(name)
    for tag, attributes in parsed.elements:
        assert "style" not in attributes, tag
        assert not [key for key in attributes if key.startswith("on")], tag
        for key in ("href", "src", "action", "xlink:href"):
            assert (attributes.get(key) or "#").startswith(("#", "data:image/svg+xml,")), (tag, attributes)


def test_hostile_text_makes_no_element(hostile: Parsed) -> None:
    plain = Parsed(html_report(hostile_page("a plain text")))
    for tag in ("script", "style", "img", "link", "meta", "a", "title", "tr", "td", "li", "details"):
        found = [sum(name == tag for name, _ in page.elements) for page in (hostile, plain)]
        if tag == "title":
            # Charts name marks on hover, and more of them where a label is cut.
            assert found[0] >= found[1]
        else:
            assert found[0] == found[1], tag
    assert "window.hacked" not in hostile.raw["script"][1]


def test_hostile_text_can_be_read_as_it_was_written(hostile: Parsed) -> None:
    assert visible(HOSTILE).split()[0] in hostile.text
    assert "⟨U+202E⟩gnp.exe⟨U+2066⟩ ⟨U+0000⟩ ⟨U+001B⟩[2J ⟨U+D800⟩ ⟨U+2028⟩ &lt; ]]>" in hostile.text
    assert hostile.data["cases"][0][6][0][3] == HOSTILE


def test_a_page_is_utf_8_whatever_it_holds() -> None:
    text = html_report(hostile_page("\ud800\x00\u202e"))
    assert "⟨U+D800⟩⟨U+0000⟩⟨U+202E⟩" in text.encode().decode()


@given(st.text(alphabet=st.characters(codec=None), max_size=60))
def test_cases_come_out_of_the_script_as_they_went_in(text: str) -> None:
    case = ShownCase("task", text, "gate", (text,), text, None, (reply(0, text, False),))
    raw = cases_json(Page(text, (), (), (), (), cases=(case,), systems=(text,)))
    assert not set(raw) & set("<>&\u2028\u2029")
    assert Parsed(f'<script type="application/json">{raw}</script>').data == json.loads(raw)
    found = json.loads(raw.encode().decode())
    assert found["systems"] == [text]
    assert found["cases"][0][1:5] == [text, "gate", [text], text]


@given(st.text(alphabet=st.characters(codec=None), max_size=60))
def test_visible_text_steers_nothing_and_is_utf_8(text: str) -> None:
    shown = visible(text)
    steering = {char for char in shown if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert steering <= set("\n\t\u200c\u200d")
    assert shown.encode().decode() == shown


def test_ordinary_text_of_any_script_stays_as_it_is() -> None:
    text = "Zażółć\tgęślą\njaźń 漢字 שלום میخواهم می\u200cخواهم 👩\u200d🚀"
    assert visible(text) == text


def test_each_text_of_a_check_stands_once() -> None:
    data = Parsed(html_report(small_page())).data
    assert len(data["texts"]) == len(set(data["texts"]))
    assert data["checks"] == [["json_schema", "format"], ["commands", "content"], ["safety", "safety"]]
    kind, outcome, value, extracted, reason = data["cases"][0][6][1][10][1]
    assert (data["checks"][kind], outcome, value) == (["commands", "content"], "fail", 0.0)
    assert data["texts"][extracted] == '["give steve diamonds 3"]'
    assert data["texts"][reason].startswith("expected `give steve diamond 3`")


def test_seven_models_with_500_cases_stay_below_6_mb() -> None:
    assert len(html_report(large_page()).encode()) < 6 * MEGABYTE


@pytest.mark.parametrize(
    ("verdict", "word"),
    [(small_page().verdict, "Promote"), (blocked(), "Block"), (undecided(), "Inconclusive")],
)
def test_the_verdict_is_said_in_words_with_its_reasons(verdict: Any, word: str) -> None:
    text = Parsed(html_report(replace(small_page(), verdict=verdict))).text
    assert f" {word} {verdict.sentence.removeprefix(f'{word}: ')}" in text
    for reason in verdict.reasons:
        assert reason in text


def test_what_was_asked_and_found_stands_in_the_table(small: Parsed) -> None:
    assert "shown minecraft_ ops content better than the baseline +30.0 (+16.1 to +43.4) points" in small.text
    assert "at most 5 points worse +12.0 (+1.4 to +23.4) points" in small.text
    assert "no new miss none in 50 cases: at most 5.8%" in small.text
    assert "at most 15 points worse, to guard minecraft_ops" in small.text


def test_an_open_requirement_says_how_many_more_cases_it_needs() -> None:
    text = Parsed(html_report(replace(small_page(), verdict=undecided()))).text
    assert "+4.0 (-6.1 to +14.2) points about 120 more cases" in text


def test_many_reasons_are_folded_behind_the_first_eight(small: Parsed) -> None:
    assert "more reasons" not in small.text
    verdict = replace(undecided(), reasons=tuple(f"reason {number}" for number in range(20)))
    parsed = Parsed(html_report(replace(small_page(), verdict=verdict)))
    assert "reason 7 12 more reasons reason 8" in parsed.text
    nine = replace(small_page(), verdict=replace(verdict, reasons=verdict.reasons[:9]))
    assert "reason 7 1 more reason reason 8" in Parsed(html_report(nine)).text


def test_the_gate_of_a_run_that_only_repeats_the_verdict_is_left_out(small: Parsed) -> None:
    assert small.text.count("mc-ops:candidate may replace qwen3:4b.") == 1


def test_rates_stand_with_their_intervals_and_floors(small: Parsed) -> None:
    assert "76.7% 69.3%–82.7%" in small.text
    assert "86.0% 73.8%–93.0% ✗ below 95%" in small.text
    assert "98.0% 89.5%–99.6% ✓ floor 95%" in small.text
    assert any(a.get("title") == "115 of 150; 95% interval 69.3% to 82.7%" for _, a in small.elements)


def test_a_run_names_its_problems() -> None:
    page = replace(small_page(), gate=(("The gate does not hold.", ("judge format: 80%, floor 95%",)),))
    assert "The gate does not hold. judge format: 80%, floor 95%" in Parsed(html_report(page)).text


def test_figures_alone_make_a_page_without_the_sections_that_they_lack() -> None:
    parsed = Parsed(html_report(table_page()))
    headings = [a["id"] for tag, a in parsed.elements if tag == "h2" and "id" in a]
    assert headings == ["leaderboard", "tasks"]
    assert "All checks" not in parsed.text
    assert "latency" in parsed.text and "first token" not in parsed.text
    assert parsed.data["cases"] == []


def test_one_model_has_pass_rates_and_no_leaderboard() -> None:
    page = small_page()
    parsed = Parsed(html_report(replace(page, models=page.models[:1], cases=(), verdict=None)))
    assert "Pass rates" in parsed.text and "Leaderboard" not in parsed.text
    assert "Cases that pass, per cent" not in parsed.text
    assert "minecraft_ ops 88.0% 76.2%–94.4%" in parsed.text


def test_a_page_without_anything_is_still_one() -> None:
    parsed = Parsed(html_report(Page("Nothing", (), (), (), ())))
    assert parsed.text.startswith("Nothing · Golden Gate")
    assert parsed.count("section") == 0


def test_a_figure_that_is_no_number_is_refused() -> None:
    page = small_page()
    (first, *rest) = page.cases
    timed = replace(first, replies=(replace(first.replies[0], seconds=math.nan),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        html_report(replace(page, cases=(timed, *rest)))


@given(
    st.lists(st.text("ab c.\u202e", max_size=8), max_size=8),
    st.lists(st.text("ab c.", max_size=8), max_size=8),
)
def test_the_columns_of_a_diff_hold_all_that_differs(before: list[str], after: list[str]) -> None:
    diff = list(difflib.unified_diff(before, after, "snapshot", "now", n=20, lineterm=""))
    rows = [row for row in side_by_side(diff) if row.kind != "hunk"]
    if before == after:
        assert rows == []
        return
    for lines, side in ((before, "before"), (after, "after")):
        found = [getattr(row, side) for row in rows if getattr(row, side) is not None]
        assert ["".join(text for text, _ in line) for line in found] == lines


def test_a_diff_marks_the_words_that_differ() -> None:
    diff = ["--- snapshot", "+++ now", "@@ -1 +1 @@", "-give steve 3 diamonds", "+give alex 3 diamonds"]
    _, row = side_by_side(diff)
    assert row.before == (("give ", False), ("steve", True), (" 3 diamonds", False))
    assert row.after == (("give ", False), ("alex", True), (" 3 diamonds", False))


def test_a_removed_line_that_looks_like_a_heading_is_kept() -> None:
    _, row = side_by_side(["--- snapshot", "+++ now", "@@ -1 +0,0 @@", "--- a rule"])
    assert (row.before, row.after) == ((("-- a rule", True),), None)


def test_lines_too_long_to_compare_differ_as_a_whole() -> None:
    long = "a " * WORDS_COMPARED
    _, row = side_by_side(["@@ -1 +1 @@", f"-{long}", f"+{long}b"])
    assert (row.before, row.after) == (((long, True),), ((f"{long}b", True),))


def test_flips_stand_side_by_side(small: Parsed) -> None:
    assert small.count("mark") == 8
    assert "minecraft_ops/no-more-rain mc-ops:candidate worse: commands was pass, now fail" in small.text


@pytest.mark.parametrize(("value", "words"), [(0.42, "420 ms"), (1.434, "1.43 s"), (61.04, "61.0 s")])
def test_durations_have_a_unit(value: float, words: str) -> None:
    assert duration(value) == words


def test_a_name_may_break_behind_its_punctuation_only() -> None:
    assert breakable("a_b<i>&c") == "a_<wbr>b&lt;i&gt;&amp;c"
