"""The rules of the benchmark, as data: what every engine is given, in integers, so that there is one right answer.

Pressures are whole mmHg, pulse whole beats a minute, glucose tenths of a mmol/L, and every threshold is compared without a
division, so sums may be taken in any order and engines must agree to the last raise. A rule is *evaluable* at some of a
patient's points (a reading, a measured day), where it says yes or no; a *raise* is a point where it says yes and at the
patient's evaluable point before did not (or there was none). An engine's answer to a rule is `Raises`.

The thresholds are chosen for a benchmark, not for patients.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

Raises = tuple[int, int]
"""How many raises, and the sum of their times in seconds (a day's time is its ordinal times 86400)."""

Signal = Literal["systolic", "diastolic", "pulse", "glucose"]
Statistic = Literal["mean", "max", "min", "sd", "cv", "count"]

HOUR_S: Final = 3600
DAY_S: Final = 86_400
SITTING_GAP_S: Final = 600

MG_DL_OF_MMOL_L: Final = 18.0182
RISK_SCALE: Final = 1000
GLUCOSE_END: Final = 400
"""One past the highest glucose of a cohort, in tenths of a mmol/L: what a meter calls HI is lower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysInARow:
    """The last `days` measured days are all above, and span at most `span_days` calendar days, both ends counted.

    A day's value is the mean over its sittings of the sitting's mean; a sitting belongs to the day of its first reading.
    Evaluable from a patient's `days`-th measured day on; days that span too much are a no.
    """

    name: str
    days: int
    span_days: int
    systolic_above: int
    diastolic_above: int | None = None
    needs_both: bool = False
    """Whether both pressures must be above, or either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """A statistic of the readings in (t − `hours`, t], evaluable at a reading t where they are at least `min_readings`.

    Yes when the mean, max, SD or CV is above the threshold, the min below it, the count at least it. SD and CV are of the
    sample (n − 1), the threshold of a CV is in percent.
    """

    name: str
    statistic: Statistic
    signal: Signal
    hours: int
    threshold: int
    min_readings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeShare:
    """Less than `below_percent` of the readings in (t − `hours`, t] lie in `low`..`high`, both included."""

    name: str
    signal: Signal
    low: int
    high: int
    below_percent: int
    hours: int
    min_readings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LowGlucoseRisk:
    """The mean of `RISK_OF_GLUCOSE` over (t − `hours`, t], which is the LBGI times `RISK_SCALE`, is above the threshold."""

    name: str
    above: int
    hours: int
    min_readings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountOfLast:
    """At least `hits` of the last `of` readings are above; evaluable from the patient's `of`-th reading on."""

    name: str
    signal: Signal
    above: int
    hits: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """A reading is at least `by` more than the least in (t − `hours`, t]; evaluable at every reading."""

    name: str
    signal: Signal
    by: int
    hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """No reading in (t, t + `hours`] after a reading t, by the end of the cohort; raised at t + `hours`."""

    name: str
    hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A reading is critical in either pressure, and so was the patient's reading before, at most `within_s` earlier.

    Evaluable at every reading.
    """

    name: str
    systolic_at_least: int
    diastolic_at_least: int
    within_s: int


RuleSpec = DaysInARow | Rolling | RangeShare | LowGlucoseRisk | CountOfLast | Rise | Silence | Confirmed


def _risk(glucose: int) -> int:
    """Kovatchev's risk of a low glucose, times `RISK_SCALE`. Below 1 mg/dL the formula has no value; none is measured."""
    mg_dl = max(glucose, 1) / 10 * MG_DL_OF_MMOL_L
    f: float = 1.509 * (math.log(mg_dl) ** 1.084 - 5.381)
    return round(RISK_SCALE * 10 * min(0.0, f) ** 2)


RISK_OF_GLUCOSE: Final = tuple(_risk(glucose) for glucose in range(GLUCOSE_END))
"""By tenths of a mmol/L. A table of integers, so that no engine's logarithm decides an equality."""

THREE_DAYS: Final = DaysInARow(name="three-days", days=3, span_days=5, systolic_above=140, diastolic_above=90)
ROLLING_MEAN: Final = Rolling(
    name="rolling-mean", statistic="mean", signal="systolic", hours=72, threshold=150, min_readings=6
)

TWENTY: Final[tuple[RuleSpec, ...]] = (
    THREE_DAYS,
    DaysInARow(name="two-days-strict", days=2, span_days=2, systolic_above=150),
    DaysInARow(name="seven-days-both", days=7, span_days=10, systolic_above=130, diastolic_above=80, needs_both=True),
    ROLLING_MEAN,
    Rolling(name="glucose-mean", statistic="mean", signal="glucose", hours=168, threshold=100, min_readings=7),
    Rolling(name="highest", statistic="max", signal="systolic", hours=24, threshold=180, min_readings=1),
    Rolling(name="lowest", statistic="min", signal="systolic", hours=24, threshold=95, min_readings=1),
    Rolling(name="glucose-sd", statistic="sd", signal="glucose", hours=336, threshold=30, min_readings=7),
    Rolling(name="pressure-cv", statistic="cv", signal="systolic", hours=168, threshold=11, min_readings=10),
    Rolling(name="busy-day", statistic="count", signal="systolic", hours=24, threshold=8, min_readings=1),
    CountOfLast(name="high-3-of-5", signal="systolic", above=160, hits=3, of=5),
    CountOfLast(name="diastolic-2-of-3", signal="diastolic", above=100, hits=2, of=3),
    CountOfLast(name="pulse-4-of-6", signal="pulse", above=110, hits=4, of=6),
    Rise(name="pressure-rise", signal="systolic", by=40, hours=24),
    Rise(name="glucose-rise", signal="glucose", by=50, hours=24),
    Silence(name="silent-3-days", hours=72),
    Silence(name="silent-7-days", hours=168),
    Confirmed(name="critical-confirmed", systolic_at_least=180, diastolic_at_least=120, within_s=600),
    RangeShare(
        name="glucose-in-range", signal="glucose", low=39, high=100, below_percent=70, hours=336, min_readings=20
    ),
    LowGlucoseRisk(name="low-glucose-risk", above=2500, hours=336, min_readings=20),
)

RULE_SETS: Final[dict[str, tuple[RuleSpec, ...]]] = {
    "three-days": (THREE_DAYS,),
    "rolling-mean": (ROLLING_MEAN,),
    "twenty": TWENTY,
}
