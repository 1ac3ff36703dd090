"""Hundreds of frames of every kind, read by us and by Wireshark, field by field. Ring F3 of the fault campaign reads 100,000."""

import random
import struct
from decimal import Decimal

import pytest
from fix_tshark import Dissect
from golden import against_tshark
from golden.frames import PUBLISHED
from golden.told import SPECIAL_MANTISSAS, below, is_number
from golden.tshark_cgm import REMARKS

from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.pulse_oximeter import SpotCheck

pytestmark = pytest.mark.tshark

FRAMES_OF_EACH_KIND = 400


def test_every_sfloat_word_is_the_number_that_tshark_reads(tshark: Dissect) -> None:
    """All 65,536 words, three in a frame. A special mantissa with an exponent is a number to tshark and none to us."""
    words = [*range(0x10000), 0x07FF, 0x07FF]
    frames = [b"\0" + struct.pack("<3H", *words[at : at + 3]) for at in range(0, len(words), 3)]
    for frame, told in zip(frames, tshark([("2a35", frame) for frame in frames]), strict=True):
        ours = BloodPressureMeasurement.from_bytes(frame)
        theirs = (
            against_tshark.told_pressure(told, name, "mmhg") for name in ("systolic", "diastolic", "arterial_pressure")
        )
        for sfloat, text in zip((ours.systolic, ours.diastolic, ours.mean), theirs, strict=True):
            if sfloat.mantissa & 0xFFF in SPECIAL_MANTISSAS:
                assert sfloat.value is None
                assert sfloat.exponent or not is_number(text)
            else:
                assert Decimal(text) == sfloat.value, sfloat


@pytest.mark.parametrize("characteristic", against_tshark.CHARACTERISTICS)
def test_a_frame_is_what_tshark_reads(tshark: Dissect, characteristic: str) -> None:
    rng = random.Random(int(characteristic, 16))
    frames = [against_tshark.frame(characteristic, rng) for _ in range(FRAMES_OF_EACH_KIND)]
    for frame, told in zip(frames, tshark([(characteristic, frame) for frame in frames]), strict=True):
        against_tshark.assert_agrees(characteristic, frame, told)


def test_the_names_of_glucose_status_flags_are_those_of_tshark(tshark: Dissect) -> None:
    names = {
        "battery_low": "battery_low",
        "sensor_fault": "fault",
        "sample_insufficient": "size_insufficient",
        "strip_insertion": "strip_insertion_error",
        "strip_type": "strip_type_incorrect",
        "result_above_range": "result_too_high",
        "result_below_range": "result_too_lower",
        "temperature_high": "temperature_too_high",
        "temperature_low": "temperature_too_low",
        "read_interrupted": "read_interrupted",
        "device_fault": "general_fault",
        "time_fault": "time_fault",
    }
    frames = [b"\x08\x01\x00" + bytes(7) + struct.pack("<H", 1 << bit) for bit in range(12)]
    for frame, told in zip(frames, tshark([("2a18", frame) for frame in frames]), strict=True):
        theirs = below("glucose_measurement.sensor_status_annunciation", told)
        ours = GlucoseMeasurement.from_bytes(frame).status_flags
        assert ours is not None
        assert {names[name] for name in ours} == {name for name in names.values() if theirs[name] == "1"}


def test_the_names_of_an_oximeters_status_bits_are_those_of_tshark(tshark: Dissect) -> None:
    """Both words, bit by bit; tshark's names are longer, and it has bit 10 as interference, too."""
    longer = {
        "early_estimate": "early_estimated_data",
        "validated": "validated_data",
        "fully_qualified": "fully_qualified_data",
        "from_storage": "data_from_measurement_storage",
        "demonstration": "data_for_demonstration",
        "testing": "data_for_testing",
        "unavailable": "measurement_unavailable",
        "questionable": "questionable_measurement_detected",
        "invalid": "invalid_measurement_detected",
        "extended_display_update": "extended_display_update_ongoing",
        "nonpulsatile_signal": "non_pulsatile_signal_detected",
        "sensor_off_user": "unconnected_to_user",
        "unknown_sensor": "unknown_sensor_connected",
        "sensor_malfunction": "sensor_malfunctioning",
    }
    frames = [b"\x06" + bytes(4) + struct.pack("<I", 1 << bit) + b"\0" for bit in range(32)]
    for frame, told in zip(frames, tshark([("2a5e", frame) for frame in frames]), strict=True):
        ours = SpotCheck.from_bytes(frame)
        names = [*(ours.status_flags or ()), *(ours.sensor_status_flags or ())]
        prefixes = ("measurement_status.", "device_and_sensor_status.")
        theirs = below("plxs.spot_check_measurement", told)
        raised = [name.partition(".")[2] for name, text in theirs.items() if name.startswith(prefixes) and text == "1"]
        raised = [name for name in raised if name != "reserved"]
        assert [longer.get(name, name) for name in names] == [
            name if name in longer.values() else name.removesuffix("_detected") for name in raised
        ]


def test_tshark_finds_no_fault_in_any_published_frame(tshark: Dissect) -> None:
    dissected = tshark([(published.characteristic, published.raw) for published in PUBLISHED])
    faults = [
        (published.source, name)
        for published, told in zip(PUBLISHED, dissected, strict=True)
        for name in told
        if ("malformed" in name or "_ws.expert" in name) and told.get("_ws.expert.message") not in REMARKS
    ]
    assert faults == []
