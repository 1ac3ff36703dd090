"""Charts as text: what is drawn where, on which scale, with which words beside it."""

import re
from pathlib import Path

import pytest

from server.web.charts import Dot, Scale, chart, glucose_scale, pressure_scale
from server.web.row_pictures import HEIGHT, RADIUS, sparkline

GOLDEN = Path(__file__).parent / "golden"
LINES = (140.0, 90.0)
DOTS = (
    Dot(day=0.3, high=128, low=80, slot="morning"),
    Dot(day=1.8, high=152, low=94, slot="evening", is_past_line=True),
    Dot(day=2.5, high=140, low=90, slot="other"),
)


def test_a_sparkline_is_the_text_that_was_looked_at() -> None:
    drawn = sparkline(DOTS, scale=pressure_scale(LINES), days=7, says="three readings")

    assert drawn == (GOLDEN / "sparkline.svg").read_text(encoding="utf-8").rstrip("\n")


def test_a_chart_is_the_text_that_was_looked_at() -> None:
    drawn = chart(
        DOTS,
        scale=pressure_scale(LINES),
        days=7,
        day_names=[(0.5, "11月15日"), (6.5, "11月21日")],
        unit="mmHg",
        says="three readings",
    )

    assert drawn == (GOLDEN / "chart.svg").read_text(encoding="utf-8").rstrip("\n")


def test_words_from_outside_cannot_become_markup() -> None:
    drawn = sparkline(DOTS, scale=pressure_scale(LINES), days=7, says='"><script>&')

    assert "<script" not in drawn
    assert 'aria-label="&quot;&gt;&lt;script&gt;&amp;"' in drawn


def test_every_row_has_the_same_scale_whatever_its_values() -> None:
    low = sparkline([Dot(day=1, high=90, low=60)], scale=pressure_scale(LINES), days=7, says="")
    high = sparkline([Dot(day=1, high=200, low=130)], scale=pressure_scale(LINES), days=7, says="")

    assert [line for line in low.splitlines() if "threshold" in line] == [
        line for line in high.splitlines() if "threshold" in line
    ]


@pytest.mark.parametrize(("value", "points"), [(250.0, "up"), (30.0, "down")])
def test_a_value_beyond_the_scale_is_an_arrow_at_its_edge(value: float, points: str) -> None:
    drawn = sparkline([Dot(day=1, high=value)], scale=pressure_scale(()), days=7, says="")

    (arrow,) = [line for line in drawn.splitlines() if line.startswith("<path")]
    y_of_tip = float(arrow.split('d="M')[1].split("l")[0].split()[1])
    assert y_of_tip == pytest.approx(4 - RADIUS if points == "up" else HEIGHT - 4 + RADIUS, abs=0.06)
    assert (f"l{RADIUS} {2 * RADIUS}" in arrow) == (points == "up")


def test_morning_evening_and_other_times_have_shapes_of_their_own() -> None:
    pictures = [
        sparkline([Dot(day=1, high=120, slot=slot)], scale=pressure_scale(()), days=7, says="")
        for slot in ("morning", "evening", "other")
    ]

    shapes = [re.sub(r"[\d. -]+", " ", each.splitlines()[1].split('d="')[1]) for each in pictures]
    assert shapes == ['M a a z"/>', 'M l l l z"/>', 'M h v h z"/>'], "a circle, a diamond, a square"


def test_a_value_past_the_line_differs_by_class_and_not_by_style() -> None:
    drawn = chart(DOTS, scale=pressure_scale(LINES), days=7, day_names=[], unit="mmHg", says="")

    assert drawn.count('class="past"') == 2
    assert drawn.count('class="within"') == 4
    assert "style=" not in drawn


def test_glucose_is_drawn_without_a_pair_and_on_its_own_scale() -> None:
    drawn = chart([Dot(day=1, high=7.0)], scale=glucose_scale(), days=7, day_names=[], unit="mmol/L", says="")

    assert 'class="pair' not in drawn
    assert ">20</text>" in drawn
    assert ">mmol/L</text>" in drawn


def test_the_lowest_and_the_highest_of_a_scale_are_its_edges() -> None:
    scale = Scale(lowest=0, highest=10, step=10)

    drawn = chart([], scale=scale, days=1, day_names=[], unit="", says="")

    assert 'y1="292.0"' in drawn
    assert 'y1="24.0"' in drawn
