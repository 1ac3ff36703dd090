"""Findings of combined rules: what several conditions have said by themselves, joined by all_of, any_of and not. Pure.

A condition answers at each element of its own row (`trend_answers.answers`). Here is only what the answers come to together, at
every instant at which one of them answered: yes, no, or unknown, as in Kleene's logic, where no is -1, unknown 0 and yes 1, so
that all_of is the least of its parts, any_of the greatest, and not turns it round. Nothing begins by what is unknown, and nothing
that began is ended by silence.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.rules import combined_sentences
from server.rules.combined_conditions import AllOf, AnyOf, AnyPart, Combined, Condition, Negated
from server.rules.combined_sentences import Said
from server.rules.days_in_a_row import FRESH_DAYS
from server.rules.episodes import Finding, Verdict
from server.rules.features import Features
from server.rules.kernels import Int64s
from server.rules.own_numbers import refuse_all
from server.rules.rule import CombinedRule
from server.rules.stretches import joined
from server.rules.trend_answers import NO, NOTHING, YES, Answers, answers
from server.rules.trend_grounds import GROUNDS_MAX, as_numbers, grounds_of
from server.rules.windows import from_us

Truths = NDArray[np.int8]
"""NO, NOTHING (unknown) or YES."""

_HOUR_US: Final = 3_600_000_000
_NEVER: Final = np.iinfo(np.int64).min
_WORDS: Final = {YES: "yes", NO: "no", NOTHING: None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """A condition with its answers in order of time: `elements` are those of its row that said YES or NO (`truths`)."""

    condition: Condition
    is_negated: bool
    answers: Answers
    elements: NDArray[np.intp]
    at_us: Int64s
    truths: Truths

    @property
    def supporting(self) -> int:
        return NO if self.is_negated else YES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """What the conditions had said last at each of k instants: a row for each condition, a column for each instant.

    `newest` is the place of the answer among the condition's own, -1 before its first; `said_at_us` is its instant, `truths` what
    it said.
    """

    when: Combined
    heard: tuple[_Heard, ...]
    instants_us: Int64s
    newest: NDArray[np.intp]
    said_at_us: Int64s
    truths: Truths

    def __len__(self) -> int:
        return len(self.instants_us)

    @property
    def within_us(self) -> int:
        return self.when.within.in_hours * _HOUR_US

    def known(self, columns: slice, after_us: Int64s | int) -> Truths:
        """What each condition has said last, if that was later than `after_us`."""
        return np.where(self.said_at_us[:, columns] > after_us, self.truths[:, columns], NOTHING)

    def holds(self, columns: slice, after_us: Int64s | int) -> NDArray[np.bool_]:
        """Where it is true as a whole, by answers later than `after_us`."""
        return np.asarray(_truth(self.when, iter(self.known(columns, after_us))) == YES)

    def element(self, row: int, column: int) -> int:
        """The element of the condition's row that said it."""
        return int(self.heard[row].elements[self.newest[row, column]])

    def trigger(self, column: int) -> tuple[Condition, int]:
        """The condition written first of those that answered at this very instant, and the day of its answer."""
        instant_us = self.instants_us[column]
        row = int(np.argmax(self.said_at_us[:, column] == instant_us))
        heard = self.heard[row]
        return heard.condition, int(heard.answers.series.day[self.element(row, column)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """From the instant at which it came true to that at which an answer ended it, as columns of the course and as instants."""

    first: int
    newest: int
    began_us: int
    ended_us: int | None


def findings(rule: CombinedRule, features: Features, *, personal: Mapping[str, Any], version: int) -> list[Finding]:
    """The episodes that `rule` sees, oldest first; raises `MalformedError` for numbers of a patient's own: it has none."""
    refuse_all(rule, personal)
    course = _course(rule.when, [_hear(each, is_negated, features) for each, is_negated in rule.when.conditions])
    return [_finding(rule, features, version, course, episode) for episode in joined(_stretches(course))]


# -- what is true when -------------------------------------------------------------------------------------------------


def _hear(condition: Condition, is_negated: bool, features: Features) -> _Heard:
    each = answers(condition, features, below_by=condition.below_by)
    elements = np.flatnonzero(each.said != NOTHING)
    return _Heard(
        condition=condition,
        is_negated=is_negated,
        answers=each,
        elements=elements,
        at_us=each.series.at_us[elements],
        truths=each.said[elements],
    )


def _course(when: Combined, heard: Sequence[_Heard]) -> _Course:
    instants_us = np.unique(np.concatenate([each.at_us for each in heard]))
    newest = np.array([np.searchsorted(each.at_us, instants_us, side="right") - 1 for each in heard], np.intp)
    # Before its first answer a condition has the place -1, which finds what is put at the end here.
    said_at_us = [np.append(each.at_us, _NEVER)[row] for each, row in zip(heard, newest, strict=True)]
    truths = [np.append(each.truths, np.int8(NOTHING))[row] for each, row in zip(heard, newest, strict=True)]
    return _Course(
        when=when,
        heard=tuple(heard),
        instants_us=instants_us,
        newest=newest,
        said_at_us=np.array(said_at_us, np.int64),
        truths=np.array(truths, np.int8),
    )


def _truth(part: AnyPart, each: Iterator[Truths]) -> Truths:
    """What a part comes to, by what `each` of the conditions says in the order written."""
    match part:
        case Negated():
            return np.negative(next(each))
        case Combined() | AllOf() | AnyOf():
            joint = np.maximum if part.is_any else np.minimum
            return np.asarray(joint.reduce([_truth(one, each) for one in part.parts]), np.int8)
        case _:
            return next(each)


def _stretches(course: _Course) -> Iterator[_Stretch]:
    """The times at which it is true, oldest first.

    It begins by answers that are no older than `within`. From then on these count until newer ones take their place: what ends it
    is an answer.
    """
    begins = np.flatnonzero(course.holds(slice(None), course.instants_us - course.within_us))
    nth = 0
    while nth < len(begins):
        first = int(begins[nth])
        began_us = int(course.instants_us[first])
        goes_on = course.holds(slice(first + 1, None), began_us - course.within_us)
        ended = len(course) if goes_on.all() else first + 1 + int(np.argmin(goes_on))
        nth = int(np.searchsorted(begins, ended))
        yield _Stretch(
            first=first,
            newest=int(begins[nth - 1]),
            began_us=began_us,
            ended_us=None if ended == len(course) else int(course.instants_us[ended]),
        )


# -- findings ----------------------------------------------------------------------------------------------------------


def _finding(
    rule: CombinedRule, features: Features, version: int, course: _Course, episode: Sequence[_Stretch]
) -> Finding:
    calendar, last = features.calendar, episode[-1]
    opened_at, again_at = from_us(episode[0].began_us), from_us(last.began_us)
    _, first_day = course.trigger(episode[0].first)
    _, newest_day = course.trigger(last.newest)
    last_day = max(first_day, newest_day)
    again_by, _ = course.trigger(last.first)
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=version,
        state="active" if last.ended_us is None else "resolved",
        priority=rule.priority,
        first_day=date.fromordinal(first_day),
        last_day=date.fromordinal(last_day),
        started_at=opened_at,
        opened_at=opened_at,
        deliver_at=calendar.delivery_after(again_at) if again_by.of == "days" else again_at,
        resolved_at=None if last.ended_us is None else from_us(last.ended_us),
        verdict=_verdict(rule, features, course, last.newest),
        tell=rule.tell,
        fresh_until=calendar.close_of(last_day + FRESH_DAYS),
        newest_at=from_us(int(course.instants_us[last.newest])),
    )


def _verdict(rule: CombinedRule, features: Features, course: _Course, column: int) -> Verdict:
    """By what every condition had said last at this instant, and within the time before it."""
    instant_us, within = int(course.instants_us[column]), rule.when.within
    known = course.known(slice(column, column + 1), instant_us - course.within_us)[:, 0]
    parts: list[dict[str, Any]] = []
    rows: set[int] = set()
    said: list[Said] = []
    for row, (heard, truth) in enumerate(zip(course.heard, known, strict=True)):
        part, limits = _part(heard, truth), heard.answers.limits
        if truth != NOTHING:
            grounds = grounds_of(heard.condition, heard.answers.series, course.element(row, column))
            part |= {
                "value": None if grounds.value is None else round(grounds.value, 3),
                "at": from_us(int(course.said_at_us[row, column])).isoformat(),
            }
            if truth == heard.supporting:
                rows.update(grounds.rows)
                said.append(Said(when=heard.condition, is_negated=heard.is_negated, limits=limits, grounds=grounds))
        parts.append(part)
    ids = features.history.window.reading_ids
    return Verdict(
        numbers={
            "within": {"hours": within.hours} if within.days is None else {"days": within.days},
            "parts": parts,
            "at": from_us(instant_us).isoformat(),
            "reading_ids": [str(ids[row]) for row in sorted(rows)[-GROUNDS_MAX:]],
        },
        sentence=combined_sentences.sentence(said),
    )


def _part(heard: _Heard, truth: int) -> dict[str, Any]:
    condition = heard.condition
    return {
        "kind": condition.kind,
        "of": condition.of,
        "statistic": condition.statistic if condition.kind == "rolling" else None,
        "not": heard.is_negated,
        "said": _WORDS[int(truth)],
        "value": None,
        "thresholds": as_numbers(heard.answers.limits),
        "at": None,
    }
