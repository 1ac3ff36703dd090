"""Findings of the range_share rules: what the glucose of the last closed days comes to, asked at the close of every day.

Each figure is one of `glucose_metrics`, of sums that are kept as running totals: a year of a worn sensor is judged in
milliseconds, and exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.rules import glucose_metrics, glucose_sentences
from server.rules.conditions import COMPARE, RISING
from server.rules.days_in_a_row import FRESH_DAYS
from server.rules.episodes import UNSAID, Finding, Verdict
from server.rules.features import Features
from server.rules.glucose_trace import Trace, trace_of
from server.rules.kernels import MICRO, Int64s
from server.rules.own_numbers import value_in_force
from server.rules.rule import RangeShareRule
from server.rules.stretches import joined
from server.rules.trend_grounds import GROUNDS_MAX
from server.rules.trend_kernels import MICRO_PER_THOUSANDTH
from server.rules.windows import from_us, to_us

_CV_STEPS: Final = 100
"""A CV is compared with whole hundredths of a percent, every other figure with whole millionths of its unit."""

_MG_DL: Final = ("cv", "gmi", "gri", "lbgi", "hbgi")
"""Figures that are of mg/dL, whatever unit people read: a CV, too, so that its rounding is small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """A closed day at which the question can be answered. `value` is the figure; of a CV it is the square.

    `is_good` is more than not `is_yes`: far enough on the other side. `readings` are all that count in the window, `percent`
    the share of its quarter hours that have one.
    """

    day: int
    close_us: int
    value: Fraction
    is_yes: bool
    is_good: bool
    readings: int
    percent: Fraction


@dataclass(slots=True, kw_only=True)
class _Stretch:
    """A time that is not good: the first and the newest day that said yes. `ended_us`: None while it lasts."""

    first: _Day
    newest: _Day
    ended_us: int | None = None

    @property
    def began_us(self) -> int:
        return self.first.close_us


def findings(rule: RangeShareRule, features: Features, *, personal: Mapping[str, Any], version: int) -> list[Finding]:
    """The episodes that `rule` sees, oldest first."""
    asked = _asked(rule, features, value_in_force(rule, personal))
    return [_finding(asked, version, episode) for episode in joined(_stretches(asked.answers()))]


def _stretches(answers: Sequence[_Day]) -> list[_Stretch]:
    found: list[_Stretch] = []
    for answer in answers:
        is_open = bool(found) and found[-1].ended_us is None
        if answer.is_yes and is_open:
            found[-1].newest = answer
        elif answer.is_yes:
            found.append(_Stretch(first=answer, newest=answer))
        elif answer.is_good and is_open:
            found[-1].ended_us = answer.close_us
    return found


