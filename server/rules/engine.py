"""Judging: what one patient's readings say by a set of rules at `now`. A pure function of these, whatever came in when.

The live judge, the scenario files and the back-test call the same functions. It opens nothing and tells nobody:
`episodes.reconcile` compares what it finds with what is stored.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import numpy as np

from server.rules import (
    absences,
    combined,
    days_in_a_row,
    failed_measurements,
    lasting,
    range_shares,
    single_value,
    trends,
)
from server.rules.conditions import Trend
from server.rules.episodes import Finding, Judgement
from server.rules.features import Features, features_of
from server.rules.own_numbers import is_watched
from server.rules.rule import (
    ChangeRule,
    CombinedRule,
    CountOfLastRule,
    DaysInARowRule,
    FailedMeasurementsRule,
    LastingRule,
    RangeShareRule,
    RollingRule,
    Rule,
    RuleSet,
    ScheduleRule,
    SilenceRule,
    SingleValueRule,
)
from server.rules.trend_grounds import reach_of
from server.rules.windows import TIME_UNUSABLE, PatientHistory, PersonalThreshold

RELATIVE_MARKS_DAYS: Final = 18
"""A weight is believed with the one before it, of up to 3 days earlier, whose mark depends on the 14 days before that; one day is
for the edges. A blood pressure's mark reaches less far back."""

_OWN: Final = PersonalThreshold(version=0, parameters={})


def judge(history: PatientHistory, rules: RuleSet, *, now: datetime) -> Judgement:
    """Every episode in view, by every rule of `rules`, and when to look again though nothing new has come.

    Raises `MalformedError` if a personal threshold does not fit its rule.
    """
    assert now.tzinfo is not None, "now must be aware"
    features = features_of(history, now=now)
    found = findings(rules, features)
    timers = [*_closes(features), *_ends(rules, features)]
    return Judgement(
        findings=tuple(found),
        next_due_at=min((at for at in timers if at > now), default=None),
        threshold_versions={rule.id: _personal(rule, features).version for rule in rules.rules},
    )


def findings(rules: RuleSet, features: Features) -> list[Finding]:
    """The episodes alone, rule by rule: what `judge` finds in a patient whose `features` are known. Raises as `judge`."""
    return [finding for rule in rules.rules for finding in _findings(rule, features)]


def look_back_days(rules: RuleSet) -> int:
    """How many days before `episodes.view_from` a judging by `rules` must begin: its `PatientHistory.judged_from`.

    What it may depend on is loaded on top (`reach_days`). One day is for the day that `judged_from` cuts, one for the zone.
    """
    spans = [rule.when.span_days for rule in rules.rules if isinstance(rule, DaysInARowRule)]
    # What a combined rule was told within that time before an alert began; a day is known at its close, so one more.
    spans += [rule.when.within_days + 1 for rule in rules.rules if isinstance(rule, CombinedRule)]
    return 2 + max(spans, default=1)


def reach_days(rules: RuleSet) -> int:
    """How many days of readings before `judged_from` must be seen: the widest window, and the marks of what is in it."""
    reaches = [rule.when.over for rule in rules.rules if isinstance(rule, RangeShareRule)]
    reaches += [reach_of(when) for rule in rules.rules for when in _trends_of(rule)]
    planned = [rule.when.of_days for rule in rules.rules if isinstance(rule, ScheduleRule)]
    return RELATIVE_MARKS_DAYS + max([*planned, *(reach.span_days for reach in reaches)], default=0)


def looks_at_absence(rules: RuleSet) -> bool:
    """Does one of the rules ask what was not measured, so that a history needs `last_counted_before` and `unheard`?"""
    return any(isinstance(rule, SilenceRule | ScheduleRule) for rule in rules.rules)


def speaking_of(thresholds: Mapping[str, PersonalThreshold], rules: RuleSet) -> RuleSet:
    """Those of the rules that speak of a patient with these thresholds; the others find nothing, and need nothing."""
    speaking = (rule for rule in rules.rules if is_watched(rule, thresholds.get(rule.id, _OWN).is_watched))
    return RuleSet(tuple(speaking))


def _findings(rule: Rule, features: Features) -> list[Finding]:
    personal = _personal(rule, features)
    if not is_watched(rule, personal.is_watched):
        return []
    match rule:
        case DaysInARowRule():
            return days_in_a_row.findings(rule, features, personal=personal.parameters, version=personal.version)
        case SingleValueRule():
            return single_value.findings(rule, features, personal=personal.parameters, version=personal.version)
        case FailedMeasurementsRule():
            return failed_measurements.findings(rule, features, personal=personal.parameters, version=personal.version)
        case RollingRule() | CountOfLastRule() | ChangeRule():
            return trends.findings(rule, features, personal=personal.parameters, version=personal.version)
        case RangeShareRule():
            return range_shares.findings(rule, features, personal=personal.parameters, version=personal.version)
        case LastingRule():
            return lasting.findings(rule, features, personal=personal.parameters, version=personal.version)
        case SilenceRule() | ScheduleRule():
            return absences.findings(rule, features, personal=personal.parameters, version=personal.version)
        case CombinedRule():
            return combined.findings(rule, features, personal=personal.parameters, version=personal.version)


def _trends_of(rule: Rule) -> tuple[Trend, ...]:
    """What a rule asks again with each element of a row."""
    match rule:
        case RollingRule() | CountOfLastRule() | ChangeRule():
            return (rule.when,)
        case CombinedRule():
            return tuple(condition for condition, _ in rule.when.conditions)
        case _:
            return ()


def _personal(rule: Rule, features: Features) -> PersonalThreshold:
    return features.history.thresholds.get(rule.id, _OWN)


def _closes(features: Features) -> Iterable[datetime]:
    """The closes of days that have a reading and are not over: they may fire, resolve or reset."""
    is_placed = features.history.window.time_quality != TIME_UNUSABLE
    still_open = np.unique(features.day[is_placed & (features.day >= features.open_from)])
    return [features.calendar.close_of(int(day)) for day in still_open]


def _ends(rules: RuleSet, features: Features) -> Iterable[datetime]:
    """The instants at which a single-value episode ends by itself, a sitting that a trend waits for is over, or a day closes on
    which nothing was measured."""
    watched = [rule for rule in rules.rules if is_watched(rule, _personal(rule, features).is_watched)]
    yield from trends.ends((when for rule in watched for when in _trends_of(rule)), features)
    for rule in watched:
        if isinstance(rule, SingleValueRule):
            yield from single_value.ends(rule, features, personal=_personal(rule, features).parameters)
        elif isinstance(rule, SilenceRule | ScheduleRule):
            yield absences.ends(rule, features, personal=_personal(rule, features).parameters)
