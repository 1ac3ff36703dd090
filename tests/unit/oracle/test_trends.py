"""Trends as the oracle sees them, worked by hand: windows, figures, counts and changes, and where their answer is yes.

What is counted (readings, sittings, days) has its examples in test_trend_elements, the life of an alert in test_trend_episodes.
Glucose stands for any signal: it has no marks that depend on neighbours.
"""

from datetime import UTC, date, datetime

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

# -- windows -----------------------------------------------------------------------------------------------------------

TWO_IN_48_HOURS = rolling("count", "at_least: 2, unit: readings", over="hours: 48")
TWO_IN_2_DAYS = rolling("count", "at_least: 2, unit: readings", over="days: 2")


def test_a_reading_exactly_so_many_hours_old_is_out_of_the_window() -> None:
    assert opened(TWO_IN_48_HOURS, [glucose(at(1, "07:30"), 5), glucose(at(3, "07:30"), 5)]) == []


def test_a_reading_a_second_younger_is_in_it() -> None:
    assert opened(TWO_IN_48_HOURS, [glucose(at(1, "07:30:01"), 5), glucose(at(3), 5)]) == [at(3)]


def test_days_are_counted_with_the_elements_own() -> None:
    assert opened(TWO_IN_2_DAYS, [glucose(at(2, "03:00"), 5), glucose(at(4, "02:59:59"), 5)]) == [at(4, "02:59:59")]


def test_a_day_before_them_is_out_however_few_hours_ago_it_was() -> None:
    assert opened(TWO_IN_2_DAYS, [glucose(at(2, "02:59:59"), 5), glucose(at(3, "03:00"), 5)]) == []


@pytest.mark.parametrize(("month", "first"), [(3, 28), (10, 24)], ids=["23 hours", "25 hours"])
def test_a_window_of_days_is_as_long_as_summer_time_makes_it(month: int, first: int) -> None:
    zone = "Europe/Berlin"
    morning, night = at(first, "03:00", month=month, zone=zone), at(first + 2, "02:59:59", month=month, zone=zone)
    readings = [glucose(morning, 5), glucose(night, 5)]
    later = datetime(2026, 12, 1, tzinfo=UTC)
    assert opened(TWO_IN_2_DAYS, readings, zone=zone, now=later) == [night]
    too_early = [glucose(morning - SECOND, 5), glucose(night, 5)]
    assert opened(TWO_IN_2_DAYS, too_early, zone=zone, now=later) == []


def test_hours_are_hours_when_the_clock_is_changed() -> None:
    """Two days of clock time, 47 hours of life."""
    readings = [glucose(at(28, "06:00", zone="Europe/Berlin"), 5), glucose(at(30, "06:00", zone="Europe/Berlin"), 5)]
    assert opened(TWO_IN_48_HOURS, readings, zone="Europe/Berlin") == [readings[1].measured_at]


def test_the_days_of_elements_do_not_go_back() -> None:
    """The 11th in Auckland, after it the 10th in Los Angeles, which the trend takes for the 11th, too; then the 12th."""
    zones = ((at(1), "Pacific/Auckland"), (at(11), "America/Los_Angeles"))
    readings = [glucose(at(11, "00:00"), 5), glucose(at(11, "08:00"), 5), glucose(at(12, "20:00"), 5)]
    assert opened(TWO_IN_2_DAYS, readings[1:], zones=zones) == []
    (alert,) = judged(TWO_IN_2_DAYS, readings, zones=zones)
    assert (alert.first_day, alert.last_day) == (date(2026, 3, 11), date(2026, 3, 12))
    assert alert.reading_ids == tuple(reading.name for reading in readings)


def test_of_readings_of_one_instant_each_sees_those_before_it_by_name() -> None:
    """9 alone answers nothing, 9 and 11 are 10 on average."""
    first, second = glucose(at(1), 9, name="a"), glucose(at(1), 11, name="b")
    (alert,) = judged(MEAN, [second, first])
    assert (alert.started_at, alert.reading_ids) == (at(1), ("a", "b"))


