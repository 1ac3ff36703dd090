"""Rules about what the glucose of the last closed days comes to: sufficiency, each figure, and the life of an episode."""

from datetime import UTC, date, datetime, timedelta
from itertools import cycle, islice
from time import perf_counter
from typing import Any

import pytest
from pydantic import ValidationError
from unit.rules.glucose_cases import BERLIN, DAY, HOUR, MIDNIGHT, MINUTE, RULE, found, rule, sensor, stick, worn

from server.rules.engine import judge, reach_days
from server.rules.episodes import Finding
from server.rules.own_numbers import Number, numbers_of
from server.rules.rule import LastingRule, RangeShareRule, RuleSet
from server.rules.windows import PatientHistory, Row, ZoneSpan, window_of
from vitals.errors import MalformedError

IN_RANGE = "kind: range_share, signal: sensor_glucose, statistic: share, range: {from: 70, to: 180, unit: mg/dL}"
ONE_DAY = "over: {days: 1}, sufficient_percent: 70"
LESS_THAN_70 = f"{IN_RANGE}, {ONE_DAY}, below: 70, unit: '%'"
CLOSE = MIDNIGHT + DAY


def days(*shares: int, first: datetime = MIDNIGHT) -> list[Row]:
    """Days of a reading every quarter hour, of which so many of a hundred lie in range: whole days have 96."""
    rows = []
    for number, share in enumerate(shares):
        inside = round(96 * share / 100)
        rows += worn(first + number * DAY, [120] * inside + [200] * (96 - inside), 15 * MINUTE)
    return rows


def the_only(each: tuple[Finding, ...]) -> Finding:
    (finding,) = each
    return finding


def test_a_day_of_too_little_time_in_range_is_told_at_eight_after_its_close() -> None:
    finding = the_only(found(rule(LESS_THAN_70), days(50), CLOSE))
    assert (finding.state, finding.first_day, finding.last_day) == ("active", date(2026, 6, 1), date(2026, 6, 1))
    assert finding.started_at == finding.opened_at == finding.newest_at == CLOSE
    assert finding.deliver_at == datetime(2026, 6, 2, 6, tzinfo=UTC)
    assert finding.fresh_until == CLOSE + 7 * DAY
    assert finding.tell == ("doctor",)
    assert finding.tell_late == ()
    assert finding.verdict.sentence == {
        "en": "Share of sensor glucose from 70 to 180 mg/dL 50 % over 1 day (96 readings, 100 % of the time), below 70",
        "zh": "1 天内动态血糖在 70–180 mg/dL 之间的比例 50 %（96 次读数，覆盖 100 % 的时间），低于 70",
    }


def test_a_day_that_is_not_over_is_not_judged_and_its_close_is_a_timer() -> None:
    history = PatientHistory(patient_id=1, enrolled_on=date(2026, 1, 1), zones=BERLIN, window=window_of(days(50)))
    judged = judge(history, RuleSet((rule(LESS_THAN_70),)), now=CLOSE - timedelta(microseconds=1))
    assert judged.findings == ()
    assert judged.next_due_at == CLOSE


@pytest.mark.parametrize(("readings", "is_enough"), [(68, True), (67, False)])
def test_seventy_percent_of_the_quarter_hours_are_enough(readings: int, is_enough: bool) -> None:
    """67.2 of 96."""
    rows = worn(MIDNIGHT, [200] * readings, 15 * MINUTE)
    assert len(found(rule(LESS_THAN_70), rows, CLOSE)) == is_enough


def test_many_readings_of_one_quarter_hour_count_once_for_completeness() -> None:
    rows = worn(MIDNIGHT, [200] * 67 * 3, 5 * MINUTE)
    assert found(rule(LESS_THAN_70), rows, CLOSE) == ()


def test_a_day_of_too_few_readings_neither_begins_nor_ends_anything() -> None:
    rows = days(50) + worn(MIDNIGHT + DAY, [120] * 10) + days(50, first=MIDNIGHT + 2 * DAY)
    finding = the_only(found(rule(LESS_THAN_70), rows, MIDNIGHT + 3 * DAY))
    assert finding.last_day == date(2026, 6, 3)


