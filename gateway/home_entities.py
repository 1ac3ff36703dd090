"""A home's readings as Home Assistant wants to be told of them: one device for each meter, one sensor for each quantity. Pure.

By MQTT device discovery (Home Assistant 2024.11 and newer): https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery and
https://www.home-assistant.io/integrations/sensor.mqtt/. Device classes and their units are those of
https://www.home-assistant.io/integrations/sensor/#device-class. A blood pressure has none on purpose: `pressure` would be shown
in whatever unit the house has for its weather.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from vitals.quality import Quality, grade
from vitals.reading import (
    BloodPressure,
    Glucose,
    HeartRate,
    Measurement,
    OxygenSaturation,
    Reading,
    SensorGlucose,
    Temperature,
    TimeQuality,
    Weight,
    kind_of,
)

DISCOVERY: Final = "homeassistant"
"""Home Assistant's default prefix; it says `online` on the topic `status` under it when it has started."""
FRESH: Final = timedelta(hours=12)
"""How long a reading is shown: a value of last week looks like one of today on a wall panel."""
NOTHING: Final = "None"
"""What Home Assistant takes for "unknown"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One number of a measurement, and how it is shown."""

    key: str
    name: str
    unit: str
    value: float | None
    device_class: str | None = None
    precision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is published of one meter: `discovery` names no value; `state` has values and is never retained."""

    discovery: Mapping[str, Any]
    state: Mapping[str, Any]


def discovery_topic(gateway_id: str, meter_id: str) -> str:
    return f"{DISCOVERY}/device/{_slug(f'homevigil_{gateway_id}_{meter_id}')}/config"


def state_topic(gateway_id: str, meter_id: str) -> str:
    return f"homevigil/home/{gateway_id}/{_slug(meter_id)}/state"


def availability_topic(gateway_id: str) -> str:
    return f"homevigil/home/{gateway_id}/availability"


def tell(
    meter_id: str,
    readings: Iterable[Reading],
    *,
    gateway_id: str,
    version: str,
    about: Mapping[str, str],
    battery_percent: int | None,
    now: datetime,
) -> Told:
    """What is said of one meter by its `readings`: the newest usable one of each kind and user, if it is fresh."""
    state: dict[str, Any] = {}
    components: dict[str, Any] = {}
    for reading in _newest_of_each(readings):
        is_fresh = now - FRESH <= reading.measured_at <= now + timedelta(minutes=5)
        for part in _parts(reading):
            components[part.key] = _component(part, gateway_id, meter_id)
            state[part.key] = part.value if is_fresh and part.value is not None else NOTHING
        key, name = f"{kind_of(reading.measurement)}_measured_at{_suffix(reading)}", f"Measured at{_user(reading)}"
        components[key] = _component(Quantity(key=key, name=name, unit="", value=None), gateway_id, meter_id) | {
            "device_class": "timestamp",
            "entity_category": "diagnostic",
        }
        state[key] = reading.measured_at.isoformat(timespec="seconds") if is_fresh else NOTHING
    if battery_percent is not None:
        battery = Quantity(
            key="battery", name="Battery", unit="%", value=float(battery_percent), device_class="battery"
        )
        components["battery"] = _component(battery, gateway_id, meter_id) | {"entity_category": "diagnostic"}
        state["battery"] = battery_percent
    device = {
        "identifiers": [_slug(f"homevigil_{gateway_id}_{meter_id}")],
        "name": f"{about.get('model', 'Meter')} {meter_id[-5:].replace(':', '')}",
        "manufacturer": about.get("manufacturer"),
        "model": about.get("model"),
        "sw_version": about.get("firmware"),
    }
    discovery = {
        "device": {name: value for name, value in device.items() if value},
        "origin": {"name": "HomeVigil", "sw_version": version},
        "availability_topic": availability_topic(gateway_id),
        "state_topic": state_topic(gateway_id, meter_id),
        "qos": 1,
        "components": components,
    }
    return Told(discovery=discovery, state=state)


def _newest_of_each(readings: Iterable[Reading]) -> Iterator[Reading]:
    """Of each kind and user the newest that can be used: no mistake of a meter, no time that is a guess."""
    newest: dict[tuple[str, int | None], Reading] = {}
    for reading in readings:
        is_usable = grade(reading.measurement)[0] not in (Quality.INVALID, Quality.REJECTED)
        if not is_usable or reading.time_quality is TimeQuality.ORPHAN:
            continue
        key = (kind_of(reading.measurement), reading.user_slot)
        if key not in newest or newest[key].measured_at < reading.measured_at:
            newest[key] = reading
    return iter(newest[key] for key in sorted(newest, key=str))


def _parts(reading: Reading) -> Iterator[Quantity]:
    for part in _quantities(reading.measurement):
        yield Quantity(
            key=part.key + _suffix(reading),
            name=part.name + _user(reading),
            unit=part.unit,
            value=None if part.value is None else round(part.value, part.precision),
            device_class=part.device_class,
            precision=part.precision,
        )


def _quantities(measurement: Measurement) -> list[Quantity]:
    match measurement:
        case BloodPressure():
            return [
                Quantity(key="systolic", name="Systolic", unit="mmHg", value=measurement.systolic_mmhg),
                Quantity(key="diastolic", name="Diastolic", unit="mmHg", value=measurement.diastolic_mmhg),
                Quantity(key="pulse", name="Pulse", unit="bpm", value=measurement.pulse_bpm),
            ]
        case Glucose() | SensorGlucose():
            return [_glucose(measurement)]
        case Weight():
            value = measurement.weight_kg
            return [
                Quantity(key="weight", name="Weight", unit="kg", value=value, device_class="weight", precision=1),
            ]
        case OxygenSaturation():
            return [
                Quantity(key="oxygen_saturation", name="Oxygen saturation", unit="%", value=measurement.spo2_percent),
                Quantity(key="oximeter_pulse", name="Pulse", unit="bpm", value=measurement.pulse_bpm),
            ]
        case HeartRate():
            return [Quantity(key="heart_rate", name="Heart rate", unit="bpm", value=measurement.pulse_bpm)]
        case Temperature():
            value = measurement.temperature_celsius
            return [
                Quantity(
                    key="body_temperature",
                    name="Body temperature",
                    unit="°C",
                    value=value,
                    device_class="temperature",
                    precision=1,
                )
            ]


def _glucose(measurement: Glucose | SensorGlucose) -> Quantity:
    """HI and LO are no numbers, and are not shown as one."""
    value = None if measurement.censored else measurement.glucose_mmol_l
    return Quantity(
        key="glucose",
        name="Glucose",
        unit="mmol/L",
        value=value,
        device_class="blood_glucose_concentration",
        precision=1,
    )


def _component(part: Quantity, gateway_id: str, meter_id: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "platform": "sensor",
        "unique_id": _slug(f"homevigil_{gateway_id}_{meter_id}_{part.key}"),
        "name": part.name,
        "value_template": f"{{{{ value_json.{part.key} | default('{NOTHING}') }}}}",
        "expire_after": int(FRESH.total_seconds()),
    }
    if part.unit:
        described |= {
            "unit_of_measurement": part.unit,
            "state_class": "measurement",
            "suggested_display_precision": part.precision,
        }
    if part.device_class is not None:
        described["device_class"] = part.device_class
    return described


def _suffix(reading: Reading) -> str:
    return "" if reading.user_slot is None else f"_user_{reading.user_slot}"


def _user(reading: Reading) -> str:
    return "" if reading.user_slot is None else f" (user {reading.user_slot})"


def _slug(text: str) -> str:
    """What may stand in a discovery topic: letters, digits, `_` and `-`."""
    return "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "_" for each in text)
