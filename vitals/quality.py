"""The absolute marks of a measurement: what can be said of it without seeing any other reading.

Relative marks (`suspect`, and its promotion back to accepted) depend on the patient's other readings and are computed at
every judging (`server.rules`). A plausible extreme, such as 250 mmHg, is not bad input: it is a critical value.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Final

from vitals import units
from vitals.reading import (
    BloodPressure,
    Glucose,
    HeartRate,
    Measurement,
    OxygenSaturation,
    SensorGlucose,
    Temperature,
    Weight,
)
from vitals.units import KG_PER_LB, MMHG_PER_KPA


class Quality(StrEnum):
    """From unusable to usable. Trend rules use accepted readings only; critical rules look at rejected ones too."""

    INVALID = "invalid"
    REJECTED = "rejected"
    SUSPECT = "suspect"
    ACCEPTED = "accepted"


SYSTOLIC_RANGE_MMHG: Final = (40.0, 300.0)
DIASTOLIC_RANGE_MMHG: Final = (20.0, 200.0)
PULSE_RANGE_BPM: Final = (20.0, 250.0)
GLUCOSE_RANGE_MMOL_L: Final = (0.6, 50.0)
WEIGHT_RANGE_KG: Final = (2.0, 400.0)
SPO2_RANGE_PERCENT: Final = (40.0, 100.0)
TEMPERATURE_RANGE_CELSIUS: Final = (25.0, 45.0)
"""Outside these a value is impossible (engineering choice, docs/explanation/safety): excluded from rules, never dropped."""

MOVEMENT, CUFF_LOOSE, IRREGULAR_PULSE, IMPROPER_POSITION = 0x01, 0x02, 0x04, 0x20
"""Measurement Status bits of 0x2A35. An irregular pulse alone does not reject."""

GLUCOSE_REJECTING: Final = 0x079E
"""Sensor Status bits 1-4 and 7-10 of 0x2A18: sensor fault, sample, strip, temperature, interrupted, device fault."""

SENSOR_GLUCOSE_REJECTING: Final = 0x00382C
"""Sensor Status Annunciation bits of 0x2AA7: wrong sensor (2), malfunction (3), device fault (5), calibration required (11), too
hot or too cold for a valid result (12, 13). Calibration recommended (10) and levels crossed (16-21) reject nothing."""

SPO2_NOBODYS: Final = 0x0C00
"""Measurement Status bits of 0x2A5E and 0x2A5F: for demonstration (10), for testing (11). Nobody's finger was in it."""

SPO2_REJECTING: Final = 0xF040
"""The same word's bits: early estimate (6), calibrating (12), unavailable (13), questionable (14), invalid (15)."""

SPO2_SENSOR_REJECTING: Final = 0x00FDDE
"""Device and Sensor Status bits of both: malfunction (1), irregular processing (2), a signal inadequate (3), poor (4), erratic
(6) or without a pulse (7), questionable pulse (8), interference (10: the SIG's XML writes "interface", IEEE 11073-10404 what is
meant), off the finger (11), unknown (12), displaced (13), broken (14) or disconnected (15)."""

LOW_PERFUSION: Final = 0x20
"""Device and Sensor Status bit 5. A cold finger alone does not reject: the meter stands by its value."""


def grade(measurement: Measurement) -> tuple[Quality, tuple[str, ...]]:
    """The absolute quality of one measurement and the reasons for it, worst first."""
    match measurement:
        case BloodPressure():
            return _grade_blood_pressure(measurement)
        case Glucose():
            return _grade_glucose(measurement)
        case SensorGlucose():
            return _grade_sensor_glucose(measurement)
        case Weight():
            return _grade_weight(measurement)
        case OxygenSaturation():
            return _grade_oxygen_saturation(measurement)
        case Temperature():
            return _grade_temperature(measurement)
        case HeartRate():
            return _grade_heart_rate(measurement)


def _grade_blood_pressure(bp: BloodPressure) -> tuple[Quality, tuple[str, ...]]:
    """An impossible pulse rejects and does not invalidate: the pressures may be right, and a critical one among them must
    still make the patient measure again."""
    if bp.systolic_mmhg is None or bp.diastolic_mmhg is None:
        return Quality.INVALID, ("value_special",)
    if not _is_possible(bp.systolic_mmhg, bp.diastolic_mmhg):
        return Quality.INVALID, ("unit_suspect",) if _fits_the_other_unit(bp) else ("range",)
    status = bp.status or 0
    has_impossible_pulse = bp.pulse_bpm is not None and not _within(bp.pulse_bpm, PULSE_RANGE_BPM)
    reasons = ("range",) * has_impossible_pulse + tuple(
        name
        for bit, name in (
            (MOVEMENT, "body_movement"),
            (CUFF_LOOSE, "cuff_too_loose"),
            (IMPROPER_POSITION, "improper_position"),
        )
        if status & bit
    )
    if reasons:
        return Quality.REJECTED, reasons
    return Quality.ACCEPTED, ("irregular_pulse",) if status & IRREGULAR_PULSE else ()


