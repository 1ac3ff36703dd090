"""The table of time evidence, row by row, with the clocks that real meters have."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.gateway.samples import NOW, SHANGHAI, evidence

from gateway.timing import Evidence, Placed, as_orphan, local_instant, place
from vitals.reading import TimeQuality

NEW_YORK = ZoneInfo("America/New_York")
HERE = datetime(2026, 11, 21, 16, 0)  # noqa: DTZ001  # NOW on a wall in Shanghai
MINUTE = timedelta(minutes=1)


def _placed(**known: object) -> tuple[datetime, TimeQuality]:
    placed = place(evidence(**known), SHANGHAI)
    return placed.measured_at, placed.time_quality


def test_no_time_stamp_takes_the_time_of_receipt() -> None:
    assert _placed(is_stamped=False, is_live=True) == (NOW, TimeQuality.RECEIVED)


def test_a_stored_record_without_a_time_stamp_is_suspect_for_it_may_be_weeks_old() -> None:
    assert _placed(is_stamped=False) == (NOW, TimeQuality.SUSPECT)


def test_a_readable_clock_that_is_wrong_is_corrected_exactly() -> None:
    behind = timedelta(minutes=37, seconds=5)
    taken = HERE - timedelta(hours=2)
    at, quality = _placed(meter_wall=taken - behind, clock_meter=HERE - behind, clock_at=NOW)
    assert (at, quality) == (NOW - timedelta(hours=2), TimeQuality.CORRECTED)


def test_a_clock_that_was_reset_to_2021_is_corrected_exactly() -> None:
    reset = datetime(2021, 1, 1, 0, 30)  # noqa: DTZ001
    at, quality = _placed(meter_wall=reset - 25 * MINUTE, clock_meter=reset, clock_at=NOW)
    assert (at, quality) == (NOW - 25 * MINUTE, TimeQuality.CORRECTED)


def test_an_externally_set_clock_is_synced_and_still_corrected() -> None:
    ahead = timedelta(seconds=7)
    at, quality = _placed(
        meter_wall=HERE - MINUTE + ahead, clock_meter=HERE + ahead, clock_at=NOW, is_externally_set=True
    )
    assert (at, quality) == (NOW - MINUTE, TimeQuality.SYNCED)


def test_a_record_ahead_of_its_own_meters_clock_is_from_before_the_clock_was_changed() -> None:
    reset = datetime(2021, 1, 1, 0, 30)  # noqa: DTZ001
    taken = HERE - timedelta(days=3)
    at, quality = _placed(meter_wall=taken, clock_meter=reset, clock_at=NOW)
    assert (at, quality) == (NOW - timedelta(days=3), TimeQuality.ORPHAN)


def test_a_measurement_taken_during_the_session_is_not_ahead_of_the_clock_read_at_its_start() -> None:
    at, quality = _placed(
        received_at=NOW + 3 * MINUTE, meter_wall=HERE + 3 * MINUTE, clock_meter=HERE, clock_at=NOW, is_live=True
    )
    assert (at, quality) == (NOW + 3 * MINUTE, TimeQuality.CORRECTED)


def test_nothing_is_measured_after_it_was_received() -> None:
    at, _ = _placed(meter_wall=HERE + timedelta(seconds=20), clock_meter=HERE, clock_at=NOW)
    assert at == NOW


def test_the_meters_zone_does_not_matter_where_its_clock_can_be_read() -> None:
    """Set to winter time, read in summer: the distance between record and clock is what counts."""
    received = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
    at_home = received.astimezone(NEW_YORK).replace(tzinfo=None)
    still_winter = at_home - timedelta(hours=1)
    before_the_change = still_winter - timedelta(days=2)
    placed = place(
        Evidence(
            received_at=received,
            is_stamped=True,
            meter_wall=before_the_change,
            clock_meter=still_winter,
            clock_at=received,
        ),
        NEW_YORK,
    )
    assert placed.measured_at == received - timedelta(days=2)


@pytest.mark.parametrize("ago", [timedelta(0), 15 * MINUTE, timedelta(minutes=14, seconds=59)])
def test_an_unreadable_clock_that_agrees_with_ours_is_trusted(ago: timedelta) -> None:
    assert _placed(meter_wall=HERE - ago, is_live=True) == (NOW - ago, TimeQuality.TRUSTED)


def test_a_live_record_of_an_unreadable_clock_that_disagrees_takes_the_time_of_receipt() -> None:
    assert _placed(meter_wall=HERE - 16 * MINUTE, is_live=True) == (NOW, TimeQuality.RECEIVED)


def test_a_stored_record_of_an_unreadable_clock_keeps_its_word_and_is_suspect() -> None:
    assert _placed(meter_wall=HERE - timedelta(days=2)) == (NOW - timedelta(days=2), TimeQuality.SUSPECT)


@pytest.mark.parametrize(
    "wall",
    [None, datetime(1970, 1, 1), datetime(2009, 12, 31), HERE + 6 * MINUTE, datetime(9999, 12, 31)],  # noqa: DTZ001
    ids=["year 0", "1970", "before 2010", "six minutes ahead", "the end of time"],
)
def test_a_time_that_cannot_be_is_suspect_when_live_and_orphan_when_stored(wall: datetime | None) -> None:
    assert _placed(meter_wall=wall, is_live=True) == (NOW, TimeQuality.SUSPECT)
    assert _placed(meter_wall=wall) == (NOW, TimeQuality.ORPHAN)


def test_four_minutes_ahead_is_a_clock_that_is_a_little_fast() -> None:
    assert _placed(meter_wall=HERE + 4 * MINUTE, is_live=True)[1] is TimeQuality.TRUSTED


def test_a_clock_that_was_never_set_corrects_nothing_for_it_may_not_run() -> None:
    never = datetime(1970, 1, 1)  # noqa: DTZ001
    assert _placed(meter_wall=never, clock_meter=never, clock_at=NOW, is_live=True) == (NOW, TimeQuality.SUSPECT)
    assert _placed(meter_wall=never, clock_meter=never, clock_at=NOW) == (NOW, TimeQuality.ORPHAN)


def test_a_record_of_another_age_of_the_clock_is_not_corrected() -> None:
    ancient = datetime(1999, 1, 1)  # noqa: DTZ001
    assert _placed(meter_wall=ancient, clock_meter=HERE, clock_at=NOW) == (NOW, TimeQuality.ORPHAN)


# 1 November 2026, New York: 01:30 comes at 05:30 UTC (summer time) and again at 06:30 UTC.
TWICE = datetime(2026, 11, 1, 1, 30)  # noqa: DTZ001
FIRST, SECOND = datetime(2026, 11, 1, 5, 30, tzinfo=UTC), datetime(2026, 11, 1, 6, 30, tzinfo=UTC)


def test_in_the_hour_that_comes_twice_the_first_counts() -> None:
    assert local_instant(TWICE, NEW_YORK, received_at=FIRST + MINUTE) == FIRST
    assert local_instant(TWICE, NEW_YORK, received_at=SECOND + timedelta(days=1)) == FIRST


def test_in_the_hour_that_comes_twice_the_time_of_receipt_can_prove_the_second() -> None:
    assert local_instant(TWICE, NEW_YORK, received_at=SECOND + MINUTE) == SECOND


@pytest.mark.parametrize("received_at", [FIRST + MINUTE, SECOND + MINUTE, SECOND + timedelta(days=1)])
def test_of_a_stored_record_of_the_hour_that_comes_twice_nothing_proves_which_it_was(received_at: datetime) -> None:
    stored = Evidence(received_at=received_at, is_stamped=True, meter_wall=TWICE)
    assert place(stored, NEW_YORK).time_quality is TimeQuality.SUSPECT


def test_of_a_live_record_of_the_hour_that_comes_twice_the_time_of_receipt_proves_which_it_was() -> None:
    for instant in (FIRST, SECOND):
        live = Evidence(received_at=instant + MINUTE, is_stamped=True, meter_wall=TWICE, is_live=True)
        assert place(live, NEW_YORK) == Placed(measured_at=instant, time_quality=TimeQuality.TRUSTED)


def test_the_hour_that_is_skipped_is_no_hour_that_comes_twice() -> None:
    skipped = datetime(2026, 3, 8, 2, 30)  # noqa: DTZ001
    received_at = datetime(2026, 3, 8, 7, 31, tzinfo=UTC)
    stored = Evidence(received_at=received_at, is_stamped=True, meter_wall=skipped)
    assert place(stored, NEW_YORK).time_quality is TimeQuality.TRUSTED


def test_the_offset_is_our_wall_clock_minus_the_meters() -> None:
    known = evidence(clock_meter=HERE - timedelta(seconds=90), clock_at=NOW)
    assert known.clock_offset_s(SHANGHAI) == 90.0
    assert evidence().clock_offset_s(SHANGHAI) is None


def test_correcting_our_clock_moves_what_we_saw_and_not_what_the_meter_said() -> None:
    known = evidence(meter_wall=HERE, clock_meter=HERE, clock_at=NOW)
    moved = known.shifted(timedelta(days=10))
    assert (moved.received_at, moved.clock_at) == (NOW + timedelta(days=10), NOW + timedelta(days=10))
    assert (moved.meter_wall, moved.clock_meter) == (HERE, HERE)


def test_an_orphan_keeps_the_meters_word_if_it_can_be_true() -> None:
    word = as_orphan(evidence(meter_wall=HERE - timedelta(days=1)), SHANGHAI)
    assert (word.measured_at, word.time_quality) == (NOW - timedelta(days=1), TimeQuality.ORPHAN)
    assert as_orphan(evidence(meter_wall=HERE + timedelta(days=1)), SHANGHAI).measured_at == NOW


walls = st.none() | st.datetimes(min_value=datetime(1582, 1, 1))  # noqa: DTZ001


@given(
    meter_wall=walls,
    clock_meter=walls,
    late_s=st.integers(0, 300),
    is_live=st.booleans(),
    is_stamped=st.booleans(),
    zone=st.sampled_from([SHANGHAI, NEW_YORK, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Etc/GMT+12")]),
)
def test_any_evidence_is_placed_and_never_far_in_the_future(
    meter_wall: datetime | None,
    clock_meter: datetime | None,
    late_s: int,
    is_live: bool,
    is_stamped: bool,
    zone: ZoneInfo,
) -> None:
    known = Evidence(
        received_at=NOW + timedelta(seconds=late_s),
        is_stamped=is_stamped,
        meter_wall=meter_wall,
        clock_meter=clock_meter,
        clock_at=None if clock_meter is None else NOW,
        is_live=is_live,
    )
    placed = place(known, zone)
    assert placed.measured_at.tzinfo is not None
    assert placed.measured_at <= known.received_at + timedelta(minutes=5)
    assert placed.measured_at.year >= 2010 or placed.time_quality in (TimeQuality.CORRECTED, TimeQuality.SYNCED)
