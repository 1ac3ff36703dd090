"""The arithmetic of judging: arrays in, arrays out, any number of patients in one call. Compiled by numba, cached on disk.

Patients lie one after another; `first` (int64[patients + 1]) says where each begins. All comparisons are exact: a pressure
is an integer of µmmHg, and the mean of a sitting is kept in `SHARES` parts of it, a multiple of every count up to 16, so
that a mean of exactly 140 is never 140.00000000000003. (A sitting of more than 16 readings is rounded down by less than a
millionth of a millionth of a mmHg.) No clock, no zone, no Python objects: days are ordinals that the caller computed.

A plain-Python oracle of all of it lives in `server.oracle`.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from server.rules.compiling import inner
from server.rules.windows import ACCEPTED

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

SITTING_GAP_US: Final = 600_000_000
"""Readings with gaps of at most ten minutes are one sitting (engineering choice)."""

WEAK, ADEQUATE, FULL = 0, 1, 2
"""The grade of a day: one reading; at least two; at least two sittings of at least two each."""

PENDING, ACTIVE, RESOLVED = 0, 1, 2

# Columns of the table that `runs` returns.
PATIENT, STATE, FIRST, OPENED, RUN_FIRST, RUN_LAST, LAST, RESOLVED_ON = range(8)

# Helpers stand before the kernels that call them: an explicit signature compiles a kernel where it is defined.


@njit("int64[::1](int64[::1], int64[::1], int8[::1])", cache=True, nogil=True)
def sit(first: Int64s, at_us: Int64s, certain: Int8s) -> Int64s:
    """The sitting of each reading, counted from 0 over all patients; -1 where the time is in doubt.

    Every inflation holds a sitting together, a rejected or failed one too.
    """
    sitting = np.empty(len(at_us), np.int64)
    current = -1
    for p in range(len(first) - 1):
        before = -1
        for i in range(first[p], first[p + 1]):
            if certain[i] == 0:
                sitting[i] = -1
                continue
            if before < 0 or at_us[i] - at_us[before] > SITTING_GAP_US:
                current += 1
            sitting[i] = current
            before = i
    return sitting


@njit(
    "int64[:, ::1](int64[::1], int64[::1], int64[::1], int8[::1], int64[::1], int64[::1])",
    cache=True,
    nogil=True,
)
def sittings(
    first: Int64s, systolic: Int64s, diastolic: Int64s, quality: Int8s, sitting: Int64s, day: Int64s
) -> Int64s:
    """One row per sitting that has an accepted reading: patient, day, accepted readings, systolic, diastolic, sitting.

    The two values are the mean in shares of a µmmHg. Of three or more accepted readings the first is dropped. The day is
    that of the sitting's first reading, whatever its quality.
    """
    table = np.empty((len(sitting), 6), np.int64)
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
    return table[:rows]


@inner
def _by_day(sitting_table: Int64s) -> Int64s:
    """The rows in the order of patient and day. They nearly are: only a move westward brings a date back."""
    order = np.empty(len(sitting_table), np.int64)
    for k in range(len(order)):
        place = k
        while place > 0 and (
            sitting_table[order[place - 1], 0] == sitting_table[k, 0]
            and sitting_table[order[place - 1], 1] > sitting_table[k, 1]
        ):
            order[place] = order[place - 1]
            place -= 1
        order[place] = k
    return order


@njit("int64[:, ::1](int64[:, ::1])", cache=True, nogil=True)
def measured_days(sitting_table: Int64s) -> Int64s:
    """One row per day that has an accepted reading: patient, day, readings, sittings, systolic, diastolic, grade.

    Ordered by patient and day. The two values are *sums* of the sittings' means; divide by sittings for the day's value.
    """
    order = _by_day(sitting_table)
    table = np.empty((len(order), 7), np.int64)
    rows, patient, day = -1, np.int64(-1), np.int64(-1)
    for k in order:
        if sitting_table[k, 0] != patient or sitting_table[k, 1] != day:
            rows += 1
            patient, day = sitting_table[k, 0], sitting_table[k, 1]
            table[rows, 0], table[rows, 1], table[rows, 6] = patient, day, FULL
            for column in range(2, 6):
                table[rows, column] = 0
        table[rows, 2] += sitting_table[k, 2]
        table[rows, 3] += 1
        table[rows, 4] += sitting_table[k, 3]
        table[rows, 5] += sitting_table[k, 4]
        if sitting_table[k, 2] < 2:
            table[rows, 6] = ADEQUATE
    for row in range(rows + 1):
        if table[row, 3] < 2 or table[row, 6] != FULL:
            table[row, 6] = ADEQUATE if table[row, 2] >= 2 else WEAK
    return table[: rows + 1]


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


@inner
def _hold(row: Int64s, state: int, run_first: int, d: int) -> None:
    """The episode is open by the run from `run_first` to `d`, for the first time or again."""
    row[STATE] = state
    row[RUN_FIRST] = run_first
    row[RUN_LAST] = d
    row[LAST] = d
    row[RESOLVED_ON] = -1


@inner
def _open(row: Int64s, patient: int, state: int, run_first: int, d: int) -> None:
    row[PATIENT] = patient
    row[FIRST] = run_first
    row[OPENED] = d
    _hold(row, state, run_first, d)


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
    found, n = np.empty((len(days), 8), np.int64), 0
    recent = np.empty(in_a_row, np.int64)  # a ring of the newest elevated rows: read only where it is full
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
                _hold(found[current], ACTIVE, run_first, d)
    return found[:n]


def is_met(day: Int64s, signal: Int8s, comparison: Int8s, threshold: Int64s) -> bool:
    """Does any condition hold for one row of `measured_days`?"""
    return bool(_compare(day, signal, comparison, threshold, 0)[0])


def micro(values_mmhg: NDArray[np.float64]) -> Int64s:
    """Pressures as integers of µmmHg; what is absent becomes 0, what no integer holds its bound (both are invalid)."""
    present = np.nan_to_num(values_mmhg, nan=0.0, posinf=0.0, neginf=0.0)
    return np.rint(np.clip(present, -_ABSURD_MMHG, _ABSURD_MMHG) * MICRO).astype(np.int64)
