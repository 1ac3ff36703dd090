"""The records of glucose sensors beyond the published ones: several at once, status octets, censored results, sums."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.cgm_measurement import CgmMeasurement, CgmRecord, SensorStatus, split
from vitals.gatt.e2e_crc import sealed
from vitals.gatt.sfloat import NAN, Sfloat
from vitals.quality import SENSOR_GLUCOSE_REJECTING, Quality, grade

FULL = bytes.fromhex("0F E3 D2E4 0500 02 14 FF 02F0 E5F3 8E3F")

sfloats = st.builds(Sfloat, mantissa=st.integers(-2048, 2047), exponent=st.integers(-8, 7))
records = st.builds(
    CgmRecord,
    concentration=sfloats,
    time_offset_min=st.integers(0, 0xFFFF),
    status=st.none() | st.integers(0, 0xFFFFFF),
    trend=st.none() | sfloats,
    quality=st.none() | sfloats,
    is_sealed=st.booleans(),
)


def record(status: int | None = None, mg_dl: Sfloat = Sfloat.of(126)) -> CgmRecord:  # noqa: B008 (a frozen value)
    return CgmRecord(concentration=mg_dl, time_offset_min=5, status=status)


@given(st.lists(records, min_size=1, max_size=4))
def test_what_is_encoded_is_read_again(sent: list[CgmRecord]) -> None:
    notification = bytes(CgmMeasurement(records=tuple(sent)))
    assert CgmMeasurement.from_bytes(notification).records == tuple(sent)
    assert split(notification) == tuple(map(bytes, sent))
    assert all(6 <= len(each) <= 15 for each in split(notification))


@given(st.binary(max_size=40))
def test_any_bytes_are_records_or_malformed(data: bytes) -> None:
    try:
        found = split(data)
    except MalformedError as e:
        assert e.reason == "frame_length"  # noqa: PT017
        return
    assert b"".join(found) == data
    for each in found:
        try:
            assert CgmRecord.from_bytes(bytes(CgmRecord.from_bytes(each))) is not None
        except MalformedError as e:
            assert e.reason in ("frame_length", "flags", "crc")  # noqa: PT017


@pytest.mark.parametrize("length", [*range(15), 16, 17, 18, 40])
def test_a_record_of_another_length_than_it_says_is_malformed(length: int) -> None:
    frame = (FULL + bytes(40))[:length]
    with pytest.raises(MalformedError) as refused:
        CgmRecord.from_bytes(frame)
    assert refused.value.reason == "frame_length"
    assert refused.value.datum == frame


@pytest.mark.parametrize("size", [*range(6, 13), 14, 16, 17])
def test_a_size_that_its_flags_contradict_is_malformed(size: int) -> None:
    """Thirteen octets are what these flags say, fifteen the same with its sum."""
    frame = bytes((size,)) + (FULL + bytes(4))[1:size]
    with pytest.raises(MalformedError) as refused:
        CgmRecord.from_bytes(frame)
    assert refused.value.reason == "frame_length"
    with pytest.raises(MalformedError) as refused:
        CgmRecord.from_bytes(frame[:1] + bytes((frame[1] | 0x04,)) + frame[2:])
    assert refused.value.reason == "flags"


@pytest.mark.parametrize("bit", [0x04, 0x08, 0x10])
def test_a_reserved_flag_is_let_pass_while_length_and_sum_are_right(bit: int) -> None:
    body = bytes.fromhex("08 00 7E00 0500")
    flagged = body[:1] + bytes((bit,)) + body[2:]
    assert CgmRecord.from_bytes(sealed(flagged)) == CgmRecord.from_bytes(sealed(body))
    with pytest.raises(MalformedError) as refused:
        CgmRecord.from_bytes(flagged + b"\0\0")
    assert refused.value.reason == "flags", "the two octets may be a field that nobody here knows"


def test_two_octets_more_are_the_right_sum_or_nothing() -> None:
    with pytest.raises(MalformedError) as refused:
        CgmRecord.from_bytes(bytes.fromhex("08 00 7E00 0500 0000"))
    assert refused.value.reason == "crc"


@pytest.mark.parametrize(
    ("notification", "reason"),
    [
        ("", "frame_length"),
        ("06007E000500 06", "frame_length"),
        ("06007E000500 07007E000600", "frame_length"),
        ("06007E000500 05007E000600", "frame_length"),
        ("06007E000500 00", "frame_length"),
        ("FF007E000500", "frame_length"),
    ],
)
def test_sizes_that_do_not_add_up_leave_nothing_to_read(notification: str, reason: str) -> None:
    with pytest.raises(MalformedError) as refused:
        split(bytes.fromhex(notification))
    assert refused.value.reason == reason


def test_a_broken_record_costs_no_other() -> None:
    good, bad = bytes.fromhex("06007E000500"), bytes.fromhex("08007E0005000000")
    assert split(good + bad + good) == (good, bad, good)
    with pytest.raises(MalformedError):
        CgmMeasurement.from_bytes(good + bad)


def test_a_record_is_the_same_alone_and_among_others() -> None:
    """Its octets name the reading: those of the notification would make two readings of one measurement."""
    alone = bytes(record())
    assert split(alone + bytes(record(status=2))) == (alone, bytes(record(status=2)))


@pytest.mark.parametrize("bit", range(24))
def test_only_an_octet_in_which_a_bit_is_set_is_sent(bit: int) -> None:
    frame = bytes(record(status=1 << bit))
    assert len(frame) == 7
    assert frame[1] == (0x80, 0x40, 0x20)[bit // 8]
    assert frame[6] == 1 << bit % 8
    assert CgmRecord.from_bytes(frame).status == 1 << bit


def test_octets_are_sent_status_first_and_warning_last() -> None:
    """CGMS 1.0.2 section 3.1.1.5: bit 3, bit 12 and bit 17."""
    frame = bytes(record(status=1 << 3 | 1 << 12 | 1 << 17))
    assert frame.hex(" ") == "09 e0 7e 00 05 00 08 10 02"
    assert CgmRecord.from_bytes(frame).status_flags == ("sensor_malfunction", "temperature_high", "above_patient_high")


def test_an_octet_without_a_bit_is_a_status_that_is_well() -> None:
    """A pump that is sold sends them (OpenMinimed, 0E C3 …)."""
    sent = CgmRecord.from_bytes(bytes.fromhex("08 C0 7E00 0500 00 00"))
    assert (sent.status, sent.status_flags) == (0, ())
    assert CgmRecord.from_bytes(bytes(sent)) == sent
    assert record().status_flags is None


def test_every_bit_has_its_name_and_reserved_ones_have_none() -> None:
    named = {bit: record(status=1 << bit).status_flags for bit in range(24)}
    assert [bit for bit, words in named.items() if not words] == [6, 7, 15]
    assert len({words for words in named.values() if words}) == 21


def test_what_quality_rejects_by_is_what_the_bits_mean() -> None:
    rejecting = {name for name in SensorStatus if SENSOR_GLUCOSE_REJECTING & name}
    assert rejecting == {
        SensorStatus.SENSOR_TYPE_INCORRECT,
        SensorStatus.SENSOR_MALFUNCTION,
        SensorStatus.DEVICE_FAULT,
        SensorStatus.CALIBRATION_REQUIRED,
        SensorStatus.TEMPERATURE_HIGH,
        SensorStatus.TEMPERATURE_LOW,
    }
    for flag in SensorStatus:
        expected = Quality.REJECTED if flag in rejecting else Quality.ACCEPTED
        assert grade(record(status=int(flag)).to_measurement())[0] is expected, flag


@pytest.mark.parametrize(
    ("status", "censored"),
    [
        (SensorStatus.ABOVE_DEVICE_RANGE, "HI"),
        (SensorStatus.BELOW_DEVICE_RANGE, "LO"),
        (SensorStatus.BELOW_DEVICE_RANGE | SensorStatus.BELOW_HYPO | SensorStatus.BATTERY_LOW, "LO"),
    ],
)
def test_a_result_beyond_the_sensor_is_censored_and_has_no_value(status: int, censored: str) -> None:
    measured = record(status=int(status), mg_dl=Sfloat.of(400)).to_measurement()
    assert measured.censored == censored
    assert (measured.glucose_mg_dl, measured.glucose_mmol_l) == (None, None)
    assert measured.glucose_sent == 400.0


def test_a_result_both_above_and_below_is_neither() -> None:
    both = SensorStatus.ABOVE_DEVICE_RANGE | SensorStatus.BELOW_DEVICE_RANGE
    measured = record(status=int(both)).to_measurement()
    assert (measured.censored, measured.glucose_mg_dl) == (None, None)


def test_a_level_that_is_crossed_censors_nothing() -> None:
    crossed = SensorStatus.BELOW_PATIENT_LOW | SensorStatus.BELOW_HYPO | SensorStatus.RATE_OF_DECREASE_EXCEEDED
    measured = record(status=int(crossed), mg_dl=Sfloat.of(52)).to_measurement()
    assert (measured.censored, measured.glucose_mg_dl) == (None, 52.0)


@pytest.mark.parametrize("word", [0x07FF, 0x0800, 0x07FE, 0x0802, 0x0801])
def test_a_special_is_never_a_number_nor_hi_nor_lo(word: int) -> None:
    special = struct.pack("<H", word)
    frame = bytes((10, 0x03)) + special + b"\x05\x00" + special * 2
    measured = CgmRecord.from_bytes(frame).to_measurement()
    assert (measured.glucose_mmol_l, measured.glucose_mg_dl, measured.glucose_sent) == (None, None, None)
    assert (measured.trend_mg_dl_per_min, measured.quality_percent, measured.censored) == (None, None, None)
    assert grade(measured) == (Quality.INVALID, ("value_special",))
    assert bytes(CgmRecord.from_bytes(frame)) == frame


def test_the_unit_is_milligrams_per_decilitre_and_no_other() -> None:
    measured = record(mg_dl=Sfloat.of(126)).to_measurement()
    assert (measured.glucose_mg_dl, measured.unit_sent) == (126.0, "mg/dL")
    assert measured.glucose_mmol_l == pytest.approx(6.993, abs=0.001)
    looks_like_mmol = record(mg_dl=Sfloat.of("7.0", -1)).to_measurement()
    assert looks_like_mmol.glucose_mg_dl == 7.0, "a sensor that sends mmol/L is not helped out"
    assert grade(looks_like_mmol) == (Quality.INVALID, ("unit_suspect",))


def test_the_time_offset_is_the_sequence() -> None:
    sent = CgmRecord(concentration=NAN, time_offset_min=0xFFFF, trend=Sfloat.of("-1.5", -1))
    assert sent.to_measurement().sequence == 0xFFFF
    assert sent.to_measurement().trend_mg_dl_per_min == -1.5


@pytest.mark.parametrize("wrong", [{"time_offset_min": -1}, {"time_offset_min": 0x10000}, {"status": 1 << 24}], ids=str)
def test_what_the_wire_cannot_carry_is_our_mistake(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        CgmRecord(**({"concentration": NAN, "time_offset_min": 0} | wrong))  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        CgmMeasurement(records=())
