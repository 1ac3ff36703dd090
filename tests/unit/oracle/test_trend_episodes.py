"""The life of a trend's alert as the oracle sees it, worked by hand: how it begins, lasts, ends and begins again."""

from datetime import date, datetime, timedelta

import pytest
from unit.oracle.trend_cases import (
    EITHER,
    MEAN,
    SECOND,
    at,
    change,
    counted,
    glucose,
    glucoses,
    judged,
    opened,
    pressure,
    rolling,
)

# -- stretches ---------------------------------------------------------------------------------------------------------

ONE_HIGH = rolling("highest", "at_least: 10, unit: mmol/L", over="days: 1")
ONE_LOW = rolling("lowest", "below: 4, unit: mmol/L", over="days: 1")


@pytest.mark.parametrize(
    ("rule", "values", "ended"),
    [
        (ONE_HIGH, (10, 9, "8.000001"), None),
        (ONE_HIGH, (10, 9, 8), at(3)),
        (ONE_HIGH.replace("at_least", "above"), ("10.1", 10, "8.000001"), None),
        (ONE_HIGH.replace("at_least", "above"), ("10.1", 10, 8), at(3)),
        (ONE_LOW, (3, 4, "5.999999"), None),
        (ONE_LOW, (3, 4, 6), at(3)),
        (ONE_LOW.replace("below", "at_most"), (4, 5, "5.999999"), None),
        (ONE_LOW.replace("below", "at_most"), (4, 5, 6), at(3)),
    ],
)
def test_it_ends_two_on_the_good_side_and_no_nearer(
    rule: str, values: tuple[object, ...], ended: datetime | None
) -> None:
    (alert,) = judged(rule, glucoses(*values), below_by=2)
    assert (alert.started_at, alert.resolved_at) == (at(1), ended)


@pytest.mark.parametrize(
    ("word", "at_threshold"),
    [("at_least", "active"), ("above", "resolved"), ("at_most", "active"), ("below", "resolved")],
)
def test_without_a_distance_it_ends_with_the_first_no(word: str, at_threshold: str) -> None:
    value = 12 if word in ("at_least", "above") else 8
    (alert,) = judged(rolling("highest", f"{word}: 10, unit: mmol/L", over="days: 1"), glucoses(value, 10))
    assert alert.state == at_threshold


def test_a_spread_ends_on_the_good_side_too() -> None:
    """SDs of 2, of (6, 8, 8) and of (8, 8, 8): 1.15 is not 0.5 or less, 0 is; nothing is less than zero."""
    sd = rolling("sd", "at_least: 2, unit: mmol/L", needed=3, over="days: 3")
    (alert,) = judged(sd, glucoses(4, 6, 8, 8, 8), below_by="1.5")
    assert (alert.started_at, alert.resolved_at) == (at(3), at(5))
    (alert,) = judged(sd, glucoses(4, 6, 8, 8, 8), below_by=2)
    assert alert.resolved_at == at(5)
    (alert,) = judged(sd, glucoses(4, 6, 8, 8, 8), below_by=3)
    assert alert.state == "active"


def test_the_end_of_an_sd_is_in_thousandths_too() -> None:
    """The SD of (6, 8, 8) is 1.1547: above 1.1546, and not above 1.155."""
    sd = rolling("sd", "at_least: 2, unit: mmol/L", needed=3, over="days: 3")
    (alert,) = judged(sd, glucoses(4, 6, 8, 8), below_by="0.8454")
    assert alert.resolved_at == at(4)
    (alert,) = judged(sd, glucoses(4, 6, 8, 8), below_by="0.8456")
    assert alert.state == "active"


def test_what_cannot_be_answered_neither_begins_nor_ends_it() -> None:
    """Yes on the 2nd; alone on the 8th and the 20th; good on the 21st."""
    readings = [*glucoses(10, 12), *glucoses(4, first=8), *glucoses(4, 4, first=20)]
    (alert,) = judged(MEAN, readings)
    assert (alert.started_at, alert.last_day, alert.resolved_at) == (at(2), date(2026, 3, 2), at(21))


def test_what_is_neither_yes_nor_good_does_not_begin_it() -> None:
    assert opened(ONE_HIGH, glucoses(9, "9.5"), below_by=2) == []


# -- any of several ----------------------------------------------------------------------------------------------------


