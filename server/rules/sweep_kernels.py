"""Rules over many patients: a patient's slice of the columns is read once, and all rules run over it while the caches hold it.

The rules are a table of integers, the *plan* (`sweep_plan` writes it): a new rule compiles nothing. What a rule asks is answered
by the kernels that judge one patient (`trend_kernels`); this module lays out what they are asked and writes down what they find.
It has no threads: whoever has some gives each a range of patients, as the interpreter's lock is not held.
"""

import inspect
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from server.rules import kernels, trend_kernels
from server.rules.kernels import ADEQUATE, FULL, SHARES, SITTING_GAP_US, WEAK
from server.rules.trend_kernels import (
    BEGAN,
    ENDED,
    LAST,
    MICRO_PER_THOUSANDTH,
    Flags,
    Int32s,
    Int64s,
    hit_within,
    hits_among_last,
    many_within,
    note,
    repeated,
    rises_by,
    silent,
    spreads_above,
    sums_above,
)
from server.rules.windows import ACCEPTED

MEAN, SHARE, SCORE, SPREAD, EXTREME, MANY, AMONG, RISE, SILENCE, REPEAT, DAYS = range(11)
"""What a rule of the plan asks. `sweep_plan` has a function for each that says what it means."""

(
    KIND,
    SIGNAL,
    OTHER,
    SIGN,
    WIDTH,
    FEWEST,
    LIMIT,
    OTHER_LIMIT,
    FLOOR,
    OF_LAST,
    START,
    PERCENT,
    IS_RELATIVE,
    NEEDS_BOTH,
) = range(14)
"""Columns of the plan."""
PLAN_COLUMNS: Final = 14

RULE, PATIENT, SINCE, UNTIL, OVER = range(5)
"""Columns of a found stretch: where it began, where it held last, where it ended, as instants in µs; of days as ordinals."""
STRETCH_COLUMNS: Final = 5

FOREVER: Final = int(np.iinfo(np.int64).max)
"""When a stretch ended that still holds."""

DAY_US: Final = 86_400_000_000
EPOCH_ORDINAL: Final = 719_163
"""`date(1970, 1, 1).toordinal()`"""

_DAY_COLUMNS: Final = 7
"""Of `kernels.measured_days`: patient, day, readings, sittings, systolic, diastolic, grade."""


class Patient(NamedTuple):
    """One patient's rows by time: `at` in µs; of `values`, int32[signals, n] of all, those from `begin` to before `end`."""

    at: Int64s
    values: NDArray[np.int32]
    begin: int
    end: int
    spans_from: Int64s
    """Instants from which `shifts` are in force: the clinical day of t is (t + shift) // DAY_US, counted from 1970."""
    shifts: Int64s


class Bench(NamedTuple):
    """Room to work in for the longest history of a range, and the table of days of the patient in work."""

    terms: Int64s
    more_terms: Int64s
    rows: Int64s
    hits: Flags
    flags: Flags
    values: Int32s
    days: Int64s
    found: Int64s


@njit(nogil=True)
def _bench(n: int) -> Bench:
    return Bench(
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n + 1, np.int64),
        np.empty(n, np.uint8),
        np.empty(n, np.uint8),
        np.empty(n, np.int32),
        np.empty((n, _DAY_COLUMNS), np.int64),
        np.empty((n, 3), np.int64),
    )


@njit(nogil=True)
def _signal(patient: Patient, signal: int) -> Int32s:
    return patient.values[signal, patient.begin : patient.end]


# --- what a rule's kernel is asked: each answers how many stretches it wrote to `bench.found` ---------------------------


@njit(nogil=True)
def _mean(rule: Int64s, patient: Patient, bench: Bench) -> int:
    x, terms = _signal(patient, rule[SIGNAL]), bench.terms[: len(patient.at)]
    sign, limit = rule[SIGN], rule[LIMIT]
    for i in range(len(x)):
        terms[i] = sign * np.int64(x[i]) - limit
    return _sums(rule, patient, bench)


@njit(nogil=True)
def _share(rule: Int64s, patient: Patient, bench: Bench) -> int:
    x, terms = _signal(patient, rule[SIGNAL]), bench.terms[: len(patient.at)]
    low, high = np.int32(rule[LIMIT]), np.int32(rule[OTHER_LIMIT])
    outside = -rule[SIGN] * rule[PERCENT]
    inside = outside + rule[SIGN] * 100
    for i in range(len(x)):
        terms[i] = inside if (x[i] >= low) & (x[i] <= high) else outside
    return _sums(rule, patient, bench)


