"""0x2A37 and 0x2A38 as canonical JSON."""

from typing import Final

from homevigil.canonical.answer import Canonical, Decoder
from vitals.gatt import uuids
from vitals.gatt.frame import word_of
from vitals.gatt.heart_rate import HeartRateMeasurement, body_sensor_location


def measurement(frame: bytes) -> Canonical:
    sent = HeartRateMeasurement.from_bytes(frame)
    return {
        "kind": "heart_rate",
        "heart_rate_bpm": sent.bpm,
        "has_contact": sent.has_contact,
        "energy_kj": sent.energy_kj,
        "rr_intervals_s": sent.intervals_s,
    }


def location(frame: bytes) -> Canonical:
    return {"kind": "body_sensor_location", "location": word_of(body_sensor_location(frame))}


DECODERS: Final[dict[str, Decoder]] = {
    uuids.HEART_RATE_MEASUREMENT: measurement,
    uuids.BODY_SENSOR_LOCATION: location,
}
