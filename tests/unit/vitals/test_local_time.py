"""Local Time Information: zone and daylight saving in quarters of an hour."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.local_time import LocalTime

SUMMER = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "sent"),
    [
        ("Asia/Shanghai", "2000"),
        ("Asia/Kathmandu", "1700"),
        ("America/New_York", "EC04"),
        ("Australia/Lord_Howe", "2A00"),
        ("Etc/GMT+12", "D000"),
        ("Pacific/Kiritimati", "3800"),
    ],
)
def test_a_place_is_said_in_two_bytes(zone: str, sent: str) -> None:
    """GATT Specification Supplement, Time Zone and DST Offset: quarters of an hour, 4 for one hour of daylight saving."""
    there = LocalTime.of(SUMMER.astimezone(ZoneInfo(zone)))
    assert bytes(there).hex().upper() == sent
    assert LocalTime.from_bytes(bytes(there)) == there


@pytest.mark.parametrize("sent", ["80FF", "3901", "7F07"])
def test_what_is_unknown_or_reserved_is_none(sent: str) -> None:
    assert LocalTime.from_bytes(bytes.fromhex(sent)) == LocalTime()


def test_a_meter_that_does_not_know_says_so() -> None:
    assert bytes(LocalTime()) == bytes.fromhex("80FF")


@given(st.binary(max_size=8))
def test_any_bytes_are_a_place_or_malformed(data: bytes) -> None:
    if len(data) == LocalTime.LENGTH:
        place = LocalTime.from_bytes(data)
        assert LocalTime.from_bytes(bytes(place)) == place
    else:
        with pytest.raises(MalformedError, match="frame_length"):
            LocalTime.from_bytes(data)
