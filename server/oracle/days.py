"""A patient's own days: the wall clock minus three hours, as a date, found by asking the zone and not by arithmetic on UTC."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

THREE_HOURS: Final = timedelta(hours=3)
"""00:20 belongs to the evening before it: a clinical day begins at 03:00 local."""

DELIVERY_HOUR: Final = 8
_HALF_HOUR: Final = timedelta(minutes=30)


class Days:
    """The clinical days of somebody who lived in `zones`, as known at `now`: a move that is yet to come does not count."""

    def __init__(self, zones: Sequence[tuple[datetime, str]], now: datetime) -> None:
        ordered = sorted(zones)
        assert ordered, "a patient has a zone"
        known = [(start, zone) for start, zone in ordered if start <= now] or ordered[:1]
        self._known = [(start, ZoneInfo(zone)) for start, zone in known]
        self._now = now
        self._closes: dict[date, datetime] = {}

    def zone_at(self, instant: datetime) -> ZoneInfo:
        """The zone in force; before the first one it is the first."""
        found = self._known[0][1]
        for start, zone in self._known:
            if start <= instant:
                found = zone
        return found

    def day(self, instant: datetime) -> date:
        wall = instant.astimezone(self.zone_at(instant)).replace(tzinfo=None)
        return (wall - THREE_HOURS).date()

    def close(self, day: date) -> datetime:
        """The first instant with a later clinical day: found by looking, second by second at the end."""
        if day not in self._closes:
            self._closes[day] = self._look_for_close(day)
        return self._closes[day]

    def _look_for_close(self, day: date) -> datetime:
        late = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=12)
        while self.day(late) <= day:
            late += _HALF_HOUR
        early = late - _HALF_HOUR
        while late - early > timedelta(seconds=1):
            middle = early + timedelta(seconds=int((late - early).total_seconds()) // 2)
            early, late = (early, middle) if self.day(middle) > day else (middle, late)
        return late

    def is_closed(self, day: date) -> bool:
        """Was the day over once? Who flies west may live a part of it again; closed it stays."""
        return day < self.day(self._now) or self.close(day) <= self._now

    def eight_o_clock(self, close: datetime) -> datetime:
        """The first 08:00 local at or after a close."""
        zone = self.zone_at(close)
        instant = close
        while instant.astimezone(zone).hour < DELIVERY_HOUR:
            instant += timedelta(minutes=15)
        return instant