def _is_possible(systolic: float, diastolic: float) -> bool:
    return _within(systolic, SYSTOLIC_RANGE_MMHG) and _within(diastolic, DIASTOLIC_RANGE_MMHG) and systolic > diastolic


def _fits_the_other_unit(bp: BloodPressure) -> bool:
    assert bp.systolic_mmhg is not None
    assert bp.diastolic_mmhg is not None
    factor = float(MMHG_PER_KPA if bp.unit_sent == "mmHg" else 1 / MMHG_PER_KPA)
    return _is_possible(bp.systolic_mmhg * factor, bp.diastolic_mmhg * factor)


def _grade_glucose(glucose: Glucose) -> tuple[Quality, tuple[str, ...]]:
    if glucose.sample_type == "control_solution" or glucose.sample_location == "control_solution":
        return Quality.INVALID, ("control_solution",)
    if (glucose.status or 0) & GLUCOSE_REJECTING:
        return Quality.REJECTED, ("sensor_status",)
    return _grade_glucose_value(glucose)


def _grade_sensor_glucose(glucose: SensorGlucose) -> tuple[Quality, tuple[str, ...]]:
    if (glucose.status or 0) & SENSOR_GLUCOSE_REJECTING:
        return Quality.REJECTED, ("sensor_status",)
    return _grade_glucose_value(glucose)


def _grade_glucose_value(glucose: Glucose | SensorGlucose) -> tuple[Quality, tuple[str, ...]]:
    if glucose.censored is not None:
        return Quality.ACCEPTED, (f"censored_{glucose.censored.lower()}",)
    if glucose.glucose_mmol_l is None:
        return Quality.INVALID, ("value_special",)
    if not _within(glucose.glucose_mmol_l, GLUCOSE_RANGE_MMOL_L):
        return Quality.INVALID, ("unit_suspect",) if _fits_another_unit(glucose) else ("range",)
    return Quality.ACCEPTED, ()


def _fits_another_unit(glucose: Glucose | SensorGlucose) -> bool:
    """Whether the number as sent would be possible in one of the units that meters are known to mix up."""
    if glucose.glucose_sent is None:
        return False
    sent = Decimal(str(glucose.glucose_sent))
    others = (unit for unit in ("kg/L", "mol/L", "mg/dL", "mmol/L") if unit != glucose.unit_sent)
    return any(_within(float(units.glucose(sent, unit)[0]), GLUCOSE_RANGE_MMOL_L) for unit in others)


def _grade_weight(weight: Weight) -> tuple[Quality, tuple[str, ...]]:
    if weight.weight_kg is None:
        return Quality.INVALID, ("value_special",)
    if _within(weight.weight_kg, WEIGHT_RANGE_KG):
        return Quality.ACCEPTED, ()
    in_the_other_unit = weight.weight_kg * float(KG_PER_LB if weight.unit_sent == "kg" else 1 / KG_PER_LB)
    return Quality.INVALID, ("unit_suspect",) if _within(in_the_other_unit, WEIGHT_RANGE_KG) else ("range",)


def _grade_temperature(temperature: Temperature) -> tuple[Quality, tuple[str, ...]]:
    celsius = temperature.temperature_celsius
    if celsius is None:
        return Quality.INVALID, ("value_special",)
    if _within(celsius, TEMPERATURE_RANGE_CELSIUS):
        return Quality.ACCEPTED, ()
    in_the_other_unit = (celsius - 32) * 5 / 9 if temperature.unit_sent == "°C" else celsius * 9 / 5 + 32
    return Quality.INVALID, ("unit_suspect",) if _within(in_the_other_unit, TEMPERATURE_RANGE_CELSIUS) else ("range",)


def _grade_oxygen_saturation(measured: OxygenSaturation) -> tuple[Quality, tuple[str, ...]]:
    """As with a cuff, an impossible pulse rejects and does not invalidate."""
    status, sensor_status = measured.status or 0, measured.sensor_status or 0
    if status & SPO2_NOBODYS:
        return Quality.INVALID, ("demonstration",)
    if measured.spo2_percent is None:
        return Quality.INVALID, ("value_special",)
    if not _within(measured.spo2_percent, SPO2_RANGE_PERCENT):
        return Quality.INVALID, ("range",)
    has_impossible_pulse = measured.pulse_bpm is not None and not _within(measured.pulse_bpm, PULSE_RANGE_BPM)
    is_doubted = bool(status & SPO2_REJECTING or sensor_status & SPO2_SENSOR_REJECTING)
    if reasons := ("range",) * has_impossible_pulse + ("sensor_status",) * is_doubted:
        return Quality.REJECTED, reasons
    return Quality.ACCEPTED, ("low_perfusion",) if sensor_status & LOW_PERFUSION else ()


def _grade_heart_rate(measured: HeartRate) -> tuple[Quality, tuple[str, ...]]:
    if measured.pulse_bpm is None:
        return Quality.INVALID, ("value_special",)
    if not _within(measured.pulse_bpm, PULSE_RANGE_BPM):
        return Quality.INVALID, ("range",)
    return (Quality.REJECTED, ("no_contact",)) if measured.has_contact is False else (Quality.ACCEPTED, ())


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
