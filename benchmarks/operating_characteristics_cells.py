"""The figures by which the rule was chosen, and how far a simulated share may lie from one of them.

Knows no population and no rule. Both figures of a cell have a Monte-Carlo error, and the published one is rounded; a cell is
outside only when both together do not explain the difference.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

PUBLISHED_PATIENTS, PUBLISHED_DAYS = 4000, 120
Z_INTERVAL: Final = 1.959964
Z_OUTSIDE: Final = 3.0
"""About ninety cells are compared: at 1.96 standard errors four or five would lie outside by chance in every run."""

MEANS: Final = (125, 130, 135, 138, 140, 145, 150)
ADHERENCES: Final = (1.0, 0.75, 0.5)
WITHIN_DAYS: Final = (7, 14)

MONTH: Final[Mapping[str, tuple[float | None, ...]]] = {
    "A": (0.093, 0.521, 0.975, 0.999, 1.0, 1.0, 1.0),
    "B": (0.000, 0.005, 0.234, 0.672, 0.913, 1.0, 1.0),
    "C": (0.001, 0.098, 0.843, 0.997, 1.0, 1.0, 1.0),
    "D": (0.000, 0.000, 0.003, 0.037, 0.118, 0.738, 0.997),
    "E": (0.993, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "one": (0.003, 0.049, 0.378, None, 0.904, 0.999, 1.0),
    "repeated": (0.000, 0.011, 0.202, None, 0.798, 0.996, 1.0),
    "home": (0.034, 0.326, 0.941, None, 1.0, None, None),
}
"""The chance of a flag in a month, by true mean. Three decimals."""

STEP: Final[Mapping[str, tuple[tuple[float | None, ...], ...]]] = {
    "strict": ((0.986, 1.0, 0.068), (0.726, 0.947, 0.029), (0.326, 0.578, 0.009)),
    "bridge 5": ((0.986, 1.0, 0.068), (0.902, 0.995, 0.053), (0.605, 0.878, 0.026)),
    "bridge 7": ((0.986, 1.0, 0.068), (0.922, 0.998, 0.054), (0.697, 0.938, 0.032)),
    "repeated": ((0.923, 0.997, 0.091), (0.787, 0.973, 0.058), (0.479, 0.779, 0.034)),
    "A": ((0.999, None, None),),
    "D": ((0.65, None, None),),
}
"""By adherence: found within 7 and 14 days of a step from 132 to 150, falsely flagged in the 60 days before."""

SPREAD: Final[Mapping[str, float]] = {"differ 10": 25.6, "differ 5": 72.8, "cv mean": 6.2, "cv p90": 8.6}
"""Per cent. The true mean was not written down; of the table's, only 135 gives both figures of the CV (132: 6.3 and 8.7)."""

_PER_CENT_ROUNDED_BY: Final = 0.05
_PUBLISHED_VALUES: Final[Mapping[str, int]] = {
    "differ 10": PUBLISHED_PATIENTS * PUBLISHED_DAYS * 2,
    "differ 5": PUBLISHED_PATIENTS * PUBLISHED_DAYS * 2,
    "cv mean": PUBLISHED_PATIENTS * (PUBLISHED_DAYS // 7),
    "cv p90": PUBLISHED_PATIENTS * (PUBLISHED_DAYS // 7),
}
"""Sittings, and weeks."""

ROUNDED_BY: Final = 0.0005
STEP_ROUNDED_BY: Final[Mapping[str, float]] = {"D": 0.005}
"""Half of the last digit of the published shares; those of D have two decimals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure with its 95 % Monte-Carlo interval, beside the published one if there is one. Shares or per cent."""

    table: str
    row: str
    column: str
    value: float
    low: float
    high: float
    published: float | None
    is_outside: bool


def share_cell(
    table: str,
    row: str,
    column: str,
    flagged: NDArray[np.bool_],
    published: float | None,
    *,
    rounded_by: float = ROUNDED_BY,
) -> Cell:
    """The share of `flagged`, bool[patients]."""
    count, n = int(flagged.sum()), len(flagged)
    low, high = wilson(count, n)
    return Cell(
        table=table,
        row=row,
        column=column,
        value=round(count / n, 5),
        low=round(low, 5),
        high=round(high, 5),
        published=published,
        is_outside=published is not None and is_outside_share(count, n, published, rounded_by=rounded_by),
    )


def per_cent_cell(row: str, value: float, error: float, n: int) -> Cell:
    """A figure in per cent with its standard error, from `n` values, beside that of `SPREAD`.

    The published figure's own error is taken for that of a run of its size: `PUBLISHED_PATIENTS` for `PUBLISHED_DAYS`.
    """
    published = SPREAD[row]
    published_error = error * math.sqrt(n / _PUBLISHED_VALUES[row])
    allowed = Z_OUTSIDE * math.hypot(error, published_error) + _PER_CENT_ROUNDED_BY
    return Cell(
        table="spread",
        row=row,
        column="",
        value=round(value, 3),
        low=round(value - Z_INTERVAL * error, 3),
        high=round(value + Z_INTERVAL * error, 3),
        published=published,
        is_outside=abs(value - published) > allowed,
    )


def wilson(count: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson, 1927): true to its word at 0 and 1 too, where most cells are."""
    z2, share = Z_INTERVAL**2, count / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_INTERVAL * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def is_outside_share(count: int, n: int, published: float, *, rounded_by: float) -> bool:
    """Does the share lie more than three standard errors, of both together, from all that rounds to the published one?"""
    share = count / n
    nearest = min(max(share, published - rounded_by, 0.0), published + rounded_by, 1.0)
    pooled = (count + nearest * PUBLISHED_PATIENTS) / (n + PUBLISHED_PATIENTS)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / PUBLISHED_PATIENTS))
    return abs(share - nearest) > Z_OUTSIDE * error
