"""Finger-sticks by the meal that they belong to: the day grid of a report, and what may be said of so few values. Pure.

A finger-stick is a look, not a trace: shares are of *readings* and never of time, and there is no GMI and no GRI of them. Each
is compared in the unit in which its meter showed it, by the limits published in that unit (ADA Standards of Care, section 6):
70 mg/dL are 3.885 mmol/L and no low. A meal is what meter or patient said, never guessed from the clock. HI and LO count in
shares and in no mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import sqrt
from typing import Final, Literal

from server.rules.glucose_metrics import cv_percent_squared, variance
from server.rules.kernels import MICRO

Unit = Literal["mmol/L", "mg/dL"]
Slot = Literal["fasting", "before_meal", "after_meal", "bedtime", "other"]
SLOTS: Final[tuple[Slot, ...]] = ("fasting", "before_meal", "after_meal", "bedtime", "other")
Band = Literal["very_low", "low", "in_range", "high", "very_high"]
BANDS: Final[tuple[Band, ...]] = ("very_low", "low", "in_range", "high", "very_high")

_SLOT_OF_MEAL: Final[Mapping[str | None, Slot]] = {
    "fasting": "fasting",
    "preprandial": "before_meal",
    "postprandial": "after_meal",
    "bedtime": "bedtime",
}

LIMITS: Final[Mapping[Unit, tuple[float, float, float, float]]] = {
    "mmol/L": (3.0, 3.9, 10.0, 13.9),
    "mg/dL": (54.0, 70.0, 180.0, 250.0),
}
"""Below the first: very low; below the second: low; above the third: high; above the last: very high."""

GOALS: Final[Mapping[Slot, Mapping[Unit, tuple[float | None, float]]]] = {
    "fasting": {"mmol/L": (4.4, 7.2), "mg/dL": (80.0, 130.0)},
    "before_meal": {"mmol/L": (4.4, 7.2), "mg/dL": (80.0, 130.0)},
    "after_meal": {"mmol/L": (None, 10.0), "mg/dL": (None, 180.0)},
}
"""Before a meal both ends belong to the goal; one to two hours after its begin it is below the number (ADA, section 6)."""

SPREAD_READINGS, SPREAD_DAYS = 7, 3
"""Fewer readings, or on fewer days, have no spread worth a number (clinical 2.3, engineering choice)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stick:
    """One usable finger-stick. `unit`: in which its meter showed it; `censored`: HI or LO, without numbers; `day`: clinical."""

    at: datetime
    day: int
    mmol_l: float | None
    mg_dl: float | None
    unit: Unit
    censored: str | None
    meal: str | None

    @property
    def slot(self) -> Slot:
        return _SLOT_OF_MEAL.get(self.meal, "other")

    @property
    def micro(self) -> int | None:
        """In millionths of the unit in which it was shown."""
        shown = self.mmol_l if self.unit == "mmol/L" else self.mg_dl
        return None if shown is None or self.censored else round(shown * MICRO)

    @property
    def band(self) -> Band:
        if self.micro is None:
            return "very_low" if self.censored == "LO" else "very_high"
        very_low, low, high, very_high = (round(limit * MICRO) for limit in LIMITS[self.unit])
        if self.micro < low:
            return "very_low" if self.micro < very_low else "low"
        if self.micro > high:
            return "very_high" if self.micro > very_high else "high"
        return "in_range"

    @property
    def is_at_goal(self) -> bool | None:
        """`None`: this slot has no goal."""
        if self.slot not in GOALS:
            return None
        lowest, highest = GOALS[self.slot][self.unit]
        if self.micro is None:
            return self.censored == "LO" and lowest is None
        top = round(highest * MICRO)
        if lowest is None:
            return self.micro < top
        return round(lowest * MICRO) <= self.micro <= top


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFigures:
    """Of one column. `at_goal`: how many are; `None`: it has no goal. Means and ends are of the numbers alone, in mmol/L."""

    n: int
    mean_mmol_l: float | None
    lowest_mmol_l: float | None
    highest_mmol_l: float | None
    at_goal: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotReport:
    """All finger-sticks of a period, oldest first. `lows`: the low and very low ones; `grid`: by day and slot."""

    sticks: tuple[Stick, ...]
    lows: tuple[Stick, ...]
    counts: Mapping[Band, int]
    slots: Mapping[Slot, SlotFigures]
    grid: Mapping[int, Mapping[Slot, tuple[Stick, ...]]]
    mean_mmol_l: float | None
    sd_mmol_l: float | None
    cv_percent: float | None

    @property
    def n(self) -> int:
        return len(self.sticks)

    def percent(self, *bands: Band) -> Fraction | None:
        """Of all readings, HI and LO counted."""
        return Fraction(100 * sum(self.counts[band] for band in bands), self.n) if self.n else None


def report(sticks: Sequence[Stick]) -> SlotReport:
    """The figures of these finger-sticks, in any order."""
    ordered = tuple(sorted(sticks, key=lambda each: each.at))
    numbers = _micro_mmol(ordered)
    has_spread = len(numbers) >= SPREAD_READINGS and len({each.day for each in ordered if each.micro}) >= SPREAD_DAYS
    total, squares = sum(numbers), sum(each * each for each in numbers)
    return SlotReport(
        sticks=ordered,
        lows=tuple(each for each in ordered if each.band in ("very_low", "low")),
        counts={band: sum(each.band == band for each in ordered) for band in BANDS},
        slots={slot: _figures([each for each in ordered if each.slot == slot], slot) for slot in SLOTS},
        grid=_grid(ordered),
        mean_mmol_l=_mean(numbers),
        sd_mmol_l=sqrt(variance(len(numbers), total, squares)) / MICRO if has_spread else None,
        cv_percent=sqrt(cv_percent_squared(len(numbers), total, squares)) if has_spread else None,
    )


def _figures(sticks: Sequence[Stick], slot: Slot) -> SlotFigures:
    numbers = _micro_mmol(sticks)
    return SlotFigures(
        n=len(sticks),
        mean_mmol_l=_mean(numbers),
        lowest_mmol_l=min(numbers) / MICRO if numbers else None,
        highest_mmol_l=max(numbers) / MICRO if numbers else None,
        at_goal=sum(bool(each.is_at_goal) for each in sticks) if slot in GOALS else None,
    )


def _grid(sticks: Sequence[Stick]) -> dict[int, dict[Slot, tuple[Stick, ...]]]:
    grid: dict[int, dict[Slot, tuple[Stick, ...]]] = {}
    for each in sticks:
        of_day = grid.setdefault(each.day, {})
        of_day[each.slot] = (*of_day.get(each.slot, ()), each)
    return grid


def _micro_mmol(sticks: Sequence[Stick]) -> list[int]:
    return [round(each.mmol_l * MICRO) for each in sticks if each.micro is not None and each.mmol_l is not None]


def _mean(micro: Sequence[int]) -> float | None:
    return float(Fraction(sum(micro), len(micro) * MICRO)) if micro else None
