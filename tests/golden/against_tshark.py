"""Random frames of every kind, and what must agree when Wireshark has read them, too: field by field.

Where the two are known to differ it is written down here with the evidence: tshark reads specials only with exponent 0, swaps
tester and health, and does not know the combined report.
"""

import random
from collections.abc import Callable
from typing import Final

from fix_tshark import Fields
from golden import tshark_cgm, tshark_sensors
from golden.told import assert_same, assert_same_member, assert_same_number, assert_same_time, below, date_time, sfloat

from vitals.gatt.blood_pressure import BloodPressureMeasurement, IntermediateCuffPressure
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.glucose_context import GlucoseContext
from vitals.gatt.record_access import RecordAccess


def frame(characteristic: str, rng: random.Random) -> bytes:
    """A well-formed frame of this characteristic, with any values."""
    return _FRAMES[characteristic](rng)


def assert_agrees(characteristic: str, frame: bytes, told: Fields) -> None:
    """Raise `AssertionError` where we read something else than tshark has `told`."""
    _AGREEMENTS[characteristic](frame, told)


def _pressure(frame: bytes, told: Fields) -> None:
    ours = BloodPressureMeasurement.from_bytes(frame)
    assert bytes(ours) == frame
    unit = "kpa" if ours.unit == "kPa" else "mmhg"
    assert_same(ours.systolic, told_pressure(told, "systolic", unit))
    assert_same(ours.diastolic, told_pressure(told, "diastolic", unit))
    assert_same(ours.mean, told_pressure(told, "arterial_pressure", unit))
    _assert_rest(ours, told)


def _cuff(frame: bytes, told: Fields) -> None:
    ours = IntermediateCuffPressure.from_bytes(frame)
    assert_same(ours.pressure, told_pressure(told, "systolic", "kpa" if ours.unit == "kPa" else "mmhg"))
    _assert_rest(ours, told)


def _sugar(frame: bytes, told: Fields) -> None:
    ours = GlucoseMeasurement.from_bytes(frame)
    theirs = below("glucose_measurement", told)
    unit = "mol_per_l" if ours.unit == "mol/L" else "kg_per_l"
    assert str(ours.sequence) == theirs["sequence_number"]
    assert_same_time(ours.base_time, told)
    assert_same_number(ours.time_offset_min, theirs.get("time_offset"))
    assert_same(ours.concentration, theirs.get(f"glucose_concentration.{unit}"))
    assert_same_member(ours.sample_type, theirs.get("type_and_sample_location.type"))
    assert_same_member(ours.sample_location, theirs.get("type_and_sample_location.sample_location"))
    assert_same_number(ours.status, theirs.get("sensor_status_annunciation"))
    assert ours.context_follows == bool(int(theirs["flags.context_information_follows"]))


def _context(frame: bytes, told: Fields) -> None:
    ours = GlucoseContext.from_bytes(frame)
    theirs = below("glucose_measurement_context", told)
    medication = "l" if ours.medication_unit == "L" else "kg"
    assert str(ours.sequence) == theirs["sequence_number"]
    assert_same_number(ours.extended_flags, theirs.get("extended_flags"))
    assert_same_member(ours.carbohydrate_id, theirs.get("carbohydrate_id"))
    assert_same(ours.carbohydrate, theirs.get("carbohydrate.kg"))
    assert_same_member(ours.meal, theirs.get("meal"))
    # Wireshark 4.0 has tester in the high nibble. The specification lists it first, and both the Nordic and the ST
    # stack put it low (0x12 is "health care professional, minor health issues").
    assert_same_member(ours.health, theirs.get("tester_and_health.tester"))
    assert_same_member(ours.tester, theirs.get("tester_and_health.health"))
    assert_same_number(ours.exercise_duration_s, theirs.get("exercise_duration"))
    assert_same_number(ours.exercise_intensity_percent, theirs.get("exercise_intensity"))
    assert_same_member(ours.medication_id, theirs.get("medication_id"))
    assert_same(ours.medication, theirs.get(f"medication.{medication}"))
    assert_same(ours.hba1c, theirs.get("hba1c"))


def _record_access(frame: bytes, told: Fields) -> None:
    ours = RecordAccess.from_bytes(frame)
    assert bytes(ours) == frame
    theirs = below("record_access_control_point", told)
    operand = below("record_access_control_point_operand", told)
    assert (str(ours.op_code), str(ours.operator)) == (theirs["opcode"], theirs["operator"])
    assert_same_number(ours.filter_type, theirs.get("operand.filter_type"))
    assert_same_number(ours.minimum, operand.get("min_time_offset"))
    assert_same_number(ours.maximum, operand.get("max_time_offset"))
    assert_same_number(ours.number_of_records, operand.get("number_of_records"))
    assert_same_number(ours.request_op_code, theirs.get("request_opcode"))
    assert_same_number(ours.response_code_value, theirs.get("response_code"))


