"""Simulated home pressures and who flags them: the product's own kernels, and the same rule once more in plain numpy.

The model knows a person's true mean, noise of the day, of the sitting and of the single reading, whole mmHg, days without a
measurement, and a step of the mean. It knows no white-coat decay, no effect of treatment, no artefacts, no days that resemble
the days before, and no two people who differ: it serves to rank rules, and says nothing about how well one works in a clinic.

A *flag* is a day at whose close a rule holds; the product pushes once for the episode that flags make, not once for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from server.rules import kernels
from server.rules.clinical_days import DAY_START, Calendar
from server.rules.conditions import DaysInARow
from server.rules.episodes import QUIET_DAYS
from server.rules.kernels import Int64s
from server.rules.pressure_marks import mark
from server.rules.rule import DaysInARowRule
from server.rules.windows import ACCEPTED, ZoneSpan, to_us

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

DAY_SD, SITTING_SD, READING_SD = (5.0, 3.0), (5.0, 3.0), (5.0, 4.0)
"""Standard deviations in mmHg, systolic and diastolic. Two readings of a sitting then differ by 10 mmHg or more in 25.6 % of
sittings; of 77,520 volunteers it was 25.2 %."""
DAY_CORRELATION: Final = 0.6
"""Of a day's systolic and diastolic deviation."""

ZONE: Final = "Europe/Berlin"
FIRST_DAY: Final = date(2026, 9, 1)
"""The end of summer time (25 October) lies within the days: the calendar is a part of what is tried."""
MORNING, EVENING = timedelta(hours=6), timedelta(hours=21, minutes=30)
MORNINGS, EVENINGS = 180, 200
"""Minutes over which people's hours are spread: the last sit down at 08:59 and, on the same clinical day, at 00:49."""
APART: Final = timedelta(minutes=1)


