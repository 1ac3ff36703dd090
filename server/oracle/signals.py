"""The signals that a trend may be about: one entry each says where its number stands and in which unit it is written.

A signal that is not in the table is not understood, and the rule that names it is refused (`rules`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from server.oracle.shapes import Kind, OracleReading

PRESSURE: Final = "pressure"
"""The group of the two pressures of an inflation, which are always there together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """`value`: a reading's number in `unit`, if it has one. Signals of one `group` are there together or not at all.

    `meals`: the readings are of one of these; empty: of any, or of none.
    """

    name: str
    unit: str
    group: str
    kinds: tuple[Kind, ...]
    value: Callable[[OracleReading], Fraction | None]
    meals: tuple[str, ...] = ()


_GLUCOSES: Final[tuple[tuple[str, Kind, tuple[str, ...]], ...]] = (
    ("glucose", "glucose", ()),
    ("fasting_glucose", "glucose", ("fasting",)),
    ("preprandial_glucose", "glucose", ("fasting", "preprandial")),
    ("postprandial_glucose", "glucose", ("postprandial",)),
    ("sensor_glucose", "sensor_glucose", ()),
)


def _irregular(reading: OracleReading) -> Fraction | None:
    """Bit 2 of the Measurement Status, of cuffs that send one."""
    return None if reading.status is None else Fraction(reading.status >> 2 & 1)


def _pulse_pressure(reading: OracleReading) -> Fraction | None:
    if reading.systolic_mmhg is None or reading.diastolic_mmhg is None:
        return None
    return reading.systolic_mmhg - reading.diastolic_mmhg


SIGNALS: Final[tuple[Signal, ...]] = (
    Signal(name="systolic", unit="mmHg", group=PRESSURE, kinds=("blood_pressure",), value=lambda r: r.systolic_mmhg),
    Signal(name="diastolic", unit="mmHg", group=PRESSURE, kinds=("blood_pressure",), value=lambda r: r.diastolic_mmhg),
    Signal(
        name="pulse_pressure", unit="mmHg", group="pulse_pressure", kinds=("blood_pressure",), value=_pulse_pressure
    ),
    Signal(
        name="pulse",
        unit="bpm",
        group="pulse",
        kinds=("blood_pressure", "oxygen_saturation"),
        value=lambda r: r.pulse_bpm,
    ),
    Signal(name="irregular_pulse", unit="flag", group="irregular_pulse", kinds=("blood_pressure",), value=_irregular),
    *(
        Signal(name=name, unit=unit, group=name, kinds=(kind,), value=value, meals=meals)
        for name, kind, meals in _GLUCOSES
        for unit, value in (("mmol/L", lambda r: r.glucose_mmol_l), ("mg/dL", lambda r: r.glucose_mg_dl))
    ),
    Signal(name="weight", unit="kg", group="weight", kinds=("weight",), value=lambda r: r.weight_kg),
    Signal(name="spo2", unit="%", group="spo2", kinds=("oxygen_saturation",), value=lambda r: r.spo2_percent),
    Signal(
        name="temperature",
        unit="°C",
        group="temperature",
        kinds=("temperature",),
        value=lambda r: r.temperature_celsius,
    ),
)
"""The first entry of a name is the column for figures that have no unit of the signal's own: a CV, a count."""


def signal_called(name: str, unit: str | None = None) -> Signal | None:
    """The signal of this name and unit; without a unit the first of the name. None: there is none."""
    return next((one for one in SIGNALS if one.name == name and unit in (None, one.unit)), None)
