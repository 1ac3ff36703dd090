"""The oracle's schedules, counted by hand: days measured as agreed, of the last few, asked at the close of every day."""

from datetime import date, datetime, timedelta

import pytest
from unit.oracle.absence_cases import judged, measured, span, text_of
from unit.oracle.test_silences import close
from unit.oracle.trend_cases import at, glucose, pressure

from server.oracle.rules import ScheduleRule, reach_days, rules_of
from vitals.errors import MalformedError

WHEN = "kind: schedule, of: blood_pressure, measured_days: 2, of_days: 4, unknown_after_hours: 6"
TWO_OF_FOUR = text_of(WHEN, "by: schedule")


def test_it_opens_at_the_close_of_the_first_day_with_too_little_behind_it() -> None:
    """The windows of the 5th to the 8th have 2, 2, 2 and 1 days."""
    (alert,) = judged(TWO_OF_FOUR, measured(4, 5), now=close(10))
    assert (alert.state, alert.resolved_at) == ("active", None)
    assert (alert.first_day, alert.last_day) == (date(2026, 3, 8), date(2026, 3, 8))
    assert alert.started_at == alert.opened_at == alert.evidence_at == close(8)
    assert (alert.deliver_at, alert.fresh_until) == (at(9, "08:00"), close(17))
    assert (alert.tells, alert.reading_ids) == (("patient",), ())
    assert alert.counts == {
        "of": "blood_pressure",
        "measured_days": 0,
        "needed_days": 2,
        "of_days": 4,
        "unknown_days": 0,
        "at": close(10),
    }
    (alert,) = judged(TWO_OF_FOUR, measured(4, 5), now=close(8))
    assert (alert.reading_ids, alert.counts["measured_days"]) == (("05",), 1)
    assert judged(TWO_OF_FOUR, measured(4, 5), now=close(8) - timedelta(seconds=1)) == []


def test_the_first_question_is_about_the_days_after_enrolment() -> None:
    assert judged(TWO_OF_FOUR, [], now=close(4)) == []
    (alert,) = judged(TWO_OF_FOUR, [], now=close(5))
    assert alert.opened_at == close(5)


def test_it_ends_at_the_close_of_the_day_with_enough_behind_it() -> None:
    (alert,) = judged(TWO_OF_FOUR, measured(8, 10), now=close(11))
    assert (alert.opened_at, alert.resolved_at, alert.state) == (close(5), close(10), "resolved")
    assert (alert.counts["at"], alert.counts["measured_days"], alert.reading_ids) == (close(9), 1, ("08",))
    assert alert.fresh_until == close(16)


@pytest.mark.parametrize(("last", "opened"), [(11, [close(5)]), (12, [close(5), close(15)])])
def test_what_begins_again_within_seven_days_is_the_same(last: int, opened: list[datetime]) -> None:
    """It ended at the close of the 7th; too little again three days after the last measured one, the 14th or the 15th."""
    found = judged(TWO_OF_FOUR, measured(*range(6, last + 1)), now=close(30))
    assert [alert.opened_at for alert in found] == opened
    assert found[-1].state == "active"


def test_a_joined_alert_begins_with_the_first_stretch() -> None:
    (alert,) = judged(TWO_OF_FOUR, measured(6, 7), now=close(13))
    assert (alert.first_day, alert.opened_at) == (date(2026, 3, 5), close(5))
    assert (alert.last_day, alert.evidence_at, alert.deliver_at) == (date(2026, 3, 10), close(10), at(11, "08:00"))
    assert alert.fresh_until == close(20)


def test_so_many_readings_make_a_measured_day() -> None:
    text = text_of(f"{WHEN}, readings_per_day: 2", "by: schedule")
    twice = [pressure(at(day, clock), 120) for day in (4, 5) for clock in ("07:30", "20:00")]
    assert judged(text, twice, now=close(6)) == []
    assert len(judged(text, twice[:3], now=close(6))) == 1


