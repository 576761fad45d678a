"""Writes the pictures of the report in docs/: `python -m tests.report.screenshots`. Look at them before they are kept."""

from __future__ import annotations

import tempfile
from pathlib import Path

from evals.report.html import html_report
from tests.browser import Browser, chromium
from tests.report.pages import small_page

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        page = Path(folder) / "report.html"
        page.write_text(html_report(small_page()), "utf-8")
        browser.show(page, width=1400, height=1500)
        browser.screenshot(DOCS / "report-light.png")
        browser.show(page, width=1280, height=1460, dark=True)
        scroll_to(browser, "#leaderboard")
        browser.screenshot(DOCS / "report-dark.png")
        browser.show(page, width=400, height=1500)
        browser.js("document.querySelector('.case > summary').click()")
        scroll_to(browser, "#flips")
        browser.screenshot(DOCS / "report-narrow.png")


def scroll_to(browser: Browser, selector: str) -> None:
    browser.js(
        "document.documentElement.style.scrollBehavior = 'auto'; document.querySelector(arguments[0]).scrollIntoView()",
        selector,
    )


if __name__ == "__main__":
    main()
