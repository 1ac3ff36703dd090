"""The oracle's answer to rules about what a worn sensor says for long: how it begins, what a gap does, how it ends."""

from datetime import timedelta
from typing import Any

import pytest
from unit.oracle.glucose_cases import MINUTE, judged, row, text_of, worn
from unit.oracle.trend_cases import at

from server.oracle.rules import rules_of
from server.oracle.shapes import OracleAlert, OracleReading
from vitals.errors import MalformedError

START = at(3, "12:00")
LOW = "kind: lasting, signal: sensor_glucose, below: 54, unit: mg/dL, minutes: 15, gap_minutes: 45"


def lasting(readings: list[OracleReading], when: str = LOW, **more: Any) -> list[OracleAlert]:
    return judged(when, readings, resolve="by: time", **more)


def test_it_begins_with_the_first_reading_after_as_long_and_goes_back_to_the_first_beyond() -> None:
    (alert,) = lasting(row(START, (60, 53, 52, 51, 50, 49)))
    assert (alert.started_at, alert.opened_at) == (START + 5 * MINUTE, START + 20 * MINUTE)
    assert (alert.deliver_at, alert.evidence_at) == (START + 20 * MINUTE, START + 25 * MINUTE)
    assert alert.fresh_until == START + 25 * MINUTE + timedelta(hours=24)
    assert (alert.state, len(alert.reading_ids), alert.tells, alert.tells_late) == ("active", 5, ("doctor",), ())
    assert lasting(row(START, (53, 53, 53))) == [], "ten minutes are not fifteen"


def test_it_ends_with_the_reading_that_makes_the_good_side_last() -> None:
    values = (53, 53, 53, 53, 54, 53, 54, 55, 56, 57, 58)
    (alert,) = lasting(row(START, values))
    assert (alert.state, alert.resolved_at) == ("resolved", START + 45 * MINUTE)
    assert (len(alert.reading_ids), alert.evidence_at) == (5, START + 25 * MINUTE), (
        "a short time on the good side ends nothing"
    )
    assert lasting(row(START, values[:9]))[0].state == "active"


def test_a_gap_breaks_what_had_not_lasted_and_ends_nothing() -> None:
    broken = [*row(START, (53, 53)), *row(START + 51 * MINUTE, (53, 53, 53))]
    assert lasting(broken) == []
    joined = [*row(START, (53, 53)), *row(START + 50 * MINUTE, (53,))]
    assert lasting(joined)[0].opened_at == START + 50 * MINUTE
    (alert,) = lasting([*row(START, (53,) * 4), *row(START + timedelta(hours=9), (53, 60))])
    assert (alert.state, len(alert.reading_ids)) == ("active", 5)
    good = [*row(START, (53,) * 4), *row(START + 20 * MINUTE, (60,)), *row(START + timedelta(hours=9), (60, 60))]
    assert lasting(good)[0].state == "active", "two short times do not add up over a gap"


def test_each_time_is_an_alert_of_its_own() -> None:
    values = (53,) * 4 + (60,) * 4 + (53,) * 4
    first, second = lasting(row(START, values))
    assert (first.resolved_at, second.started_at) == (START + 35 * MINUTE, START + 40 * MINUTE)


def test_lo_is_below_every_limit_and_hi_is_on_the_good_side_of_a_low() -> None:
    (alert,) = lasting(row(START, ("LO",) * 4 + ("HI",) * 4))
    assert (len(alert.reading_ids), alert.resolved_at) == (4, START + 35 * MINUTE)
    high = LOW.replace("below: 54", "above: 250")
    assert lasting(row(START, ("HI",) * 4 + ("LO",) * 4), high)[0].resolved_at == START + 35 * MINUTE


@pytest.mark.parametrize(("condition", "value"), [("below: 54", 54), ("above: 54", 54)])
def test_the_limit_itself_is_not_beyond(condition: str, value: int) -> None:
    when = LOW.replace("below: 54", condition)
    assert lasting(row(START, (value,) * 5), when) == []
    equal = condition.replace("below", "at_most").replace("above", "at_least")
    assert len(lasting(row(START, (value,) * 5), LOW.replace("below: 54", equal))) == 1


def test_a_limit_in_mmol_l_looks_at_mmol_l() -> None:
    readings = [worn(START + place * 5 * MINUTE, 60, glucose_mmol_l=2.5) for place in range(4)]
    assert len(lasting(readings, LOW.replace("below: 54, unit: mg/dL", "below: 3, unit: mmol/L"))) == 1


def test_what_is_doubtful_is_neither_beyond_nor_good() -> None:
    readings = row(START, (53, 53, 53, 53))
    doubtful = [worn(START + 7 * MINUTE, 100, time_quality="suspect"), worn(START + 8 * MINUTE, 100, status=1 << 2)]
    assert len(lasting([*readings, *doubtful])) == 1


def test_a_run_that_reaches_beyond_the_view_begins_where_it_began() -> None:
    readings = row(at(4, "02:50"), (53,) * 6)
    (alert,) = lasting(readings, judged_from=at(3, "12:00"))
    assert (alert.started_at, alert.opened_at) == (at(4, "02:50"), at(4, "03:05"))
    assert lasting(readings, judged_from=at(4, "12:00")) == []
    (alert,) = lasting(row(at(4, "02:30"), (53,) * 9), judged_from=at(3, "12:00"))
    assert alert.opened_at == at(4, "03:00"), "it had lasted before, and the first judged reading decides"
    assert (alert.first_day, alert.last_day) == (at(3).date(), at(4).date())


def test_a_number_of_ones_own_takes_the_place_of_the_rules() -> None:
    (alert,) = lasting(row(START, (65,) * 4), own=70)
    assert alert.threshold_version == 5


@pytest.mark.parametrize(
    ("old", "new"),
    [("sensor_glucose", "glucose"), ("mg/dL", "kg"), ("below: 54, ", ""), ("gap_minutes", "gap_hours")],
)
def test_what_the_oracle_does_not_understand_it_refuses(old: str, new: str) -> None:
    with pytest.raises(MalformedError, match="teach it first"):
        rules_of(text_of(LOW.replace(old, new), "by: time"))
    with pytest.raises(MalformedError):
        rules_of(text_of(LOW, "by: person"))
