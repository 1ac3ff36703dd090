"""The figures of glucose over some days, each defined here once: the rules compare them, and a clinic's report shows them. Pure.

Glucose is in mg/dL, in whole millionths, wherever the unit makes a difference. What adds up is added up in integers, so that
means, shares, GMI and GRI are exact fractions. HI and LO are counted where a reading is counted (shares, GRI, sufficiency,
episodes), and nowhere else. It judges nothing and knows no rule.

Sources: shares, CV, sufficiency and episodes: Battelino et al. 2019 and 2023 (ATTD); GMI: Bergenstal et al. 2018; GRI: Klonoff
et al. 2022; LBGI and HBGI: Kovatchev et al. 1997; MAGE: Service et al. 1970; MODD: Molnar et al. 1972.
"""

from collections.abc import Iterable
from fractions import Fraction
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.rules.kernels import MICRO, Int64s
from server.rules.windows import HI, LO

VERY_LOW_MG_DL, LOW_MG_DL, HIGH_MG_DL, VERY_HIGH_MG_DL = 54, 70, 180, 250
TIGHT_HIGH_MG_DL: Final = 140
"""In range is from LOW to HIGH, in tight range from LOW to this, both ends included."""

QUARTER_HOUR_US: Final = 900_000_000
QUARTER_HOURS_A_DAY: Final = 96
"""Sufficiency is counted in quarter hours with a reading, so that a sensor of any interval up to 15 minutes can be complete."""

BANDS: Final = 5
"""Very low, low, in range, high, very high."""

_FIRST_OF_BAND: Final = np.array(
    [VERY_LOW_MG_DL * MICRO, LOW_MG_DL * MICRO, HIGH_MG_DL * MICRO + 1, VERY_HIGH_MG_DL * MICRO + 1], np.int64
)
_GRI_WEIGHTS: Final = (Fraction(3), Fraction("2.4"), Fraction(0), Fraction("0.8"), Fraction("1.6"))
_GRI_ZONES: Final = ((20, "A"), (40, "B"), (60, "C"), (80, "D"), (100, "E"))


def bands(micro: Int64s, censored: NDArray[np.int8]) -> Int64s:
    """The band of each reading (0 very low … 4 very high): LO lies in the first, HI in the last."""
    placed = np.searchsorted(_FIRST_OF_BAND, micro, side="right")
    placed[censored == LO], placed[censored == HI] = 0, BANDS - 1
    return placed


def quarter_hours(at_us: Int64s) -> Int64s:
    """The quarter hour (since 1970 UTC) of each instant."""
    return np.asarray(at_us // QUARTER_HOUR_US, np.int64)


def risks(micro: Int64s) -> tuple[Int64s, Int64s]:
    """What each reading adds to the risk of lows and to that of highs: 10 f², f = 1.509 (ln(mg/dL)^1.084 - 5.381), in millionths.

    f is 0 at 112.5 mg/dL, negative below and positive above. Each is rounded to a millionth, so that sums of them are exact.
    """
    distinct, place = np.unique(micro, return_inverse=True)
    scored = [_risk(int(each)) for each in distinct]
    low, high = (np.array([pair[side] for pair in scored], np.int64) for side in (0, 1))
    return low[place], high[place]


def gmi_percent(mean_mg_dl: Fraction) -> Fraction:
    """The glucose management indicator: the HbA1c, in percent, that people of this mean glucose have on average."""
    return Fraction("3.31") + Fraction("0.02392") * mean_mg_dl


def gmi_mmol_mol(mean_mmol_l: Fraction) -> Fraction:
    """The same in mmol/mol, by the formula that was published for it."""
    return Fraction("12.71") + Fraction("4.70587") * mean_mmol_l


def gri(counts: Iterable[int]) -> Fraction:
    """The glycemia risk index, 0 to 100, of so many readings in each band (at least one in all)."""
    each = list(counts)
    weighed = sum((weight * count for weight, count in zip(_GRI_WEIGHTS, each, strict=True)), Fraction(0))
    return min(Fraction(100), 100 * weighed / sum(each))


def gri_zone(index: Fraction) -> str:
    """A (0 to 20) to E (80 to 100); a zone begins where the one before it ends."""
    return next(zone for highest, zone in _GRI_ZONES if index <= highest)


def variance(n: int, total: int, squares: int) -> Fraction:
    """Of a sample of n ≥ 2 values that add up to `total` and whose squares add up to `squares`, in the values' unit squared."""
    return Fraction(n * squares - total * total, n * (n - 1))


def cv_percent_squared(n: int, total: int, squares: int) -> Fraction:
    """The square of 100 SD/mean: exact, which its root would not be."""
    return variance(n, total, squares) * Fraction(100 * n, total) ** 2


def _risk(micro: int) -> tuple[int, int]:
    f = 1.509 * (log(max(micro, MICRO) / MICRO) ** 1.084 - 5.381)
    scaled = round(10 * f * f * MICRO)
    return (scaled, 0) if f < 0 else (0, scaled)
