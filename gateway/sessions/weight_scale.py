"""The part of a session that is about weight (0x181D): the scale sends its records unasked, one that keeps its users
apart those of whoever is open (`shared_meter`)."""

from gateway.sessions import unasked
from gateway.sessions.commands import Script
from gateway.sessions.meter_clock import MeterClock
from gateway.sessions.quirk_frames import decode_as
from gateway.sessions.quirks import Frames
from gateway.sessions.unasked import Sent
from vitals.gatt import uuids
from vitals.gatt.weight_scale import WeightMeasurement


def collect(clock: MeterClock | None, frames: Frames = "standard") -> Script[bool]:
    """Keep every record until the scale is quiet; whether the link is still there."""
    return (
        yield from unasked.collect(uuids.WEIGHT_MEASUREMENT, decode_as(frames, uuids.WEIGHT_MEASUREMENT, decode), clock)
    )


def decode(raw: bytes) -> Sent:
    frame = WeightMeasurement.from_bytes(raw)
    return Sent(measurement=frame.to_measurement(), date_time=frame.date_time, user_slot=frame.user_slot)
