"""0x2A9D and 0x2A9E as canonical JSON."""

from decimal import Decimal
from typing import Final

from homevigil.canonical.answer import Canonical, Decoder, doubt
from vitals.gatt import uuids
from vitals.gatt.weight_scale import WeightMeasurement, WeightScaleFeature


def measurement(frame: bytes) -> Canonical:
    sent = WeightMeasurement.from_bytes(frame)
    measured = sent.to_measurement()
    return {
        "kind": "weight",
        "weight_kg": measured.weight_kg,
        "weight_sent": measured.weight_sent,
        "bmi": measured.bmi,
        "height_m": measured.height_m,
        "user_slot": sent.user_slot,
        "meter_time": sent.meter_time,
        "unit_sent": sent.unit,
    } | doubt(measured)


def feature(frame: bytes) -> Canonical:
    sent = WeightScaleFeature.from_bytes(frame)
    return {
        "kind": "weight_scale_feature",
        "time_stamp": sent.has_time_stamp,
        "users": sent.has_users,
        "bmi": sent.has_bmi,
        "weight_resolution_kg": _float(sent.weight_resolution_kg),
        "height_resolution_m": _float(sent.height_resolution_m),
    }


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


DECODERS: Final[dict[str, Decoder]] = {
    uuids.WEIGHT_MEASUREMENT: measurement,
    uuids.WEIGHT_SCALE_FEATURE: feature,
}
