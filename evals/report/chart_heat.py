"""Heat map: a row a task, a column a model, the pass rate as colour and as number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evals.report.chart_quality import WHOLE_CASES, Quality, qualities
from evals.report.chart_svg import (
    FONT,
    LINE,
    WIDTH,
    element,
    fit,
    hover,
    label,
    note,
    numbered,
    percent,
    svg,
    text_width,
)
from evals.report.page import Cell, Page

# Colours s0 to s8 of charts.css.
CLASSES = 9
ROW = 23
WIDEST = 84
# Room that a number needs.
LEAST = 24
# And a star behind a name.
STAR = 12
# More columns than this get another panel below the first.
PANEL = 9


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    basis: str
    figures: Sequence[Quality | None]
    missed: Sequence[Sequence[str]]  # the capabilities below their floor, model by model


def heat_map(page: Page) -> Markup | None:
    """Pass rates of all models in all tasks; None where the page has none.

    Raises `ValueError` for a rate that is no fraction.
    """
    tasks = [name for name in page.task_names if any(model.tasks.get(name) for model in page.models)]
    if not tasks:
        return None
    rows = [_row(name, [model.tasks.get(name, {}) for model in page.models]) for name in tasks]
    overall = (
        _row("all tasks", [model.overall for model in page.models])
        if len(tasks) > 1 and page.same_tasks
        else None
    )
    labels = [model.label for model in page.models]
    size = math.ceil(len(labels) / math.ceil(len(labels) / PANEL))
    longest = max(text_width(row.name) for row in [*rows, overall or rows[0]])
    names = min(longest + STAR + 1, WIDTH - size * LEAST, WIDTH / 2)
    width = min((WIDTH - names) / size, WIDEST)
    named = all(fit(words, width - 4) == words for words in labels)
    drawn: list[Markup] = []
    y = 0.0
    for start in range(0, len(labels), size):
        panel = range(start, min(start + size, len(labels)))
        drawn += [
            _head(labels[k], k, names + (k - start + 0.5) * width, y, width, named=named) for k in panel
        ]
        y += LINE + 4
        for row in rows:
            drawn += _cells(row, labels, panel, y, names, width)
            y += ROW
        if overall:
            drawn += _cells(overall, labels, panel, y + 5, names, width)
            y += ROW + 5
        y += 10
    scale, y = _scale(names, y)
    below, y = _notes([*rows, overall] if overall else rows, y)
    legend, y = ([], y) if named else numbered(labels, y + 4)
    best = "; ".join(_best(row, labels) for row in rows)
    return svg("heat", "Pass rates of each model in each task", best, y, *drawn, *scale, *below, *legend)


def _row(name: str, columns: Sequence[Mapping[str, Cell]]) -> _Row:
    basis, figures = qualities(columns)
    missed = [[key for key, cell in cells.items() if cell.holds is False] for cells in columns]
    return _Row(name, basis, figures, missed)


def _best(row: _Row, labels: Sequence[str]) -> str:
    known = [(figure.rate, name) for figure, name in zip(row.figures, labels, strict=True) if figure]
    if not known:
        return f"{row.name}: not known"
    best = max(rate for rate, _ in known)
    return f"{row.name}: at best {percent(best)}%, {', '.join(name for rate, name in known if rate == best)}"


def _head(name: str, index: int, x: float, y: float, room: float, *, named: bool) -> Markup:
    words = name if named else str(index + 1)
    inner = [words] if named else [hover(name), words]
    return element("text", *inner, x=x, y=y + FONT, class_="ink strong", text_anchor="middle")


def _cells(
    row: _Row, labels: Sequence[str], panel: range, y: float, names: float, width: float
) -> list[Markup]:
    shown = fit(row.name, names - STAR) + ("" if row.basis in ("", WHOLE_CASES) else "*")
    tip = hover(row.name, row.basis)
    drawn = [element("text", tip, shown, x=0, y=y + ROW / 2 + 4, class_="ink")]
    for place, k in enumerate(panel):
        x = names + place * width
        drawn.append(_cell(row, labels[k], row.figures[k], row.missed[k], x, y, width))
    return drawn


def _cell(
    row: _Row, model: str, figure: Quality | None, missed: Sequence[str], x: float, y: float, width: float
) -> Markup:
    box: dict[str, str | float] = {"x": x + 1, "y": y + 1, "width": width - 2, "height": ROW - 2, "rx": 2}
    middle: dict[str, str | float] = {"x": x + width / 2, "y": y + ROW / 2 + 4, "text_anchor": "middle"}
    if figure is None:
        tip = hover(f"{model}, {row.name}", "not known")
        return element(
            "g", tip, element("rect", class_="none", **box), element("text", "–", class_="soft", **middle)
        )
    step = min(int(figure.rate * CLASSES), CLASSES - 1)
    lines = [f"{model}, {row.name}", figure.words]
    inner = [element("rect", class_="fill", **box), element("text", percent(figure.rate), **middle)]
    if missed:
        lines.append(f"below the floor: {', '.join(missed)}")
        right, top = x + width - 1, y + 1
        corner = f"{right - 7:.1f},{top:.1f} {right:.1f},{top:.1f} {right:.1f},{top + 7:.1f}"
        inner.append(element("polygon", points=corner, class_="corner"))
    return element("g", hover(*lines), *inner, class_=f"s{step}")


def _scale(left: float, y: float) -> tuple[list[Markup], float]:
    """The nine colours from none to all."""
    side = 14
    drawn = [
        element(
            "g",
            element("rect", x=left + 1 + k * side, y=y, width=side, height=10, class_="fill"),
            class_=f"s{k}",
        )
        for k in range(CLASSES)
    ]
    drawn.append(label(left - 5, y + 9, "0%", left, class_="soft", anchor="end"))
    drawn.append(label(left + CLASSES * side + 6, y + 9, "100%", 50, class_="soft"))
    return drawn, y + 10 + 6


def _notes(rows: Sequence[_Row], y: float) -> tuple[list[Markup], float]:
    drawn: list[Markup] = []
    bases = {row.basis for row in rows} - {"", WHOLE_CASES}
    if bases:
        words = bases.pop() if len(bases) == 1 else "the mean of the capabilities that all models have"
        drawn, y = note(y, f"* whole cases are not known of all: {words}.")
    if any(any(row.missed) for row in rows):
        corner = f"0,{y + 4:.1f} 8,{y + 4:.1f} 8,{y + 12:.1f}"
        drawn.append(element("polygon", points=corner, class_="ink"))
        drawn.append(label(14, y + 13, "below a floor", 200, class_="soft"))
        y += LINE
    return drawn, y
