"""Quiet hours by a wall clock: over midnight, through both changes of daylight saving, and never a minute more than was asked."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.push.quiet import QuietHours, next_allowed

NIGHT = QuietHours(begins_at=time(22, 0), ends_at=time(7, 0))
NOON = QuietHours(begins_at=time(12, 0), ends_at=time(14, 0))
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")

hours = (
    st.tuples(st.times(), st.times())
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: QuietHours(begins_at=pair[0], ends_at=pair[1]))
)
instants = st.integers(0, 3 * 366 * 24 * 60).map(
    lambda minutes: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


def local(text: str, zone: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-11-23T21:59:59", "2026-11-23T21:59:59"),
        ("2026-11-23T22:00:00", "2026-11-24T07:00:00"),
        ("2026-11-23T23:59:59", "2026-11-24T07:00:00"),
        ("2026-11-24T00:00:00", "2026-11-24T07:00:00"),
        ("2026-11-24T06:59:59", "2026-11-24T07:00:00"),
        ("2026-11-24T07:00:00", "2026-11-24T07:00:00"),
        ("2026-12-31T22:30:00", "2027-01-01T07:00:00"),
    ],
)
def test_a_night_over_midnight(at: str, told: str) -> None:
    zone = "Asia/Shanghai"
    assert next_allowed(local(at, zone), NIGHT, zone) == local(told, zone)


def test_at_noon_the_same_day_and_without_any_at_once() -> None:
    zone = "Asia/Shanghai"
    at = local("2026-11-23T13:00:00", zone)
    assert next_allowed(at, NOON, zone) == local("2026-11-23T14:00:00", zone)
    assert next_allowed(at, None, zone) == at


def test_the_night_in_which_the_clock_is_put_forward_is_an_hour_shorter_and_back_an_hour_longer() -> None:
    zone = "Europe/Berlin"
    spring, autumn = local("2026-03-28T22:00:00", zone), local("2026-10-24T22:00:00", zone)
    assert next_allowed(spring, NIGHT, zone) - spring == timedelta(hours=8)
    assert next_allowed(autumn, NIGHT, zone) - autumn == timedelta(hours=10)


def test_an_end_that_the_clock_shows_twice_or_never() -> None:
    zone = "Europe/Berlin"
    quiet = QuietHours(begins_at=time(1, 0), ends_at=time(2, 30))
    assert next_allowed(local("2026-03-29T01:30:00", zone), quiet, zone) == local("2026-03-29T03:30:00", zone)
    second = local("2026-10-25T02:10:00", zone, fold=1)
    assert next_allowed(second, quiet, zone) == local("2026-10-25T02:30:00", zone, fold=1)


@given(instants, hours, st.sampled_from(ZONES))
def test_nothing_is_told_early_or_kept_for_longer_than_a_day_and_a_change_of_the_clock(
    at: datetime, quiet: QuietHours, zone: str
) -> None:
    told = next_allowed(at, quiet, zone)
    assert at <= told <= at + timedelta(hours=26)
    if not quiet.has(at.astimezone(ZoneInfo(zone)).time()):
        assert told == at
    elif told.astimezone(ZoneInfo(zone)).time() == quiet.ends_at:
        assert not quiet.has(told.astimezone(ZoneInfo(zone)).time())
