"""The oracle's silences, counted by hand: which days are quiet, when it opens, what ends it, what joins, and what is in view."""

from datetime import date, datetime, timedelta

import pytest
from unit.oracle.absence_cases import judged, measured, span, text_of
from unit.oracle.trend_cases import at, glucose, pressure

from server.oracle.rules import SilenceRule, reach_days, rules_of
from server.oracle.shapes import OracleReading
from vitals.errors import MalformedError

THREE = text_of("kind: silence, days: 3, unknown_after_hours: 6")


def close(day: int) -> datetime:
    """Of a day of March in UTC."""
    return at(day, "03:00") + timedelta(days=1)


def opened(*args: object, **more: object) -> list[datetime]:
    return [alert.opened_at for alert in judged(THREE, *args, **more)]  # type: ignore[arg-type]


def test_it_opens_at_the_close_of_the_third_quiet_day() -> None:
    (alert,) = judged(THREE, measured(2, 3), now=close(8))
    assert (alert.rule_id, alert.rule_version, alert.priority, alert.tells) == (
        "absence",
        2,
        "information",
        ("patient",),
    )
    assert (alert.state, alert.resolved_at) == ("active", None)
    assert (alert.started_at, alert.opened_at) == (close(6), close(6))
    assert alert.deliver_at == at(7, "08:00")
    assert (alert.first_day, alert.last_day) == (date(2026, 3, 4), date(2026, 3, 6))
    assert (alert.evidence_at, alert.fresh_until) == (close(6), close(13))
    assert alert.reading_ids == ()
    assert alert.counts == {"days": 5, "needed_days": 3, "unknown_days": 0, "since": at(3)}


@pytest.mark.parametrize(("now", "found"), [(close(6), 1), (close(6) - timedelta(seconds=1), 0)])
def test_a_day_counts_once_it_is_closed(now: datetime, found: int) -> None:
    assert len(opened(measured(3), now=now)) == found


def test_the_next_reading_ends_it() -> None:
    (alert,) = judged(THREE, [*measured(3), *measured(9, clock="20:00"), *measured(9), *measured(10)], now=close(10))
    assert (alert.state, alert.resolved_at, alert.counts["days"]) == ("resolved", at(9), 5)
    assert (alert.first_day, alert.last_day) == (date(2026, 3, 4), date(2026, 3, 6))
    assert opened(measured(3, 6)) == [close(9)], "two quiet days between are not three"
    assert opened(measured(3, 7), now=close(8)) == [close(6)]


def test_a_reading_in_the_small_hours_is_of_the_day_before() -> None:
    (alert,) = judged(THREE, [*measured(3), *measured(9, clock="02:59")], now=close(8))
    assert (alert.counts["days"], alert.resolved_at) == (4, at(9, "02:59"))
    assert opened([*measured(3), *measured(7, clock="02:59")], now=close(7)) == []


def test_any_kind_of_reading_breaks_it_however_doubtful_its_value() -> None:
    odd = [pressure(at(5, "07:30"), 120), pressure(at(5, "07:30:20"), 190, name="odd")]
    assert opened([*measured(3), *odd], now=close(7)) == []
    (alert,) = judged(THREE, [*measured(3), *odd], now=close(8))
    assert alert.counts["since"] == odd[1].measured_at
    assert opened([*measured(3), glucose(at(5), 6)], now=close(7)) == []
    unsure = glucose(at(5), 6, time_quality="suspect")
    assert opened([*measured(3), unsure], now=close(7)) == []


@pytest.mark.parametrize(
    "reading",
    [
        pressure(at(5), 120, time_quality="orphan"),
        pressure(at(5), 20),
        pressure(at(5), 120, status=1),
        glucose(at(5), 6, is_control=True),
        glucose(at(5), None),
    ],
    ids=["orphan", "impossible", "moved", "control", "no number"],
)
def test_what_is_not_accepted_breaks_nothing(reading: OracleReading) -> None:
    assert opened([*measured(3), reading], now=close(7)) == [close(6)]


def test_it_is_counted_from_enrolment_for_who_never_measured() -> None:
    (alert,) = judged(THREE, [], now=close(5))
    assert (alert.first_day, alert.opened_at) == (date(2026, 3, 2), close(4))
    assert alert.counts == {"days": 4, "needed_days": 3, "unknown_days": 0, "since": None}
    (alert,) = judged(THREE, measured(9), now=close(10))
    assert (alert.opened_at, alert.resolved_at, alert.counts["days"]) == (close(4), at(9), 7)


