"""The readings that a rule about single values looks at: those of the kinds that carry its signals, and what each is to the rule.

Knows no event and no episode. A reading that lacks a number which the rule compares is neither beyond a limit nor within it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.rules import kernels
from server.rules.conditions import COMPARE, ValueThreshold
from server.rules.features import Features
from server.rules.kernels import Int8s, Int64s
from server.rules.rule import SingleValueRule
from server.rules.signals import SOURCES, group_of
from server.rules.windows import (
    ACCEPTED,
    HI,
    KIND_CODES,
    LO,
    SUSPECT,
    TIME_CERTAIN,
    TIME_UNUSABLE,
    from_us,
)

_BEYOND: Final = {"above": HI, "at_least": HI, "below": LO, "at_most": LO}


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueReadings:
    """n readings in order of time: no orphans. `row` is the place in the window, `quality` is final, `day` an ordinal.

    `sitting` is -1 where the time is in doubt. `is_met`: beyond a limit; `is_within`: beyond none, and accepted.
    """

    row: NDArray[np.intp]
    at_us: Int64s
    received_us: Int64s
    quality: Int8s
    sitting: Int64s
    day: Int64s
    is_met: NDArray[np.bool_]
    is_within: NDArray[np.bool_]

    def at(self, place: int) -> datetime:
        """When the reading at `place` was measured."""
        return from_us(int(self.at_us[place]))

    def received_at(self, place: int) -> datetime:
        return from_us(int(self.received_us[place]))


def value_readings(rule: SingleValueRule, features: Features, thresholds: tuple[float, ...]) -> ValueReadings:
    """What `rule` looks at in `features`; `thresholds` are those in force, one for each of its conditions."""
    row, quality, sitting = _seats(rule.when.any_of[0], features)
    window = features.history.window
    censored = window.censored[row]
    is_met, is_whole = np.zeros(len(row), np.bool_), np.ones(len(row), np.bool_)
    for condition, threshold in zip(rule.when.any_of, thresholds, strict=True):
        micro, is_number = _numbers(condition, features)
        limit = round(threshold * kernels.MICRO)
        is_met |= is_number & COMPARE[condition.comparison](micro, limit)
        is_met |= censored == _BEYOND[condition.comparison]
        is_whole &= is_number | (censored != 0)
    return ValueReadings(
        row=row,
        at_us=window.measured_at_us[row],
        received_us=window.received_at_us[row],
        quality=quality,
        sitting=sitting,
        day=features.day[row],
        is_met=is_met,
        is_within=(quality == ACCEPTED) & is_whole & ~is_met,
    )


def _numbers(condition: ValueThreshold, features: Features) -> tuple[Int64s, NDArray[np.bool_]]:
    """What each reading says of the condition's signal, in millionths of its unit, and whether it says a number."""

    def read() -> tuple[Int64s, NDArray[np.bool_]]:
        row, window = _seats(condition, features)[0], features.history.window
        values = getattr(window, SOURCES[condition.signal].columns[condition.unit])[row]
        return kernels.micro(values), np.isfinite(values) & (window.censored[row] == 0)

    return features.once(("numbers", condition.signal, condition.unit), read)


def _seats(condition: ValueThreshold, features: Features) -> tuple[NDArray[np.intp], Int8s, Int64s]:
    return features.once(("seats", group_of(condition.signal)), lambda: _seated(condition, features))


def _seated(condition: ValueThreshold, features: Features) -> tuple[NDArray[np.intp], Int8s, Int64s]:
    """Rows of the window, the final quality of each and its sitting. A pulse comes from cuff and oximeter, in one row of time."""
    if group_of(condition.signal) == "pressure":
        pressures = features.pressures
        return pressures.row, pressures.quality, pressures.sitting
    window = features.history.window
    is_ours = np.isin(window.kind, [KIND_CODES[kind] for kind in SOURCES[condition.signal].kinds])
    is_ours &= window.time_quality != TIME_UNUSABLE
    if condition.signal == "pulse":
        is_ours &= ~np.isnan(window.pulse_bpm)
    row = np.flatnonzero(is_ours)
    is_certain = window.time_quality[row] == TIME_CERTAIN
    quality = np.where(is_certain, features.quality[row], np.minimum(features.quality[row], SUSPECT)).astype(np.int8)
    first = np.array([0, len(row)], np.int64)
    return row, quality, kernels.sit(first, window.measured_at_us[row], is_certain.astype(np.int8))
