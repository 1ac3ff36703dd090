"""What the kernels say of one trend (rolling, count_of_last, change): where a condition holds, and where it is not yet good.

Each condition is asked twice, as it is written and with the threshold moved by `below_by` towards the good side. Joining the
answers to episodes is not here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.rules import kernels, trend_kernels
from server.rules.conditions import COMPARE, RISING, Change, Comparison, CountOfLast, Reach, Rolling, Statistic, Trend
from server.rules.features import Features
from server.rules.kernels import Int64s
from server.rules.series import Series, series_of
from server.rules.signals import SOURCES, Elements, Signal, group_of
from server.rules.trend_kernels import BEGAN, LAST
from server.rules.trend_sentences import Limit

YES, NOTHING, NO = 1, 0, -1
"""What a condition says at an element."""

_HOUR_US: Final = 3_600_000_000
_STEPS: Final[Mapping[Statistic, int]] = {"sd": 1_000, "cv": 100}
"""Thresholds of these are whole thousandths of the unit and whole hundredths of a percent, all others whole millionths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One condition, or the conditions of one count. `holds`, `not_good`: stretches of `series` (see trend_kernels)."""

    series: Series
    limits: tuple[Limit, ...]
    holds: Int64s
    not_good: Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """What is compared, in whole steps of the statistic, so that a threshold is exactly what was written."""

    comparison: Comparison
    steps: int

    def eased(self, by: int) -> "_Bound":
        """The bound that tells all that is not at least `by` steps on the good side."""
        if by == 0:
            return self
        if self.comparison in RISING:
            return _Bound(comparison="above", steps=self.steps - by)
        return _Bound(comparison="below", steps=self.steps + by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one condition says at each element of `series` by itself: YES, NO, or NOTHING (it cannot be said, or is between).

    `limits`: those compared with, where it has several.
    """

    series: Series
    limits: tuple[Limit, ...]
    said: NDArray[np.int8]


def ask(when: Trend, features: Features, numbers: Sequence[float], *, below_by: float) -> list[list[Asked]]:
    """The conditions in the order in which they are written, those of one group together: they share elements.

    `numbers` take the place of those that are written.
    """
    if isinstance(when, Change):
        return [[_change(when, features, *numbers, below_by=below_by)]]
    limits = [
        Limit(signal=condition.signal, comparison=condition.comparison, value=value, unit=condition.unit)
        for condition, value in zip(when.any_of, numbers, strict=True)
    ]
    if isinstance(when, CountOfLast):
        return [[_count_of_last(when, features, limits, below_by)]]
    groups: dict[str, list[Asked]] = {}
    for limit in limits:
        asked = _rolling(when, _series(features, limit.signal, limit.unit, when.of), limit, below_by)
        groups.setdefault(group_of(limit.signal), []).append(asked)
    return list(groups.values())


def answers(when: Trend, features: Features, *, below_by: float) -> Answers:
    """A yes where the condition holds as written, a no where every limit is good by `below_by`. Its signals are of one group.

    A count says yes with enough hits, however few are in view: so it is asked with one as the fewest, which is answered at
    every element, and its own fewest is asked for a no alone.
    """
    is_count = isinstance(when, CountOfLast)
    asked_once = when.model_copy(update={"min_readings": 1}) if is_count else when
    (group,) = ask(asked_once, features, when.numbers, below_by=below_by)
    series = group[0].series
    enough = _during([_with_enough(when, series)], len(series))
    holds = _during([asked.holds for asked in group], len(series))
    good = enough & ~_during([asked.not_good for asked in group], len(series))
    said = np.where(holds if is_count else holds & enough, YES, np.where(good, NO, NOTHING)).astype(np.int8)
    return Answers(series=series, limits=tuple(limit for asked in group for limit in asked.limits), said=said)


def axis_of(series: Series, reach: Reach) -> tuple[Int64s, int]:
    """What a window is measured on, and how wide it is: instants, or clinical days."""
    return (series.day, reach.days) if reach.days is not None else (series.at_us, (reach.hours or 0) * _HOUR_US)


def _series(features: Features, signal: Signal, unit: str, of: Elements) -> Series:
    """In the limit's unit, or in the signal's first where the limit's is that of a share or a count."""
    columns = SOURCES[signal].columns
    return series_of(features, signal, unit if unit in columns else next(iter(columns)), of)


def _rolling(when: Rolling, series: Series, limit: Limit, below_by: float) -> Asked:
    step = _STEPS.get(when.statistic, kernels.MICRO)
    bound = _Bound(comparison=limit.comparison, steps=round(limit.value * step))
    eased = bound.eased(round(below_by * step))
    holds, not_good = _rolled(when, series, bound), _rolled(when, series, eased)
    return Asked(series=series, limits=(limit,), holds=holds, not_good=not_good)


