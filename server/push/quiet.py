"""Quiet hours: between two times of a wall clock nothing but what is urgent is told. Pure.

They are wall-clock times in the patient's zone, on every day, and may span midnight. A message that falls into them is told when
they end: the instant at which the wall clock has reached that time, whatever daylight saving does in between.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """From `begins_at` up to, not including, `ends_at`; over midnight if it ends earlier than it begins."""

    begins_at: time
    ends_at: time

    def __post_init__(self) -> None:
        assert self.begins_at != self.ends_at, "a whole day is never quiet"
        assert self.begins_at.tzinfo is None
        assert self.ends_at.tzinfo is None

    def has(self, wall: time) -> bool:
        if self.begins_at < self.ends_at:
            return self.begins_at <= wall < self.ends_at
        return wall >= self.begins_at or wall < self.ends_at


def next_allowed(at: datetime, quiet: QuietHours | None, zone: str) -> datetime:
    """`at` itself, or the end of the quiet hours that it falls into, by the wall clock of `zone`."""
    if quiet is None:
        return at
    there = ZoneInfo(zone)
    local = at.astimezone(there)
    if not quiet.has(local.time()):
        return at
    is_tomorrow = local.time() >= quiet.ends_at
    day = local.date() + timedelta(days=1 if is_tomorrow else 0)
    end = datetime.combine(day, quiet.ends_at, tzinfo=there).astimezone(UTC)
    if end <= at:  # the clock was set back within them: that time comes a second time
        end = datetime.combine(day, quiet.ends_at, tzinfo=there).replace(fold=1).astimezone(UTC)
    return max(end, at)
