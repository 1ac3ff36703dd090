"""Back-test: what rules would have done to patients' past, before anybody switches them on. Pure.

The judge of every day answers; it is asked once, at the end, about all that was measured until then. What it cannot know is what
people would have done: nobody is treated here and nobody acknowledges. A reading that came late is in its place as if it had come
in time, though a critical value that was too late to alarm anybody is so here, too. The numbers rank rules and foretell work;
they are not clinical performance.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np

from server.rules import engine
from server.rules.engine import look_back_days, reach_days
from server.rules.episodes import Finding
from server.rules.features import Features, features_of
from server.rules.own_numbers import Number, numbers_of
from server.rules.rule import Rule, RuleSet, UnnumberedRule
from server.rules.windows import PatientHistory, PersonalThreshold, to_us
from vitals.errors import MalformedError

STAFF_MINUTES: Final[Mapping[str, float]] = {"information": 0.0, "low": 5.0, "medium": 10.0, "high": 15.0}
"""What an alert costs whoever answers it, by priority. Engineering choice, to be replaced by what a clinic measures of itself.
Only alerts of which the doctor is told count."""

LEAD: Final = timedelta(days=90)
"""So long before the span judging begins, so that what holds at its beginning is not taken for new. Who had an alert open for
longer and measured nothing since then is alerted anew by the next such measurement."""

OFTEN: Final = 3
"""Alerts in thirty days from which on a patient may want other numbers; so may one who is under alert more than half the time."""

TRIES: Final = 4
"""Steps of a number that are tried: further from the rule's than that is another rule."""

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Alerts that open from `since` to before `until` are looked at. A span lasts at least a day."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        assert self.until - self.since >= _DAY, (self.since, self.until)

    @property
    def days(self) -> float:
        return (self.until - self.since) / _DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert that a rule would have raised. `told_on`: the clinical day on which people would have heard of it."""

    patient_id: int
    rule_id: str
    rule_version: int
    priority: str
    opened_at: datetime
    resolved_at: datetime | None
    told_on: date
    first_day: date
    last_day: date
    is_for_doctor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A patient whom a rule would have alerted often, and the least change of its numbers after which it would not have.

    `parameters` is empty where no step within reach helps. `days`: how long the patient was under alert, before and after. A
    clinician decides; nothing is set.
    """

    patient_id: int
    rule_id: str
    alerts: int
    days: float
    parameters: Mapping[str, float]
    alerts_then: int
    days_then: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One patient's past by one set of rules. `days_under_alert`: by rule, how much of the span its alerts were open.

    `misfits`: rules that the patient's own numbers for them do not fit; those were judged as written.
    """

    patient_id: int
    readings: int
    alerts: tuple[Alert, ...]
    days_under_alert: Mapping[str, float]
    misfits: tuple[str, ...] = ()
    wishes: tuple[Wish, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Burden:
    """What one rule would have cost, or all of them (`rule_id` empty). `busiest_on`: none where nothing was raised."""

    rule_id: str
    alerts: int
    patients_ever: int
    per_100_patients_per_day: float
    busiest_on: date | None
    busiest_alerts: int
    staff_minutes: float
    days_under_alert: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A patient whom two sets of rules would have alerted differently often."""

    patient_id: int
    alerts: int
    alerts_other: int


def loaded_from(rules: RuleSet, span: Span) -> datetime:
    """From when on the readings of a back-test must be there."""
    return _judged_from(rules, span) - timedelta(days=reach_days(rules))


def replay(
    history: PatientHistory,
    rules: RuleSet,
    span: Span,
    *,
    as_written: bool,
    with_wishes: bool,
    numbers: Mapping[str, Mapping[str, float]] | None = None,
) -> Replayed:
    """What `rules` would have done to one patient, whose readings are there from `loaded_from` on.

    Every rule is looked at, chosen for the patient or not. The patient's own numbers hold unless `as_written`. `numbers`, by rule
    and name, are tried in place of the rules' own on whoever has none.
    """
    tried = {rule_id: PersonalThreshold(version=0, parameters=each) for rule_id, each in (numbers or {}).items()}
    given = tried | ({} if as_written else dict(history.thresholds))
    misfits = tuple(rule.id for rule in rules.rules if rule.id in given and not _fits(rule, given[rule.id]))
    own = {rule.id: _watched(None if rule.id in misfits else given.get(rule.id)) for rule in rules.rules}
    history = replace(history, thresholds=own, judged_from=_judged_from(rules, span))
    features = features_of(history, now=span.until, is_explained=False)
    findings = _findings(features, rules)
    by_rule: dict[str, list[Finding]] = {rule.id: [] for rule in rules.rules}
    for finding in findings:
        by_rule[finding.rule_id].append(finding)
    days = {rule_id: _days_under(found, span) for rule_id, found in by_rule.items()}
    alerts = tuple(_alerts(features, findings, span))
    counts = Counter(alert.rule_id for alert in alerts)
    wishes = (
        _wish(features, rule, span, counts[rule.id], days[rule.id])
        for rule in rules.rules
        if with_wishes and _is_often(counts[rule.id], days[rule.id], span)
    )
    return Replayed(
        patient_id=history.patient_id,
        readings=int((history.window.measured_at_us >= to_us(span.since)).sum()),
        alerts=alerts,
        days_under_alert=days,
        misfits=misfits,
        wishes=tuple(wish for wish in wishes if wish is not None),
    )


