"""The numeric core of rules about a patient's recent readings: in which stretches of a series does a condition hold? numba, pure.

A series is one patient's usable readings of one signal in order of time. A *stretch* is a run of readings at which the condition
holds, ended by the first reading at which it can be answered and does not hold: where too few readings are in view the question
is open, and what was true stays true, because a gap is never read as a good value.

Everything is an integer and exact: values are in millionths of the signal's unit, a mean is compared as a sum, and `at` is in
microseconds, or in days where a window is one of days; it never decreases. What cannot matter is not computed: the sum over any
window that ends at a reading is at most the largest sum of any run of so many readings that ends there, so only the few readings
where that bound exceeds the threshold are looked at more closely.

Readings before row `start` are in view of later ones and answer nothing themselves. Every function writes its stretches to the
first rows of `found` (int64[n, 3]; n rows are always enough) and returns how many they are. No zone, no rule text.
"""

from typing import Final, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from server.rules.compiling import inner

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.uint8]

BEGAN, LAST, ENDED = 0, 1, 2
"""Columns of a stretch, as rows of the series: the first and the last at which it holds, the first after it at which it does
not (-1: it still holds)."""

MICRO_PER_THOUSANDTH: Final = 1_000
"""Spreads are of values rounded down to a thousandth of their unit: so their squares, summed and squared again, are exact."""

SLACK: Final = 1e-9
"""Of a bound that is computed in floating point: it may let a row through, never keep one out."""

_HIGHEST: Final = int(np.iinfo(np.int32).max)
NOTHING, _NONE = cast(int, np.int64(0)), cast(int, np.int64(-1))
"""What loops begin with: numba compiles a function once more for a literal number."""

_BLOCK: Final = 32
"""Rows whose lowest value is looked up together."""


@inner
def note(found: Int64s, m: int, i: int, was: bool, now: bool) -> int:
    """Write down that the condition holds (or not) at row `i`; how many stretches there are then."""
    if now:
        if not was:
            found[m, BEGAN], found[m, ENDED] = i, -1
            m += 1
        found[m - 1, LAST] = i
    elif was:
        found[m - 1, ENDED] = i
    return m


@inner
def _promising(terms: Int64s, fewest: int, floor: int, rows: Int64s) -> int:
    """The rows at which some run of `fewest` terms or more that ends there sums above `floor`; how many. `terms` become sums.

    No window can do better. Such a run's sum is that of all terms up to here less that of all before it, and the lowest of
    these is carried along.
    """
    total, lowest, n = 0, 0, 0
    for i in range(min(fewest, len(terms))):
        total += terms[i]
        terms[i] = total
    if len(terms) >= fewest:
        rows[0] = fewest - 1
        n += total > floor
    for i in range(fewest, len(terms)):
        lowest = min(lowest, terms[np.uint64(i - fewest)])
        total += terms[i]
        terms[i] = total
        rows[n] = i
        n += total - lowest > floor
    return n


@inner
def _leftmost(since: Int64s, begin: int, left: int, i: int, before: int) -> int:
    """The first row after `begin`, or i + 1; `left` was it at the row `before` i, -1 where there was none.

    Mostly a window is left by up to three at a time: they are counted without a branch, which nobody could foresee.
    """
    here = np.uint64(left)
    if before < 0 or since[before] <= begin:
        here = np.uint64(i)
        while here > 0 and since[here - np.uint64(1)] > begin:
            here -= np.uint64(1)
    elif left + 2 <= i:
        one, two = np.uint64(since[here + np.uint64(1)] <= begin), np.uint64(since[here + np.uint64(2)] <= begin)
        here += np.uint64(since[here] <= begin) + one + two
    while here <= np.uint64(i) and since[here] <= begin:
        here += np.uint64(1)
    return int(np.int64(here))


