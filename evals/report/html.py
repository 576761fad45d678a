"""`report.html`: a page as one file that opens from disk, needs no network, and lets nothing that a model wrote run.

Everything but the cases is rendered here by jinja2, which escapes it; steering characters are made visible on the way
out. The cases are data, which report.js shows as text only. A content-security policy forbids whatever is not the one
style sheet and the one script, known by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from evals.report import charts
from evals.report.html_cases import cases_json
from evals.report.html_diff import side_by_side
from evals.report.page import WHOLE, ModelColumn, Page
from evals.report.tables import percent, points, share
from evals.report.verdict_words import asked_words, by_capability, found_words, needs_words, p_words
from evals.report.visible import visible
from evals.verdict import Verdict

_PIECES = re.compile(r"[^-_/:.+]*[-_/:.+]|[^-_/:.+]+")

REASONS_SHOWN = 8
METHOD_WORDS = {"tango": "Tango score", "bca": "BCa bootstrap", "percentile": "percentile bootstrap"}
VERDICT_WORDS = {"promote": "Promote", "block": "Block", "inconclusive": "Inconclusive"}


def html_report(page: Page) -> str:
    """The whole file; raises `ValueError` for a figure that is no number. Encode it as UTF-8."""
    style = _own("charts.css") + _own("report.css")
    script = _own("report.js")
    return (
        _environment()
        .from_string(_own("report.html.j2"))
        .render(
            page=page,
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            data=cases_json(page),
            capabilities=_columns(page),
            figures=_figure_names(page.models),
            whole=WHOLE,
            heat=charts.heat_map(page) if len(page.models) > 1 else None,
            paretos=_paretos(page),
            forest=charts.forest(page.verdict) if page.verdict else None,
            failures=charts.failure_bars(page),
            latencies=charts.latency_plot(page),
            outcomes=_names_by_count(one.outcomes for one in page.models),
            causes=_names_by_count(one.causes for one in page.models),
            candidates=_sides(page.verdict),
            by_capability=by_capability(page.verdict) if page.verdict else {},
            runs_differ=len({one.run for one in page.models}) > 1,
        )
    )


def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """A source expression of a content-security policy."""
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "share": share,
        "points": points,
        "count": lambda value: f"{value:.4g}" if value < 10_000 else f"{value:,.0f}",
        "p_words": p_words,
        "duration": duration,
        "gigabytes": lambda value: f"{value / 1e9:.2f} GB",
        "breakable": breakable,
        "after_word": after_word,
        "asked": asked_words,
        "found": found_words,
        "needs": needs_words,
        "side_by_side": side_by_side,
    }
    environment.globals |= {
        "REASONS_SHOWN": REASONS_SHOWN,
        "METHOD_WORDS": METHOD_WORDS,
        "VERDICT_WORDS": VERDICT_WORDS,
    }
    return environment


def _finalized(value: Any) -> Any:
    """What an expression of the template puts out. Markup is ours; all else may be of a model."""
    return value if isinstance(value, Markup) else visible(str(value))


def breakable(name: str) -> Markup:
    """A name that may go on in the next line behind its punctuation."""
    return Markup("<wbr>").join(_PIECES.findall(visible(name)))


def duration(seconds: float) -> str:
    """`420 ms`, `1.43 s`, `61.0 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def after_word(sentence: str, verdict: Verdict) -> str:
    """A verdict's sentence without the word that stands beside it: `Promote: a may replace b.`"""
    return sentence.removeprefix(f"{VERDICT_WORDS[verdict.verdict]}: ")


def _columns(page: Page) -> list[str]:
    """Names of the cells that there are, in the order of the leaderboard."""
    there = {name for one in page.models for cells in (one.overall, *one.tasks.values()) for name in cells}
    return [name for name in (WHOLE, *page.capabilities) if name in there]


def _figure_names(models: Sequence[ModelColumn]) -> list[str]:
    """The figures of speed and size that at least one model has."""
    names = ("tokens_per_s", "first_token_s", "latency_s", "tokens_a_reply", "size_bytes")
    return [name for name in names if any(getattr(one, name) is not None for one in models)]


def _names_by_count(counts: Iterable[Any]) -> list[str]:
    """Names over all models, the most frequent first."""
    total: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return sorted(total, key=lambda name: (-total[name], name))


def _paretos(page: Page) -> list[tuple[str, Markup]]:
    """Captions and plots, of what is known of at least two models."""
    plots = (
        ("Quality against latency", charts.pareto(page, "latency")),
        ("Quality against size", charts.pareto(page, "size")),
    )
    return [(caption, plot) for caption, plot in plots if plot]


def _sides(verdict: Verdict | None) -> list[tuple[str, Any]]:
    return [("candidate", verdict.candidate), ("baseline", verdict.baseline)] if verdict else []
