"""Every kind of meter that can be simulated: its firmware, its addresses, and what it sends as measurements.

The one place to add a kind: a word to `Kind`, a row to `KINDS`. Firmware is imported when a meter of its kind is first made, so
that this table can be read from everywhere, settings included.
"""

from dataclasses import dataclass
from typing import Final, Literal

from vitals.gatt import uuids

Kind = Literal[
    "blood_pressure",
    "glucose",
    "weight",
    "temperature",
    "oxygen_saturation",
    "heart_rate",
    "sensor_glucose",
    "enhanced_blood_pressure",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOfMeter:
    """`firmware` of `module` is the class. `address_byte` tells the kinds apart in a Bluetooth address, by the service's last two
    digits where they are free. `measurements` are the characteristics whose frames are counted from end to end."""

    module: str
    firmware: str
    address_byte: int
    measurements: frozenset[str]


KINDS: Final[dict[Kind, KindOfMeter]] = {
    "blood_pressure": KindOfMeter(
        module="firmware_sims.blood_pressure_meter",
        firmware="BloodPressureMeter",
        address_byte=0x10,
        measurements=frozenset({uuids.BLOOD_PRESSURE_MEASUREMENT}),
    ),
    "glucose": KindOfMeter(
        module="firmware_sims.glucometer",
        firmware="Glucometer",
        address_byte=0x08,
        measurements=frozenset({uuids.GLUCOSE_MEASUREMENT, uuids.GLUCOSE_CONTEXT}),
    ),
    "weight": KindOfMeter(
        module="firmware_sims.weight_scale",
        firmware="WeightScale",
        address_byte=0x1D,
        measurements=frozenset({uuids.WEIGHT_MEASUREMENT}),
    ),
    "temperature": KindOfMeter(
        module="firmware_sims.thermometer",
        firmware="Thermometer",
        address_byte=0x09,
        measurements=frozenset({uuids.TEMPERATURE_MEASUREMENT}),
    ),
    "oxygen_saturation": KindOfMeter(
        module="firmware_sims.pulse_oximeter",
        firmware="PulseOximeter",
        address_byte=0x22,
        measurements=frozenset({uuids.PLX_SPOT_CHECK}),
    ),
    "heart_rate": KindOfMeter(
        module="firmware_sims.heart_rate_strap",
        firmware="HeartRateStrap",
        address_byte=0x0D,
        measurements=frozenset({uuids.HEART_RATE_MEASUREMENT}),
    ),
    "sensor_glucose": KindOfMeter(
        module="firmware_sims.glucose_sensor",
        firmware="GlucoseSensor",
        address_byte=0x1F,
        measurements=frozenset({uuids.CGM_MEASUREMENT}),
    ),
    "enhanced_blood_pressure": KindOfMeter(
        module="firmware_sims.enhanced_blood_pressure_meter",
        firmware="EnhancedBloodPressureMeter",
        address_byte=0x11,
        measurements=frozenset({uuids.BLOOD_PRESSURE_RECORD, uuids.BLOOD_PRESSURE_MEASUREMENT}),
    ),
}

MEASUREMENTS: Final = frozenset().union(*(kind.measurements for kind in KINDS.values()))
