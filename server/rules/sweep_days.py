"""Rules of days in a sweep: one patient's measured days, and where so many of them in a row are elevated. numba, pure.

The table of days is that of `kernels.measured_days`, made for one patient at a time and without a branch that nobody can foresee:
a back-test of years makes a million of them.
"""

import numpy as np

from server.rules.compiling import inner
from server.rules.kernels import SHARES, SITTING_GAP_US
from server.rules.sweep_columns import (
    DAY,
    DAY_COLUMNS,
    DAY_US,
    EPOCH_ORDINAL,
    FOREVER,
    LIMIT,
    NEEDS_BOTH,
    OF_LAST,
    OTHER,
    OTHER_LIMIT,
    OTHER_TOTAL,
    READINGS,
    SIGNAL,
    SITTINGS,
    TOTAL,
    WIDTH,
    Bench,
    Patient,
)
from server.rules.trend_kernels import NOTHING, Int32s, Int64s, note


@inner
def signal_of(patient: Patient, signal: int) -> Int32s:
    """The patient's values of a signal."""
    return patient.values[signal, patient.begin : patient.end]


@inner
def _sit(at: Int64s, starts: Int64s) -> int:
    """The first row of each sitting to `starts`, and n behind them; how many sittings."""
    starts[0], m = 0, 1
    for i in range(1, len(at)):
        starts[m] = i
        m += at[i] - at[i - 1] > SITTING_GAP_US
    starts[m] = len(at)
    return m


@inner
def _mean_of_sitting(x: Int32s, sitting: int, starts: Int64s) -> int:
    """In shares, as `kernels.sittings` has it: of three or more readings the first is dropped."""
    begin, end, total = int(starts[sitting]), int(starts[sitting + 1]), 0
    used = max(begin, min(begin + 1, end - 2))
    for i in range(used, end):
        total += int(x[i])
    return total * SHARES // (end - used)


@inner
def _shift_at(patient: Patient, at: int) -> tuple[int, int]:
    """What is added to instants from `at` on to have their clinical day, and the instant from which it is something else."""
    spans_from, span = patient.spans_from, 0
    while span + 1 < len(spans_from) and spans_from[span + 1] <= at:
        span += 1
    return patient.shifts[span], spans_from[span + 1] if span + 1 < len(spans_from) else FOREVER


@inner
def _tabulate(rule: Int64s, patient: Patient, bench: Bench) -> int:
    """The patient's measured days to `bench.days`; how many. -1 where a date comes back, as it does to who flies west.

    A day's row is written again at each of its sittings, because to know whether one is the day's last would cost a branch that
    nobody can foresee.
    """
    at, x, y = patient.at, signal_of(patient, rule[SIGNAL]), signal_of(patient, rule[OTHER])
    starts, days = bench.rows, bench.days
    rows, last, n, readings, total, other_total = -1, np.int64(-1), 0, 0, 0, 0
    shift, good_until = 0, -FOREVER
    for sitting in range(_sit(at, starts)):
        begin, end = np.uint64(starts[sitting]), np.uint64(starts[sitting + 1])
        if at[begin] >= good_until:
            shift, good_until = _shift_at(patient, at[begin])
        day = (at[begin] + shift) // DAY_US
        if day < last:
            return -1
        size = int(np.int64(end - begin))
        if size <= 2:  # the mean of one is that of it and itself
            mean = (int(x[begin]) + int(x[end - np.uint64(1)])) * (SHARES // 2)
            other_mean = (int(y[begin]) + int(y[end - np.uint64(1)])) * (SHARES // 2)
        else:
            mean, other_mean = _mean_of_sitting(x, sitting, starts), _mean_of_sitting(y, sitting, starts)
        kept = -int(day == last)  # all bits or none
        rows += day != last
        last = day
        n, readings = (n & kept) + 1, (readings & kept) + size
        total, other_total = (total & kept) + mean, (other_total & kept) + other_mean
        row = np.uint64(rows)
        days[row, DAY], days[row, READINGS], days[row, SITTINGS] = day + EPOCH_ORDINAL, readings, n
        days[row, TOTAL], days[row, OTHER_TOTAL] = total, other_total
    return rows + 1


@inner
def _place_of(day: int, days: Int64s, rows: int) -> tuple[int, bool]:
    """Which of the first `rows` rows is that of `day`, or has to make room for it, and whether it is there."""
    place = rows
    while place > 0 and days[place - 1, DAY] >= day:
        place -= 1
    return place, place < rows and days[place, DAY] == day


@inner
def _tabulate_with_returns(rule: Int64s, patient: Patient, bench: Bench) -> int:
    """As `_tabulate`, of a patient to whom a date comes back."""
    at, x, y = patient.at, signal_of(patient, rule[SIGNAL]), signal_of(patient, rule[OTHER])
    starts, days, rows = bench.rows, bench.days, NOTHING
    for sitting in range(_sit(at, starts)):
        begin, end = starts[sitting], starts[sitting + 1]
        day = (at[begin] + _shift_at(patient, at[begin])[0]) // DAY_US + EPOCH_ORDINAL
        place, is_there = _place_of(day, days, rows)
        if not is_there:
            for column in range(DAY_COLUMNS):  # one by one: what numba makes of whole rows takes long to compile
                for row in range(rows, place, -1):
                    days[row, column] = days[row - 1, column]
                days[place, column] = 0
            rows += 1
        days[place, DAY] = day
        days[place, READINGS] += end - begin
        days[place, SITTINGS] += 1
        days[place, TOTAL] += _mean_of_sitting(x, sitting, starts)
        days[place, OTHER_TOTAL] += _mean_of_sitting(y, sitting, starts)
    return rows


@inner
def days_in_a_row(rule: Int64s, days: Int64s, found: Int64s) -> int:
    """Where the last OF_LAST measured days are all elevated and span at most WIDTH days. Answerable from the OF_LAST-th on."""
    limit, other_limit, needed = SHARES * rule[LIMIT], SHARES * rule[OTHER_LIMIT], 1 + rule[NEEDS_BOTH]
    in_a_row, span, in_run, m, holds = rule[OF_LAST], rule[WIDTH], 0, 0, False
    for d in range(len(days)):
        sittings = days[d, SITTINGS]
        high = np.int64(days[d, TOTAL] > limit * sittings) + np.int64(days[d, OTHER_TOTAL] > other_limit * sittings)
        in_run = in_run + 1 if high >= needed else 0
        is_met = in_run >= in_a_row and days[d, DAY] - days[d + 1 - in_a_row, DAY] < span
        if is_met or holds:
            m = note(found, m, d, holds, is_met)
            holds = is_met
    return m


@inner
def measured_days(rule: Int64s, patient: Patient, bench: Bench) -> int:
    """The patient's measured days, by the two signals of `rule`, to `bench.days`; how many."""
    n = _tabulate(rule, patient, bench)
    return n if n >= 0 else _tabulate_with_returns(rule, patient, bench)
