"""What a trend counts, by the oracle: which readings are usable, and what sittings, days and firsts are made of them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from unit.oracle.trend_cases import ENROLLED, SECOND, at, glucose, judged, opened, pressure

from server.oracle.shapes import OracleReading
from vitals.quality import CUFF_LOOSE, GLUCOSE_REJECTING


def count(signal: str, at_least: int, *, of: str = "readings", over: str = "days: 90") -> str:
    return (
        f"kind: rolling, statistic: count, of: {of}, over: {{{over}}}, min_readings: 1,"
        f" any_of: [{{signal: {signal}, at_least: {at_least}, unit: readings}}]"
    )


def each(of: str, condition: str, *, signal: str = "systolic", unit: str = "mmHg") -> str:
    """Every element by itself."""
    count = f"kind: count_of_last, of: {of}, needed: 1, of_last: 1, within: {{days: 9}}"
    return f"{count}, any_of: [{{signal: {signal}, {condition}, unit: {unit}}}]"


def are_used(*readings: OracleReading, signal: str = "glucose") -> bool:
    """All of them: there is a count of so many, and of no more."""
    is_so_many = bool(judged(count(signal, len(readings)), list(readings)))
    assert not judged(count(signal, len(readings) + 1), list(readings))
    return is_so_many


# -- which readings ----------------------------------------------------------------------------------------------------


def test_an_accepted_reading_is_used() -> None:
    assert are_used(glucose(at(1), 5), glucose(at(2), 5))


@pytest.mark.parametrize(
    "more",
    [
        {"time_quality": "orphan"},
        {"time_quality": "suspect"},
        {"is_control": True},
        {"status": GLUCOSE_REJECTING},
        {"is_censored": True},
        {"glucose_mmol_l": None, "is_censored": True},
        {"glucose_mmol_l": None},
    ],
    ids=str,
)
def test_a_glucose_that_is_no_number_or_cannot_be_trusted_is_in_no_trend(more: dict[str, Any]) -> None:
    fields = {"mmol_l": 5} | more
    odd = glucose(at(2), fields.pop("glucose_mmol_l", fields.pop("mmol_l")), **fields)
    assert not are_used(glucose(at(1), 5), odd)


def test_hi_between_two_numbers_leaves_them_neighbours() -> None:
    """The steps of 5, HI, 6 are one step of 1."""
    steps = (
        "kind: rolling, statistic: arv, over: {days: 9}, min_readings: 1,"
        " any_of: [{signal: glucose, at_least: 1, unit: mmol/L}]"
    )
    assert opened(steps, [glucose(at(1), 5), glucose(at(2), None, is_censored=True), glucose(at(3), 6)]) == [at(3)]


@pytest.mark.parametrize("time_quality", ["orphan", "suspect"])
def test_a_pressure_of_doubtful_time_is_in_no_trend(time_quality: str) -> None:
    assert not are_used(pressure(at(1), 120), pressure(at(2), 120, time_quality=time_quality), signal="systolic")


def test_a_pressure_is_used_by_its_final_quality() -> None:
    """Taken within 45 seconds of another it is doubted; a cuff that says it was loose is not believed."""
    assert not are_used(pressure(at(2), 120), pressure(at(2) + 44 * SECOND, 120), signal="systolic")
    assert are_used(pressure(at(2), 120), pressure(at(2) + 45 * SECOND, 120), signal="systolic")
    assert not are_used(pressure(at(2), 120), pressure(at(3), 120, status=CUFF_LOOSE), signal="systolic")


def test_two_doubtful_pressures_that_agree_are_used() -> None:
    assert are_used(pressure(at(2), 262), pressure(at(2, "08:00"), 265), signal="systolic")
    assert not are_used(pressure(at(2), 262), pressure(at(4), 265), signal="systolic")


def test_a_pulse_is_counted_where_there_is_one() -> None:
    assert are_used(pressure(at(1), 120, pulse_bpm=70), pressure(at(2), 120, pulse_bpm=72), signal="pulse")
    assert not are_used(pressure(at(1), 120, pulse_bpm=70), pressure(at(2), 120), signal="pulse")


def test_a_pulse_answers_by_itself_beside_the_pressures() -> None:
    """The inflation without a pulse ends what was high about the pressure, and the pulse goes on."""
    rule = (
        "kind: rolling, statistic: highest, over: {days: 1}, min_readings: 1, any_of:"
        " [{signal: systolic, above: 140, unit: mmHg}, {signal: pulse, above: 100, unit: bpm}]"
    )
    readings = [pressure(at(1), 150, pulse_bpm=70), pressure(at(2), 120, pulse_bpm=110), pressure(at(3), 120)]
    (alert,) = judged(rule, readings)
    assert (alert.started_at, alert.state, alert.evidence_at) == (at(1), "active", at(2))


def test_the_day_of_enrolment_is_a_warm_up_for_pressures() -> None:
    day = {"enrolled_on": date(2026, 3, 2)}
    readings = [pressure(at(1), 150, pulse_bpm=70), pressure(at(3, "02:59:59"), 150, pulse_bpm=70)]
    for signal in ("systolic", "diastolic", "pulse"):
        assert opened(count(signal, 1), readings, **day) == []
        assert opened(count(signal, 1), [pressure(at(3, "03:00"), 150, pulse_bpm=70)], **day) == [at(3, "03:00")]


def test_other_signals_are_used_from_the_first() -> None:
    assert opened(count("glucose", 1), [glucose(at(1), 5)], enrolled_on=date(2026, 3, 2)) == [at(1)]


def test_glucose_is_compared_in_the_unit_of_the_rule() -> None:
    """A meter's 180 mg/dL is 9.99 mmol/L; what it has in one unit alone is not converted."""
    reading = glucose(at(1), "9.99", glucose_mg_dl=180)
    assert opened(each("readings", "at_least: 180", signal="glucose", unit="mg/dL"), [reading]) == [at(1)]
    assert opened(each("readings", "at_least: 10", signal="glucose", unit="mmol/L"), [reading]) == []
    assert opened(each("readings", "at_least: 1", signal="glucose", unit="mg/dL"), [glucose(at(1), 10)]) == []


