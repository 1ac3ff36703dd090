"""A simulated person's body: how far one blood-pressure or glucose reading lies from what the person has on average.

Deviations add up over the day, the sitting and the single inflation, each normal. The standard deviations were chosen so
that two readings of a sitting differ as published (by 10 mmHg or more a quarter of the time: 77,520 volunteers). It leaves
out white-coat decay, treatment effects within a day and days that resemble their neighbours: good for ranking rules, no
claim about performance (docs/explanation/safety).
"""

import random
from dataclasses import dataclass
from typing import Final

SYSTOLIC_SD_MMHG: Final = (5.0, 5.0, 5.0)
DIASTOLIC_SD_MMHG: Final = (3.0, 3.0, 4.0)
"""Of the day, the sitting and the reading."""

DAY_CORRELATION: Final = 0.6
"""Between the day's systolic and diastolic deviation; sitting and reading deviate independently."""

PULSE_SD_BPM: Final = 4.0
SMALLEST_PULSE_PRESSURE_MMHG: Final = 15

METER_ERROR_SD: Final = 15 / 1.96
"""mg/dL below 100 mg/dL, percent from there on: ISO 15197:2013 has 95 % of results within 15."""

GLUCOSE_DAY_SD_MG_DL: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPoint:
    """What a person has on average."""

    systolic_mmhg: float
    diastolic_mmhg: float
    pulse_bpm: float = 72.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """So far from the set point, in mmHg."""

    systolic_mmhg: float
    diastolic_mmhg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflation:
    """What a cuff would show: whole numbers, diastolic below systolic."""

    systolic_mmhg: int
    diastolic_mmhg: int
    pulse_bpm: int


def draw_day(rng: random.Random) -> Deviation:
    """The deviation of one day, shared by all its sittings."""
    systolic, other = rng.gauss(0, 1), rng.gauss(0, 1)
    shared = DAY_CORRELATION * systolic + (1 - DAY_CORRELATION**2) ** 0.5 * other
    return Deviation(systolic_mmhg=SYSTOLIC_SD_MMHG[0] * systolic, diastolic_mmhg=DIASTOLIC_SD_MMHG[0] * shared)


def draw_sitting(rng: random.Random, day: Deviation) -> Deviation:
    """The deviation of one sitting on that day, shared by its inflations."""
    return _further(rng, day, SYSTOLIC_SD_MMHG[1], DIASTOLIC_SD_MMHG[1])


def draw_inflation(rng: random.Random, set_point: SetPoint, sitting: Deviation) -> Inflation:
    """One inflation in that sitting."""
    own = _further(rng, sitting, SYSTOLIC_SD_MMHG[2], DIASTOLIC_SD_MMHG[2])
    systolic = round(set_point.systolic_mmhg + own.systolic_mmhg)
    diastolic = round(set_point.diastolic_mmhg + own.diastolic_mmhg)
    return Inflation(
        systolic_mmhg=systolic,
        diastolic_mmhg=min(diastolic, systolic - SMALLEST_PULSE_PRESSURE_MMHG),
        pulse_bpm=round(rng.gauss(set_point.pulse_bpm, PULSE_SD_BPM)),
    )


def draw_glucose_mg_dl(rng: random.Random, mean_mg_dl: float) -> int:
    """One finger-stick of a person who has `mean_mg_dl` at this hour: the day's deviation, then the meter's error."""
    true = max(40.0, rng.gauss(mean_mg_dl, GLUCOSE_DAY_SD_MG_DL))
    error = METER_ERROR_SD if true < 100 else true * METER_ERROR_SD / 100
    return round(max(20.0, rng.gauss(true, error)))


def _further(rng: random.Random, from_: Deviation, systolic_sd: float, diastolic_sd: float) -> Deviation:
    return Deviation(
        systolic_mmhg=from_.systolic_mmhg + rng.gauss(0, systolic_sd),
        diastolic_mmhg=from_.diastolic_mmhg + rng.gauss(0, diastolic_sd),
    )
