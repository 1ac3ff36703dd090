"""The profile of a worn sensor against sorted lists and `statistics.quantiles`."""

import random
from statistics import quantiles

import numpy as np
import pytest

from server.rules.glucose_profile import READINGS_MIN, profile
from server.rules.glucose_trace import Trace
from server.rules.windows import HI, LO

MINUTE_US = 60_000_000
DAY_MINUTES = 1440


def trace_of(minutes: list[int], mg_dl: list[float], censored: list[int] | None = None) -> Trace:
    at_us = np.array(minutes, np.int64) * MINUTE_US
    return Trace(
        rows=np.arange(len(minutes)),
        at_us=at_us,
        day=at_us // (DAY_MINUTES * MINUTE_US),
        micro=np.array([round(value * 1e6) for value in mg_dl], np.int64),
        censored=np.array(censored or [0] * len(minutes), np.int8),
    )


def clock_of(trace: Trace) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    return np.asarray(trace.at_us % (DAY_MINUTES * MINUTE_US), np.int64)


@pytest.mark.parametrize("seed", range(4))
def test_every_percentile_is_that_of_all_readings_within_half_an_hour(seed: int) -> None:
    drawn = random.Random(seed)
    minutes = sorted(drawn.sample(range(14 * DAY_MINUTES), 3000))
    trace = trace_of(minutes, [drawn.uniform(45, 320) for _ in minutes])

    lines = profile(trace, clock_of(trace)).lines

    values = trace.micro / 1e6
    for slot in range(0, 96, 5):
        middle = slot * 15
        near = [
            float(value)
            for minute, value in zip(minutes, values, strict=True)
            if min((minute - middle) % DAY_MINUTES, (middle - minute) % DAY_MINUTES) <= 30
        ]
        hundredths = quantiles(near, n=100, method="inclusive")
        expected = [hundredths[percent - 1] for percent in (5, 25, 50, 75, 95)]
        assert lines[slot].tolist() == pytest.approx(expected, abs=1e-6), slot


def test_midnight_sees_both_evening_and_morning() -> None:
    trace = trace_of([1435, 1436, 1437, 1438, 1439, 1441, 1442, 1443], [100, 100, 100, 100, 200, 200, 200, 200])

    assert profile(trace, clock_of(trace)).lines[0, 2] == 150


def test_where_readings_are_too_few_the_profile_is_interrupted() -> None:
    trace = trace_of(list(range(600, 600 + READINGS_MIN - 1)), [100.0] * (READINGS_MIN - 1))

    assert np.isnan(profile(trace, clock_of(trace)).lines).all()


def test_hi_and_lo_stand_beyond_every_number() -> None:
    trace = trace_of([600, 601, 602, 603, 604], [0.0, 90.0, 100.0, 110.0, 0.0], [LO, 0, 0, 0, HI])

    line = profile(trace, clock_of(trace)).lines[40]

    assert (line[2], line[0] < 90, line[4] > 110) == (100, True, True)
