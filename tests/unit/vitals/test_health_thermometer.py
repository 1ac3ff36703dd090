"""The temperature frames beyond the published ones: specials, sites, units, lengths, and what is no reading."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.date_time import DateTime
from vitals.gatt.float32 import Float32
from vitals.gatt.frame import word_of
from vitals.gatt.health_thermometer import (
    IntermediateTemperature,
    TemperatureMeasurement,
    TemperatureType,
    temperature_type,
)
from vitals.quality import Quality, grade

FULL = bytes.fromhex("066E0100FFEA070B15071E0002")

fields = {
    "temperature": st.builds(Float32, mantissa=st.integers(-(1 << 23), (1 << 23) - 1), exponent=st.integers(-128, 127)),
    "unit": st.sampled_from(("°C", "°F")),
    "date_time": st.none() | st.binary(min_size=7, max_size=7).map(DateTime.from_bytes),
    "type_code": st.none() | st.integers(0, 0xFF),
}


@given(st.sampled_from((TemperatureMeasurement, IntermediateTemperature)), st.fixed_dictionaries(fields))
def test_what_is_encoded_is_read_again(
    codec: type[TemperatureMeasurement | IntermediateTemperature], built: dict[str, object]
) -> None:
    measurement = codec(**built)  # type: ignore[arg-type]
    assert codec.from_bytes(bytes(measurement)) == measurement
    assert 5 <= len(bytes(measurement)) <= 13


@given(st.binary(max_size=20))
def test_any_bytes_are_a_temperature_or_malformed(data: bytes) -> None:
    for codec in (TemperatureMeasurement, IntermediateTemperature):
        try:
            value = codec.from_bytes(data)
        except MalformedError as e:
            assert e.reason in ("frame_length", "flags")  # noqa: PT017
        else:
            assert codec.from_bytes(bytes(value)) == value


@given(st.integers(0, 7), st.data())
def test_canonical_bytes_come_back_unchanged(flags: int, data: st.DataObject) -> None:
    length = 4 + 7 * bool(flags & 2) + bool(flags & 4)
    frame = bytes((flags,)) + data.draw(st.binary(min_size=length, max_size=length))
    assert bytes(TemperatureMeasurement.from_bytes(frame)) == frame


@pytest.mark.parametrize("length", [*range(13), 14, 15, 40])
def test_a_frame_of_another_length_than_its_flags_say_is_malformed(length: int) -> None:
    frame = (FULL + bytes(40))[:length]
    with pytest.raises(MalformedError) as refused:
        TemperatureMeasurement.from_bytes(frame)
    assert refused.value.reason == "frame_length"
    assert refused.value.datum == frame


@pytest.mark.parametrize("bit", [0x08, 0x10, 0x20, 0x40, 0x80])
def test_a_reserved_flag_is_let_pass_until_the_length_disagrees(bit: int) -> None:
    flagged = bytes((FULL[0] | bit,)) + FULL[1:]
    assert TemperatureMeasurement.from_bytes(flagged) == TemperatureMeasurement.from_bytes(FULL)
    with pytest.raises(MalformedError) as refused:
        TemperatureMeasurement.from_bytes(flagged + b"\0")
    assert refused.value.reason == "flags"


@pytest.mark.parametrize("word", [0x007FFFFF, 0x00800000, 0x007FFFFE, 0x00800002, 0x00800001, 0xFF7FFFFF])
@pytest.mark.parametrize("flags", [0, 1])
def test_a_special_is_never_a_temperature(word: int, flags: int) -> None:
    measured = TemperatureMeasurement.from_bytes(bytes((flags,)) + struct.pack("<I", word)).to_measurement()
    assert (measured.temperature_celsius, measured.temperature_sent) == (None, None)
    assert grade(measured) == (Quality.INVALID, ("value_special",))


@pytest.mark.parametrize(
    ("fahrenheit", "celsius"), [("98.6", 37.0), ("104.0", 40.0), ("-40", -40.0), ("98.5", 36.94444444444444), ("32", 0)]
)
def test_fahrenheit_becomes_celsius(fahrenheit: str, celsius: float) -> None:
    measured = TemperatureMeasurement(temperature=Float32.of(fahrenheit, -1), unit="°F").to_measurement()
    assert measured.temperature_celsius == pytest.approx(celsius, abs=1e-14)
    assert (measured.temperature_sent, measured.unit_sent) == (float(fahrenheit), "°F")


def test_a_site_has_the_name_of_the_specification_or_none() -> None:
    names = ["armpit", "body", "ear", "finger", "gastro_intestinal_tract", "mouth", "rectum", "toe", "tympanum"]
    expected = [None, *names, *[None] * 246]
    sent = [TemperatureMeasurement(temperature=Float32.of("36.6", -1), type_code=code) for code in range(256)]
    assert [each.to_measurement().site for each in sent] == expected
    assert [word_of(temperature_type(bytes((code,)))) for code in range(256)] == expected


def test_where_it_always_measures_counts_where_the_frame_says_nothing() -> None:
    silent = TemperatureMeasurement(temperature=Float32.of("36.6", -1))
    assert silent.to_measurement().site is None
    assert silent.to_measurement(TemperatureType.TYMPANUM).site == "tympanum"
    told = TemperatureMeasurement(temperature=Float32.of("36.6", -1), type_code=TemperatureType.MOUTH)
    assert told.to_measurement(TemperatureType.TYMPANUM).site == "mouth"
    reserved = TemperatureMeasurement(temperature=Float32.of("36.6", -1), type_code=10)
    assert reserved.to_measurement(TemperatureType.TYMPANUM).site is None


@pytest.mark.parametrize("data", [b"", b"\x01\x00"])
def test_a_type_is_one_byte(data: bytes) -> None:
    with pytest.raises(MalformedError, match="frame_length"):
        temperature_type(data)


def test_a_rising_temperature_cannot_become_a_measurement() -> None:
    rising = IntermediateTemperature.from_bytes(FULL)
    assert not hasattr(rising, "to_measurement")
    assert rising.celsius == 36.6
    assert rising != TemperatureMeasurement.from_bytes(FULL)
    assert rising.meter_time == "2026-11-21T07:30:00"
    assert IntermediateTemperature(temperature=Float32.of(35)).meter_time is None


@pytest.mark.parametrize("wrong", [{"unit": "K"}, {"type_code": 256}, {"type_code": -1}], ids=str)
def test_what_the_wire_cannot_carry_is_our_mistake(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        TemperatureMeasurement(temperature=Float32.of("36.6", -1), **wrong)  # type: ignore[arg-type]
