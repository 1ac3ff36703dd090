"""When an office call is tried again: the next working day, by the patient's own calendar. Pure.

Monday to Friday; public holidays differ from place to place and are not known here, so whoever calls may set another day.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

CALLS_BEGIN: Final = time(9, 0)
"""A day without a time means its morning: from nine on people are up, and practices are open."""

_SATURDAY: Final = 6


def next_working_morning(now: datetime, zone: str) -> datetime:
    """Nine o'clock of the next Monday to Friday after today, on the patient's wall clock."""
    day = now.astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
    while day.isoweekday() >= _SATURDAY:
        day += timedelta(days=1)
    return morning_of(day, zone)


def morning_of(day: date, zone: str) -> datetime:
    """Nine o'clock of that day on the patient's wall clock."""
    return datetime.combine(day, CALLS_BEGIN, ZoneInfo(zone)).astimezone(UTC)
