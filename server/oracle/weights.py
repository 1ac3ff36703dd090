"""Weights that are likely somebody else's: whoever lives with the patient uses the same scale (clinical 3, reject > 5 kg).

Each is compared with the two weeks before it. What two days agree on is believed: the body has changed, or the scale has. Knows
no rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Final

from server.oracle.days import Days
from server.oracle.marks import by_itself
from server.oracle.shapes import OracleReading

MILLION: Final = 1_000_000
BEFORE: Final = timedelta(days=14)
FAR_KG: Final = 5
AGREEMENT_KG: Final = 2
AGREEMENT_WINDOW: Final = timedelta(hours=72)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighing:
    """`millionths` of a kilogram."""

    at: datetime
    name: str
    day: date
    millionths: int


def others(readings: Sequence[OracleReading], days: Days) -> frozenset[str]:
    """The names of the weights that are doubted: far from those before, and from what was weighed next to them."""
    ordered = sorted(_weighings(readings, days), key=lambda one: (one.at, one.name))
    doubted = {one.name for place, one in enumerate(ordered) if _is_far(one, ordered[:place])}
    believed: set[str] = set()
    for one, other in pairwise(ordered):
        if {one.name, other.name} <= doubted and _agree(one, other):
            believed |= {one.name, other.name}
    return frozenset(doubted - believed)


def _weighings(readings: Sequence[OracleReading], days: Days) -> list[_Weighing]:
    """Those that are possible and whose time is usable, be it in doubt."""
    found = []
    for reading in readings:
        if reading.kind == "weight" and reading.time_quality != "orphan" and by_itself(reading) == "accepted":
            assert reading.weight_kg is not None, "no weight is accepted without a number"
            found.append(
                _Weighing(
                    at=reading.measured_at,
                    name=reading.name,
                    day=days.day(reading.measured_at),
                    millionths=round(reading.weight_kg * MILLION),
                )
            )
    return found


def _is_far(one: _Weighing, before: Sequence[_Weighing]) -> bool:
    """From the middle of those of the two weeks before, whoever's they were."""
    recent = [other.millionths for other in before if one.at - other.at <= BEFORE]
    return bool(recent) and abs(one.millionths - median(recent)) > FAR_KG * MILLION


def _agree(one: _Weighing, other: _Weighing) -> bool:
    is_close = abs(one.millionths - other.millionths) <= AGREEMENT_KG * MILLION
    return is_close and one.day != other.day and other.at - one.at <= AGREEMENT_WINDOW
