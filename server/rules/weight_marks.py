"""The relative mark of a weight: is it far from the patient's own of the last 14 days, and so somebody else's?

A scale weighs whoever steps on it, and a guest must not raise an alert about water. Computed at every judging from the
weights in view and never stored. It knows no rule.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.rules.kernels import MICRO, Int64s

STRANGE: Final = 5 * MICRO
"""More than 5 kg from the median of the last 14 days is another person's weight (clinical 3; engineering choice)."""
OWN_DAYS_US: Final = 14 * 86_400_000_000
AGREEMENT: Final = 2 * MICRO
AGREEMENT_US: Final = 72 * 3_600_000_000
"""Two such weights of different days that agree within 2 kg in 72 hours are believed: else a real change would stay hidden."""


def strange(at_us: Int64s, micro_kg: Int64s, day: Int64s) -> NDArray[np.intp]:
    """Of one patient's accepted weights in order of time: the places of those that are likely somebody else's.

    Weights are integers of µkg, `day` an ordinal. Exact: a weight exactly 5 kg away is the patient's.
    """
    if not len(micro_kg) or int(np.ptp(micro_kg)) <= STRANGE:
        return np.zeros(0, np.intp)
    at, weights, days = at_us.tolist(), micro_kg.tolist(), day.tolist()
    far = _far(at, weights)
    believed = {
        place
        for after in range(1, len(far))
        if far[after - 1] and far[after] and _agree(after - 1, after, at, weights, days)
        for place in (after - 1, after)
    }
    return np.array([place for place in range(len(far)) if far[place] and place not in believed], np.intp)


def _far(at: Sequence[int], weights: Sequence[int]) -> list[bool]:
    """Whether each is more than `STRANGE` from the median of those before it; never, where there are none."""
    far, oldest = [], 0
    before: list[int] = []  # sorted
    for at_us, weight in zip(at, weights, strict=True):
        while at[oldest] < at_us - OWN_DAYS_US:
            del before[bisect_left(before, weights[oldest])]
            oldest += 1
        middle = len(before) // 2
        far.append(bool(before) and abs(2 * weight - before[middle] - before[~middle]) > 2 * STRANGE)
        insort(before, weight)
    return far


def _agree(one: int, other: int, at: Sequence[int], weights: Sequence[int], days: Sequence[int]) -> bool:
    return (
        days[one] != days[other]
        and at[other] - at[one] <= AGREEMENT_US
        and abs(weights[other] - weights[one]) <= AGREEMENT
    )
