"""Findings of a single-value rule: one reading is enough. Each sitting that holds such a reading is an event of its own.

A value is looked at in accepted, suspect and (by a rule of its own) rejected readings, so that no extreme value silently
disappears. What makes an event more urgent is `confirmation`'s, what it says to people `single_value_verdict`'s.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.rules import kernels
from server.rules.confirmation import Confirmation, confirmation_of
from server.rules.episodes import UNSAID, Audience, Finding, Priority, Verdict
from server.rules.features import Features
from server.rules.own_numbers import thresholds_in_force
from server.rules.rule import SingleValueRule
from server.rules.single_value_verdict import verdict
from server.rules.value_readings import ValueReadings, value_readings
from server.rules.windows import QUALITY_CODES, SUSPECT, from_us

PROMPT: Final = timedelta(minutes=30)
STALE: Final = timedelta(hours=24)
"""A critical value older than 24 h on arrival is a review task; between 30 min and 24 h it counts if no normal reading came
after it (clinical 1.5)."""

_PROMPT_US, _STALE_US = (each // timedelta(microseconds=1) for each in (PROMPT, STALE))
_NEVER: Final = int(np.iinfo(np.int64).max)
_LOWER: Final[dict[Priority, Priority]] = {
    "high": "medium",
    "medium": "low",
    "low": "information",
    "information": "information",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """Readings of one sitting that meet, by their place, and what became of them. `ends_at` may lie ahead.

    `below_at`: when a later reading was on the good side, unless it came after the end. `raised_at`: none if below.
    """

    places: Sequence[int]
    ends_at: datetime | None
    is_superseded: bool
    below_at: datetime | None
    confirmation: Confirmation | None
    raised_at: datetime | None


def findings(rule: SingleValueRule, features: Features, *, personal: Mapping[str, Any], version: int) -> list[Finding]:
    """The events that `rule` sees, oldest first."""
    judged = _judged(rule, features, personal, version)
    return [judged.finding(event) for event in judged.events()]


def ends(rule: SingleValueRule, features: Features, *, personal: Mapping[str, Any]) -> list[datetime]:
    """When time alone ends the events that `rule` sees, or makes one more urgent, as far as it is known."""
    judged = _judged(rule, features, personal, 0)
    return [at for event in judged.events() for at in judged.timers(event)]


def _judged(rule: SingleValueRule, features: Features, personal: Mapping[str, Any], version: int) -> "_Judged":
    thresholds = thresholds_in_force(rule, personal)
    readings = value_readings(rule, features, thresholds)
    return _Judged(
        rule=rule,
        features=features,
        thresholds=thresholds,
        version=version,
        readings=readings,
        below_us=_first_after(readings.at_us, readings.is_within),
        measured_us=_first_after(readings.at_us, readings.quality >= SUSPECT),
    )


def _first_after(at_us: kernels.Int64s, is_wanted: NDArray[np.bool_]) -> kernels.Int64s:
    """For each of the instants, in order of time, the first wanted one after it; _NEVER if there is none."""
    wanted_us = np.append(at_us[is_wanted], _NEVER)
    return np.asarray(wanted_us[np.searchsorted(wanted_us[:-1], at_us, side="right")], np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """`below_us`: when an accepted reading after each one was on the good side of every threshold; `measured_us`: when any was
    usable. _NEVER if there is none yet."""

    rule: SingleValueRule
    features: Features
    thresholds: tuple[float, ...]
    version: int
    readings: ValueReadings
    below_us: kernels.Int64s
    measured_us: kernels.Int64s

    def events(self) -> list[_Event]:
        """Oldest first. A sitting through the end of the last unjudged day is not one that began after it."""
        groups = [group for group in self._groups() if self.readings.day[group[0]] > self.features.unjudged]
        following = [*(self.readings.at(group[0]) for group in groups[1:]), None]
        return [self._event(group, after) for group, after in zip(groups, following, strict=False)]

    def finding(self, event: _Event) -> Finding:
        first, newest = event.places[0], event.places[-1]
        is_over = event.ends_at is not None and event.ends_at <= self.features.now
        day = date.fromordinal(int(self.readings.day[first]))
        opened_at = self.readings.at(first)
        doctor: tuple[Audience, ...] = tuple(who for who in self.rule.tell if who == "doctor")
        return Finding(
            rule_id=self.rule.id,
            rule_version=self.rule.version,
            threshold_version=self.version,
            state="resolved" if is_over else "active",
            priority=self._priority(event),
            first_day=day,
            last_day=day,
            started_at=opened_at,
            opened_at=opened_at,
            deliver_at=opened_at,
            resolved_at=event.ends_at if is_over else None,
            verdict=self._verdict(event) if self.features.is_explained else UNSAID,
            tell=self.rule.tell if event.below_at is None else doctor,
            tell_late=() if event.is_superseded else doctor,
            fresh_until=self.readings.at(newest) + STALE if self.rule.when.arrived == "in_time" else None,
            newest_at=self.readings.at(newest),
            raised_at=event.raised_at,
        )

    def _verdict(self, event: _Event) -> Verdict:
        return verdict(
            self.rule,
            self.features,
            self.readings,
            event.places,
            thresholds=self.thresholds,
            below_at=event.below_at,
            confirmation=event.confirmation,
            raised_at=event.raised_at,
        )

    def timers(self, event: _Event) -> Iterator[datetime]:
        """Instants at which the event changes though nothing is measured."""
        if event.ends_at is not None:
            yield event.ends_at
        if event.confirmation is not None and event.below_at is None and event.raised_at is None:
            yield event.confirmation.raises_at

    def _event(self, places: Sequence[int], superseded_at: datetime | None) -> _Event:
        below_at = _instant(self.below_us[places[-1]])
        ends_at, is_superseded = self._end(places[-1], below_at, superseded_at)
        if is_superseded and below_at is not None and ends_at is not None and below_at > ends_at:
            below_at = None  # what is over is not made less urgent by what came weeks later
        confirmation = self._confirmation(places)
        return _Event(
            places=places,
            ends_at=ends_at,
            is_superseded=is_superseded,
            below_at=below_at,
            confirmation=confirmation,
            raised_at=None if below_at is not None else self._raised_at(confirmation, ends_at),
        )

    def _priority(self, event: _Event) -> Priority:
        if event.below_at is not None:
            return _LOWER[self.rule.priority]
        confirm = self.rule.when.confirm
        return self.rule.priority if confirm is None or event.raised_at is None else confirm.priority

    def _confirmation(self, places: Sequence[int]) -> Confirmation | None:
        if self.rule.when.confirm is None:
            return None
        return confirmation_of(
            self.rule.when.confirm,
            measured_at=[self.readings.at(place) for place in places],
            received_at=[self.readings.received_at(place) for place in places],
            symptoms=self.features.history.symptoms,
        )

    def _raised_at(self, confirmation: Confirmation | None, ends_at: datetime | None) -> datetime | None:
        """When it became more urgent, if it did before its end: what is over keeps the priority that it had."""
        if confirmation is None:
            return None
        until = self.features.now if ends_at is None else min(self.features.now, ends_at)
        return confirmation.raises_at if confirmation.raises_at <= until else None

    def _groups(self) -> Iterator[list[int]]:
        """Readings that meet the condition, those of one sitting together."""
        group: list[int] = []
        for place in self._hits():
            if group and not self._is_one_sitting(group[-1], place):
                yield group
                group = []
            group.append(place)
        if group:
            yield group

    def _hits(self) -> list[int]:
        wanted = np.isin(self.readings.quality, [QUALITY_CODES[word] for word in self.rule.when.readings])
        places = np.flatnonzero(self.readings.is_met & wanted)
        is_hit = self._is_late(places) == (self.rule.when.arrived == "late")
        return [int(place) for place in places[is_hit]]

    def _is_late(self, places: NDArray[np.intp]) -> NDArray[np.bool_]:
        readings = self.readings
        received_us = readings.received_us[places]
        delay_us = received_us - readings.at_us[places]
        # What is measured after the arrival cannot make it late again: it would take back an alert that people have seen.
        is_overtaken = self.below_us[places] <= received_us
        return np.asarray((delay_us > _STALE_US) | ((delay_us > _PROMPT_US) & is_overtaken))

    def _is_one_sitting(self, one: int, other: int) -> bool:
        readings = self.readings
        if readings.sitting[one] < 0 or readings.sitting[other] < 0:
            return bool(readings.at_us[other] - readings.at_us[one] <= kernels.SITTING_GAP_US)
        return bool(readings.sitting[one] == readings.sitting[other])

    def _end(
        self, newest: int, below_at: datetime | None, superseded_at: datetime | None
    ) -> tuple[datetime | None, bool]:
        """When the event ends, if that is known, and whether a later event took its place."""
        resolve = self.rule.resolve
        if resolve.by == "person":
            return None, False
        end = below_at if resolve.by == "reading_below" else _instant(self.measured_us[newest])
        ends = [] if end is None else [end + timedelta(hours=resolve.visible_hours)]
        if resolve.at_most_hours is not None:
            ends.append(self.readings.at(newest) + timedelta(hours=resolve.at_most_hours))
        if superseded_at is not None and superseded_at < min(ends, default=superseded_at + STALE):
            return superseded_at, True
        return min(ends, default=None), False


def _instant(us: int) -> datetime | None:
    return None if us == _NEVER else from_us(us)
