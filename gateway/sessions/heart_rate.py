"""The part of a session that is about a strap (0x180D): what it shows in a stretch that is steady.

A strap is worn in sport as well as at rest, and there it may be the phone's. So it is scanned for only where the home's settings
say so, and no rule is made of what it says (docs/explanation/how-meters-are-read).
"""

from decimal import Decimal
from typing import Final

from gateway.sessions.steady_stream import Stream
from gateway.sessions.unasked import Sent
from vitals.gatt import uuids
from vitals.gatt.heart_rate import HeartRateMeasurement
from vitals.quality import Quality, grade


def decode(raw: bytes) -> Sent:
    return Sent(measurement=HeartRateMeasurement.from_bytes(raw).to_measurement(), date_time=None)


def _numbers(raw: bytes) -> tuple[Decimal, ...] | None:
    frame = HeartRateMeasurement.from_bytes(raw)
    return (Decimal(frame.bpm),) if grade(frame.to_measurement())[0] is Quality.ACCEPTED else None


STREAM: Final = Stream(
    characteristic=uuids.HEART_RATE_MEASUREMENT,
    numbers=_numbers,
    decode=decode,
    agree_within=Decimal(5),  # what a cardiac monitor's rate may err by (ANSI/AAMI EC13: 10 % or 5 beats a minute)
)
