"""The readings that a rule about single values speaks of, whatever was measured: each with its quality and its sitting."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal

from server.oracle.chart import SITTING_GAP, Chart
from server.oracle.marks import by_itself
from server.oracle.shapes import OracleReading, Quality
from server.oracle.signals import PRESSURE, Signal, signal_called
from server.oracle.written import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """`values` by signal, to the millionth of the unit; None: it has no such number. `beyond`: HI or LO instead of any number.

    `sitting`: its number among the sittings of such readings; None where its time is in doubt.
    """

    name: str
    at: datetime
    received: datetime
    quality: Quality
    values: Mapping[str, Fraction | None]
    beyond: Literal["HI", "LO"] | None
    sitting: int | None

    def meets(self, condition: Condition) -> bool:
        """HI is above whatever is written, LO below."""
        if self.beyond is not None:
            return condition.comparison in (("above", "at_least") if self.beyond == "HI" else ("below", "at_most"))
        value = self.values[condition.signal]
        return value is not None and condition.is_met(value)

    @property
    def says_it_all(self) -> bool:
        """Is there everything that its conditions compare, so that it can be good?"""
        return self.beyond is not None or None not in self.values.values()


def takings(chart: Chart, conditions: Sequence[Condition]) -> list[Taken]:
    """The readings of the kinds that carry the conditions' signals, no orphans, in order of time."""
    signals = [signal_called(condition.signal, condition.unit) for condition in conditions]
    each = {signal.name: signal for signal in signals if signal is not None}
    kinds = next(iter(each.values())).kinds
    ordered = sorted(
        (r for r in chart.patient.readings if r.kind in kinds and r.time_quality != "orphan" and _carries(r, each)),
        key=lambda r: (r.measured_at, r.name),
    )
    is_pressure = {signal.group for signal in each.values()} == {PRESSURE}
    places = chart.place if is_pressure else _places(ordered)
    return [_taken(chart, reading, each, places) for reading in ordered]


def _carries(reading: OracleReading, signals: Mapping[str, Signal]) -> bool:
    """A cuff or an oximeter that gave no pulse says nothing of the pulse; a reading of any other kind is always one of it."""
    pulse = signals.get("pulse")
    return pulse is None or pulse.value(reading) is not None


def _places(ordered: Iterable[OracleReading]) -> dict[str, int]:
    """The sitting of each reading by name, whatever its quality, with gaps of at most ten minutes."""
    places: dict[str, int] = {}
    newest: OracleReading | None = None
    number = 0
    for reading in ordered:
        if reading.time_quality == "suspect":
            continue
        if newest is not None and reading.measured_at - newest.measured_at > SITTING_GAP:
            number += 1
        places[reading.name] = number
        newest = reading
    return places


def _taken(chart: Chart, reading: OracleReading, signals: Mapping[str, Signal], places: Mapping[str, int]) -> Taken:
    return Taken(
        name=reading.name,
        at=reading.measured_at,
        received=reading.received_at,
        quality=_quality(chart, reading),
        values={name: _millionths(signal.value, reading) for name, signal in signals.items()},
        beyond=None if not reading.is_censored else "HI" if reading.is_hi else "LO",
        sitting=places.get(reading.name),
    )


def _quality(chart: Chart, reading: OracleReading) -> Quality:
    """Blood pressures are marked among each other; all else by itself, and doubted where its time is."""
    if reading.kind == "blood_pressure":
        return chart.quality[reading.name]
    mark = by_itself(reading)
    return "suspect" if mark == "accepted" and reading.time_quality == "suspect" else mark


def _millionths(value_of: Callable[[OracleReading], Fraction | None], reading: OracleReading) -> Fraction | None:
    value = value_of(reading)
    return None if value is None else round(value, 6)