class Taking(Enum):
    """What a person measures on a day on which they measure at all. A sitting has two readings, a minute apart."""

    FOUR = "4 readings a day"
    ONE = "1 reading a day"
    REPEATED = "1 reading a day, measured again if high"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From day `day` on (counted from 0) the true systolic mean is `systolic_mmhg`."""

    day: int
    systolic_mmhg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """What would be read, float64[patients, days, 2 sittings, 2 readings] of whole mmHg, and the days on which it is."""

    systolic_mmhg: Floats
    diastolic_mmhg: Floats
    measured: Bools  # [patients, days]

    def until(self, day: int) -> "Population":
        """The days before `day`, counted from 0."""
        return Population(
            systolic_mmhg=self.systolic_mmhg[:, :day],
            diastolic_mmhg=self.diastolic_mmhg[:, :day],
            measured=self.measured[:, :day],
        )


def draw(
    rng: np.random.Generator,
    *,
    patients: int,
    days: int,
    systolic_mmhg: float,
    diastolic_mmhg: float = 78.0,
    adherence: float = 1.0,
    step: Step | None = None,
) -> Population:
    """People of one true mean. `adherence` is the chance that a day is measured, drawn for every day by itself."""
    mean = np.full(days, systolic_mmhg)
    if step is not None:
        mean[step.day :] = step.systolic_mmhg
    shape = (patients, days)
    shared, own = rng.normal(size=shape), rng.normal(size=shape)
    day_effect = DAY_CORRELATION * shared + np.sqrt(1 - DAY_CORRELATION**2) * own
    means = (mean + DAY_SD[0] * shared, diastolic_mmhg + DAY_SD[1] * day_effect)
    pressures = [
        np.rint(
            by_day[:, :, None, None]
            + rng.normal(0, SITTING_SD[signal], (*shape, 2, 1))
            + rng.normal(0, READING_SD[signal], (*shape, 2, 2))
        )
        for signal, by_day in enumerate(means)
    ]
    return Population(systolic_mmhg=pressures[0], diastolic_mmhg=pressures[1], measured=rng.random(shape) < adherence)


def varied(rule: DaysInARowRule, **changes: Any) -> DaysInARowRule:
    """`rule` with parts of its `when` written otherwise, checked as if it had come from a file."""
    when = rule.when.model_dump(exclude_none=True) | changes
    return rule.model_copy(update={"when": DaysInARow.model_validate(when)})


def is_met(rule: DaysInARowRule, systolic_mmhg: Floats, diastolic_mmhg: Floats) -> Bools:
    """Where values meet any condition of `rule`, whatever they are values of."""
    values = {"systolic": systolic_mmhg, "diastolic": diastolic_mmhg}
    holds = {"above": np.greater, "at_least": np.greater_equal, "below": np.less, "at_most": np.less_equal}
    met: Bools = np.logical_or.reduce(
        [holds[each.comparison](values[each.signal], each.value) for each in rule.when.any_of]
    )
    return met


def taken(population: Population, taking: Taking, rule: DaysInARowRule) -> Bools:
    """Which readings are really made, bool[patients, days, 2, 2]. What is high enough to repeat is what `rule` calls so."""
    made = np.zeros(population.systolic_mmhg.shape, np.bool_)
    if taking is Taking.FOUR:
        made[:] = True
    else:
        made[:, :, 0, 0] = True
    if taking is Taking.REPEATED:
        made[:, :, 0, 1] = is_met(rule, population.systolic_mmhg[:, :, 0, 0], population.diastolic_mmhg[:, :, 0, 0])
    return made & population.measured[:, :, None, None]


# -- the product's own engine ------------------------------------------------------------------------------------------


def instants_us(patients: int, days: int) -> Int64s:
    """When each reading would be made, int64[patients, days, 2, 2] in µs since 1970: each person's own hours in `ZONE`."""
    zone = ZoneInfo(ZONE)
    # From 03:00 to 03:00 Berlin's offset does not change, so midnight by the noon's offset carries the whole clinical day.
    noons = [datetime.combine(FIRST_DAY + timedelta(days=day), time(12), zone) for day in range(days)]
    midnights = [to_us(noon.astimezone(UTC) - timedelta(hours=12)) for noon in noons]
    minute = timedelta(minutes=1) // timedelta(microseconds=1)
    person = np.arange(patients)
    hours = np.stack(
        [
            MORNING // timedelta(minutes=1) + person * 11 % MORNINGS,
            EVENING // timedelta(minutes=1) + person * 7 % EVENINGS,
        ],
        axis=1,
    )
    at = np.array(midnights, np.int64)[None, :, None, None] + (hours * minute)[:, None, :, None]
    return at + np.array([0, APART // timedelta(microseconds=1)], np.int64)


def engine_days(population: Population, made: Bools, *, is_gated: bool = False) -> Int64s:
    """The table of `kernels.measured_days` of the readings in `made`; patients are numbered as in `population`.

    Without `is_gated` every reading is accepted, since the model makes no artefacts; with it the product's own marks decide.
    """
    patients, days = population.measured.shape
    at_us = instants_us(patients, days)[made]
    systolic = kernels.micro(population.systolic_mmhg[made])
    diastolic = kernels.micro(population.diastolic_mmhg[made])
    first = np.concatenate([[0], np.cumsum(made.sum(axis=(1, 2, 3)))]).astype(np.int64)
    certain, quality = np.ones(len(at_us), np.int8), np.full(len(at_us), ACCEPTED, np.int8)
    if is_gated:
        quality = mark(first, at_us, systolic, diastolic, quality, certain)
    sitting = kernels.sit(first, at_us, certain)
    day = _calendar(days).days_of(at_us)
    return kernels.measured_days(kernels.sittings(first, systolic, diastolic, quality, sitting, day))


def engine_flags(days: Int64s, rule: DaysInARowRule, shape: tuple[int, int]) -> Bools:
    """The flags of `rule`, bool[patients, days]: each day is judged as the newest that there is.

    The kernel tells of openings, and an open episode hides the flags after its first. So every measured day gets a view of
    its own, of the last days that count, and is flagged if the newest day of the view opens an episode.
    """
    counted = days[days[:, 2] >= rule.when.min_readings_per_day]
    n = rule.when.days
    newest = np.flatnonzero(counted[n - 1 :, 0] == counted[: len(counted) - n + 1, 0]) + n - 1
    views = counted[(newest[:, None] - np.arange(n - 1, -1, -1)).ravel()]
    views[:, 0] = np.repeat(np.arange(len(newest)), n)
    opened = _runs(views, rule, patients=len(newest), days=shape[1])[:, kernels.OPENED]
    assert np.all(opened % n == n - 1), "nothing but the newest day of a view can complete it"
    flagged = counted[newest[opened // n]]
    return _on_days(flagged, shape)


def engine_openings(days: Int64s, rule: DaysInARowRule, shape: tuple[int, int]) -> Bools:
    """The days on which episodes open, bool[patients, days], over whole histories, resolved and armed again as shipped."""
    found = _runs(days, rule, patients=shape[0], days=shape[1])
    return _on_days(days[found[:, kernels.OPENED]], shape)


def _runs(days_table: Int64s, rule: DaysInARowRule, *, patients: int, days: int) -> Int64s:
    """`kernels.runs`, called as `server.rules.days_in_a_row` calls it; everybody was enrolled the day before the first."""
    when, resolve = rule.when, rule.resolve
    return kernels.runs(
        days_table,
        np.full(patients, FIRST_DAY.toordinal() - 1, np.int64),
        np.full(patients, FIRST_DAY.toordinal() + days, np.int64),
        np.array([kernels.SIGNAL_CODES[each.signal] for each in when.any_of], np.int8),
        np.array([kernels.COMPARISON_CODES[each.comparison] for each in when.any_of], np.int8),
        np.tile(kernels.micro(np.array([each.value for each in when.any_of])), (patients, 1)),
        when.days,
        when.span_days,
        when.min_readings_per_day,
        round(resolve.below_by * kernels.MICRO),
        resolve.days,
        QUIET_DAYS,
    )


def _on_days(rows: Int64s, shape: tuple[int, int]) -> Bools:
    flags = np.zeros(shape, np.bool_)
    flags[rows[:, 0], rows[:, 1] - FIRST_DAY.toordinal()] = True
    return flags


def _calendar(days: int) -> Calendar:
    over = datetime.combine(FIRST_DAY + timedelta(days=days), DAY_START, ZoneInfo(ZONE)).astimezone(UTC)
    return Calendar([ZoneSpan(valid_from=datetime(2020, 1, 1, tzinfo=UTC), zone=ZONE)], over)


# -- plain numpy: the same rule by its formula, and the rules that the product does not have ---------------------------


def formula_flags(population: Population, taking: Taking, rule: DaysInARowRule) -> Bools:
    """What `engine_flags` must equal: the mean of what was read each day, and nothing of the product but the rule's text."""
    elevated = is_met(rule, *_day_means(population, taking, rule)) & population.measured
    if rule.when.missing_day == "break":
        return in_calendar_row(elevated, rule.when.days)
    run = np.zeros(len(elevated), np.int64)
    measured_on = np.full((len(elevated), rule.when.days), -1, np.int64)  # the last measured days, oldest first
    flags = np.zeros_like(elevated)
    for day in range(elevated.shape[1]):
        here = population.measured[:, day]
        run[here] = np.where(elevated[here, day], run[here] + 1, 0)
        measured_on[here] = np.column_stack([measured_on[here, 1:], np.full(here.sum(), day)])
        flags[:, day] = here & (run >= rule.when.days) & (day - measured_on[:, 0] < rule.when.span_days)
    return flags


def _day_means(population: Population, taking: Taking, rule: DaysInARowRule) -> tuple[Floats, Floats]:
    both = (population.systolic_mmhg, population.diastolic_mmhg)
    if taking is Taking.FOUR:
        return both[0].mean(axis=(2, 3)), both[1].mean(axis=(2, 3))
    first = (both[0][:, :, 0, 0], both[1][:, :, 0, 0])
    if taking is Taking.ONE:
        return first
    is_high = is_met(rule, *first)
    repeated = [np.where(is_high, each[:, :, 0].mean(axis=2), each[:, :, 0, 0]) for each in both]
    return repeated[0], repeated[1]


def in_calendar_row(elevated: Bools, n: int) -> Bools:
    """Days that are the last of `n` elevated calendar days in a row."""
    flags = np.zeros_like(elevated)
    flags[:, n - 1 :] = sliding_window_view(elevated, n, axis=1).all(axis=2)
    return flags


def other_flags(population: Population, rule: DaysInARowRule) -> Mapping[str, Bools]:
    """Flags of the rules A, C, D, E with `rule`'s thresholds, four readings a day. The product deliberately has none of them.

    As with B, each signal is looked at by itself: D asks for every systolic of the day, or for every diastolic.
    """
    both = (population.systolic_mmhg, population.diastolic_mmhg)
    any_high, all_high = (
        is_met(rule, *(of_day(each, axis=(2, 3)) for each in both)) & population.measured for of_day in (np.max, np.min)
    )
    n = rule.when.days
    pooled = np.zeros_like(population.measured)
    pooled[:, n - 1 :] = is_met(
        rule, *(sliding_window_view(each.mean(axis=(2, 3)), n, axis=1).mean(axis=2) for each in both)
    )
    return {
        "A": in_calendar_row(any_high, n),
        "C": pooled & in_calendar_row(population.measured, n),
        "D": in_calendar_row(all_high, n),
        "E": any_high,
    }
