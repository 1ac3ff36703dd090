"""The enhanced blood-pressure frames beyond the published ones: specials, epochs, the two times, lengths."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.enhanced_blood_pressure import EnhancedBloodPressureMeasurement, EnhancedIntermediateCuffPressure
from vitals.gatt.sfloat import NAN, Sfloat
from vitals.reading import GUEST

FULL = bytes.fromhex("7E 9400 5C00 6F00 78949332 4800 01 0400 F8049432")
CUFF = bytes.fromhex("7E 8200 E8030000 4800 01 0500 D0070000")

sfloats = st.builds(Sfloat, mantissa=st.integers(-2048, 2047), exponent=st.integers(-8, 7))
seconds = st.none() | st.integers(0, 0xFFFFFFFF)
tails = st.fixed_dictionaries(
    {
        "unit": st.sampled_from(("mmHg", "kPa")),
        "epoch_year": st.sampled_from((1900, 2000)),
        "time_stamp_s": seconds,
        "pulse": st.none() | sfloats,
        "user_id": st.none() | st.integers(0, 0xFF),
        "status": st.none() | st.integers(0, 0xFFFF),
        "user_facing_s": seconds,
    }
)


@given(sfloats, sfloats, sfloats, tails)
def test_what_is_encoded_is_read_again(
    systolic: Sfloat, diastolic: Sfloat, mean: Sfloat, tail: dict[str, object]
) -> None:
    measurement = EnhancedBloodPressureMeasurement(systolic=systolic, diastolic=diastolic, mean=mean, **tail)  # type: ignore[arg-type]
    assert EnhancedBloodPressureMeasurement.from_bytes(bytes(measurement)) == measurement
    cuff = EnhancedIntermediateCuffPressure(pressure=systolic, **tail)  # type: ignore[arg-type]
    assert EnhancedIntermediateCuffPressure.from_bytes(bytes(cuff)) == cuff
    assert len(bytes(measurement)) - len(bytes(cuff)) == 4
    assert measurement.meter_time is None or len(measurement.meter_time) == 19


@given(st.binary(max_size=32))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    for codec in (EnhancedBloodPressureMeasurement, EnhancedIntermediateCuffPressure):
        try:
            value = codec.from_bytes(data)
        except MalformedError as e:
            assert e.reason in ("frame_length", "flags")  # noqa: PT017
        else:
            assert bytes(value)[0] == data[0] & 0x7F
            assert bytes(value)[1:] == data[1:]


@pytest.mark.parametrize("length", [*range(20), 21, 40])
def test_a_frame_of_another_length_than_its_flags_say_is_malformed(length: int) -> None:
    for codec, whole in ((EnhancedBloodPressureMeasurement, FULL), (EnhancedIntermediateCuffPressure, CUFF)):
        assert bytes(codec.from_bytes(whole)) == whole
        frame = (whole + bytes(40))[:length]
        if length == len(whole):
            continue
        with pytest.raises(MalformedError) as refused:
            codec.from_bytes(frame)
        assert refused.value.reason == "frame_length"
        assert refused.value.datum == frame


def test_a_reserved_flag_is_let_pass_until_the_length_disagrees() -> None:
    flagged = bytes((FULL[0] | 0x80,)) + FULL[1:]
    assert EnhancedBloodPressureMeasurement.from_bytes(flagged) == EnhancedBloodPressureMeasurement.from_bytes(FULL)
    with pytest.raises(MalformedError) as refused:
        EnhancedBloodPressureMeasurement.from_bytes(flagged + b"\0")
    assert refused.value.reason == "flags"


@pytest.mark.parametrize("word", [0x07FF, 0x0800, 0x07FE, 0x0802, 0x0801])
def test_a_special_is_never_a_number(word: int) -> None:
    special = struct.pack("<H", word)
    measured = EnhancedBloodPressureMeasurement.from_bytes(b"\x04" + special * 4).to_measurement()
    numbers = (measured.systolic_mmhg, measured.diastolic_mmhg, measured.mean_mmhg, measured.pulse_bpm)
    assert numbers == (None,) * 4
    assert measured.systolic_sent is None
    assert EnhancedIntermediateCuffPressure.from_bytes(b"\x00" + special).pressure_mmhg is None


def test_it_measures_what_the_classic_frame_with_the_same_values_measures() -> None:
    values = {
        "systolic": Sfloat.of("19.7", -1),
        "diastolic": Sfloat.of("12.3", -1),
        "pulse": Sfloat.of(72),
        "status": 4,
    }
    enhanced = EnhancedBloodPressureMeasurement(unit="kPa", **values)  # type: ignore[arg-type]
    classic = BloodPressureMeasurement(unit="kPa", **values)  # type: ignore[arg-type]
    assert enhanced.to_measurement() == classic.to_measurement()
    assert enhanced.to_measurement().systolic_mmhg == 147.762214
    assert enhanced.status_flags == ("irregular_pulse",)


def test_the_epoch_is_the_flags_and_never_guessed() -> None:
    """The same seconds are a century apart, and a day: 1900 had no 29 February."""
    second = 0x329393F8
    since_2000 = EnhancedBloodPressureMeasurement(systolic=NAN, diastolic=NAN, user_facing_s=second)
    since_1900 = EnhancedBloodPressureMeasurement(systolic=NAN, diastolic=NAN, epoch_year=1900, user_facing_s=second)
    assert str(since_2000.user_facing_time) == "2026-11-20 23:27:52"
    assert str(since_1900.user_facing_time) == "1926-11-21 23:27:52"
    last = EnhancedBloodPressureMeasurement(systolic=NAN, diastolic=NAN, epoch_year=1900, user_facing_s=0xFFFFFFFF)
    assert last.meter_time == "2036-02-07T06:28:15"  # where NTP's first era ends


def test_the_base_time_names_a_reading_and_the_display_times_it() -> None:
    sent = EnhancedBloodPressureMeasurement.from_bytes(FULL)
    assert sent.meter_time == "2026-11-20T23:30:00"
    assert str(sent.user_facing_time) == "2026-11-21 07:30:00"
    displayed = EnhancedBloodPressureMeasurement(systolic=NAN, diastolic=NAN, user_facing_s=sent.user_facing_s)
    assert displayed.meter_time == "2026-11-21T07:30:00"
    assert displayed.base_time is None
    based = EnhancedBloodPressureMeasurement(systolic=NAN, diastolic=NAN, time_stamp_s=sent.time_stamp_s)
    assert based.meter_time == "2026-11-20T23:30:00"
    assert based.user_facing_time is None, "a base time is not a wall clock of the home"
    assert EnhancedBloodPressureMeasurement(systolic=NAN, diastolic=NAN).meter_time is None


def test_a_user_that_the_meter_does_not_know_is_a_guest_and_not_a_meter_without_users() -> None:
    for user_id, slot in ((None, None), (0xFF, GUEST), (0, 0), (3, 3)):
        assert EnhancedIntermediateCuffPressure(pressure=NAN, user_id=user_id).user_slot == slot


def test_an_inflating_cuff_is_one_pressure() -> None:
    sent = EnhancedIntermediateCuffPressure(pressure=Sfloat.of("21.5", -1), unit="kPa", epoch_year=1900)
    assert bytes(sent).hex() == "01d7f0"
    assert sent.pressure_mmhg == 161.26333
    assert not hasattr(sent, "to_measurement"), "it is never a reading"


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": 256},
        {"status": 0x10000},
        {"unit": "bar"},
        {"epoch_year": 1970},
        {"time_stamp_s": -1},
        {"user_facing_s": 2**32},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_the_wire_cannot_carry_is_our_mistake(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        EnhancedBloodPressureMeasurement(systolic=NAN, diastolic=NAN, **wrong)  # type: ignore[arg-type]
