"""Rules over many patients: a patient's slice of the columns is read once, and all rules run over it while the caches hold it.

The rules are a table of integers, the *plan* (`sweep_plan` writes it): a new rule compiles nothing. What a rule asks is answered
by the kernels that judge one patient (`trend_kernels`); this module lays out what they are asked and writes down what they find.
It has no threads: whoever has some gives each a range of patients, as the interpreter's lock is not held.
"""

import inspect
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from server.rules import compiling, kernels, sweep_columns, sweep_days, sweep_gaps, trend_kernels
from server.rules.compiling import inlined, inner
from server.rules.sweep_columns import (
    AMONG,
    DAY,
    DAY_COLUMNS,
    DAYS,
    EXTREME,
    FEWEST,
    FLOOR,
    FOREVER,
    IS_RELATIVE,
    KIND,
    LIMIT,
    MANY,
    MEAN,
    NEEDS_BOTH,
    OF_LAST,
    OTHER,
    OTHER_LIMIT,
    OVER,
    PATIENT,
    PERCENT,
    REPEAT,
    RISE,
    RULE,
    SCORE,
    SHARE,
    SIGN,
    SIGNAL,
    SILENCE,
    SINCE,
    SPREAD,
    START,
    UNTIL,
    WIDTH,
    Bench,
    Patient,
)
from server.rules.sweep_days import days_in_a_row, measured_days, signal_of
from server.rules.sweep_gaps import repeated, silent
from server.rules.trend_kernels import (
    BEGAN,
    ENDED,
    LAST,
    MICRO_PER_THOUSANDTH,
    NOTHING,
    SLACK,
    Flags,
    Int32s,
    Int64s,
    hit_within,
    hits_among_last,
    many_within,
    rises_by,
    spreads_above,
    sums_above,
)


@inner
def _bench(n: int, signals: int) -> Bench:
    return Bench(
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n + 1, np.int64),
        np.empty(n, np.uint8),
        np.empty(n, np.int32),
        np.empty((n, DAY_COLUMNS), np.int64),
        np.empty((n, 3), np.int64),
        np.empty((signals, 3), np.int64),
    )


@inner
def _bounds(patient: Patient, signal: int, bench: Bench) -> tuple[int, int]:
    """The lowest and the highest of the patient's values, looked for once."""
    known = bench.bounds[signal]
    if known[0] == 0:
        x = signal_of(patient, signal)
        lowest = highest = x[0]
        for i in range(len(x)):
            lowest, highest = min(lowest, x[i]), max(highest, x[i])
        known[0], known[1], known[2] = 1, lowest, highest
    return known[1], known[2]


@inner
def _inside_and_outside(rule: Int64s) -> tuple[int, int]:
    """What a value inside the range adds, and one outside."""
    outside = -rule[SIGN] * rule[PERCENT]
    return outside + rule[SIGN] * 100, outside


# --- what cannot be true of a patient, as no value of theirs lies far enough: such a rule is not asked ------------------