def test_one_of_two_pressures_is_enough_and_only_both_end_it() -> None:
    (alert,) = judged(
        EITHER, [pressure(at(1), 120, 92), pressure(at(2), 150, 80), pressure(at(3), 130, 80)], below_by=5
    )
    assert (alert.started_at, alert.last_day, alert.resolved_at) == (at(1), date(2026, 3, 2), at(3))
    (alert,) = judged(EITHER, [pressure(at(1), 120, 92), pressure(at(2), 130, 86)], below_by=5)
    assert alert.state == "active"


UNION = (
    "kind: rolling, statistic: highest, over: {days: 1}, min_readings: 1, any_of:"
    " [{signal: systolic, at_least: 145, unit: mmHg}, {signal: glucose, at_least: 10, unit: mmol/L}]"
)


def test_of_two_kinds_of_reading_the_rule_holds_while_one_does() -> None:
    """Pressure from the 1st to the 4th, glucose from the 3rd to the 6th: neither ends the other."""
    readings = [pressure(at(1), 150), glucose(at(2), 5), glucose(at(3), 11), pressure(at(4), 120), glucose(at(6), 5)]
    (alert,) = judged(UNION, readings)
    assert (alert.started_at, alert.deliver_at, alert.resolved_at) == (at(1), at(1), at(6))
    assert (alert.evidence_at, alert.reading_ids) == (at(3), (readings[2].name,))
    (alert,) = judged(UNION, readings[:-1])
    assert (alert.state, alert.resolved_at) == ("active", None)


def test_a_stretch_of_one_kind_within_that_of_another_changes_nothing() -> None:
    readings = [pressure(at(1), 150), glucose(at(2), 11), glucose(at(3), 5), pressure(at(5), 120)]
    (alert,) = judged(UNION, readings)
    assert (alert.started_at, alert.resolved_at, alert.last_day) == (at(1), at(5), date(2026, 3, 2))


def test_two_kinds_apart_are_two_stretches() -> None:
    readings = [pressure(at(1), 150), pressure(at(2), 120), glucose(at(2) + SECOND, 11)]
    (alert,) = judged(UNION, readings)
    assert (alert.opened_at, alert.deliver_at, alert.state) == (at(1), at(2) + SECOND, "active")
    first, second = judged(UNION, [*readings[:2], glucose(at(20), 11)])
    assert (first.resolved_at, second.opened_at) == (at(2), at(20))


def test_where_one_kind_ends_and_the_other_begins_it_holds_all_the_time() -> None:
    (alert,) = judged(UNION, [pressure(at(1), 150), pressure(at(2), 120), glucose(at(2), 11)])
    assert (alert.opened_at, alert.deliver_at, alert.state) == (at(1), at(1), "active")


def test_of_two_kinds_at_one_instant_the_grounds_are_of_the_one_written_first() -> None:
    high = glucose(at(1), 11), pressure(at(1), 150)
    (alert,) = judged(UNION, [glucose(at(1, "05:00"), 11), *high])
    assert alert.reading_ids == (high[1].name,)


def test_each_kind_is_counted_by_itself() -> None:
    """Two high readings, but one of each kind."""
    two = (
        "kind: count_of_last, needed: 2, of_last: 2, within: {days: 90}, any_of:"
        " [{signal: systolic, at_least: 145, unit: mmHg}, {signal: glucose, at_least: 10, unit: mmol/L}]"
    )
    assert opened(two, [pressure(at(1), 150), glucose(at(2), 11)]) == []
    assert opened(two, [pressure(at(1), 150), glucose(at(2), 11), glucose(at(3), 11)]) == [at(3)]


def test_of_two_conditions_on_one_signal_the_elements_are_the_same() -> None:
    """What is low is not high: it does not end what was high before it."""
    outside = (
        "kind: rolling, statistic: highest, over: {days: 1}, min_readings: 1, any_of:"
        " [{signal: glucose, above: 10, unit: mmol/L}, {signal: glucose, below: 4, unit: mmol/L}]"
    )
    (alert,) = judged(outside, glucoses(11, 3, 5))
    assert (alert.started_at, alert.last_day, alert.resolved_at) == (at(1), date(2026, 3, 2), at(3))


# -- the life of an alert ----------------------------------------------------------------------------------------------


def test_all_that_is_said_of_an_alert() -> None:
    readings = glucoses(10, 10, 13, 4, 4)
    (alert,) = judged(MEAN, readings)
    assert (alert.rule_id, alert.rule_version, alert.threshold_version) == ("trend", 2, 0)
    assert (alert.priority, alert.tells, alert.tells_late) == ("medium", ("patient", "doctor"), ())
    assert (alert.first_day, alert.last_day) == (date(2026, 3, 2), date(2026, 3, 3))
    assert (alert.started_at, alert.opened_at, alert.deliver_at) == (at(2), at(2), at(2))
    assert (alert.state, alert.resolved_at, alert.evidence_at) == ("resolved", at(4), at(3))
    assert alert.reading_ids == tuple(reading.name for reading in readings[:3])
    assert alert.fresh_until == at(11, "03:00")


