"""The figures of a glucose report, from values whose answers are known: by hand, or from the publications that define them."""

from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from unit.rules.glucose_cases import MIDNIGHT, MINUTE

from server.rules import glucose_metrics as metrics
from server.rules import glucose_swings as swings
from server.rules.glucose_report import GlucoseReport, report
from server.rules.glucose_trace import Trace
from server.rules.windows import HI, LO, to_us

VECTOR = (50, 65, 90, 120, 150, 200, 260, 110, 100, 140)
DAY_US = 86_400_000_000
MINUTE_US = 60_000_000


def trace(values: Any, every: timedelta = 15 * MINUTE, at_us: list[int] | None = None) -> Trace:
    """Readings in mg/dL from 03:00 on, on clinical days of 24 hours."""
    n = len(values)
    at = np.array(at_us if at_us is not None else [to_us(MIDNIGHT + k * every) for k in range(n)], np.int64)
    numbers = [0 if isinstance(value, str) else round(value * 1_000_000) for value in values]
    return Trace(
        rows=np.arange(n),
        at_us=at,
        day=(at - to_us(MIDNIGHT)) // DAY_US,
        micro=np.array(numbers, np.int64),
        censored=np.array([{"HI": HI, "LO": LO}.get(value, 0) for value in values], np.int8),
    )


def of(values: Any, *, days: int = 1, **more: Any) -> GlucoseReport:
    return report(trace(values, **more), days=days)


def test_the_levels_of_the_test_vector_are_the_published_formulas() -> None:
    levels = of(VECTOR).levels
    assert levels is not None
    assert levels.numbers == 10
    assert levels.mean_mg_dl == 128.5
    assert levels.mean_mmol_l == pytest.approx(128.5 / 18.0182)
    assert levels.sd_mg_dl == pytest.approx(63.1599, abs=1e-4)
    assert levels.cv_percent == pytest.approx(49.152, abs=1e-3)
    assert levels.gmi_percent == pytest.approx(6.38372, abs=1e-9)
    assert levels.gmi_mmol_mol == pytest.approx(12.71 + 4.70587 * 128.5 / 18.0182)
    assert levels.lbgi == pytest.approx(3.50765, abs=1e-5)
    assert levels.hbgi == pytest.approx(4.10098, abs=1e-5)


def test_the_shares_of_the_test_vector_are_the_published_ones() -> None:
    shares = of(VECTOR).shares
    assert shares is not None
    assert (shares.tir_percent, shares.titr_percent) == (60, 50)
    assert (shares.tbr_70_percent, shares.tbr_54_percent) == (20, 10)
    assert (shares.tar_180_percent, shares.tar_250_percent) == (20, 10)
    assert (shares.gri, shares.gri_zone) == (78, "D")


@pytest.mark.parametrize(
    ("value", "band"),
    [(53.999999, 0), (54, 1), (69.999999, 1), (70, 2), (180, 2), (180.000001, 3), (250, 3), (250.000001, 4)],
)
def test_the_bands_meet_where_the_definition_says(value: float, band: int) -> None:
    only = trace([value])
    assert metrics.bands(only.micro, only.censored).tolist() == [band]


@pytest.mark.parametrize(("mg_dl", "score"), [(112.517, 0), (70, -0.8806), (180, 0.8792)])
def test_the_risk_of_a_value_is_ten_times_the_square_of_its_score(mg_dl: float, score: float) -> None:
    low, high = metrics.risks(trace([mg_dl]).micro)
    assert int(low[0]) / 1e6 == pytest.approx(10 * min(0.0, score) ** 2, abs=2e-3)
    assert int(high[0]) / 1e6 == pytest.approx(10 * max(0.0, score) ** 2, abs=2e-3)


