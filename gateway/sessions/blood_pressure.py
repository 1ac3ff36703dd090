"""The part of a session that is about blood pressure (0x1810): subscribe, and take what the cuff has.

A cuff sends its stored records by itself as soon as indications are on, confirms nothing and often drops the link when it is
done. That is its normal end, not an error.
"""

from datetime import datetime
from typing import Final

from gateway.sessions.commands import MeterRecord, Script, keep, set_aside, subscribe, wait
from gateway.sessions.meter_clock import MeterClock
from gateway.timing import Evidence
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.link import Disconnected, Notified

FIRST_WITHIN_S: Final = 15.0
"""Cuffs begin to send within a few seconds; a slow one looks into its memory first."""
QUIET_S: Final = 3.0
"""So long after the last record the cuff has no more; between stored records the slowest known leave about a second."""


def collect(clock: MeterClock | None) -> Script[bool]:
    """Keep every record until the cuff is quiet; whether the link is still there."""
    yield from subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
    is_first, timeout_s = True, FIRST_WITHIN_S
    while True:
        heard = yield from wait(timeout_s)
        match heard.event:
            case None:
                return True
            case Disconnected():
                return False
            case Notified(characteristic=uuids.BLOOD_PRESSURE_MEASUREMENT, value=raw):
                yield from take(raw, received_at=heard.at, clock=clock, is_live=is_first)
                is_first, timeout_s = False, QUIET_S
            case Notified():
                pass  # not subscribed: a read that the stack also reports as a change of value


def take(raw: bytes, *, received_at: datetime, clock: MeterClock | None, is_live: bool) -> Script[None]:
    """Keep one 0x2A35 frame; one that cannot be decoded is set aside with its reason."""
    try:
        frame = BloodPressureMeasurement.from_bytes(raw)
    except MalformedError as e:
        yield from set_aside(uuids.BLOOD_PRESSURE_MEASUREMENT, raw, e.reason, e.message)
        return
    evidence = Evidence(
        received_at=received_at,
        is_stamped=frame.date_time is not None,
        meter_wall=None if frame.date_time is None else frame.date_time.naive,
        clock_meter=None if clock is None else clock.meter,
        clock_at=None if clock is None else clock.at,
        is_externally_set=clock is not None and clock.is_externally_set,
        is_live=is_live,
    )
    record = MeterRecord(
        characteristic=uuids.BLOOD_PRESSURE_MEASUREMENT,
        raw=raw,
        measurement=frame.to_measurement(),
        evidence=evidence,
        user_slot=frame.user_slot,
        meter_time=frame.meter_time,
    )
    yield from keep(record)