def test_an_episode_ends_with_the_first_day_far_enough_on_the_good_side() -> None:
    asked = rule(LESS_THAN_70, resolve="below_by: 5")
    finding = the_only(found(asked, days(50, 72, 75, 80), MIDNIGHT + 9 * DAY))
    assert finding.state == "resolved"
    assert finding.resolved_at == MIDNIGHT + 3 * DAY
    assert finding.last_day == date(2026, 6, 1)
    assert the_only(found(asked, days(50, 72, 74), MIDNIGHT + 9 * DAY)).state == "active"


def test_what_begins_again_within_seven_days_is_the_same_episode() -> None:
    asked = rule(LESS_THAN_70)
    again = days(50, 80) + days(50, first=MIDNIGHT + 8 * DAY)
    finding = the_only(found(asked, again, MIDNIGHT + 9 * DAY))
    assert (finding.state, finding.first_day, finding.last_day) == ("active", date(2026, 6, 1), date(2026, 6, 9))
    assert finding.opened_at == CLOSE
    assert finding.deliver_at == datetime(2026, 6, 10, 6, tzinfo=UTC)
    assert len(found(asked, days(50, 80) + days(50, first=MIDNIGHT + 9 * DAY), MIDNIGHT + 10 * DAY)) == 2


def test_the_window_is_the_last_days_and_no_more() -> None:
    asked = rule(f"{IN_RANGE}, over: {{days: 2}}, sufficient_percent: 70, below: 70, unit: '%'")
    finding = the_only(found(asked, days(100, 30, 100, 100), MIDNIGHT + 4 * DAY))
    assert (finding.first_day, finding.last_day) == (date(2026, 6, 2), date(2026, 6, 3))
    assert finding.verdict.numbers["readings"] == 192
    assert reach_days(RuleSet((asked,))) == 20


@pytest.mark.parametrize(
    ("band", "counts"),
    [
        ("from: 70, to: 180", [70, 180]),
        ("below: 70", ["LO", 69.9]),
        ("above: 180", ["HI", 180.1]),
    ],
)
def test_hi_and_lo_lie_beyond_every_limit_and_in_no_range(band: str, counts: list[Any]) -> None:
    values = ["LO", 69.9, 70, 180, 180.1, "HI"]
    written = f"kind: range_share, signal: sensor_glucose, statistic: share, range: {{{band}, unit: mg/dL}}"
    asked = rule(f"{written}, over: {{days: 1}}, sufficient_percent: 6, at_least: 1, unit: '%'")
    finding = the_only(found(asked, worn(MIDNIGHT, values, 15 * MINUTE), CLOSE))
    assert finding.verdict.numbers["value"] == pytest.approx(100 * len(counts) / 6, abs=0.001)


VECTOR = (50, 65, 90, 120, 150, 200, 260, 110, 100, 140)
"""clinical definitions: the ten values by which every figure is checked (docs/reference/rules)."""


@pytest.mark.parametrize(
    ("statistic", "unit", "value"),
    [
        ("mean", "mg/dL", 128.5),
        ("mean", "mmol/L", 7.132),
        ("gmi", "'%'", 6.384),
        ("cv", "'%'", 49.152),
        ("lbgi", "index", 3.508),
        ("hbgi", "index", 4.101),
        ("gri", "index", 78),
    ],
)
def test_each_figure_is_the_published_one(statistic: str, unit: str, value: float) -> None:
    written = f"kind: range_share, signal: sensor_glucose, statistic: {statistic}, over: {{days: 1}}"
    asked = rule(f"{written}, sufficient_percent: 10, above: 0, unit: {unit}")
    finding = the_only(found(asked, worn(MIDNIGHT, VECTOR, 15 * MINUTE), CLOSE))
    assert finding.verdict.numbers["value"] == pytest.approx(value, abs=0.001)


@pytest.mark.parametrize("comparison", ["above", "below"])
def test_a_figure_that_is_exactly_the_limit_is_neither_above_nor_below(comparison: str) -> None:
    written = f"kind: range_share, signal: sensor_glucose, statistic: gri, {ONE_DAY}, {comparison}: 78, unit: index"
    values = list(islice(cycle(VECTOR), 90))
    assert found(rule(written), worn(MIDNIGHT, values, 15 * MINUTE), CLOSE) == ()