# -- sittings ----------------------------------------------------------------------------------------------------------


def test_a_sitting_counts_when_ten_minutes_have_passed() -> None:
    readings = [pressure(at(1, "07:30"), 150), pressure(at(1, "07:32"), 150)]
    rule = each("sittings", "above: 140")
    assert opened(rule, readings, now=at(1, "07:41:59")) == []
    (alert,) = judged(rule, readings, now=at(1, "07:42"))
    assert (alert.opened_at, alert.deliver_at, alert.evidence_at) == (at(1, "07:42"),) * 3
    assert alert.reading_ids == (readings[0].name, readings[1].name)


def test_a_reading_of_any_quality_keeps_a_sitting_going() -> None:
    readings = [pressure(at(1, "07:30"), 150), pressure(at(1, "07:35"), 150, status=CUFF_LOOSE)]
    (alert,) = judged(each("sittings", "above: 140"), readings)
    assert (alert.opened_at, alert.reading_ids) == (at(1, "07:45"), (readings[0].name,))


def test_a_reading_of_doubtful_time_does_not() -> None:
    readings = [pressure(at(1, "07:30"), 150), pressure(at(1, "07:35"), 150, time_quality="suspect")]
    assert opened(each("sittings", "above: 140"), readings) == [at(1, "07:40")]


def test_a_sitting_without_an_accepted_reading_is_none() -> None:
    assert opened(each("sittings", "above: 140"), [pressure(at(1), 150, status=CUFF_LOOSE)]) == []


def test_the_value_of_a_sitting_is_a_mean_to_the_millionth() -> None:
    """140, 141, 140 without the first is 140.5; 421/3 is 140.333333."""
    three = [pressure(at(1, f"07:3{minute}"), value) for minute, value in enumerate((180, 141, 140))]
    assert opened(each("sittings", "at_least: 140.5"), three) == [at(1, "07:42")]
    assert opened(each("sittings", "above: 140.5"), three) == []
    four = [pressure(at(1, f"07:3{minute}"), value) for minute, value in enumerate((150, 140, 140, 141))]
    assert opened(each("sittings", "at_least: 140.333333"), four) == [at(1, "07:43")]
    assert opened(each("sittings", "above: 140.333333"), four) == []


