"""Findings of the trend rules (rolling, count_of_last, change): the kernels' stretches, joined to episodes and put into words.

An episode is a time that is not good, from the first element at which a condition holds on; what begins again within seven days
belongs to it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.rules import kernels, trend_sentences
from server.rules.days_in_a_row import FRESH_DAYS
from server.rules.episodes import Finding, Verdict
from server.rules.features import Features
from server.rules.rule import ChangeRule, CountOfLastRule, RollingRule, TrendRule
from server.rules.series import Series
from server.rules.stretches import joined
from server.rules.trend_answers import Asked, ask, axis_of
from server.rules.trend_kernels import BEGAN, ENDED, LAST
from server.rules.windows import from_us

GROUNDS_MAX: Final = 100
"""Of the readings in a window the verdict names the newest hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """An element at which a condition holds. `group`: the place of its conditions among those on other kinds of reading."""

    asked: Asked
    element: int
    group: int

    @property
    def at_us(self) -> int:
        return int(self.asked.series.at_us[self.element])

    @property
    def day(self) -> int:
        return int(self.asked.series.day[self.element])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """A time that is not good, from the first element at which a condition held. `ended_us`: None while it lasts."""

    first: _Point
    newest: _Point
    ended_us: int | None

    @property
    def began_us(self) -> int:
        return self.first.at_us


def findings(rule: TrendRule, features: Features, *, personal: Mapping[str, Any], version: int) -> list[Finding]:
    """The episodes that `rule` sees, oldest first."""
    each = [_stretches(group, number) for number, group in enumerate(ask(rule, features, personal))]
    stretches = each[0] if len(each) == 1 else _united(chain.from_iterable(each))
    return [_finding(rule, features, version, episode) for episode in joined(stretches)]


def ends(rules: Iterable[TrendRule], features: Features) -> list[datetime]:
    """When a sitting that is not over yet will be, if one of the rules waits for it."""
    pressures = features.pressures
    if not len(pressures) or not any(rule.when.of == "sittings" for rule in rules):
        return []
    return [from_us(int(pressures.at_us[-1]) + kernels.SITTING_GAP_US)]


# -- joining stretches -------------------------------------------------------------------------------------------------


def _stretches(group: Sequence[Asked], number_of_group: int) -> list[_Stretch]:
    """The times at which not all of the conditions are good, oldest first. They are asked of the same elements."""
    held = sorted(
        (int(span[BEGAN]), int(span[LAST]), number) for number, asked in enumerate(group) for span in asked.holds
    )
    series, found = group[0].series, []
    for start, end in _joined(group):
        inside = held[bisect_left(held, (start,)) : bisect_left(held, (end,))]
        if not inside:
            continue
        last, first_written = max((last, -number) for _, last, number in inside)
        stretch = _Stretch(
            first=_Point(asked=group[inside[0][2]], element=inside[0][0], group=number_of_group),
            newest=_Point(asked=group[-first_written], element=last, group=number_of_group),
            ended_us=int(series.at_us[end]) if end < len(series) else None,
        )
        found.append(stretch)
    return found


def _joined(group: Sequence[Asked]) -> list[tuple[int, int]]:
    """From which element to which (not included) some condition is not good; the number of elements where that has no end."""
    n = len(group[0].series)
    spans = sorted((int(span[BEGAN]), int(span[ENDED]) % (n + 1)) for asked in group for span in asked.not_good)
    joined: list[tuple[int, int]] = []
    for began, ended in spans:
        if joined and began <= joined[-1][1]:
            start, end = joined.pop()
            began, ended = start, max(end, ended)
        joined.append((began, ended))
    return joined