def test_hi_and_lo_are_no_numbers_and_in_no_mean() -> None:
    written = f"kind: range_share, signal: sensor_glucose, statistic: mean, {ONE_DAY}, at_least: 150, unit: mg/dL"
    rows = worn(MIDNIGHT, ["HI", "LO", 150] * 30, 15 * MINUTE)
    assert the_only(found(rule(written), rows, CLOSE)).verdict.numbers["value"] == 150
    assert found(rule(written), worn(MIDNIGHT, ["HI"] * 90, 15 * MINUTE), CLOSE) == ()


def test_the_variability_of_one_reading_cannot_be_said() -> None:
    written = "kind: range_share, signal: sensor_glucose, statistic: cv, over: {days: 1}, sufficient_percent: 1"
    asked = rule(f"{written}, at_most: 90, unit: '%'")
    assert found(asked, [sensor(MIDNIGHT, 120)], CLOSE) == ()
    assert len(found(asked, worn(MIDNIGHT, [120, 121], 15 * MINUTE), CLOSE)) == 1


def test_only_accepted_readings_of_certain_time_count() -> None:
    good = days(50)
    bad = [
        sensor(MIDNIGHT + 7 * MINUTE, 20, 1, quality="rejected"),
        sensor(MIDNIGHT + 8 * MINUTE, 20, 2, quality="suspect"),
        sensor(MIDNIGHT + 9 * MINUTE, 20, 3, time_quality="suspect"),
        sensor(MIDNIGHT + 10 * MINUTE, 20, 4, time_quality="orphan"),
        stick(MIDNIGHT + 11 * MINUTE, 20, 5),
    ]
    (with_bad,), (alone,) = (found(rule(LESS_THAN_70), rows, CLOSE) for rows in (good + bad, good))
    assert with_bad == alone


def test_finger_sticks_need_readings_on_enough_days() -> None:
    asked = rule(
        "kind: range_share, signal: glucose, statistic: lbgi, over: {days: 3}, min_readings: 4, min_days: 2,"
        " above: 2.5, unit: index"
    )
    one_day = [stick(MIDNIGHT + n * HOUR, 55) for n in range(4)]
    assert found(asked, one_day, MIDNIGHT + 3 * DAY) == ()
    two_days = [*one_day[:3], stick(MIDNIGHT + DAY, 55)]
    assert the_only(found(asked, two_days, MIDNIGHT + 3 * DAY)).first_day == date(2026, 6, 2)
    assert found(asked, two_days[1:], MIDNIGHT + 3 * DAY) == ()
    with_hi = [*two_days[:3], stick(MIDNIGHT + DAY, "LO")]
    assert found(asked, with_hi, MIDNIGHT + 3 * DAY) == ()


def test_a_patients_own_number_takes_the_place_of_the_rules() -> None:
    assert found(rule(LESS_THAN_70), days(50), CLOSE, own={"value": 50}) == ()
    (finding,) = found(rule(LESS_THAN_70), days(80), CLOSE, own={"value": 90})
    assert finding.threshold_version == 2
    assert finding.verdict.numbers["thresholds"][0]["value"] == 90


def test_days_up_to_where_the_view_begins_are_seen_and_not_judged() -> None:
    asked = rule(f"{IN_RANGE}, over: {{days: 2}}, sufficient_percent: 70, below: 70, unit: '%'")
    finding = the_only(found(asked, days(30, 30, 100), MIDNIGHT + 3 * DAY, judged_from=MIDNIGHT + DAY))
    assert finding.first_day == date(2026, 6, 3)


