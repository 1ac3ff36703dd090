"""The oximeter's frames beyond the published ones: status words, specials, clocks that nobody set, lengths."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals import quality
from vitals.errors import MalformedError
from vitals.gatt.date_time import DateTime
from vitals.gatt.pulse_oximeter import Continuous, Features, SensorStatus, SpO2PR, SpotCheck, Status, Supported
from vitals.gatt.sfloat import NAN, Sfloat
from vitals.quality import Quality, grade

SPOT = bytes.fromhex("0FACF3BEF5E8070B1D1708392040220000 66E3")
STREAM = bytes.fromhex("1FDEF3CAF3CAF35AF5D4F3B2F22001000000 7AE3")

sfloats = st.builds(Sfloat, mantissa=st.integers(-2048, 2047), exponent=st.integers(-8, 7))
date_times = st.binary(min_size=7, max_size=7).map(DateTime.from_bytes)
words = st.integers(0, 0xFFFF)
long_words = st.integers(0, 0xFFFFFF)
pairs = st.builds(SpO2PR, spo2=sfloats, pulse=sfloats)
spot_checks = st.builds(
    SpotCheck,
    spo2=sfloats,
    pulse=sfloats,
    date_time=st.none() | date_times,
    status=st.none() | words,
    sensor_status=st.none() | long_words,
    amplitude=st.none() | sfloats,
    is_clock_set=st.booleans(),
)
streams = st.builds(
    Continuous,
    normal=pairs,
    fast=st.none() | pairs,
    slow=st.none() | pairs,
    status=st.none() | words,
    sensor_status=st.none() | long_words,
    amplitude=st.none() | sfloats,
)


@given(spot_checks)
def test_a_spot_check_that_is_encoded_is_read_again(sent: SpotCheck) -> None:
    assert SpotCheck.from_bytes(bytes(sent)) == sent
    assert 5 <= len(bytes(sent)) <= 19


@given(streams)
def test_a_stream_that_is_encoded_is_read_again(sent: Continuous) -> None:
    assert Continuous.from_bytes(bytes(sent)) == sent
    assert 5 <= len(bytes(sent)) <= 20


@given(st.binary(max_size=24))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    for codec in (SpotCheck, Continuous, Features):
        try:
            value = codec.from_bytes(data)
        except MalformedError as e:
            assert e.reason in ("frame_length", "flags")  # noqa: PT017
        else:
            assert codec.from_bytes(bytes(value)) == value


@given(st.integers(0, 0x1F), st.data())
def test_canonical_bytes_come_back_unchanged(flags: int, data: st.DataObject) -> None:
    length = 4 + 7 * bool(flags & 1) + 2 * bool(flags & 2) + 3 * bool(flags & 4) + 2 * bool(flags & 8)
    frame = bytes((flags,)) + data.draw(st.binary(min_size=length, max_size=length))
    assert bytes(SpotCheck.from_bytes(frame)) == frame
    length = 4 + 4 * bool(flags & 1) + 4 * bool(flags & 2) + 2 * bool(flags & 4) + 3 * bool(flags & 8)
    length += 2 * bool(flags & 16)
    frame = bytes((flags,)) + data.draw(st.binary(min_size=length, max_size=length))
    assert bytes(Continuous.from_bytes(frame)) == frame


@pytest.mark.parametrize(("codec", "full"), [(SpotCheck, SPOT), (Continuous, STREAM)])
def test_a_frame_of_another_length_than_its_flags_say_is_malformed(
    codec: type[SpotCheck | Continuous], full: bytes
) -> None:
    assert bytes(codec.from_bytes(full)) == full
    for length in (*range(len(full)), len(full) + 1, 40):
        frame = (full + bytes(40))[:length]
        with pytest.raises(MalformedError) as refused:
            codec.from_bytes(frame)
        assert refused.value.reason == "frame_length"
        assert refused.value.datum == frame


@pytest.mark.parametrize(("codec", "full"), [(SpotCheck, SPOT), (Continuous, STREAM)])
@pytest.mark.parametrize("bit", [0x20, 0x40, 0x80])
def test_a_reserved_flag_is_let_pass_until_the_length_disagrees(
    codec: type[SpotCheck | Continuous], full: bytes, bit: int
) -> None:
    flagged = bytes((full[0] | bit,)) + full[1:]
    assert codec.from_bytes(flagged) == codec.from_bytes(full)
    with pytest.raises(MalformedError) as refused:
        codec.from_bytes(flagged + b"\0")
    assert refused.value.reason == "flags"


@pytest.mark.parametrize("word", [0x07FF, 0x0800, 0x07FE, 0x0802, 0x0801, 0xF7FF])
def test_a_special_is_never_a_saturation(word: int) -> None:
    sent = SpotCheck.from_bytes(b"\x00" + struct.pack("<HH", word, word))
    measured = sent.to_measurement()
    assert (measured.spo2_percent, measured.pulse_bpm) == (None, None)
    assert grade(measured) == (Quality.INVALID, ("value_special",))


def test_every_bit_of_the_status_words_has_its_name() -> None:
    def named(status: int | None, sensor_status: int | None) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        spot = SpotCheck(spo2=NAN, pulse=NAN, status=status, sensor_status=sensor_status)
        stream = Continuous(normal=SpO2PR(spo2=NAN, pulse=NAN), status=status, sensor_status=sensor_status)
        assert (spot.status_flags, spot.sensor_status_flags) == (stream.status_flags, stream.sensor_status_flags)
        return spot.status_flags, spot.sensor_status_flags

    assert [named(flag, 0) for flag in Status] == [((str(flag.name).lower(),), ()) for flag in Status]
    assert [named(0, flag) for flag in SensorStatus] == [((), (str(flag.name).lower(),)) for flag in SensorStatus]
    assert [int(flag) for flag in Status] == [1 << bit for bit in range(5, 16)]
    assert [int(flag) for flag in SensorStatus] == [1 << bit for bit in range(16)]
    assert named(0x001F, 0xFF0000) == ((), ())  # reserved
    assert named(None, None) == (None, None)


def test_the_marks_are_made_of_the_bits_of_the_same_name() -> None:
    """`vitals.quality` grades by numbers; here they are the codec's names."""
    nobodys = Status.DEMONSTRATION | Status.TESTING
    rejecting = (
        Status.EARLY_ESTIMATE | Status.CALIBRATION_ONGOING | Status.UNAVAILABLE | Status.QUESTIONABLE | Status.INVALID
    )
    harmless = SensorStatus.EXTENDED_DISPLAY_UPDATE | SensorStatus.LOW_PERFUSION | SensorStatus.SIGNAL_ANALYSIS_ONGOING
    every = SensorStatus(0)
    for flag in SensorStatus:
        every |= flag
    assert (int(nobodys), int(rejecting)) == (quality.SPO2_NOBODYS, quality.SPO2_REJECTING)
    assert int(every & ~harmless) == quality.SPO2_SENSOR_REJECTING
    assert int(SensorStatus.LOW_PERFUSION) == quality.LOW_PERFUSION