@njit(
    "int64(int64[::1], int64[::1], int64[::1], int64, int64, int64, int64, int64[::1], int64[:, ::1])",
    cache=True,
    nogil=True,
)
def sums_above(
    at: Int64s,
    since: Int64s,
    terms: Int64s,
    start: int,
    width: int,
    fewest: int,
    floor: int,
    rows: Int64s,
    found: Int64s,
) -> int:
    """Where the sum of the terms in (t - width, t] is above `floor` (0, or -1 for at least 0). `rows`: scratch of n + 1.

    A mean above T is a sum of (value - T) above 0; so is a share. A term is in view when all of it is: `since` is `at`
    unless a term spans two readings. Answerable with at least `fewest` (1 or more) terms in view. `terms` become sums.
    """
    n, m = len(at), NOTHING
    promising = _promising(terms, fewest, floor, rows)
    rows[promising] = n
    left, before, nth, i = NOTHING, _NONE, 0, rows[0]
    holds = False
    while i < n:
        left = _leftmost(since, at[i] - width, left, i, before)
        before = i
        if i + 1 - left >= fewest and i >= start:
            is_met = terms[i] - (terms[left - 1] if left > 0 else 0) > floor
            m = note(found, m, i, holds, is_met)
            holds = is_met
        if holds:
            i += 1
            continue
        while rows[nth] <= i and nth < promising:
            nth += 1
        i = rows[nth]
    return m


@inner
def _product_exceeds(a: int, b: int, c: int, d: int) -> bool:
    """Is a * b > c * d, of numbers from 0 to 2**62? In 32-bit halves, as the products take 128 bits."""
    low = np.int64(0xFFFFFFFF)
    high_ab, high_cd = (a >> 32) * (b >> 32), (c >> 32) * (d >> 32)
    first_ab, second_ab = (a >> 32) * (b & low), (a & low) * (b >> 32)
    first_cd, second_cd = (c >> 32) * (d & low), (c & low) * (d >> 32)
    low_ab, low_cd = np.uint64(a & low) * np.uint64(b & low), np.uint64(c & low) * np.uint64(d & low)
    carry_ab = (first_ab & low) + (second_ab & low) + np.int64(low_ab >> np.uint64(32))
    carry_cd = (first_cd & low) + (second_cd & low) + np.int64(low_cd >> np.uint64(32))
    top_ab = high_ab + (first_ab >> 32) + (second_ab >> 32) + (carry_ab >> 32)
    top_cd = high_cd + (first_cd >> 32) + (second_cd >> 32) + (carry_cd >> 32)
    if top_ab != top_cd:
        return bool(top_ab > top_cd)
    if (carry_ab & low) != (carry_cd & low):
        return bool((carry_ab & low) > (carry_cd & low))
    return bool((low_ab & np.uint64(0xFFFFFFFF)) > (low_cd & np.uint64(0xFFFFFFFF)))


@inner
def _is_spread(count: int, total: int, squares: int, centre: int, limit: int, is_relative: bool) -> bool:
    """Is the sample SD of `count` values above `limit` thousandths, or above `limit` hundredths of a percent of their mean?

    `total` and `squares` are of the values less `centre`, all in thousandths.
    """
    spread = count * squares - total * total  # count * (count - 1) * variance
    if not is_relative:
        return bool(spread > limit * limit * count * (count - 1))
    mean_times_count = centre * count + total
    if mean_times_count <= 0:
        return False
    return _product_exceeds(
        spread, count * 100_000_000, mean_times_count * mean_times_count, limit * limit * (count - 1)
    )


@inner
def _spread_terms(milli: Int64s, centre: int, fewest: int, limit: int, is_relative: bool, terms: Int64s) -> None:
    """What each value can add to a spread above `limit`, rounded up: where it exceeds, the sum over the window is above 0.

    The squares around any centre are no less than around the mean, (k - 1) / k is no less than for the fewest, and the square
    of the mean is no less than its tangent at the centre.
    """
    share = (fewest - 1) / fewest
    relative = (limit / 10_000) ** 2 * share
    for i in range(len(milli)):
        away = milli[i] - centre
        allowed = relative * (centre * centre + 2 * centre * away) if is_relative else limit * limit * share
        terms[i] = away * away - np.int64(allowed - SLACK * abs(allowed)) + 1