@inner
def _may_hold(rule: Int64s, patient: Patient, bench: Bench) -> bool:
    kind, limit, other_limit = rule[KIND], rule[LIMIT], rule[OTHER_LIMIT]
    if kind in (SCORE, MANY, SILENCE):
        return True
    lowest, highest = _bounds(patient, rule[SIGNAL], bench)
    if kind == SPREAD:
        return _may_spread(rule, lowest // MICRO_PER_THOUSANDTH, highest // MICRO_PER_THOUSANDTH)
    if kind == SHARE:
        outside = (lowest < limit) | (highest > other_limit)
        inside = (highest >= limit) & (lowest <= other_limit)
        terms = _inside_and_outside(rule)
        return bool((inside and terms[0] > rule[FLOOR]) or (outside and terms[1] > rule[FLOOR]))
    if kind == RISE:
        return bool(highest - lowest >= limit)
    if kind in (REPEAT, DAYS):
        other_highest = _bounds(patient, rule[OTHER], bench)[1]
        if rule[NEEDS_BOTH] == 1:
            return bool(highest > limit and other_highest > other_limit)
        return bool(highest > limit or other_highest > other_limit)
    return bool((highest if rule[SIGN] > 0 else -lowest) - limit > rule[FLOOR])


@inner
def _may_spread(rule: Int64s, lowest: int, highest: int) -> bool:
    """The SD of k values is at most half their range, times the root of k / (k - 1)."""
    fewest = rule[FEWEST]
    most = (highest - lowest) / 2 * np.sqrt(fewest / (fewest - 1))
    limit = rule[LIMIT] * lowest / 10_000 if rule[IS_RELATIVE] == 1 else float(rule[LIMIT])
    return bool(most >= limit * (1 - SLACK))


# --- what a rule's kernel is asked: each answers how many stretches it wrote to `bench.found` ---------------------------


@inner
def _mean_terms(rule: Int64s, x: Int32s, terms: Int64s) -> None:
    sign, limit = rule[SIGN], rule[LIMIT]
    for i in range(len(x)):
        terms[i] = sign * np.int64(x[i]) - limit


@inner
def _share_terms(rule: Int64s, x: Int32s, terms: Int64s) -> None:
    low, high = np.int32(rule[LIMIT]), np.int32(rule[OTHER_LIMIT])
    inside, outside = _inside_and_outside(rule)
    for i in range(len(x)):
        terms[i] = inside if (x[i] >= low) & (x[i] <= high) else outside


@inner
def _reciprocal(step: int) -> tuple[int, int]:
    """(f, s) such that x * f >> s is x // step for every x from 0 to before 2**31: dividing by a variable is slow."""
    shift = 31
    while 1 << (shift - 31) < step:
        shift += 1
    return ((1 << shift) + step - 1) // step, shift


@inner
def _score_terms(rule: Int64s, x: Int32s, scores: Int64s, terms: Int64s) -> None:
    last, limit = len(scores) - 1, rule[LIMIT]
    factor, shift = _reciprocal(rule[OTHER_LIMIT])
    for i in range(len(x)):
        place = (int(max(x[i], np.int32(0))) * factor) >> shift
        terms[i] = scores[last if place > last else place] - limit


@inner
def _sums(rule: Int64s, patient: Patient, scores: Int64s, bench: Bench) -> int:
    at, x, terms = patient.at, signal_of(patient, rule[SIGNAL]), bench.terms[: len(patient.at)]
    if rule[KIND] == MEAN:
        _mean_terms(rule, x, terms)
    elif rule[KIND] == SHARE:
        _share_terms(rule, x, terms)
    else:
        _score_terms(rule, x, scores, terms)
    return sums_above(at, at, terms, 0, rule[WIDTH], rule[FEWEST], rule[FLOOR], bench.rows, bench.found)


@inner
def _thousandths(micro: int) -> int:
    """`micro // 1000` of 32 bits, negative too.

    274877907 is 2**38 / 1000, and too large by so little that it shows from 2**32 on only.
    """
    thousands = 2_147_484
    return ((micro + thousands * 1000) * 274_877_907 >> 38) - thousands


@inner
def _spread(rule: Int64s, patient: Patient, bench: Bench) -> int:
    at, x, milli = patient.at, signal_of(patient, rule[SIGNAL]), bench.more_terms[: len(patient.at)]
    for i in range(len(x)):
        milli[i] = _thousandths(int(x[i]))
    is_relative = rule[IS_RELATIVE] == 1
    width, fewest, limit = rule[WIDTH], rule[FEWEST], rule[LIMIT]
    return spreads_above(at, milli, 0, width, fewest, limit, is_relative, bench.terms, bench.rows, bench.found)


@inner
def _hits(rule: Int64s, x: Int32s, hits: Flags) -> int:
    """Mark the readings beyond the rule's limit in `hits`; how many they are."""
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


@inner
def _extreme(rule: Int64s, patient: Patient, bench: Bench) -> int:
    if not _hits(rule, signal_of(patient, rule[SIGNAL]), bench.hits):
        return 0
    at = patient.at
    return hit_within(at, bench.hits[: len(at)], 0, rule[WIDTH], rule[FEWEST], bench.found)


@inner
def _among(rule: Int64s, patient: Patient, bench: Bench) -> int:
    if _hits(rule, signal_of(patient, rule[SIGNAL]), bench.hits) < rule[FEWEST]:
        return 0
    at, hits, of_last = patient.at, bench.hits[: len(patient.at)], rule[OF_LAST]
    return hits_among_last(
        at, at, hits, rule[START], rule[WIDTH], rule[FEWEST], 1, of_last, of_last, bench.rows, bench.found
    )


@inner
def _repeat(rule: Int64s, patient: Patient, bench: Bench) -> int:
    at, x, y, hits = patient.at, signal_of(patient, rule[SIGNAL]), signal_of(patient, rule[OTHER]), bench.hits
    limit, other_limit, n = rule[LIMIT], rule[OTHER_LIMIT], 0
    for i in range(len(x)):
        hits[i] = (x[i] > limit) | (y[i] > other_limit)
        n += hits[i]
    return repeated(at, hits[: len(at)], 0, rule[WIDTH], bench.found) if n > 1 else 0


@inner
def _rise(rule: Int64s, patient: Patient, bench: Bench) -> int:
    at, x = patient.at, signal_of(patient, rule[SIGNAL])
    if rule[SIGN] < 0:
        x = bench.values[: len(at)]
        for i in range(len(x)):
            x[i] = -patient.values[rule[SIGNAL], patient.begin + i]
    return rises_by(at, x, 0, rule[WIDTH], rule[FEWEST], rule[LIMIT], bench.found)


# --- the sweep ------------------------------------------------------------------------------------------------------------


@inlined
def _stretches(rule: Int64s, patient: Patient, scores: Int64s, until: int, measured: int, bench: Bench) -> int:
    """Ask one rule of one patient, who has `measured` rows in `bench.days` if the rule is one of days."""
    kind = rule[KIND]
    if kind in (MEAN, SHARE, SCORE):
        return _sums(rule, patient, scores, bench)
    if kind == SPREAD:
        return _spread(rule, patient, bench)
    if kind == EXTREME:
        return _extreme(rule, patient, bench)
    if kind == MANY:
        return many_within(patient.at, 0, rule[WIDTH], rule[FEWEST], bench.found)
    if kind == AMONG:
        return _among(rule, patient, bench)
    if kind == RISE:
        return _rise(rule, patient, bench)
    if kind == SILENCE:
        return silent(patient.at, rule[WIDTH], until, bench.found)
    if kind == REPEAT:
        return _repeat(rule, patient, bench)
    return days_in_a_row(rule, bench.days[:measured], bench.found)


@inner
def _write(r: int, number: int, rule: Int64s, times: Int64s, found: Int64s, out: Int64s) -> None:
    """Rows of a series become its times; a silence begins WIDTH after the reading before it."""
    later = rule[WIDTH] if rule[KIND] == SILENCE else 0
    for j in range(len(out)):
        out[j, RULE], out[j, PATIENT] = r, number
        out[j, SINCE] = times[found[j, BEGAN]] + later
        out[j, UNTIL] = times[found[j, LAST]] + later
        out[j, OVER] = FOREVER if found[j, ENDED] < 0 else times[found[j, ENDED]]


@inlined
def _judge_one(
    number: int, plan: Int64s, patient: Patient, scores: Int64s, until: int, bench: Bench, out: Int64s
) -> int:
    """Ask all rules of one patient; how many rows of `out` are filled, or -1 where they do not suffice."""
    rows, measured, table_of = 0, 0, np.int64(-1)
    for signal in range(len(bench.bounds)):
        bench.bounds[signal, 0] = 0
    for r in range(len(plan)):
        rule = plan[r]
        if not _may_hold(rule, patient, bench):
            continue
        times = patient.at
        if rule[KIND] == DAYS:
            if table_of != rule[SIGNAL] * len(patient.values) + rule[OTHER]:
                table_of = rule[SIGNAL] * len(patient.values) + rule[OTHER]
                measured = measured_days(rule, patient, bench)
            times = bench.more_terms[:measured]
            for row in range(measured):
                times[row] = bench.days[row, DAY]
        n = _stretches(rule, patient, scores, until, measured, bench)
        if n == 0:
            continue
        if rows + n > len(out):
            return -1
        _write(r, number, rule, times, bench.found, out[rows : rows + n])
        rows += n
    return rows


def _digest() -> int:
    """Of the sources of all that `judge` holds a copy of, in 56 bits."""
    modules = (compiling, kernels, trend_kernels, sweep_columns, sweep_days, sweep_gaps)
    return int.from_bytes(sha256("".join(map(inspect.getsource, modules)).encode()).digest()[:7], "big")


Judge = Callable[
    [Int64s, Int64s, NDArray[np.int32], Int64s, Int64s, Int64s, Int64s, Int64s, int, int, int, Int64s], tuple[int, int]
]


def _compiled(digest: int) -> Judge:
    """`judge`, whose machine code on disk holds a copy of the kernels': another `digest` of theirs, another copy.

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
        assert digest
        longest = NOTHING
        for p in range(begin, end):
            longest = max(longest, first[p + 1] - first[p])
        bench = _bench(longest, len(values))
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


judge: Final = _compiled(_digest())