def test_days_up_to_enrolment_never_count() -> None:
    before = [pressure(datetime.fromisoformat("2026-02-10 07:30+00:00"), 120)]
    (alert,) = judged(THREE, before, now=close(4))
    assert (alert.first_day, alert.opened_at) == (date(2026, 3, 2), close(4))
    assert alert.counts["since"] == before[0].measured_at


# -- what nobody can say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "opens"), [(6, close(6)), (6.001, close(7)), (48, close(8))])
def test_a_day_that_could_not_be_heard_for_more_than_six_hours_neither_counts_nor_breaks(
    hours: float, opens: datetime
) -> None:
    """48 hours from noon of the 5th cover 15 of its hours, all of the 6th, and 9 of the 7th: three days."""
    expected = close(9) if hours == 48 else opens
    assert opened(measured(3), unheard=(span(at(5, "12:00"), hours),), now=close(12)) == [expected]


def test_spans_that_overlap_count_once_and_in_any_order() -> None:
    twice = (span(at(5, "14:00"), 4), span(at(5, "12:00"), 4), span(at(5, "13:00"), 1))
    assert opened(measured(3), unheard=twice, now=close(12)) == [close(6)], "noon to six"
    more = (*twice, span(at(5, "20:00"), 0.01))
    assert opened(measured(3), unheard=more, now=close(12)) == [close(7)]


def test_a_span_is_shared_out_to_its_days() -> None:
    night = (span(at(5, "20:00") + timedelta(minutes=59), 12),)
    assert opened(measured(3), unheard=night, now=close(12)) == [close(7)], (
        "more than 6 hours of the 5th and of no other"
    )


def test_what_still_lasts_lasts_until_now() -> None:
    (alert,) = judged(THREE, measured(3), unheard=(span(at(8, "12:00"), None),), now=close(12))
    assert alert.opened_at == close(6)
    assert alert.counts["unknown_days"] == 5
    assert alert.counts["days"] == 4
    assert opened(measured(3), unheard=(span(at(5), None),), now=close(12)) == []


def test_a_day_with_a_reading_is_known_whatever_could_be_heard() -> None:
    deaf = (span(at(1), 24 * 20),)
    (alert,) = judged(THREE, measured(3, 26), unheard=deaf, now=close(28))
    assert (alert.opened_at, alert.first_day, alert.counts["unknown_days"]) == (close(23), date(2026, 3, 21), 17)


@pytest.mark.parametrize(("after", "hours", "opens"), [(0, 0.001, 7), (0, 0, 6), (24, 24, 6), (23, 24, 7)])
def test_how_long_a_day_may_be_unheard_is_written(after: int, hours: float, opens: int) -> None:
    text = text_of(f"kind: silence, days: 3, unknown_after_hours: {after}")
    (alert,) = judged(text, measured(3), unheard=(span(at(5, "03:00"), hours),), now=close(9))
    assert alert.opened_at == close(opens)


def test_a_day_of_twenty_five_hours_may_be_unheard_for_more_than_twenty_four() -> None:
    text = text_of("kind: silence, days: 3, unknown_after_hours: 24")
    zones = ((datetime.fromisoformat("2020-01-01T00:00+00:00"), "Europe/Berlin"),)
    start = at(24, "03:00", month=10, zone="Europe/Berlin")
    now = at(31, "12:00", month=10)
    patient = {"zones": zones, "enrolled_on": date(2026, 10, 21), "now": now}
    readings = [pressure(at(22, month=10), 120)]
    assert judged(text, readings, unheard=(span(start, 25),), **patient)[0].opened_at == close_of_berlin(26)
    assert judged(text, readings, unheard=(span(start, 24),), **patient)[0].opened_at == close_of_berlin(25)


def close_of_berlin(day: int) -> datetime:
    return at(day + 1, "03:00", month=10, zone="Europe/Berlin")


# -- episodes and views ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("second", "alerts"), [("07:30", 2), ("02:59", 1)])
def test_what_opens_within_seven_days_of_the_end_is_the_same(second: str, alerts: int) -> None:
    """Ended on the 9th at 03:00; quiet again after a reading on the 12th (or, at 02:59 of the 13th, still the 12th)."""
    readings = [*measured(3), *measured(9, clock="03:00"), *measured(12), *measured(13, clock=second)]
    found = judged(THREE, readings, now=close(20))
    assert len(found) == alerts


