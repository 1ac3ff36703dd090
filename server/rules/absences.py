"""Findings of the rules about what was not measured: silence, and a schedule that is not kept.

Only closed days count, after the day of enrolment, and a day on which the home could not be heard for long is neither quiet nor
missed: it is unknown. So nobody is called silent for a broken line. Why the line is broken is not asked here (`server.watch`).
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.rules import absence_sentences as sentences
from server.rules.days_in_a_row import FRESH_DAYS
from server.rules.episodes import Finding, Verdict
from server.rules.features import Features
from server.rules.kernels import Int64s
from server.rules.own_numbers import days_in_force
from server.rules.rule import AbsenceRule, ScheduleRule, SilenceRule
from server.rules.stretches import joined
from server.rules.trend_grounds import GROUNDS_MAX
from server.rules.windows import ACCEPTED, KIND_CODES, TIME_UNUSABLE, from_us, to_us

_HOUR_US: Final = 3_600_000_000

_NEAR: Final = 2
"""A move shifts a clinical day by one at most; one more is to spare."""


def findings(rule: AbsenceRule, features: Features, *, personal: Mapping[str, Any], version: int) -> list[Finding]:
    """The episodes that `rule` sees, oldest first."""
    needed = days_in_force(rule, personal)
    if isinstance(rule, SilenceRule):
        silences = [
            silence
            for silence in _silences(rule, features, needed)
            if silence.ended_day is None or silence.ended_day > features.unjudged
        ]
        return [_silent(rule, features, version, needed, episode) for episode in joined(silences)]
    asked = _ask(rule, features, needed)
    return [_missed(rule, features, version, asked, episode) for episode in joined(_lapses(features, asked))]


def ends(rule: AbsenceRule, features: Features, *, personal: Mapping[str, Any]) -> datetime:
    """The close of the day at which time alone may next change what `rule` says, if nothing comes and nothing is unknown."""
    if isinstance(rule, ScheduleRule):
        return features.calendar.close_of(features.open_from)
    needed = days_in_force(rule, personal)
    # A reading of a clock that is ahead ends a gap on a day to come: until then it may grow, as the last may.
    growing = [gap for gap in _gaps(features) if gap.until is None or gap.until > features.open_from]
    return features.calendar.close_of(min(_next_day(rule, features, gap, needed) for gap in growing))


def _next_day(rule: SilenceRule, features: Features, gap: "_Gap", needed: int) -> int:
    """The day at whose close the gap is a silence; of one that is, the day that is open."""
    missing = needed - (gap.days_before(features.open_from) - len(gap.unknown(rule, features)))
    return features.open_from if missing <= 0 else max(gap.after, features.open_from - 1) + missing


# -- silence -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    """The days between two neighbouring days that have a reading: those after `after` and before `until` (None: no more came).

    `since_us`: the last reading before them, None since enrolment; `ended_us`: the first after them.
    """

    after: int
    until: int | None
    since_us: int | None
    ended_us: int | None

    def end(self, open_from: int) -> int:
        """The day before which its closed days lie."""
        return open_from if self.until is None else min(self.until, open_from)

    def days_before(self, open_from: int) -> int:
        """How many closed days lie in it."""
        return max(0, self.end(open_from) - self.after - 1)

    def unknown(self, rule: AbsenceRule, features: Features) -> Sequence[int]:
        """Those of its closed days of which nobody can say anything, ascending."""
        if not self.days_before(features.open_from):
            return ()
        days = unknown_days(features, rule.when.unknown_after_hours)
        return days[bisect_right(days, self.after) : bisect_left(days, self.end(features.open_from))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _SilentTime:
    """A gap with enough quiet days: it began at the close of `opened_day`."""

    first_day: int
    opened_day: int
    began_us: int
    ended_us: int | None
    ended_day: int | None
    days: int
    unknown: int
    since_us: int | None


def _silences(rule: SilenceRule, features: Features, needed: int) -> Iterable[_SilentTime]:
    for gap in _gaps(features):
        closed = gap.days_before(features.open_from)
        if closed < needed:
            continue
        unknown = gap.unknown(rule, features)
        if closed - len(unknown) < needed:
            continue
        opened_day = _quiet_day(gap.after, unknown, needed)
        began_us = to_us(features.calendar.close_of(opened_day))
        yield _SilentTime(
            first_day=_quiet_day(gap.after, unknown, 1),
            opened_day=opened_day,
            began_us=began_us,
            ended_us=None if gap.ended_us is None else max(gap.ended_us, began_us),
            ended_day=gap.until,
            days=closed - len(unknown),
            unknown=len(unknown),
            since_us=gap.since_us,
        )


def _gaps(features: Features) -> list[_Gap]:
    """Between the days that have a reading, oldest first; the last has no end. Before the first there is enrolment, or the newest
    reading from before the window."""
    history, enrolled = features.history, features.history.enrolled_on.toordinal()
    rows = _counted(features)
    day, at_us = features.day[rows], history.window.measured_at_us[rows]
    before = history.last_counted_before
    if before is not None:
        day, at_us = np.append(day, features.calendar.day_of(before)), np.append(at_us, to_us(before))
    order = np.lexsort((at_us, day))
    day, at_us = day[order], at_us[order]
    days, firsts = np.unique(day, return_index=True)
    lasts = np.append(firsts[1:], len(day))[: len(days)] - 1
    starts: list[tuple[int, int | None]] = list(zip(days.tolist(), at_us[lasts].tolist(), strict=True))
    ends: list[tuple[int | None, int | None]] = list(zip(days.tolist(), at_us[firsts].tolist(), strict=True))
    if before is None:
        starts.insert(0, (enrolled, None))
    else:
        ends = ends[1:]
    return [
        _Gap(after=max(after, enrolled), until=until, since_us=since_us, ended_us=ended_us)
        for (after, since_us), (until, ended_us) in zip(starts, [*ends, (None, None)], strict=True)
    ]


def _quiet_day(after: int, unknown: Iterable[int], number: int) -> int:
    """The so many-th day after `after` that is not unknown."""
    day = after + number
    for each in unknown:
        if each > day:
            break
        day += 1
    return day


def _silent(
    rule: SilenceRule, features: Features, version: int, needed: int, episode: Sequence[_SilentTime]
) -> Finding:
    calendar, first, newest = features.calendar, episode[0], episode[-1]
    opened_at, again_at = from_us(first.began_us), from_us(newest.began_us)
    since = None if newest.since_us is None else from_us(newest.since_us)
    since_day = None if newest.since_us is None else date.fromordinal(calendar.day_of(from_us(newest.since_us)))
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=version,
        state="active" if newest.ended_us is None else "resolved",
        priority=rule.priority,
        first_day=date.fromordinal(first.first_day),
        last_day=date.fromordinal(newest.opened_day),  # it goes on, but a clinician who closed it knows that
        started_at=opened_at,
        opened_at=opened_at,
        deliver_at=calendar.delivery_after(again_at),
        resolved_at=None if newest.ended_us is None else from_us(newest.ended_us),
        verdict=Verdict(
            numbers={
                "days": newest.days,
                "needed_days": needed,
                "unknown_days": newest.unknown,
                "since": None if since is None else since.isoformat(),
                "reading_ids": [],
            },
            sentence=sentences.silence(newest.days, since=since_day, unknown_days=newest.unknown),
        ),
        tell=rule.tell,
        fresh_until=calendar.close_of(newest.opened_day + FRESH_DAYS),
        newest_at=again_at,
    )


# -- schedule ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the days of a schedule come to, one row for each closed day that is judged, from `first_day` on.

    `measured`, `unknown`: how many days of those up to it. `rows`: the readings that count.
    """

    needed: int
    first_day: int
    measured: Int64s
    unknown: Int64s
    rows: NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lapse:
    """From the close of `first`, at which the schedule was not kept, to that at which it was again; rows of what was asked."""

    first: int
    newest: int
    began_us: int
    ended_us: int | None