def test_what_begins_again_within_seven_days_is_the_same_alert() -> None:
    readings = [*glucoses(11, 5), *glucoses(12, first=9), *glucoses(13, first=10)]
    (alert,) = judged(ONE_HIGH, readings)
    assert (alert.state, alert.resolved_at) == ("active", None)
    assert (alert.started_at, alert.opened_at, alert.deliver_at) == (at(1), at(1), at(9))
    assert (alert.first_day, alert.last_day, alert.evidence_at) == (date(2026, 3, 1), date(2026, 3, 10), at(10))
    assert alert.reading_ids == (readings[-1].name,)


def test_a_second_more_than_seven_days_is_another_alert() -> None:
    first, second = judged(ONE_HIGH, [*glucoses(11, 5), glucose(at(9) + SECOND, 12)])
    assert (first.state, first.last_day, first.resolved_at) == ("resolved", date(2026, 3, 1), at(2))
    assert (second.state, second.opened_at, second.deliver_at) == ("active", at(9) + SECOND, at(9) + SECOND)


def test_seven_days_are_counted_from_the_newest_end() -> None:
    (alert,) = judged(ONE_HIGH, [*glucoses(11, 5), *glucoses(11, 5, first=8), *glucoses(11, 5, first=15)])
    assert (alert.opened_at, alert.deliver_at, alert.resolved_at) == (at(1), at(15), at(16))


def test_of_its_grounds_the_newest_hundred_are_named() -> None:
    readings = [glucose(at(1) + timedelta(minutes=minute), 11) for minute in range(130)]
    (alert,) = judged(rolling("mean", "at_least: 10, unit: mmol/L"), readings)
    assert alert.reading_ids == tuple(reading.name for reading in readings[30:])


def test_the_grounds_of_a_count_are_the_elements_that_it_looked_at() -> None:
    readings = [*glucoses(11), *glucoses(11, first=8), *glucoses(11, first=9)]
    (alert,) = judged(counted("above: 10"), readings)
    assert alert.reading_ids == tuple(reading.name for reading in readings)
    (alert,) = judged(counted("above: 10", within="days: 7"), readings)
    assert alert.reading_ids == tuple(reading.name for reading in readings[1:])


def test_what_lies_on_the_day_judged_from_or_before_is_in_view_and_answers_nothing() -> None:
    """Yes on the 2nd and the 3rd: the 2nd is not asked, and the 3rd sees it."""
    readings = glucoses(10, 12, 10)
    (alert,) = judged(MEAN, readings, judged_from=at(2, "05:00"))
    assert (alert.first_day, alert.started_at, len(alert.reading_ids)) == (date(2026, 3, 3), at(3), 3)
    assert judged(MEAN, readings, judged_from=at(3, "23:00")) == []
    (alert,) = judged(counted("above: 9"), readings, judged_from=at(2))
    assert alert.started_at == at(3)


# -- a patient's own numbers -------------------------------------------------------------------------------------------


def test_a_patients_own_number_takes_the_place_of_the_rules() -> None:
    (alert,) = judged(MEAN, glucoses(8, 8), own={"glucose": 8})
    assert (alert.opened_at, alert.threshold_version) == (at(2), 5)
    assert judged(MEAN, glucoses(11, 11), own={"glucose": "11.5"}) == []


def test_only_the_signals_named_are_replaced() -> None:
    assert opened(EITHER, [pressure(at(1), 150, 80)], own={"systolic": 155}) == []
    assert opened(EITHER, [pressure(at(1), 150, 90)], own={"systolic": 155}) == [at(1)]


def test_a_change_has_its_own_number_by_its_direction() -> None:
    assert opened(change("rises_by: 2"), glucoses(5, 6), own={"rises_by": 1}) == [at(2)]
    assert opened(change("rises_by: 2"), glucoses(5, 7), own={"rises_by": "2.5"}) == []
    assert opened(change("falls_by: 2"), glucoses(6, 5), own={"falls_by": 1}) == [at(2)]


def test_a_count_has_its_own_number_by_its_signal() -> None:
    assert opened(counted("above: 10"), glucoses(8, 8, 8), own={"glucose": 7}) == [at(2)]


def test_nothing_measured_is_nothing_to_alert_of() -> None:
    assert judged(MEAN, []) == []
