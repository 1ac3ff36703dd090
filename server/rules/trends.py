"""Findings of the trend rules (rolling, count_of_last, change): the kernels' stretches, joined to episodes and put into words.

An episode is a time that is not good, from the first element at which a condition holds on; what begins again within seven days
belongs to it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import chain
from typing import Any

from server.rules import kernels, trend_sentences
from server.rules.conditions import Trend
from server.rules.days_in_a_row import FRESH_DAYS
from server.rules.episodes import UNSAID, Finding, Verdict
from server.rules.features import Features
from server.rules.own_numbers import change_in_force, thresholds_in_force
from server.rules.rule import ChangeRule, TrendRule
from server.rules.stretches import joined
from server.rules.trend_answers import Asked, ask
from server.rules.trend_grounds import GROUNDS_MAX, as_numbers, grounds_of, reach_of
from server.rules.trend_kernels import BEGAN, ENDED, LAST
from server.rules.windows import from_us


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
    asked = ask(rule.when, features, _numbers_in_force(rule, personal), below_by=rule.resolve.below_by)
    each = [_stretches(group, number) for number, group in enumerate(asked)]
    stretches = each[0] if len(each) == 1 else _united(chain.from_iterable(each))
    return [_finding(rule, features, version, episode) for episode in joined(stretches)]


def ends(trends: Iterable[Trend], features: Features) -> list[datetime]:
    """When a sitting that is not over yet will be, if one of `trends` waits for it."""
    pressures = features.pressures
    if not len(pressures) or not any(when.of == "sittings" for when in trends):
        return []
    return [from_us(int(pressures.at_us[-1]) + kernels.SITTING_GAP_US)]


def _numbers_in_force(rule: TrendRule, personal: Mapping[str, Any]) -> tuple[float, ...]:
    if isinstance(rule, ChangeRule):
        return (change_in_force(rule, personal),)
    return thresholds_in_force(rule, personal)


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
        verdict=_verdict(rule, features, newest) if features.is_explained else UNSAID,
        tell=rule.tell,
        fresh_until=calendar.close_of(newest.day + FRESH_DAYS),
        newest_at=from_us(newest.at_us),
    )


def _verdict(rule: TrendRule, features: Features, newest: _Point) -> Verdict:
    when, limits = rule.when, newest.asked.limits
    grounds, reach = grounds_of(when, newest.asked.series, newest.element), reach_of(when)
    ids = [str(features.history.window.reading_ids[row]) for row in grounds.rows]
    return Verdict(
        numbers={
            "signal": limits[0].signal,
            "of": when.of,
            "value": None if grounds.value is None else round(grounds.value, 3),
            "values": [round(each, 2) for each in grounds.values[-GROUNDS_MAX:]],
            "elements": len(grounds.values),
            "over": {"hours": reach.hours} if reach.days is None else {"days": reach.days},
            "at": from_us(newest.at_us).isoformat(),
            "thresholds": as_numbers(limits),
            "reading_ids": ids[-GROUNDS_MAX:],
        },
        sentence=trend_sentences.sentence(when, limits, grounds.value, grounds.values),
    )