def _ask(rule: ScheduleRule, features: Features, needed: int) -> _Asked:
    when, window = rule.when, features.history.window
    rows = _counted(features)
    rows = rows[window.kind[rows] == KIND_CODES[when.of]]
    first_day = max(features.unjudged + 1, features.history.enrolled_on.toordinal() + when.of_days)
    begin = first_day - when.of_days + 1
    length = max(0, features.open_from - begin) if first_day < features.open_from else 0
    readings, unknown = np.zeros(length, np.int64), np.zeros(length, np.int64)
    if length:
        place = features.day[rows] - begin
        np.add.at(readings, place[(place >= 0) & (place < length)], 1)
        days = np.array(unknown_days(features, when.unknown_after_hours), np.int64) - begin
        unknown[days[(days >= 0) & (days < length)]] = 1
    measured = (readings >= when.readings_per_day).astype(np.int64)
    return _Asked(
        needed=needed,
        first_day=first_day,
        measured=_sums(measured, when.of_days),
        unknown=_sums(unknown, when.of_days),
        rows=rows,
    )


def _sums(days: Int64s, width: int) -> Int64s:
    """Of every run of `width` days."""
    total = np.concatenate((np.zeros(1, np.int64), np.cumsum(days)))
    return total[width:] - total[: max(0, len(total) - width)]