@njit(nogil=True)
def _score(rule: Int64s, patient: Patient, scores: Int64s, bench: Bench) -> int:
    x, terms = _signal(patient, rule[SIGNAL]), bench.terms[: len(patient.at)]
    step, last, limit = rule[OTHER_LIMIT], len(scores) - 1, rule[LIMIT]
    for i in range(len(x)):
        place = np.int64(x[i]) // step
        terms[i] = scores[min(max(place, 0), last)] - limit
    return _sums(rule, patient, bench)


@njit(nogil=True)
def _sums(rule: Int64s, patient: Patient, bench: Bench) -> int:
    at, terms = patient.at, bench.terms[: len(patient.at)]
    return sums_above(at, at, terms, 0, rule[WIDTH], rule[FEWEST], rule[FLOOR], bench.rows, bench.found)


@njit(nogil=True)
def _spread(rule: Int64s, patient: Patient, bench: Bench) -> int:
    at, x, milli = patient.at, _signal(patient, rule[SIGNAL]), bench.more_terms[: len(patient.at)]
    for i in range(len(x)):
        milli[i] = x[i] // np.int32(MICRO_PER_THOUSANDTH)
    is_relative = rule[IS_RELATIVE] == 1
    width, fewest, limit = rule[WIDTH], rule[FEWEST], rule[LIMIT]
    return spreads_above(at, milli, 0, width, fewest, limit, is_relative, bench.terms, bench.rows, bench.found)


@njit(nogil=True)
def _hits(rule: Int64s, patient: Patient, bench: Bench) -> int:
    """Mark the readings beyond the rule's limit in `bench.hits`; how many they are."""
    x, hits = _signal(patient, rule[SIGNAL]), bench.hits
    limit, n = rule[LIMIT], 0
    if rule[SIGN] > 0:
        for i in range(len(x)):
            hits[i] = x[i] > limit
            n += hits[i]
    else:
        for i in range(len(x)):
            hits[i] = -x[i] > limit
            n += hits[i]
    return n


@njit(nogil=True)
def _extreme(rule: Int64s, patient: Patient, bench: Bench) -> int:
    if not _hits(rule, patient, bench):
        return 0
    at = patient.at
    return hit_within(at, bench.hits[: len(at)], 0, rule[WIDTH], rule[FEWEST], bench.found)


@njit(nogil=True)
def _among(rule: Int64s, patient: Patient, bench: Bench) -> int:
    if _hits(rule, patient, bench) < rule[FEWEST]:
        return 0
    at, hits, of_last = patient.at, bench.hits[: len(patient.at)], rule[OF_LAST]
    return hits_among_last(
        at, at, hits, rule[START], rule[WIDTH], rule[FEWEST], 1, of_last, of_last, bench.rows, bench.found
    )


@njit(nogil=True)
def _repeat(rule: Int64s, patient: Patient, bench: Bench) -> int:
    at, x, y, hits = patient.at, _signal(patient, rule[SIGNAL]), _signal(patient, rule[OTHER]), bench.hits
    limit, other_limit, n = rule[LIMIT], rule[OTHER_LIMIT], 0
    for i in range(len(x)):
        hits[i] = (x[i] > limit) | (y[i] > other_limit)
        n += hits[i]
    return repeated(at, hits[: len(at)], 0, rule[WIDTH], bench.found) if n > 1 else 0


@njit(nogil=True)
def _rise(rule: Int64s, patient: Patient, bench: Bench) -> int:
    at, x = patient.at, _signal(patient, rule[SIGNAL])
    if rule[SIGN] < 0:
        x = bench.values[: len(at)]
        x[:] = -_signal(patient, rule[SIGNAL])
    return rises_by(at, x, 0, rule[WIDTH], rule[FEWEST], rule[LIMIT], bench.found)


# --- days -----------------------------------------------------------------------------------------------------------------


@njit(nogil=True)
def _sit(at: Int64s, starts: Int64s) -> int:
    """The first row of each sitting to `starts`, and n behind them; how many sittings."""
    starts[0], m = 0, 1
    for i in range(1, len(at)):
        starts[m] = i
        m += at[i] - at[i - 1] > SITTING_GAP_US
    starts[m] = len(at)
    return m


