"""Finger-sticks by meal against plain arithmetic, and each limit in the unit in which its meter showed the value."""

import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from statistics import fmean, stdev

import pytest

from server.rules.glucose_slots import BANDS, SLOTS, Stick, Unit, report

AT = datetime(2026, 3, 1, 7, tzinfo=UTC)


def stick(
    value: float | None, unit: Unit = "mmol/L", *, meal: str | None = None, censored: str | None = None, day: int = 0
) -> Stick:
    factor = 18.0182
    mmol_l = None if value is None else value if unit == "mmol/L" else value / factor
    mg_dl = None if value is None else value if unit == "mg/dL" else value * factor
    at = AT + timedelta(days=day)
    return Stick(at=at, day=day, mmol_l=mmol_l, mg_dl=mg_dl, unit=unit, censored=censored, meal=meal)


@pytest.mark.parametrize(
    ("value", "unit", "band"),
    [
        (2.9, "mmol/L", "very_low"),
        (3.0, "mmol/L", "low"),
        (3.8, "mmol/L", "low"),
        (3.9, "mmol/L", "in_range"),
        (10.0, "mmol/L", "in_range"),
        (10.1, "mmol/L", "high"),
        (13.9, "mmol/L", "high"),
        (14.0, "mmol/L", "very_high"),
        (53.0, "mg/dL", "very_low"),
        (54.0, "mg/dL", "low"),
        (69.0, "mg/dL", "low"),
        (70.0, "mg/dL", "in_range"),  # 3.885 mmol/L
        (180.0, "mg/dL", "in_range"),
        (181.0, "mg/dL", "high"),
        (250.0, "mg/dL", "high"),
        (251.0, "mg/dL", "very_high"),
    ],
)
def test_a_limit_is_that_of_the_unit_that_the_meter_showed(value: float, unit: Unit, band: str) -> None:
    assert stick(value, unit).band == band


def test_what_no_meter_can_say_counts_in_shares_and_in_no_mean() -> None:
    made = report([stick(None, censored="HI"), stick(None, censored="LO"), stick(6.0), stick(8.0)])

    assert made.mean_mmol_l == 7.0
    assert made.percent("very_low") == made.percent("very_high") == 25
    assert [each.censored for each in made.lows] == ["LO"]


@pytest.mark.parametrize(
    ("value", "meal", "at_goal"),
    [
        (4.4, "fasting", True),
        (4.3, "fasting", False),
        (7.2, "preprandial", True),
        (7.3, "preprandial", False),
        (9.9, "postprandial", True),
        (10.0, "postprandial", False),
        (5.0, "bedtime", None),
        (5.0, None, None),
        (5.0, "casual", None),
    ],
)
def test_each_meal_has_its_own_goal(value: float, meal: str | None, at_goal: bool | None) -> None:
    assert stick(value, meal=meal).is_at_goal is at_goal


@pytest.mark.parametrize("seed", range(10))
def test_every_figure_is_that_of_a_plain_computation(seed: int) -> None:
    drawn = random.Random(seed)
    meals = ["fasting", "preprandial", "postprandial", "bedtime", "casual", None]
    values = [(round(drawn.uniform(2.5, 16.0), 1), drawn.choice(meals), drawn.randrange(10)) for _ in range(60)]

    made = report([stick(value, meal=meal, day=day) for value, meal, day in values])

    numbers = [value for value, _, _ in values]
    assert made.mean_mmol_l == pytest.approx(fmean(numbers))
    assert made.sd_mmol_l == pytest.approx(stdev(numbers))
    assert made.cv_percent == pytest.approx(100 * stdev(numbers) / fmean(numbers))
    assert made.percent("very_low", "low") == Fraction(100 * sum(value < 3.9 for value in numbers), 60)
    assert made.percent("in_range") == Fraction(100 * sum(3.9 <= value <= 10.0 for value in numbers), 60)
    fasting = [value for value, meal, _ in values if meal == "fasting"]
    assert made.slots["fasting"].n == len(fasting)
    assert made.slots["fasting"].highest_mmol_l == max(fasting)
    assert made.slots["fasting"].at_goal == sum(4.4 <= value <= 7.2 for value in fasting)
    assert sum(made.counts[band] for band in BANDS) == made.n == 60
    assert sum(len(cell) for day in made.grid.values() for cell in day.values()) == 60
    assert sum(made.slots[slot].n for slot in SLOTS) == 60


def test_six_readings_have_no_spread() -> None:
    assert report([stick(6.0, day=day) for day in range(6)]).sd_mmol_l is None
    assert report([stick(6.0 + day, day=day) for day in range(7)]).sd_mmol_l == pytest.approx(stdev(range(7)))
    assert report([stick(6.0 + number, day=0) for number in range(7)]).cv_percent is None  # all of one day
