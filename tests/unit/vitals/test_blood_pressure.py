"""The blood-pressure frames beyond the published ones: specials, users, units, lengths."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.blood_pressure import BloodPressureMeasurement, IntermediateCuffPressure, Status
from vitals.gatt.date_time import DateTime
from vitals.gatt.sfloat import NAN, NRES, Sfloat

FULL = bytes.fromhex("1E94005C006F00EA070B1507051E4800010400")

sfloats = st.builds(Sfloat, mantissa=st.integers(-2048, 2047), exponent=st.integers(-8, 7))
date_times = st.binary(min_size=7, max_size=7).map(DateTime.from_bytes)
words = st.integers(0, 0xFFFF)
octets = st.integers(0, 0xFF)
measurements = st.builds(
    BloodPressureMeasurement,
    systolic=sfloats,
    diastolic=sfloats,
    mean=sfloats,
    unit=st.sampled_from(("mmHg", "kPa")),
    date_time=st.none() | date_times,
    pulse=st.none() | sfloats,
    user_id=st.none() | octets,
    status=st.none() | words,
)


@pytest.mark.parametrize(
    ("mean", "told"), [("0000", None), ("B400", None), ("0A00", None), ("FF07", None), ("5A00", 90.0)]
)
def test_a_mean_that_does_not_lie_between_the_pressures_is_none(mean: str, told: float | None) -> None:
    """120/80; a BM85 sends 0 (derdilla/blood-pressure-monitor-fl, ble_measurement_data_test.dart)."""
    measured = BloodPressureMeasurement.from_bytes(bytes.fromhex(f"00 7800 5000 {mean}")).to_measurement()
    assert (measured.systolic_mmhg, measured.diastolic_mmhg, measured.mean_mmhg) == (120.0, 80.0, told)


@given(measurements)
def test_what_is_encoded_is_read_again(measurement: BloodPressureMeasurement) -> None:
    assert BloodPressureMeasurement.from_bytes(bytes(measurement)) == measurement
    assert len(bytes(measurement)) <= 19


@given(st.binary(max_size=32))
def test_any_bytes_are_a_measurement_or_malformed(data: bytes) -> None:
    for codec in (BloodPressureMeasurement, IntermediateCuffPressure):
        try:
            value = codec.from_bytes(data)
        except MalformedError as e:
            assert e.reason in ("frame_length", "flags")  # noqa: PT017
        else:
            assert codec.from_bytes(bytes(value)) == value


@given(st.integers(0, 0x1F), st.data())
def test_canonical_bytes_come_back_unchanged(flags: int, data: st.DataObject) -> None:
    length = 6 + 7 * bool(flags & 2) + 2 * bool(flags & 4) + bool(flags & 8) + 2 * bool(flags & 16)
    frame = bytes((flags,)) + data.draw(st.binary(min_size=length, max_size=length))
    assert bytes(BloodPressureMeasurement.from_bytes(frame)) == frame


@pytest.mark.parametrize("length", [*range(19), 20, 21, 40])
def test_a_frame_of_another_length_than_its_flags_say_is_malformed(length: int) -> None:
    frame = (FULL + bytes(40))[:length]
    with pytest.raises(MalformedError) as refused:
        BloodPressureMeasurement.from_bytes(frame)
    assert refused.value.reason == "frame_length"
    assert refused.value.datum == frame


@pytest.mark.parametrize("bit", [0x20, 0x40, 0x80])
def test_a_reserved_flag_is_let_pass_until_the_length_disagrees(bit: int) -> None:
    flagged = bytes((FULL[0] | bit,)) + FULL[1:]
    assert BloodPressureMeasurement.from_bytes(flagged) == BloodPressureMeasurement.from_bytes(FULL)
    with pytest.raises(MalformedError) as refused:
        BloodPressureMeasurement.from_bytes(flagged + b"\0")
    assert refused.value.reason == "flags"


@pytest.mark.parametrize("word", [0x07FF, 0x0800, 0x07FE, 0x0802, 0x0801])
def test_a_special_is_never_a_number(word: int) -> None:
    special = struct.pack("<H", word)
    frame = b"\x04" + special * 4
    measured = BloodPressureMeasurement.from_bytes(frame).to_measurement()
    assert measured.systolic_mmhg is None
    assert measured.diastolic_mmhg is None
    assert measured.mean_mmhg is None
    assert measured.pulse_bpm is None
    assert measured.systolic_sent is None
    assert bytes(BloodPressureMeasurement.from_bytes(frame)) == frame


def test_kilopascals_become_exact_millimetres_of_mercury() -> None:
    sent = BloodPressureMeasurement(systolic=Sfloat.of("19.7", -1), diastolic=Sfloat.of("12.3", -1), unit="kPa")
    measured = sent.to_measurement()
    assert (measured.systolic_mmhg, measured.diastolic_mmhg) == (147.762214, 92.257626)
    assert (measured.systolic_sent, measured.diastolic_sent, measured.unit_sent) == (19.7, 12.3, "kPa")


def test_a_user_that_the_meter_does_not_know_is_a_guest() -> None:
    frame = bytes.fromhex("0878005000FF07FF")
    measurement = BloodPressureMeasurement.from_bytes(frame)
    assert measurement.user_slot == 0xFF
    assert bytes(measurement) == frame
    assert BloodPressureMeasurement.from_bytes(frame[:-1] + b"\x00").user_slot == 0


def test_a_frame_without_a_time_has_none() -> None:
    assert BloodPressureMeasurement(systolic=Sfloat.of(120), diastolic=Sfloat.of(80)).meter_time is None


def test_every_status_bit_has_its_name() -> None:
    def named(status: int) -> tuple[str, ...] | None:
        return BloodPressureMeasurement(systolic=NAN, diastolic=NRES, status=status).status_flags

    assert [named(flag) for flag in Status] == [(str(flag.name).lower(),) for flag in Status]
    assert named(0) == ()
    assert named(0xFFC0) == ()  # reserved bits, and a vendor's
    assert named(0x0018 | 0x0004) == ("irregular_pulse",)  # a pulse range of 3 means nothing
    assert BloodPressureMeasurement(systolic=NAN, diastolic=NAN).status_flags is None


def test_an_inflating_cuff_fills_only_its_own_field() -> None:
    sent = IntermediateCuffPressure(pressure=Sfloat.of("21.5", -1), unit="kPa", user_id=0xFF)
    assert bytes(sent).hex() == "09d7f0ff07ff07ff"
    assert sent.pressure_mmhg == 161.26333
    assert sent.user_slot == 0xFF
    assert IntermediateCuffPressure(pressure=NAN).pressure_mmhg is None


@pytest.mark.parametrize("wrong", [{"user_id": 256}, {"user_id": -1}, {"status": 0x10000}, {"unit": "bar"}])
def test_what_the_wire_cannot_carry_is_our_mistake(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        BloodPressureMeasurement(systolic=NAN, diastolic=NAN, **wrong)  # type: ignore[arg-type]