@njit(nogil=True)
def _sitting_mean(x: Int32s, begin: int, end: int) -> int:
    """In shares, as `kernels.sittings` has it: of three or more readings the first is dropped."""
    if end - begin <= 2:
        return (int(x[begin]) + int(x[end - 1])) * (SHARES // 2)
    total = 0
    for i in range(begin + 1, end):
        total += int(x[i])
    return total * SHARES // (end - begin - 1)


@njit(nogil=True)
def _tabulate(rule: Int64s, patient: Patient, bench: Bench) -> int:
    """The patient's measured days to `bench.days`, as `kernels.measured_days` has them; how many.

    -1 where a date comes back, as it does to who flies west.
    """
    x, y, spans_from, days = (
        _signal(patient, rule[SIGNAL]),
        _signal(patient, rule[OTHER]),
        patient.spans_from,
        bench.days,
    )
    sittings, rows, last, span = _sit(patient.at, bench.rows), -1, np.int64(-1), 0
    n, all_paired, readings, total, other_total = 0, True, 0, 0, 0
    for sitting in range(sittings):
        begin, end = bench.rows[sitting], bench.rows[sitting + 1]
        while span + 1 < len(spans_from) and spans_from[span + 1] <= patient.at[begin]:
            span += 1
        day = (patient.at[begin] + patient.shifts[span]) // DAY_US
        if day < last:
            return -1
        is_new = day != last
        last = day
        rows += is_new
        n = (0 if is_new else n) + 1
        all_paired = (is_new | all_paired) & (end - begin >= 2)
        readings = (0 if is_new else readings) + end - begin
        total = (0 if is_new else total) + _sitting_mean(x, begin, end)
        other_total = (0 if is_new else other_total) + _sitting_mean(y, begin, end)
        row = days[rows]
        row[0], row[1], row[2], row[3], row[4], row[5] = 0, day + EPOCH_ORDINAL, readings, n, total, other_total
        row[6] = FULL if (n >= 2) & all_paired else (ADEQUATE if readings >= 2 else WEAK)
    return rows + 1


@njit(nogil=True)
def _tabulate_with_returns(rule: Int64s, patient: Patient, bench: Bench) -> int:
    """As `_tabulate`, of a patient to whom a date comes back."""
    n = len(patient.at)
    span = np.searchsorted(patient.spans_from, patient.at, side="right") - 1
    table = kernels.measured_days(
        kernels.sittings(
            np.array([0, n]),
            _signal(patient, rule[SIGNAL]).astype(np.int64),
            _signal(patient, rule[OTHER]).astype(np.int64),
            np.full(n, np.int8(ACCEPTED)),
            kernels.sit(np.array([0, n]), patient.at, np.ones(n, np.int8)),
            (patient.at + patient.shifts[span]) // DAY_US + EPOCH_ORDINAL,
        )
    )
    bench.days[: len(table)] = table
    return len(table)


@njit(nogil=True)
def _days_in_a_row(rule: Int64s, days: Int64s, found: Int64s) -> int:
    """Where the last OF_LAST measured days are all elevated and span at most WIDTH days. Answerable from the OF_LAST-th on."""
    limit, other_limit, needs_both = rule[LIMIT], rule[OTHER_LIMIT], rule[NEEDS_BOTH] == 1
    in_a_row, span, in_run, m, holds = rule[OF_LAST], rule[WIDTH], 0, 0, False
    for d in range(len(days)):
        unit = SHARES * days[d, 3]
        is_high, is_other_high = days[d, 4] > limit * unit, days[d, 5] > other_limit * unit
        elevated = (is_high & is_other_high) if needs_both else (is_high | is_other_high)
        in_run = in_run + 1 if elevated else 0
        if d + 1 < in_a_row:
            continue
        is_met = in_run >= in_a_row and days[d, 1] - days[d + 1 - in_a_row, 1] < span
        if is_met or holds:
            m = note(found, m, d, holds, is_met)
            holds = is_met
    return m


# --- the sweep ------------------------------------------------------------------------------------------------------------


@njit(nogil=True)
def _stretches(rule: Int64s, patient: Patient, scores: Int64s, until: int, measured: int, bench: Bench) -> int:
    """Ask one rule of one patient, who has `measured` rows in `bench.days` if the rule is one of days."""
    kind = rule[KIND]
    if kind == MEAN:
        return _mean(rule, patient, bench)
    if kind == SHARE:
        return _share(rule, patient, bench)
    if kind == SCORE:
        return _score(rule, patient, scores, bench)
    if kind == SPREAD:
        return _spread(rule, patient, bench)
    if kind == EXTREME:
        return _extreme(rule, patient, bench)
    if kind == MANY:
        return many_within(patient.at, 0, rule[WIDTH], rule[FEWEST], bench.flags, bench.found)
    if kind == AMONG:
        return _among(rule, patient, bench)
    if kind == RISE:
        return _rise(rule, patient, bench)
    if kind == SILENCE:
        return silent(patient.at, rule[WIDTH], until, bench.found)
    if kind == REPEAT:
        return _repeat(rule, patient, bench)
    return _days_in_a_row(rule, bench.days[:measured], bench.found)


@njit(nogil=True)
def _measured_days(rule: Int64s, patient: Patient, bench: Bench) -> int:
    n = _tabulate(rule, patient, bench)
    return n if n >= 0 else _tabulate_with_returns(rule, patient, bench)


@njit(nogil=True)
def _write(rule: Int64s, times: Int64s, found: Int64s, out: Int64s) -> None:
    """Rows of a series become its times; a silence begins WIDTH after the reading before it."""
    later = rule[WIDTH] if rule[KIND] == SILENCE else 0
    for j in range(len(out)):
        out[j, SINCE] = times[found[j, BEGAN]] + later
        out[j, UNTIL] = times[found[j, LAST]] + later
        out[j, OVER] = FOREVER if found[j, ENDED] < 0 else times[found[j, ENDED]]


@njit(nogil=True)
def _judge_one(
    number: int, plan: Int64s, patient: Patient, scores: Int64s, until: int, bench: Bench, out: Int64s
) -> int:
    """Ask all rules of one patient; how many rows of `out` are filled, or -1 where they do not suffice."""
    rows, measured, table_of = 0, 0, np.int64(-1)
    for r in range(len(plan)):
        rule = plan[r]
        times = patient.at
        if rule[KIND] == DAYS:
            if table_of != rule[SIGNAL] * len(patient.values) + rule[OTHER]:
                table_of = rule[SIGNAL] * len(patient.values) + rule[OTHER]
                measured = _measured_days(rule, patient, bench)
            times = bench.days[:measured, 1].copy()
        n = _stretches(rule, patient, scores, until, measured, bench)
        if rows + n > len(out):
            return -1
        out[rows : rows + n, RULE] = r
        out[rows : rows + n, PATIENT] = number
        _write(rule, times, bench.found, out[rows : rows + n])
        rows += n
    return rows


def _sources() -> str:
    return sha256((inspect.getsource(kernels) + inspect.getsource(trend_kernels)).encode()).hexdigest()


Judge = Callable[
    [Int64s, Int64s, NDArray[np.int32], Int64s, Int64s, Int64s, Int64s, Int64s, int, int, int, Int64s], tuple[int, int]
]


def _compiled(sources: str) -> Judge:
    """`judge`, whose machine code on disk holds a copy of the kernels': other `sources` of theirs, another copy.

    numba looks at the age of this file only. What a function closes over is a part of its name in the cache.
    """

    @njit(
        "UniTuple(int64, 2)(int64[::1], int64[::1], int32[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[::1],"
        " int64[:, ::1], int64, int64, int64, int64[:, ::1])",
        cache=True,
        nogil=True,
    )
    def judge(
        first: Int64s,
        at: Int64s,
        values: NDArray[np.int32],
        calendar: Int64s,
        spans_from: Int64s,
        shifts: Int64s,
        scores: Int64s,
        plan: Int64s,
        until: int,
        begin: int,
        end: int,
        out: Int64s,
    ) -> tuple[int, int]:
        """Judge patients from `begin` on, up to `end` or until `out` is too short for one: (rows of `out`, whose turn is next).

        `first` int64[patients + 1]: where each begins in `at` (µs) and in `values`, int32[signals, n]. `calendar`
        int64[patients]: the row of `spans_from` and `shifts` (see `Patient`). `until`: the end of what is in view, in µs.
        """
        assert sources
        longest = 0
        for p in range(begin, end):
            longest = max(longest, first[p + 1] - first[p])
        bench = _bench(longest)
        rows = 0
        for p in range(begin, end):
            one, other = first[p], first[p + 1]
            if one == other:
                continue
            patient = Patient(at[one:other], values, one, other, spans_from[calendar[p]], shifts[calendar[p]])
            filled = _judge_one(p, plan, patient, scores, until, bench, out[rows:])
            if filled < 0:
                return rows, p
            rows += filled
        return rows, end

    return judge


judge: Final = _compiled(_sources())
