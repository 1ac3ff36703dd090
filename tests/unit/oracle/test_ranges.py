"""The oracle's answer to rules about closed days of glucose: what each figure is, when it can be said, how long it lasts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from unit.oracle.glucose_cases import MINUTE, judged, row, text_of, worn
from unit.oracle.trend_cases import at

from server.oracle.glucose_rules import LastingRule, RangeRule
from server.oracle.rules import reach_days, rules_of
from server.oracle.shapes import OracleReading
from vitals.errors import MalformedError

IN_RANGE = "signal: sensor_glucose, statistic: share, range: {from: 70, to: 180, unit: mg/dL}, unit: '%'"


def share(condition: str = "below: 70", *, days: int = 1, percent: int = 1) -> str:
    return f"kind: range_share, {IN_RANGE}, over: {{days: {days}}}, sufficient_percent: {percent}, {condition}"


def of(statistic: str, condition: str, unit: str = "index", *, days: int = 1) -> str:
    return (
        f"kind: range_share, signal: sensor_glucose, statistic: {statistic}, over: {{days: {days}}},"
        f" sufficient_percent: 1, {condition}, unit: '{unit}'"
    )


def day(number: int, *values: object) -> list[OracleReading]:
    """The values of one day, five minutes apart."""
    return row(at(number, "12:00"), values)


def test_a_share_counts_both_ends_of_its_range_and_hi_and_lo_are_outside() -> None:
    values = (70, 180, 69.999999, 180.000001, "HI", "LO")
    assert len(judged(share("at_most: 33.333334"), day(3, *values))) == 1
    assert judged(share("below: 33.333333"), day(3, *values)) == []


@pytest.mark.parametrize(
    ("band", "values"),
    [("below: 70", (69.9, "LO", 70, "HI")), ("above: 180", (180.1, "HI", 180, "LO"))],
)
def test_a_share_below_or_above_counts_neither_the_limit_nor_the_other_side(
    band: str, values: tuple[object, ...]
) -> None:
    when = share("at_least: 50").replace("from: 70, to: 180", band)
    assert len(judged(when, day(3, *values))) == 1
    assert judged(when.replace("at_least: 50", "above: 50"), day(3, *values)) == []


def test_it_is_said_at_the_close_of_the_day_and_told_at_eight() -> None:
    (alert,) = judged(share(), day(3, 200, 200, 100))
    assert (alert.opened_at, alert.deliver_at) == (at(4, "03:00"), at(4, "08:00"))
    assert (alert.first_day, alert.last_day, alert.evidence_at) == (at(3).date(), at(3).date(), at(4, "03:00"))
    assert alert.fresh_until == at(11, "03:00")
    assert (alert.tells, alert.tells_late, len(alert.reading_ids)) == (("doctor",), (), 3)
    assert judged(share(), day(3, 200), now=at(4, "02:59")) == []


def test_quarter_hours_are_counted_once_and_by_the_clock() -> None:
    two = [worn(at(3, "12:00"), 200), worn(at(3, "12:14"), 200), worn(at(3, "12:15"), 200)]
    assert len(judged(share(percent=2), two)) == 1, "2 of 96"
    assert judged(share(percent=3), two) == []


def test_too_little_neither_begins_nor_ends() -> None:
    when = share(percent=2)
    readings = [*day(3, 200, 200, 200, 200), *day(4, 100)]
    (alert,) = judged(when, readings)
    assert (alert.state, alert.last_day) == ("active", at(3).date())
    (alert,) = judged(when, [*readings, *day(5, 100, 100, 100, 100)])
    assert (alert.state, alert.resolved_at) == ("resolved", at(6, "03:00"))


def test_it_ends_below_by_on_the_good_side_and_goes_on_within_seven_days() -> None:
    readings = [*day(3, 200), *day(4, 100, 100, 100, 200), *day(5, 100), *day(12, 200)]
    (alert,) = judged(share(), readings, resolve="below_by: 10")
    assert (alert.state, alert.last_day) == ("active", at(12).date())
    assert alert.deliver_at == at(13, "08:00"), "of the newest stretch"
    assert judged(share(), readings[:5], resolve="below_by: 10")[0].state == "active", "75 is not 80"
    first, second = judged(share(), [*readings[:6], *day(13, 200)], resolve="below_by: 10")
    assert (first.resolved_at, second.opened_at) == (at(6, "03:00"), at(14, "03:00"))


def test_the_window_is_of_the_last_days_and_the_grounds_are_of_the_newest() -> None:
    readings = [*row(at(3, "12:00"), (200, 200), every=20 * MINUTE), *day(4, 100), *day(5, 100)]
    (alert,) = judged(share("below: 60", days=2), readings)
    assert (alert.first_day, alert.last_day, alert.state) == (at(3).date(), at(4).date(), "resolved")
    assert alert.reading_ids == (readings[2].name,)
    assert alert.resolved_at == at(6, "03:00")


def test_a_mean_and_a_gmi_are_exact_and_know_no_hi() -> None:
    values = day(3, 100, 201, "HI", "LO")
    assert len(judged(of("mean", "at_least: 150.5", "mg/dL"), values)) == 1
    assert judged(of("mean", "above: 150.5", "mg/dL"), values) == []
    assert len(judged(of("gmi", "at_most: 6.90996", "%"), values)) == 1
    assert judged(of("gmi", "below: 6.90996", "%"), values) == []
    assert judged(of("mean", "at_least: 0", "mg/dL"), day(3, "HI")) == [], "no number, no mean"


def test_a_cv_takes_two() -> None:
    assert judged(of("cv", "at_least: 0", "%"), day(3, 100)) == []
    assert len(judged(of("cv", "at_least: 47.14", "%"), day(3, 100, 200))) == 1
    assert judged(of("cv", "at_least: 47.15", "%"), day(3, 100, 200)) == []


def test_limits_and_distances_are_rounded_to_what_a_cv_is_compared_in() -> None:
    """The CV of 100, 150 and 200 is 33.333… %; hundredths decide."""
    assert len(judged(of("cv", "above: 33.334", "%"), day(3, 100, 150, 200))) == 1
    assert judged(of("cv", "above: 33.336", "%"), day(3, 100, 150, 200)) == []
    high, lower = day(3, 100, 200), day(4, 100, 150, 200)
    (alert,) = judged(of("cv", "above: 33.34", "%"), [*high, *lower], resolve="below_by: 0.004")
    assert alert.state == "resolved"
    (alert,) = judged(of("cv", "above: 33.34", "%"), [*high, *lower], resolve="below_by: 0.01")
    assert alert.state == "active"


def test_exactly_as_much_as_is_written_is_enough() -> None:
    """24 of the 96 quarter hours are a quarter."""
    worn_on = row(at(3, "12:00"), [60] * 24, every=15 * MINUTE)
    assert len(judged(share(percent=25), worn_on)) == 1
    assert judged(share(percent=25), worn_on[1:]) == []


def test_the_newest_hundred_readings_are_named() -> None:
    readings = day(3, *[60] * 101)
    (alert,) = judged(share(), readings)
    assert alert.reading_ids == tuple(reading.name for reading in readings[1:])


def test_a_gri_weighs_each_band_and_ends_at_a_hundred() -> None:
    values = (53, "LO", 54, 69, 70, 180, 181, 250, 251, "HI")
    weighted = (3 * 20) + (2.4 * 20) + (1.6 * 20) + (0.8 * 20)
    assert weighted > 100
    assert len(judged(of("gri", "at_least: 100"), day(3, *values))) == 1
    assert judged(of("gri", "above: 100"), day(3, *values)) == []
    half = (*values, *[100] * 10)
    assert len(judged(of("gri", f"at_least: {weighted / 2}"), day(3, *half))) == 1
    assert judged(of("gri", f"above: {weighted / 2}"), day(3, *half)) == []


@pytest.mark.parametrize(
    ("statistic", "value", "low", "high"),
    # 10 * (1.509 * (ln(BG)^1.084 - 5.381))^2, worked out by hand (Kovatchev 1997)
    [
        ("lbgi", 50, 22.4, 22.6),
        ("hbgi", 50, None, 0),
        ("hbgi", 400, 57.0, 57.1),
        ("lbgi", 400, None, 0),
        ("lbgi", 0.5, 650, 670),
    ],
)
def test_the_risk_of_one_value(statistic: str, value: float, low: float | None, high: float) -> None:
    values = [worn(at(3, "12:00"), value, glucose_mmol_l=5)]
    assert judged(of(statistic, f"above: {high}"), values) == []
    assert low is None or len(judged(of(statistic, f"above: {low}"), values)) == 1


def test_finger_sticks_need_readings_and_days() -> None:
    when = (
        "kind: range_share, signal: glucose, statistic: mean, over: {days: 3}, min_readings: 3, min_days: 2,"
        " above: 126, unit: mg/dL"
    )
    one_day = row(at(3, "12:00"), (200, 200, 200), kind="glucose")
    assert judged(when, one_day) == []
    assert judged(when, [*one_day[:1], *row(at(4, "12:00"), (200, "HI"), kind="glucose")]) == [], "HI is no number"
    (alert,) = judged(when, [*one_day, *row(at(4, "12:00"), (200,), kind="glucose")])
    assert alert.first_day == at(4).date()


def test_what_is_doubtful_is_not_used() -> None:
    readings = [worn(at(3), 200, time_quality="suspect"), worn(at(3), 200, time_quality="orphan")]
    readings += [worn(at(3), 200, status=1 << 2), worn(at(3), 900.1, glucose_mmol_l=50.1)]
    assert judged(share("at_most: 100"), readings) == []


def test_a_number_of_ones_own_takes_the_place_of_the_rules() -> None:
    (alert,) = judged(share(), day(3, 200, 100, 100, 100), own=80)
    assert alert.threshold_version == 5


def test_days_up_to_the_view_are_only_looked_at() -> None:
    readings = [*day(3, 200), *day(4, 100)]
    assert judged(share("below: 60", days=2), readings, judged_from=at(3, "12:00"))[0].first_day == at(4).date()
    assert judged(share("below: 60", days=2), readings, judged_from=at(4, "12:00")) == []


def test_a_date_that_is_lived_twice_is_one_day() -> None:
    zones = ((datetime(2020, 1, 1, tzinfo=UTC), "Pacific/Auckland"), (at(4, "00:00"), "America/Los_Angeles"))
    readings = [worn(at(2, "23:00"), 200), worn(at(4, "02:00"), 200), worn(at(4, "09:00"), 100)]
    (alert,) = judged(share("at_most: 67"), readings, zones=zones)
    assert (alert.first_day, len(alert.reading_ids)) == (at(3).date(), 3)


@pytest.mark.parametrize(
    "changed",
    [
        {"share": "tir"},
        {"'%'": "mg/dL"},
        {"sensor_glucose": "weight"},
        {"sufficient_percent: 1,": ""},
        {"range: {from: 70, to: 180, unit: mg/dL}, ": ""},
        {"from: 70, to: 180": "from: 70"},
        {"unit: mg/dL": "unit: kg"},
        {"below: 70": "below: 70, above: 3"},
        {"sufficient_percent: 1": "sufficient_percent: 1, min_readings: 3"},
        {"over: {days: 1}": "over: {hours: 24}"},
        {"statistic: share": "statistic: mean"},
    ],
)
def test_what_the_oracle_does_not_understand_it_refuses(changed: dict[str, str]) -> None:
    ((old, new),) = changed.items()
    assert old in share()
    with pytest.raises(MalformedError, match="teach it first"):
        rules_of(text_of(share().replace(old, new)))


@pytest.mark.parametrize("statistic", ["gmi", "gri"])
def test_finger_sticks_have_no_such_index(statistic: str) -> None:
    unit: Any = "%" if statistic == "gmi" else "index"
    written = of(statistic, "above: 7", unit).replace("sensor_glucose", "glucose")
    with pytest.raises(MalformedError):
        rules_of(text_of(written.replace("sufficient_percent: 1", "min_readings: 3, min_days: 2")))


def test_how_far_back_they_look() -> None:
    (shares,) = rules_of(text_of(share(days=14)))
    lasting = "kind: lasting, signal: sensor_glucose, below: 54, unit: mg/dL, minutes: 15, gap_minutes: 45"
    (lasts,) = rules_of(text_of(lasting, "by: time"))
    assert isinstance(shares, RangeRule)
    assert isinstance(lasts, LastingRule)
    assert (reach_days((shares,)), reach_days((lasts,))) == (14, 2)
    assert timedelta(minutes=lasts.gap_minutes) == timedelta(minutes=45)
