"""Findings of a days-in-a-row rule: the kernel's runs, dressed with their instants, numbers and sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import numpy as np

from server.rules import kernels, sentences
from server.rules.episodes import QUIET_DAYS, UNSAID, Finding, FindingState, Verdict
from server.rules.features import DayValue, Features
from server.rules.own_numbers import thresholds_in_force
from server.rules.rule import DaysInARowRule

_STATES: Final[tuple[FindingState, ...]] = ("pending", "active", "resolved")
LATER_DAYS_MAX: Final = 31
"""Of the days after the run the verdict keeps the newest month: an episode may last for years."""
FRESH_DAYS: Final = 7
"""A finding whose newest day is more than seven days old is a note, not a push (clinical 1.8)."""


def findings(rule: DaysInARowRule, features: Features, *, personal: Mapping[str, Any], version: int) -> list[Finding]:
    """The episodes that `rule` sees, oldest first, with at most one pending at the end."""
    judged = _Judged(rule=rule, features=features, thresholds=thresholds_in_force(rule, personal), version=version)
    return [judged.finding(row) for row in judged.runs()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    rule: DaysInARowRule
    features: Features
    thresholds: tuple[float, ...]
    version: int

    def runs(self) -> kernels.Int64s:
        when, resolve = self.rule.when, self.rule.resolve
        return kernels.runs(
            self.features.days,
            np.array([max(self.features.history.enrolled_on.toordinal(), self.features.unjudged)], np.int64),
            np.array([self.features.open_from], np.int64),
            np.array([kernels.SIGNAL_CODES[c.signal] for c in when.any_of], np.int8),
            np.array([kernels.COMPARISON_CODES[c.comparison] for c in when.any_of], np.int8),
            kernels.micro(np.array([self.thresholds], np.float64)),
            when.days,
            when.span_days,
            when.min_readings_per_day,
            round(resolve.below_by * kernels.MICRO),
            resolve.days,
            QUIET_DAYS,
        )

    def finding(self, row: kernels.Int64s) -> Finding:
        features, calendar = self.features, self.features.calendar
        first, last = features.value_of(row[kernels.FIRST]), features.value_of(row[kernels.LAST])
        state = _STATES[row[kernels.STATE]]
        resolved_on = int(row[kernels.RESOLVED_ON])
        return Finding(
            rule_id=self.rule.id,
            rule_version=self.rule.version,
            threshold_version=self.version,
            state=state,
            priority=self.rule.priority,
            first_day=date.fromordinal(first.day),
            last_day=date.fromordinal(last.day),
            started_at=features.at(features.accepted_in(row[kernels.FIRST])[0]),
            opened_at=self._became_true_at(row[kernels.OPENED])[0],
            deliver_at=self._became_true_at(row[kernels.RUN_LAST])[1],
            resolved_at=calendar.close_of(features.value_of(resolved_on).day) if resolved_on >= 0 else None,
            verdict=self._verdict(row) if features.is_explained else UNSAID,
            tell=self.rule.tell,
            fresh_until=calendar.close_of(last.day + FRESH_DAYS),
            newest_at=calendar.close_of(last.day - 1),
        )

    def _became_true_at(self, index: int) -> tuple[datetime, datetime]:
        """When the day at `index` completed its run, and when people may be told.

        A day with two sittings counts from the reading of its second or a later sitting that makes the day's value meet
        the condition; a day with one sitting counts when it closes.
        """
        features = self.features
        so_far: dict[int, list[int]] = {}
        for place in features.accepted_in(index):
            so_far.setdefault(int(features.pressures.sitting[place]), []).append(place)
            if len(so_far) >= 2 and self._is_met(list(so_far.values())):
                return features.at(place), features.at(place)
        close = features.calendar.close_of(features.value_of(index).day)
        return close, features.calendar.delivery_after(close)

    def _is_met(self, sittings: list[list[int]]) -> bool:
        """Would the day meet the condition if it had ended with these readings? The kernels answer, on a day cut short."""
        if sum(len(places) for places in sittings) < self.rule.when.min_readings_per_day:
            return False
        places = np.array(sorted(place for sitting in sittings for place in sitting), np.intp)
        pressures = self.features.pressures
        first = np.array([0, len(places)], np.int64)
        table = kernels.sittings(
            first,
            pressures.systolic[places],
            pressures.diastolic[places],
            pressures.quality[places],
            pressures.sitting[places],
            np.zeros(len(places), np.int64),
        )
        return kernels.is_met(
            kernels.measured_days(table)[0],
            np.array([kernels.SIGNAL_CODES[c.signal] for c in self.rule.when.any_of], np.int8),
            np.array([kernels.COMPARISON_CODES[c.comparison] for c in self.rule.when.any_of], np.int8),
            kernels.micro(np.array(self.thresholds, np.float64)),
        )

    def _verdict(self, row: kernels.Int64s) -> Verdict:
        features, when = self.features, self.rule.when
        run = self._measured(row[kernels.RUN_FIRST], row[kernels.RUN_LAST])
        values = [features.value_of(index) for index in run]
        conditions = [(c.signal, c.comparison, t) for c, t in zip(when.any_of, self.thresholds, strict=True)]
        later = self._measured(row[kernels.RUN_LAST] + 1, row[kernels.LAST])[-LATER_DAYS_MAX:]
        return Verdict(
            numbers={
                "days": [_shown(value) for value in values],
                "later_days": [_shown(features.value_of(index)) for index in later],
                "thresholds": [
                    {"signal": signal, "comparison": word, "value": value, "unit": "mmHg"}
                    for signal, word, value in conditions
                ],
                "missing_day": when.missing_day,
                "max_span_days": when.span_days,
                "reading_ids": [features.reading_id(place) for index in run for place in features.accepted_in(index)],
            },
            sentence=sentences.days_in_a_row(
                conditions,
                [(value.systolic_mmhg, value.diastolic_mmhg) for value in values],
                weak_days=sum(value.grade == "weak" for value in values),
            ),
        )

    def _measured(self, first: int, last: int) -> list[int]:
        """Rows of `days` from `first` to `last` that the rule counts."""
        needed = self.rule.when.min_readings_per_day
        return [index for index in range(first, last + 1) if self.features.days[index, 2] >= needed]


def _shown(value: DayValue) -> dict[str, Any]:
    return {
        "date": date.fromordinal(value.day).isoformat(),
        "systolic": round(value.systolic_mmhg, 2),
        "diastolic": round(value.diastolic_mmhg, 2),
        "readings": value.readings,
        "sittings": value.sittings,
        "grade": value.grade,
    }
