"""The absolute marks of a measurement: what can be said of it without seeing any other reading.

Relative marks (`suspect`, and its promotion back to accepted) depend on the patient's other readings and are computed at
every judging (`server.rules`). A plausible extreme, such as 250 mmHg, is not bad input: it is a critical value.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Final

from vitals import units
from vitals.reading import BloodPressure, Glucose, Measurement
from vitals.units import MMHG_PER_KPA


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
"""Outside these a value is impossible (engineering choice, docs/explanation/safety): excluded from rules, never dropped."""

MOVEMENT, CUFF_LOOSE, IRREGULAR_PULSE, IMPROPER_POSITION = 0x01, 0x02, 0x04, 0x20
"""Measurement Status bits of 0x2A35. An irregular pulse alone does not reject."""

GLUCOSE_REJECTING: Final = 0x079E
"""Sensor Status bits 1-4 and 7-10 of 0x2A18: sensor fault, sample, strip, temperature, interrupted, device fault."""


def grade(measurement: Measurement) -> tuple[Quality, tuple[str, ...]]:
    """The absolute quality of one measurement and the reasons for it, worst first."""
    match measurement:
        case BloodPressure():
            return _grade_blood_pressure(measurement)
        case Glucose():
            return _grade_glucose(measurement)


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
    if glucose.censored is not None:
        return Quality.ACCEPTED, (f"censored_{glucose.censored.lower()}",)
    if glucose.glucose_mmol_l is None:
        return Quality.INVALID, ("value_special",)
    if not _within(glucose.glucose_mmol_l, GLUCOSE_RANGE_MMOL_L):
        return Quality.INVALID, ("unit_suspect",) if _fits_another_unit(glucose) else ("range",)
    return Quality.ACCEPTED, ()


def _fits_another_unit(glucose: Glucose) -> bool:
    """Whether the number as sent would be possible in one of the units that meters are known to mix up."""
    if glucose.glucose_sent is None:
        return False
    sent = Decimal(str(glucose.glucose_sent))
    others = (unit for unit in ("kg/L", "mol/L", "mg/dL", "mmol/L") if unit != glucose.unit_sent)
    return any(_within(float(units.glucose(sent, unit)[0]), GLUCOSE_RANGE_MMOL_L) for unit in others)


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