def test_a_stretch_may_begin_and_end_at_one_instant() -> None:
    """Means of a and ab: 10; of abc: 8. The names decide."""
    one = rolling("mean", "at_least: 10, unit: mmol/L")
    (alert,) = judged(one, [glucose(at(1), 10, name="a"), glucose(at(1), 10, name="b"), glucose(at(1), 4, name="c")])
    assert (alert.state, alert.started_at, alert.resolved_at) == ("resolved", at(1), at(1))
    assert judged(one, [glucose(at(1), 10, name="c"), glucose(at(1), 10, name="b"), glucose(at(1), 4, name="a")]) == []


def test_of_two_yeses_at_one_instant_the_later_in_the_row_is_the_newest() -> None:
    (alert,) = judged(rolling("mean", "at_least: 10, unit: mmol/L"), [glucose(at(1), 10, name=name) for name in "ba"])
    assert alert.reading_ids == ("a", "b")


def test_what_begins_again_at_the_instant_of_its_end_is_a_stretch_of_its_own() -> None:
    """The means over one day: 11 on the 1st, then on the 2nd, at one instant, 4, 10 and 12."""
    ended = [
        glucose(at(1), 11),
        *(glucose(at(2), value, name=name) for name, value in (("x", 4), ("y", 16), ("z", 16))),
    ]
    (alert,) = judged(rolling("mean", "at_least: 10, unit: mmol/L", over="days: 1"), ended)
    assert (alert.opened_at, alert.deliver_at, alert.state) == (at(1), at(2), "active")


# -- statistics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statistic", "values", "is_met", "is_missed"),
    [
        ("mean", (9, 10, 12), "at_least: 10.333333, unit: mmol/L", "at_least: 10.333334, unit: mmol/L"),
        ("mean", (9, 10, 11), "at_most: 10, unit: mmol/L", "above: 10, unit: mmol/L"),
        ("highest", (9, 12, 10), "at_least: 12, unit: mmol/L", "above: 12, unit: mmol/L"),
        ("lowest", (9, 4, 10), "at_most: 4, unit: mmol/L", "below: 4, unit: mmol/L"),
        ("sd", (4, 6, 8), "at_least: 2, unit: mmol/L", "above: 2, unit: mmol/L"),
        ("sd", (4, 6, 8), "at_most: 2, unit: mmol/L", "below: 2, unit: mmol/L"),
        ("cv", (6, 8, 10), 'at_least: 25, unit: "%"', 'above: 25, unit: "%"'),
        ("cv", (4, 6, 8), 'above: 33.33, unit: "%"', 'above: 33.34, unit: "%"'),
        ("arv", (4, 9, 6), "at_least: 4, unit: mmol/L", "above: 4, unit: mmol/L"),
        ("count", (4, 4, 4), "at_least: 3, unit: readings", "above: 3, unit: readings"),
    ],
)
def test_each_statistic_is_exact_at_its_threshold(
    statistic: str, values: tuple[int, ...], is_met: str, is_missed: str
) -> None:
    needed = 2 if statistic == "arv" else 3
    assert opened(rolling(statistic, is_met, needed=needed), glucoses(*values)) == [at(3)]
    assert opened(rolling(statistic, is_missed, needed=needed), glucoses(*values)) == []


def test_values_are_compared_as_millionths() -> None:
    highest = rolling("highest", "above: 10, unit: mmol/L")
    assert opened(highest, glucoses("10.0000005")) == []
    assert opened(highest, glucoses("10.0000006")) == [at(1)]


def test_a_spread_is_of_values_rounded_down_to_thousandths() -> None:
    """Unrounded the SD of 4, 6, 8.0009 is above 2, and that of 4.0009, 6, 8 below it."""
    assert opened(rolling("sd", "above: 2, unit: mmol/L", needed=3), glucoses(4, 6, "8.0009")) == []
    assert opened(rolling("sd", "at_least: 2, unit: mmol/L", needed=3), glucoses("4.0009", 6, 8)) == [at(3)]
    assert opened(rolling("cv", 'above: 25, unit: "%"', needed=3), glucoses(6, 8, "10.0009")) == []


