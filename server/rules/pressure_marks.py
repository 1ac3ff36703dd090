"""Which blood pressures are doubted, by what lies around them, and which doubts two readings take from each other. A kernel.

The absolute mark comes with a reading; this one is computed at every judging and never stored. Exact, as in `kernels`.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from server.rules.compiling import inner
from server.rules.kernels import MICRO, Int8s, Int64s
from server.rules.windows import ACCEPTED, INVALID, REJECTED, SUSPECT

_UNHEARD_OF: Final = 1 << 62
"""Above every value in millionths; the difference of two such fits 64 bits."""

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


@inner
def _is_odd(systolic: int, diastolic: int) -> bool:
    pulse_pressure = systolic - diastolic
    return bool(
        systolic < SUSPECT_SYSTOLIC_LOW
        or systolic > SUSPECT_SYSTOLIC_HIGH
        or diastolic < SUSPECT_DIASTOLIC_LOW
        or pulse_pressure < SUSPECT_PULSE_PRESSURE_LOW
        or pulse_pressure > SUSPECT_PULSE_PRESSURE_HIGH
    )


@inner
def _jumps(oldest: int, i: int, systolic: Int64s, absolute: Int8s, certain: Int8s) -> bool:
    """Is row `i` far from the median of rows `oldest` to `i - 1` that are neither invalid nor rejected?

    Where more than half of them are far on one side, it is; where half of them are, the two in the middle are the nearest of
    these and the nearest of the others; else it is not. So nothing has to be sorted.
    """
    low_limit, high_limit = systolic[i] - JUMP, systolic[i] + JUMP
    n, low, high = 0, 0, 0
    under_low = under_high = -_UNHEARD_OF  # the highest value below the limit, or not above it
    over_low = over_high = _UNHEARD_OF  # the lowest value not below the limit, or above it
    for j in range(oldest, i):
        if certain[j] == 1 and absolute[j] >= SUSPECT:
            value = systolic[j]
            n += 1
            if value < low_limit:
                low += 1
                under_low = max(under_low, value)
            else:
                over_low = min(over_low, value)
            if value > high_limit:
                high += 1
                over_high = min(over_high, value)
            else:
                under_high = max(under_high, value)
    if n < JUMP_READINGS:
        return False
    if 2 * low == n:
        return bool(abs(2 * systolic[i] - under_low - over_low) > 2 * JUMP)
    if 2 * high == n:
        return bool(abs(2 * systolic[i] - under_high - over_high) > 2 * JUMP)
    return bool(2 * max(low, high) > n)


@inner
def _bounds(start: int, stop: int, systolic: Int64s, absolute: Int8s, certain: Int8s) -> tuple[int, int]:
    """The lowest and the highest of a patient's values that a median could be made of."""
    lowest, highest = _UNHEARD_OF, -_UNHEARD_OF
    for j in range(start, stop):
        if certain[j] == 1 and absolute[j] >= SUSPECT:
            lowest, highest = min(lowest, systolic[j]), max(highest, systolic[j])
    return lowest, highest


@inner
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


@njit(
    "int8[::1](int64[::1], int64[::1], int64[::1], int64[::1], int8[::1], int8[::1])",
    cache=True,
    nogil=True,
)
def mark(first: Int64s, at_us: Int64s, systolic: Int64s, diastolic: Int64s, absolute: Int8s, certain: Int8s) -> Int8s:
    """The quality of each blood-pressure reading: its absolute mark, made relative by the readings around it.

    Rows are ordered by time within a patient. `certain` is 0 where the time is in doubt: such a reading is suspect, is
    never promoted, and says nothing about the others.
    """
    quality = absolute.copy()
    doubted = np.empty(len(at_us), np.bool_)
    for p in range(len(first) - 1):
        oldest = first[p]
        lowest, highest = _bounds(first[p], first[p + 1], systolic, absolute, certain)
        before = -1
        for i in range(first[p], first[p + 1]):
            while at_us[oldest] < at_us[i] - JUMP_DAYS_US:
                oldest += 1
            doubted[i] = False
            if certain[i] == 0:
                if absolute[i] == ACCEPTED:
                    quality[i] = SUSPECT
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


assert (INVALID, REJECTED, SUSPECT, ACCEPTED) == (0, 1, 2, 3)  # `mark` compares them by order
