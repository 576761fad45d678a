"""The report's charts: well-formed, harmless whatever a name holds, and honest about what they show."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evals.report.chart_axes import linear_axis, positive_axis, tick_label
from evals.report.chart_replies import quantile
from evals.report.chart_svg import FONT, WIDTH, fit, percent, text_width, wrapped
from evals.report.charts import failure_bars, forest, heat_map, latency_plot, pareto
from evals.report.page import WHOLE, Cell, ModelColumn, Page
from evals.stats import wilson_interval
from evals.verdict import Difference, Kind, Requirement, Side, Status, Verdict

HOSTILE = '"><script>alert(1)</script>\u202egnp.exe\x00\ud800\uffff]]>&#0;' + "W" * 200
SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = {
    "svg", "title", "desc", "g", "text", "line", "path", "rect", "circle", "polygon", "polyline", "defs", "pattern",
}  # fmt: skip


def cell(passes: int, n: int = 20, *, holds: bool | None = None) -> Cell:
    low, high = wilson_interval(passes, n)
    return Cell(passes / n, passes, n, low, high, None if holds is None else 0.5, holds)


def column(
    label: str = "base",
    tasks: Mapping[str, Mapping[str, Cell]] | None = None,
    *,
    passes: int = 10,
    overall: Mapping[str, Cell] | None = None,
    outcomes: Mapping[str, int] | None = None,
    latencies: Sequence[float] = (),
    latency_s: float | None = None,
    size_bytes: int | None = None,
) -> ModelColumn:
    return ModelColumn(
        label, label, "0" * 64, "run", 20,
        overall if overall is not None else {WHOLE: cell(passes)},
        tasks if tasks is not None else {"ops": {WHOLE: cell(passes)}},
        outcomes if outcomes is not None else {"answered": 20},
        {}, tuple(latencies), size_bytes=size_bytes, latency_s=latency_s,
    )  # fmt: skip


def page(*models: ModelColumn) -> Page:
    tasks = dict.fromkeys(task for model in models for task in model.tasks)
    return Page("a run", models, tuple(tasks), (), ())


def difference(
    points: float, low: float, high: float, *, task: str = "ops", capability: str = "format"
) -> Difference:
    ends = (points / 100, low / 100, high / 100)
    return Difference(task, capability, 31, 31, 0.5, 0.5 + ends[0], *ends, "tango", 1, 2, 0.5, 0.5)


def asked(status: Status, *, kind: Kind = "non_inferior", bound: float = 0.05) -> Requirement:
    return Requirement(
        "ops", "format", kind, bound, "ops", status, 0, 0, 0, None, None, "at most 5 points worse"
    )


def verdict(*differences: Difference, requirements: Sequence[Requirement] = ()) -> Verdict:
    side = Side("m", "d", ("r",))
    return Verdict("inconclusive", "", (), side, side, tuple(requirements), differences)


def every_chart(models: Sequence[ModelColumn], told: Verdict) -> list[str]:
    shown = page(*models)
    charts = [heat_map(shown), pareto(shown, "latency"), pareto(shown, "size")]
    charts += [failure_bars(shown), latency_plot(shown), forest(told)]
    assert all(charts)
    return [str(chart) for chart in charts]


def timed(label: str, passes: int = 10, latency: float = 1.0, size: int = 10**9) -> ModelColumn:
    seconds = tuple(latency * (0.5 + k / 20) for k in range(21))
    return column(label, passes=passes, latencies=seconds, latency_s=latency, size_bytes=size)


def parsed(chart: str | None) -> ElementTree.Element:
    assert chart is not None
    return ElementTree.fromstring(str(chart))


def texts(chart: str | None) -> list[str]:
    """What is to be read in a chart, without what shows on hover."""
    found = parsed(chart).iter(f"{SVG}text")
    return ["".join([one.text or "", *(child.tail or "" for child in one)]) for one in found]


def hovers(chart: str | None) -> str:
    return "\n".join(one.text or "" for one in parsed(chart).iter(f"{SVG}title"))


def with_class(chart: str | None, name: str) -> list[ElementTree.Element]:
    return [one for one in parsed(chart).iter() if f"gg-{name}" in one.get("class", "").split()]


def assert_harmless(chart: str) -> None:
    root = parsed(chart)
    assert root.get("role") == "img"
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert root[0].text and root[1].text
    for one in root.iter():
        assert one.tag.removeprefix(SVG) in ALLOWED
        assert not [key for key in one.attrib if key == "style" or key.startswith("on") or "href" in key]
    assert not re.search(r"nan|inf\b", " ".join(f"{one.attrib}" for one in root.iter()))
    assert not set(chart) & {"\u202e", "\x00", "\ud800", "\uffff"}
    chart.encode("utf-8")


def test_hostile_names_change_nothing() -> None:
    models = [timed(HOSTILE), timed("<img src=x onerror=alert(1)>", 5, 30.0, 10**11), timed("z\u0338" * 100)]
    models += [column(HOSTILE, {HOSTILE: {WHOLE: cell(3)}}, outcomes={HOSTILE: 3, "answered": 1})]
    told = verdict(difference(3, -1, 5, task=HOSTILE, capability=HOSTILE), requirements=[asked("open")])

    for chart in every_chart(models, told):
        assert_harmless(chart)
        assert "<script" not in chart and "<img" not in chart


@given(st.lists(st.text(), min_size=2, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_name_gives_well_formed_harmless_charts(names: list[str]) -> None:
    models = [timed(name, k, 1.0 + k) for k, name in enumerate(names)]

    for chart in every_chart(models, verdict(difference(0, -1, 1, task=names[0], capability=names[1]))):
        assert_harmless(chart)


@given(st.text(), st.floats(20, WIDTH))
def test_a_text_is_cut_to_its_room(words: str, room: float) -> None:
    assert text_width(fit(words, room)) <= room
    assert all(text_width(line) <= room for line in wrapped(words, room))


def test_long_names_are_cut_and_told_in_full_on_hover() -> None:
    chart = failure_bars(page(column("n" * 200)))

    assert max(map(text_width, texts(chart))) <= WIDTH
    assert "n" * 200 in hovers(chart)


@pytest.mark.parametrize("count", [1, 16])
def test_every_task_is_a_row_of_the_heat_map(count: int) -> None:
    tasks = {f"task_{k}": {WHOLE: cell(k)} for k in range(count)}

    shown = texts(heat_map(page(column("a", tasks), column("b", tasks))))

    assert [words for words in shown if words.startswith("task_")] == list(tasks)
    assert ("all tasks" in shown) is (count > 1)


def test_the_heat_map_shows_rates_as_numbers_and_only_all_is_100() -> None:
    tasks = {"none": {WHOLE: cell(0)}, "all": {WHOLE: cell(20)}, "nearly": {WHOLE: cell(999, 1000)}}

    chart = heat_map(page(column("a", {**tasks, "hardly": {WHOLE: cell(1, 1000)}})))

    assert [words for words in texts(chart) if words.isdigit()] == ["0", "100", "99", "1", "50"]
    assert "99% (999 of 1,000 cases), 95% 99 to 99%" in hovers(chart)
    filled = [one for one in with_class(chart, "s8") if one.find(f"{SVG}text") is not None]
    assert len(filled) == 2


def test_a_model_without_a_task_has_an_empty_cell() -> None:
    chart = heat_map(page(column("a", {"one": {WHOLE: cell(4)}}), column("b", {"two": {WHOLE: cell(5)}})))

    assert texts(chart).count("–") == 2
    assert "b, one\nnot known" in hovers(chart)


def test_where_whole_cases_are_not_known_of_all_the_means_of_shared_capabilities_are_compared() -> None:
    known = column("a", {"ops": {WHOLE: cell(2), "format": cell(10), "safety": cell(20)}})
    imported = column("b", {"ops": {"format": cell(4), "safety": cell(8), "extra": cell(0)}})

    chart = heat_map(page(known, imported))

    assert [words for words in texts(chart) if words.isdigit()] == ["75", "30"]
    assert "ops*" in texts(chart)
    assert "mean of format, safety" in " ".join(texts(chart))


def test_a_capability_below_its_floor_marks_the_cell() -> None:
    missed = column("a", {"ops": {WHOLE: cell(2), "format": cell(2, holds=False)}})
    held = column("a", {"ops": {WHOLE: cell(2), "format": cell(19, holds=True)}})

    assert "below the floor: format" in hovers(heat_map(page(missed)))
    assert "below a floor" in texts(heat_map(page(missed)))
    assert not with_class(heat_map(page(held)), "corner")
    assert "below a floor" not in texts(heat_map(page(held)))


def test_columns_of_long_names_are_numbered_with_a_legend() -> None:
    shown = texts(heat_map(page(*(column(f"qwen3-coder:{k}b-instruct-q4_K_M") for k in range(7)))))

    assert shown[:7] == list("1234567")
    assert shown[-14::2] == list("1234567")
    assert shown[-1].startswith("qwen3-coder:6b")


def test_many_models_are_drawn_in_several_panels() -> None:
    shown = texts(heat_map(page(*(column(f"m{k}") for k in range(20)))))

    assert shown.count("ops") == 3
    assert sum(words == "50" for words in shown) == 20


def test_without_tasks_or_models_there_is_no_heat_map() -> None:
    assert heat_map(page()) is None
    assert heat_map(page(column("a", {}))) is None


def test_only_models_that_no_other_beats_on_both_are_filled() -> None:
    models = [
        timed("fast", 8, 1.0),
        timed("good", 16, 4.0),
        timed("beaten", 12, 5.0),
        timed("equal", 16, 4.0),
    ]

    chart = pareto(page(*models), "latency")

    assert "beaten" not in parsed(chart)[1].text  # type: ignore[operator]
    marks = {(one.find(f"{SVG}title").text or "").split("\n")[0]: one for one in with_class(chart, "mark")}  # type: ignore[union-attr]
    hollow = [name for name, one in marks.items() if "gg-hollow" in one.get("class", "")]
    assert set(marks) == {"fast", "good", "beaten", "equal"}
    assert hollow == ["beaten"]


def test_the_frontier_is_level_until_something_better_can_be_had() -> None:
    chart = pareto(page(timed("fast", 8, 1.0), timed("good", 16, 4.0)), "latency")

    (line,) = with_class(chart, "frontier")
    corners = [tuple(map(float, place.split(","))) for place in line.get("points", "").split()]

    (fast, before, good, end) = corners
    assert fast[1] == before[1] and before[0] == good[0] and good[1] < before[1]
    assert good[1] == end[1] and end[0] > good[0]


def test_costs_more_than_ten_times_apart_are_on_a_log_axis() -> None:
    near, far = (
        [timed("a", latency=1), timed("b", latency=9)],
        [timed("a", latency=1), timed("b", latency=11)],
    )

    assert "seconds a reply" in texts(pareto(page(*near), "latency"))
    assert "seconds a reply (log scale)" in texts(pareto(page(*far), "latency"))


@pytest.mark.parametrize("models", [[], [timed("a")], [timed("a"), column("b")]])
def test_quality_against_cost_needs_two_models(models: list[ModelColumn]) -> None:
    assert pareto(page(*models), "latency") is None
    assert pareto(page(*models), "size") is None


def test_models_without_a_common_figure_are_not_compared() -> None:
    a = column("a", overall={"format": cell(3)}, latency_s=1.0)
    b = column("b", overall={"safety": cell(3)}, latency_s=2.0)

    assert pareto(page(a, b), "latency") is None


def test_quality_from_capabilities_says_so() -> None:
    models = [column(name, overall={"format": cell(3)}, latency_s=1.0) for name in "ab"]

    chart = pareto(page(*models), "latency")

    assert "% of cases passed, format only" in texts(chart)
    assert not with_class(chart, "whisker")
    assert "% of cases passed, with 95% interval" in texts(pareto(page(timed("a"), timed("b")), "latency"))


def test_rates_without_intervals_stand_on_the_whole_scale() -> None:
    near = [column(name, overall={"format": cell(k)}, latency_s=1.0) for name, k in (("a", 13), ("b", 14))]

    assert {"0", "100"} <= set(texts(pareto(page(*near), "latency")))
    assert "100" not in texts(pareto(page(timed("a", 8), timed("b", 9)), "latency"))


def test_what_the_rates_are_of_is_told_whole_however_long_it_is() -> None:
    names = ("command", "exact", "no teleport", "safety", "syntax")
    models = [column(name, overall={one: cell(3) for one in names}, latency_s=1.0) for name in "ab"]

    words = texts(pareto(page(*models), "latency"))

    assert "% of cases passed*" in words
    assert f"* % of cases passed, mean of {', '.join(names)}." in " ".join(words)
    assert not [one for one in words if "…" in one]


@pytest.mark.parametrize("passes", [0, 20])
def test_equal_models_at_the_ends_of_the_scale_are_drawn(passes: int) -> None:
    models = [timed("a", passes, 2.0), timed("b", passes, 2.0)]

    assert_harmless(str(pareto(page(*models), "latency")))


def test_names_too_long_for_the_plot_are_numbered_and_not_cut() -> None:
    names = ["llama-3.2-3b-instruct-q4_K_M", "llama-3.2-3b-instruct-q8_0"]

    chart = pareto(page(*(timed(name) for name in names)), "size")

    assert [one.text for one in with_class(chart, "halo")] == ["1", "2"]
    assert texts(chart)[-4:] == ["1", names[0], "2", names[1]]


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 1e6)), min_size=2, max_size=9))
@settings(max_examples=100, deadline=None)
def test_no_two_labels_of_models_overlap(figures: list[tuple[int, float]]) -> None:
    models = [timed(f"model-{k}:7b", passes, cost) for k, (passes, cost) in enumerate(figures)]

    labels = []
    for one in with_class(pareto(page(*models), "latency"), "halo"):
        width = text_width(one.text or "")
        left = (
            float(one.get("x", ""))
            - {"start": 0, "middle": 0.5, "end": 1}[one.get("text-anchor", "")] * width
        )
        labels.append((left, float(one.get("y", "")), width))

    assert len(labels) == len(models)
    for (x, y, width), (other_x, other_y, other_width) in itertools.combinations(labels, 2):
        apart = x + width <= other_x or other_x + other_width <= x
        assert apart or abs(y - other_y) >= FONT


@pytest.mark.parametrize("chart", [heat_map, lambda shown: pareto(shown, "latency")])
@pytest.mark.parametrize("rate", [math.nan, math.inf, -0.1, 1.1])
def test_a_rate_that_is_no_fraction_is_refused(chart: Callable[[Page], object], rate: float) -> None:
    bad = {WHOLE: Cell(rate, 3, 4, 0, 1)}
    models = [column("a", {"ops": bad}, overall=bad, latency_s=1.0), timed("b")]

    with pytest.raises(ValueError, match=r"a pass rate is .*, which is no fraction|which no chart can show"):
        chart(page(*models))


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
def test_seconds_that_cannot_be_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="which no chart can show"):
        pareto(page(timed("a"), column("b", latency_s=seconds)), "latency")
    with pytest.raises(ValueError, match="which no chart can show"):
        latency_plot(page(column("b", latencies=(1.0, seconds))))


def test_seconds_beyond_all_reason_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1e\+300 is more than any chart can show"):
        latency_plot(page(column(latencies=(1.0, 1e300))))


@pytest.mark.parametrize("low", [math.nan, -math.inf, -101])
def test_a_difference_that_cannot_be_is_refused(low: float) -> None:
    with pytest.raises(ValueError, match="a difference in ops is"):
        forest(verdict(difference(0, low, 1)))


def test_each_difference_has_its_status_as_shape_and_class() -> None:
    statuses: tuple[Status, ...] = ("shown", "open", "failed")
    drawn: dict[str, str | None] = {
        status: forest(verdict(difference(1, -4, 6), requirements=[asked(status)])) for status in statuses
    }
    drawn["not asked"] = forest(verdict(difference(1, -4, 6)))

    shapes = {
        status: next((one.tag, one.get("points", "").count(",")) for one in with_class(chart, "mark"))
        for status, chart in drawn.items()
    }

    assert shapes["shown"] == (f"{SVG}circle", 0) and with_class(drawn["shown"], "shown")
    assert shapes["open"] == shapes["failed"] == (f"{SVG}polygon", 4)
    assert with_class(drawn["open"], "hollow") and not with_class(drawn["failed"], "hollow")
    assert with_class(drawn["not asked"], "unasked") and not with_class(drawn["shown"], "unasked")
    assert "at most 5 points worse" in hovers(drawn["open"])


def test_of_several_requirements_the_gravest_is_shown() -> None:
    several = [asked("shown"), asked("failed", kind="superior", bound=0), asked("open")]

    assert "1 failed, 0 open, 0 shown" in (
        parsed(forest(verdict(difference(1, -4, 6), requirements=several)))[1].text or ""
    )


def test_margins_of_non_inferiority_are_marked_and_on_the_axis() -> None:
    chart = forest(verdict(difference(1, -1, 3), requirements=[asked("shown", bound=0.2)]))

    assert "the worst that the policy allows" in texts(chart)
    assert "−20" in texts(chart)
    assert not with_class(forest(verdict(difference(1, -1, 3))), "margin")


def test_differences_that_are_all_zero_still_have_an_axis() -> None:
    chart = forest(verdict(difference(0, 0, 0)))

    assert_harmless(str(chart))
    assert "0.0" in texts(chart)


def test_differences_are_told_in_points_with_their_sign() -> None:
    shown = texts(forest(verdict(difference(3.24, -1, 5), difference(-100, -100, -80, capability="safety"))))

    assert "+3.2" in shown and "−100.0" in shown


def test_up_to_sixty_differences_are_drawn_and_of_more_those_asked_for_first() -> None:
    many = [difference(k, k - 1, k + 1, capability=f"c{k}") for k in range(1, 61)]
    small = difference(0, -1, 1)

    sixty, more = forest(verdict(*many)), forest(verdict(*many, small, requirements=[asked("open")]))

    assert sum(words.startswith("c") for words in texts(sixty)) == 60
    assert not any(words.startswith("Not drawn") for words in texts(sixty))
    assert "format" in texts(more) and "c1" not in texts(more)
    assert "Not drawn: 1 more, in the table." in texts(more)


def test_a_verdict_without_differences_has_no_forest() -> None:
    assert forest(verdict()) is None


def test_kinds_of_reply_are_counted_in_words_and_as_shares() -> None:
    outcomes = {"empty": 1, "answered": 15, "think_leak": 0, "infrastructure": 4}

    chart = failure_bars(page(column("base", outcomes=outcomes)))

    assert texts(chart) == ["base", "20 replies", "15 answered", "1 empty", "4 server fault"]
    widths = [
        float(one[1].get("width", "")) for one in parsed(chart).iter(f"{SVG}g") if "%" in (one[0].text or "")
    ]
    assert widths == [WIDTH * 0.75, WIDTH * 0.05, WIDTH * 0.2]
    assert "base: 4 of 20 server fault (20%)" in hovers(chart)


def test_kinds_of_reply_differ_without_colour() -> None:
    chart = failure_bars(page(column("base", outcomes={"answered": 1, "empty": 1, "refused": 1})))

    strokes = {one.get("id"): one[0].get("d") for one in parsed(chart).iter(f"{SVG}pattern")}
    used = set(re.findall(r"url\(#([\w-]+)\)", str(chart)))

    assert used == {"gg-kind-1", "gg-kind-5"} <= set(strokes)
    assert len(set(strokes.values())) == len(strokes)


def test_a_kind_of_reply_that_is_not_known_is_drawn_all_the_same() -> None:
    assert "2 odd kind" in texts(failure_bars(page(column(outcomes={"odd_kind": 2}))))


def test_a_negative_count_is_refused_and_without_replies_there_is_no_chart() -> None:
    with pytest.raises(ValueError, match="-1 replies empty cannot be"):
        failure_bars(page(column(outcomes={"empty": -1})))
    assert failure_bars(page(column(outcomes={}))) is None


def test_latencies_are_a_box_with_median_and_the_slowest() -> None:
    chart = latency_plot(page(column("base", latencies=[1, 2, 3, 4, 9.5]), column("untimed")))

    assert "3.00 s" in texts(chart)
    assert "untimed" not in texts(chart)
    assert "median 3.00 s, 95% within 8.40 s, slowest 9.50 s, n 5" in hovers(chart)
    assert len(with_class(chart, "box")) == len(with_class(chart, "median")) == 1


@pytest.mark.parametrize("seconds", [[2.0], [0.0, 0.0], [1.0, 1.0, 500.0]])
def test_few_latencies_are_dots_and_not_a_box(seconds: list[float]) -> None:
    chart = latency_plot(page(column(latencies=seconds)))

    assert_harmless(str(chart))
    assert not with_class(chart, "box")
    assert len([one for one in with_class(chart, "mark") if one.get("r") == "3"]) == len(seconds)


def test_where_nothing_was_timed_there_is_no_latency_plot() -> None:
    assert latency_plot(page(column())) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0, 1))
def test_a_quantile_lies_within_the_values_and_the_ends_are_theirs(values: list[float], q: float) -> None:
    ordered = sorted(values)

    assert ordered[0] <= quantile(ordered, q) <= ordered[-1]
    assert (quantile(ordered, 0), quantile(ordered, 1)) == (ordered[0], ordered[-1])


@given(st.lists(st.floats(0, 1e18), min_size=1, max_size=9))
@example([0.0, 5e-324])
@example([5e-324])
@example([1e-8, 1e18])
@example([99.9999, 100.0])
def test_an_axis_holds_its_values_and_its_numbers_do_not_touch(values: list[float]) -> None:
    for axis in (positive_axis(values, 20, 340), linear_axis(values, 20, 340)):
        assert all(19.9 <= axis.at(value) <= 340.1 for value in values)
        assert axis.ticks and list(axis.ticks) == sorted(set(axis.ticks))
        spans = [(axis.at(tick), text_width(tick_label(tick)) / 2) for tick in axis.ticks]
        assert all(a + half + other <= b for (a, half), (b, other) in itertools.pairwise(spans))


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=9))
@example([0.7])
def test_an_axis_begins_and_ends_at_a_tick(values: list[float]) -> None:
    axis = linear_axis(values, 20, 340)

    assert (axis.low, axis.high) == (axis.ticks[0], axis.ticks[-1])


@given(st.floats(0, 1))
def test_only_all_is_100_percent_and_only_none_is_0(rate: float) -> None:
    assert (percent(rate) == "100") is (rate == 1)
    assert (percent(rate) == "0") is (rate == 0)


def themes() -> dict[str, dict[str, str]]:
    """The colours of charts.css by name, in the light and in the dark."""
    css = files("evals.report").joinpath("charts.css").read_text("utf-8")
    light, dark = css.split("@media screen and (prefers-color-scheme: dark)")
    found = {
        name: dict(re.findall(r"--gg-([\w-]+): (#\w{6})", part))
        for name, part in (("light", light), ("dark", dark))
    }
    return {"light": found["light"], "dark": {**found["light"], **found["dark"]}}


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.2, from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_marks_can_be_seen(theme: str) -> None:
    colours = themes()[theme]
    marks = [*(f"m{k}" for k in range(7)), "good", "open", "bad", "axis"]

    assert all(contrast(colours[name], colours["paper"]) >= 4.5 for name in ("ink", "soft"))
    assert {name for name in marks if contrast(colours[name], colours["paper"]) < 3} == set()
    on = {k: "on-low" if k < 6 else "on-high" for k in range(9)}
    assert {k for k in on if contrast(colours[f"s{k}"], colours[on[k]]) < 4.5} == set()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_higher_rate_is_always_a_stronger_colour(theme: str) -> None:
    colours = themes()[theme]

    against_paper = [contrast(colours[f"s{k}"], colours["paper"]) for k in range(9)]

    assert against_paper == sorted(against_paper)


def test_every_class_of_a_chart_has_a_rule() -> None:
    css = files("evals.report").joinpath("charts.css").read_text("utf-8")
    models = [timed(f"m{k}", k, 2.0**k, 10**9 * (k + 1)) for k in range(8)]
    told = verdict(difference(1, -4, 6), difference(2, 1, 3, task="x"), requirements=[asked("open")])
    used = {
        name
        for chart in every_chart(models, told)
        for one in parsed(chart).iter()
        for name in one.get("class", "").split()
    }

    kinds = {"gg-heat", "gg-pareto", "gg-forest", "gg-failures", "gg-latency"}
    assert {name for name in used - kinds if f".{name}" not in css} == set()