def _united(stretches: Iterable[_Stretch]) -> list[_Stretch]:
    """Those of different kinds of reading that overlap or touch are one: somewhere a condition holds, or is not yet good."""
    found: list[_Stretch] = []
    for stretch in sorted(stretches, key=lambda one: one.first.at_us):  # stable: of two at once the one written first
        last = found[-1] if found else None
        if last is None or (last.ended_us is not None and last.ended_us < stretch.first.at_us):
            found.append(stretch)
            continue
        ends = (last.ended_us, stretch.ended_us)
        newest = max(last.newest, stretch.newest, key=lambda point: (point.at_us, -point.group, point.element))
        found[-1] = replace(
            last, newest=newest, ended_us=None if None in ends else max(e for e in ends if e is not None)
        )
    return found


# -- findings ----------------------------------------------------------------------------------------------------------


def _finding(rule: TrendRule, features: Features, version: int, episode: Sequence[_Stretch]) -> Finding:
    calendar, newest = features.calendar, episode[-1].newest
    opened_at, again_at = (from_us(stretch.first.at_us) for stretch in (episode[0], episode[-1]))
    ended_us = episode[-1].ended_us
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=version,
        state="active" if ended_us is None else "resolved",
        priority=rule.priority,
        first_day=date.fromordinal(episode[0].first.day),
        last_day=date.fromordinal(newest.day),
        started_at=opened_at,
        opened_at=opened_at,
        deliver_at=calendar.delivery_after(again_at) if rule.when.of == "days" else again_at,
        resolved_at=None if ended_us is None else from_us(ended_us),
        verdict=_verdict(rule, features, newest),
        tell=rule.tell,
        fresh_until=calendar.close_of(newest.day + FRESH_DAYS),
        newest_at=from_us(newest.at_us),
    )


def _verdict(rule: TrendRule, features: Features, newest: _Point) -> Verdict:
    series, limits = newest.asked.series, newest.asked.limits
    elements = _in_view(rule, series, newest.element)
    values = series.micro[elements] / kernels.MICRO
    value = _value(rule, values)
    rows = sorted(int(row) for e in elements for row in series.rows[series.first[e] : series.first[e + 1]])
    ids = [str(features.history.window.reading_ids[row]) for row in rows]
    reach = rule.when.over if isinstance(rule, RollingRule) else rule.when.within
    return Verdict(
        numbers={
            "signal": limits[0].signal,
            "of": rule.when.of,
            "value": None if value is None else round(value, 3),
            "values": [round(float(each), 2) for each in values[-GROUNDS_MAX:]],
            "elements": len(elements),
            "over": {"hours": reach.hours} if reach.days is None else {"days": reach.days},
            "at": from_us(newest.at_us).isoformat(),
            "thresholds": [
                {"signal": each.signal, "comparison": each.comparison, "value": each.value, "unit": each.unit}
                for each in limits
            ],
            "reading_ids": ids[-GROUNDS_MAX:],
        },
        sentence=trend_sentences.sentence(rule, limits, value, [float(each) for each in values]),
    )


def _in_view(rule: TrendRule, series: Series, element: int) -> NDArray[np.intp]:
    """The elements of the window that ends with `element`."""
    reach = rule.when.over if isinstance(rule, RollingRule) else rule.when.within
    at, width = axis_of(series, reach)
    elements = np.flatnonzero(at[: element + 1] > at[element] - width)
    return elements[-rule.when.of_last :] if isinstance(rule, CountOfLastRule) else elements


def _value(rule: TrendRule, values: NDArray[np.float64]) -> float | None:
    """The number that was compared, for people to read; a count of the last few has none."""
    if isinstance(rule, CountOfLastRule):
        return None
    if isinstance(rule, ChangeRule):
        return float(values[-1] - values.min() if rule.when.falls_by is None else values.max() - values[-1])
    match rule.when.statistic:
        case "mean":
            return float(values.mean())
        case "highest":
            return float(values.max())
        case "lowest":
            return float(values.min())
        case "sd":
            return float(values.std(ddof=1))
        case "cv":
            return float(100 * values.std(ddof=1) / values.mean())
        case "arv":
            return float(np.abs(np.diff(values)).mean())
        case "count":
            return float(len(values))
