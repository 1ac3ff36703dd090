"""Names of services and characteristics, and what a meter says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.gatt import uuids
from vitals.gatt.device_information import CHARACTERISTICS, text


@pytest.mark.parametrize(
    "name",
    [
        "2a35",
        "2A35",
        "0x2A35",
        "0X2a35",
        "00002a35-0000-1000-8000-00805f9b34fb",
        "00002A35-0000-1000-8000-00805F9B34FB",
    ],
)
def test_a_characteristic_has_one_short_name(name: str) -> None:
    assert uuids.short(name) == uuids.BLOOD_PRESSURE_MEASUREMENT


@pytest.mark.parametrize(
    "name",
    [
        "",
        "2a3",
        "2a355",
        "2a3g",
        "٢a35",
        "2a35\n",
        "cdeacd80-5235-4c07-8846-93a37ee6b86d",
        "00012a35-0000-1000-8000-00805f9b34fb",
    ],
)
def test_what_is_not_the_sigs_has_no_short_name(name: str) -> None:
    assert uuids.short(name) is None


def test_what_a_maker_numbers_itself_is_called_by_all_of_its_number() -> None:
    assert uuids.name_of("00001026-0002-11E2-9E96-0800200C9A66") == uuids.CONTOUR_CLOCK
    assert uuids.full(uuids.CONTOUR_CLOCK) == uuids.CONTOUR_CLOCK
    assert uuids.name_of(uuids.full("2a35")) == "2a35"


def test_short_and_full_are_the_same_thing() -> None:
    assert uuids.full("1810") == "00001810-0000-1000-8000-00805f9b34fb"
    assert uuids.short(uuids.full("180a")) == uuids.DEVICE_INFORMATION_SERVICE
    with pytest.raises(AssertionError):
        uuids.full("0x1810")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"OMRONHEALTHCARE", "OMRONHEALTHCARE"),
        (b"UA-651BLE\0\0\0", "UA-651BLE"),
        (b"  boso medicus \0garbage", "boso medicus"),
        ("鱼跃".encode(), "鱼跃"),
        (b"\xff\xfeX", "\ufffd\ufffdX"),
        (b"\0", None),
        (b"", None),
        (b"\x1b[31mred\n", "[31mred"),
    ],
)
def test_a_meters_name_is_text_without_padding(data: bytes, said: str | None) -> None:
    assert text(data) == said


@given(st.binary(max_size=600))
def test_any_bytes_are_a_name_or_none(data: bytes) -> None:
    said = text(data)
    assert said is None or (said.isprintable() and 0 < len(said) <= 64)


def test_no_two_facts_are_read_from_one_place() -> None:
    assert len(set(CHARACTERISTICS.values())) == len(CHARACTERISTICS)