def test_the_grounds_of_a_sitting_are_all_its_accepted_readings() -> None:
    three = [pressure(at(1, f"07:3{minute}"), value) for minute, value in enumerate((155, 150, 150))]
    (alert,) = judged(each("sittings", "above: 140"), three)
    assert alert.reading_ids == tuple(reading.name for reading in three)


def test_a_sitting_is_of_the_day_of_its_first_reading() -> None:
    readings = [pressure(at(2, "02:58"), 150), pressure(at(2, "03:04"), 150)]
    (alert,) = judged(each("sittings", "above: 140"), readings)
    assert (alert.first_day, alert.opened_at) == (date(2026, 3, 1), at(2, "03:14"))
    assert judged(each("sittings", "above: 140"), readings, enrolled_on=date(2026, 3, 1)) == []


def test_the_last_two_sittings() -> None:
    low = (
        "kind: count_of_last, of: sittings, needed: 2, of_last: 2, within: {days: 7},"
        " any_of: [{signal: systolic, below: 90, unit: mmHg}]"
    )
    one_sitting = [pressure(at(1, "07:30"), 85), pressure(at(1, "07:35"), 85)]
    assert opened(low, one_sitting) == []
    assert opened(low, [*one_sitting, pressure(at(1, "20:00"), 88)]) == [at(1, "20:10")]
    assert opened(low, [*one_sitting, pressure(at(8, "20:00"), 88)]) == []


# -- days --------------------------------------------------------------------------------------------------------------


def test_a_day_counts_when_it_is_closed_and_is_told_at_eight() -> None:
    readings = [pressure(at(1, "07:30"), 150), pressure(at(1, "20:00"), 134)]
    rule = each("days", "at_least: 142")
    assert opened(rule, readings, now=at(2, "02:59:59")) == []
    (alert,) = judged(rule, readings, now=at(2, "03:00"))
    assert (alert.started_at, alert.opened_at, alert.deliver_at) == (at(2, "03:00"), at(2, "03:00"), at(2, "08:00"))
    assert (alert.first_day, alert.last_day, alert.evidence_at) == (date(2026, 3, 1), date(2026, 3, 1), at(2, "03:00"))
    assert alert.reading_ids == tuple(reading.name for reading in readings)


def test_every_sitting_of_a_day_weighs_the_same() -> None:
    """(150 + 150) / 2 and 130: 140, not 143.3."""
    readings = [pressure(at(1, "07:30"), 150), pressure(at(1, "07:32"), 150), pressure(at(1, "20:00"), 130)]
    assert opened(each("days", "at_least: 140"), readings) == [at(2, "03:00")]
    assert opened(each("days", "above: 140"), readings) == []


def test_days_ends_with_the_close_of_a_good_day() -> None:
    (alert,) = judged(each("days", "above: 140"), [pressure(at(1), 150), pressure(at(3), 120)])
    assert (alert.resolved_at, alert.fresh_until) == (at(4, "03:00"), at(9, "03:00"))


def test_a_day_that_begins_again_is_told_at_its_own_eight() -> None:
    readings = [pressure(at(1), 150), pressure(at(3), 120), pressure(at(5), 150)]
    (alert,) = judged(each("days", "above: 140"), readings)
    assert (alert.opened_at, alert.deliver_at, alert.state) == (at(2, "03:00"), at(6, "08:00"), "active")


def test_the_warm_up_day_is_no_day() -> None:
    assert opened(each("days", "above: 140"), [pressure(at(1), 150)], enrolled_on=date(2026, 3, 1)) == []
    assert opened(each("days", "above: 140"), [pressure(at(2), 150)], enrolled_on=date(2026, 3, 1)) == [at(3, "03:00")]


@pytest.mark.parametrize(("month", "day", "utc"), [(3, 28, "01:00"), (10, 24, "02:00")])
def test_a_day_closes_at_three_of_the_wall_clock(month: int, day: int, utc: str) -> None:
    """The night in which Berlin changes its clocks."""
    zone, later = "Europe/Berlin", datetime(2026, 12, 1, tzinfo=UTC)
    (alert,) = judged(each("days", "above: 140"), [pressure(at(day, month=month), 150)], zone=zone, now=later)
    assert alert.opened_at == at(day + 1, utc, month=month)
    assert alert.deliver_at == at(day + 1, "08:00", month=month, zone=zone)
    assert alert.fresh_until == at(5 if month == 3 else 1, "03:00", month=month + 1, zone=zone)


