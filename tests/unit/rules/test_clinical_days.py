"""Clinical days at the hours where clocks do odd things."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rules.clinical_days import Calendar
from server.rules.windows import ZoneSpan, to_us

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)


def calendar(*zones: str | tuple[datetime, str]) -> Calendar:
    spans = [(LONG_AGO, zone) if isinstance(zone, str) else zone for zone in zones]
    return Calendar([ZoneSpan(valid_from=at, zone=zone) for at, zone in spans], FAR_AHEAD)


def ordinal(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Asia/Shanghai", "2026-03-02T02:59:59+08:00", "2026-03-01"),
        ("Asia/Shanghai", "2026-03-02T03:00:00+08:00", "2026-03-02"),
        ("Europe/Berlin", "2026-03-29T01:59:59+01:00", "2026-03-28"),
        ("Europe/Berlin", "2026-03-29T03:00:00+02:00", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25T02:59:59+02:00", "2026-10-24"),
        ("Europe/Berlin", "2026-10-25T02:59:59+01:00", "2026-10-24"),
        ("Europe/Berlin", "2026-10-25T03:00:00+01:00", "2026-10-25"),
        ("Europe/Kyiv", "2026-03-29T02:59:59+02:00", "2026-03-28"),
        ("Europe/Kyiv", "2026-03-29T04:00:00+03:00", "2026-03-29"),
        ("Europe/Kyiv", "2026-10-25T03:30:00+03:00", "2026-10-25"),
        ("Europe/Kyiv", "2026-10-25T03:30:00+02:00", "2026-10-25"),
        ("America/New_York", "2026-11-01T01:30:00-05:00", "2026-10-31"),
    ],
)
def test_the_clinical_day_is_the_wall_clock_minus_three_hours(zone: str, at: str, day: str) -> None:
    assert calendar(zone).day_of(instant(at)) == ordinal(day)


@pytest.mark.parametrize(
    ("zone", "day", "close"),
    [
        ("Asia/Shanghai", "2026-03-01", "2026-03-02T03:00:00+08:00"),
        ("Europe/Berlin", "2026-03-28", "2026-03-29T03:00:00+02:00"),
        ("Europe/Berlin", "2026-10-24", "2026-10-25T03:00:00+01:00"),
        ("Europe/Kyiv", "2026-03-28", "2026-03-29T04:00:00+03:00"),  # there is no 03:00 that night
        ("Europe/Kyiv", "2026-10-24", "2026-10-25T03:00:00+03:00"),  # the first of the two
    ],
)
def test_a_day_closes_at_three_of_the_next_date(zone: str, day: str, close: str) -> None:
    assert calendar(zone).close_of(ordinal(day)) == instant(close)


def test_a_day_that_a_move_eastward_jumps_over_ends_with_the_move() -> None:
    moved = instant("2026-05-10T20:00:00+02:00")  # 02:00 on the eleventh in Shanghai; an hour later the tenth is over
    assert calendar("Europe/Berlin", (moved, "Asia/Shanghai")).close_of(ordinal("2026-05-10")) == moved + timedelta(
        hours=1
    )
    late = instant("2026-05-10T22:00:00+02:00")  # 04:00 on the eleventh
    assert calendar("Europe/Berlin", (late, "Asia/Shanghai")).close_of(ordinal("2026-05-10")) == late


def test_a_day_that_is_lived_twice_closes_once() -> None:
    moved = instant(
        "2026-05-11T04:00:00+12:00"
    )  # the tenth has closed in Auckland; in Los Angeles it is still the tenth
    both = calendar("Pacific/Auckland", (moved, "America/Los_Angeles"))
    assert both.day_of(moved) == ordinal("2026-05-10")
    assert both.close_of(ordinal("2026-05-10")) == instant("2026-05-11T03:00:00+12:00")
    assert both.open_from(moved) == ordinal("2026-05-11")


def test_a_day_that_had_not_closed_before_the_move_closes_in_the_new_home() -> None:
    moved = instant("2026-05-11T02:00:00+12:00")
    both = calendar("Pacific/Auckland", (moved, "America/Los_Angeles"))
    assert both.close_of(ordinal("2026-05-10")) == instant("2026-05-11T03:00:00-07:00")
    assert both.open_from(moved) == ordinal("2026-05-10")


def test_what_a_close_found_is_told_at_eight_of_the_same_morning() -> None:
    berlin = calendar("Europe/Berlin")
    assert berlin.delivery_after(instant("2026-03-29T03:00:00+02:00")) == instant("2026-03-29T08:00:00+02:00")


def test_a_close_in_the_afternoon_is_told_at_once() -> None:
    late = instant("2026-05-10T16:00:00+02:00")
    assert calendar("Europe/Berlin").delivery_after(late) == late


def test_a_move_that_lies_ahead_is_not_in_force_yet() -> None:
    moved = datetime(2026, 6, 1, tzinfo=UTC)
    spans = [ZoneSpan(valid_from=LONG_AGO, zone="Asia/Shanghai"), ZoneSpan(valid_from=moved, zone="America/New_York")]
    before = Calendar(spans, moved - timedelta(days=1))
    assert before.close_of(ordinal("2026-06-05")) == instant("2026-06-06T03:00:00+08:00")


def test_an_instant_before_the_first_span_lies_in_its_zone() -> None:
    young = calendar((datetime(2026, 1, 1, tzinfo=UTC), "Asia/Shanghai"))
    assert young.day_of(instant("2025-06-01T02:00:00+08:00")) == ordinal("2025-05-31")


@given(
    st.lists(st.integers(31_536_000, 2_145_916_800), max_size=20),  # 1971 to 2037
    st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"]
    ),
)
def test_many_instants_at_once_fall_where_each_falls_alone(seconds: list[int], zone: str) -> None:
    instants = [datetime.fromtimestamp(second, UTC) for second in seconds]
    days = calendar(zone).days_of(np.array([to_us(at) for at in instants], np.int64))
    alone = [(at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) - timedelta(hours=3)).date() for at in instants]
    assert [date.fromordinal(int(day)) for day in days] == alone


@pytest.mark.parametrize(
    "zones",
    [
        ["Europe/Berlin"],
        ["America/New_York", (datetime(2026, 3, 8, 12, tzinfo=UTC), "Asia/Shanghai")],
        [
            "Asia/Tokyo",
            (datetime(2026, 1, 1, tzinfo=UTC), "Pacific/Apia"),
            (datetime(2026, 10, 25, 1, tzinfo=UTC), "Europe/Kyiv"),
        ],
    ],
)
def test_shifts_place_every_hour_of_their_years_in_its_clinical_day(zones: list[str | tuple[datetime, str]]) -> None:
    lived = calendar(*zones)
    at_us = to_us(datetime(2025, 1, 1, tzinfo=UTC)) + np.arange(0, 2 * 365 * 24) * 3_600_000_000
    since, shift = np.array(lived.shifts(2025, 2026)).T
    assert (np.diff(since) > 0).all()
    shifted = at_us + shift[np.searchsorted(since, at_us, side="right") - 1]
    assert (shifted // 86_400_000_000 + date(1970, 1, 1).toordinal()).tolist() == lived.days_of(at_us).tolist()