@inner
def _sum_up(milli: Int64s, centre: int, squares: Int64s) -> None:
    """Each value becomes the sum of it and those before it, less the centre; `squares` likewise."""
    total, total_squares = 0, 0
    for i in range(len(milli)):
        away = milli[i] - centre
        total += away
        total_squares += away * away
        milli[i], squares[i] = total, total_squares


@njit(
    "int64(int64[::1], int64[::1], int64, int64, int64, int64, boolean, int64[::1], int64[::1], int64[:, ::1])",
    cache=True,
    nogil=True,
)
def spreads_above(
    at: Int64s,
    milli: Int64s,
    start: int,
    width: int,
    fewest: int,
    limit: int,
    is_relative: bool,
    terms: Int64s,
    rows: Int64s,
    found: Int64s,
) -> int:
    """Where the sample SD (n - 1) of the values in (t - width, t] is above `limit`. Scratch: `terms` of n, `rows` of n + 1.

    `milli`: values in thousandths of their unit. `limit`: thousandths; with `is_relative` (the coefficient of variation)
    hundredths of a percent of the mean. Answerable with at least `fewest` (2 or more) values in view. `milli` become sums.
    """
    n, m = len(at), NOTHING
    if n == 0:
        return 0
    centre = NOTHING
    for i in range(n):
        centre += milli[i]
    centre //= n
    _spread_terms(milli, centre, fewest, limit, is_relative, terms)
    promising = _promising(terms[:n], fewest, NOTHING, rows)
    if promising == 0:
        return 0
    rows[promising] = n
    _sum_up(milli, centre, terms)
    left, before, nth, i = NOTHING, _NONE, 0, rows[0]
    holds = False
    while i < n:
        left = _leftmost(at, at[i] - width, left, i, before)
        before = i
        if i + 1 - left >= fewest and i >= start:
            total = milli[i] - (milli[left - 1] if left > 0 else 0)
            squares = terms[i] - (terms[left - 1] if left > 0 else 0)
            is_met = _is_spread(i + 1 - left, total, squares, centre, limit, is_relative)
            m = note(found, m, i, holds, is_met)
            holds = is_met
        if holds:
            i += 1
            continue
        while rows[nth] <= i and nth < promising:
            nth += 1
        i = rows[nth]
    return m


@njit("int64(int64[::1], uint8[::1], int64, int64, int64, int64[:, ::1])", cache=True, nogil=True)
def hit_within(at: Int64s, hits: Flags, start: int, width: int, fewest: int, found: Int64s) -> int:
    """Where at least one reading in (t - width, t] is a hit: the highest is above, or the lowest below.

    Answerable with at least `fewest` readings in view.
    """
    m, last = NOTHING, -1
    holds = False
    for i in range(len(at)):
        if hits[i]:
            last = i
        is_met = last >= 0 and at[i] - at[last] < width
        if (is_met or holds) and i >= start and i + 1 >= fewest and at[i] - at[i + 1 - fewest] < width:
            m = note(found, m, i, holds, is_met)
            holds = is_met
    return m


@njit("int64(int64[::1], int64, int64, int64, int64[:, ::1])", cache=True, nogil=True)
def many_within(at: Int64s, start: int, width: int, needed: int, found: Int64s) -> int:
    """Where (t - width, t] holds at least `needed` (1 or more) readings. Always answerable."""
    n, m = len(at), NOTHING
    holds = False
    for i in range(max(start, needed - 1), n):
        if (at[i] - at[i + 1 - needed] < width) == holds:
            continue
        holds = not holds
        if holds:
            found[m, BEGAN], found[m, LAST], found[m, ENDED] = i, n - 1, -1
            m += 1
        else:
            found[m - 1, LAST], found[m - 1, ENDED] = i - 1, i
    return m