def _lapses(features: Features, asked: _Asked) -> Iterable[_Lapse]:
    is_missed = (asked.measured + asked.unknown < asked.needed).tolist()
    is_kept = (asked.measured >= asked.needed).tolist()
    first: int | None = None
    newest = 0
    for row in range(len(is_missed)):
        if is_missed[row]:
            first, newest = (row if first is None else first), row
        elif is_kept[row] and first is not None:
            yield _lapse(features, asked, first, newest, row)
            first = None
    if first is not None:
        yield _lapse(features, asked, first, newest, None)


def _lapse(features: Features, asked: _Asked, first: int, newest: int, ended: int | None) -> _Lapse:
    began_us, ended_us = (
        None if row is None else to_us(features.calendar.close_of(asked.first_day + row)) for row in (first, ended)
    )
    assert began_us is not None, first
    return _Lapse(first=first, newest=newest, began_us=began_us, ended_us=ended_us)


def _missed(rule: ScheduleRule, features: Features, version: int, asked: _Asked, episode: Sequence[_Lapse]) -> Finding:
    calendar, newest = features.calendar, episode[-1]
    opened_at, again_at = from_us(episode[0].began_us), from_us(newest.began_us)
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=version,
        state="active" if newest.ended_us is None else "resolved",
        priority=rule.priority,
        first_day=date.fromordinal(asked.first_day + episode[0].first),
        last_day=date.fromordinal(asked.first_day + newest.first),  # as of a silence
        started_at=opened_at,
        opened_at=opened_at,
        deliver_at=calendar.delivery_after(again_at),
        resolved_at=None if newest.ended_us is None else from_us(newest.ended_us),
        verdict=_verdict(rule, features, asked, newest.newest),
        tell=rule.tell,
        fresh_until=calendar.close_of(asked.first_day + newest.newest + FRESH_DAYS),
        newest_at=again_at,
    )


def _verdict(rule: ScheduleRule, features: Features, asked: _Asked, row: int) -> Verdict:
    day, ids = asked.first_day + row, features.history.window.reading_ids
    days = features.day[asked.rows]
    inside = asked.rows[(days > day - rule.when.of_days) & (days <= day)][-GROUNDS_MAX:]
    measured_days, unknown_days = int(asked.measured[row]), int(asked.unknown[row])
    return Verdict(
        numbers={
            "of": rule.when.of,
            "measured_days": measured_days,
            "needed_days": asked.needed,
            "of_days": rule.when.of_days,
            "unknown_days": unknown_days,
            "at": features.calendar.close_of(day).isoformat(),
            "reading_ids": [str(ids[place]) for place in inside],
        },
        sentence=sentences.schedule(
            rule.when, measured_days=measured_days, needed_days=asked.needed, unknown_days=unknown_days
        ),
    )


# -- days --------------------------------------------------------------------------------------------------------------


def unknown_days(features: Features, after_hours: int) -> Sequence[int]:
    """The days, ascending, of which the home could not be heard for more than `after_hours`, and that have no reading."""
    if not features.history.unheard:
        return ()
    covered = _unheard_us(features)
    has_reading = set(features.day[_counted(features)].tolist())
    if features.history.last_counted_before is not None:
        has_reading.add(features.calendar.day_of(features.history.last_counted_before))
    return sorted(day for day, us in covered.items() if us > after_hours * _HOUR_US and day not in has_reading)


def _unheard_us(features: Features) -> Mapping[int, int]:
    """How much of each day, from the close of the day before to its own, lies in spans of which nothing could be heard."""
    calendar, closes = features.calendar, dict[int, int]()
    covered: Counter[int] = Counter()

    def close_us(day: int) -> int:
        if day not in closes:
            closes[day] = to_us(calendar.close_of(day))
        return closes[day]

    for began_us, ended_us in _merged(features):
        first, last = calendar.days_of(np.array([began_us, ended_us], np.int64)).tolist()
        for day in range(first - _NEAR, last + _NEAR + 1):
            inside = min(ended_us, close_us(day)) - max(began_us, close_us(day - 1))
            if inside > 0:
                covered[day] += inside
    return covered


def _merged(features: Features) -> list[tuple[int, int]]:
    """The spans in order of time, those that overlap as one; what lasts, lasts until now."""
    now_us, found = to_us(features.now), list[tuple[int, int]]()
    spans = [
        (to_us(each.began), now_us if each.ended is None else to_us(each.ended)) for each in features.history.unheard
    ]
    for began_us, ended_us in sorted(span for span in spans if span[0] < span[1]):
        if found and began_us <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ended_us))
        else:
            found.append((began_us, ended_us))
    return found


def _counted(features: Features) -> NDArray[np.intp]:
    """The rows that show that somebody measured: a jump or a single odd value is a measurement, a failed one is not."""
    window = features.history.window
    return np.flatnonzero((window.quality == ACCEPTED) & (window.time_quality != TIME_UNUSABLE))
