"""The arithmetic of judging: arrays in, arrays out, any number of patients in one call. Compiled by numba, cached on disk.

Patients lie one after another; `first` (int64[patients + 1]) says where each begins. All comparisons are exact: a pressure
is an integer of µmmHg, and the mean of a sitting is kept in `SHARES` parts of it, a multiple of every count up to 16, so
that a mean of exactly 140 is never 140.00000000000003. (A sitting of more than 16 readings is rounded down by less than a
millionth of a millionth of a mmHg.) No clock, no zone, no Python objects: days are ordinals that the caller computed.

A plain-Python oracle of all of it lives in `server.oracle`.
"""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from server.rules.windows import ACCEPTED, INVALID, REJECTED, SUSPECT

Int64s = NDArray[np.int64]
Int8s = NDArray[np.int8]

MICRO: Final = 1_000_000
"""µmmHg in a mmHg: a kPa value in hundredths converts to whole µmmHg."""

_ABSURD_MMHG: Final = 1e12
"""No meter can send it and µmmHg in 64 bits still hold it."""

SHARES: Final = 720_720
"""The least common multiple of 1 to 16."""

ABOVE, AT_LEAST, BELOW, AT_MOST = 0, 1, 2, 3
COMPARISON_CODES: Final = {"above": ABOVE, "at_least": AT_LEAST, "below": BELOW, "at_most": AT_MOST}
SYSTOLIC, DIASTOLIC = 0, 1
SIGNAL_CODES: Final = {"systolic": SYSTOLIC, "diastolic": DIASTOLIC}

SUSPECT_SYSTOLIC_LOW: Final = 50 * MICRO
SUSPECT_SYSTOLIC_HIGH: Final = 260 * MICRO
"""Systolic outside 50 to 260 mmHg is doubted until it is measured again (the limits of the UK's Florence programme)."""
SUSPECT_DIASTOLIC_LOW: Final = 30 * MICRO
SUSPECT_PULSE_PRESSURE_LOW: Final = 15 * MICRO
SUSPECT_PULSE_PRESSURE_HIGH: Final = 120 * MICRO
SPACING_US: Final = 45_000_000
"""A reading less than 45 s after the inflation before it is too soon: readings 10 s apart read 3 mmHg high (clinical 1.1)."""
JUMP: Final = 40 * MICRO
JUMP_DAYS_US: Final = 14 * 86_400_000_000
JUMP_READINGS: Final = 5
"""More than 40 mmHg from the median of the last 14 days is doubted, if there are five readings to take it from."""
AGREEMENT: Final = 20 * MICRO
AGREEMENT_US: Final = 86_400_000_000
"""Two doubted readings of one day that agree within 20 mmHg are believed: else a real rise of 45 mmHg would stay hidden."""
SITTING_GAP_US: Final = 600_000_000
"""Readings with gaps of at most ten minutes are one sitting (engineering choice)."""

WEAK, ADEQUATE, FULL = 0, 1, 2
"""The grade of a day: one reading; at least two; at least two sittings of at least two each."""

PENDING, ACTIVE, RESOLVED = 0, 1, 2

# Columns of the table that `runs` returns.
PATIENT, STATE, FIRST, OPENED, RUN_FIRST, RUN_LAST, LAST, RESOLVED_ON = range(8)

# Helpers stand before the kernels that call them: an explicit signature compiles a kernel where it is defined.


@njit(cache=True, nogil=True)
def _is_odd(systolic: int, diastolic: int) -> bool:
    pulse_pressure = systolic - diastolic
    return bool(
        systolic < SUSPECT_SYSTOLIC_LOW
        or systolic > SUSPECT_SYSTOLIC_HIGH
        or diastolic < SUSPECT_DIASTOLIC_LOW
        or pulse_pressure < SUSPECT_PULSE_PRESSURE_LOW
        or pulse_pressure > SUSPECT_PULSE_PRESSURE_HIGH
    )


