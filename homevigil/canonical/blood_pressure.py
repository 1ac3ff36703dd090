"""0x2A35 and 0x2A36 as canonical JSON."""

from typing import Final

from homevigil.canonical.answer import VALUE_SPECIAL, Canonical, Decoder, doubt, number
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement, IntermediateCuffPressure


def measurement(frame: bytes) -> Canonical:
    sent = BloodPressureMeasurement.from_bytes(frame)
    measured = sent.to_measurement()
    return {
        "kind": "blood_pressure",
        "systolic_mmhg": measured.systolic_mmhg,
        "diastolic_mmhg": measured.diastolic_mmhg,
        "mean_mmhg": measured.mean_mmhg,
        "pulse_bpm": measured.pulse_bpm,
        "user_slot": sent.user_slot,
        "status": sent.status,
        "status_flags": sent.status_flags,
        "meter_time": sent.meter_time,
        "unit_sent": sent.unit,
    } | doubt(measured)


def intermediate_cuff_pressure(frame: bytes) -> Canonical:
    sent = IntermediateCuffPressure.from_bytes(frame)
    return {
        "kind": "intermediate_cuff_pressure",
        "cuff_pressure_mmhg": sent.pressure_mmhg,
        "pulse_bpm": number(sent.pulse),
        "user_slot": sent.user_slot,
        "status": sent.status,
        "status_flags": sent.status_flags,
        "meter_time": sent.meter_time,
        "unit_sent": sent.unit,
    } | ({} if sent.pressure.special is None else VALUE_SPECIAL)


DECODERS: Final[dict[str, Decoder]] = {
    uuids.BLOOD_PRESSURE_MEASUREMENT: measurement,
    uuids.INTERMEDIATE_CUFF_PRESSURE: intermediate_cuff_pressure,
}
