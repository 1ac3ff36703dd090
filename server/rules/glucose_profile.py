"""The ambulatory glucose profile: what a worn sensor showed at each time of day, over two weeks and more. Pure.

At each quarter hour of the wall clock the 5th, 25th, 50th, 75th and 95th percentile of all readings within half an hour of it, on
whatever day: the median with its bands of the international consensus (Battelino et al. 2019; Johnson et al. 2019), smoothed by
nothing but that hour. HI and LO stand above and below every number, as far as a percentile lands among them; they are drawn at
`TOP_MG_DL` and `BOTTOM_MG_DL`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.rules.glucose_trace import Trace
from server.rules.kernels import MICRO, Int64s
from server.rules.windows import HI, LO

PERCENTILES: Final = (5, 25, 50, 75, 95)
SLOTS_A_DAY: Final = 96
REACH_US: Final = 1_800_000_000
"""Half an hour before and after."""
READINGS_MIN: Final = 5
"""Fewer have no 5th and no 95th percentile worth a line: there the profile is interrupted."""

BOTTOM_MG_DL, TOP_MG_DL = 40.0, 400.0
"""What sensors show as LO lies below, as HI above."""

_DAY_US: Final = 86_400_000_000
_SLOT_US: Final = _DAY_US // SLOTS_A_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`lines`: float64[96, 5], the percentiles in mg/dL at 00:00, 00:15, … of the wall clock; NaN where readings are too few."""

    lines: NDArray[np.float64]


def profile(trace: Trace, clock_us: Int64s) -> Profile:
    """The profile of `trace` (in mg/dL); `clock_us` is the time of day of each reading, in microseconds since midnight."""
    values = trace.micro / MICRO
    values = np.where(trace.censored == LO, BOTTOM_MG_DL, np.where(trace.censored == HI, TOP_MG_DL, values))
    order = np.argsort(clock_us, kind="stable")
    clock, values = clock_us[order], values[order]
    # The day before and the day after, so that midnight has a before and an after.
    clock, values = np.concatenate([clock - _DAY_US, clock, clock + _DAY_US]), np.tile(values, 3)
    middles = np.arange(SLOTS_A_DAY) * _SLOT_US
    begins, ends = np.searchsorted(clock, middles - REACH_US), np.searchsorted(clock, middles + REACH_US, side="right")
    lines = np.full((SLOTS_A_DAY, len(PERCENTILES)), np.nan)
    for slot, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if end - begin >= READINGS_MIN:
            lines[slot] = np.percentile(values[begin:end], PERCENTILES)
    return Profile(lines=lines)
