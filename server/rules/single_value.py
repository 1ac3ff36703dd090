"""Findings of a single-value rule: one reading is enough. Each sitting that holds such a reading is an event of its own.

A value is looked at in accepted, suspect and (by a rule of its own) rejected readings, so that no extreme value silently
disappears. The timers that confirm or escalate a critical reading are not here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.rules import kernels, sentences
from server.rules.episodes import Audience, Finding, Language, Verdict
from server.rules.features import Features
from server.rules.rule import Priority, SingleValueRule, thresholds_in_force
from server.rules.windows import ACCEPTED, QUALITY_CODES, SUSPECT, from_us

PROMPT: Final = timedelta(minutes=30)
STALE: Final = timedelta(hours=24)
"""A critical value older than 24 h on arrival is a review task; between 30 min and 24 h it counts if no normal reading came
after it (clinical 1.5)."""

_COMPARE: Final = {"above": np.greater, "at_least": np.greater_equal, "below": np.less, "at_most": np.less_equal}
_MICROSECOND: Final = timedelta(microseconds=1)
_QUALITY_NAMES: Final = {code: name for name, code in QUALITY_CODES.items()}
_LOWER: Final[dict[Priority, Priority]] = {
    "high": "medium",
    "medium": "low",
    "low": "information",
    "information": "information",
}
_NOTES: Final[dict[str, dict[Language, str]]] = {
    "unconfirmed": {"en": "unconfirmed", "zh": "未确认"},
    "below": {"en": "a later reading was below", "zh": "其后一次读数已低于该值"},
    "rejected": {"en": "the cuff moved or was loose: measure again", "zh": "测量时有移动或袖带过松：请重新测量"},
    "late": {"en": "arrived late", "zh": "数据迟到"},
}


def findings(rule: SingleValueRule, features: Features, *, personal: Mapping[str, Any], version: int) -> list[Finding]:
    """The events that `rule` sees, oldest first."""
    judged = _judged(rule, features, personal, version)
    events = list(judged.events())
    following = [*(judged.at(event[0]) for event in events[1:]), None]
    return [judged.finding(event, after) for event, after in zip(events, following, strict=False)]


def ends(rule: SingleValueRule, features: Features, *, personal: Mapping[str, Any]) -> list[datetime]:
    """When time alone ends the events that `rule` sees, as far as it is known."""
    judged = _judged(rule, features, personal, 0)
    return [at for event in judged.events() if (at := judged.end_of(event)) is not None]


def _judged(rule: SingleValueRule, features: Features, personal: Mapping[str, Any], version: int) -> "_Judged":
    thresholds = thresholds_in_force(rule, personal)
    pressures = features.pressures
    is_met = np.zeros(len(pressures), np.bool_)
    for condition, threshold in zip(rule.when.any_of, thresholds, strict=True):
        values = pressures.systolic if condition.signal == "systolic" else pressures.diastolic
        is_met |= _COMPARE[condition.comparison](values, round(threshold * kernels.MICRO))
    return _Judged(
        rule=rule,
        features=features,
        thresholds=thresholds,
        version=version,
        is_met=is_met,
        below_us=pressures.at_us[(pressures.quality == ACCEPTED) & ~is_met],
        measured_us=pressures.at_us[pressures.quality >= SUSPECT],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """`is_met` by reading; `below_us` and `measured_us`: when an accepted reading was on the good side, when any was usable."""

    rule: SingleValueRule
    features: Features
    thresholds: tuple[float, ...]
    version: int
    is_met: NDArray[np.bool_]
    below_us: kernels.Int64s
    measured_us: kernels.Int64s

    def at(self, place: int) -> datetime:
        return self.features.at(place)

    def events(self) -> Iterator[list[int]]:
        """Readings that meet the condition, those of one sitting together."""
        event: list[int] = []
        for place in self._hits():
            if event and not self._is_one_sitting(event[-1], place):
                yield event
                event = []
            event.append(place)
        if event:
            yield event

    def finding(self, event: Sequence[int], superseded_at: datetime | None) -> Finding:
        features = self.features
        below_at = self._below_at(event[-1])
        resolved_at, is_superseded = self._end(event[-1], below_at, superseded_at)
        if is_superseded and below_at is not None and resolved_at is not None and below_at > resolved_at:
            below_at = None  # what is over is not made less urgent by what came weeks later
        is_over = resolved_at is not None and resolved_at <= features.now
        day = date.fromordinal(int(features.pressures.day[event[0]]))
        doctor: tuple[Audience, ...] = tuple(who for who in self.rule.tell if who == "doctor")
        return Finding(
            rule_id=self.rule.id,
            rule_version=self.rule.version,
            threshold_version=self.version,
            state="resolved" if is_over else "active",
            priority=self.rule.priority if below_at is None else _LOWER[self.rule.priority],
            first_day=day,
            last_day=day,
            started_at=self.at(event[0]),
            opened_at=self.at(event[0]),
            deliver_at=self.at(event[0]),
            resolved_at=resolved_at if is_over else None,
            verdict=self._verdict(event, below_at),
            tell=self.rule.tell if below_at is None else doctor,
            tell_late=() if is_superseded else doctor,
            fresh_until=self.at(event[-1]) + STALE if self.rule.when.arrived == "in_time" else None,
            newest_at=self.at(event[-1]),
        )

    def end_of(self, event: Sequence[int]) -> datetime | None:
        return self._end(event[-1], self._below_at(event[-1]), None)[0]

    def _hits(self) -> Iterator[int]:
        wanted = np.isin(self.features.pressures.quality, [QUALITY_CODES[word] for word in self.rule.when.readings])
        is_late_rule = self.rule.when.arrived == "late"
        is_judged = self.features.pressures.day > self.features.unjudged
        for place in map(int, np.flatnonzero(self.is_met & wanted & is_judged)):
            if self._is_late(place) == is_late_rule:
                yield place

    def _is_late(self, place: int) -> bool:
        pressures = self.features.pressures
        delay = int(pressures.received_us[place] - pressures.at_us[place]) * _MICROSECOND
        below_at = self._below_at(place)
        # What is measured after the arrival cannot make it late again: it would take back an alert that people have seen.
        is_overtaken = below_at is not None and below_at <= self.at(place) + delay
        return delay > STALE or (delay > PROMPT and is_overtaken)

    def _below_at(self, place: int) -> datetime | None:
        """When an accepted reading after `place` was on the good side of every threshold; none if there is none yet."""
        return self._first_after(self.below_us, place)

    def _first_after(self, at_us: kernels.Int64s, place: int) -> datetime | None:
        index = int(np.searchsorted(at_us, self.features.pressures.at_us[place], side="right"))
        return from_us(int(at_us[index])) if index < len(at_us) else None

    def _is_one_sitting(self, one: int, other: int) -> bool:
        pressures = self.features.pressures
        if pressures.sitting[one] < 0 or pressures.sitting[other] < 0:
            return bool(pressures.at_us[other] - pressures.at_us[one] <= kernels.SITTING_GAP_US)
        return bool(pressures.sitting[one] == pressures.sitting[other])

    def _end(
        self, newest: int, below_at: datetime | None, superseded_at: datetime | None
    ) -> tuple[datetime | None, bool]:
        """When the event ends, if that is known, and whether a later event took its place."""
        resolve = self.rule.resolve
        if resolve.by == "person":
            return None, False
        end = below_at if resolve.by == "reading_below" else self._first_after(self.measured_us, newest)
        ends = [] if end is None else [end + timedelta(hours=resolve.visible_hours)]
        if resolve.at_most_hours is not None:
            ends.append(self.at(newest) + timedelta(hours=resolve.at_most_hours))
        if superseded_at is not None and superseded_at < min(ends, default=superseded_at + STALE):
            return superseded_at, True
        return min(ends, default=None), False

    def _verdict(self, event: Sequence[int], below_at: datetime | None) -> Verdict:
        pressures = self.features.pressures
        values = [(pressures.systolic[p] / kernels.MICRO, pressures.diastolic[p] / kernels.MICRO) for p in event]
        conditions = [(c.signal, c.comparison, t) for c, t in zip(self.rule.when.any_of, self.thresholds, strict=True)]
        return Verdict(
            numbers={
                "readings": [
                    {
                        "reading_id": self.features.reading_id(place),
                        "measured_at": self.at(place).isoformat(),
                        "systolic": round(float(systolic), 2),
                        "diastolic": round(float(diastolic), 2),
                        "quality": _QUALITY_NAMES[int(pressures.quality[place])],
                    }
                    for place, (systolic, diastolic) in zip(event, values, strict=True)
                ],
                "thresholds": [
                    {"signal": signal, "comparison": word, "value": value, "unit": "mmHg"}
                    for signal, word, value in conditions
                ],
                "below_at": None if below_at is None else below_at.isoformat(),
                "reading_ids": [self.features.reading_id(place) for place in event],
            },
            sentence=sentences.single_value(conditions, max(values), self._note(below_at)),
        )

    def _note(self, below_at: datetime | None) -> dict[Language, str]:
        if self.rule.when.arrived == "late":
            return _NOTES["late"]
        if "accepted" not in self.rule.when.readings and "suspect" not in self.rule.when.readings:
            return _NOTES["rejected"]
        return _NOTES["unconfirmed" if below_at is None else "below"]
