"""The oracle's events of single values: which readings count, what holds them together, what raises them, and what ends them."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import count
from typing import Any

import pytest

from server.oracle.alerts import alerts_of
from server.oracle.rules import ValueRule, rules_of
from server.oracle.shapes import OracleAlert, OraclePatient, OracleReading
from vitals.errors import MalformedError

T0 = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
_NAMES = count()
NUMBERS = (
    "systolic_mmhg",
    "diastolic_mmhg",
    "pulse_bpm",
    "glucose_mmol_l",
    "glucose_mg_dl",
    "spo2_percent",
    "temperature_celsius",
)

HIGH = "{signal: systolic, at_least: 180, unit: mmHg}"
LOW_SUGAR = "{signal: glucose, below: 3, unit: mmol/L}"
HIGH_SUGAR = "{signal: glucose, above: 16.7, unit: mmol/L}"
CONFIRM = ", confirm: {within_minutes: 5, priority: high}"


def text_of(condition: str, more: str = "", *, qualities: str = "accepted, suspect", by: str = "reading_below") -> str:
    return f"""
rules:
  - id: one-value
    version: 1
    when: {{kind: single_value, any_of: [{condition}], readings: [{qualities}], arrived: in_time{more}}}
    resolve: {{by: {by}, visible_hours: 24}}
    priority: medium
    tell: [patient, doctor]
