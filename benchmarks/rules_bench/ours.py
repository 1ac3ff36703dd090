"""The rules by the product's own kernels: the cohort as its columns, the rules as its plan, its threads."""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, assert_never

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.rules_bench.cohort import START, Cohort
from benchmarks.rules_bench.people import ZONES
from benchmarks.rules_bench.specs import (
    DAY_S,
    HOUR_S,
    RISK_OF_GLUCOSE,
    Confirmed,
    CountOfLast,
    DaysInARow,
    LowGlucoseRisk,
    Raises,
    RangeShare,
    Rise,
    Rolling,
    RuleSpec,
    Silence,
)
from server.rules import sweep, sweep_plan
from server.rules.clinical_days import Calendar
from server.rules.sweep_columns import RULE, SINCE
from server.rules.sweep_plan import Plan, Question
from server.rules.windows import ZoneSpan
from server.sweeps import sweep as sweep_all

SIGNALS: Final = ("systolic", "diastolic", "pulse", "glucose")
SYSTOLIC, DIASTOLIC, _, GLUCOSE = range(4)

US: Final = 1_000_000
MICRO: Final = {"systolic": US, "diastolic": US, "pulse": US, "glucose": US // 10}
"""What a cohort's unit is in millionths of the product's."""

_LOADED_PATIENTS: Final = 500
_Ints = NDArray[np.int64]


class OursEngine:
    """A cohort as the product's columns: 24 bytes a reading."""

    name = "ours"
    is_elsewhere = False

    def __init__(self, columns: sweep.Cohort, threads: int) -> None:
        self.threads = threads
        self._columns: sweep.Cohort | None = columns

    def judge(self, rules: Sequence[RuleSpec]) -> list[Raises]:
        assert self._columns is not None, "closed"
        figures = np.zeros((len(rules), 2), np.int64)
        seconds = np.array([1 if isinstance(rule, DaysInARow) else US for rule in rules], np.int64)
        for _, part in sweep_all(self._columns, plan_of(rules), threads=self.threads, take=_taker(seconds)):
            figures += part
        return [_answer(rule, *map(int, row)) for rule, row in zip(rules, figures, strict=True)]

    def close(self) -> None:
        self._columns = None


def open_engines(cohort: Cohort) -> list[OursEngine]:
    """On one thread and on all, over the same columns."""
    columns = load(cohort)
    return [OursEngine(columns, threads) for threads in sorted({1, os.cpu_count() or 1})]


def load(cohort: Cohort) -> sweep.Cohort:
    """The product's columns of a cohort, filled a part at a time."""
    at_us, values = np.empty(len(cohort), np.int64), np.empty((len(SIGNALS), len(cohort)), np.int32)
    for begin in range(0, cohort.patients, _LOADED_PATIENTS):
        rows = slice(*cohort.first[[begin, min(begin + _LOADED_PATIENTS, cohort.patients)]].tolist())
        np.multiply(cohort.at_s[rows], US, out=at_us[rows], dtype=np.int64)
        for row, name in enumerate(SIGNALS):
            np.multiply(getattr(cohort, name)[rows], MICRO[name], out=values[row, rows], dtype=np.int32)
    until = datetime.fromtimestamp(cohort.until_s, UTC)
    zones = [Calendar([ZoneSpan(valid_from=START, zone=zone)], until) for zone in ZONES]
    spans_from, shifts = sweep.calendars(zones, START.year, until.year)
    return sweep.Cohort(
        first=cohort.first,
        at_us=at_us,
        values=values,
        calendar=cohort.zone.astype(np.int64),
        spans_from=spans_from,
        shifts=shifts,
        until_us=cohort.until_s * US,
    )


def plan_of(rules: Sequence[RuleSpec]) -> Plan:
    """The plan by which the product judges the benchmark's rules."""
    return sweep_plan.plan([_question(rule) for rule in rules], RISK_OF_GLUCOSE)


def _question(rule: RuleSpec) -> Question:
    match rule:
        case DaysInARow():
            other_above = None if rule.diastolic_above is None else rule.diastolic_above * US
            return sweep_plan.days_in_a_row(
                SYSTOLIC,
                rule.systolic_above * US,
                DIASTOLIC,
                other_above,
                needs_both=rule.needs_both,
                days=rule.days,
                span_days=rule.span_days,
            )
        case Rolling():
            return _rolling(rule)
        case RangeShare():
            low, high = rule.low * MICRO[rule.signal], rule.high * MICRO[rule.signal]
            place = SIGNALS.index(rule.signal)
            return sweep_plan.share(place, low, high, "below", rule.below_percent, **_window(rule))
        case LowGlucoseRisk():
            return sweep_plan.score_above(GLUCOSE, MICRO["glucose"], rule.above, **_window(rule))
        case CountOfLast():
            threshold = rule.above * MICRO[rule.signal]
            place = SIGNALS.index(rule.signal)
            return sweep_plan.among_last(
                place, "above", threshold, needed=rule.hits, of_last=rule.of, from_row=rule.of - 1
            )
        case Rise():
            by = rule.by * MICRO[rule.signal]
            return sweep_plan.change(SIGNALS.index(rule.signal), by, width_us=rule.hours * HOUR_S * US)
        case Silence():
            return sweep_plan.silence(width_us=rule.hours * HOUR_S * US)
        case Confirmed():
            systolic, diastolic = rule.systolic_at_least * US, rule.diastolic_at_least * US
            return sweep_plan.repeated(SYSTOLIC, systolic, DIASTOLIC, diastolic, within_us=rule.within_s * US)
        case _:
            assert_never(rule)


def _rolling(rule: Rolling) -> Question:
    place, threshold = SIGNALS.index(rule.signal), rule.threshold * MICRO[rule.signal]
    match rule.statistic:
        case "mean":
            return sweep_plan.mean(place, "above", threshold, **_window(rule))
        case "max":
            return sweep_plan.extreme(place, "above", threshold, **_window(rule))
        case "min":
            return sweep_plan.extreme(place, "below", threshold, **_window(rule))
        case "sd":
            return sweep_plan.deviation_above(place, threshold * 1000 // US, **_window(rule))
        case "cv":
            return sweep_plan.variation_above(place, rule.threshold * 100, **_window(rule))
        case "count":
            return sweep_plan.many(rule.threshold, width_us=rule.hours * HOUR_S * US)
        case _:
            assert_never(rule.statistic)


def _window(rule: Rolling | RangeShare | LowGlucoseRisk) -> dict[str, int]:
    return {"width_us": rule.hours * HOUR_S * US, "fewest": rule.min_readings}


def _answer(rule: RuleSpec, count: int, total: int) -> Raises:
    return count, total * DAY_S if isinstance(rule, DaysInARow) else total


def _taker(seconds: _Ints) -> Callable[[Iterator[_Ints]], _Ints]:
    def take(tables: Iterator[_Ints]) -> _Ints:
        figures = np.zeros((len(seconds), 2), np.int64)
        for table in tables:
            _tally(table, seconds, figures)
        return figures

    return take


@njit("void(int64[:, ::1], int64[::1], int64[:, ::1])", nogil=True, cache=True)
def _tally(table: _Ints, seconds: _Ints, figures: _Ints) -> None:
    """Count each rule's stretches, and sum when they began, in units of `seconds`."""
    for row in range(len(table)):
        rule = table[row, RULE]
        figures[rule, 0] += 1
        figures[rule, 1] += table[row, SINCE] // seconds[rule]