def test_a_measurement_takes_the_status_words_as_they_came() -> None:
    measured = SpotCheck.from_bytes(SPOT).to_measurement()
    assert (measured.spo2_percent, measured.pulse_bpm) == (94.0, 147.0)
    assert (measured.status, measured.sensor_status) == (0x4020, 0x000022)


@pytest.mark.parametrize(("status", "is_stored"), [(None, False), (0, False), (0x0200, True), (0x0220, True)])
def test_a_stored_spot_check_says_so(status: int | None, is_stored: bool) -> None:
    assert SpotCheck(spo2=Sfloat.of(97), pulse=Sfloat.of(66), status=status).is_from_storage is is_stored


def test_a_clock_that_nobody_set_is_told_and_its_time_kept() -> None:
    sent = SpotCheck.from_bytes(bytes.fromhex("11 6100 4200 E1070101012213"))
    assert (sent.is_clock_set, sent.meter_time) == (False, "2017-01-01T01:34:19")
    assert SpotCheck.from_bytes(bytes.fromhex("10 6100 4200")).meter_time is None


def test_of_a_stream_the_normal_pair_is_measured_and_what_the_meter_lacks_is_none() -> None:
    measured = Continuous.from_bytes(STREAM).to_measurement()
    assert (measured.spo2_percent, measured.pulse_bpm, measured.status, measured.sensor_status) == (
        99.0,
        97.0,
        0x0120,
        0,
    )
    lacking = Continuous(normal=SpO2PR(spo2=NAN, pulse=NAN)).to_measurement()
    assert (lacking.spo2_percent, lacking.pulse_bpm, lacking.status) == (None, None, None)


@given(words, words, long_words)
def test_features_that_are_encoded_are_read_again(supported: int, status: int, sensor_status: int) -> None:
    features = Features(
        supported=supported,
        status=status if supported & Supported.STATUS else None,
        sensor_status=sensor_status if supported & Supported.SENSOR_STATUS else None,
    )
    assert Features.from_bytes(bytes(features)) == features
    assert features.stores_spot_checks == bool(supported & 4)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 6, 8])
def test_features_of_another_length_than_they_say_are_malformed(length: int) -> None:
    with pytest.raises(MalformedError) as refused:
        Features.from_bytes((bytes.fromhex("A3004010800100") + b"\0")[:length])
    assert refused.value.reason == "frame_length"


def test_unknown_features_may_explain_a_length() -> None:
    assert Features.from_bytes(b"\x00\x01").supported == 0x0100
    with pytest.raises(MalformedError) as refused:
        Features.from_bytes(b"\x00\x01\x00")
    assert refused.value.reason == "flags"


@pytest.mark.parametrize(
    "wrong",
    [{"status": 0x10000}, {"sensor_status": 0x1000000}, {"status": -1}],
    ids=str,
)
def test_what_the_wire_cannot_carry_is_our_mistake(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        SpotCheck(spo2=NAN, pulse=NAN, **wrong)  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        Continuous(normal=SpO2PR(spo2=NAN, pulse=NAN), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"supported": 1}, {"supported": 0, "status": 0}, {"supported": 2}], ids=str)
def test_features_that_contradict_themselves_are_our_mistake(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        Features(**wrong)


@pytest.mark.parametrize(("flags", "fast", "slow"), [(0, None, None), (1, 99, None), (2, None, 99)])
def test_a_second_pair_is_the_one_that_its_flag_names(flags: int, fast: int | None, slow: int | None) -> None:
    frame = bytes((flags,)) + bytes.fromhex("62004E00") + (bytes.fromhex("63005000") if flags else b"")
    sent = Continuous.from_bytes(frame)
    assert (sent.normal.spo2.number, sent.normal.pulse.number) == (98.0, 78.0)
    assert [None if pair is None else pair.spo2.number for pair in (sent.fast, sent.slow)] == [fast, slow]
