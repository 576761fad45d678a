"""The page in a real browser: what it loads, what a reader can do with it, and what hostile text cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.report.html import html_report
from evals.report.page import WHOLE, Page
from evals.report.visible import visible
from tests.browser import Browser, chromium
from tests.report.hostile import HOSTILE, hostile_page
from tests.report.pages import column, large_page, small_page, table_page
from tests.report.verdicts import blocked, undecided

pytestmark = pytest.mark.browser

# Least contrast of text that WCAG 2.1 AA allows.
CONTRAST = 4.5

# Text with too little contrast: each colour is composed on a canvas, so that every form of colour counts.
LOW_CONTRAST = """
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const pen = canvas.getContext("2d", { willReadFrequently: true });
function paint(colours) {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, 1, 1);
  for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
  return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
}
function luminance(rgb) {
  const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const bad = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
while (walk.nextNode()) {
  const holder = walk.currentNode.parentElement;
  if (!walk.currentNode.textContent.trim() || holder.closest("svg, script, noscript, option")) continue;
  if (!holder.checkVisibility()) continue;
  const grounds = [];
  for (let one = holder; one; one = one.parentElement) grounds.unshift(getComputedStyle(one).backgroundColor);
  const ground = luminance(paint(grounds));
  const ink = luminance(paint([...grounds, getComputedStyle(holder).color]));
  const contrast = (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
  seen += 1;
  if (contrast < arguments[0]) bad.push(`${contrast.toFixed(2)}: ${holder.className} ${walk.currentNode.textContent.trim().slice(0, 40)}`);
}
return [seen, bad];
"""

Show = Callable[..., Browser]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Show:
    """Writes a page and shows it."""

    def shown(page: Page, **screen: Any) -> Browser:
        path = tmp_path / "report.html"
        path.write_text(html_report(page), "utf-8")
        browser.show(path, **screen)
        return browser

    return shown


def open_first_case(browser: Browser) -> None:
    browser.js("document.querySelector('.case > summary').click()")
    wait_until(browser, "return document.querySelector('.case .body') !== null")


def wait_until(browser: Browser, condition: str) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser.driver, 20, poll_frequency=0.02).until(lambda _: browser.js(condition))


def press(browser: Browser, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser.driver).send_keys(*keys).perform()


@pytest.mark.parametrize(
    "page", [small_page(), table_page(), hostile_page()], ids=["small", "table", "hostile"]
)
def test_a_page_asks_nothing_of_anyone_and_says_nothing_to_the_console(show: Show, page: Page) -> None:
    browser = show(page)
    if page.cases:
        open_first_case(browser)
    assert browser.complaints() == []
    addresses = browser.requested()
    assert addresses[0].endswith("/report.html")
    assert all(address.startswith("data:image/svg+xml") for address in addresses[1:])
    assert browser.js("return performance.getEntriesByType('resource').map(e => e.name)") == []


def test_the_policy_stops_a_script_a_style_and_a_request_that_got_in(
    browser: Browser, tmp_path: Path
) -> None:
    inside = "<script>window.hacked = 1</script><style>body{opacity:.5}</style><img src='http://127.0.0.1:9/x.png'>"
    path = tmp_path / "report.html"
    path.write_text(html_report(small_page()).replace("</main>", f"{inside}</main>"), "utf-8")
    browser.show(path)
    assert browser.js("return [window.hacked, getComputedStyle(document.body).opacity]") == [None, "1"]
    assert len([line for line in browser.complaints() if "Content Security Policy" in line]) == 3


def test_a_head_sorts_its_column_and_says_which_way(show: Show) -> None:
    browser = show(small_page())
    head = "[...document.querySelectorAll('.leaderboard thead th')].find(h => h.textContent.trim() === 'content')"
    rates = ".leaderboard tbody td:nth-child(4) span"
    browser.js(f"{head}.querySelector('button').click()")
    assert browser.texts(rates) == ["81.0%", "78.0%", "67.0%"]
    assert browser.js(f"return {head}.getAttribute('aria-sort')") == "descending"
    browser.js(f"{head}.querySelector('button').focus()")
    press(browser, "\ue007")
    assert browser.texts(rates) == ["67.0%", "78.0%", "81.0%"]
    assert browser.js(f"return {head}.getAttribute('aria-sort')") == "ascending"
    assert browser.js("return document.querySelectorAll('.leaderboard [aria-sort]').length") == 1


def test_the_first_click_sorts_the_best_first_whether_more_is_better_or_less(show: Show) -> None:
    browser = show(small_page())

    def first_sort(table: str, head: str) -> str:
        return str(
            browser.js(
                "const head = [...document.querySelectorAll(`${arguments[0]} thead th`)]"
                ".find(h => h.textContent.trim() === arguments[1]);"
                "head.querySelector('button').click(); return head.getAttribute('aria-sort')",
                table,
                head,
            )
        )

    for head in ("first token", "latency", "tokens a reply", "size"):
        assert first_sort(".leaderboard", head) == "ascending"
    for head in ("all checks", "content", "tokens/s"):
        assert first_sort(".leaderboard", head) == "descending"
    found = {head: first_sort(".pair table", head) for head in ("points", "lost", "won", "p", "p (Holm)")}
    assert [name for name, order in found.items() if order == "ascending"] == ["lost", "p", "p (Holm)"]


def test_what_is_not_known_stands_last_either_way(show: Show) -> None:
    page = small_page()
    first, *rest = page.models
    browser = show(replace(page, models=(replace(first, size_bytes=None), *rest)))
    button = "document.querySelector('.leaderboard thead th:last-child button')"
    for _ in range(2):
        browser.js(f"{button}.click()")
        assert browser.texts(".leaderboard tbody td:last-child")[-1] == "–"


def test_cases_are_filtered_by_words_task_outcome_tag_and_split(show: Show) -> None:
    browser = show(small_page())

    def found(**choices: str) -> list[str]:
        browser.js(
            """for (const box of document.querySelectorAll('.filters input, .filters select')) {
              box.value = arguments[0][box.name] ?? "";
              box.dispatchEvent(new Event(box.tagName === "INPUT" ? "input" : "change"));
            }""",
            choices,
        )
        names = browser.js("return [...document.querySelectorAll('.case .name')].map(e => e.firstChild.data)")
        total = f"{len(names)} of 7 cases" if len(names) < 7 else "7 cases"
        assert browser.texts(".count") == [total]
        return list(names)

    assert len(found()) == 7
    assert found(text="POOL water") == ["fill-pool"]
    assert found(text="minecraft:water keep") == ["fill-pool"]
    assert found(text="nowhere to be found") == []
    assert found(task="entity_extraction") == ["harbour-note", "two-mills"]
    assert found(tag="injection") == ["op-a-stranger"]
    assert found(split="dev") == ["no-more-rain"]
    assert found(outcome="passed") == ["shortest-year"]
    assert "shortest-year" not in found(outcome="missed")
    assert found(outcome="differs") == found(outcome="missed")
    assert found(outcome="missed", tag="medium", task="minecraft_ops") == ["fill-pool", "no-more-rain"]


def test_a_case_that_was_opened_is_open_when_it_is_found_again(show: Show) -> None:
    browser = show(small_page())
    open_first_case(browser)
    for words in ("nowhere to be found", "steve"):
        browser.js(
            "const box = document.querySelector('.filters input'); box.value = arguments[0];"
            "box.dispatchEvent(new Event('input'))",
            words,
        )
    opened = "return [...document.querySelectorAll('.case[open] .name')].map(e => e.firstChild.data)"
    assert browser.js(opened) == ["give-diamonds"]


def test_a_page_of_one_model_offers_nothing_about_models_that_differ(show: Show) -> None:
    page = small_page()
    alone = tuple(replace(case, replies=case.replies[:1]) for case in page.cases)

    several = show(page).texts("[name=outcome] option")
    one = show(replace(page, models=page.models[:1], cases=alone, verdict=None, flips=()))

    assert "models differ" in several
    assert one.texts("[name=outcome] option") == ["any outcome", "any miss", "all pass"]


def test_models_that_all_miss_do_not_differ(show: Show) -> None:
    page = small_page()
    missed = replace(
        page.cases[0], replies=tuple(replace(page.cases[0].replies[1], model=n) for n in range(3))
    )
    browser = show(replace(page, cases=(missed, page.cases[-1])))
    names = []
    for outcome in ("missed", "differs", "passed"):
        browser.js(
            "const box = document.querySelector('[name=outcome]'); box.value = arguments[0];"
            "box.dispatchEvent(new Event('change'))",
            outcome,
        )
        names.append(
            browser.js("return [...document.querySelectorAll('.case .name')].map(e => e.firstChild.data)")
        )
    assert names == [["give-diamonds"], [], ["shortest-year"]]


def test_the_keyboard_opens_a_case_with_everything_about_it(show: Show) -> None:
    browser = show(small_page())
    browser.js("document.querySelector('.case > summary').focus()")
    press(browser, "\ue007")
    wait_until(browser, "return document.querySelector('.case .body') !== null")
    (body,) = browser.texts(".case .body")
    for part in (
        "System message You operate a Minecraft Java 1.21 server.",
        "give steve 3 diamonds",
        "mc-ops:candidate ✓ pass",
        "qwen3:4b ✗ miss",
        "expected `give steve diamond 3`, got `give steve diamonds 3`",
        '["give steve diamonds 3"]',
        "answered · stop reason stop · 1.90 s · 50 tokens",
    ):
        assert part.replace(" ", "") in body.replace(" ", "")
    assert browser.js("return document.querySelectorAll('.reply').length") == 3


def test_every_control_can_be_reached_by_tab_and_shows_its_focus(show: Show) -> None:
    browser = show(small_page())
    reached = []
    for _ in range(200):
        press(browser, "\ue004")
        now = browser.js(
            "const e = document.activeElement; if (e === document.body) return null;"
            "const style = getComputedStyle(e);"
            "return [e.className || e.tagName, style.outlineStyle !== 'none' && style.outlineWidth !== '0px']"
        )
        if now is None:
            break
        reached.append(tuple(now))
    names = [name for name, _ in reached]
    assert names[0] == "skip"
    assert {"A", "BUTTON", "scroll", "SUMMARY", "INPUT", "SELECT"} <= set(names)
    assert [name for name, outlined in reached if not outlined] == []


def test_repeats_stand_below_each_other_and_may_differ(show: Show) -> None:
    page = small_page()
    right, wrong, _ = page.cases[0].replies
    again = replace(page.cases[0], replies=(right, replace(wrong, model=0, repeat=1)))
    browser = show(replace(page, cases=(again,)))
    open_first_case(browser)
    assert browser.texts(".reply .badge") == ["± mixed"]
    assert browser.texts(".reply .meta")[0::2] == ["repeat 1: ✓ pass", "repeat 2: ✗ miss"]


def test_a_case_that_is_not_known_any_more_and_a_reply_that_never_came_say_so(show: Show) -> None:
    page = small_page()
    lost = replace(
        page.cases[0].replies[0],
        text="",
        fault="the server hung up",
        outcome="infrastructure",
        checks=(),
        cut=0,
    )
    cut = replace(page.cases[0].replies[1], cut=12_345)
    browser = show(
        replace(page, cases=(replace(page.cases[0], prompt=None, system=None, replies=(lost, cut)),))
    )
    open_first_case(browser)
    (body,) = browser.texts(".case .body")
    for part in (
        "What was asked is not known",
        "(no text)",
        "the server hung up",
        "12,345 characters are left out",
    ):
        assert part in body
    assert browser.texts(".reply .badge") == ["– unscored", "✗ miss"]


def test_hostile_names_and_replies_change_nothing(show: Show) -> None:
    count = """
    const found = {};
    for (const one of document.querySelectorAll(":not(svg *)")) {
      if (one.localName !== "wbr") found[one.localName] = (found[one.localName] ?? 0) + 1;
    }
    return found;"""
    counts = []
    for text in ("a plain text", HOSTILE):
        browser = show(hostile_page(text))
        browser.js("for (const one of document.querySelectorAll('.case > summary')) one.click()")
        wait_until(browser, "return document.querySelectorAll('.case .body').length === 7")
        counts.append(browser.js(count))
        assert browser.js("return document.title") == f"{visible(text)} · Golden Gate"
        assert browser.complaints() == []
    assert counts[0] == counts[1]
    assert browser.js("return window.hacked") is None
    everything = browser.js("return document.documentElement.textContent")
    assert "⟨U+202E⟩gnp.exe⟨U+2066⟩" in everything
    shown = browser.js(
        "return [...document.querySelectorAll('body *:not(script):not(style)')].flatMap(e => [...e.childNodes])"
        ".filter(n => n.nodeType === 3).map(n => n.data).join('')"
    )
    assert not set(shown) & set("\x00\x1b\u202e\u2066\u2028\ud800")


def test_a_line_of_a_megabyte_wraps_inside_its_box(show: Show) -> None:
    page = small_page()
    first, *rest = page.cases
    long = replace(first.replies[0], text="x" * 1_000_000, thinking="y" * 1_000_000)
    browser = show(
        replace(
            page, cases=(replace(first, prompt="z" * 1_000_000, replies=(long, *first.replies[1:])), *rest)
        ),
        width=400,
    )
    open_first_case(browser)
    assert_no_overflow(browser)
    heights = browser.js("return [...document.querySelectorAll('.body .text')].map(e => e.clientHeight)")
    assert max(heights) <= 400
    boxes = browser.js("return [...document.querySelectorAll('.body > .text')].map(e => e.tabIndex)")
    assert boxes == [0]


def assert_no_overflow(browser: Browser) -> None:
    wide = browser.js(
        """const limit = document.documentElement.clientWidth;
        return [document.documentElement.scrollWidth - limit,
          ...[...document.querySelectorAll('main *')]
            .filter(e => !e.closest('.scroll, svg, nav') && e.getBoundingClientRect().right > limit + 1)
            .map(e => e.className)];"""
    )
    assert wide == [0]


@pytest.mark.parametrize("width", [400, 800, 1600])
@pytest.mark.parametrize(
    "page", [small_page(), hostile_page(), hostile_page("x" * 300)], ids=["small", "hostile", "long"]
)
def test_no_width_scrolls_the_page_sideways(show: Show, page: Page, width: int) -> None:
    browser = show(page, width=width)
    open_first_case(browser)
    assert_no_overflow(browser)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("verdict", [small_page().verdict, blocked(), undecided()], ids=lambda v: v.verdict)
def test_text_can_be_read_on_its_ground(show: Show, dark: bool, verdict: Any) -> None:
    browser = show(replace(small_page(), verdict=verdict, gate=(("It fails.", ("Why.",)),)), dark=dark)
    open_first_case(browser)
    ground = browser.js("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(13, 16, 20)" if dark else "rgb(246, 247, 248)")
    seen, low = browser.js(LOW_CONTRAST, CONTRAST)
    assert seen > 300
    assert low == []


def test_the_contrast_test_sees_grey_on_grey(show: Show) -> None:
    browser = show(table_page())
    browser.js("document.querySelector('h1').style.color = '#b0b0b0'")
    assert len(browser.js(LOW_CONTRAST, CONTRAST)[1]) == 1


def test_paper_is_white_and_has_the_figures_but_no_controls(show: Show) -> None:
    browser = show(small_page(), dark=True, media="print")
    assert browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    seen = browser.js(
        """return Object.fromEntries(arguments[0].map(s =>
        [s, [...document.querySelectorAll(s)].some(e => e.checkVisibility())]))""",
        ["nav", ".filters", ".count", ".case", ".banner", ".leaderboard", ".gg-chart", ".by-task", ".diff"],
    )
    assert seen == {
        "nav": False,
        ".filters": False,
        ".count": False,
        ".case": False,
        ".banner": True,
        ".leaderboard": True,
        ".gg-chart": True,
        ".by-task": True,
        ".diff": True,
    }
    assert browser.js(LOW_CONTRAST, CONTRAST)[1] == []


def test_a_leaderboard_of_many_columns_fits_on_paper(show: Show) -> None:
    names = (
        "format",
        "content",
        "recall",
        "reasoning",
        "safety",
        "consistency",
        "commands",
        "grounding",
        "tone",
    )
    tasks = {"one_task": {WHOLE: (44, 50), **dict.fromkeys(names, (40, 50))}}
    models = tuple(
        column(f"family{k}:4b-instruct-q4_K_M", tasks, seconds=1.3, size_bytes=2**31, seed=k)
        for k in range(3)
    )
    browser = show(Page("Many", models, ("one_task",), names, ()), width=720, media="print")
    assert len(browser.texts(".leaderboard thead th")) == 16
    assert browser.js(
        "return [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)"
    ) == [
        0,
        0,
        0,
    ]


def test_without_scripts_all_figures_are_there_and_the_page_says_what_is_not(show: Show) -> None:
    browser = show(small_page(), scripts=False)
    (words,) = browser.texts("noscript")
    assert words == "Single cases need JavaScript. All figures are above."
    assert len(browser.texts(".leaderboard tbody tr")) == 3
    assert browser.texts(".case") == []


def test_many_cases_come_a_hundred_at_a_time(show: Show) -> None:
    browser = show(large_page())
    assert browser.texts(".count") == ["500 cases"]
    assert len(browser.texts(".case")) == 100
    browser.js("const more = document.querySelector('.more'); more.focus(); more.click()")
    assert len(browser.texts(".case")) == 200
    assert browser.js("return document.activeElement === document.querySelectorAll('.case > summary')[100]")
    for _ in range(3):
        browser.js("document.querySelector('.more').click()")
    assert len(browser.texts(".case")) == 500
    assert browser.js("return document.querySelector('.more').hidden")
