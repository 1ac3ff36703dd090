"""How glucose moves in time: excursions beyond a limit, the amplitude of swings (MAGE), a day's spread (LAGE), and how far a day
is like the one before (MODD). Arrays in, plain values out; it judges nothing.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.rules.kernels import Int64s

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

_MINUTE_US: Final = 60_000_000
_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """A time beyond a limit, as places of readings: the first beyond it, the one with which it had lasted long enough, the newest
    beyond it, all beyond it in order, and the one with which the way back had lasted; None: it goes on."""

    first: int
    opened: int
    newest: int
    beyond: NDArray[np.intp]
    ended: int | None


def excursions(
    at_us: Int64s, is_beyond: Flags, *, minutes: int, gap_minutes: int, may_decide: Flags | None = None
) -> list[Excursion]:
    """Oldest first: each begins with `minutes` of readings beyond the limit and ends with as many of readings that are not.

    Readings more than `gap_minutes` apart say nothing of the time between them. With readings that `may_decide` (all, unless
    said) an excursion can begin or end. Definition: Battelino et al. 2023 (there 15 minutes).
    """
    n = len(at_us)
    if not n:
        return []
    is_last = np.ones(n, np.bool_)
    is_last[:-1] = (is_beyond[1:] != is_beyond[:-1]) | (np.diff(at_us) > gap_minutes * _MINUTE_US)
    lasts = np.flatnonzero(is_last)
    starts = np.concatenate(([0], lasts[:-1] + 1))
    deciding = _deciding(at_us, starts, minutes, may_decide)
    found: list[Excursion] = []
    first, opened, newest = 0, -1, 0  # opened: -1 while there is none
    for start, last, decided in zip(starts.tolist(), lasts.tolist(), deciding.tolist(), strict=True):
        if is_beyond[start]:
            if opened < 0 and decided <= last:
                first, opened = start, decided
            newest = last
        elif opened >= 0 and decided <= last:
            found.append(_excursion(is_beyond, first, opened, newest, decided))
            opened = -1
    if opened >= 0:
        found.append(_excursion(is_beyond, first, opened, newest, None))
    return found


def _deciding(at_us: Int64s, starts: NDArray[np.intp], minutes: int, may_decide: Flags | None) -> NDArray[np.intp]:
    """For each run the first reading that is `minutes` after the run's first and may decide; it may lie beyond the run's last."""
    n = len(at_us)
    late_enough = np.searchsorted(at_us, at_us[starts] + minutes * _MINUTE_US, side="left")
    if may_decide is None:
        return late_enough
    following = np.full(n + 1, n, np.intp)
    following[:n] = np.minimum.accumulate(np.where(may_decide, np.arange(n), n)[::-1])[::-1]
    return following[late_enough]


def _excursion(is_beyond: Flags, first: int, opened: int, newest: int, ended: int | None) -> Excursion:
    beyond = first + np.flatnonzero(is_beyond[first : newest + 1])
    return Excursion(first=first, opened=opened, newest=newest, beyond=beyond, ended=ended)


def mage(values: Floats) -> float | None:
    """The mean amplitude of glycemic excursions, in the unit of `values` (in order of time; at least two, and finite).

    By turning points, as Service et al. 1970 drew them on paper: the trace from peak to nadir and back, where a swing counts if
    it is more than one sample SD; the mean is of the swings of that direction, up or down, in which the first of them goes. A
    small swing inside a larger one does not end it. None if no swing is that large. Programs that find the peaks with moving
    averages or count both directions come to other figures.
    """
    if len(values) < 2:
        return None
    turns = _turning_points(values, float(values.std(ddof=1)))
    swings = [after - before for before, after in pairwise(turns)]
    if not swings:
        return None
    counted = [abs(swing) for swing in swings if (swing > 0) == (swings[0] > 0)]
    return sum(counted) / len(counted)


def _turning_points(values: Floats, least: float) -> list[float]:
    """The peaks and nadirs, alternating, between which `values` move by more than `least`."""
    turns: list[float] = []
    low = high = extreme = float(values[0])
    is_rising: bool | None = None  # of the swing that goes on; None before the first
    for value in map(float, values[1:]):
        if is_rising is None:
            low, high = min(low, value), max(high, value)
            if high - low > least:
                is_rising = value == high
                turns.append(low if is_rising else high)
                extreme = value
        elif (value > extreme) == is_rising and value != extreme:
            extreme = value
        elif abs(extreme - value) > least:
            turns.append(extreme)
            is_rising, extreme = not is_rising, value
    return [*turns, extreme] if turns else []


def lage(day: Int64s, values: Floats, *, fewest: int) -> dict[int, float]:
    """From the lowest to the highest of each day that has at least `fewest` values, by its ordinal, in their unit."""
    order = np.argsort(day, kind="stable")
    days, starts, counts = np.unique(day[order], return_index=True, return_counts=True)
    if not len(days):
        return {}
    ordered = values[order]
    spreads = np.maximum.reduceat(ordered, starts) - np.minimum.reduceat(ordered, starts)
    return {int(one): float(spread) for one, spread, n in zip(days, spreads, counts, strict=True) if n >= fewest}


def modd(at_us: Int64s, values: Floats, *, gap_minutes: int) -> float | None:
    """The mean of daily differences: how far, on average, a value lies from what the trace was 24 hours before, in their unit.

    Between two readings at most `gap_minutes` apart the trace is a straight line; elsewhere there is none. None if it has no two
    instants a day apart. Of readings at one instant the last counts.
    """
    keep = np.ones(len(at_us), np.bool_)
    keep[:-1] = np.diff(at_us) > 0
    at, of = at_us[keep], values[keep]
    before = at - _DAY_US
    after = np.searchsorted(at, before, side="left")
    is_exact = (after < len(at)) & (at[np.minimum(after, len(at) - 1)] == before) if len(at) else keep
    inside = after > 0
    gap = np.zeros(len(at), np.int64)
    gap[inside] = at[after[inside]] - at[after[inside] - 1]
    usable = is_exact | (inside & (gap <= gap_minutes * _MINUTE_US))
    if not usable.any():
        return None
    earlier = np.interp((before[usable] - at[0]).astype(np.float64), (at - at[0]).astype(np.float64), of)
    return float(np.abs(of[usable] - earlier).mean())
