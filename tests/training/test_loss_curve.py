"""The loss curve as a file: what it draws, what it says to those who do not see it, and what it never does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.browser import Browser, chromium
from training.loss_curve import LossPoint, loss_svg

NS = "{http://www.w3.org/2000/svg}"


def parsed(points: list[LossPoint]) -> ET.Element:
    return ET.fromstring(loss_svg(points))


def trained(*losses: float) -> list[LossPoint]:
    return [LossPoint(step, loss, held_out=False) for step, loss in enumerate(losses, 1)]


def words(root: ET.Element) -> list[str]:
    return ["".join(one.itertext()) for one in root.iter(f"{NS}text")]


def curves(root: ET.Element, k: int) -> list[list[tuple[float, float]]]:
    """The corners of each line of a curve, without its legend's."""
    found = [one for one in root.iter(f"{NS}polyline") if one.get("class") == f"gg-curve gg-m{k}"]
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in one.get("points", "").split())]
        for one in found
    ][1:]


def described(root: ET.Element) -> str:
    (found,) = root.iter(f"{NS}desc")
    return found.text or ""


def test_both_curves_are_drawn_named_and_described() -> None:
    root = parsed([
        *trained(2, 1, 0.5, 0.75),
        LossPoint(2, 1.5, held_out=True),
        LossPoint(4, 1.25, held_out=True),
    ])
    (line,) = curves(root, 0)
    (held_out,) = curves(root, 1)
    assert (len(line), len(held_out)) == (4, 2)
    assert [x for x, _ in held_out] == [line[1][0], line[3][0]]
    assert line[2][1] > line[3][1] > line[1][1] > held_out[1][1] > held_out[0][1] > line[0][1]
    assert {"training loss: last 0.75, lowest 0.5 at step 3", "held-out loss: last 1.25", "step"} <= set(
        words(root)
    )
    assert root.get("role") == "img"
    assert [one.text for one in root.findall(f"{NS}title")] == ["Loss over the steps of the training"]
    assert described(root) == (
        "Training loss: 2 at step 1, 0.75 at step 4, lowest 0.5 at step 3. "
        "Held-out loss: 1.5 at step 2, 1.25 at step 4, lowest 1.25 at step 4."
    )


def test_the_two_curves_differ_in_more_than_their_colour() -> None:
    root = parsed([*trained(2, 1), LossPoint(2, 1.5, held_out=True)])
    assert len(list(root.iter(f"{NS}circle"))) == 2 + 1  # with the legend's
    assert len(list(root.iter(f"{NS}polygon"))) == 1 + 1


def test_the_file_stands_by_itself_in_light_and_dark() -> None:
    text = loss_svg(trained(2, 1))
    assert "prefers-color-scheme: dark" in text
    assert text.startswith("<svg ")
    assert not re.findall(r"href|url\(|@import|<script|http(?!://www\.w3\.org/2000/svg)", text)


def test_no_points_at_all_are_told() -> None:
    root = parsed([])
    assert words(root) == ["No loss was recorded."]
    assert described(root) == "No loss was recorded."


def test_one_point_is_a_mark_on_axes() -> None:
    root = parsed(trained(2.3456789))
    assert curves(root, 0) == []
    (legend, mark) = root.iter(f"{NS}circle")
    assert "training, step 1: 2.346" in "".join(mark.itertext())
    assert legend is not mark
    assert "training loss: last 2.346" in words(root)


def test_a_constant_loss_is_a_level_line_between_other_ticks() -> None:
    root = parsed(trained(0.7, 0.7, 0.7))
    (line,) = curves(root, 0)
    assert len({y for _, y in line}) == 1
    assert line[0][1] > 0
    assert len([one for one in words(root) if re.fullmatch(r"0\.\d+", one)]) > 1


def test_losses_that_are_no_numbers_break_the_line_and_are_told() -> None:
    root = parsed(trained(4, 3, math.nan, 2, math.inf, 1.5, 1))
    first, last = curves(root, 0)
    assert (len(first), len(last)) == (2, 2)
    assert len(list(root.iter(f"{NS}circle"))) == 5 + 1  # the one between the gaps is a mark, too
    told = "Left out, where the loss was no number: steps 3, 5."
    assert told in described(root)
    assert told in " ".join(words(root))


def test_a_point_alone_between_gaps_is_seen_where_there_are_too_many_for_marks() -> None:
    losses = [1 + 1 / step for step in range(1, 101)]
    losses[49] = losses[51] = math.nan
    root = parsed(trained(*losses))
    (_, mark) = root.iter(f"{NS}circle")
    assert "step 51" in "".join(mark.itertext())
    assert [len(line) for line in curves(root, 0)] == [49, 48]


def test_only_losses_that_are_no_numbers_are_told_and_not_drawn() -> None:
    root = parsed(trained(*[math.nan] * 7, -math.inf))
    assert " ".join(words(root)) == "Left out, where the loss was no number: steps 1, 2, 3, 4, 5 and 3 more."
    assert not list(root.iter(f"{NS}line"))


def test_one_step_that_is_no_number_is_told_in_the_singular() -> None:
    assert "no number: step 2." in described(parsed(trained(1, math.nan)))


def test_points_in_any_order_are_drawn_by_step() -> None:
    points = trained(3, 2, 1)
    assert loss_svg(points[::-1]) == loss_svg(points)


def test_there_are_no_halves_of_steps_below_the_axis() -> None:
    assert not [
        one for one in words(parsed(trained(1, 2))) if re.fullmatch(r"\d\.5|0\.\d+", one) and float(one) < 1
    ]


@given(
    st.lists(
        st.builds(
            LossPoint, st.integers(0, 10**7), st.floats(allow_nan=True, allow_infinity=True), st.booleans()
        ),
        max_size=80,
    )
)
def test_whatever_was_recorded_is_well_formed_and_inside_the_picture(points: list[LossPoint]) -> None:
    root = parsed(points)
    left, top, width, height = map(float, (root.get("viewBox") or "").split())
    for k in (0, 1):
        for x, y in (corner for line in curves(root, k) for corner in line):
            assert left <= x <= left + width
            assert top <= y <= top + height
    drawable = [point for point in points if math.isfinite(point.loss) and abs(point.loss) <= 1e18]
    assert ("Left out" in described(root)) == (len(drawable) < len(points))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_it_in_the_colours_of_the_screen(
    browser: Browser, tmp_path: Path, dark: bool
) -> None:
    file = tmp_path / "loss.svg"
    file.write_text(loss_svg(trained(3, 2, 1)), encoding="utf-8")
    browser.show(file, dark=dark)
    paper, ink = browser.driver.execute_script(
        "return ['.gg-paper', '.gg-ink'].map(one => getComputedStyle(document.querySelector(one)).fill)"
    )
    assert (paper, ink) == (
        ("rgb(20, 24, 29)", "rgb(232, 235, 238)") if dark else ("rgb(255, 255, 255)", "rgb(28, 33, 39)")
    )
