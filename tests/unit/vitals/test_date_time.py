"""Date Time and Current Time: what the meter said is kept, and only what a calendar knows is a time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.date_time import DateTime

NO_TIMES = {
    "year unknown": (0, 4, 17, 20, 41, 59),
    "month unknown": (2026, 0, 17, 20, 41, 59),
    "day unknown": (2026, 4, 0, 20, 41, 59),
    "30 February": (2026, 2, 30, 7, 0, 0),
    "29 February of an ordinary year": (2026, 2, 29, 7, 0, 0),
    "25 o'clock": (2026, 2, 1, 25, 0, 0),
    "24 o'clock": (2026, 2, 1, 24, 0, 0),
    "minute 60": (2026, 2, 1, 7, 60, 0),
    "a leap second": (2026, 6, 30, 23, 59, 60),
    "month 13": (2026, 13, 1, 7, 0, 0),
    "before the Gregorian calendar": (1581, 12, 31, 7, 0, 0),
    "the last year": (9999, 12, 31, 23, 59, 59),
    "all ones": (65535, 255, 255, 255, 255, 255),
}


@pytest.mark.parametrize("fields", NO_TIMES.values(), ids=NO_TIMES.keys())
def test_what_no_calendar_has_is_kept_and_is_no_time(fields: tuple[int, ...]) -> None:
    year, *octets = fields
    sent = year.to_bytes(2, "little") + bytes(octets)
    date_time = DateTime.from_bytes(sent)
    assert date_time.naive is None
    assert date_time.iso is None
    assert bytes(date_time) == sent


@pytest.mark.parametrize("year", [1582, 1970, 2000, 2026, 2028, 9998])
def test_a_clock_that_is_wrong_is_still_what_the_meter_said(year: int) -> None:
    assert DateTime(year=year, month=2, day=28, hour=23, minute=59, second=59).iso == f"{year}-02-28T23:59:59"


@given(st.datetimes(min_value=datetime(1582, 1, 1), max_value=datetime(9998, 12, 31)))  # noqa: DTZ001
def test_every_time_is_read_as_it_was_sent_and_fits_every_zone(moment: datetime) -> None:
    read = DateTime.from_bytes(bytes(DateTime.of(moment))).naive
    assert read == moment.replace(microsecond=0)
    assert read is not None
    for hours in (-14, 14):
        assert read.replace(tzinfo=timezone(timedelta(hours=hours))).astimezone(UTC)


@given(st.binary(min_size=7, max_size=7))
def test_any_seven_bytes_are_a_date_time(data: bytes) -> None:
    date_time = DateTime.from_bytes(data)
    assert bytes(date_time) == data
    assert (date_time.iso is None) == (date_time.naive is None)


@given(st.binary().filter(lambda data: len(data) != 7))
def test_another_length_is_no_date_time(data: bytes) -> None:
    with pytest.raises(MalformedError, match="frame_length"):
        DateTime.from_bytes(data)


def test_current_time_carries_a_fraction_and_the_day() -> None:
    moment = datetime(2026, 11, 21, 7, 30, 0, 500_000, tzinfo=UTC)
    sent = CurrentTime.of(moment)
    assert bytes(sent).hex() == "ea070b15071e00068002"
    assert CurrentTime.from_bytes(bytes(sent)).naive == moment.replace(tzinfo=None)


def test_current_time_without_a_date_is_no_time() -> None:
    assert CurrentTime.from_bytes(bytes(10)).naive is None


@given(st.binary(min_size=10, max_size=10))
def test_any_ten_bytes_are_a_current_time(data: bytes) -> None:
    assert bytes(CurrentTime.from_bytes(data)) == data


@given(st.binary().filter(lambda data: len(data) != 10))
def test_another_length_is_no_current_time(data: bytes) -> None:
    with pytest.raises(MalformedError, match="frame_length"):
        CurrentTime.from_bytes(data)