def burdens(
    replayed: Sequence[Replayed], rules: RuleSet, span: Span, minutes: Mapping[str, float] = STAFF_MINUTES
) -> list[Burden]:
    """What all the rules together would have cost, then each by itself, in their order."""
    by_rule: dict[str, list[Alert]] = defaultdict(list)
    for each in replayed:
        for alert in each.alerts:
            by_rule[alert.rule_id].append(alert)
            by_rule[""].append(alert)
    return [
        _burden(rule_id, by_rule[rule_id], replayed, span, minutes) for rule_id in ("", *(r.id for r in rules.rules))
    ]


def disagreements(one: Iterable[Replayed], other: Iterable[Replayed]) -> list[Disagreement]:
    """Who differs, those first for whom it makes the most."""
    then = {each.patient_id: len(each.alerts) for each in other}
    found = [
        Disagreement(patient_id=each.patient_id, alerts=len(each.alerts), alerts_other=then[each.patient_id])
        for each in one
        if len(each.alerts) != then[each.patient_id]
    ]
    return sorted(found, key=lambda each: (-abs(each.alerts - each.alerts_other), each.patient_id))


def _judged_from(rules: RuleSet, span: Span) -> datetime:
    return span.since - LEAD - timedelta(days=look_back_days(rules))


def _fits(rule: Rule, own: PersonalThreshold) -> bool:
    if isinstance(rule, UnnumberedRule):
        return not own.parameters
    try:
        numbers_of(rule, own.parameters)
    except MalformedError:
        return False
    return True


def _watched(own: PersonalThreshold | None) -> PersonalThreshold:
    return replace(own or PersonalThreshold(version=0, parameters={}), is_watched=True)


def _findings(features: Features, rules: RuleSet) -> list[Finding]:
    return [finding for finding in engine.findings(rules, features) if finding.state != "pending"]


def _alerts(features: Features, findings: Iterable[Finding], span: Span) -> Iterable[Alert]:
    new = [finding for finding in findings if span.since <= finding.opened_at < span.until]
    told_on = features.calendar.days_of(np.array([to_us(finding.deliver_at) for finding in new], np.int64))
    for finding, day in zip(new, told_on, strict=True):
        yield Alert(
            patient_id=features.history.patient_id,
            rule_id=finding.rule_id,
            rule_version=finding.rule_version,
            priority=finding.priority,
            opened_at=finding.opened_at,
            resolved_at=finding.resolved_at,
            told_on=date.fromordinal(int(day)),
            first_day=finding.first_day,
            last_day=finding.last_day,
            is_for_doctor="doctor" in finding.tell,
        )


def _days_under(findings: Iterable[Finding], span: Span) -> float:
    """How much of the span was under one of these alerts, two at once counted once."""
    total, reached = timedelta(0), span.since
    for finding in sorted(findings, key=lambda f: f.opened_at):
        begin = max(finding.opened_at, reached)
        end = min(finding.resolved_at or span.until, span.until)
        if end > begin:
            total, reached = total + (end - begin), end
    return total / _DAY


def _burden(
    rule_id: str, alerts: Sequence[Alert], replayed: Sequence[Replayed], span: Span, minutes: Mapping[str, float]
) -> Burden:
    on_day = Counter(alert.told_on for alert in alerts)
    busiest_on = min(on_day, key=lambda day: (-on_day[day], day), default=None)
    under = sum(
        days for each in replayed for of_rule, days in each.days_under_alert.items() if rule_id in ("", of_rule)
    )
    return Burden(
        rule_id=rule_id,
        alerts=len(alerts),
        patients_ever=len({alert.patient_id for alert in alerts}),
        per_100_patients_per_day=100 * len(alerts) / (len(replayed) * span.days) if replayed else 0.0,
        busiest_on=busiest_on,
        busiest_alerts=0 if busiest_on is None else on_day[busiest_on],
        staff_minutes=sum(minutes[alert.priority] for alert in alerts if alert.is_for_doctor),
        days_under_alert=under,
    )


# -- whose numbers do not fit ------------------------------------------------------------------------------------------


def _is_often(alerts: int, days: float, span: Span) -> bool:
    return alerts * 30 >= OFTEN * max(span.days, 30) or days > span.days / 2


def _wish(features: Features, rule: Rule, span: Span, alerts: int, days: float) -> Wish | None:
    """The numbers moved away step by step, until the rule is quiet; none for a rule without numbers."""
    if isinstance(rule, UnnumberedRule):
        return None
    own = features.history.thresholds[rule.id]
    numbers = numbers_of(rule, own.parameters)
    parameters: dict[str, float] = {}
    alerts_then, days_then = alerts, days
    for tried in range(1, TRIES + 1):
        moved = {number.name: _moved(number, tried) for number in numbers}
        findings = _findings_by(features, rule, replace(own, parameters=moved))
        raised, under = (
            sum(span.since <= f.opened_at < span.until for f in findings),
            _days_under(findings, span),
        )
        if not _is_often(raised, under, span):
            parameters, alerts_then, days_then = moved, raised, under
            break
    return Wish(
        patient_id=features.history.patient_id,
        rule_id=rule.id,
        alerts=alerts,
        days=days,
        parameters=parameters,
        alerts_then=alerts_then,
        days_then=days_then,
    )


def _findings_by(features: Features, rule: Rule, own: PersonalThreshold) -> list[Finding]:
    """By other numbers for one rule. What the patient has measured is what it was, so nothing of that is worked out anew."""
    history = replace(features.history, thresholds={rule.id: own})
    return _findings(replace(features, history=history), RuleSet((rule,)))


def _moved(number: Number, steps: int) -> float:
    moved = round(number.value + (steps if number.is_upper else -steps) * number.step, 6)
    least, most = number.bounds
    return min(max(moved, least), most)
