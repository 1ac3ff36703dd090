"""The figures of a clinic's report of home blood pressure: one period, its means by time of day, its share past a line. Pure.

Home protocol (Stergiou et al. 2018; the "722" consensus; docs/explanation/safety): seven days, two readings in the morning and
two in the evening, the first day left out; twelve readings and more make a mean that a decision may rest on. A longer period is
no such block: nothing of it is left out but the day of enrolment, which is practice. It judges nothing and knows no rule.

Only readings that rules may use count: accepted, not doubted by what lies around them, of a certain time, and not taken back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Final, Literal

import numpy as np

from server.rules.features import Features
from server.rules.kernels import MICRO
from server.rules.windows import ACCEPTED, TIME_CERTAIN

Part = Literal["morning", "evening", "other"]

BLOCK_DAYS: Final = 7
READINGS_NEEDED: Final = 12
"""After the first day is left out (Stergiou et al. 2018; AHA: three days of four readings)."""

HOME_SYSTOLIC_MMHG, HOME_DIASTOLIC_MMHG = 135, 85
"""At home this much corresponds to 140/90 in the office (AHA/ACC 2025, table 7)."""

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_NOON_US: Final = 9 * _HOUR_US
_EVENING_US: Final = 14 * _HOUR_US
"""12:00 and 17:00, counted from 03:00, where a clinical day begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """One reading of the period. `row` is its place in the window, `day` the clinical one (an ordinal).

    `counts`: it is in the means. It may be usable and not count: on the day that is left out.
    """

    row: int
    day: int
    part: Part
    systolic_micro: int
    diastolic_micro: int
    is_usable: bool
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """Means of `n` readings in mmHg, exact, and the spread of a sample (n - 1); `None` where one reading has none."""

    n: int
    systolic: Fraction
    diastolic: Fraction
    systolic_sd: float | None
    diastolic_sd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureReport:
    """The clinical days `first_day` to `last_day` (ordinals, both included). Averages are `None` where nothing counts.

    `left_out`: the day up to which nothing counts; `is_practice`: it is that of enrolment. `days`: with a reading that counts.
    """

    first_day: int
    last_day: int
    left_out: int | None
    is_practice: bool
    days: int
    is_enough: bool
    overall: Average | None
    morning: Average | None
    evening: Average | None
    readings: tuple[Pressure, ...]

    def percent(self, *, systolic: float, diastolic: float, is_met_at: bool) -> Fraction | None:
        """Of the readings that count: above either of the two, or (`is_met_at`) at it as well."""
        counted = [each for each in self.readings if each.counts]
        limits = round(systolic * MICRO), round(diastolic * MICRO)
        past = sum(_is_past(each, *limits, is_met_at=is_met_at) for each in counted)
        return Fraction(100 * past, len(counted)) if counted else None


def report(features: Features, *, first_day: int, last_day: int, is_block: bool) -> PressureReport:
    """The figures of these clinical days; the view of `features` begins fifteen days before them. `is_block`: by the protocol."""
    assert first_day <= last_day, "a period has a day"
    readings = _readings(features, first_day, last_day)
    enrolled_on = features.history.enrolled_on.toordinal()
    is_new = first_day <= enrolled_on  # the day of enrolment and all before it are practice
    left_out = _left_out(readings, enrolled_on if is_new else None, is_block=is_block)
    placed = tuple(
        Pressure(
            row=each.row,
            day=each.day,
            part=each.part,
            systolic_micro=each.systolic_micro,
            diastolic_micro=each.diastolic_micro,
            is_usable=each.is_usable,
            counts=each.is_usable and (left_out is None or each.day > left_out),
        )
        for each in readings
    )
    counted = [each for each in placed if each.counts]
    return PressureReport(
        first_day=first_day,
        last_day=last_day,
        left_out=left_out,
        is_practice=left_out == enrolled_on,
        days=len({each.day for each in counted}),
        is_enough=len(counted) >= READINGS_NEEDED,
        overall=average(counted),
        morning=average(each for each in counted if each.part == "morning"),
        evening=average(each for each in counted if each.part == "evening"),
        readings=placed,
    )


def average(readings: Iterable[Pressure]) -> Average | None:
    """Of all of them alike; `None` of none."""
    some = list(readings)
    if not some:
        return None
    systolic = [each.systolic_micro for each in some]
    diastolic = [each.diastolic_micro for each in some]
    return Average(
        n=len(some),
        systolic=Fraction(sum(systolic), len(some) * MICRO),
        diastolic=Fraction(sum(diastolic), len(some) * MICRO),
        systolic_sd=_spread(systolic),
        diastolic_sd=_spread(diastolic),
    )


def part_of(since_day_start_us: int) -> Part:
    """Morning from 03:00 to noon, evening from 17:00 until the clinical day ends, in between neither."""
    if since_day_start_us < _NOON_US:
        return "morning"
    return "evening" if since_day_start_us >= _EVENING_US else "other"


def _readings(features: Features, first_day: int, last_day: int) -> list[Pressure]:
    pressures, window = features.pressures, features.history.window
    walls = features.calendar.walls_of(pressures.at_us) % _DAY_US
    usable = (pressures.quality == ACCEPTED) & (window.time_quality[pressures.row] == TIME_CERTAIN)
    within = np.flatnonzero((pressures.day >= first_day) & (pressures.day <= last_day))
    return [
        Pressure(
            row=int(pressures.row[place]),
            day=int(pressures.day[place]),
            part=part_of(int(walls[place])),
            systolic_micro=int(pressures.systolic[place]),
            diastolic_micro=int(pressures.diastolic[place]),
            is_usable=bool(usable[place]),
            counts=bool(usable[place]),
        )
        for place in map(int, within)
    ]


def _left_out(readings: Sequence[Pressure], enrolled_on: int | None, *, is_block: bool) -> int | None:
    """The day up to which nothing counts: the first measured one of a block, and no earlier than that of enrolment."""
    usable = [each.day for each in readings if each.is_usable] if is_block else []
    first_measured = [min(usable)] if usable else []
    return max([*first_measured, *([] if enrolled_on is None else [enrolled_on])], default=None)


def _is_past(reading: Pressure, systolic: int, diastolic: int, *, is_met_at: bool) -> bool:
    if is_met_at:
        return reading.systolic_micro >= systolic or reading.diastolic_micro >= diastolic
    return reading.systolic_micro > systolic or reading.diastolic_micro > diastolic


def _spread(micro: Sequence[int]) -> float | None:
    n = len(micro)
    if n < 2:
        return None
    return sqrt(Fraction(n * sum(each * each for each in micro) - sum(micro) ** 2, n * (n - 1))) / MICRO
