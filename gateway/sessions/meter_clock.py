"""The meter's clock: read beside ours before any record comes, set right after the last one, and read back.

The order matters: setting it first would put the stored records on another time line than the clock that is to explain
them. Reading back matters: meters exist that accept a new time and keep the old one (docs/explanation/safety).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from gateway.sessions.commands import Script, look, read, write
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.date_time import DateTime
from vitals.gatt.link import LinkError

TOLERANCE_S: Final = 60.0
"""A meter that is off by less is left alone: it shows minutes, and every change of a clock costs certainty."""


class ClockCare(StrEnum):
    """How the meter's clock was left."""

    UNREADABLE = "unreadable"
    RIGHT = "right"
    SET = "set"
    REFUSED = "refused"
    IGNORED = "ignored"
    """The meter took the new time and still shows another."""
    LEFT_WRONG = "left_wrong"
    """It is off, but our own clock cannot be believed, or the meter had gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterClock:
    """The meter's wall clock and our instant, read together."""

    characteristic: str
    meter: datetime
    at: datetime
    is_externally_set: bool = False

    def offset_s(self, zone: ZoneInfo) -> float:
        """The home's wall clock minus the meter's, in seconds."""
        return (self.at.astimezone(zone).replace(tzinfo=None) - self.meter).total_seconds()


def read_clock(characteristics: frozenset[str]) -> Script[MeterClock | None]:
    """The meter's clock by Current Time, else by Date Time; None if it has none, will not say, or does not know."""
    for characteristic in (uuids.CURRENT_TIME, uuids.DATE_TIME):
        if characteristic in characteristics:
            clock = yield from _read_one(characteristic)
            if clock is not None:
                return clock
    return None


def set_clock(clock: MeterClock | None, zone: ZoneInfo, *, is_ours_right: bool) -> Script[ClockCare]:
    """Write the home's wall clock if the meter is off by more than a minute, and look whether it stayed."""
    if clock is None:
        return ClockCare.UNREADABLE
    if abs(clock.offset_s(zone)) <= TOLERANCE_S:
        return ClockCare.RIGHT
    if not is_ours_right:
        return ClockCare.LEFT_WRONG
    wall = (yield from look()).at.astimezone(zone)
    value = CurrentTime.of(wall) if clock.characteristic == uuids.CURRENT_TIME else DateTime.of(wall)
    try:
        yield from write(clock.characteristic, bytes(value))
    except LinkError as e:
        return ClockCare.LEFT_WRONG if e.code is None else ClockCare.REFUSED
    after = yield from _read_one(clock.characteristic)
    if after is None:
        return ClockCare.LEFT_WRONG
    return ClockCare.SET if abs(after.offset_s(zone)) <= TOLERANCE_S else ClockCare.IGNORED


def _read_one(characteristic: str) -> Script[MeterClock | None]:
    try:
        answer = yield from read(characteristic)
        if characteristic == uuids.DATE_TIME:
            meter, reason = DateTime.from_bytes(answer.value).naive, 0
        else:
            current = CurrentTime.from_bytes(answer.value)
            meter, reason = current.naive, current.adjust_reason
    except (LinkError, MalformedError):
        return None
    if meter is None:
        return None
    externally = bool(reason & CurrentTime.AdjustReason.EXTERNAL_REFERENCE)
    return MeterClock(characteristic=characteristic, meter=meter, at=answer.at, is_externally_set=externally)