def test_only_what_was_agreed_is_counted() -> None:
    others = [glucose(at(day), 6) for day in (2, 3, 4, 5)]
    failed = [pressure(at(3), 20), pressure(at(4), 120, time_quality="orphan")]
    (alert,) = judged(TWO_OF_FOUR, [*others, *failed, *measured(5)], now=close(5))
    assert (alert.counts["measured_days"], alert.reading_ids) == (1, ("05",))
    sugar = text_of(WHEN.replace("blood_pressure", "glucose"), "by: schedule")
    assert judged(sugar, others, now=close(5)) == []


# -- what nobody can say -----------------------------------------------------------------------------------------------


def test_a_day_that_could_not_be_heard_may_have_been_measured() -> None:
    """One measured and one unheard day may be two, and do not end what is too little already."""
    deaf = (span(at(4), 12),)
    assert judged(TWO_OF_FOUR, measured(3), unheard=deaf, now=close(5)) == []
    assert len(judged(TWO_OF_FOUR, [], unheard=deaf, now=close(5))) == 1
    (alert,) = judged(TWO_OF_FOUR, measured(6), unheard=(span(at(7), 12),), now=close(7))
    assert (alert.opened_at, alert.state, alert.counts["at"]) == (close(5), "active", close(6))


def test_with_a_reading_of_any_kind_it_could_be_heard() -> None:
    deaf = (span(at(4, "08:00"), 12),)
    (alert,) = judged(TWO_OF_FOUR, [*measured(3), glucose(at(4), 6)], unheard=deaf, now=close(5))
    assert alert.counts["unknown_days"] == 0
    assert len(judged(TWO_OF_FOUR, measured(3), unheard=deaf, last_counted_before=at(4), now=close(5))) == 1


def test_unheard_days_are_said() -> None:
    (alert,) = judged(TWO_OF_FOUR, [], unheard=(span(at(3), 12),), now=close(5))
    assert (alert.counts["unknown_days"], alert.counts["measured_days"]) == (1, 0)


# -- views, own numbers, the text --------------------------------------------------------------------------------------


def test_days_that_are_not_judged_are_looked_at_for_later_ones() -> None:
    (alert,) = judged(TWO_OF_FOUR, measured(8, 10), judged_from=at(7), now=close(11))
    assert (alert.opened_at, alert.resolved_at) == (close(8), close(10))
    assert judged(TWO_OF_FOUR, measured(8, 10), judged_from=at(9), now=close(11)) == []


def test_a_number_of_ones_own_takes_the_place_of_the_rules() -> None:
    assert judged(TWO_OF_FOUR, measured(5), own={"measured_days": 1}, now=close(8)) == []
    (alert,) = judged(TWO_OF_FOUR, measured(2, 3, 4), own={"measured_days": 4}, now=close(5))
    assert (alert.threshold_version, alert.counts["needed_days"]) == (5, 4)


def test_the_newest_hundred_readings_are_named() -> None:
    many = [pressure(at(5) + timedelta(minutes=place), 120, name=f"{place:03}") for place in range(101)]
    (alert,) = judged(TWO_OF_FOUR, many, now=close(5))
    assert alert.reading_ids == tuple(f"{place:03}" for place in range(1, 101))


def test_the_text_is_read() -> None:
    (rule,) = rules_of(TWO_OF_FOUR)
    assert isinstance(rule, ScheduleRule)
    assert (rule.of, rule.measured_days, rule.of_days, rule.readings_per_day) == ("blood_pressure", 2, 4, 1)
    assert (rule.unknown_after_hours, reach_days((rule,))) == (6, 4)


@pytest.mark.parametrize(
    ("known", "unknown"),
    [
        ("of: blood_pressure", "of: systolic"),
        ("measured_days: 2", "measured_days: 5"),
        ("measured_days: 2", "measured_days: 0"),
        ("of_days: 4", "of_days: 91"),
        ("of_days: 4", "of_days: 4, readings_per_day: 0"),
        ("of_days: 4", "of_days: 4, readings_per_day: 25"),
        ("of_days: 4", "of_days: 4, missing_day: bridge"),
        ("unknown_after_hours: 6", "unknown_after_hours: 25"),
        ("by: schedule", "by: measuring"),
    ],
)
def test_what_is_not_understood_is_refused(known: str, unknown: str) -> None:
    assert known in TWO_OF_FOUR
    with pytest.raises(MalformedError):
        rules_of(TWO_OF_FOUR.replace(known, unknown))
