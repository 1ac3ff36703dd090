"""0x2A1C, 0x2A1D and 0x2A1E as canonical JSON."""

from typing import Final

from homevigil.canonical.answer import VALUE_SPECIAL, Canonical, Decoder, doubt
from vitals.gatt import uuids
from vitals.gatt.frame import word_of
from vitals.gatt.health_thermometer import IntermediateTemperature, TemperatureMeasurement, temperature_type


def measurement(frame: bytes) -> Canonical:
    sent = TemperatureMeasurement.from_bytes(frame)
    measured = sent.to_measurement()
    return {
        "kind": "temperature",
        "temperature_celsius": measured.temperature_celsius,
        "temperature_sent": measured.temperature_sent,
        "site": measured.site,
        "meter_time": sent.meter_time,
        "unit_sent": sent.unit,
    } | doubt(measured)


def intermediate(frame: bytes) -> Canonical:
    sent = IntermediateTemperature.from_bytes(frame)
    return {
        "kind": "intermediate_temperature",
        "temperature_celsius": sent.celsius,
        "temperature_sent": sent.temperature.number,
        "site": word_of(sent.site),
        "meter_time": sent.meter_time,
        "unit_sent": sent.unit,
    } | ({} if sent.temperature.special is None else VALUE_SPECIAL)


def site(frame: bytes) -> Canonical:
    return {"kind": "temperature_type", "site": word_of(temperature_type(frame))}


DECODERS: Final[dict[str, Decoder]] = {
    uuids.TEMPERATURE_MEASUREMENT: measurement,
    uuids.TEMPERATURE_TYPE: site,
    uuids.INTERMEDIATE_TEMPERATURE: intermediate,
}
