"""Random frames of glucose sensors and of the User Data Service, and what must agree when Wireshark has read them, too.

Where the two are known to differ it is written down here with the evidence. Wireshark 4.0 dissects only the first record of a
notification, calls every CGM record "too small" (its test is the wrong way round: `REMARKS`), does not look at the sum, and
swaps type and location: CGMS 1.0.2 section 3.2.1.2 puts the type into the least significant nibble. It does not know the
bit for a pending calibration (GATT Specification Supplement 3.43.4.2), and of the control point it reads an answer only after
its question. The Enhanced Blood Pressure characteristics it does not know at all.
"""

import random
from collections.abc import Callable
from typing import Final

from fix_tshark import Fields
from golden.told import assert_same, assert_same_member, assert_same_number, assert_same_time, below, date_time, sfloat

from vitals.gatt.cgm_measurement import CgmMeasurement, SensorStatus
from vitals.gatt.cgm_session import Ability, CgmFeature, CgmStatus, SessionRunTime, SessionStartTime
from vitals.gatt.e2e_crc import sealed
from vitals.gatt.user_data import DatabaseChangeIncrement, UserControl, UserIndex

REMARKS: Final = (
    "Size too small (6 or geater)",  # of every CGM record
    "Invalid request",  # of a control point's answer whose question it has not seen
    "Invalid response",
    "Packet size exceed current ATT_MTU",  # which the capture has not raised
    "Consent Code is out of bounds (0 to 9999)",  # of the codes in another codec's tests
)
"""What Wireshark 4.0 remarks on frames that are well."""

_STATUS_BITS: Final = {
    "session_stopped": "session_stopped",
    "device_battery_low": "battery_low",
    "sensor_type_incorrect_for_device": "sensor_type_incorrect",
    "sensor_malfunction": "sensor_malfunction",
    "device_specific_alert": "device_specific_alert",
    "general_device_fault_has_occurred_in_the_sensor": "device_fault",
    "time_synchronization_between_sensor_and_collector_required": "time_synchronization_required",
    "calibration_not_allowed": "calibration_not_allowed",
    "calibration_recommended": "calibration_recommended",
    "calibration_required": "calibration_required",
    "sensor_temperature_too_high_for_valid_test_result_at_time_of_measurement": "temperature_high",
    "sensor_temperature_too_low_for_valid_test_result_at_time_of_measurement": "temperature_low",
    "sensor_result_lower_than_the_patient_low_level": "below_patient_low",
    "sensor_result_higher_than_the_patient_high_level": "above_patient_high",
    "sensor_result_lower_than_the_hypo_level": "below_hypo",
    "sensor_result_higher_than_the_hyper_level": "above_hyper",
    "sensor_rate_of_decrease_exceeded": "rate_of_decrease_exceeded",
    "sensor_rate_of_increase_exceeded": "rate_of_increase_exceeded",
    "sensor_result_lower_than_the_device_can_process": "below_device_range",
    "sensor_result_higher_than_the_device_can_process": "above_device_range",
}
_ABILITIES: Final = {
    "calibration": Ability.CALIBRATION,
    "patient_high_low_alerts": Ability.PATIENT_ALERTS,
    "hypo_alerts": Ability.HYPO_ALERTS,
    "hyper_alerts": Ability.HYPER_ALERTS,
    "rate_of_increase_decrease_alerts": Ability.RATE_ALERTS,
    "device_specific_alert": Ability.DEVICE_SPECIFIC_ALERT,
    "sensor_malfunction_detection": Ability.SENSOR_MALFUNCTION,
    "sensor_temperature_high_low_detection": Ability.TEMPERATURE_HIGH_LOW,
    "sensor_result_high_low_detection": Ability.RESULT_HIGH_LOW,
    "low_battery_detection": Ability.LOW_BATTERY,
    "sensor_type_error_detection": Ability.SENSOR_TYPE_ERROR,
    "general_device_fault": Ability.DEVICE_FAULT,
    "e2e_crc": Ability.E2E_CRC,
    "multiple_bond": Ability.MULTIPLE_BONDS,
    "multiple_sessions": Ability.MULTIPLE_SESSIONS,
    "trend_information": Ability.TREND,
    "quality": Ability.QUALITY,
}


def _record(frame: bytes, told: Fields) -> None:
    (ours,) = CgmMeasurement.from_bytes(frame).records
    theirs = below("cgm_measurement", told)
    assert str(len(frame)) == theirs["size"]
    assert_same(ours.concentration, theirs["glucose_concentration"])
    assert_same_number(ours.time_offset_min, theirs["time_offset"])
    assert_same(ours.trend, theirs.get("trend_information"))
    assert_same(ours.quality, theirs.get("quality"))
    _assert_same_status(ours.status or 0, ours.status_flags or (), told)
    _assert_same_sum(frame, told, is_sealed=ours.is_sealed)


def _feature(frame: bytes, told: Fields) -> None:
    ours = CgmFeature.from_bytes(frame)
    theirs = below("cgm_feature.feature", told)
    assert {bit for name, bit in _ABILITIES.items() if theirs[name] == "1"} == {
        bit for bit in Ability if ours.abilities & bit
    }
    swapped = below("cgm.type_and_sample_location", told)
    assert_same_member(ours.sample_type, swapped["sample_location"])
    assert_same_member(ours.sample_location, swapped["type"])