def test_hi_and_lo_count_in_shares_and_in_nothing_that_takes_numbers() -> None:
    made = of(["HI", "LO", 100, 100])
    assert made.levels is not None
    assert made.shares is not None
    assert (made.levels.numbers, made.levels.mean_mg_dl) == (2, 100)
    assert (made.shares.readings, made.shares.tbr_54_percent, made.shares.tar_250_percent) == (4, 25, 25)
    assert made.shares.gri == 100
    assert made.sufficiency_percent == pytest.approx(100 * 4 / 96)


@pytest.mark.parametrize(
    ("counts", "zone"), [((0, 0, 1, 0, 0), "A"), ((0, 1, 11, 0, 0), "A"), ((0, 0, 3, 1, 0), "A"), ((0, 0, 2, 1, 0), "B"),
                         ((1, 0, 3, 0, 0), "D"), ((1, 0, 0, 0, 0), "E")]
)  # fmt: skip
def test_a_zone_is_a_fifth_of_the_index(counts: tuple[int, ...], zone: str) -> None:
    assert metrics.gri_zone(metrics.gri(counts)) == zone


def test_nothing_measured_is_nothing_said() -> None:
    made = of([], days=14)
    assert (made.levels, made.shares, made.modd_mg_dl, made.lage_mg_dl, made.episodes) == (None, None, None, {}, ())
    assert (made.sufficiency_percent, made.is_sufficient) == (0, False)


def test_one_reading_does_not_vary() -> None:
    levels = of([100]).levels
    assert levels is not None
    assert (levels.sd_mg_dl, levels.cv_percent, levels.mage_mg_dl) == (None, None, None)


def test_a_period_is_sufficient_from_seventy_percent_on() -> None:
    assert of([100] * 68).is_sufficient
    assert not of([100] * 67).is_sufficient


def test_a_days_spread_takes_three_readings() -> None:
    at_us = [to_us(MIDNIGHT) + minute * MINUTE_US for minute in (0, 60, 120, 1440, 1500, 2880, 2940, 3000)]
    made = of([100, 180, 90, 100, 300, 110, 110, 150], at_us=at_us, days=3)
    assert made.lage_mg_dl == {0: 90, 2: 40}


# -- swings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "amplitude"),
    [
        ([100, 200, 100, 200, 100], 100),  # up first: two of 100
        ([200, 100, 220, 100, 200], 110),  # down first: 100 and 120
        ([100, 200, 190, 210, 100], 110),  # 10 and 20 are less than one SD, and do not end the way up
        ([100, 200, 150, 250], 150),  # 50 is less than one SD of 65: one way up from 100 to 250
        ([100, 100, 100], None),
        ([100], None),
    ],
)
def test_the_amplitude_is_of_swings_of_more_than_one_sd(values: list[float], amplitude: float | None) -> None:
    assert swings.mage(np.array(values, np.float64)) == amplitude


def test_the_turning_points_are_the_same_as_by_taking_out_the_smallest_swing() -> None:
    """Another way to the same: as long as a swing between two extremes is not more than one SD, its ends are taken out."""
    for seed in range(200):
        random = Random(seed)
        values = [random.randint(60, 240) for _ in range(random.randint(2, 40))]
        least = float(np.std(values, ddof=1))
        found = swings._turning_points(np.array(values, np.float64), least)
        assert [abs(b - a) for a, b in pairwise(found)] == [
            abs(b - a) for a, b in pairwise(_without_small(values, least))
        ]


def _without_small(values: list[int], least: float) -> list[float]:
    turns = [float(v) for v, _ in _extremes(values)]
    while len(turns) > 1:
        swing, place = min((abs(b - a), k) for k, (a, b) in enumerate(pairwise(turns)))
        if swing > least:
            return turns
        if 0 < place < len(turns) - 2:
            del turns[place : place + 2]
        else:  # at an end the outer of the two goes, for the inner one is the more extreme of what follows or came before
            del turns[0 if place == 0 else len(turns) - 1]
    return []