def test_a_joined_alert_begins_with_the_first_and_is_else_about_the_last() -> None:
    found = judged(THREE, measured(3, 9, 11), now=close(20))
    (alert,) = found
    assert (alert.state, alert.started_at, alert.first_day) == ("active", close(6), date(2026, 3, 4))
    assert (alert.last_day, alert.deliver_at) == (date(2026, 3, 14), at(15, "08:00"))
    assert (alert.evidence_at, alert.fresh_until) == (close(14), close(21))
    assert (alert.counts["since"], alert.counts["days"]) == (at(11), 9)


def test_a_number_of_ones_own_takes_the_place_of_the_rules() -> None:
    (alert,) = judged(THREE, measured(3), own={"days": 14})
    assert (alert.opened_at, alert.threshold_version) == (close(17), 5)
    assert alert.counts["needed_days"] == 14


def test_the_reading_before_the_view_begins_the_count() -> None:
    (alert,) = judged(THREE, [], last_counted_before=at(10), now=close(20))
    assert (alert.first_day, alert.opened_at) == (date(2026, 3, 11), close(13))
    assert alert.counts["since"] == at(10)
    assert opened(measured(13), last_counted_before=at(10), now=close(15)) == []


@pytest.mark.parametrize("loaded_from", [5, 9, 10, 14])
def test_through_a_view_it_is_the_same(loaded_from: int) -> None:
    """Silent from the 4th to the 8th, and from the 12th to the 19th."""
    readings = measured(3, 9, 11, 20)
    since = at(loaded_from)
    before = max(r.measured_at for r in readings if r.measured_at < since)
    seen = [r for r in readings if r.measured_at >= since]
    whole = judged(THREE, readings, judged_from=since, now=close(30))
    cut = judged(THREE, seen, judged_from=since, now=close(30), last_counted_before=before)
    assert cut == whole
    assert [alert.started_at for alert in cut] == ([close(6)] if loaded_from < 9 else [close(14)])


@pytest.mark.parametrize(("judged_from", "found"), [(at(9, "02:59"), 1), (at(9, "03:00"), 0), (at(8), 1)])
def test_what_ended_on_a_day_that_is_not_judged_is_left_out(judged_from: datetime, found: int) -> None:
    readings = measured(3, 9, 11, 13, 15)
    assert len(judged(THREE, readings, judged_from=judged_from, now=close(16))) == found


def test_who_flies_west_may_live_a_day_twice_and_measure_on_it_once() -> None:
    """The 11th ends in Auckland at 15:00 UTC of the 11th … and the 10th begins again in Los Angeles."""
    zones = ((at(1), "Pacific/Auckland"), (at(11), "America/Los_Angeles"))
    readings = [pressure(at(10, "16:00"), 120, name="a"), pressure(at(11, "08:00"), 120, name="b")]
    (alert,) = judged(THREE, readings, zones=zones, now=at(20), enrolled_on=date(2026, 3, 8))
    assert (alert.first_day, alert.counts["since"]) == (date(2026, 3, 12), at(10, "16:00")), (
        "the later day, not instant"
    )


# -- the text ----------------------------------------------------------------------------------------------------------


def test_the_text_is_read() -> None:
    (rule,) = rules_of(THREE)
    assert isinstance(rule, SilenceRule)
    assert (rule.days, rule.unknown_after_hours, reach_days((rule,))) == (3, 6, 0)


@pytest.mark.parametrize(
    ("known", "unknown"),
    [
        ("days: 3", "days: 0"),
        ("days: 3", "days: 91"),
        ("days: 3", "hours: 3"),
        ("days: 3", "days: 3, of: weight"),
        ("unknown_after_hours: 6", "unknown_after_hours: 25"),
        ("unknown_after_hours: 6", "unknown_after_hours: -1"),
        ("by: measuring", "by: schedule"),
        ("by: measuring", "by: measuring, days: 1"),
    ],
)
def test_what_is_not_understood_is_refused(known: str, unknown: str) -> None:
    with pytest.raises((MalformedError, KeyError)):
        rules_of(THREE.replace(known, unknown))