def test_grounds_of_days_are_in_order_of_time() -> None:
    two = (
        "kind: rolling, statistic: mean, of: days, over: {days: 2}, min_readings: 2,"
        " any_of: [{signal: systolic, above: 140, unit: mmHg}]"
    )
    readings = [pressure(at(1, clock), 150) for clock in ("07:30", "07:32", "20:00")] + [pressure(at(2), 150)]
    (alert,) = judged(two, readings[::-1])
    assert (alert.opened_at, alert.reading_ids) == (at(3, "03:00"), tuple(reading.name for reading in readings))


# -- firsts ------------------------------------------------------------------------------------------------------------


def test_the_first_of_a_day_is_the_earliest_that_is_usable() -> None:
    readings = [
        glucose(at(1, "06:00"), None, is_censored=True),
        glucose(at(1, "07:00"), 5),
        glucose(at(1, "08:00"), 11),
    ]
    rule = each("first_of_day", "above: 10", signal="glucose", unit="mmol/L")
    assert opened(rule, readings) == []
    assert opened(rule, [readings[0], readings[2]]) == [at(1, "08:00")]


def test_a_day_and_so_its_first_begins_at_three() -> None:
    readings = [glucose(at(2, "02:59:59"), 11), glucose(at(2, "03:00"), 5)]
    (alert,) = judged(each("first_of_day", "above: 10", signal="glucose", unit="mmol/L"), readings)
    assert (alert.first_day, alert.resolved_at) == (date(2026, 3, 1), at(2, "03:00"))


def test_of_two_at_one_instant_the_name_says_which_is_first() -> None:
    rule = each("first_of_day", "above: 10", signal="glucose", unit="mmol/L")
    assert opened(rule, [glucose(at(1), 5, name="b"), glucose(at(1), 11, name="a")]) == [at(1)]
    assert opened(rule, [glucose(at(1), 5, name="a"), glucose(at(1), 11, name="b")]) == []


def test_a_first_counts_though_the_day_is_not_over() -> None:
    rule = each("first_of_day", "above: 10", signal="glucose", unit="mmol/L")
    assert opened(rule, [glucose(at(1), 11)], now=at(1)) == [at(1)]


@pytest.mark.parametrize(
    ("clock", "is_morning"), [("03:00", True), ("11:59:59", True), ("12:00", False), ("20:00", False)]
)
def test_a_morning_ends_at_noon(clock: str, is_morning: bool) -> None:
    rule = each("first_of_morning", "above: 10", signal="glucose", unit="mmol/L")
    assert opened(rule, [glucose(at(1, clock), 11)]) == [at(1, clock)] * is_morning


def test_noon_is_that_of_the_patients_wall_clock() -> None:
    rule = each("first_of_morning", "above: 10", signal="glucose", unit="mmol/L")
    assert opened(rule, [glucose(at(1, "04:00"), 11)], zone="Asia/Shanghai") == []
    assert opened(rule, [glucose(at(1, "03:59:59"), 11)], zone="Asia/Shanghai") == [at(1, "03:59:59")]


def test_the_hours_after_midnight_are_no_morning() -> None:
    rule = each("first_of_morning", "above: 10", signal="glucose", unit="mmol/L")
    assert opened(rule, [glucose(at(2, "00:20"), 11)]) == []


def test_a_second_reading_of_the_morning_is_not_its_first() -> None:
    """Nor is the first of the afternoon the first of the morning."""
    rule = each("first_of_morning", "above: 10", signal="glucose", unit="mmol/L")
    assert opened(rule, [glucose(at(1, "07:00"), 5), glucose(at(1, "08:00"), 11)]) == []


def test_pressures_may_be_firsts_too() -> None:
    rule = each("first_of_morning", "above: 140")
    assert opened(rule, [pressure(at(1), 150)]) == [at(1)]
    assert opened(rule, [pressure(at(1), 150)], enrolled_on=ENROLLED + timedelta(days=28)) == []
