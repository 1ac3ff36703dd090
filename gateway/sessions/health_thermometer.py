"""The part of a session that is about temperature (0x1809): the thermometer sends its records unasked.

What it shows while it rises (0x2A1E) is not listened to.
"""

from functools import partial

from gateway.sessions import unasked
from gateway.sessions.commands import Script, read
from gateway.sessions.meter_clock import MeterClock
from gateway.sessions.unasked import Sent
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.health_thermometer import TemperatureMeasurement, TemperatureType, temperature_type
from vitals.gatt.link import LinkError


def collect(characteristics: frozenset[str], clock: MeterClock | None) -> Script[bool]:
    """Keep every record until the thermometer is quiet; whether the link is still there."""
    always = yield from _where(characteristics)
    return (yield from unasked.collect(uuids.TEMPERATURE_MEASUREMENT, partial(decode, always=always), clock))


def decode(raw: bytes, *, always: TemperatureType | None = None) -> Sent:
    frame = TemperatureMeasurement.from_bytes(raw)
    return Sent(measurement=frame.to_measurement(always), date_time=frame.date_time)


def _where(characteristics: frozenset[str]) -> Script[TemperatureType | None]:
    """Where this thermometer always measures, if it says so apart from its records."""
    if uuids.TEMPERATURE_TYPE not in characteristics:
        return None
    try:
        return temperature_type((yield from read(uuids.TEMPERATURE_TYPE)).value)
    except (LinkError, MalformedError):
        return None  # never worth a reading