"""


def reading(after: timedelta, **values: Any) -> OracleReading:
    at = T0 + after
    numbers = {
        name: Fraction(str(value)) if name in NUMBERS and value is not None else value for name, value in values.items()
    }
    facts: dict[str, Any] = {"name": f"{next(_NAMES):09}", "measured_at": at, "received_at": at}
    return OracleReading(**facts | numbers)


def pressure(after: timedelta, systolic: float, **more: Any) -> OracleReading:
    return reading(after, systolic_mmhg=systolic, diastolic_mmhg=80, **more)


def sugar(after: timedelta, mmol_l: float | None, **more: Any) -> OracleReading:
    return reading(after, kind="glucose", glucose_mmol_l=mmol_l, **more)


def judged(
    text: str, *readings: OracleReading, after: timedelta = HOUR, symptoms: tuple[tuple[datetime, bool], ...] = ()
) -> list[OracleAlert]:
    patient = OraclePatient(
        readings=readings,
        zones=((datetime(2020, 1, 1, tzinfo=UTC), "UTC"),),
        enrolled_on=date(2026, 2, 1),
        symptoms=symptoms,
    )
    return list(alerts_of(patient, rules_of(text), now=T0 + after))


def raised(*readings: OracleReading, after: timedelta, **more: Any) -> tuple[str, timedelta | None]:
    """The priority of the newest event and when it was raised, counted from the first reading."""
    alert = judged(text_of(HIGH, CONFIRM), *readings, after=after, **more)[-1]
    return alert.priority, None if alert.raised_at is None else alert.raised_at - T0


@pytest.mark.parametrize(
    ("condition", "values", "is_met"),
    [
        ("{signal: glucose, below: 3, unit: mmol/L}", {"kind": "glucose", "glucose_mmol_l": 2.9}, True),
        ("{signal: glucose, below: 3, unit: mmol/L}", {"kind": "glucose", "glucose_mmol_l": 3}, False),
        (
            "{signal: glucose, below: 54, unit: mg/dL}",
            {"kind": "glucose", "glucose_mmol_l": 2.9, "glucose_mg_dl": 53},
            True,
        ),
        ("{signal: spo2, at_most: 88, unit: '%'}", {"kind": "oxygen_saturation", "spo2_percent": 88}, True),
        ("{signal: temperature, above: 39, unit: °C}", {"kind": "temperature", "temperature_celsius": 39.1}, True),
        (
            "{signal: pulse, above: 120, unit: bpm}",
            {"kind": "oxygen_saturation", "spo2_percent": 97, "pulse_bpm": 121},
            True,
        ),
        (
            "{signal: pulse, above: 120, unit: bpm}",
            {"systolic_mmhg": 120, "diastolic_mmhg": 80, "pulse_bpm": 121},
            True,
        ),
    ],
)
def test_one_reading_of_any_signal_is_enough(condition: str, values: dict[str, Any], is_met: bool) -> None:
    found = judged(text_of(condition), reading(timedelta(0), **values))
    assert len(found) == is_met


@pytest.mark.parametrize(("is_hi", "condition"), [(True, HIGH_SUGAR), (False, LOW_SUGAR)])
def test_hi_and_lo_meet_what_lies_on_their_side(is_hi: bool, condition: str) -> None:
    beyond = sugar(timedelta(0), None, is_censored=True, is_hi=is_hi)
    assert len(judged(text_of(condition), beyond)) == 1
    other = LOW_SUGAR if is_hi else HIGH_SUGAR
    assert judged(text_of(other), beyond) == []


def test_hi_is_good_for_a_rule_about_lows() -> None:
    (alert,) = judged(
        text_of(LOW_SUGAR), sugar(timedelta(0), 2.5), sugar(HOUR, None, is_censored=True, is_hi=True), after=2 * HOUR
    )
    assert (alert.has_reading_below, alert.priority) == (True, "low")


def test_a_reading_without_the_number_is_neither() -> None:
    mg_dl = LOW_SUGAR.replace("below: 3, unit: mmol/L", "below: 54, unit: mg/dL")
    (alert,) = judged(text_of(mg_dl), sugar(timedelta(0), 2.5, glucose_mg_dl=45), sugar(HOUR, 5), after=2 * HOUR)
    assert not alert.has_reading_below


def test_readings_within_ten_minutes_of_each_other_are_one_event() -> None:
    low = [sugar(minutes * MINUTE, 2.5) for minutes in (0, 10, 20)]
    assert [len(alert.reading_ids) for alert in judged(text_of(LOW_SUGAR), *low)] == [3]
    apart = [sugar(timedelta(0), 2.5), sugar(10 * MINUTE + SECOND, 2.5)]
    assert len(judged(text_of(LOW_SUGAR), *apart)) == 2
    between = sugar(5 * MINUTE, None)  # failed, and yet it holds them together
    assert len(judged(text_of(LOW_SUGAR), *apart, between)) == 1


def test_a_cuff_and_an_oximeter_share_a_sitting_if_they_gave_a_pulse() -> None:
    text = text_of("{signal: pulse, above: 120, unit: bpm}")
    first = reading(timedelta(0), systolic_mmhg=120, diastolic_mmhg=80, pulse_bpm=130)
    last = reading(15 * MINUTE, kind="oxygen_saturation", spo2_percent=97, pulse_bpm=130)
    assert len(judged(text, first, last)) == 2
    assert len(judged(text, first, last, reading(8 * MINUTE, kind="oxygen_saturation", spo2_percent=97))) == 2
    between = reading(8 * MINUTE, kind="oxygen_saturation", spo2_percent=97, pulse_bpm=80)
    assert len(judged(text, first, last, between)) == 1


def test_a_value_of_doubtful_time_is_suspect() -> None:
    doubtful = sugar(timedelta(0), 2.5, time_quality="suspect")
    assert len(judged(text_of(LOW_SUGAR, qualities="suspect"), doubtful)) == 1
    assert judged(text_of(LOW_SUGAR, qualities="accepted"), doubtful) == []
    assert judged(text_of(LOW_SUGAR), sugar(timedelta(0), 2.5, time_quality="orphan")) == []


def test_measuring_again_ends_what_ends_with_a_new_reading() -> None:
    text = text_of("{signal: spo2, at_most: 88, unit: '%'}", by="new_reading").replace("24", "0")
    low = reading(timedelta(0), kind="oxygen_saturation", spo2_percent=85)
    again = reading(HOUR, kind="oxygen_saturation", spo2_percent=86, sensor_status=2)  # rejected
    assert judged(text, low, again, after=2 * HOUR)[0].state == "active"
    taken = reading(HOUR, kind="oxygen_saturation", spo2_percent=95)
    assert judged(text, low, taken, after=2 * HOUR)[0].resolved_at == T0 + HOUR


@pytest.mark.parametrize(("gap", "at"), [(45 * SECOND, 45 * SECOND), (45 * SECOND - timedelta(microseconds=1), None)])
def test_a_repeat_confirms_from_45_seconds_on(gap: timedelta, at: timedelta | None) -> None:
    found = raised(pressure(timedelta(0), 185), pressure(gap, 186), after=2 * MINUTE)
    assert found == ("medium" if at is None else "high", at)


def test_a_repeat_counts_from_when_it_was_known() -> None:
    late = pressure(MINUTE, 186, received_at=T0 + 3 * MINUTE)
    assert raised(pressure(timedelta(0), 185), late, after=4 * MINUTE) == ("high", 3 * MINUTE)
    first = pressure(timedelta(0), 185, received_at=T0 + 4 * MINUTE)
    assert raised(first, pressure(MINUTE, 186), after=5 * MINUTE) == ("high", 4 * MINUTE)


@pytest.mark.parametrize(("after", "found"), [(-1, ("medium", None)), (0, ("high", 5 * MINUTE))])
def test_what_nobody_repeats_in_time_is_raised_to_the_microsecond(
    after: int, found: tuple[str, timedelta | None]
) -> None:
    now = 5 * MINUTE + after * timedelta(microseconds=1)
    assert raised(pressure(timedelta(0), 185), after=now) == found


def test_a_later_good_reading_takes_it_down_whatever_was_before() -> None:
    readings = pressure(timedelta(0), 185), pressure(MINUTE, 186)
    assert raised(*readings, after=2 * MINUTE) == ("high", MINUTE)
    assert raised(*readings, pressure(3 * MINUTE, 150), after=9 * MINUTE) == ("low", None)


def test_an_event_that_a_later_one_replaces_keeps_what_it_was_then() -> None:
    first, second = judged(text_of(HIGH, CONFIRM), pressure(timedelta(0), 185), pressure(20 * MINUTE, 190), after=HOUR)
    assert (first.state, first.resolved_at, first.priority) == ("resolved", T0 + 20 * MINUTE, "high")
    assert first.raised_at == T0 + 5 * MINUTE
    assert (second.priority, second.raised_at) == ("high", T0 + 25 * MINUTE)
    text = text_of(HIGH, CONFIRM.replace("5", "30"))
    first, second = judged(text, pressure(timedelta(0), 185), pressure(20 * MINUTE, 190), after=HOUR)
    assert (first.priority, first.raised_at) == ("medium", None)


@pytest.mark.parametrize(
    ("at", "has", "expected"),
    [
        (2 * MINUTE, True, ("high", 2 * MINUTE)),
        (timedelta(0), True, ("high", timedelta(0))),
        (-SECOND, True, ("medium", None)),
        (2 * MINUTE, False, ("medium", None)),
        (4 * MINUTE, True, ("medium", None)),  # not yet answered
    ],
)
def test_symptoms_raise_it_when_they_are_told(at: timedelta, has: bool, expected: tuple[str, timedelta | None]) -> None:
    assert raised(pressure(timedelta(0), 185), after=3 * MINUTE, symptoms=((T0 + at, has),)) == expected


DAY = timedelta(hours=24)


@pytest.mark.parametrize(
    ("said", "raised_after"),
    [(DAY + 30 * SECOND, DAY + 30 * SECOND), (DAY + 31 * SECOND, DAY + 5 * MINUTE), (-SECOND, DAY + 5 * MINUTE)],
)
def test_symptoms_count_for_a_day_after_the_newest_reading_of_the_sitting(
    said: timedelta, raised_after: timedelta
) -> None:
    """Received a day later, just in time; the second, 30 seconds after the first, is no repeat."""
    first = pressure(timedelta(0), 185, received_at=T0 + DAY)
    second = pressure(30 * SECOND, 185, received_at=T0 + DAY)
    assert raised(first, second, after=2 * DAY, symptoms=((T0 + said, True),)) == ("high", raised_after)


def test_what_is_raised_at_the_instant_of_its_end_is_raised() -> None:
    text = text_of(HIGH, CONFIRM).replace("visible_hours: 24", "visible_hours: 24, at_most_hours: 1")
    late = pressure(timedelta(0), 185, received_at=T0 + 55 * MINUTE)
    (alert,) = judged(text, late, after=2 * HOUR)
    assert alert.raised_at == alert.resolved_at == T0 + HOUR
    (alert,) = judged(text.replace("within_minutes: 5", "within_minutes: 6"), late, after=2 * HOUR)
    assert alert.raised_at is None


def test_in_one_sitting_are_readings_ten_minutes_apart_of_doubtful_time_too() -> None:
    first, unsure = pressure(timedelta(0), 185), pressure(10 * MINUTE, 185, time_quality="suspect")
    assert len(judged(text_of(HIGH), first, unsure)) == 1
    assert len(judged(text_of(HIGH), first, pressure(10 * MINUTE + SECOND, 185, time_quality="suspect"))) == 2


def test_without_confirm_nothing_is_raised() -> None:
    (alert,) = judged(text_of(HIGH), pressure(timedelta(0), 185), pressure(MINUTE, 190), symptoms=((T0, True),))
    assert (alert.priority, alert.raised_at, alert.confirmed_at) == ("medium", None, None)


def test_what_confirms_is_read() -> None:
    (rule,) = rules_of(text_of(HIGH, CONFIRM))
    assert isinstance(rule, ValueRule)
    assert rule.confirm is not None
    assert (rule.confirm.within, rule.confirm.priority) == (5 * MINUTE, "high")


@pytest.mark.parametrize(
    ("condition", "more"),
    [
        ("{signal: weight, above: 90, unit: kg}", ""),
        ("{signal: sensor_glucose, below: 3, unit: mmol/L}", ""),
        ("{signal: glucose, below: 3, unit: bpm}", ""),
        (f"{LOW_SUGAR}, {HIGH}", ""),
        (f"{LOW_SUGAR}, {{signal: glucose, above: 300, unit: mg/dL}}", ""),
        (HIGH, ", confirm: {within_minutes: 5, priority: high, by: repeat}"),
    ],
)
def test_what_is_not_understood_is_refused(condition: str, more: str) -> None:
    with pytest.raises(MalformedError):
        rules_of(text_of(condition, more))
