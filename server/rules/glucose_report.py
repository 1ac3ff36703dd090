"""A clinic's report of a worn sensor over some days: every figure of `glucose_metrics` and `glucose_swings` for one trace. Pure.

It compares nothing with a goal but the sensor's own completeness: goals belong to rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import sqrt
from typing import Final

import numpy as np

from server.rules import glucose_metrics as metrics
from server.rules import glucose_swings as swings
from server.rules.glucose_trace import Trace
from server.rules.kernels import MICRO, Int64s
from server.rules.series import SPREAD_READINGS_MIN
from server.rules.windows import from_us
from vitals.units import MG_DL_PER_MMOL_L

EPISODE_MINUTES: Final = 15
"""What begins an episode, and what ends it (Battelino et al. 2023)."""

GAP_MINUTES: Final = 45
"""Readings further apart say nothing of the time between them: three of a sensor that is read every 15 minutes are missing."""

SUFFICIENT_PERCENT: Final = 70
"""Of 14 days; with less the figures are shown as what they are (Battelino et al. 2019)."""

_LIMITS: Final[tuple[tuple[str, int], ...]] = (
    ("below", metrics.LOW_MG_DL),
    ("below", metrics.VERY_LOW_MG_DL),
    ("above", metrics.HIGH_MG_DL),
    ("above", metrics.VERY_HIGH_MG_DL),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseEpisode:
    """At least 15 minutes beyond `limit_mg_dl`. `until` is the newest reading beyond it; `is_over`: it has been back as long."""

    is_low: bool
    limit_mg_dl: int
    began_at: datetime
    until: datetime
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseLevels:
    """The figures of `numbers` readings, which HI and LO are not. None: one value does not vary, or no swing is of 1 SD."""

    numbers: int
    mean_mg_dl: float
    mean_mmol_l: float
    sd_mg_dl: float | None
    sd_mmol_l: float | None
    cv_percent: float | None
    gmi_percent: float
    gmi_mmol_mol: float
    lbgi: float
    hbgi: float
    mage_mg_dl: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseShares:
    """Of `readings`, HI and LO counted: percent in range (70–180), in tight range (70–140), below and above limits in mg/dL.

    What is below 54 is part of what is below 70, what is above 250 of what is above 180.
    """

    readings: int
    tir_percent: float
    titr_percent: float
    tbr_70_percent: float
    tbr_54_percent: float
    tar_180_percent: float
    tar_250_percent: float
    gri: float
    gri_zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseReport:
    """One period of `days` days. None: there was nothing to compute it from.

    `sufficiency_percent`: of the quarter hours of the period, those with a reading. `lage_mg_dl`: from the lowest to the highest
    of each clinical day (an ordinal) with three readings.
    """

    days: int
    sufficiency_percent: float
    is_sufficient: bool
    levels: GlucoseLevels | None
    shares: GlucoseShares | None
    modd_mg_dl: float | None
    lage_mg_dl: Mapping[int, float]
    episodes: tuple[GlucoseEpisode, ...]


def report(trace: Trace, *, days: int) -> GlucoseReport:
    """The figures of `trace` (in mg/dL, in order of time), which is of a period of `days` days."""
    assert days >= 1, "a period has a day"
    is_number = trace.is_number
    values = trace.micro[is_number] / MICRO
    quarters = len(np.unique(metrics.quarter_hours(trace.at_us)))
    sufficiency = Fraction(100 * quarters, days * metrics.QUARTER_HOURS_A_DAY)
    return GlucoseReport(
        days=days,
        sufficiency_percent=float(sufficiency),
        is_sufficient=sufficiency >= SUFFICIENT_PERCENT,
        levels=_levels(trace.micro[is_number]) if is_number.any() else None,
        shares=_shares(trace) if len(trace) else None,
        modd_mg_dl=swings.modd(trace.at_us[is_number], values, gap_minutes=GAP_MINUTES),
        lage_mg_dl=swings.lage(trace.day[is_number], values, fewest=SPREAD_READINGS_MIN),
        episodes=tuple(sorted(_episodes(trace), key=lambda each: (each.began_at, each.limit_mg_dl))),
    )


def _levels(micro: Int64s) -> GlucoseLevels:
    n, total = len(micro), int(micro.sum())
    squares = sum(value * value for value in micro.tolist())  # more than 64 bits hold
    mean = Fraction(total, n * MICRO)
    mean_mmol_l = mean / Fraction(MG_DL_PER_MMOL_L)
    sd = sqrt(metrics.variance(n, total, squares)) / MICRO if n > 1 else None
    low_risks, high_risks = metrics.risks(micro)
    return GlucoseLevels(
        numbers=n,
        mean_mg_dl=float(mean),
        mean_mmol_l=float(mean_mmol_l),
        sd_mg_dl=sd,
        sd_mmol_l=None if sd is None else sd / float(MG_DL_PER_MMOL_L),
        cv_percent=sqrt(metrics.cv_percent_squared(n, total, squares)) if n > 1 else None,
        gmi_percent=float(metrics.gmi_percent(mean)),
        gmi_mmol_mol=float(metrics.gmi_mmol_mol(mean_mmol_l)),
        lbgi=int(low_risks.sum()) / (n * MICRO),
        hbgi=int(high_risks.sum()) / (n * MICRO),
        mage_mg_dl=swings.mage(micro / MICRO),
    )


def _shares(trace: Trace) -> GlucoseShares:
    n = len(trace)
    counts = np.bincount(metrics.bands(trace.micro, trace.censored), minlength=metrics.BANDS).tolist()
    very_low, low, in_range, high, very_high = counts
    is_tight = trace.is_number & (trace.micro >= metrics.LOW_MG_DL * MICRO)
    is_tight &= trace.micro <= metrics.TIGHT_HIGH_MG_DL * MICRO
    index = metrics.gri(counts)
    return GlucoseShares(
        readings=n,
        tir_percent=100 * in_range / n,
        titr_percent=100 * int(is_tight.sum()) / n,
        tbr_70_percent=100 * (very_low + low) / n,
        tbr_54_percent=100 * very_low / n,
        tar_180_percent=100 * (high + very_high) / n,
        tar_250_percent=100 * very_high / n,
        gri=float(index),
        gri_zone=metrics.gri_zone(index),
    )


def _episodes(trace: Trace) -> list[GlucoseEpisode]:
    """Of each limit by itself: what is below 54 mg/dL is part of what is below 70."""
    return [
        GlucoseEpisode(
            is_low=side == "below",
            limit_mg_dl=limit,
            began_at=from_us(int(trace.at_us[found.first])),
            until=from_us(int(trace.at_us[found.newest])),
            is_over=found.ended is not None,
        )
        for side, limit in _LIMITS
        for found in swings.excursions(
            trace.at_us,
            trace.beyond("below" if side == "below" else "above", limit * MICRO),
            minutes=EPISODE_MINUTES,
            gap_minutes=GAP_MINUTES,
        )
    ]