@inner
def _are_on_days(day: Int64s, rows: Int64s, count: int, begin: int, on_days: int) -> bool:
    """Do the last `count` hits, back to row `begin`, lie on at least so many days? `rows`: the rows of the hits."""
    found, last = 0, np.int64(0)
    for nth in range(count - 1, -1, -1):
        i = rows[nth]
        if i < begin or found == on_days:
            break
        found += found == 0 or day[i] != last
        last = day[i]
    return bool(found == on_days)


@njit(
    "int64(int64[::1], int64[::1], uint8[::1], int64, int64, int64, int64, int64, int64, int64[::1], int64[:, ::1])",
    cache=True,
    nogil=True,
)
def hits_among_last(
    at: Int64s,
    day: Int64s,
    hits: Flags,
    start: int,
    width: int,
    needed: int,
    on_days: int,
    of_last: int,
    fewest: int,
    rows: Int64s,
    found: Int64s,
) -> int:
    """Where at least `needed` of the last `of_last` readings in (t - width, t] are hits, on at least `on_days` days.

    Enough hits are a yes, however few readings there are; it is a no only with `fewest` of them in view. `day` (never going
    back) is looked at only where `on_days` is more than 1. `rows`: scratch of n + 1.
    """
    n, m, hit = len(hits), NOTHING, 0
    for i in range(n):
        rows[hit] = i
        hit += hits[i]
    rows[hit] = n
    count, i, holds = 0, start, False  # `count` hits are at or before row `i`
    while i < n:
        while rows[count] <= i:
            count += 1
        oldest = rows[count - needed] if count >= needed else -1
        is_met = oldest > i - of_last and oldest >= 0 and at[i] - at[oldest] < width
        if is_met and on_days > 1:
            begin = max(0, i + 1 - of_last)
            while at[i] - at[begin] >= width:
                begin += 1
            is_met = _are_on_days(day, rows, count, begin, on_days)
        is_answered = is_met or (i + 1 >= fewest and at[i] - at[i + 1 - fewest] < width)
        if is_answered and (is_met or holds):
            m = note(found, m, i, holds, is_met)
            holds = is_met
        i = i + 1 if holds else rows[count]
    return m


@njit(
    "int64(int64[::1], int32[::1], int64, int64, int64, int64, int64[:, ::1])",
    cache=True,
    nogil=True,
)
def rises_by(at: Int64s, micro: Int32s, start: int, width: int, fewest: int, by: int, found: Int64s) -> int:
    """Where a value lies at least `by` above the lowest in (t - width, t]. Answerable with at least `fewest` readings in view.

    A fall is a rise of the negated values.
    """
    n, m = len(at), NOTHING
    holds = False
    before = np.int64(_HIGHEST)  # the lowest of the block before
    for first in range(0, n, _BLOCK):
        stop = min(first + _BLOCK, n)
        lowest = highest = micro[first]
        for i in range(first + 1, stop):
            lowest, highest = min(lowest, micro[i]), max(highest, micro[i])
        enough = min(np.int64(lowest), before) + by
        before = np.int64(lowest)
        reaches_further = first >= _BLOCK and at[first - _BLOCK] > at[first] - width
        if highest < enough and not (holds or reaches_further):
            continue
        for i in range(max(first, max(start, fewest - 1)), stop):
            begin = at[i] - width
            if not (micro[i] >= enough or holds or reaches_further) or at[i + 1 - fewest] <= begin:
                continue
            is_met, j = False, i - 1
            while j >= 0 and at[j] > begin and not is_met:
                is_met = np.int64(micro[i]) - micro[j] >= by
                j -= 1
            if is_met or holds:
                m = note(found, m, i, holds, is_met)
                holds = is_met
    return m