def _extremes(values: list[int]) -> list[tuple[int, int]]:
    kept = [(value, k) for k, value in enumerate(values) if k == 0 or value != values[k - 1]]
    inner = [b for a, b, c in zip(kept, kept[1:], kept[2:], strict=False) if (b[0] - a[0]) * (c[0] - b[0]) < 0]
    return [kept[0], *inner, kept[-1]] if len(kept) > 1 else kept


def test_the_daily_difference_is_of_instants_a_day_apart() -> None:
    values = [100.0] * 96 + [130.0] * 96
    at_us = np.array([k * 15 * MINUTE_US for k in range(192)], np.int64)
    assert swings.modd(at_us, np.array(values), gap_minutes=45) == 30


def test_between_two_readings_the_trace_is_a_line_and_across_a_gap_there_is_none() -> None:
    at_us = np.array([0, 30 * MINUTE_US, DAY_US + 15 * MINUTE_US], np.int64)
    values = np.array([100.0, 120.0, 150.0])
    assert swings.modd(at_us, values, gap_minutes=45) == pytest.approx(40)
    assert swings.modd(at_us, values, gap_minutes=29) is None
    assert swings.modd(at_us[:2], values[:2], gap_minutes=45) is None


# -- episodes ----------------------------------------------------------------------------------------------------------


def test_what_is_below_54_is_an_episode_of_its_own_within_that_below_70() -> None:
    made = of([100, 65, 50, 50, 50, 65, 100, 100, 100], every=10 * MINUTE)
    said = [(each.is_low, each.limit_mg_dl, each.is_over) for each in made.episodes]
    assert said == [(True, 70, True), (True, 54, True)]
    low, very_low = made.episodes
    assert (low.began_at, low.until) == (MIDNIGHT + 10 * MINUTE, MIDNIGHT + 50 * MINUTE)
    assert (very_low.began_at, very_low.until) == (MIDNIGHT + 20 * MINUTE, MIDNIGHT + 40 * MINUTE)


def test_what_goes_on_at_the_end_is_not_over() -> None:
    (high,) = of([100, 190, 190], every=15 * MINUTE).episodes
    assert (high.is_low, high.is_over) == (False, False)


def test_an_excursion_is_what_asking_each_reading_finds() -> None:
    """By asking of each reading whether a run of at least so long ends with it."""
    for seed in range(300):
        random = Random(seed)
        at_us = np.cumsum([random.choice((1, 5, 5, 10, 14, 15, 46)) for _ in range(random.randint(1, 40))]) * MINUTE_US
        beyond = np.array([random.random() < 0.6 for _ in at_us])
        found = [
            (each.first, each.opened, each.newest, each.ended)
            for each in swings.excursions(at_us.astype(np.int64), beyond, minutes=15, gap_minutes=45)
        ]
        assert found == _asked_one_by_one(at_us.tolist(), beyond.tolist())


def _asked_one_by_one(at_us: list[int], beyond: list[bool]) -> list[tuple[int, int, int, int | None]]:
    found: list[tuple[int, int, int, int | None]] = []
    start = 0
    for k, (at, is_beyond) in enumerate(zip(at_us, beyond, strict=True)):
        if k and (beyond[k - 1] != is_beyond or at - at_us[k - 1] > 45 * MINUTE_US):
            start = k
        is_open = bool(found) and found[-1][3] is None
        has_lasted = at - at_us[start] >= 15 * MINUTE_US
        if is_beyond and is_open:
            found[-1] = (*found[-1][:2], k, None)
        elif is_beyond and has_lasted:
            found.append((start, k, k, None))
        elif not is_beyond and is_open and has_lasted:
            found[-1] = (*found[-1][:3], k)
    return found


def test_the_figures_of_whole_numbers_are_exact() -> None:
    assert metrics.gmi_percent(Fraction(257, 2)) == Fraction("6.38372")
    assert metrics.gri((1, 1, 6, 1, 1)) == 78
    assert metrics.variance(3, 6, 14) == 1
    assert metrics.cv_percent_squared(3, 6, 14) == 50**2
