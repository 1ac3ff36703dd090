"""The body's noise has the published shape, so that rules can be ranked by it."""

import random
import statistics
from itertools import pairwise

import pytest

from firmware_sims.physiology import (
    Inflation,
    SetPoint,
    draw_day,
    draw_glucose_mg_dl,
    draw_inflation,
    draw_sitting,
)


def day_of_inflations(rng: random.Random, set_point: SetPoint) -> list[Inflation]:
    """Two sittings of two."""
    day = draw_day(rng)
    sittings = [draw_sitting(rng, day) for _ in range(2)]
    return [draw_inflation(rng, set_point, sitting) for sitting in sittings for _ in range(2)]


def test_the_same_seed_gives_the_same_body() -> None:
    point = SetPoint(systolic_mmhg=140, diastolic_mmhg=85)
    assert day_of_inflations(random.Random(5), point) == day_of_inflations(random.Random(5), point)


def test_means_and_spreads_are_those_of_the_model() -> None:
    rng, point = random.Random(20261122), SetPoint(systolic_mmhg=138, diastolic_mmhg=84)
    inflations = [day_of_inflations(rng, point)[0] for _ in range(8000)]
    systolic = [i.systolic_mmhg for i in inflations]
    diastolic = [i.diastolic_mmhg for i in inflations]
    assert statistics.fmean(systolic) == pytest.approx(138, abs=0.4)
    assert statistics.fmean(diastolic) == pytest.approx(84, abs=0.3)
    assert statistics.stdev(systolic) == pytest.approx(75**0.5, abs=0.3)  # 5, 5 and 5
    assert statistics.stdev(diastolic) == pytest.approx(34**0.5, abs=0.2)  # 3, 3 and 4


def test_days_deviate_together_by_the_stated_correlation() -> None:
    rng = random.Random(1)
    days = [draw_day(rng) for _ in range(8000)]
    r = statistics.correlation([d.systolic_mmhg for d in days], [d.diastolic_mmhg for d in days])
    assert r == pytest.approx(0.6, abs=0.03)


def test_two_readings_of_a_sitting_differ_as_published() -> None:
    """By 10 mmHg or more, systolic or diastolic, in a quarter of the sittings (25.2 % of 77,520 volunteers)."""
    rng, point = random.Random(2), SetPoint(systolic_mmhg=130, diastolic_mmhg=80)
    pairs = [day_of_inflations(rng, point)[:2] for _ in range(8000)]
    far = [
        abs(a.systolic_mmhg - b.systolic_mmhg) >= 10 or abs(a.diastolic_mmhg - b.diastolic_mmhg) >= 10 for a, b in pairs
    ]
    assert statistics.fmean(far) == pytest.approx(0.256, abs=0.02)


@pytest.mark.parametrize(("true_mean", "low", "high"), [(125, 0.0, 0.01), (130, 0.0, 0.03), (140, 0.85, 0.96)])
def test_three_high_days_in_a_month_are_as_likely_as_the_design_computed(
    true_mean: float, low: float, high: float
) -> None:
    """Day means of four readings above 140/90 on three days in a row: .000, .005 and .913 there."""
    rng, point = random.Random(3), SetPoint(systolic_mmhg=true_mean, diastolic_mmhg=78)
    months = [[_is_high(day_of_inflations(rng, point)) for _ in range(32)] for _ in range(400)]
    flagged = [any(all(days) for days in zip(month, month[1:], month[2:], strict=False)) for month in months]
    assert low <= statistics.fmean(flagged) <= high


def _is_high(day: list[Inflation]) -> bool:
    return statistics.fmean(i.systolic_mmhg for i in day) > 140 or statistics.fmean(i.diastolic_mmhg for i in day) > 90


def test_diastolic_stays_below_systolic() -> None:
    rng, point = random.Random(4), SetPoint(systolic_mmhg=100, diastolic_mmhg=98)
    assert all(i.systolic_mmhg - i.diastolic_mmhg >= 15 for _ in range(500) for i in day_of_inflations(rng, point))


def test_glucose_errs_as_the_meter_standard_allows() -> None:
    rng = random.Random(6)
    drawn = [draw_glucose_mg_dl(rng, 180) for _ in range(4000)]
    assert statistics.fmean(drawn) == pytest.approx(180, abs=1.5)
    assert statistics.stdev(drawn) == pytest.approx((10**2 + (180 * 15 / 196) ** 2) ** 0.5, abs=0.8)
    assert min(draw_glucose_mg_dl(rng, 20) for _ in range(200)) >= 20


def test_days_do_not_remember_the_day_before() -> None:
    rng = random.Random(7)
    days = [draw_day(rng).systolic_mmhg for _ in range(8000)]
    before, after = zip(*pairwise(days), strict=True)
    assert statistics.correlation(before, after) == pytest.approx(0, abs=0.04)
