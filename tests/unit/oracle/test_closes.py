"""What a clinician has closed, as the oracle sees it: it holds until there is a new elevated day, for seven days."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest

from server.oracle.alerts import alerts_of
from server.oracle.rules import DaysRule, rules_of
from server.oracle.shapes import OracleAlert, OracleClose, OraclePatient, OracleReading
from vitals.errors import MalformedError

FIRST = date(2026, 3, 1)
RULE = """
rules:
  - id: three-days
    version: 4
    when:
      kind: days_in_a_row
      any_of: [{signal: systolic, statistic: day_mean, above: 140, unit: mmHg}]
      days: 3
      missing_day: bridge
      max_span_days: 5
    resolve: {below_by: 5, days: 3}
    priority: low
    tell: [doctor]
"""
HIGH, ALMOST, GOOD = 150, 138, 120


def judged(values: dict[int, int], *, closed_on: int | None = 4, seen_until: int = 3) -> list[OracleAlert]:
    """Alerts of somebody with these systolic values by day of March, after day 30; the first alert was closed at noon."""
    closes = []
    if closed_on is not None:
        closed_at = datetime(2026, 3, closed_on, 12, tzinfo=UTC)
        close = OracleClose(
            rule_id="three-days", first_day=FIRST, last_day=FIRST + timedelta(days=seen_until - 1), closed_at=closed_at
        )
        closes.append(close)
    readings = [
        OracleReading(
            name=f"{day:02}",
            measured_at=datetime(2026, 3, day, 8, tzinfo=UTC),
            received_at=datetime(2026, 3, day, 8, tzinfo=UTC),
            systolic_mmhg=Fraction(value),
            diastolic_mmhg=Fraction(80),
        )
        for day, value in values.items()
    ]
    patient = OraclePatient(
        readings=tuple(readings),
        zones=((datetime(2020, 1, 1, tzinfo=UTC), "UTC"),),
        enrolled_on=date(2026, 2, 1),
        closes=tuple(closes),
    )
    return list(alerts_of(patient, rules_of(RULE), now=datetime(2026, 3, 30, tzinfo=UTC)))


RUN = {1: HIGH, 2: HIGH, 3: HIGH}


def test_without_a_close_it_is_active() -> None:
    (alert,) = judged(RUN, closed_on=None)
    assert (alert.state, alert.resolved_at) == ("active", None)


def test_a_close_ends_it_at_the_instant_of_the_close() -> None:
    (alert,) = judged(RUN)
    assert (alert.state, alert.resolved_at) == ("closed", datetime(2026, 3, 4, 12, tzinfo=UTC))


def test_days_that_are_not_elevated_leave_it_closed() -> None:
    (alert,) = judged(RUN | {5: ALMOST, 6: GOOD})
    assert alert.state == "closed"


@pytest.mark.parametrize("day", [4, 5, 11])
def test_a_new_elevated_day_within_seven_opens_it_again(day: int) -> None:
    (alert,) = judged(RUN | {day: HIGH})
    assert (alert.state, alert.last_day) == ("active", date(2026, 3, day))


def test_after_seven_days_one_elevated_day_is_not_enough() -> None:
    (alert,) = judged(RUN | {12: HIGH})
    assert alert.state == "closed"


def test_after_seven_days_a_new_run_is_a_new_alert() -> None:
    first, second = judged(RUN | {12: HIGH, 13: HIGH, 14: HIGH})
    assert (first.state, second.state, second.first_day) == ("closed", "active", date(2026, 3, 12))


def test_after_good_days_it_takes_a_run_to_open_it_again() -> None:
    good = {4: GOOD, 5: GOOD, 6: GOOD}
    assert [alert.state for alert in judged(RUN | good | {7: HIGH})] == ["closed"]
    assert [alert.state for alert in judged(RUN | good | {7: HIGH, 8: HIGH, 9: HIGH})] == ["active"]


def test_a_day_that_the_clinician_had_not_seen_voids_the_close() -> None:
    (alert,) = judged(RUN | {4: HIGH}, closed_on=9)
    assert alert.state == "active"
    (alert,) = judged(RUN | {4: HIGH}, closed_on=9, seen_until=4)
    assert alert.state == "closed"


def test_the_reader_takes_what_decides() -> None:
    (rule,) = rules_of(RULE)
    assert isinstance(rule, DaysRule)
    assert (rule.id, rule.version, rule.days, rule.span, rule.min_readings, rule.good_days) == (
        "three-days",
        4,
        3,
        5,
        1,
        3,
    )


@pytest.mark.parametrize(
    ("known", "unknown"),
    [("kind: days_in_a_row", "kind: silence"), ("days: 3\n      missing", "but: 3\n      missing")],
)
def test_a_rule_that_is_not_understood_is_refused(known: str, unknown: str) -> None:
    with pytest.raises(MalformedError):
        rules_of(RULE.replace(known, unknown))