def test_the_quarter_hour_of_a_flight_west_counts_once() -> None:
    """At 03:07 on 2 June the clock of Berlin becomes that of New York: 21:07 on 1 June, the day before."""
    moved = CLOSE + 7 * MINUTE
    zones = (*BERLIN, ZoneSpan(valid_from=moved, zone="America/New_York"))
    rows = worn(CLOSE - 66 * 15 * MINUTE, [200] * 66, 15 * MINUTE)
    rows += [sensor(CLOSE + 2 * MINUTE, 200), sensor(CLOSE + 9 * MINUTE, 200)]
    asked = rule(f"{IN_RANGE}, over: {{days: 2}}, sufficient_percent: 35, below: 70, unit: '%'")
    assert found(asked, rows, MIDNIGHT + 3 * DAY, zones=zones) == ()
    rows.append(sensor(CLOSE + 20 * MINUTE, 200))
    assert len(found(asked, rows, MIDNIGHT + 3 * DAY, zones=zones)) == 1


def test_a_year_of_a_sensor_is_judged_in_milliseconds() -> None:
    values = list(islice(cycle([float(v) for v in range(60, 260, 7)]), 105_120))
    window = window_of(worn(MIDNIGHT, values))
    history = PatientHistory(patient_id=1, enrolled_on=date(2026, 1, 1), zones=BERLIN, window=window)
    for statistic, unit in (("cv", "'%'"), ("gri", "index"), ("lbgi", "index"), ("gmi", "'%'")):
        asked = rule(
            f"kind: range_share, signal: sensor_glucose, statistic: {statistic}, over: {{days: 14}},"
            f" sufficient_percent: 70, above: 30, unit: {unit}",
            rule_id=f"{RULE}-{statistic}",
        )
        start = perf_counter()
        judge(history, RuleSet((asked,)), now=MIDNIGHT + 400 * DAY)
        assert perf_counter() - start < 2, "a hundred times what it takes"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (LESS_THAN_70.replace("days: 1", "hours: 24"), "over takes days"),
        (LESS_THAN_70.replace("from: 70, ", ""), "give from and to, or below, or above"),
        (LESS_THAN_70.replace("from: 70", "from: 190"), "from is more than to"),
        (LESS_THAN_70.replace("to: 180", "to: 180, above: 3"), "give from and to, or below, or above"),
        (LESS_THAN_70.replace("unit: '%'", "unit: index"), "share is in %"),
        (LESS_THAN_70.replace("statistic: share", "statistic: cv"), "range belongs to statistic: share"),
        (LESS_THAN_70.replace(", sufficient_percent: 70", ""), "takes sufficient_percent"),
        (LESS_THAN_70.replace("sufficient_percent: 70", "sufficient_percent: 70, min_days: 1"), "neither min_readings"),
        (LESS_THAN_70.replace("sensor_glucose", "glucose"), "takes min_readings and min_days"),
        (LESS_THAN_70.replace("below: 70, unit: '%'", "unit: '%'"), "exactly one of"),
        ("kind: range_share, signal: glucose, statistic: gmi, over: {days: 1}, min_readings: 1, min_days: 1,"
         " above: 7, unit: '%'", "gmi is of a worn sensor"),
        ("kind: range_share, signal: glucose, statistic: mean, over: {days: 1}, min_readings: 3, min_days: 2,"
         " above: 7, unit: mmol/L", "min_days is more than over"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_meant_is_refused(wrong: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        rule(wrong)


@pytest.mark.parametrize(
    ("written", "resolve", "number"),
    [
        (LESS_THAN_70, "below_by: 0", Number(name="value", value=70, is_upper=False, step=5)),
        (
            f"kind: range_share, signal: sensor_glucose, statistic: mean, {ONE_DAY}, above: 10, unit: mmol/L",
            "below_by: 0",
            Number(name="value", value=10, is_upper=True, step=0.5),
        ),
        (
            "kind: lasting, signal: sensor_glucose, below: 54, unit: mg/dL, minutes: 15, gap_minutes: 45",
            "by: time",
            Number(name="value", value=54, is_upper=False, step=10),
        ),
    ],
)
def test_the_one_number_that_a_patient_may_have_of_their_own(written: str, resolve: str, number: Number) -> None:
    asked = rule(written, resolve=resolve)
    assert isinstance(asked, RangeShareRule | LastingRule)
    assert numbers_of(asked, {}) == (number,)
    with pytest.raises(MalformedError, match="no parameter 'sensor_glucose'"):
        numbers_of(asked, {"sensor_glucose": 60})