def test_the_threshold_of_an_sd_is_in_thousandths_and_that_of_a_cv_in_hundredths() -> None:
    assert opened(rolling("sd", "at_least: 2.0004, unit: mmol/L", needed=3), glucoses(4, 6, 8)) == [at(3)]
    assert opened(rolling("sd", "at_least: 2.0006, unit: mmol/L", needed=3), glucoses(4, 6, 8)) == []
    assert opened(rolling("cv", 'at_least: 25.004, unit: "%"', needed=3), glucoses(6, 8, 10)) == [at(3)]
    assert opened(rolling("cv", 'at_least: 25.006, unit: "%"', needed=3), glucoses(6, 8, 10)) == []


def test_a_spread_is_never_below_nothing() -> None:
    assert opened(rolling("sd", "at_least: -1, unit: mmol/L", needed=2), glucoses(5, 5)) == [at(2)]
    assert opened(rolling("sd", "below: -1, unit: mmol/L", needed=2), glucoses(5, 5)) == []
    assert opened(rolling("sd", "at_most: -1, unit: mmol/L", needed=2), glucoses(5, 5)) == []


@pytest.mark.parametrize("statistic", ["sd", "cv"])
def test_one_value_has_no_spread(statistic: str) -> None:
    unit = '"%"' if statistic == "cv" else "mmol/L"
    assert opened(rolling(statistic, f"at_least: 0, unit: {unit}"), glucoses(5)) == []
    assert opened(rolling(statistic, f"at_least: 0, unit: {unit}"), glucoses(5, 5)) == [at(2)]


def test_with_fewer_elements_than_it_needs_a_window_answers_nothing() -> None:
    assert opened(rolling("mean", "at_least: 10, unit: mmol/L", needed=3), glucoses(12, 12)) == []
    assert opened(rolling("mean", "at_least: 10, unit: mmol/L", needed=3), glucoses(12, 12, 12)) == [at(3)]


def test_the_average_of_steps_needs_so_many_pairs() -> None:
    two_pairs = rolling("arv", "at_least: 3, unit: mmol/L", needed=2)
    assert opened(two_pairs, glucoses(4, 8)) == []
    assert opened(two_pairs, glucoses(4, 8, 6)) == [at(3)]


def test_a_step_into_the_window_is_not_in_it() -> None:
    """Of the steps 6, 1, 1 the first leads from before the three days."""
    steps = rolling("arv", "at_least: 2, unit: mmol/L", needed=2, over="days: 3")
    assert opened(steps, glucoses(4, 10, 9, 10)) == [at(3)]
    (alert,) = judged(steps, glucoses(4, 10, 9, 10))
    assert (alert.state, alert.resolved_at) == ("resolved", at(4))


# -- count_of_last -----------------------------------------------------------------------------------------------------


def test_so_many_of_the_last_few() -> None:
    assert opened(counted("above: 10"), glucoses(11, 9, 11)) == [at(3)]
    assert opened(counted("above: 10"), glucoses(11, 9, 9, 11)) == []


def test_enough_of_them_are_a_yes_however_few_there_are() -> None:
    assert opened(counted("above: 10"), glucoses(11, 11)) == [at(2)]
    assert opened(counted("above: 10"), glucoses(11, 4)) == []


def test_it_is_a_no_only_with_as_many_as_are_named() -> None:
    """Fallen below on the 3rd, which nobody can tell before there are three in view."""
    within = counted("above: 10", within="days: 3")
    (alert,) = judged(within, [*glucoses(11, 11), *glucoses(4, first=10), *glucoses(4, 4, first=11)])
    assert (alert.started_at, alert.resolved_at) == (at(2), at(12))


def test_an_element_too_old_does_not_count() -> None:
    within = counted("above: 10", within="days: 7")
    assert opened(within, [*glucoses(11, 11), *glucoses(4, first=20)]) == [at(2)]
    assert opened(within, [*glucoses(11), *glucoses(4, 11, first=8)]) == []
    assert opened(within, [*glucoses(11), *glucoses(4, first=6), *glucoses(11, first=7)]) == [at(7)]
    assert opened(within, [*glucoses(11), *glucoses(4, first=7), *glucoses(11, first=8)]) == []