def _status(frame: bytes, told: Fields) -> None:
    ours = CgmStatus.from_bytes(frame)
    assert bytes(ours) == frame
    assert_same_number(ours.time_offset_min, told["cgm.time_offset"])
    assert_same_number(ours.status, told["cgm.status"])
    _assert_same_status(ours.status, ours.status_flags, told)
    _assert_same_sum(frame, told, is_sealed=ours.is_sealed)


def _start(frame: bytes, told: Fields) -> None:
    ours = SessionStartTime.from_bytes(frame)
    assert bytes(ours) == frame
    assert_same_time(ours.date_time, told)
    assert_same_number(ours.zone, told["timezone"])
    assert_same_number(ours.dst, told["dst_offset"])
    _assert_same_sum(frame, told, is_sealed=ours.is_sealed)


def _run_time(frame: bytes, told: Fields) -> None:
    ours = SessionRunTime.from_bytes(frame)
    assert bytes(ours) == frame
    assert_same_number(ours.hours, told["cgm.session_run_time"])
    _assert_same_sum(frame, told, is_sealed=ours.is_sealed)


def _user_control(frame: bytes, told: Fields) -> None:
    ours = UserControl.from_bytes(frame)
    assert bytes(ours) == frame
    theirs = below("user_control_point", told)
    assert_same_number(ours.op_code, theirs["opcode"])
    assert_same_number(ours.consent_code, theirs.get("consent_code"))
    assert_same_number(ours.request_op_code, theirs.get("request_opcode"))
    assert_same_number(ours.response_value, theirs.get("response_value"))
    assert_same_number(ours.user_index, told.get("user_index"))


def _user_index(frame: bytes, told: Fields) -> None:
    assert_same_number(UserIndex.from_bytes(frame).index, told["user_index"])


def _increment(frame: bytes, told: Fields) -> None:
    assert_same_number(DatabaseChangeIncrement.from_bytes(frame).count, told["database_change_increment"])


def _assert_same_status(ours: int, words: tuple[str, ...], told: Fields) -> None:
    theirs = {
        _STATUS_BITS[name.rsplit(".", 1)[-1]]
        for name, text in told.items()
        if "_annunciation." in name and name.rsplit(".", 1)[-1] in _STATUS_BITS and text == "1"
    }
    assert set(words) - {"calibration_pending"} == theirs
    assert ("calibration_pending" in words) == bool(ours & SensorStatus.CALIBRATION_PENDING)


def _assert_same_sum(frame: bytes, told: Fields, *, is_sealed: bool) -> None:
    assert_same_number(int.from_bytes(frame[-2:], "little") if is_sealed else None, told.get("cgm.e2e_crc"))


def _maybe_sealed(body: bytes, rng: random.Random) -> bytes:
    return sealed(body) if rng.random() < 0.5 else body


def _record_frame(rng: random.Random) -> bytes:
    flags = rng.randrange(0x100) & 0xE3
    body = (
        bytes((flags,))
        + sfloat(rng)
        + rng.randbytes(2)
        + rng.randbytes((flags & 0xE0).bit_count())
        + (sfloat(rng) if flags & 0x01 else b"")
        + (sfloat(rng) if flags & 0x02 else b"")
    )
    is_sealed = rng.random() < 0.5
    record = bytes((1 + len(body) + 2 * is_sealed,)) + body
    return sealed(record) if is_sealed else record


def _feature_frame(rng: random.Random) -> bytes:
    body = rng.randbytes(2) + bytes((rng.randrange(2),)) + rng.randbytes(1)
    return sealed(body) if body[1] & 0x10 else body + b"\xff\xff"


def _status_frame(rng: random.Random) -> bytes:
    return _maybe_sealed(rng.randbytes(5), rng)


def _start_frame(rng: random.Random) -> bytes:
    return _maybe_sealed(date_time(rng) + rng.randbytes(2), rng)


def _run_time_frame(rng: random.Random) -> bytes:
    return _maybe_sealed(rng.randbytes(2), rng)


def _user_control_frame(rng: random.Random) -> bytes:
    """Op codes 1 to 3 and their answers: Wireshark 4.0 does not know the later ones."""
    op_code = rng.choice((1, 2, 3, 32))
    if op_code == 32:
        asked = rng.choice((1, 2, 3))
        value = rng.randrange(1, 6)
        return bytes((32, asked, value)) + (rng.randbytes(1) if (asked, value) == (1, 1) else b"")
    return bytes((op_code,)) + rng.randbytes({1: 2, 2: 3, 3: 0}[op_code])


def _user_index_frame(rng: random.Random) -> bytes:
    return rng.randbytes(1)


def _increment_frame(rng: random.Random) -> bytes:
    return rng.randbytes(4)


FRAMES: Final[dict[str, Callable[[random.Random], bytes]]] = {
    "2aa7": _record_frame,
    "2aa8": _feature_frame,
    "2aa9": _status_frame,
    "2aaa": _start_frame,
    "2aab": _run_time_frame,
    "2a9f": _user_control_frame,
    "2a9a": _user_index_frame,
    "2a99": _increment_frame,
}
AGREEMENTS: Final[dict[str, Callable[[bytes, Fields], None]]] = {
    "2aa7": _record,
    "2aa8": _feature,
    "2aa9": _status,
    "2aaa": _start,
    "2aab": _run_time,
    "2a9f": _user_control,
    "2a9a": _user_index,
    "2a99": _increment,
}
