"""0x2A35 and 0x2A36 as canonical JSON."""

from typing import Final

from homevigil.canonical.answer import VALUE_SPECIAL, Canonical, Decoder, doubt, number
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement, Feature, IntermediateCuffPressure
from vitals.gatt.enhanced_blood_pressure import EnhancedBloodPressureMeasurement, EnhancedIntermediateCuffPressure
from vitals.gatt.frame import flag_words

Frame = (
    BloodPressureMeasurement
    | IntermediateCuffPressure
    | EnhancedBloodPressureMeasurement
    | EnhancedIntermediateCuffPressure
)


def measurement(frame: bytes) -> Canonical:
    return measured(BloodPressureMeasurement.from_bytes(frame))


def intermediate_cuff_pressure(frame: bytes) -> Canonical:
    return still_inflating(IntermediateCuffPressure.from_bytes(frame))


def measured(sent: BloodPressureMeasurement | EnhancedBloodPressureMeasurement) -> Canonical:
    """What both kinds of cuff say of a measurement."""
    canonical = sent.to_measurement()
    return {
        "kind": "blood_pressure",
        "systolic_mmhg": canonical.systolic_mmhg,
        "diastolic_mmhg": canonical.diastolic_mmhg,
        "mean_mmhg": canonical.mean_mmhg,
        "pulse_bpm": canonical.pulse_bpm,
        **_beside(sent),
    } | doubt(canonical)


def still_inflating(sent: IntermediateCuffPressure | EnhancedIntermediateCuffPressure) -> Canonical:
    """What both kinds of cuff say while they measure."""
    return {
        "kind": "intermediate_cuff_pressure",
        "cuff_pressure_mmhg": sent.pressure_mmhg,
        "pulse_bpm": number(sent.pulse),
        **_beside(sent),
    } | ({} if sent.pressure.special is None else VALUE_SPECIAL)


def _beside(sent: Frame) -> Canonical:
    return {
        "user_slot": sent.user_slot,
        "status": sent.status,
        "status_flags": sent.status_flags,
        "meter_time": sent.meter_time,
        "unit_sent": sent.unit,
    }


def feature(frame: bytes) -> Canonical:
    return {"kind": "blood_pressure_feature", "can_notice": flag_words(Feature, Feature.parse(frame))}


DECODERS: Final[dict[str, Decoder]] = {
    uuids.BLOOD_PRESSURE_MEASUREMENT: measurement,
    uuids.INTERMEDIATE_CUFF_PRESSURE: intermediate_cuff_pressure,
    uuids.BLOOD_PRESSURE_FEATURE: feature,
}
