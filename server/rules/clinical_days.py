"""A patient's own days: the local wall clock minus three hours, as a date, in the zone in force then.

The subtraction is on the wall clock and not on UTC, so a change to or from summer time never shifts a date (clinical
definition: docs/explanation/safety). Days are proleptic ordinals (`date.toordinal`). No 24-hour windows anywhere.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from server.rules.windows import ZoneSpan, from_us, to_us

DAY_START: Final = time(3, 0)
"""An evening reading is taken within an hour of bedtime, so 00:20 belongs to the day before: 03:00 local."""

DELIVERY: Final = time(8, 0)
"""What a day's close has found is told at 08:00 local, not at 03:00 in the night."""

_MICROSECOND: Final = timedelta(microseconds=1)
_DAY_US: Final = 86_400_000_000
_DAY_START_US: Final = 3 * 3_600_000_000
_FAR_PAST_US: Final = -(1 << 62)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


class Calendar:
    """Where a patient's instants fall, for zones effective-dated by `spans` (at least one).

    Instants before the first span are placed in the first span's zone. A span that starts after `now` is not in force yet.
    """

    __slots__ = ("_spans",)

    def __init__(self, spans: Sequence[ZoneSpan], now: datetime) -> None:
        assert spans, "a patient has a zone"
        ordered = sorted(spans, key=lambda span: span.valid_from)
        in_force = [span for span in ordered if span.valid_from <= now] or ordered[:1]
        starts = [None, *(span.valid_from for span in in_force[1:])]
        self._spans = tuple(zip(starts, (span.zone for span in in_force), strict=True))

    def walls_of(self, at_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """The local wall clock of each instant, counted from the begin of a clinical day: microseconds since 1970-01-01 03:00."""
        walls = np.empty(len(at_us), np.int64)
        starts = np.array([to_us(start) for start, _ in self._spans[1:] if start is not None], np.int64)
        span_of = np.searchsorted(starts, at_us, side="right")
        for index, (_, zone) in enumerate(self._spans):
            here = span_of == index
            walls[here] = at_us[here] + _offsets_us(zone, at_us[here]) - _DAY_START_US
        return walls

    def days_of(self, at_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """The clinical day of each instant, as ordinals: int64[n] to int64[n]."""
        return self.walls_of(at_us) // _DAY_US + _EPOCH_ORDINAL

    def shifts(self, from_year: int, to_year: int) -> list[tuple[int, int]]:
        """(an instant in µs, what must be added to those from it on so that whole days since 1970 are clinical days).

        Ascending, the first in the far past; right for the instants of these UTC years. The same as `days_of`, for kernels.
        """
        begins = [_FAR_PAST_US, *(to_us(start) for start, _ in self._spans[1:] if start is not None)]
        ends = [*begins[1:], -_FAR_PAST_US]
        found = []
        for (_, zone), begin, end in zip(self._spans, begins, ends, strict=True):
            changes = [change for year in range(from_year, to_year + 1) for change in _transitions(zone, year)]
            at_begin = max((change for change in changes if change[0] <= begin), default=changes[0])
            found += [(begin, at_begin[1]), *(change for change in changes if begin < change[0] < end)]
        return [(at, offset - _DAY_START_US) for at, offset in found]

    def day_of(self, instant: datetime) -> int:
        """The clinical day of one instant, as an ordinal."""
        return int(self.days_of(np.array([to_us(instant)], np.int64))[0])

    def wall_of(self, instant: datetime) -> int:
        """`walls_of` one instant."""
        return int(self.walls_of(np.array([to_us(instant)], np.int64))[0])

    def open_from(self, now: datetime) -> int:
        """The first clinical day that is not closed at `now`: every day before it has had its 03:00.

        A patient who flies west may live a part of a day twice; a day that was closed once stays closed.
        """
        ends = [start - _MICROSECOND for start, _ in self._spans[1:] if start is not None]
        return max(self.day_of(instant) for instant in (*ends, now))

    def close_of(self, day: int) -> datetime:
        """The first instant whose clinical day is after `day`: 03:00 local of the next date, or a move that jumps over it."""
        for index, (start, zone) in enumerate(self._spans):
            close = _close_in(zone, day)
            end = self._spans[index + 1][0] if index + 1 < len(self._spans) else None
            if end is None or close < end:
                return close if start is None else max(close, start)
        raise AssertionError("the last span has no end")

    def delivery_after(self, close: datetime) -> datetime:
        """08:00 local on the day that `close` began; never before `close`."""
        zone = ZoneInfo(next(zone for start, zone in reversed(self._spans) if start is None or start <= close))
        local = close.astimezone(zone)
        return max(close, datetime.combine(local.date(), DELIVERY, zone).astimezone(UTC))


@lru_cache(maxsize=1 << 16)
def _close_in(zone: str, day: int) -> datetime:
    """03:00 of the date after `day`, by the wall clock of one zone. A clinic's patients ask for the same days again and again."""
    wall = datetime.combine(date.fromordinal(day + 1), DAY_START, ZoneInfo(zone))
    return wall.astimezone(UTC)


def _offsets_us(zone: str, at_us: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(at_us):
        return at_us
    first, last = from_us(int(np.min(at_us))).year, from_us(int(np.max(at_us))).year
    years = [_transitions(zone, year) for year in range(first, last + 1)]
    starts = np.array([start for year in years for start, _ in year], np.int64)
    offsets = np.array([offset for year in years for _, offset in year], np.int64)
    return offsets[np.searchsorted(starts, at_us, side="right") - 1]


@lru_cache(maxsize=4096)
def _transitions(zone: str, year: int) -> tuple[tuple[int, int], ...]:
    """(from this instant in µs, UTC offset in µs) over one UTC year, the first at its start.

    zoneinfo does not tell its transitions; one look a day and a bisection find them, once per zone and year.
    """
    tz = ZoneInfo(zone)
    found = []
    day = datetime(year, 1, 1, tzinfo=UTC)
    offset = _offset(tz, day)
    found.append((to_us(day), offset))
    while day.year == year:
        following = day + timedelta(days=1)
        if _offset(tz, following) != offset:
            offset = _offset(tz, following)
            found.append((to_us(_change_between(tz, day, following)), offset))
        day = following
    return tuple(found)


def _change_between(tz: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first whole second at which the offset is that of `after`."""
    new = _offset(tz, after)
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(tz, before + timedelta(seconds=middle)) == new:
            high = middle
        else:
            low = middle
    return before + timedelta(seconds=high)


def _offset(tz: ZoneInfo, instant: datetime) -> int:
    offset = instant.astimezone(tz).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)
