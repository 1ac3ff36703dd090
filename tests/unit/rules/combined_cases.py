"""What the tests of combined rules have in common: conditions in a line of YAML, and readings of several meters."""

from datetime import datetime, timedelta
from uuid import UUID

from unit.rules.glucose_cases import DAY, HOUR, MIDNIGHT, rule

from server.rules.rule import Rule
from server.rules.windows import Row, row_of
from vitals.quality import grade
from vitals.reading import BloodPressure, Measurement, OxygenSaturation, Temperature, Weight

MORNING = MIDNIGHT + 5 * HOUR
"""08:00 in Berlin on 1 June."""

LATER = MIDNIGHT + 60 * DAY
SECOND = timedelta(seconds=1)


def newest(signal: str, limit: str, unit: str, below_by: float | None = None) -> str:
    """The condition on the last reading alone."""
    good = "" if below_by is None else f", below_by: {below_by}"
    any_of = f"[{{signal: {signal}, {limit}, unit: '{unit}'}}]"
    return f"{{kind: count_of_last, needed: 1, of_last: 1, within: {{hours: 1}}, any_of: {any_of}{good}}}"


def rolling(statistic: str, over: str, *limits: str, of: str = "readings") -> str:
    any_of = f"[{', '.join(limits)}]"
    return f"{{kind: rolling, of: {of}, statistic: {statistic}, over: {{{over}}}, min_readings: 1, any_of: {any_of}}}"


HOT = newest("temperature", "at_least: 38", "°C", 0.5)
BREATH = newest("spo2", "at_most: 92", "%", 2)
PULSE = newest("pulse", "above: 110", "bpm")
GAIN = "{kind: change, signal: weight, rises_by: 2, unit: kg, within: {days: 4}, below_by: 0.5}"
"""Conditions of which most of the tests are made."""


def combined(*parts: str, word: str = "all_of", within: str = "hours: 24") -> Rule:
    return rule(f"kind: combined, within: {{{within}}}, {word}: [{', '.join(parts)}]", resolve="by: parts")


def reading(at: datetime, measured: Measurement, number: int) -> Row:
    return row_of(
        measured,
        reading_id=UUID(int=round(at.timestamp() * 1_000_000) * 10 + number),
        measured_at=at,
        received_at=at,
        quality=grade(measured)[0].value,
        time_quality="trusted",
    )


def hot(at: datetime, celsius: float) -> Row:
    return reading(at, Temperature(temperature_celsius=celsius, unit_sent="°C"), 1)


def breath(at: datetime, percent: float, pulse: float | None = None) -> Row:
    return reading(at, OxygenSaturation(spo2_percent=percent, pulse_bpm=pulse), 2)


def weighed(at: datetime, kg: float) -> Row:
    return reading(at, Weight(weight_kg=kg, unit_sent="kg"), 3)


def cuff(at: datetime, systolic: float, pulse: float | None = None) -> Row:
    return reading(at, BloodPressure(systolic_mmhg=systolic, diastolic_mmhg=80, pulse_bpm=pulse, unit_sent="mmHg"), 4)


def at(hours: float) -> datetime:
    return MORNING + hours * HOUR


def ids(*rows: Row) -> list[str]:
    return [str(row.reading_id) for row in rows]