def test_within_hours_leaves_out_what_is_exactly_as_old() -> None:
    within = counted("above: 10", needed=2, of_last=2, within="hours: 24")
    assert opened(within, glucoses(11, 11)) == []
    assert opened(within, [glucose(at(1, "07:30:01"), 11), glucose(at(2), 11)]) == [at(2)]


def test_its_end_is_counted_anew_with_the_thresholds_moved() -> None:
    """9 is no longer above 10, and still above 8."""
    (alert,) = judged(counted("above: 10"), glucoses(4, 11, 11, 9, 9), below_by=2)
    assert (alert.state, alert.last_day) == ("active", date(2026, 3, 4))
    (alert,) = judged(counted("above: 10"), glucoses(4, 11, 11, 9, 8, 8), below_by=2)
    assert alert.resolved_at == at(6)
    (alert,) = judged(counted("above: 10"), glucoses(4, 11, 11, 9, 8), below_by=2)
    assert alert.state == "active"


@pytest.mark.parametrize("word", ["above", "at_least"])
def test_an_element_exactly_the_distance_away_is_good(word: str) -> None:
    (alert,) = judged(counted(f"{word}: 10", needed=1, of_last=1), glucoses(11, 8), below_by=2)
    assert alert.resolved_at == at(2)


def test_any_of_the_conditions_counts_an_element_once() -> None:
    either = "kind: count_of_last, needed: 2, of_last: 2, within: {days: 9}, any_of: " + EITHER.partition("any_of: ")[2]
    assert opened(either, [pressure(at(1), 150, 95), pressure(at(2), 130, 80)]) == []
    assert opened(either, [pressure(at(1), 150, 80), pressure(at(2), 130, 95)]) == [at(2)]


# -- change ------------------------------------------------------------------------------------------------------------


def test_a_rise_is_from_the_lowest_in_the_window() -> None:
    assert opened(change("rises_by: 2"), glucoses(6, 5, "6.9")) == []
    assert opened(change("rises_by: 2"), glucoses(6, 5, 7)) == [at(3)]
    assert opened(change("rises_by: 2"), [*glucoses(5, 6), *glucoses(7, first=4)]) == []


def test_a_fall_is_from_the_highest_in_the_window() -> None:
    assert opened(change("falls_by: 2"), glucoses(8, 9, "7.1")) == []
    assert opened(change("falls_by: 2"), glucoses(8, 9, 7)) == [at(3)]
    assert opened(change("falls_by: 2"), glucoses(5, 7)) == []


def test_a_change_within_hours() -> None:
    assert opened(change("rises_by: 2", "hours: 24"), glucoses(5, 7)) == []
    assert opened(change("rises_by: 2", "hours: 25"), glucoses(5, 7)) == [at(2)]


def test_a_change_takes_two() -> None:
    """The reading alone on the 9th is no end."""
    (alert,) = judged(change("rises_by: 2"), [*glucoses(5, 7), *glucoses(7, first=9)])
    assert alert.state == "active"


def test_a_rise_ends_when_it_is_that_much_smaller() -> None:
    (alert,) = judged(change("rises_by: 2"), [*glucoses(5, 7, "6.500001")], below_by="0.5")
    assert alert.state == "active"
    (alert,) = judged(change("rises_by: 2"), [*glucoses(5, 7, "6.5")], below_by="0.5")
    assert alert.resolved_at == at(3)
    (alert,) = judged(change("rises_by: 2"), [*glucoses(5, 7, 7)])
    assert (alert.state, alert.last_day) == ("active", date(2026, 3, 3))
    (alert,) = judged(change("falls_by: 2"), [*glucoses(7, 5, "5.5")], below_by="0.5")
    assert alert.resolved_at == at(3)


def test_a_rise_ends_when_what_it_rose_from_is_out_of_view() -> None:
    (alert,) = judged(change("rises_by: 2"), glucoses(5, 7, 7, 7))
    assert (alert.last_day, alert.resolved_at) == (date(2026, 3, 3), at(4))
