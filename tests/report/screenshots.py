"""Writes the pictures of the report in docs/: `python -m tests.report.screenshots`. Look at them before they are kept."""

from __future__ import annotations

import tempfile
from pathlib import Path

from evals.report.html import html_report
from tests.browser import Browser, chromium
from tests.report.example_runs import example_page

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        two, three = Path(folder) / "two.html", Path(folder) / "three.html"
        two.write_text(html_report(example_page(Path(folder) / "two")), "utf-8")
        three.write_text(html_report(example_page(Path(folder) / "three", third=True)), "utf-8")
        browser.show(two, width=1400, height=1500)
        browser.screenshot(DOCS / "report-light.png")
        browser.show(three, width=1280, height=1460, dark=True)
        scroll_to(browser, "#leaderboard")
        browser.screenshot(DOCS / "report-dark.png")
        browser.show(two, width=400, height=1500)
        browser.js("document.querySelector('.case > summary').click()")
        scroll_to(browser, "#cases")
        browser.screenshot(DOCS / "report-narrow.png")


def scroll_to(browser: Browser, selector: str) -> None:
    browser.js(
        "document.documentElement.style.scrollBehavior = 'auto'; document.querySelector(arguments[0]).scrollIntoView()",
        selector,
    )


if __name__ == "__main__":
    main()
