"""Glucose readings as the rules about glucose use them: whole millionths of a unit, or HI, or LO. Knows no rule."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Final

from server.oracle.chart import Chart
from server.oracle.figures import MILLION
from server.oracle.marks import by_itself
from server.oracle.shapes import OracleReading

COLUMNS: Final[dict[str, Callable[[OracleReading], Fraction | None]]] = {
    "mmol/L": lambda reading: reading.glucose_mmol_l,
    "mg/dL": lambda reading: reading.glucose_mg_dl,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sugar:
    """`millionths` of the unit asked for; none of what the meter showed as HI (`is_hi`) or LO."""

    at: datetime
    name: str
    day: date
    millionths: int | None
    is_hi: bool = False

    def is_above(self, limit: Fraction) -> bool:
        return self.is_hi if self.millionths is None else self.millionths > limit * MILLION

    def is_below(self, limit: Fraction) -> bool:
        return not self.is_hi if self.millionths is None else self.millionths < limit * MILLION


def sugars(chart: Chart, kind: str, unit: str) -> list[Sugar]:
    """The usable ones, in order: accepted, of a time that is certain, with a number in `unit` or HI or LO."""
    found = [_sugar(chart, reading, unit) for reading in chart.patient.readings if _is_usable(reading, kind)]
    return sorted((one for one in found if one is not None), key=lambda one: (one.at, one.name))


def _is_usable(reading: OracleReading, kind: str) -> bool:
    is_placed = reading.time_quality not in ("orphan", "suspect")
    return reading.kind == kind and is_placed and by_itself(reading) == "accepted"


def _sugar(chart: Chart, reading: OracleReading, unit: str) -> Sugar | None:
    value = None if reading.is_censored else COLUMNS[unit](reading)
    if value is None and not reading.is_censored:
        return None
    return Sugar(
        at=reading.measured_at,
        name=reading.name,
        day=chart.days.day(reading.measured_at),
        millionths=None if value is None else round(value * MILLION),
        is_hi=reading.is_censored and reading.is_hi,
    )
