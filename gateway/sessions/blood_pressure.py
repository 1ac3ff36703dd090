"""The part of a session that is about blood pressure (0x1810): the cuff sends its records unasked."""

from gateway.sessions import unasked
from gateway.sessions.commands import Script
from gateway.sessions.meter_clock import MeterClock
from gateway.sessions.quirk_frames import decode_as
from gateway.sessions.quirks import Frames
from gateway.sessions.unasked import Sent
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement


def collect(clock: MeterClock | None, frames: Frames = "standard") -> Script[bool]:
    """Keep every record until the cuff is quiet; whether the link is still there."""
    read = decode_as(frames, uuids.BLOOD_PRESSURE_MEASUREMENT, decode)
    return (yield from unasked.collect(uuids.BLOOD_PRESSURE_MEASUREMENT, read, clock))


def decode(raw: bytes) -> Sent:
    frame = BloodPressureMeasurement.from_bytes(raw)
    return Sent(measurement=frame.to_measurement(), date_time=frame.date_time, user_slot=frame.user_slot)
