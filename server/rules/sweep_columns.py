"""The tables of a sweep, column by column: what a plan asks, what is found, and what is at hand while one patient is judged.

Names for places in arrays of integers, because kernels know no other structure. Nothing is computed here.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.rules.trend_kernels import Flags, Int32s, Int64s

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

DAY, READINGS, SITTINGS, TOTAL, OTHER_TOTAL = range(5)
"""Columns of a patient's measured days, those of `kernels.measured_days` from its second on. The totals are of the sittings'
means, in shares of a millionth."""
DAY_COLUMNS: Final = 5


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
    values: Int32s
    days: Int64s
    found: Int64s
    bounds: Int64s
    """[signals, 3]: whether the patient's lowest and highest are known yet, and these."""