def _rolled(when: Rolling, series: Series, bound: _Bound) -> Int64s:
    n, start = len(series), series.start
    at, width = axis_of(series, when.over)
    found, rows = np.empty((n, 3), np.int64), np.empty(n + 1, np.int64)
    micro = series.micro.astype(np.int64)
    match when.statistic:
        case "mean":
            terms, floor = _terms(micro, bound)
            m = trend_kernels.sums_above(at, at, terms, start, width, when.min_readings, floor, rows, found)
        case "arv":
            terms, floor = _terms(np.abs(np.diff(micro)), bound)
            begin = max(start - 1, 0)
            m = trend_kernels.sums_above(at[1:], at[:-1], terms, begin, width, when.min_readings, floor, rows, found)
            found[:m] += found[:m] >= 0  # the difference of two neighbours is known with the second of them
        case "highest" | "lowest":
            m = trend_kernels.hit_within(at, _hits(micro, bound), start, width, when.min_readings, found)
        case "count":
            least = bound.steps + (bound.comparison == "above")
            needed = max(1, -(-least // kernels.MICRO))
            m = trend_kernels.many_within(at, start, width, needed, found)
        case "sd" | "cv" if bound.steps < 0:
            return _answerable(series, at, width, when.min_readings)
        case "sd" | "cv":
            milli, scratch = micro // trend_kernels.MICRO_PER_THOUSANDTH, np.empty(n, np.int64)
            m = trend_kernels.spreads_above(
                at, milli, start, width, when.min_readings, bound.steps, when.statistic == "cv", scratch, rows, found
            )
    return found[:m]


def _answerable(series: Series, at: Int64s, width: int, fewest: int) -> Int64s:
    """Where there are `fewest` in view: what has eased below nothing is never good."""
    found = np.empty((len(series), 3), np.int64)
    always = np.ones(len(series), np.uint8)
    return found[: trend_kernels.hit_within(at, always, series.start, width, fewest, found)]


def _terms(micro: Int64s, bound: _Bound) -> tuple[Int64s, int]:
    """What each element adds to a mean beyond the bound, and what their sum must be above."""
    away = micro - bound.steps
    floor = 0 if bound.comparison in ("above", "below") else -1
    return (away if bound.comparison in RISING else -away), floor


def _hits(micro: Int64s, bound: _Bound) -> NDArray[np.uint8]:
    return np.asarray(COMPARE[bound.comparison](micro, bound.steps), np.uint8)


def _count_of_last(when: CountOfLast, features: Features, limits: Sequence[Limit], below_by: float) -> Asked:
    by = round(below_by * kernels.MICRO)
    columns = [_series(features, limit.signal, limit.unit, when.of) for limit in limits]
    bounds = [_Bound(comparison=limit.comparison, steps=round(limit.value * kernels.MICRO)) for limit in limits]
    series, n = columns[0], len(columns[0])

    def counted(asked: Sequence[_Bound]) -> Int64s:
        hits = np.zeros(n, np.uint8)
        for column, bound in zip(columns, asked, strict=True):
            hits |= _hits(column.micro.astype(np.int64), bound)
        at, width = axis_of(series, when.within)
        found, rows = np.empty((n, 3), np.int64), np.empty(n + 1, np.int64)
        m = trend_kernels.hits_among_last(
            at, series.day, hits, series.start, width, when.needed, when.on_days, when.of_last, when.fewest, rows, found
        )
        return found[:m]

    return Asked(
        series=series,
        limits=tuple(limits),
        holds=counted(bounds),
        not_good=counted([bound.eased(by) for bound in bounds]),
    )


def _change(when: Change, features: Features, by: float, *, below_by: float) -> Asked:
    series = series_of(features, when.signal, when.unit, when.of)
    at, width = axis_of(series, when.within)
    micro = series.micro if when.falls_by is None else -series.micro

    def changed(by_micro: int) -> Int64s:
        if by_micro <= 0:
            return _answerable(series, at, width, 2)
        found = np.empty((len(series), 3), np.int64)
        return found[: trend_kernels.rises_by(at, micro, series.start, width, 2, by_micro, found)]

    needed = round(by * kernels.MICRO)
    holds = changed(needed)
    eased = round(below_by * kernels.MICRO)
    # Good is a change of at most `by - below_by`, so not good is the least bit more.
    not_good = holds if eased == 0 else changed(needed - eased + 1)
    limit = Limit(signal=when.signal, comparison="at_least", value=by, unit=when.unit)
    return Asked(series=series, limits=(limit,), holds=holds, not_good=not_good)


def _with_enough(when: Trend, series: Series) -> Int64s:
    """Where the condition has so many in view that it can be answered."""
    match when:
        case CountOfLast():
            fewest, reach = when.fewest, when.within
        case Change():
            fewest, reach = 2, when.within
        case Rolling():
            fewest, reach = when.min_readings + (when.statistic == "arv"), when.over  # of differences, one more value
    at, width = axis_of(series, reach)
    found = np.empty((len(series), 3), np.int64)
    return found[: trend_kernels.many_within(at, series.start, width, fewest, found)]


def _during(each: Sequence[Int64s], n: int) -> NDArray[np.bool_]:
    """At which of n elements one of the stretches lasts, from its first to its last."""
    steps = np.zeros(n + 1, np.int64)
    for spans in each:
        steps[spans[:, BEGAN]] += 1
        steps[spans[:, LAST] + 1] -= 1
    return np.cumsum(steps[:n]) > 0