@njit(cache=True, nogil=True)
def _jumps(oldest: int, i: int, systolic: Int64s, absolute: Int8s, certain: Int8s) -> bool:
    """Is row `i` far from the median of rows `oldest` to `i - 1` that are neither invalid nor rejected?

    The median is far below only if more than half of them are (of an even number half of them), and so above: where they are
    not, nothing has to be sorted.
    """
    n, low, high = 0, 0, 0
    for j in range(oldest, i):
        if certain[j] == 1 and absolute[j] >= SUSPECT:
            n += 1
            low += systolic[j] < systolic[i] - JUMP
            high += systolic[j] > systolic[i] + JUMP
    if n < JUMP_READINGS or max(low, high) < (n + 1) // 2:
        return False
    earlier = np.empty(n, np.int64)
    n = 0
    for j in range(oldest, i):
        if certain[j] == 1 and absolute[j] >= SUSPECT:
            earlier[n] = systolic[j]
            n += 1
    earlier.sort()
    twice_median = earlier[(n - 1) // 2] + earlier[n // 2]
    return bool(abs(2 * systolic[i] - twice_median) > 2 * JUMP)


@njit(cache=True, nogil=True)
def _bounds(start: int, stop: int, systolic: Int64s, absolute: Int8s, certain: Int8s) -> tuple[int, int]:
    """The lowest and the highest of a patient's values that a median could be made of."""
    lowest, highest = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    for j in range(start, stop):
        if certain[j] == 1 and absolute[j] >= SUSPECT:
            lowest, highest = min(lowest, systolic[j]), max(highest, systolic[j])
    return lowest, highest


@njit(cache=True, nogil=True)
def _promote(
    start: int,
    stop: int,
    at_us: Int64s,
    systolic: Int64s,
    diastolic: Int64s,
    doubted: NDArray[np.bool_],
    quality: Int8s,
) -> None:
    for i in range(start, stop):
        if not doubted[i]:
            continue
        for j in range(i + 1, stop):
            if at_us[j] - at_us[i] > AGREEMENT_US:
                break
            if (
                doubted[j]
                and at_us[j] - at_us[i] >= SPACING_US
                and abs(systolic[j] - systolic[i]) <= AGREEMENT
                and abs(diastolic[j] - diastolic[i]) <= AGREEMENT
            ):
                quality[i] = ACCEPTED
                quality[j] = ACCEPTED


@njit("int8[::1](int64[::1], int64[::1], int64[::1], int64[::1], int8[::1], int8[::1])", cache=True, nogil=True)
def mark(first: Int64s, at_us: Int64s, systolic: Int64s, diastolic: Int64s, absolute: Int8s, certain: Int8s) -> Int8s:
    """The quality of each blood-pressure reading: its absolute mark, made relative by the readings around it.

    Rows are ordered by time within a patient. `certain` is 0 where the time is in doubt: such a reading is suspect, is
    never promoted, and says nothing about the others.
    """
    quality = absolute.copy()
    doubted = np.zeros(len(at_us), np.bool_)
    for p in range(len(first) - 1):
        oldest = first[p]
        lowest, highest = _bounds(first[p], first[p + 1], systolic, absolute, certain)
        before = -1
        for i in range(first[p], first[p + 1]):
            while at_us[oldest] < at_us[i] - JUMP_DAYS_US:
                oldest += 1
            if certain[i] == 0:
                quality[i] = min(absolute[i], SUSPECT)
                continue
            if absolute[i] == SUSPECT:
                doubted[i] = True
            elif absolute[i] == ACCEPTED:
                too_soon = before >= 0 and at_us[i] - at_us[before] < SPACING_US
                is_near = highest - systolic[i] <= JUMP and systolic[i] - lowest <= JUMP
                is_odd = too_soon or _is_odd(systolic[i], diastolic[i])
                if is_odd or (not is_near and _jumps(oldest, i, systolic, absolute, certain)):
                    doubted[i] = True
                    quality[i] = SUSPECT
            before = i
        _promote(first[p], first[p + 1], at_us, systolic, diastolic, doubted, quality)
    return quality


@njit("int64[::1](int64[::1], int64[::1], int8[::1])", cache=True, nogil=True)
def sit(first: Int64s, at_us: Int64s, certain: Int8s) -> Int64s:
    """The sitting of each reading, counted from 0 over all patients; -1 where the time is in doubt.

    Every inflation holds a sitting together, a rejected or failed one too.
    """
    sitting = np.full(len(at_us), -1, np.int64)
    current = -1
    for p in range(len(first) - 1):
        before = -1
        for i in range(first[p], first[p + 1]):
            if certain[i] == 0:
                continue
            if before < 0 or at_us[i] - at_us[before] > SITTING_GAP_US:
                current += 1
            sitting[i] = current
            before = i
    return sitting


@njit("int64[:, ::1](int64[::1], int64[::1], int64[::1], int8[::1], int64[::1], int64[::1])", cache=True, nogil=True)
def sittings(
    first: Int64s, systolic: Int64s, diastolic: Int64s, quality: Int8s, sitting: Int64s, day: Int64s
) -> Int64s:
    """One row per sitting that has an accepted reading: patient, day, accepted readings, systolic, diastolic, sitting.

    The two values are the mean in shares of a µmmHg. Of three or more accepted readings the first is dropped. The day is
    that of the sitting's first reading, whatever its quality.
    """
    table = np.zeros((len(sitting), 6), np.int64)
    rows = 0
    for p in range(len(first) - 1):
        i = first[p]
        while i < first[p + 1]:
            if sitting[i] < 0:
                i += 1
                continue
            here, belongs_to = sitting[i], day[i]
            n, first_systolic, first_diastolic, sum_systolic, sum_diastolic = 0, 0, 0, 0, 0
            while i < first[p + 1] and (sitting[i] == here or sitting[i] < 0):
                if sitting[i] == here and quality[i] == ACCEPTED:
                    if n == 0:
                        first_systolic, first_diastolic = systolic[i], diastolic[i]
                    n += 1
                    sum_systolic += systolic[i]
                    sum_diastolic += diastolic[i]
                i += 1
            if n == 0:
                continue
            used = n
            if n >= 3:
                sum_systolic -= first_systolic
                sum_diastolic -= first_diastolic
                used = n - 1
            table[rows, 0] = p
            table[rows, 1] = belongs_to
            table[rows, 2] = n
            table[rows, 3] = sum_systolic * SHARES // used
            table[rows, 4] = sum_diastolic * SHARES // used
            table[rows, 5] = here
            rows += 1
    return table[:rows].copy()


@njit("int64[:, ::1](int64[:, ::1])", cache=True, nogil=True)
def measured_days(sitting_table: Int64s) -> Int64s:
    """One row per day that has an accepted reading: patient, day, readings, sittings, systolic, diastolic, grade.

    Ordered by patient and day. The two values are *sums* of the sittings' means; divide by sittings for the day's value.
    """
    key = sitting_table[:, 0] * (1 << 32) + sitting_table[:, 1]
    order = np.argsort(key, kind="mergesort")  # a move westward can bring a date back; else it is in order already
    table = np.zeros((len(order), 7), np.int64)
    rows = -1
    last_key = -1
    for k in order:
        if key[k] != last_key:
            rows += 1
            last_key = key[k]
            table[rows, 0] = sitting_table[k, 0]
            table[rows, 1] = sitting_table[k, 1]
            table[rows, 6] = FULL
        table[rows, 2] += sitting_table[k, 2]
        table[rows, 3] += 1
        table[rows, 4] += sitting_table[k, 3]
        table[rows, 5] += sitting_table[k, 4]
        if sitting_table[k, 2] < 2:
            table[rows, 6] = ADEQUATE
    days = table[: rows + 1].copy()
    for row in range(len(days)):
        if days[row, 3] < 2 or days[row, 6] != FULL:
            days[row, 6] = ADEQUATE if days[row, 2] >= 2 else WEAK
    return days


@njit(cache=True, nogil=True)
def _compare(day: Int64s, signal: Int8s, comparison: Int8s, threshold: Int64s, below_by: int) -> tuple[bool, bool]:
    """Does any condition hold, and is every value at least `below_by` on the good side? Exact."""
    elevated, is_good = False, True
    for c in range(len(signal)):
        value = day[4 + signal[c]]
        unit = SHARES * day[3]
        limit = threshold[c] * unit
        if comparison[c] == ABOVE:
            elevated |= value > limit
        elif comparison[c] == AT_LEAST:
            elevated |= value >= limit
        elif comparison[c] == BELOW:
            elevated |= value < limit
        else:
            elevated |= value <= limit
        if comparison[c] <= AT_LEAST:
            is_good &= value <= limit - below_by * unit
        else:
            is_good &= value >= limit + below_by * unit
    return elevated, is_good and not elevated


@njit(cache=True, nogil=True)
def _open(row: Int64s, patient: int, state: int, run_first: int, d: int) -> None:
    row[PATIENT] = patient
    row[STATE] = state
    row[FIRST] = run_first
    row[OPENED] = d
    row[RUN_FIRST] = run_first
    row[RUN_LAST] = d
    row[LAST] = d
    row[RESOLVED_ON] = -1


@njit(
    "int64[:, ::1](int64[:, ::1], int64[::1], int64[::1], int8[::1], int8[::1], int64[:, ::1],"
    " int64, int64, int64, int64, int64, int64)",
    cache=True,
    nogil=True,
)
def runs(
    days: Int64s,
    enrolled: Int64s,
    open_from: Int64s,
    signal: Int8s,
    comparison: Int8s,
    threshold: Int64s,
    in_a_row: int,
    span_days: int,
    min_readings: int,
    below_by: int,
    resolve_days: int,
    rearm_days: int,
) -> Int64s:
    """The episodes of a days-in-a-row rule over the table of `measured_days`, oldest first.

    `enrolled` and `open_from` (int64[patients]): days up to `enrolled` do not count, days from `open_from` on are not
    closed yet. `threshold` is int64[patients, conditions] in µmmHg; `below_by` is in µmmHg.
    Columns: PATIENT, STATE, then rows of `days`: FIRST (first day), OPENED (day that first completed a run), RUN_FIRST and
    RUN_LAST (the run that opened it, or opened it again), LAST (newest elevated day), RESOLVED_ON (or -1).
    """
    found = np.zeros((len(days), 8), np.int64)
    n = 0
    recent = np.zeros(in_a_row, np.int64)
    patient, in_run, current, good = -1, 0, -1, 0
    for d in range(len(days)):
        if days[d, 0] != patient:
            patient, in_run, current, good = days[d, 0], 0, -1, 0
        if days[d, 1] <= enrolled[patient] or days[d, 2] < min_readings:
            continue
        elevated, is_good = _compare(days[d], signal, comparison, threshold[patient], below_by)
        in_run = in_run + 1 if elevated else 0
        recent[in_run % in_a_row] = d
        run_first = recent[(in_run + 1) % in_a_row]
        fires = in_run >= in_a_row and days[d, 1] - days[run_first, 1] < span_days
        closed = days[d, 1] < open_from[patient]
        active = current >= 0 and found[current, STATE] == ACTIVE
        rearmed = current < 0 or (not active and days[d, 1] - days[found[current, RESOLVED_ON], 1] > rearm_days)
        if not closed and days[d, 3] < 2:
            if fires and rearmed:
                _open(found[n], patient, PENDING, run_first, d)
                n += 1
            continue
        if active:
            if elevated:
                found[current, LAST] = d
            good = good + 1 if is_good and closed else 0
            if good == resolve_days:
                found[current, STATE] = RESOLVED
                found[current, RESOLVED_ON] = d
        elif fires:
            good = 0
            if rearmed:
                current = n
                _open(found[n], patient, ACTIVE, run_first, d)
                n += 1
            else:
                found[current, STATE] = ACTIVE
                found[current, RUN_FIRST] = run_first
                found[current, RUN_LAST] = d
                found[current, LAST] = d
                found[current, RESOLVED_ON] = -1
    return found[:n].copy()


def is_met(day: Int64s, signal: Int8s, comparison: Int8s, threshold: Int64s) -> bool:
    """Does any condition hold for one row of `measured_days`?"""
    return bool(_compare(day, signal, comparison, threshold, 0)[0])


def micro(values_mmhg: NDArray[np.float64]) -> Int64s:
    """Pressures as integers of µmmHg; what is absent becomes 0, what no integer holds its bound (both are invalid)."""
    present = np.nan_to_num(values_mmhg, nan=0.0, posinf=0.0, neginf=0.0)
    return np.rint(np.clip(present, -_ABSURD_MMHG, _ABSURD_MMHG) * MICRO).astype(np.int64)


def warm_up() -> None:
    """Make every kernel ready (compiled, or read from the cache): call it off the event loop, before the first request."""
    none: Any = np.zeros(0, np.int64)
    first = np.zeros(2, np.int64)
    no_marks = np.zeros(0, np.int8)
    mark(first, none, none, none, no_marks, no_marks)
    sit(first, none, no_marks)
    table = sittings(first, none, none, no_marks, none, none)
    one = np.zeros(1, np.int64)
    code = np.zeros(1, np.int8)
    runs(measured_days(table), one, one, code, code, np.zeros((1, 1), np.int64), 3, 5, 1, 0, 3, 7)


assert (INVALID, REJECTED, SUSPECT, ACCEPTED) == (0, 1, 2, 3)  # `mark` compares them by order
