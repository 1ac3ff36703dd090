"""The elements of a trend: what it counts one by one, be that readings, sittings or days. Knows no rule.

HI and LO are no numbers, and a reading whose time is in doubt has no place in a row: neither is in any trend.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from itertools import accumulate
from math import floor
from typing import Final

from server.oracle.chart import Chart, Pressure, Sittings, day_value, sitting_value
from server.oracle.figures import MILLION, Exact
from server.oracle.marks import by_itself
from server.oracle.shapes import OracleReading
from server.oracle.signals import Signal

NOON: Final = time(12)

Placed = tuple[datetime, str]
"""A reading by its instant and name, as readings are ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """`at` is known from then on. `values` by signal, in millionths of its unit; `readings`: what it is made of, in order."""

    at: datetime
    day: date
    values: Mapping[str, Exact]
    readings: tuple[Placed, ...]


def elements_of(chart: Chart, signals: Sequence[Signal], of: str) -> list[Element]:
    """In order of time. `signals` are of one group, so that every element has all of them.

    Clinical days go back when somebody flies west; those of elements do not: each is at least the one before.
    """
    found = _elements_of(chart, signals, of)
    latest = accumulate((element.day for element in found), max)
    return [replace(element, day=day) for element, day in zip(found, latest, strict=True)]


def _elements_of(chart: Chart, signals: Sequence[Signal], of: str) -> list[Element]:
    match of:
        case "sittings":
            return _sittings(chart)
        case "days":
            return _days(chart)
        case "day_spreads":
            return _day_spreads(chart, signals)
        case "meal_rises":
            return _meal_rises(chart, signals)
        case "readings":
            return [_reading(chart, signals, one) for one in _usable(chart, signals)]
    firsts = _firsts(chart, _usable(chart, signals))
    return [_reading(chart, signals, one) for one in firsts if of == "first_of_day" or _is_of_morning(chart, one)]


def _usable(chart: Chart, signals: Sequence[Signal]) -> list[OracleReading]:
    """The readings that trends may use, in order."""
    found = [
        reading
        for reading in chart.patient.readings
        if reading.kind in signals[0].kinds
        and _is_usable(chart, reading)
        and all(signal.value(reading) is not None for signal in signals)
        and all(not signal.meals or reading.meal in signal.meals for signal in signals)
    ]
    return sorted(found, key=lambda one: (one.measured_at, one.name))


def _is_usable(chart: Chart, reading: OracleReading) -> bool:
    """Blood pressures are marked among each other and not used on the day of enrolment; a weight must be the patient's own; all
    else stands by itself.
    """
    if reading.kind == "blood_pressure":
        is_warm = chart.days.day(reading.measured_at) > chart.patient.enrolled_on
        return is_warm and chart.quality.get(reading.name) == "accepted"
    is_placed = reading.time_quality not in ("orphan", "suspect") and reading.name not in chart.others
    return is_placed and not reading.is_censored and by_itself(reading) == "accepted"


def _firsts(chart: Chart, ordered: Iterable[OracleReading]) -> Iterable[OracleReading]:
    """The earliest of each clinical day."""
    found: dict[date, OracleReading] = {}
    for one in ordered:
        found.setdefault(chart.days.day(one.measured_at), one)
    return found.values()


def _is_of_morning(chart: Chart, one: OracleReading) -> bool:
    """Before noon of its own clinical day: 00:20 is no morning, it is the night of the day before."""
    wall = one.measured_at.astimezone(chart.days.zone_at(one.measured_at)).replace(tzinfo=None)
    return wall < datetime.combine(chart.days.day(one.measured_at), NOON)


def _reading(chart: Chart, signals: Sequence[Signal], one: OracleReading) -> Element:
    values: dict[str, Exact] = {signal.name: _micro(signal, one) for signal in signals}
    at = one.measured_at
    return Element(at=at, day=chart.days.day(at), values=values, readings=((at, one.name),))


def _day_spreads(chart: Chart, signals: Sequence[Signal]) -> list[Element]:
    """Of closed days with three readings: the highest less the lowest."""
    by_day: dict[date, list[OracleReading]] = {}
    for one in _usable(chart, signals):
        by_day.setdefault(chart.days.day(one.measured_at), []).append(one)
    found = []
    for day in sorted(by_day):
        if len(by_day[day]) >= 3 and chart.days.is_closed(day):
            values = [_micro(signals[0], one) for one in by_day[day]]
            found.append(_made_of(signals, chart.days.close(day), day, max(values) - min(values), by_day[day]))
    return found


def _meal_rises(chart: Chart, signals: Sequence[Signal]) -> list[Element]:
    """After a meal less before it: the newest before, if it is one to three hours older and no other rise has used it."""
    found = []
    before: OracleReading | None = None
    for one in _usable(chart, signals):
        if one.meal in ("fasting", "preprandial"):
            before = one
        elif before is not None and _is_its_meal(before, one):
            rise = _micro(signals[0], one) - _micro(signals[0], before)
            found.append(_made_of(signals, one.measured_at, chart.days.day(one.measured_at), rise, [before, one]))
            before = None
    return found


def _is_its_meal(before: OracleReading, after: OracleReading) -> bool:
    since = after.measured_at - before.measured_at
    return after.meal == "postprandial" and timedelta(hours=1) <= since <= timedelta(hours=3)


def _micro(signal: Signal, one: OracleReading) -> int:
    value = signal.value(one)
    assert value is not None, "only readings with the signal are elements"
    return round(value * MILLION)


def _made_of(
    signals: Sequence[Signal], at: datetime, day: date, value: int, readings: Iterable[OracleReading]
) -> Element:
    return Element(
        at=at,
        day=day,
        values={signals[0].name: value},
        readings=tuple((one.measured_at, one.name) for one in readings),
    )


def _sittings(chart: Chart) -> list[Element]:
    """Those that are over: until then another reading may join."""
    return [
        _group(sitting.over_at, sitting.day, sitting_value(sitting.accepted), [sitting.accepted])
        for sitting in chart.sat
        if sitting.over_at <= chart.now and sitting.day > chart.patient.enrolled_on
    ]


def _days(chart: Chart) -> list[Element]:
    """Those that are closed: until then another sitting may come."""
    return [
        _group(chart.days.close(day), day, day_value(groups), groups)
        for day, groups in chart.measured.items()
        if chart.days.is_closed(day) and day > chart.patient.enrolled_on
    ]


def _group(at: datetime, day: date, value: Pressure, groups: Sittings) -> Element:
    return Element(
        at=at,
        day=day,
        values={"systolic": _nearest(value[0] * MILLION), "diastolic": _nearest(value[1] * MILLION)},
        readings=tuple((one.at, one.name) for group in groups for one in group),
    )


def _nearest(mean: Fraction) -> int:
    """A mean to the nearest whole millionth, halves up."""
    return floor(mean + Fraction(1, 2))
