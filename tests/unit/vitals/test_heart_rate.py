"""The heart-rate frames beyond the published ones: contact, energy, intervals without an end of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.frame import word_of
from vitals.gatt.heart_rate import HeartRateMeasurement, body_sensor_location
from vitals.reading import HeartRate

words = st.integers(0, 0xFFFF)
measurements = st.builds(
    HeartRateMeasurement,
    bpm=words,
    has_contact=st.none() | st.booleans(),
    energy_kj=st.none() | words,
    intervals=st.lists(words, max_size=9).map(tuple),
)


@given(measurements)
def test_what_is_encoded_is_read_again(measurement: HeartRateMeasurement) -> None:
    assert HeartRateMeasurement.from_bytes(bytes(measurement)) == measurement


@given(st.binary(max_size=32))
def test_any_bytes_are_a_measurement_or_malformed(data: bytes) -> None:
    try:
        value = HeartRateMeasurement.from_bytes(data)
    except MalformedError as e:
        assert e.reason in ("frame_length", "flags")  # noqa: PT017
    else:
        assert HeartRateMeasurement.from_bytes(bytes(value)) == value


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 6, 8, 10])
def test_a_frame_that_ends_within_a_field_is_malformed(length: int) -> None:
    frame = bytes.fromhex("1F 0101 3201 0100 0201 0301")[:length]
    with pytest.raises(MalformedError) as refused:
        HeartRateMeasurement.from_bytes(frame)
    assert refused.value.reason == "frame_length"
    assert refused.value.datum == frame


def test_without_announced_intervals_nothing_may_follow() -> None:
    with pytest.raises(MalformedError, match="frame_length"):
        HeartRateMeasurement.from_bytes(bytes.fromhex("004800"))
    with pytest.raises(MalformedError, match="frame_length"):
        HeartRateMeasurement.from_bytes(bytes.fromhex("08480100 00"))


@pytest.mark.parametrize("bit", [0x20, 0x40, 0x80])
def test_a_reserved_flag_is_let_pass_where_no_list_could_hide_its_field(bit: int) -> None:
    assert HeartRateMeasurement.from_bytes(bytes((bit, 72))).bpm == 72
    for frame in (bytes((bit, 72, 0)), bytes((bit | 0x10, 72, 0, 4)), bytes((bit | 0x10, 72, 0))):
        with pytest.raises(MalformedError) as refused:
            HeartRateMeasurement.from_bytes(frame)
        assert refused.value.reason == "flags"


@pytest.mark.parametrize(("bits", "has_contact"), [(0, None), (2, None), (4, False), (6, True)])
def test_contact_is_told_by_a_sensor_that_can_tell(bits: int, has_contact: bool | None) -> None:
    assert HeartRateMeasurement.from_bytes(bytes((bits, 72))).has_contact is has_contact


def test_a_rate_is_sent_in_as_few_bytes_as_it_needs() -> None:
    assert bytes(HeartRateMeasurement(bpm=255)).hex() == "00ff"
    assert bytes(HeartRateMeasurement(bpm=256)).hex() == "010001"
    assert HeartRateMeasurement.from_bytes(bytes.fromhex("014800")).bpm == 72


def test_intervals_are_exact_seconds() -> None:
    assert HeartRateMeasurement(bpm=60, intervals=(1024, 512, 1, 0)).intervals_s == (1.0, 0.5, 0.0009765625, 0.0)
    assert HeartRateMeasurement(bpm=60).intervals_s == ()


def test_of_a_straps_frame_the_rate_and_the_contact_are_measured() -> None:
    frame = HeartRateMeasurement(bpm=60, has_contact=True, energy_kj=9, intervals=(1024,))
    assert frame.to_measurement() == HeartRate(pulse_bpm=60.0, has_contact=True)
    assert HeartRateMeasurement(bpm=300).to_measurement() == HeartRate(pulse_bpm=300.0)


def test_a_location_has_the_name_of_the_specification_or_none() -> None:
    names = ["other", "chest", "wrist", "finger", "hand", "ear_lobe", "foot"]
    found = [body_sensor_location(bytes((code,))) for code in range(256)]
    assert [word_of(location) for location in found] == [*names, *[None] * 249]


@pytest.mark.parametrize("data", [b"", b"\x01\x00"])
def test_a_location_is_one_byte(data: bytes) -> None:
    with pytest.raises(MalformedError, match="frame_length"):
        body_sensor_location(data)


@pytest.mark.parametrize("wrong", [{"bpm": 0x10000}, {"energy_kj": -1}, {"intervals": (0x10000,)}], ids=str)
def test_what_the_wire_cannot_carry_is_our_mistake(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        HeartRateMeasurement(**({"bpm": 72} | wrong))  # type: ignore[arg-type]
