"""Who the cohort's people are and what they measure, drawn with NumPy.

Most are dull; a fifth here and a tenth there is hypertensive, labile, diabetic, hypoglycaemic, tachycardic, forgetful or
overzealous, so that each rule has somebody to speak of and most people to be silent about. A value is the person's level plus
a day's, a sitting's and its own deviation, times the person's spread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.rules_bench.specs import DAY_S, GLUCOSE_END, HOUR_S

ZONES: Final = ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Sydney")
"""Without daylight saving time, and with three different sets of changes."""

_PAUSE_JITTER: Final = 0.25  # a pause between sittings is the person's pace, give or take this
_PAIRED: Final = 0.8  # of the sittings have a second reading
_SECOND_AFTER_S: Final = (60, 361)
_GAP_DAYS: Final = (1.0, 4.0)
_LONG_GAP_DAYS: Final = (7.2, 12.0)
_DAY, _SITTING, _OWN = (np.float32(weight) for weight in (0.8, 0.7, 0.7))

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Everybody's traits, one array each, by person."""

    zone: NDArray[np.int8]
    pace_s: Floats
    sittings: NDArray[np.int64]
    """As many as fill the time at the person's pace and a little more; what falls behind the end is not drawn."""
    gap_share: Floats
    """Of the pauses between sittings; `long_gap_share` likewise."""
    long_gap_share: Floats
    systolic: Floats
    pressure_spread: Floats
    diastolic: Floats
    pulse: Floats
    racing_share: Floats
    """Of the days, on which the pulse is some 45 higher."""
    glucose: Floats
    glucose_spread: Floats

    @property
    def patients(self) -> int:
        return len(self.zone)

    @property
    def readings_at_most(self) -> int:
        return 2 * int(self.sittings.sum())

    def part(self, begin: int, end: int) -> Self:
        return type(self)(**{field.name: getattr(self, field.name)[begin:end] for field in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Readings of a crowd, person after person, by time. `at_s` counts from the cohort's start."""

    patient: NDArray[np.int32]
    at_s: NDArray[np.int32]
    values: Mapping[str, NDArray[np.int16]]


def draw_crowd(rng: np.random.Generator, patients: int, days: int) -> Crowd:
    """Everybody's traits."""

    def some(share: float) -> NDArray[np.bool_]:
        is_one: NDArray[np.bool_] = rng.random(patients) < share
        return is_one

    def around(mean: float | Floats, deviation: float) -> Floats:
        drawn: Floats = (mean + deviation * rng.standard_normal(patients)).astype(np.float32)
        return drawn

    def either(is_special: NDArray[np.bool_], special: Any, dull: Any) -> Floats:
        chosen: Floats = np.where(is_special, special, dull).astype(np.float32)
        return chosen

    pace_s = either(some(0.10), around(6.0, 0.2), around(11.0, 0.5)).clip(5.0, 14.0) * np.float32(HOUR_S)
    is_forgetful = some(0.20)
    systolic = either(some(0.30), around(142, 10), around(121, 7))
    is_labile = some(0.15)
    is_diabetic, is_hypoglycaemic = some(0.25), some(0.12)
    return Crowd(
        zone=rng.integers(0, len(ZONES), patients, np.int8),
        pace_s=pace_s,
        sittings=np.ceil(1.02 * days * DAY_S / pace_s).astype(np.int64) + 4,
        gap_share=either(is_forgetful, 0.04, 0.0007),
        long_gap_share=either(is_forgetful, 0.006, 0.0001),
        systolic=systolic,
        pressure_spread=either(is_labile, around(13, 1.5), around(5.5, 0.6)),
        diastolic=around(systolic * np.float32(0.5) + 15, 4),
        pulse=around(70, 7),
        racing_share=either(some(0.12), 0.08, 0.0),
        glucose=either(is_diabetic, around(92, 12), either(is_hypoglycaemic, around(47, 3), around(62, 4))),
        glucose_spread=either(is_diabetic, around(26, 6).clip(8), around(7.5, 1.0)),
    )


def draw_readings(rng: np.random.Generator, crowd: Crowd, days: int) -> Drawn:
    """What a crowd measures in `days`."""
    patient, begins_s = _draw_sittings(rng, crowd, days)
    at_s = np.stack((begins_s, begins_s + rng.integers(*_SECOND_AFTER_S, len(begins_s), np.int32)), axis=1)
    is_taken = at_s < days * DAY_S
    is_taken[:, 1] &= rng.random(len(begins_s), np.float32) < _PAIRED
    day = begins_s // np.int32(DAY_S)

    def deviation(of_day: Floats | None = None) -> Floats:
        """A person's day's, sitting's and reading's, shape (sittings, 2), of about unit variance."""
        if of_day is None:
            of_day = rng.standard_normal((crowd.patients, days), np.float32)
        shared = _DAY * of_day[patient, day] + _SITTING * rng.standard_normal(len(patient), np.float32)
        all_three: Floats = shared[:, None] + _OWN * rng.standard_normal(at_s.shape, np.float32)
        return all_three

    def of_sitting(trait: Floats) -> Floats:
        return trait[patient][:, None]

    pressure = deviation() * of_sitting(crowd.pressure_spread)
    systolic = (of_sitting(crowd.systolic) + pressure).clip(70, 250)
    diastolic = of_sitting(crowd.diastolic) + np.float32(0.5) * pressure + 3 * deviation()
    is_racing = rng.random((crowd.patients, days), np.float32) < crowd.racing_share[:, None]
    pulse = of_sitting(crowd.pulse) + 5 * deviation() + (45 * is_racing[patient, day])[:, None]
    glucose = of_sitting(crowd.glucose) + of_sitting(crowd.glucose_spread) * deviation()
    values = {
        "systolic": systolic,
        "diastolic": np.minimum(diastolic, systolic - 12).clip(35),
        "pulse": pulse.clip(35, 220),
        "glucose": glucose.clip(11, GLUCOSE_END - 1),
    }
    return Drawn(
        patient=np.repeat(patient, is_taken.sum(axis=1)),
        at_s=at_s[is_taken],
        values={name: np.rint(column[is_taken]).astype(np.int16) for name, column in values.items()},
    )


def _draw_sittings(rng: np.random.Generator, crowd: Crowd, days: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Patient and first second of each sitting within the time."""
    patient = np.repeat(np.arange(crowd.patients, dtype=np.int32), crowd.sittings)
    size = len(patient)
    pause_s = crowd.pace_s[patient] * rng.uniform(1 - _PAUSE_JITTER, 1 + _PAUSE_JITTER, size)
    lot = rng.random(size, np.float32)
    long = lot < crowd.long_gap_share[patient]
    short = ~long & (lot < (crowd.gap_share + crowd.long_gap_share)[patient])
    pause_s[long] += DAY_S * rng.uniform(*_LONG_GAP_DAYS, int(long.sum()))
    pause_s[short] += DAY_S * rng.uniform(*_GAP_DAYS, int(short.sum()))
    begins_s = np.cumsum(pause_s)
    ends = np.cumsum(crowd.sittings)
    before_s = np.concatenate(([0.0], begins_s[ends[:-1] - 1]))
    begins_s -= np.repeat(before_s + crowd.pace_s * rng.random(crowd.patients) / 2, crowd.sittings)
    is_within = begins_s < days * DAY_S
    return patient[is_within], begins_s[is_within].astype(np.int32)