# -- figures -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The rule put to one patient. `trace` is in order of clinical days, `totals` are its running sums (n + 1 rows each):

    how many readings count, how many there are in all, and what the figure is made of.
    """

    rule: RangeShareRule
    features: Features
    threshold: float
    trace: Trace
    counted: Int64s
    totals: tuple[Int64s, ...]

    def answers(self) -> list[_Day]:
        """The answers of the judged days that have one, in order of date."""
        day, span = self.trace.day, self.rule.when.span_days
        days = np.unique(day)
        days = days[(days < self.features.open_from) & (days > self.features.unjudged)]
        starts = np.searchsorted(day, days - span, side="right")
        ends = np.searchsorted(day, days, side="right")
        covered = self._quarter_hours(days - span + 1, days, starts, ends)
        found = []
        for row, one in enumerate(days):
            start, end = int(starts[row]), int(ends[row])
            percent = Fraction(100 * int(covered[row]), span * glucose_metrics.QUARTER_HOURS_A_DAY)
            value = self._value(start, end) if self._is_enough(percent, start, end) else None
            if value is not None:
                found.append(self._answer(int(one), value, readings=end - start, percent=percent))
        return found

    def _quarter_hours(self, first: Int64s, last: Int64s, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Int64s:
        """How many quarter hours have a reading, in each window of days from `first` to `last`.

        A day's readings are not always those of whole quarter hours of its own: who flies west lives a date twice, and the
        quarter hour of the move belongs to two days. It is counted once.
        """
        quarters, day = glucose_metrics.quarter_hours(self.trace.at_us), self.trace.day
        order = np.lexsort((day, quarters))
        sorted_quarters, sorted_day = quarters[order], day[order]
        is_same = np.zeros(len(order), np.bool_)
        is_same[1:] = sorted_quarters[1:] == sorted_quarters[:-1]
        is_first = ~is_same
        is_first[1:] |= sorted_day[1:] != sorted_day[:-1]
        placed = np.zeros(len(order), np.int64)
        placed[order] = is_first
        total = _running(placed)
        twice = np.flatnonzero(is_same & is_first)
        earlier, later = sorted_day[twice - 1], sorted_day[twice]
        both = (earlier >= first[:, None]) & (later <= last[:, None])
        return np.asarray(total[ends] - total[starts] - both.sum(axis=1), np.int64)

    def _is_enough(self, percent: Fraction, start: int, end: int) -> bool:
        when = self.rule.when
        if when.sufficient_percent is not None:
            return percent >= when.sufficient_percent
        assert when.min_readings is not None
        assert when.min_days is not None
        n = int(self.counted[end] - self.counted[start])
        if n < when.min_readings:
            return False
        counts = np.diff(self.counted[start : end + 1]) > 0
        return len(np.unique(self.trace.day[start:end][counts])) >= when.min_days

    def _value(self, start: int, end: int) -> Fraction | None:
        """The figure of the readings from row `start` to `end` (not included); None where there are too few for one."""
        n = int(self.counted[end] - self.counted[start])
        sums = [int(total[end] - total[start]) for total in self.totals]
        statistic = self.rule.when.statistic
        if n < (2 if statistic == "cv" else 1):
            return None
        match statistic:
            case "share":
                return Fraction(100 * sums[0], n)
            case "gri":
                return glucose_metrics.gri(sums)
            case "cv":
                return glucose_metrics.cv_percent_squared(n, *sums)
            case "gmi":
                return glucose_metrics.gmi_percent(Fraction(sums[0], n * MICRO))
        return Fraction(sums[0], n * MICRO)

    def _answer(self, day: int, value: Fraction, *, readings: int, percent: Fraction) -> _Day:
        when = self.rule.when
        steps = _CV_STEPS if when.statistic == "cv" else MICRO
        limit = Fraction(round(self.threshold * steps), steps)
        by = Fraction(round(self.rule.resolve.below_by * steps), steps)
        is_yes = COMPARE[when.comparison](value, self._comparable(limit))
        is_rising = when.comparison in RISING
        good = self._comparable(limit - by if is_rising else limit + by)
        is_far = value <= good if is_rising else value >= good
        return _Day(
            day=day,
            close_us=to_us(self.features.calendar.close_of(day)),
            value=value,
            is_yes=is_yes,
            is_good=is_far and not is_yes,
            readings=readings,
            percent=percent,
        )

    def _comparable(self, limit: Fraction) -> Fraction:
        """A CV is compared by its square, so its limits are squared too, with their sign."""
        return limit * abs(limit) if self.rule.when.statistic == "cv" else limit


def _asked(rule: RangeShareRule, features: Features, threshold: float) -> _Asked:
    when = rule.when
    unit = when.unit if when.range is None else when.range.unit
    trace = _by_day(trace_of(features, when.signal, "mg/dL" if when.statistic in _MG_DL else unit))
    counts_all = when.statistic in ("share", "gri")
    counted = np.ones(len(trace), np.int64) if counts_all else trace.is_number.astype(np.int64)
    return _Asked(
        rule=rule,
        features=features,
        threshold=threshold,
        trace=trace,
        counted=_running(counted),
        totals=tuple(_running(term) for term in _terms(rule, trace)),
    )


def _by_day(trace: Trace) -> Trace:
    """The same readings in order of their clinical days: those of somebody who flies west go back."""
    order = np.argsort(trace.day, kind="stable")
    return Trace(
        rows=trace.rows[order],
        at_us=trace.at_us[order],
        day=trace.day[order],
        micro=trace.micro[order],
        censored=trace.censored[order],
    )


def _terms(rule: RangeShareRule, trace: Trace) -> list[Int64s]:
    """What each reading adds to the sums of the figure; HI and LO add nothing where they do not count."""
    match rule.when.statistic:
        case "share":
            return [_in_range(rule, trace).astype(np.int64)]
        case "gri":
            placed = glucose_metrics.bands(trace.micro, trace.censored)
            return [(placed == band).astype(np.int64) for band in range(glucose_metrics.BANDS)]
        case "cv":
            thousandths = trace.micro // MICRO_PER_THOUSANDTH
            return [thousandths, thousandths * thousandths]
        case "lbgi" | "hbgi":
            low, high = glucose_metrics.risks(trace.micro)
            return [np.where(trace.is_number, low if rule.when.statistic == "lbgi" else high, 0)]
    return [trace.micro]


def _in_range(rule: RangeShareRule, trace: Trace) -> NDArray[np.bool_]:
    band = rule.when.range
    assert band is not None, "a share has a range"
    if band.below is not None:
        return trace.beyond("below", round(band.below * MICRO))
    if band.above is not None:
        return trace.beyond("above", round(band.above * MICRO))
    assert band.lowest is not None
    assert band.highest is not None
    is_between = (trace.micro >= round(band.lowest * MICRO)) & (trace.micro <= round(band.highest * MICRO))
    return np.asarray(is_between & trace.is_number)


def _running(terms: Int64s) -> Int64s:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(terms, dtype=np.int64)))


# -- findings ----------------------------------------------------------------------------------------------------------


def _finding(asked: _Asked, version: int, episode: Sequence[_Stretch]) -> Finding:
    rule, calendar = asked.rule, asked.features.calendar
    newest, ended_us = episode[-1].newest, episode[-1].ended_us
    opened_at = from_us(episode[0].first.close_us)
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
        deliver_at=calendar.delivery_after(from_us(episode[-1].first.close_us)),
        resolved_at=None if ended_us is None else from_us(ended_us),
        verdict=_verdict(asked, newest) if asked.features.is_explained else UNSAID,
        tell=rule.tell,
        fresh_until=calendar.close_of(newest.day + FRESH_DAYS),
        newest_at=from_us(newest.close_us),
    )


def _verdict(asked: _Asked, newest: _Day) -> Verdict:
    when, trace = asked.rule.when, asked.trace
    value = float(newest.value) ** 0.5 if when.statistic == "cv" else float(newest.value)
    rows = trace.rows[np.searchsorted(trace.day, newest.day) : np.searchsorted(trace.day, newest.day, side="right")]
    ids = asked.features.history.window.reading_ids
    band = None if when.range is None else when.range.model_dump(by_alias=True, exclude_none=True)
    return Verdict(
        numbers={
            "signal": when.signal,
            "statistic": when.statistic,
            "range": band,
            "value": round(value, 3),
            "readings": newest.readings,
            "measured_percent": round(float(newest.percent), 1),
            "over": {"days": when.span_days},
            "at": from_us(newest.close_us).isoformat(),
            "thresholds": [
                {"signal": when.signal, "comparison": when.comparison, "value": asked.threshold, "unit": when.unit}
            ],
            "reading_ids": [str(ids[row]) for row in rows[-GROUNDS_MAX:]],
        },
        sentence=glucose_sentences.range_share(
            when, asked.threshold, value, readings=newest.readings, measured_percent=float(newest.percent)
        ),
    )