def _clock(frame: bytes, told: Fields) -> None:
    ours = CurrentTime.from_bytes(frame)
    assert bytes(ours) == frame
    assert_same_time(ours.date_time, told)
    assert_same_number(ours.day_of_week, told["day_of_week"])
    assert_same_number(ours.fractions256, told["fractions256"])
    assert_same_number(ours.adjust_reason, told["adjust_reason"])


def _pressure_frame(rng: random.Random) -> bytes:
    flags = rng.randrange(0x20)
    return (
        bytes((flags,))
        + b"".join(sfloat(rng) for _ in range(3))
        + (date_time(rng) if flags & 0x02 else b"")
        + (sfloat(rng) if flags & 0x04 else b"")
        + (rng.randbytes(1) if flags & 0x08 else b"")
        + (rng.randbytes(2) if flags & 0x10 else b"")
    )


def _glucose_frame(rng: random.Random) -> bytes:
    flags = rng.randrange(0x20)
    return (
        bytes((flags,))
        + rng.randbytes(2)
        + date_time(rng)
        + (rng.randbytes(2) if flags & 0x01 else b"")
        + (sfloat(rng) + rng.randbytes(1) if flags & 0x02 else b"")
        + (rng.randbytes(2) if flags & 0x08 else b"")
    )


def _context_frame(rng: random.Random) -> bytes:
    flags = rng.randrange(0x100)
    return (
        bytes((flags,))
        + rng.randbytes(2)
        + (rng.randbytes(1) if flags & 0x80 else b"")
        + (rng.randbytes(1) + sfloat(rng) if flags & 0x01 else b"")
        + (bytes((rng.randrange(8),)) if flags & 0x02 else b"")
        + (rng.randbytes(1) if flags & 0x04 else b"")
        + (rng.randbytes(3) if flags & 0x08 else b"")
        + (bytes((rng.randrange(8),)) + sfloat(rng) if flags & 0x10 else b"")
        + (sfloat(rng) if flags & 0x40 else b"")
    )


def _record_access_frame(rng: random.Random) -> bytes:
    op_code = rng.choice((1, 2, 3, 4, 5, 6))
    match op_code:
        case 3:
            return bytes((3, 0))
        case 5:
            return bytes((5, 0)) + rng.randbytes(2)
        case 6:
            return bytes((6, 0, rng.randrange(1, 5), rng.randrange(1, 10)))
    operator = rng.randrange(1, 7)
    bounds = {2: 1, 3: 1, 4: 2}.get(operator, 0)
    return bytes((op_code, operator)) + (b"\x01" if bounds else b"") + rng.randbytes(2 * bounds)


def _clock_frame(rng: random.Random) -> bytes:
    return date_time(rng) + rng.randbytes(3)


def told_pressure(told: Fields, name: str, unit: str) -> str:
    return told[f"blood_pressure_measurement.compound_value.{name}.{unit}"]


def _assert_rest(ours: BloodPressureMeasurement | IntermediateCuffPressure, told: Fields) -> None:
    theirs = below("blood_pressure_measurement", told)
    assert_same(ours.pulse, theirs.get("pulse_rate"))
    assert_same_number(ours.user_id, theirs.get("user_id"))
    assert_same_number(ours.status, theirs.get("status"))
    assert_same_time(ours.date_time, told)
    if ours.status is not None:
        flags = ours.status_flags or ()
        assert ("body_movement" in flags) == bool(int(theirs["status.body_movement"]))
        assert ("cuff_too_loose" in flags) == bool(int(theirs["status.cuff_fit_too_loose"]))
        assert ("irregular_pulse" in flags) == bool(int(theirs["status.irregular_pulse"]))
        assert ("improper_position" in flags) == bool(int(theirs["status.improper_measurement_position"]))
        assert ("pulse_above_range" in flags) == (int(theirs["status.pulse_rate_range_detection"], 0) == 1)
        assert ("pulse_below_range" in flags) == (int(theirs["status.pulse_rate_range_detection"], 0) == 2)


_FRAMES: Final[dict[str, Callable[[random.Random], bytes]]] = (
    {
        "2a35": _pressure_frame,
        "2a36": _pressure_frame,
        "2a18": _glucose_frame,
        "2a34": _context_frame,
        "2a52": _record_access_frame,
        "2a2b": _clock_frame,
    }
    | tshark_sensors.FRAMES
    | tshark_cgm.FRAMES
)
_AGREEMENTS: Final[dict[str, Callable[[bytes, Fields], None]]] = (
    {
        "2a35": _pressure,
        "2a36": _cuff,
        "2a18": _sugar,
        "2a34": _context,
        "2a52": _record_access,
        "2a2b": _clock,
    }
    | tshark_sensors.AGREEMENTS
    | tshark_cgm.AGREEMENTS
)
CHARACTERISTICS: Final = tuple(_FRAMES)
