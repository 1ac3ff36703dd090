"""One signal of one patient as a series of elements in order of time: what the trend kernels look at. Knows no rule's threshold.

An element is a reading, or what several readings come to (a sitting, a day). Only usable readings count: accepted, with a time
that is certain, and a number; a blood pressure of the day of enrolment or before it is practice.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.rules import kernels
from server.rules.features import Features, grouped
from server.rules.kernels import Int64s
from server.rules.signals import SOURCES, Elements, Signal
from server.rules.windows import (
    ACCEPTED,
    BLOOD_PRESSURE,
    FASTING,
    KIND_CODES,
    MEAL_CODES,
    POSTPRANDIAL,
    PREPRANDIAL,
    TIME_CERTAIN,
    from_us,
    to_us,
)

SPREAD_READINGS_MIN: Final = 3
"""A day's spread takes three readings (clinical 2.3)."""

MEAL_FROM_US: Final = 3_600_000_000
MEAL_TO_US: Final = 3 * MEAL_FROM_US
"""A reading after a meal is compared with one of one to three hours before it (clinical 2.3)."""

_DAY_US: Final = 86_400_000_000
_MORNING_US: Final = 9 * 3_600_000_000
"""From the begin of a clinical day at 03:00 to noon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """n elements: `at_us`, `day` (an ordinal that never goes back), `micro` (int32: millionths of the unit).

    The readings of element i are the rows `rows[first[i]:first[i + 1]]` of the window. Elements from `start` on are judged; those
    before it are in view for windows only.
    """

    at_us: Int64s
    day: Int64s
    micro: NDArray[np.int32]
    first: Int64s
    rows: NDArray[np.intp]
    start: int

    def __len__(self) -> int:
        return len(self.at_us)

    def at(self, element: int) -> datetime:
        return from_us(int(self.at_us[element]))


def series_of(features: Features, signal: Signal, unit: str, of: Elements) -> Series:
    """The elements of `signal` in `unit`, as far as they are known at `features.now`."""
    return features.once(("series", signal, unit, of), lambda: _elements(features, signal, unit, of))


def _elements(features: Features, signal: Signal, unit: str, of: Elements) -> Series:
    match of:
        case "sittings":
            return _sittings(features, signal)
        case "days":
            return _days(features, signal)
        case "day_spreads":
            return _day_spreads(features, signal, unit)
        case "meal_rises":
            return _meal_rises(features, signal, unit)
    rows, values = _usable(features, signal, unit)
    if of != "readings":
        rows = rows[np.sort(np.unique(features.day[rows], return_index=True)[1])]
    if of == "first_of_morning":
        since_day_start = features.calendar.walls_of(features.history.window.measured_at_us[rows]) % _DAY_US
        rows = rows[since_day_start < _MORNING_US]
    return _series(
        features,
        at_us=features.history.window.measured_at_us[rows],
        day=features.day[rows],
        micro=values[rows],
        first=np.arange(len(rows) + 1),
        rows=rows,
    )


def _usable(features: Features, signal: Signal, unit: str) -> tuple[NDArray[np.intp], Int64s]:
    """The rows of the window that a trend of `signal` may use, and the column of its values in millionths of the unit."""
    return features.once(("usable", signal, unit), lambda: _usable_now(features, signal, unit))


def _usable_now(features: Features, signal: Signal, unit: str) -> tuple[NDArray[np.intp], Int64s]:
    window, source = features.history.window, SOURCES[signal]
    values = getattr(window, source.columns[unit])
    usable = np.isin(window.kind, [KIND_CODES[kind] for kind in source.kinds]) & (features.quality == ACCEPTED)
    usable &= ~np.isnan(values) & (window.time_quality == TIME_CERTAIN) & (window.censored == 0)
    usable &= (window.kind != BLOOD_PRESSURE) | (features.day > features.history.enrolled_on.toordinal())
    if source.meals:
        usable &= np.isin(window.meal, [MEAL_CODES[meal] for meal in source.meals])
    return np.flatnonzero(usable), kernels.micro(np.nan_to_num(values))


def _sittings(features: Features, signal: Signal) -> Series:
    """Each sitting that is over, ten minutes after its last reading of any quality."""
    pressures, table = features.pressures, features.sittings
    ends = np.full(int(pressures.sitting.max(initial=-1)) + 1, 0, np.int64)
    np.maximum.at(ends, pressures.sitting[pressures.sitting >= 0], pressures.at_us[pressures.sitting >= 0])
    at_us = ends[table[:, 5]] + kernels.SITTING_GAP_US
    counts = (at_us <= to_us(features.now)) & (table[:, 1] > features.history.enrolled_on.toordinal())
    table, at_us = table[counts], at_us[counts]
    shares = table[:, 3 + kernels.SIGNAL_CODES[signal]]
    places = np.flatnonzero((pressures.quality == ACCEPTED) & (pressures.sitting >= 0))
    first, places = grouped(places, pressures.sitting[places], table[:, 5])
    return _series(
        features,
        at_us=at_us,
        day=table[:, 1],
        micro=_nearest(shares, kernels.SHARES),
        first=first,
        rows=pressures.row[places],
    )


def _days(features: Features, signal: Signal) -> Series:
    """Each measured day that is closed, at its close."""
    counts = (features.days[:, 1] < features.open_from) & (
        features.days[:, 1] > features.history.enrolled_on.toordinal()
    )
    table = features.days[counts]
    places, day_of = features.accepted_days
    first, places = grouped(places, day_of, table[:, 1])
    sums = table[:, 4 + kernels.SIGNAL_CODES[signal]]
    return _series(
        features,
        at_us=_closes(features, table[:, 1]),
        day=table[:, 1],
        micro=_nearest(sums, kernels.SHARES * table[:, 3]),
        first=first,
        rows=features.pressures.row[places],
    )


def _day_spreads(features: Features, signal: Signal, unit: str) -> Series:
    """From the lowest to the highest of each closed day with three readings or more, at its close (LAGE)."""
    rows, values = _usable(features, signal, unit)
    rows = rows[features.day[rows] < features.open_from]
    days, counts = np.unique(features.day[rows], return_counts=True)
    days = days[counts >= SPREAD_READINGS_MIN]
    first, rows = grouped(rows, features.day[rows], days)
    starts = first[:-1]
    return _series(
        features,
        at_us=_closes(features, days),
        day=days,
        micro=_reduced(np.maximum, values[rows], starts) - _reduced(np.minimum, values[rows], starts),
        first=first,
        rows=rows,
    )


def _closes(features: Features, days: Int64s) -> Int64s:
    return np.array([to_us(features.calendar.close_of(int(day))) for day in days], np.int64)


def _reduced(by: np.ufunc, values: Int64s, starts: Int64s) -> Int64s:
    return np.asarray(by.reduceat(values, starts), np.int64) if len(starts) else values[:0]


def _meal_rises(features: Features, signal: Signal, unit: str) -> Series:
    """By how much a reading after a meal is above the newest one before it, of one to three hours earlier; each serves once."""
    rows, values = _usable(features, signal, unit)
    window = features.history.window
    pairs: list[tuple[int, int]] = []
    before: int | None = None
    for row in map(int, rows):
        if window.meal[row] in (FASTING, PREPRANDIAL):
            before = row
        elif window.meal[row] == POSTPRANDIAL and before is not None:
            since_us = int(window.measured_at_us[row] - window.measured_at_us[before])
            if MEAL_FROM_US <= since_us <= MEAL_TO_US:
                pairs.append((before, row))
                before = None
    both = np.array(pairs, np.intp).reshape(-1, 2)
    after = both[:, 1]
    return _series(
        features,
        at_us=window.measured_at_us[after],
        day=features.day[after],
        micro=values[after] - values[both[:, 0]],
        first=2 * np.arange(len(both) + 1),
        rows=both.ravel(),
    )


def _series(
    features: Features, *, at_us: Int64s, day: Int64s, micro: Int64s, first: Int64s, rows: NDArray[np.intp]
) -> Series:
    days = np.maximum.accumulate(day) if len(day) else day  # who flies west may live a date twice
    return Series(
        at_us=np.ascontiguousarray(at_us),
        day=days,
        micro=np.clip(micro, np.iinfo(np.int32).min, np.iinfo(np.int32).max).astype(np.int32),
        first=first,
        rows=rows,
        start=int(np.searchsorted(days, features.unjudged, side="right")),
    )


def _nearest(numerator: Int64s, denominator: Int64s | int) -> Int64s:
    """The quotient rounded to the nearest integer, halves up: a mean in whole millionths."""
    return np.asarray((2 * numerator + denominator) // (2 * denominator), np.int64)
