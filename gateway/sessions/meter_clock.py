"""The meter's clock: read beside ours before any record comes, set right after the last one, and read back.

The order matters: setting it first would put the stored records on another time line than the clock that is to explain
them. Reading back matters: meters exist that accept a new time and keep the old one (docs/explanation/safety).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal
from zoneinfo import ZoneInfo

from gateway.sessions.clock_memory import ClockMemory
from gateway.sessions.commands import Script, look, read, subscribe, write
from gateway.sessions.maker_clocks import in_command
from gateway.sessions.quirks import Clock
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.date_time import DateTime
from vitals.gatt.link import LinkError
from vitals.gatt.local_time import LocalTime

TOLERANCE_S: Final = 60.0
"""A meter that is off by less is left alone: it shows minutes, and every change of a clock costs certainty."""


WINDOW_FROM_S: Final = 600.0
"""An Omron refuses a smaller change in its window (weliem/blessed-android, BluetoothHandler.java)."""


class ClockCare(StrEnum):
    """How the meter's clock was left."""

    UNREADABLE = "unreadable"
    RIGHT = "right"
    SET = "set"
    REFUSED = "refused"
    IGNORED = "ignored"
    """The meter took the new time and still shows another."""
    TOLD = "told"
    """The meter took the new time, and has no way to show it."""
    LEFT_WRONG = "left_wrong"
    """It is off, but our own clock cannot be believed, or the meter had gone, or is known to take no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterClock:
    """The meter's wall clock and our instant, read together. `has_jumped`: it is on another time line than it was left on;
    `has_left_overs`: because we set it ourselves, before all records of the old one had come. `left`: how it was left, where our
    own clock cannot say yet whether it has jumped."""

    characteristic: str
    meter: datetime
    at: datetime
    is_externally_set: bool = False
    has_jumped: bool = False
    has_left_overs: bool = False
    left: ClockMemory | None = None

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


def set_clock(
    clock: MeterClock | None,
    zone: ZoneInfo,
    *,
    is_ours_right: bool,
    way: Clock = "standard",
    has_local_time: bool = False,
) -> Script[ClockCare]:
    """Write the home's wall clock if the meter is off by more than a minute, and look whether it stayed. A clock that only takes
    commands of its maker's own says nothing: it is told the time whenever there is occasion. `has_local_time`: it has 0x2A0F."""
    if clock is not None and abs(clock.offset_s(zone)) <= TOLERANCE_S:
        return ClockCare.RIGHT
    if is_ours_right and (way == "contour" or way == "caresens"):
        return (yield from _tell(way, zone))
    if clock is None:
        return ClockCare.UNREADABLE
    if not is_ours_right or way != "standard":
        return ClockCare.LEFT_WRONG
    if has_local_time and clock.characteristic == uuids.CURRENT_TIME:
        yield from _tell_zone(zone)
    wall = (yield from look()).at.astimezone(zone)
    value = CurrentTime.of(wall) if clock.characteristic == uuids.CURRENT_TIME else DateTime.of(wall)
    try:
        yield from write(clock.characteristic, bytes(value))
    except LinkError as e:
        return ClockCare.LEFT_WRONG if e.code is None else ClockCare.REFUSED
    return (yield from _look_again(clock.characteristic, zone))


def set_in_window(shown: bytes, at: datetime, clock: MeterClock | None, zone: ZoneInfo) -> Script[ClockCare | None]:
    """The meter has notified its clock for the first time: it showed `shown` `at`. Write now, if it is off by more than ten
    minutes: it takes no smaller change, and none at another time. None where there was nothing to write."""
    try:
        meter = CurrentTime.from_bytes(shown).naive
    except MalformedError:
        return None
    seen = clock if meter is None else MeterClock(characteristic=uuids.CURRENT_TIME, meter=meter, at=at)
    if seen is not None and abs(seen.offset_s(zone)) <= WINDOW_FROM_S:
        return None
    wall = (yield from look()).at.astimezone(zone)
    try:
        yield from write(uuids.CURRENT_TIME, bytes(CurrentTime.of(wall)))
    except LinkError as e:
        return ClockCare.LEFT_WRONG if e.code is None else ClockCare.REFUSED
    return (yield from _look_again(uuids.CURRENT_TIME, zone))


def _tell(way: Literal["contour", "caresens"], zone: ZoneInfo) -> Script[ClockCare]:
    wall = (yield from look()).at.astimezone(zone)
    characteristic, command = in_command(way, wall)
    try:
        yield from subscribe(characteristic)
        yield from write(characteristic, command)
    except LinkError as e:
        return ClockCare.LEFT_WRONG if e.code is None else ClockCare.REFUSED
    return ClockCare.TOLD


def _tell_zone(zone: ZoneInfo) -> Script[None]:
    """Zone and daylight saving, before the time: a meter may move its clock by what it hears of them. Nothing hangs on it."""
    try:
        said = LocalTime.from_bytes((yield from read(uuids.LOCAL_TIME)).value)
        home = LocalTime.of((yield from look()).at.astimezone(zone))
        if said != home and home.zone is not None and home.daylight is not None:
            yield from write(uuids.LOCAL_TIME, bytes(home))
    except (LinkError, MalformedError):
        return


def _look_again(characteristic: str, zone: ZoneInfo) -> Script[ClockCare]:
    after = yield from _read_one(characteristic)
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
